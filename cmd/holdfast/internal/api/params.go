package api

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// params are what the query of the URL says.
type params struct {
	q string // the SQL of a GET

	timings, pretty, associative, blobArray bool
	transaction, queue                      bool
	timeout                                 time.Duration // 0: none was given
}

// levels of consistency. One node that answers after its COMMIT, from its newest state,
// honours each of them.
var levels = []string{"", "none", "weak", "linearizable", "strong", "auto"}

// parseParams reads the query. Keys without meaning for a single node (redirect, retries,
// wait, noleader, norwrandom, ...) are accepted: what they ask for is so.
func parseParams(r *http.Request) (p params, err error) {
	if r.URL.RawQuery == "" {
		return p, nil
	}
	query := r.URL.Query()
	has := query.Has
	p = params{
		q: query.Get("q"), timings: has("timings"), pretty: has("pretty"), associative: has("associative"),
		blobArray: has("blob_array"), transaction: has("transaction"), queue: has("queue"),
	}
	if !slices.Contains(levels, strings.ToLower(query.Get("level"))) {
		return p, badRequest("level is one of none, weak, linearizable, strong and auto")
	}
	for _, name := range []string{"timeout", "db_timeout", "freshness", "linearizable_timeout"} {
		if !has(name) {
			continue
		}
		d, err := time.ParseDuration(query.Get(name))
		if err != nil || d < 0 {
			return p, badRequest("%s is not a valid duration, such as 2s", name)
		}
		if (name == "timeout" || name == "db_timeout") && d > 0 && (p.timeout == 0 || d < p.timeout) {
			p.timeout = d
		}
	}
	switch {
	case has("freshness_strict") && !has("freshness"):
		err = badRequest("freshness_strict requires freshness")
	case has("raft_index"):
		err = badRequest("raft_index: there is no Raft log; leave it out")
	case has("q") && p.q == "":
		err = badRequest("q is empty: it takes the SQL text")
	}
	return p, err
}

// key is the idempotency key of a request.
func key(r *http.Request) (string, error) {
	k := r.Header.Get("Idempotency-Key")
	if len(k) > maxKey {
		return "", badRequest("the header Idempotency-Key is longer than %d bytes", maxKey)
	}
	return k, nil
}

const maxKey = 256

// contentType of a body, without parameters.
func contentType(r *http.Request) string {
	t, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	return strings.ToLower(strings.TrimSpace(t))
}

var errNoStatements = &httpError{http.StatusBadRequest, fmt.Errorf("no statements: send a JSON array of SQL texts, or of arrays of a text and its parameters")}
