package holdfast_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
)

// TestNestedQueriesDoNotStarve: each goroutine keeps a long result open while
// it queries and writes, so all of them hold a reader and want another.
func TestNestedQueriesDoNotStarve(t *testing.T) {
	t.Parallel()
	const goroutines = 48
	db := open(t, holdfast.WithReaders(4))
	must(t, db, "CREATE TABLE t(id INTEGER PRIMARY KEY, a)")
	must(t, db, "INSERT INTO t(a) "+series(300, "0"))
	must(t, db, "CREATE TABLE log(g, id)")
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			rows, err := db.Query("SELECT id FROM t ORDER BY id")
			if err != nil {
				t.Error(err)
				return
			}
			defer rows.Close()
			for n := 0; rows.Next(); n++ {
				if n%50 != 0 {
					continue
				}
				var id, a int64
				if err := rows.Scan(&id); err != nil {
					t.Error(err)
					return
				}
				if err := db.QueryRow("SELECT a FROM t WHERE id = ?", id).Scan(&a); err != nil {
					t.Error(err)
					return
				}
				if _, err := db.Exec("INSERT INTO log VALUES (?, ?)", g, id); err != nil {
					t.Error(err)
					return
				}
			}
			if err := rows.Err(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := number(t, db, "SELECT count(*) FROM log"); n != goroutines*6 {
		t.Errorf("%d rows in the log, want %d", n, goroutines*6)
	}
	s := db.Stats().Readers
	t.Logf("%+v", s)
	if s.Beyond == 0 || s.Open > s.Max {
		t.Errorf("readers: %+v", s)
	}
}

func TestContextEndsTheWaitForTheWriter(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db, "CREATE TABLE t(a)")
	held, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	must(t, held, "INSERT INTO t VALUES (1)")
	waits := map[string]func(context.Context) error{
		"exec": func(c context.Context) error { _, err := db.ExecContext(c, "INSERT INTO t VALUES (2)"); return err },
		"begin": func(c context.Context) error {
			tx, err := db.BeginTx(c, nil)
			if err != nil {
				return err
			}
			return tx.Rollback()
		},
		"batch": func(c context.Context) error {
			_, err := db.Batch(c, []holdfast.Statement{{SQL: "DELETE FROM t"}})
			return err
		},
		"update": func(c context.Context) error { return db.Update(c, func(*sql.Tx) error { return nil }) },
		"vacuum": func(c context.Context) error { _, err := db.ExecContext(c, "VACUUM"); return err },
	}
	for name, wait := range waits {
		c, cancel := context.WithTimeout(ctx(), 50*time.Millisecond)
		if err := wait(c); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
	}
	if err := held.Commit(); err != nil {
		t.Fatal(err)
	}
	for name, wait := range waits {
		if err := wait(ctx()); err != nil {
			t.Errorf("%s afterwards: %v", name, err)
		}
	}
}

func TestBusyNamesTheHolder(t *testing.T) {
	t.Parallel()
	db := open(t, holdfast.WithBusyTimeout(20*time.Millisecond))
	must(t, db, "CREATE TABLE t(a)")
	held, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	must(t, held, "INSERT INTO t VALUES (12345)")
	_, err = db.Exec("INSERT INTO t VALUES (2)")
	var e *holdfast.Error
	if !errors.Is(err, holdfast.ErrBusy) || !errors.As(err, &e) {
		t.Fatalf("got %v", err)
	}
	if e.Code != 5 || e.Holder == nil || !strings.Contains(e.Holder.CallSite, "concurrency_test.go") || e.Holder.SQL != "INSERT INTO t VALUES (?)" {
		t.Errorf("got %+v with holder %+v", e, e.Holder)
	}
	if strings.Contains(err.Error(), "12345") {
		t.Errorf("the error shows a value: %v", err)
	}
	if err := held.Rollback(); err != nil {
		t.Fatal(err)
	}
	must(t, db, "INSERT INTO t VALUES (3)")
}

func TestCancelledStatementLeavesTheConnectionUsable(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db, "CREATE TABLE t(a)")
	endless := "WITH RECURSIVE s(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM s) SELECT count(*) FROM s"
	for name, run := range map[string]func(context.Context) error{
		"read":  func(c context.Context) error { var n int; return db.QueryRowContext(c, endless).Scan(&n) },
		"write": func(c context.Context) error { _, err := db.ExecContext(c, "INSERT INTO t "+endless); return err },
		"tx": func(c context.Context) error {
			return db.Update(ctx(), func(tx *sql.Tx) error {
				if _, err := tx.Exec("INSERT INTO t VALUES (7)"); err != nil {
					return err
				}
				_, err := tx.ExecContext(c, "INSERT INTO t "+endless)
				if err == nil {
					return nil
				}
				// The transaction is gone; nothing may run outside of it.
				if _, e := tx.Exec("INSERT INTO t VALUES (8)"); e == nil {
					return fmt.Errorf("a statement ran after the transaction was lost")
				}
				return err
			})
		},
	} {
		c, cancel := context.WithTimeout(ctx(), 30*time.Millisecond)
		if err := run(c); err != context.DeadlineExceeded {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
	}
	if n := number(t, db, "SELECT count(*) FROM t"); n != 0 {
		t.Errorf("%d rows are left of cancelled writes", n)
	}
	must(t, db, "INSERT INTO t VALUES (1)")
}

func TestLeaksAreReportedWithTheirCallSite(t *testing.T) {
	t.Parallel()
	var log lockedBuffer
	seen := make(chan string, 16)
	log.onLine = func(s string) { seen <- s }
	db := open(t, holdfast.WithLogger(slog.New(slog.NewTextHandler(&log, nil))), holdfast.WithLeakThreshold(10*time.Millisecond))
	must(t, db, "CREATE TABLE t(a)")
	must(t, db, "INSERT INTO t "+series(1000, "value"))

	rows, err := db.Query("SELECT a FROM t") // leaked: rows
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	rows.Next()
	tx, err := db.Begin() // leaked: tx
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	c, err := db.Conn(ctx()) // leaked: conn
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()

	want := map[string]bool{"kind=rows": true, `kind="write transaction"`: true, "kind=connection": true}
	for len(want) > 0 {
		line := <-seen
		for kind := range want {
			if strings.Contains(line, kind) && strings.Contains(line, "concurrency_test.go:") {
				delete(want, kind)
			}
		}
	}
	if n := db.Stats().Leaks; n < 3 {
		t.Errorf("Leaks = %d", n)
	}
}

func TestOldLeasesAreEvicted(t *testing.T) {
	t.Parallel()
	db := open(t, holdfast.WithMaxLeaseAge(20*time.Millisecond))
	must(t, db, "CREATE TABLE t(a)")
	must(t, db, "INSERT INTO t "+series(1000, "value"))
	rows, err := db.Query("SELECT a FROM t")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	must(t, tx, "INSERT INTO t VALUES (-1)")
	must(t, db, "INSERT INTO t VALUES (-2)") // gets the writer once the transaction was evicted
	if _, err := tx.Exec("INSERT INTO t VALUES (-3)"); !errors.Is(err, holdfast.ErrEvicted) {
		t.Errorf("statement: %v", err)
	}
	if err := tx.Commit(); !errors.Is(err, holdfast.ErrEvicted) {
		t.Errorf("commit: %v", err)
	}
	for db.Stats().Evictions < 2 {
		must(t, db, "INSERT INTO t VALUES (-2)")
	}
	for rows.Next() { // the rows read ahead, then the end
	}
	if err := rows.Err(); !errors.Is(err, holdfast.ErrEvicted) {
		t.Errorf("rows: %v", err)
	}
	if n := number(t, db, "SELECT count(*) FROM t WHERE a IN (-1, -3)"); n != 0 {
		t.Errorf("%d rows of the evicted transaction", n)
	}
}

func TestPanicInUpdateRollsBack(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db, "CREATE TABLE t(a)")
	func() {
		defer func() {
			if recover() != "boom" {
				t.Error("the panic did not go on")
			}
		}()
		_ = db.Update(ctx(), func(tx *sql.Tx) error {
			must(t, tx, "INSERT INTO t VALUES (1)")
			panic("boom")
		})
	}()
	must(t, db, "INSERT INTO t VALUES (2)")
	if n := number(t, db, "SELECT count(*) FROM t"); n != 1 {
		t.Errorf("%d rows", n)
	}
}

func TestHighPriorityOvertakes(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db, "CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT, who TEXT)")
	held, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	write := func(c context.Context, who string) {
		wg.Go(func() {
			if _, err := db.ExecContext(c, "INSERT INTO t(who) VALUES (?)", who); err != nil {
				t.Error(err)
			}
		})
	}
	for range 50 {
		write(holdfast.WithPriority(ctx(), holdfast.Low), "low")
	}
	for db.Stats().Writer.Queued < 50 {
		runtime.Gosched()
	}
	write(holdfast.WithPriority(ctx(), holdfast.High), "high")
	for db.Stats().Writer.Queued < 51 {
		runtime.Gosched()
	}
	if err := held.Commit(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if who := text(t, db, "SELECT who FROM t ORDER BY id LIMIT 1"); who != "high" {
		t.Errorf("%s went first", who)
	}
}

// lockedBuffer is a log that can be read while it is written.
type lockedBuffer struct {
	mu     sync.Mutex
	b      bytes.Buffer
	onLine func(string)
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.onLine != nil {
		l.onLine(string(p))
	}
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestBusyTimeoutOfTheSession: PRAGMA busy_timeout is the session's budget for
// the write queue too.
func TestBusyTimeoutOfTheSession(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db, "CREATE TABLE t(a)")
	c := conn(t, db)
	must(t, c, "PRAGMA busy_timeout=0")
	held, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.ExecContext(ctx(), "INSERT INTO t VALUES (1)"); !errors.Is(err, holdfast.ErrBusy) {
		t.Errorf("exec: %v", err)
	}
	if _, err := c.BeginTx(ctx(), nil); !errors.Is(err, holdfast.ErrBusy) {
		t.Errorf("begin: %v", err)
	}
	if err := held.Commit(); err != nil {
		t.Fatal(err)
	}
	must(t, c, "INSERT INTO t VALUES (1)")
}
