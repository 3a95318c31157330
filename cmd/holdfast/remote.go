package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/exitcode"
	"github.com/holdfastdb/holdfast/queries"
)

// isURL tells a daemon's address from the name of a file.
func isURL(name string) bool {
	return strings.HasPrefix(name, "http://") || strings.HasPrefix(name, "https://")
}

// remote is a database of a daemon: http://HOST:PORT/databases/NAME, or http://HOST:PORT
// for the one that the daemon calls its default.
type remote struct {
	base   string // without a slash at the end
	client http.Client
}

const (
	remoteTime  = 30 * time.Second
	largestTold = 64 << 20 // of an answer
)

func (a *app) remote(ctx context.Context, name string) (*remote, error) {
	u, err := url.Parse(name)
	if err != nil || u.Host == "" {
		return nil, exitcode.Usagef("expected a URL such as http://127.0.0.1:7391 or http://127.0.0.1:7391/databases/NAME")
	}
	if u.User != nil {
		return nil, exitcode.Usagef("a URL is seen by everybody who lists processes: put the token into HOLDFAST_TOKEN")
	}
	u.RawQuery, u.Fragment = "", ""
	r := &remote{base: strings.TrimRight(u.String(), "/"), client: http.Client{Timeout: remoteTime}}
	if strings.Contains(u.Path, "/databases/") {
		return r, nil
	}
	var names struct {
		Databases []struct {
			Name    string
			Default bool
		}
	}
	if err := r.ask(ctx, http.MethodGet, "/databases", &names); err != nil {
		return nil, err
	}
	for _, d := range names.Databases {
		if d.Default {
			r.base += "/databases/" + url.PathEscape(d.Name)
			return r, nil
		}
	}
	return nil, exitcode.With(exitcode.Missing, fmt.Errorf("%s serves no database", r.base))
}

// ask reads the JSON at a path.
func (r *remote) ask(ctx context.Context, method, path string, into any) error {
	return r.send(ctx, method, path, nil, into)
}

// send sends JSON to a path, nil being none, and reads the answer's, if there is one.
func (r *remote) send(ctx context.Context, method, path string, body, into any) error {
	var in io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		in = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, r.base+path, in)
	if err != nil {
		return exitcode.With(exitcode.Usage, err)
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json") // what is posted says what it is
	}
	if token := os.Getenv("HOLDFAST_TOKEN"); token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return exitcode.With(exitcode.Unavailable, fmt.Errorf("ask the daemon: %w", err))
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, largestTold))
	if err != nil {
		return exitcode.With(exitcode.Unavailable, fmt.Errorf("ask the daemon: %w", err))
	}
	switch resp.StatusCode {
	case http.StatusNoContent:
		return nil
	case http.StatusOK, http.StatusCreated:
	default:
		return refusedBy(r.base+path, resp, text)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return exitcode.With(exitcode.Unavailable, fmt.Errorf("%s%s does not answer as a daemon of Holdfast does", r.base, path))
	}
	return nil
}

func refusedBy(address string, resp *http.Response, text []byte) error {
	var answer struct{ Error string }
	if json.Unmarshal(text, &answer) != nil || answer.Error == "" {
		answer.Error = resp.Status
	}
	err := fmt.Errorf("%s: %s", address, answer.Error)
	switch resp.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		return exitcode.With(exitcode.Permission, fmt.Errorf("%w; HOLDFAST_TOKEN has the token", err))
	case http.StatusNotFound:
		return exitcode.With(exitcode.Missing, err)
	case http.StatusBadRequest:
		return exitcode.With(exitcode.Usage, err)
	}
	return exitcode.With(exitcode.Unavailable, err)
}

// remoteHealth is the health of a daemon's database, as it tells it.
func (a *app) remoteHealth(ctx context.Context, name string, deep, full bool) (*healthAnswer, error) {
	if deep || full {
		return nil, exitcode.Usagef("--deep and --full read the file: name it instead of a URL, on the daemon's machine")
	}
	r, err := a.remote(ctx, name)
	if err != nil {
		return nil, err
	}
	answer := &healthAnswer{}
	if err := r.ask(ctx, http.MethodGet, "/health", answer); err != nil {
		return nil, err
	}
	if answer.Schema != "holdfast.health/v1" {
		return nil, exitcode.With(exitcode.Unavailable, errors.New(name+" tells its health in another form than this version reads"))
	}
	return answer, nil
}

// remoteQueries are the statements of a daemon's database, both those that its own handle
// runs and those that come from outside to read.
func (a *app) remoteQueries(ctx context.Context, name string, by queries.Order, limit int, reset bool) (*queriesAnswer, error) {
	r, err := a.remote(ctx, name)
	if err != nil {
		return nil, err
	}
	var told struct{ Processes []holdfast.ProcessQueries }
	if err := r.ask(ctx, http.MethodGet, "/queries", &told); err != nil {
		return nil, err
	}
	if reset {
		if err := r.ask(ctx, http.MethodDelete, "/queries", &struct{}{}); err != nil {
			return nil, err
		}
	}
	return newQueriesAnswer(name, told.Processes, nil, by, limit, reset), nil
}
