package holdfast_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"log/slog"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
)

// Every way to write through the handle inside of Update is a deadlock, and
// named with both places.
func TestWriteInsideUpdateIsSelfDeadlock(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db, "CREATE TABLE t(a)")
	other := openAt(t, db.Path()) // another handle, the same writer
	nothing := func(*sql.Tx) error { return nil }
	writes := map[string]func() error{
		"exec":         func() error { _, err := db.Exec("INSERT INTO t VALUES (1)"); return err },
		"returning":    func() error { return db.QueryRow("INSERT INTO t VALUES (1) RETURNING a").Scan(new(int)) },
		"begin":        func() error { _, err := db.Begin(); return err },
		"batch":        func() error { _, err := db.Batch(ctx(), []holdfast.Statement{{SQL: "DELETE FROM t"}}); return err },
		"update":       func() error { return db.Update(ctx(), nothing) },
		"other handle": func() error { return other.Update(ctx(), nothing) },
		"vacuum":       func() error { _, err := db.Exec("VACUUM"); return err },
		"with context": func() error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, err := db.ExecContext(ctx, "INSERT INTO t VALUES (1)")
			return err
		},
	}
	for name, write := range writes {
		for kind, options := range map[string][]holdfast.TxOption{"": nil, "optimistic ": {holdfast.Optimistic()}} {
			start := time.Now()
			err := db.Update(ctx(), func(tx *sql.Tx) error {
				number(t, db, "SELECT count(*) FROM t") // reading is no problem
				must(t, tx, "INSERT INTO t VALUES (2)")
				return write()
			}, options...)
			var e *holdfast.Error
			if !errors.Is(err, holdfast.ErrSelfDeadlock) || !errors.As(err, &e) || strings.Count(err.Error(), "locks_test.go:") != 2 || e.Holder == nil {
				t.Errorf("%s%s: %v", kind, name, err)
			}
			if d := time.Since(start); d > 5*time.Second {
				t.Errorf("%s%s took %v", kind, name, d)
			}
		}
	}
	// A caller who goes on after the error still has a whole transaction.
	err := db.Update(ctx(), func(tx *sql.Tx) error {
		if err := writes["exec"](); !errors.Is(err, holdfast.ErrSelfDeadlock) {
			t.Error(err)
		}
		_, err := tx.Exec("INSERT INTO t VALUES (3)")
		return err
	})
	if n := number(t, db, "SELECT count(*) FROM t"); err != nil || n != 1 {
		t.Errorf("%d rows, %v", n, err)
	}
}

// A wait that is over before anybody looks around still tells whose fault it is.
func TestSelfDeadlockWithoutPatience(t *testing.T) {
	t.Parallel()
	for _, budget := range []time.Duration{0, time.Millisecond} {
		db := open(t, holdfast.WithBusyTimeout(budget))
		must(t, db, "CREATE TABLE t(a)")
		err := db.Update(ctx(), func(*sql.Tx) error { _, err := db.Exec("DELETE FROM t"); return err })
		if !errors.Is(err, holdfast.ErrSelfDeadlock) {
			t.Errorf("%v: %v", budget, err)
		}
	}
}

// Whoever waits for another goroutine waits, however long, and also if it is
// inside an Update of another database.
func TestWaitingForOthersIsNoSelfDeadlock(t *testing.T) {
	t.Parallel()
	db, second := open(t), open(t)
	must(t, db, "CREATE TABLE t(a)")
	var wg sync.WaitGroup
	err := db.Update(ctx(), func(tx *sql.Tx) error {
		wg.Go(func() { // started by the function, and not waited for by it
			if _, err := db.Exec("INSERT INTO t VALUES (3)"); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			err := second.Update(ctx(), func(*sql.Tx) error {
				_, err := db.Exec("INSERT INTO t VALUES (4)")
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
		looked := func() (n int) {
			report, err := db.Locks(ctx())
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range report.Waiters {
				if w.CallSite != "" { // it has looked around
					n++
				}
			}
			return n
		}
		for looked() < 2 {
			runtime.Gosched()
		}
		_, err := tx.Exec("INSERT INTO t VALUES (5)")
		return err
	})
	wg.Wait()
	if n := number(t, db, "SELECT count(*) FROM t"); err != nil || n != 3 {
		t.Errorf("%d rows, %v", n, err)
	}
}

func locksOf(t *testing.T, db *holdfast.DB) holdfast.LockReport {
	t.Helper()
	r, err := db.Locks(ctx())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "

func TestLocksNamesHoldersAndWaiters(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db, "CREATE TABLE t(a)")
	if r := locksOf(t, db); len(r.Holders) != 0 || len(r.Waiters) != 0 || r.Queued != 0 || r.OldestReader != nil {
		t.Errorf("%+v", r)
	}
	rows, err := db.Query(endless + "SELECT i, 'secret' FROM n")
	if err != nil {
		t.Fatal(err)
	}
	labelled := pprof.WithLabels(ctx(), pprof.Labels("job", "billing"))
	tx, err := db.BeginTx(labelled, nil)
	if err != nil {
		t.Fatal(err)
	}
	must(t, tx, "INSERT INTO t VALUES ('secret'), (2)")
	must(t, tx, "UPDATE t SET a = 'secret' WHERE a = 2")
	must(t, tx, "DELETE FROM t WHERE a = 3")
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := db.Exec("INSERT INTO t VALUES ('secret')"); err != nil {
			t.Error(err)
		}
	})
	wg.Go(func() {
		if err := db.Update(labelled, func(*sql.Tx) error { return nil }, holdfast.AtPriority(holdfast.High)); err != nil {
			t.Error(err)
		}
	})
	var r holdfast.LockReport
	for r = locksOf(t, db); len(r.Waiters) != 2 || r.Waiters[1].CallSite == ""; r = locksOf(t, db) {
		runtime.Gosched()
	}
	if r.Queued != 2 || len(r.Holders) != 2 || r.OldestReader == nil {
		t.Fatalf("%+v", r)
	}
	write, read := r.Holders[0], r.Holders[1]
	if write.Kind != "write transaction" || write.Lock != "WAL_WRITE" || write.RowsChanged != 3 || write.Labels != "job=billing" ||
		write.FirstStatement != "INSERT INTO t VALUES (?), (?)" || write.Statement != "DELETE FROM t WHERE a = ?" ||
		!strings.HasPrefix(write.CallSite, "locks_test.go:") || write.HeldSeconds <= 0 || write.Since.IsZero() {
		t.Errorf("%+v", write)
	}
	if read.Kind != "rows" || read.Lock != "WAL_READ" || read != *r.OldestReader || !strings.Contains(read.CallSite, "locks_test.go:") {
		t.Errorf("%+v", read)
	}
	if r.WAL.Bytes == 0 || r.WAL.PinnedBy != read.CallSite || r.WAL.PinnedSeconds != read.HeldSeconds {
		t.Errorf("%+v", r.WAL)
	}
	first, second := r.Waiters[0], r.Waiters[1]
	if first.Kind != "write transaction" || first.Priority != "high" || first.Labels != "job=billing" || !strings.HasPrefix(first.CallSite, "locks_test.go:") {
		t.Errorf("%+v", first)
	}
	if second.Kind != "statement" || second.Priority != "normal" || !strings.HasPrefix(second.CallSite, "locks_test.go:") || second.Statement != "INSERT INTO t VALUES (?)" {
		t.Errorf("%+v", second)
	}
	text, err := json.Marshal(r)
	if err != nil || strings.Contains(string(text), "secret") {
		t.Errorf("%s, %v", text, err)
	}
	if err := errors.Join(tx.Rollback(), rows.Close()); err != nil {
		t.Error(err)
	}
	wg.Wait()
}

// A statement outside a transaction has no call site, until somebody asks.
func TestLocksNamesTheStatementThatRuns(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db, "CREATE TABLE t(a)")
	long, stop := context.WithCancel(ctx())
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := db.ExecContext(long, endless+"INSERT INTO t SELECT max(i) FROM n"); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	r := locksOf(t, db)
	for len(r.Holders) == 0 || r.Holders[0].CallSite == "" {
		runtime.Gosched()
		r = locksOf(t, db)
	}
	if h := r.Holders[0]; h.Kind != "statement" || !strings.HasPrefix(h.CallSite, "locks_test.go:") || !strings.Contains(h.Statement, "INSERT INTO t SELECT max(i) FROM n") {
		t.Errorf("%+v", h)
	}
	stop()
	wg.Wait()
}

func TestSlowHoldersAreLogged(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("the clock goes in steps that are longer than these transactions")
	}
	var log lockedBuffer
	seen := make(chan string, 64)
	log.onLine = func(s string) { seen <- s }
	var cfg holdfast.Config
	cfg.Database.Path = filepath.Join(t.TempDir(), "app.db")
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	cfg.Writer.SlowHolder, cfg.ConnectionPool.LeakThreshold = 1, 1
	db, err := holdfast.OpenConfig(ctx(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	closing := sync.OnceValue(db.Close)
	defer func() { _ = closing() }() // its error is looked at below
	must(t, db, "CREATE TABLE t(a)")
	line := func(what string, parts ...string) {
		t.Helper()
		for s := range seen {
			if !strings.Contains(s, "was held for long") {
				continue
			}
			for _, part := range append(parts, "held=", `caller="locks_test.go:`, "path=") {
				if !strings.Contains(s, part) || strings.Contains(s, "secret") {
					t.Errorf("%s: %s lacks %s", what, s, part)
				}
			}
			return
		}
	}
	change := func(tx *sql.Tx) {
		must(t, tx, "INSERT INTO t VALUES ('secret'), ('secret')")
		must(t, tx, "DELETE FROM t WHERE a = 'secret'")
	}
	const statements = `first="INSERT INTO t VALUES (?), (?)" last="DELETE FROM t WHERE a = ?" rows=2`
	if err := db.Update(ctx(), func(tx *sql.Tx) error { change(tx); return nil }); err != nil {
		t.Error(err)
	}
	line("Update", statements, "outcome=committed", `kind="write transaction"`)
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	change(tx)
	if err := tx.Rollback(); err != nil {
		t.Error(err)
	}
	line("Rollback", statements, `outcome="rolled back"`)
	if err := db.View(ctx(), func(tx *sql.Tx) error { number(t, tx, "SELECT 1"); return nil }); err != nil {
		t.Error(err)
	}
	line("View", `first="SELECT ?"`, "outcome=closed", `kind="read transaction"`)
	rows, err := db.Query(endless + "SELECT i, 'secret' FROM n")
	if err != nil {
		t.Fatal(err)
	}
	if err := rows.Close(); err != nil {
		t.Error(err)
	}
	line("Rows", "kind=rows", "outcome=closed")
	for _, err := range db.Rows(ctx(), endless+"SELECT i, 'secret' FROM n") {
		if err != nil {
			t.Fatal(err)
		}
		break
	}
	line("DB.Rows", "kind=rows", "outcome=closed")
	if tx, err = db.Begin(); err != nil {
		t.Fatal(err)
	}
	change(tx)
	if err := closing(); err != nil {
		t.Error(err)
	}
	line("Close", statements, "outcome=evicted")
	if err := tx.Commit(); err == nil {
		t.Error("an evicted transaction was committed")
	}
}

// Two goroutines that take two databases in opposite order: one goes on, the
// other hears of both.
func TestDeadlockOverTwoDatabases(t *testing.T) {
	t.Parallel()
	a, b := open(t), open(t)
	var both, done sync.WaitGroup
	both.Add(2)
	results := make(chan error, 2)
	for _, pair := range [][2]*holdfast.DB{{a, b}, {b, a}} {
		done.Go(func() {
			results <- pair[0].Update(ctx(), func(*sql.Tx) error {
				both.Done()
				both.Wait()
				_, err := pair[1].Exec("CREATE TABLE t(a)")
				return err
			})
		})
	}
	done.Wait()
	first, second := <-results, <-results
	if first == nil {
		first, second = second, first
	}
	if !errors.Is(first, holdfast.ErrSelfDeadlock) || second != nil || strings.Count(first.Error(), "locks_test.go:") != 3 {
		t.Errorf("%v, and %v", first, second)
	}
}
