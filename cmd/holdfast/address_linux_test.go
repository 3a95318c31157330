package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/exitcode"
)

// The verbs that take an address, against a daemon, which speaks as a node of a cluster does.
func TestAddress(t *testing.T) {
	t.Parallel()
	const token = "0123456789abcdef"
	url, stop := daemonOf(t, filepath.Join(t.TempDir(), "app.db"), "HOLDFAST_WRITE_TOKEN="+token)
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	address := "rqlite://anybody@" + strings.TrimPrefix(url, "http://") + "?password_file=" + password
	run := func(want int, args ...string) string {
		t.Helper()
		var errs strings.Builder
		cmd := exec.CommandContext(t.Context(), "holdfast", args...)
		cmd.Stderr = &errs
		out, _ := cmd.Output()
		if code := cmd.ProcessState.ExitCode(); code != want {
			t.Errorf("%q: exit code %d, not %d: %s%s", args, code, want, out, &errs)
		}
		if strings.Contains(string(out)+errs.String(), token) {
			t.Errorf("%q shows the password", args)
		}
		return string(out) + errs.String()
	}
	contains := func(text string, wants ...string) {
		t.Helper()
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Errorf("%q is not in %s", want, text)
			}
		}
	}
	contains(run(0, "exec", address, "CREATE TABLE t(id INTEGER PRIMARY KEY, returning_a UNIQUE)", "--json"), `"outcome":"committed"`)
	contains(run(0, "exec", address, "INSERT INTO t(returning_a) VALUES (?), (?)", "x", "y", "--json"), `"rows_affected":2`, `"last_insert_id":2`)
	contains(run(0, "exec", address, "INSERT INTO t(returning_a) VALUES ('z') RETURNING id", "--json"), `"rows_affected":1`, `"rows":[[3]]`)
	contains(run(exitcode.Failed, "exec", address, "INSERT INTO t(returning_a) VALUES (?)", "x", "--json"), `"outcome":"rolled_back"`, "UNIQUE constraint failed")
	contains(run(0, "exec", address, "DELETE FROM t WHERE id = 1; UPDATE t SET returning_a = 'w' WHERE id = 3", "--json"), `"rows_affected":2`, `"results":[`)
	contains(run(exitcode.Usage, "exec", address, "BEGIN"), "leave BEGIN out")
	contains(run(exitcode.Usage, "exec", address, "ATTACH 'x' AS x"), "ATTACH")
	contains(run(0, "query", address, "SELECT * FROM t ORDER BY id", "-o", "csv"), "id,returning_a\n2,y\n3,w\n")
	contains(run(exitcode.Usage, "query", address, "DELETE FROM t"), "holdfast exec")
	contains(run(exitcode.Failed, "query", address, "SELECT * FROM missing"), "no such table: missing")
	contains(run(exitcode.Usage, "query", address, "SELECT ?", "1", "2"), "takes 1 argument")
	contains(run(0, "health", address), "ok: rqlite://127.0.0.1:", "leader")
	var health struct {
		Status  string
		Cluster struct {
			Ready bool
			Nodes []struct{ Reachable bool }
		}
	}
	if err := json.Unmarshal([]byte(run(0, "health", address, "--json")), &health); err != nil || health.Status != "ok" || !health.Cluster.Ready || len(health.Cluster.Nodes) != 1 {
		t.Errorf("%+v (%v)", health, err)
	}
	contains(run(exitcode.Usage, "health", address, "--deep"), "holdfast backup")
	for _, verb := range []string{"shell", "doctor", "locks", "optimize", "verify", "dash", "top"} {
		contains(run(exitcode.Usage, verb, address), "works on a database that is a file")
	}
	contains(run(exitcode.Usage, "backup", address, t.TempDir(), "--every", "1h"), "timer")
	if err := stop(); err != nil {
		t.Error(err)
	}
	contains(run(2, "health", address), "critical")
	if out := run(exitcode.Busy, "query", address, "SELECT 1", "--timeout", "1s"); !strings.Contains(out, "1s") && !strings.Contains(out, "node") {
		t.Error(out)
	}
}
