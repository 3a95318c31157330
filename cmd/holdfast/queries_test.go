package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
)

// counting opens a database in this process, runs a few statements and waits
// until its socket answers.
func counting(t *testing.T, path string) *holdfast.DB {
	t.Helper()
	db, err := holdfast.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	for range 3 {
		if _, err := db.Exec("CREATE TABLE IF NOT EXISTS t(a, b)"); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec("INSERT INTO t VALUES ('canary', ?)", "canary"); err != nil {
			t.Fatal(err)
		}
		if err := db.QueryRow("SELECT count(*) FROM t WHERE a = 'canary'").Scan(new(int)); err != nil {
			t.Fatal(err)
		}
	}
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); <-time.After(10 * time.Millisecond) {
		told, _, err := holdfast.AskQueries(t.Context(), path, false)
		switch {
		case err != nil:
			t.Fatal(err)
		case len(told) > 0:
			return db
		}
	}
	t.Skip("there are no control sockets here")
	return nil
}

func TestQueries(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	if code, out := ended(t, "queries", path); code != 66 || !strings.Contains(out, "app.db") {
		t.Errorf("a missing file: exit code %d: %s", code, out)
	}
	counting(t, path)
	code, out := ended(t, "queries", path, "--json", "--sort", "calls", "--limit", "2", "--reset")
	if code != 0 || strings.Contains(out, "canary") {
		t.Fatalf("exit code %d: %s", code, out)
	}
	var answer struct {
		Schema     string
		Sort       string
		Statements int
		Queries    []struct {
			Statement string
			Calls     int
			Rows      int
			VMSteps   int     `json:"vm_steps"`
			Total     float64 `json:"total_seconds"`
			Plan      struct{ Lines []string }
			CallSites []struct{ Site string } `json:"call_sites"`
		}
		Processes []struct {
			PID    int
			Report struct{ Queries []struct{ Calls int } }
		}
	}
	if err := json.Unmarshal([]byte(out), &answer); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if answer.Schema != "holdfast.queries/v1" || answer.Sort != "calls" || answer.Statements != 3 || len(answer.Queries) != 2 || len(answer.Processes) != 1 || len(answer.Processes[0].Report.Queries) != 2 {
		t.Fatalf("%+v", answer)
	}
	for _, q := range answer.Queries {
		if q.Calls != 3 || q.Total <= 0 || len(q.CallSites) != 1 || !strings.HasPrefix(q.CallSites[0].Site, "queries_test.go:") {
			t.Errorf("%+v", q)
		}
		if strings.HasPrefix(q.Statement, "SELECT") && (q.Rows != 3 || q.VMSteps == 0 || fmt.Sprint(q.Plan.Lines) != "[SCAN t]") {
			t.Errorf("%+v", q)
		}
	}
	code, out = ended(t, "queries", path)
	if code != 0 || !strings.Contains(out, "0 of 0 statements, by time") || !strings.Contains(out, "(pid ") {
		t.Errorf("after a reset: exit code %d: %s", code, out)
	}
}

func TestQueriesForPeople(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	counting(t, path)
	code, out := ended(t, "queries", path, "--ascii")
	for _, want := range []string{"calls", "steps", "SELECT count(*) FROM t WHERE a = ?", "INSERT INTO t VALUES (?)", "3 of 3 statements, by time", "9 calls of these"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("exit code %d, no %q: %s", code, want, out)
		}
	}
	if code, out := ended(t, "queries", path, "--sort", "size"); code != 64 || !strings.Contains(out, "by time, calls") {
		t.Errorf("exit code %d: %s", code, out)
	}
}

func TestQueriesOfNobody(t *testing.T) {
	t.Parallel()
	path, _ := strangers(t, "CREATE TABLE t(a)")
	if code, out := ended(t, "queries", path); code != 69 || !strings.Contains(out, "no program that runs Holdfast") {
		t.Errorf("exit code %d: %s", code, out)
	}
}
