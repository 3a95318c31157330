package torture

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/daemon"
)

func killDaemon() Scenario {
	return Scenario{
		Name: "kill-daemon",
		About: "kill -9 of the daemon while 8 clients write over HTTP: what it acknowledged is there, and what got no answer is there once " +
			"after it was sent again under its key",
		Tier: Quick,
		Run:  runKillDaemon,
	}
}

const servedClients = 8

// A write is two rows, so that one in part would be seen.
const createServed = "CREATE TABLE served(client INTEGER NOT NULL, seq INTEGER NOT NULL, part INTEGER NOT NULL, body TEXT NOT NULL)"

func runKillDaemon(ctx context.Context, t *Trial) error {
	s := &served{t: t, path: filepath.Join(t.Dir, "app.db"), client: &http.Client{Timeout: 30 * time.Second}}
	defer s.client.CloseIdleConnections()
	db, err := holdfast.Open(ctx, s.path)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, createServed)
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	rounds := t.Rounds(6, 100, 1000)
	for n := range rounds {
		if err := s.life(ctx, n < rounds-1); err != nil {
			return err
		}
	}
	for _, c := range s.ledger {
		t.Count("acked", c.acked)
	}
	return s.verify(ctx)
}

// served is a database that a daemon serves, and what its clients know.
type served struct {
	t      *Trial
	path   string
	client *http.Client
	ledger [servedClients]struct {
		acked   int64 // all up to this one
		pending bool  // the next was sent, and got no answer
	}
}

// life is one of the daemon's: it ends with kill -9, or at the end as it is told to.
func (s *served) life(ctx context.Context, killed bool) error {
	child, err := s.t.Child(ctx, "serve", s.path, nil)
	if err != nil {
		return err
	}
	line, err := child.Next(ctx)
	if err != nil {
		return err
	}
	writing, stop := context.WithCancel(ctx)
	defer stop()
	errs := make([]error, servedClients)
	var clients sync.WaitGroup
	for i := range s.ledger {
		clients.Go(func() { errs[i] = s.write(writing, i, line.Text) })
	}
	err = sleep(ctx, 50*time.Millisecond+time.Duration(s.t.Rand.Int64N(int64(300*time.Millisecond))))
	if killed {
		err = errors.Join(err, child.Kill())
		s.t.Count("kills", 1)
		clients.Wait() // each has met the end of its connection
	} else {
		stop()
		clients.Wait()
		err = errors.Join(err, child.Finish(ctx))
	}
	return errors.Join(append(errs, err)...)
}

// write sends one write after the other, until the daemon is gone or ctx ends.
func (s *served) write(ctx context.Context, client int, url string) error {
	known := &s.ledger[client]
	for ctx.Err() == nil {
		if known.pending {
			s.t.Count("repeated", 1)
		}
		seq := known.acked + 1
		known.pending = true
		acked, err := s.send(ctx, client, seq, url)
		if err != nil {
			return err
		}
		if !acked {
			return nil
		}
		known.acked, known.pending = seq, false
	}
	return nil
}

// send tells whether the write was acknowledged. That the daemon is gone is no error, and
// no acknowledgement; an answer that is neither is the daemon's fault.
func (s *served) send(ctx context.Context, client int, seq int64, url string) (acked bool, err error) {
	const insert = "INSERT INTO served VALUES (?, ?, ?, ?)"
	body, err := json.Marshal([][]any{{insert, client, seq, 1, slotBody(seq)}, {insert, client, seq, 2, slotBody(seq)}})
	if err != nil {
		return false, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/db/execute?transaction", bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Idempotency-Key", fmt.Sprintf("client %d write %d", client, seq))
	answer, err := s.client.Do(r)
	if err != nil {
		return false, nil // it is gone, or we were told to stop
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return false, nil // half an answer is none
	}
	var told struct {
		Results []struct {
			Error string `json:"error"`
		} `json:"results"`
		Error string `json:"error"`
	}
	if err := json.Unmarshal(text, &told); err != nil {
		return false, fmt.Errorf("the daemon answers %q: %w", text, err)
	}
	if answer.StatusCode != http.StatusOK || told.Error != "" || len(told.Results) != 2 || told.Results[0].Error+told.Results[1].Error != "" {
		return false, fmt.Errorf("the daemon answers %d: %q", answer.StatusCode, text)
	}
	return true, nil
}

// verify holds the rows against what the clients know, when the daemon is gone.
func (s *served) verify(ctx context.Context) (err error) {
	db, err := holdfast.Open(ctx, s.path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, integrity(ctx, db), db.Close()) }()
	for client, known := range s.ledger {
		var there, writes, most, wrong int64
		err := db.QueryRowContext(ctx, `SELECT count(*), count(DISTINCT seq), coalesce(max(seq), 0), coalesce(sum(n <> 2), 0) FROM
			(SELECT seq, count(DISTINCT part) * (count(*) = 2) AS n FROM served WHERE client = ? GROUP BY seq)`, client).Scan(&there, &writes, &most, &wrong)
		if err != nil {
			return err
		}
		// The last one may be there without an answer.
		if wrong != 0 || there != most || most < known.acked || most > known.acked+1 || most > known.acked && !known.pending {
			return fmt.Errorf("client %d: %d writes up to %d, %d of them in part or twice, and %d had been acknowledged", client, there, most, wrong, known.acked)
		}
	}
	return nil
}

// serveRole is a daemon. It tells its URL, and ends when the parent closes the pipe.
func serveRole(ctx context.Context, p *Parent, config json.RawMessage) error {
	var path string
	if err := json.Unmarshal(config, &path); err != nil {
		return err
	}
	file := path + ".json"
	text, err := json.Marshal(map[string]any{
		"database": map[string]any{"path": path}, "serve": map[string]any{"listen": "127.0.0.1:0", "dash": false}, "alerts": map[string]any{"enabled": false},
	})
	if err == nil {
		err = os.WriteFile(file, text, 0o600)
	}
	if err != nil {
		return err
	}
	d, err := daemon.Start(ctx, daemon.Options{
		Load: func() (*daemon.Settings, error) {
			settings, _, err := daemon.Load(holdfast.ConfigSource{Path: file})
			return settings, err
		},
		Getenv: func(string) string { return "" }, Logger: slog.New(slog.DiscardHandler), Version: "torture",
	})
	if err != nil {
		return err
	}
	return errors.Join(p.Tell("%s", d.URL()), d.Serve(ctx))
}
