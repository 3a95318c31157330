package session

import (
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/internal/locks"
	"github.com/holdfastdb/holdfast/internal/sqlite"
	"github.com/holdfastdb/holdfast/internal/writer"
)

// reads counts the pages that SQLite reads, and at one of them does something.
type reads struct {
	n    atomic.Int64
	then atomic.Pointer[func()]
}

const (
	readsBefore = 100
	bigPages    = 9000         // of the table big, many times what a connection keeps in memory
	readsAfter  = bigPages / 2 // a third of it was too few beside a load of 20
)

func (r *reads) hook(call *sqlite.FileCall) sqlite.ResultCode {
	if then := r.then.Load(); call.Op == sqlite.FileRead && then != nil {
		switch n := r.n.Add(1); {
		case n == readsBefore:
			(*then)()
		case n > readsBefore:
			runtime.Gosched() // whoever is to interrupt shall get to run
		}
	}
	return call.Forward()
}

// during calls run, and then in the middle of its reads. It returns how many
// pages were read after that.
func (r *reads) during(then, run func()) int64 {
	r.n.Store(0)
	r.then.Store(&then)
	run()
	r.then.Store(nil)
	return r.n.Load() - readsBefore
}

// newDeafBench has a table whose count(*) reads thousands of pages, all in the
// log, one with ten rows, and a table whose trigger counts.
func newDeafBench(t *testing.T) (*bench, *reads) {
	t.Helper()
	r := new(reads)
	vfs, err := sqlite.RegisterVFS(r.hook)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := vfs.Unregister(); err != nil {
			t.Error(err)
		}
	})
	b := newBench(t)
	b.vfs = vfs.Name()
	b.onWriter(func(c *sqlite.Conn) error { return c.WALAutocheckpoint(0) })
	b.numbered(10)
	b.must(b, "CREATE TABLE big(x)")
	b.must(b, "CREATE VIEW sums AS SELECT count(*) AS n FROM big")
	b.must(b, "CREATE TABLE counted(n)")
	b.must(b, "CREATE TRIGGER counts AFTER UPDATE ON t BEGIN INSERT INTO counted SELECT count(*) FROM big; END")
	b.must(b, "WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM s WHERE i < ?) INSERT INTO big SELECT zeroblob(2100) FROM s", bigPages)
	return b, r
}

func (b *bench) onWriter(run func(*sqlite.Conn) error) {
	b.t.Helper()
	if err := b.writer.Do(b.t.Context(), writer.Unit{Run: run}); err != nil {
		b.t.Fatal(err)
	}
}

const (
	countBig   = "SELECT count(*) FROM big"
	countLater = "SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT count(*) FROM big" // behind the rows read ahead
)

// What SQLite does in one instruction, without asking the progress handler, ends
// with its context all the same, wherever it runs.
func TestDeafStatementsEndWithTheirContext(t *testing.T) {
	b, r := newDeafBench(t)
	for _, c := range []struct {
		name string
		run  func(ctx context.Context) error
	}{
		{"QueryRow", func(ctx context.Context) error { return b.count(ctx, b, countBig) }},
		{"view", func(ctx context.Context) error { return b.count(ctx, b, "SELECT n FROM sums") }},
		{"rows behind those read ahead", func(ctx context.Context) error { return b.count(ctx, b, countLater) }},
		{"Exec", func(ctx context.Context) error { return exec(ctx, b, countBig) }},
		{"Read", func(ctx context.Context) error { return b.read(ctx, countBig, false) }},
		{"Read behind its first row", func(ctx context.Context) error { return b.read(ctx, countLater, false) }},
		{"Read on record", func(ctx context.Context) error { return b.read(ctx, countLater, true) }},
		{"INSERT", func(ctx context.Context) error { return exec(ctx, b, "INSERT INTO counted SELECT count(*) FROM big") }},
		{"RETURNING", func(ctx context.Context) error {
			return b.count(ctx, b, "INSERT INTO counted SELECT count(*) FROM big RETURNING n")
		}},
		{"trigger", func(ctx context.Context) error { return exec(ctx, b, "UPDATE t SET v = 1 WHERE id = 1") }},
		{"Batch", func(ctx context.Context) error {
			list := b.engine.NewBatch(2, 0)
			list.Add("INSERT INTO counted VALUES (1)", 0)
			list.Add("INSERT INTO counted SELECT count(*) FROM big", 0)
			_, err := list.Run(ctx, Hooks{})
			if sqlite.Code(err) == sqlite.ResultInterrupt {
				return ctx.Err() // as the root package says it
			}
			return err
		}},
		{"ANALYZE", func(ctx context.Context) error { return exec(ctx, b, "ANALYZE big") }},
		{"read transaction", func(ctx context.Context) error {
			return b.inTx(&sql.TxOptions{ReadOnly: true}, func(tx *sql.Tx) error { return b.count(ctx, tx, countBig) })
		}},
		{"rows of a read transaction", func(ctx context.Context) error {
			return b.inTx(&sql.TxOptions{ReadOnly: true}, func(tx *sql.Tx) error { return b.count(ctx, tx, countLater) })
		}},
		{"write transaction", func(ctx context.Context) error {
			return b.inTx(nil, func(tx *sql.Tx) error { return b.count(ctx, tx, countBig) })
		}},
		{"write in a transaction", func(ctx context.Context) error {
			return b.inTx(nil, func(tx *sql.Tx) error { return exec(ctx, tx, "INSERT INTO counted SELECT count(*) FROM big") })
		}},
		{"pinned session", func(ctx context.Context) error {
			return b.pinned(func(c *sql.Conn) error { return b.count(ctx, c, countBig) })
		}},
		{"rows of a pinned session", func(ctx context.Context) error {
			return b.pinned(func(c *sql.Conn) error { return b.count(ctx, c, countLater) })
		}},
		{"write of a pinned session", func(ctx context.Context) error {
			return b.pinned(func(c *sql.Conn) error { return exec(ctx, c, "INSERT INTO counted SELECT count(*) FROM big") })
		}},
		{"checkpoint", func(ctx context.Context) error { return b.count(ctx, b, "PRAGMA wal_checkpoint") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var err error
			after := r.during(cancel, func() { err = c.run(ctx) })
			if !errors.Is(err, context.Canceled) {
				t.Errorf("error %v, want the context's", err)
			}
			if after < 0 || after > readsAfter {
				t.Errorf("%d pages were read after the context had ended, of %d", after, bigPages)
			}
		})
	}
	if n := b.number(b, "SELECT count(*) FROM counted"); n != 0 {
		t.Errorf("%d rows are there of statements that failed", n)
	}
}

func TestDeafStatementsFromOutsideEnd(t *testing.T) {
	own, r := newDeafBench(t)
	b := newBench(t)
	b.path, b.vfs, b.confine = own.path, own.vfs, true
	for _, query := range []string{countBig, countLater, "SELECT n FROM sums"} {
		ctx, cancel := context.WithCancel(t.Context())
		var err error
		after := r.during(cancel, func() { err = b.read(ctx, query, true) })
		cancel()
		if !errors.Is(err, context.Canceled) || after < 0 || after > readsAfter {
			t.Errorf("%s: %d pages were read after the context had ended, of %d; error %v", query, after, bigPages, err)
		}
	}
}

// An evictor ends them too, although the context lives on.
func TestDeafStatementsAreEvicted(t *testing.T) {
	b, r := newDeafBench(t)
	ctx := t.Context()
	for _, c := range []struct {
		name string
		run  func() error
	}{
		{"read transaction", func() error {
			return b.inTx(&sql.TxOptions{ReadOnly: true}, func(tx *sql.Tx) error { return b.count(ctx, tx, countBig) })
		}},
		{"write transaction", func() error {
			return b.inTx(nil, func(tx *sql.Tx) error { return exec(ctx, tx, "INSERT INTO counted SELECT count(*) FROM big") })
		}},
		{"rows", func() error { return b.count(ctx, b, countLater) }},
		{"Read on record", func() error { return b.read(ctx, countLater, true) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			var err error
			after := r.during(func() { b.evictAll() }, func() { err = c.run() })
			if !errors.Is(err, ErrEvicted) {
				t.Errorf("error %v, want %v", err, ErrEvicted)
			}
			if after < 0 || after > readsAfter {
				t.Errorf("%d pages were read after the eviction, of %d", after, bigPages)
			}
		})
	}
}

type rowsQuerier interface {
	QueryContext(context.Context, string, ...any) (*sql.Rows, error)
}

// count reads all rows of a query.
func (b *bench) count(ctx context.Context, db rowsQuerier, query string) error {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	_, err = drainRows(rows)
	return err
}

func (b *bench) read(ctx context.Context, query string, keep bool) error {
	r, row, err := b.engine.Read(ctx, query, nil)
	if err != nil {
		return err
	}
	defer r.Close()
	if keep {
		r.Keep(locks.Site{})
	}
	for row && err == nil {
		row, err = r.Next()
	}
	return err
}

func (b *bench) inTx(opts *sql.TxOptions, run func(*sql.Tx) error) error {
	tx, err := b.BeginTx(b.t.Context(), opts)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // the failure may have ended it
	return run(tx)
}

func (b *bench) pinned(run func(*sql.Conn) error) error {
	c, err := b.Conn(b.t.Context())
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.ExecContext(b.t.Context(), "PRAGMA cache_spill=0"); err != nil {
		return err
	}
	return run(c)
}

func exec(ctx context.Context, db execer, query string) error {
	_, err := db.ExecContext(ctx, query)
	return err
}

// Contexts end at random moments of deaf statements, between those of callers
// whose contexts live: none of these may be hit. Run with -race.
func TestInterruptsHitNobodyElse(t *testing.T) {
	b, _ := newDeafBench(t)
	var wg sync.WaitGroup
	var ended, done atomic.Int64
	const rounds = 700
	doomed := []func(ctx context.Context) error{
		func(ctx context.Context) error { return b.count(ctx, b, "SELECT count(*) FROM t") },
		func(ctx context.Context) error { return b.count(ctx, b, countLater) },
		func(ctx context.Context) error { return b.read(ctx, "SELECT count(*) FROM t", true) },
		func(ctx context.Context) error {
			return exec(ctx, b, "INSERT INTO counted SELECT count(*) FROM t WHERE (SELECT count(*) FROM big) < 0")
		},
	}
	for i := range 4 {
		wg.Go(func() {
			for range rounds {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.N(400))*time.Microsecond)
				switch err := doomed[i](ctx); {
				case err == nil:
					done.Add(1)
				case ctx.Err() != nil && errors.Is(err, ctx.Err()):
					ended.Add(1)
				default:
					t.Errorf("a doomed statement: %v", err)
				}
				cancel()
			}
		})
	}
	living := []func(ctx context.Context) error{
		func(ctx context.Context) error { return b.count(ctx, b, "SELECT v FROM t WHERE id < 5") },
		func(ctx context.Context) error { return b.read(ctx, "SELECT count(*) FROM t", true) },
		func(ctx context.Context) error { return exec(ctx, b, "INSERT INTO counted VALUES (1)") },
		func(ctx context.Context) error {
			return b.inTx(&sql.TxOptions{ReadOnly: true}, func(tx *sql.Tx) error { return b.count(ctx, tx, "SELECT v FROM t") })
		},
	}
	for i := range 4 {
		wg.Go(func() {
			ctx, cancel := context.WithCancel(t.Context()) // as deaf statements of the living have it
			defer cancel()
			for range rounds {
				if err := living[i](ctx); err != nil {
					t.Errorf("a statement whose context lives: %v", err)
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d ended, %d done", ended.Load(), done.Load())
	if ended.Load() == 0 {
		t.Error("no context ended in time to test anything")
	}
}
