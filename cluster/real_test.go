package cluster_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
)

// real is three machines of the real engine, as processes of this one.
type real struct {
	tb         testing.TB
	bin        string
	dir        string
	http       []string
	raft       []string
	running    []*exec.Cmd
	namespaces []string // of the network, one each; none is this one's
}

// rqlited is the engine's program. Tests that need it are skipped where there is none.
func rqlited(tb testing.TB) string {
	tb.Helper()
	bin := os.Getenv("RQLITED_BIN")
	if bin == "" {
		bin, _ = exec.LookPath("rqlited")
	}
	if bin == "" {
		tb.Skip("SKIPPED: no real cluster: rqlited is not on PATH, and RQLITED_BIN names none")
	}
	return bin
}

func startReal(tb testing.TB) *real {
	tb.Helper()
	r := &real{tb: tb, bin: rqlited(tb), dir: tb.TempDir(), running: make([]*exec.Cmd, 3)}
	for range 3 {
		r.http, r.raft = append(r.http, freeAddress(tb)), append(r.raft, freeAddress(tb))
	}
	tb.Cleanup(func() {
		for i := range r.running {
			r.kill(i)
		}
	})
	r.begin()
	return r
}

func (r *real) begin() {
	r.tb.Helper()
	for i := range r.running {
		r.start(i)
	}
	for i := range r.running {
		r.until(i, "/readyz", func(status int, _ []byte) bool { return status == http.StatusOK })
	}
	r.until(0, "/nodes?ver=2", func(_ int, body []byte) bool { return strings.Count(string(body), `"reachable":true`) == 3 })
	version, err := exec.CommandContext(r.tb.Context(), r.bin, "-version").CombinedOutput()
	if err != nil {
		r.tb.Fatal(err)
	}
	r.tb.Logf("%s", version)
}

func freeAddress(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (r *real) start(i int) {
	r.tb.Helper()
	args := []string{"-fk", "-node-id", fmt.Sprintf("n%d", i+1), "-http-addr", r.http[i], "-raft-addr", r.raft[i], "-bootstrap-expect", "3", "-join", strings.Join(r.raft, ",")}
	args = append(args, filepath.Join(r.dir, fmt.Sprintf("n%d", i+1)))
	cmd := exec.Command(r.bin, args...)
	if r.namespaces != nil {
		cmd = exec.Command("ip", append([]string{"netns", "exec", r.namespaces[i], r.bin}, args...)...)
	}
	if err := cmd.Start(); err != nil {
		r.tb.Fatal(err)
	}
	r.running[i] = cmd
}

func (r *real) kill(i int) {
	if cmd := r.running[i]; cmd != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		r.running[i] = nil
	}
}

func (r *real) get(i int, path string) (int, []byte) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.http[i]+path, nil)
	if err != nil {
		r.tb.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil
	}
	return resp.StatusCode, body
}

// until polls another process, which nothing can notify of.
func (r *real) until(i int, path string, ok func(int, []byte) bool) {
	r.tb.Helper()
	for end := time.Now().Add(time.Minute); ; {
		if ok(r.get(i, path)) {
			return
		}
		if time.Now().After(end) {
			r.tb.Fatalf("machine %d is not ready after a minute", i+1)
		}
		<-time.After(50 * time.Millisecond)
	}
}

// leader is who leads, as a machine that runs says; -1 if none knows.
func (r *real) leader() int {
	for i := range r.running {
		if r.running[i] == nil {
			continue
		}
		var answer struct {
			Nodes []struct {
				ID                string
				Leader, Reachable bool
			}
		}
		_, body := r.get(i, "/nodes?ver=2&timeout=500ms")
		if json.Unmarshal(body, &answer) != nil {
			continue
		}
		for _, n := range answer.Nodes {
			if n.Leader && n.Reachable {
				return int(n.ID[1] - '1')
			}
		}
	}
	return -1
}

func (r *real) waitLeader() int {
	r.tb.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		if i := r.leader(); i >= 0 {
			return i
		}
		<-time.After(20 * time.Millisecond)
	}
	r.tb.Fatal("nobody leads")
	return -1
}

func (r *real) post(i int, path, body string) string {
	r.tb.Helper()
	req, err := http.NewRequestWithContext(r.tb.Context(), http.MethodPost, "http://"+r.http[i]+path, strings.NewReader(body))
	if err != nil {
		r.tb.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		r.tb.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		r.tb.Fatal(err)
	}
	return string(answer)
}

func (r *real) open(parameters string) *holdfast.DB {
	r.tb.Helper()
	db, err := holdfast.Open(context.Background(), "rqlite://"+strings.Join(r.http, ",")+parameters)
	if err != nil {
		r.tb.Fatal(err)
	}
	r.tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			r.tb.Error(err)
		}
	})
	return db
}

// What the fault server does, and what this package believes of the engine, against the engine.
func TestRealEngine(t *testing.T) {
	r := startReal(t)
	db := r.open("?level=linearizable")
	t.Run("values", func(t *testing.T) { values(t, db) })
	t.Run("batches", func(t *testing.T) { batches(t, db) })
	t.Run("errors", func(t *testing.T) { realErrors(t, db) })
	t.Run("backup and restore", func(t *testing.T) { backupAndRestore(t, db) })
	t.Run("health", func(t *testing.T) {
		h, err := db.Health(t.Context())
		if err != nil || h.Status != "ok" || !h.Cluster.Ready || len(h.Cluster.Nodes) != 3 || h.Cluster.Leader == "" {
			t.Errorf("%+v, %+v, %v", h.Cluster, h.Findings, err)
		}
	})
	t.Run("texts", func(t *testing.T) {
		leader := r.leader()
		follower := (leader + 1) % 3
		for _, c := range []struct {
			node             int
			path, body, want string
		}{
			{leader, "/db/execute?transaction&redirect", `["PRAGMA wal_checkpoint(TRUNCATE)"]`, `{"results":[],"error":"disallowed pragma"}`},
			{follower, "/db/execute?transaction&redirect", `["CREATE TABLE never(a)"]`, "Moved Permanently"},
			{leader, "/db/execute?transaction", `["BEGIN"]`, "cannot start a transaction within a transaction"},
		} {
			if c.path == "/db/execute?transaction&redirect" && c.node == follower {
				client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+r.http[c.node]+c.path, strings.NewReader(c.body))
				if err != nil {
					t.Fatal(err)
				}
				resp, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				_ = resp.Body.Close()
				if resp.StatusCode != http.StatusMovedPermanently || !strings.Contains(resp.Header.Get("Location"), r.http[leader]) {
					t.Errorf("a follower answers %d, %s", resp.StatusCode, resp.Header.Get("Location"))
				}
				continue
			}
			if got := r.post(c.node, c.path, c.body); !strings.Contains(got, c.want) {
				t.Errorf("%s: %s", c.body, got)
			}
		}
	})
	t.Run("somebody's BEGIN", func(t *testing.T) {
		leader := r.leader()
		if got := r.post(leader, "/db/execute", `["BEGIN"]`); got != `{"results":[{}]}` && !strings.Contains(got, "last_insert_id") {
			t.Fatal(got)
		}
		_, err := db.Exec("INSERT INTO account VALUES(99, 1)")
		if holdfast.OutcomeOf(err) != holdfast.RolledBack || !strings.Contains(fmt.Sprint(err), "BEGIN") {
			t.Errorf("%v", err)
		}
		r.post(leader, "/db/execute", `["ROLLBACK"]`)
		run(t, db, "INSERT INTO account VALUES(99, 1)")
	})
}

// realErrors are the errors whose text has to be known.
func realErrors(t *testing.T, db *holdfast.DB) {
	run(t, db, "CREATE TABLE parent(id INTEGER PRIMARY KEY)")
	run(t, db, "CREATE TABLE e(id INTEGER PRIMARY KEY, u TEXT UNIQUE, n TEXT NOT NULL DEFAULT '', c INTEGER CHECK (c > 0), p INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED)")
	run(t, db, "INSERT INTO e(id, u) VALUES(1, 'a')")
	for sql, code := range map[string]int{
		"INSERT INTO e(id) VALUES(1)":         2067,
		"INSERT INTO e(u) VALUES('a')":        2067,
		"INSERT INTO e(n) VALUES(NULL)":       1299,
		"INSERT INTO e(c) VALUES(0)":          275,
		"INSERT INTO e(p) VALUES(1)":          787, // at COMMIT
		"INSERT INTO nowhere VALUES(1)":       1,
		"INSERT INTO e(id) VALUES('a')":       20,
		"INSERT INTO e(u) SELECT json('no!')": 1,
	} {
		_, err := db.Exec(sql)
		if holdfast.OutcomeOf(err) != holdfast.RolledBack || extendedOf(err) != code {
			t.Errorf("%s: %d, %v", sql, extendedOf(err), err)
		}
	}
	if _, err := db.Query("SELECT * FROM nowhere"); err == nil {
		t.Error("no such table")
	}
	var n int
	if err := db.QueryRow("SELECT count(*) FROM e").Scan(&n); err != nil || n != 1 {
		t.Errorf("%d rows, %v", n, err)
	}
}
