//go:build linux || darwin

package holdfast_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/internal/control"
)

// ask asks this process by its socket, which comes a moment after Open.
func ask(t *testing.T, db *holdfast.DB, request control.Request) control.Answer {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		answers, _ := control.Ask(t.Context(), db.Path(), request)
		if len(answers) == 1 && answers[0].PID == os.Getpid() {
			return answers[0]
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v", answers)
		}
		<-time.After(time.Millisecond)
	}
}

// What is told is what Locks and Stats tell, and the statements that were run;
// no value is in it, of a parameter or of the text.
func TestControlSocket(t *testing.T) {
	t.Parallel()
	const canary = "canary9172"
	db := open(t)
	must(t, db, "CREATE TABLE t(a, b)")
	must(t, db, "INSERT INTO t VALUES (?, '"+canary+"')", canary)
	must(t, db, "INSERT INTO t VALUES (91729172, x'91729172')")
	if _, err := db.Batch(t.Context(), []holdfast.Statement{{SQL: "UPDATE t SET b = ?", Args: []any{canary}}}); err != nil {
		t.Fatal(err)
	}
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := tx.Exec("DELETE FROM t WHERE a = '"+canary+"' OR b = ?", canary); err != nil {
		t.Fatal(err)
	}
	read, err := db.BeginTx(t.Context(), readOnly)
	if err != nil {
		t.Fatal(err)
	}
	defer read.Rollback()
	var n int
	if err := read.QueryRow("SELECT count(*) FROM t WHERE a = '" + canary + "'").Scan(&n); err != nil {
		t.Fatal(err)
	}
	waited := make(chan error, 1)
	waiting, give := context.WithCancel(t.Context())
	go func() {
		_, err := db.ExecContext(waiting, "UPDATE t SET a = '"+canary+"' WHERE b = ?", canary)
		waited <- err
	}()
	for db.Stats().Writer.Queued == 0 {
		<-time.After(time.Millisecond)
	}

	locks := ask(t, db, control.RequestLocks).Locks
	if len(locks.Holders) != 2 || len(locks.Waiters) != 1 || locks.Queued != 1 {
		t.Fatalf("%+v", locks)
	}
	for i, want := range []control.Holder{
		{Kind: "write transaction", Lock: "WAL_WRITE", Statement: "DELETE FROM t WHERE a = ? OR b = ?"},
		{Kind: "read transaction", Lock: "WAL_READ", Statement: "SELECT count(*) FROM t WHERE a = ?"},
	} {
		h := locks.Holders[i]
		if h.Kind != want.Kind || h.Lock != want.Lock || h.Statement != want.Statement || !strings.HasPrefix(h.CallSite, "control_test.go:") || h.Since.IsZero() {
			t.Errorf("%+v, want %+v", h, want)
		}
	}
	if w := locks.Waiters[0]; w.Statement != "UPDATE t SET a = ? WHERE b = ?" {
		t.Errorf("%+v", w)
	}
	var stats holdfast.Stats
	if err := json.Unmarshal(ask(t, db, control.RequestStats).Stats, &stats); err != nil || stats.Writer.Queued != 1 || stats.Sessions < 3 {
		t.Errorf("%+v, %v", stats, err)
	}
	statements := ask(t, db, control.RequestStatements).Statements
	for _, want := range []control.Statement{
		{Text: "INSERT INTO t VALUES (?)", Writes: true},
		{Text: "UPDATE t SET b = ?", Writes: true},
		{Text: "SELECT count(*) FROM t WHERE a = ?"},
	} {
		if !slices.Contains(statements, want) {
			t.Errorf("%+v is not among %+v", want, statements)
		}
	}
	told, silent, err := holdfast.AskHealth(t.Context(), db.Path())
	if len(told) != 1 || len(silent) != 0 || err != nil {
		t.Fatalf("%+v, %q, %v", told, silent, err)
	}
	if h := told[0].Health; told[0].PID != os.Getpid() || !h.DatabaseAccessible || h.Writer.Queued != 1 || h.Writer.Holder == nil || h.OldestReader == nil || h.ConnectionStats.SuccessfulOperations == 0 {
		t.Errorf("%+v", h)
	}
	for _, request := range []string{"locks\n", "stats\n", "statements\n", "health\n"} {
		if answer := raw(t, db.Path(), request); !strings.Contains(answer, control.Schema) || strings.Contains(answer, canary) || strings.Contains(answer, "91729172") {
			t.Errorf("%q is answered %s", request, answer)
		}
	}
	give()
	if err := <-waited; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// raw is an answer as it comes.
func raw(t *testing.T, path, request string) string {
	t.Helper()
	c, err := net.Dial("unix", control.Name(path, 0))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(request)); err != nil {
		t.Fatal(err)
	}
	answer := new(strings.Builder)
	buffer := make([]byte, 64<<10)
	for {
		n, err := c.Read(buffer)
		answer.Write(buffer[:n])
		if err != nil {
			return answer.String()
		}
	}
}

// The socket ends with the last handle.
func TestControlSocketEnds(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	first, second := openAt(t, path), openAt(t, path)
	ask(t, first, control.RequestStats)
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	ask(t, second, control.RequestStats)
	var result string
	if err := second.QueryRow("PRAGMA integrity_check").Scan(&result); err != nil || result != "ok" {
		t.Errorf("integrity_check: %s, %v", result, err)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	if left, err := filepath.Glob(path + "*.sock"); len(left) != 0 {
		t.Errorf("%q is left, %v", left, err)
	}
}

// Where there can be no socket, Open goes on without.
func TestWithoutControlSocket(t *testing.T) {
	t.Parallel()
	existing := filepath.Join(t.TempDir(), "app.db")
	db, err := holdfast.Open(t.Context(), existing)
	if err != nil {
		t.Fatal(err)
	}
	must(t, db, "CREATE TABLE t(a)")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		path    string
		options []holdfast.Option
		said    string // at debug level, of why
	}{
		"off":       {existing, []holdfast.Option{holdfast.WithoutControlSocket()}, ""},
		"read-only": {existing, []holdfast.Option{holdfast.WithReadOnly()}, "the database is open for reading only"},
		"memory":    {":memory:", nil, "the database is in memory"},
	} {
		log := new(lockedBuffer)
		db, err := holdfast.Open(t.Context(), c.path, append(c.options, holdfast.WithLogger(slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))))...)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		later := open(t) // by the time that it has a socket, db would have one
		ask(t, later, control.RequestStats)
		if _, err := os.Lstat(control.Name(existing, 0)); !os.IsNotExist(err) {
			t.Errorf("%s: there is a socket, %v", name, err)
		}
		if got := log.String(); c.said != "" && !strings.Contains(got, c.said) || c.said == "" && strings.Contains(got, "control socket") {
			t.Errorf("%s: it says %q", name, got)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A directory in the socket's place, and its like, are no reason either.
func TestControlSocketPlaceTaken(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	if err := os.Mkdir(control.Name(path, 0), 0o700); err != nil {
		t.Fatal(err)
	}
	db := openAt(t, path)
	ask(t, db, control.RequestStats)
	if info, err := os.Lstat(control.Name(path, 1)); err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("%v, %v", info, err)
	}
}
