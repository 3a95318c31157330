package session

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/internal/locks"
	"github.com/holdfastdb/holdfast/internal/pool"
	"github.com/holdfastdb/holdfast/internal/sqlite"
	"github.com/holdfastdb/holdfast/internal/stats"
	"github.com/holdfastdb/holdfast/internal/writer"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is an engine over a database of its own, without the root package: its
// rooms can be looked into.
type bench struct {
	*sql.DB
	t        *testing.T
	engine   *Engine
	pool     *pool.Pool
	writer   *writer.Writer
	counters *stats.Counters
	locks    *locks.Registry
	path     string
	vfs      string // set before the first connection is opened; "" is the default one
	confine  bool   // the readers
}

const readAhead = 4

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, counters: &stats.Counters{}, locks: &locks.Registry{}, path: filepath.Join(t.TempDir(), "app.db")}
	const budget = 5 * time.Second
	b.pool = pool.New(pool.Config{
		Open: func(context.Context) (*sqlite.Conn, error) {
			c, err := b.open("PRAGMA query_only=1")
			if err == nil && b.confine {
				err = c.Confine()
			}
			return c, err
		},
		Max: 4, Wait: budget, Warm: true,
	})
	b.writer = writer.New(writer.Config{
		Open:     func(context.Context) (*sqlite.Conn, error) { return b.open("PRAGMA synchronous=NORMAL") },
		Fence:    func() error { return nil },
		Counters: b.counters, Budget: budget, MaxGroup: 64, MaxGroupTime: time.Minute, JoinBelow: time.Minute,
	})
	b.engine = New(Config{
		Pool: b.pool, Writer: b.writer, Locks: b.locks, Counters: b.counters,
		OpenPinned: func(context.Context) (*sqlite.Conn, error) { return b.open("PRAGMA synchronous=NORMAL") },
		Fence:      func() error { return nil },
		Fail:       failAsTold,
		Budget:     budget, ReadAheadRows: readAhead, ReadAheadBytes: 1 << 20,
		Defaults: map[string]string{"foreign_keys": "1"}, JournalMode: "wal",
	})
	b.DB = sql.OpenDB(b.engine)
	t.Cleanup(b.end)
	return b
}

// failAsTold shows the arguments that an error came with, as the root's
// translator gets them.
func failAsTold(op, text string, _ locks.Site, args []driver.NamedValue, err error) error {
	if err == sql.ErrTxDone || err == driver.ErrBadConn {
		return err
	}
	return &told{op: op, sql: text, args: args, err: err}
}

type told struct {
	op, sql string
	args    []driver.NamedValue
	err     error
}

func (e *told) Error() string { return e.op + ": " + e.err.Error() }
func (e *told) Unwrap() error { return e.err }

func (b *bench) open(last string) (*sqlite.Conn, error) {
	c, err := sqlite.OpenVFS(b.path, sqlite.OpenReadWrite|sqlite.OpenCreate, b.vfs)
	if err != nil {
		return nil, err
	}
	for _, s := range []string{"PRAGMA journal_mode=WAL", "PRAGMA foreign_keys=1", last} {
		if err := c.Exec(s); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	return c, nil
}

func (b *bench) end() {
	var got string
	if err := b.QueryRow("PRAGMA integrity_check").Scan(&got); err != nil || got != "ok" {
		b.t.Errorf("integrity_check: %q, %v", got, err)
	}
	if err := b.Close(); err != nil {
		b.t.Error(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if s := b.pool.Stats(); s.InUse != 0 {
		b.t.Errorf("%d readers are still leased", s.InUse)
	}
	if n := b.locks.Len(); n != 0 {
		b.t.Errorf("%d leases are still on record", n)
	}
	if n := b.engine.Sessions(); n != 0 {
		b.t.Errorf("%d sessions are still known", n)
	}
	if err := errors.Join(b.pool.Close(ctx), b.writer.Close(ctx)); err != nil {
		b.t.Error(err)
	}
}

type execer interface {
	ExecContext(context.Context, string, ...any) (sql.Result, error)
}

func (b *bench) must(db execer, query string, args ...any) sql.Result {
	b.t.Helper()
	r, err := db.ExecContext(context.Background(), query, args...)
	if err != nil {
		b.t.Fatalf("%s: %v", query, err)
	}
	return r
}

type querier interface {
	QueryRowContext(context.Context, string, ...any) *sql.Row
}

func (b *bench) number(db querier, query string, args ...any) (n int64) {
	b.t.Helper()
	if err := db.QueryRowContext(context.Background(), query, args...).Scan(&n); err != nil {
		b.t.Fatalf("%s: %v", query, err)
	}
	return n
}

func (b *bench) conn() *sql.Conn {
	b.t.Helper()
	c, err := b.Conn(context.Background())
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = c.Close() }) // most tests have closed it
	return c
}

// numbered makes a table t with the rows 1 to n.
func (b *bench) numbered(n int) {
	b.t.Helper()
	b.must(b, "CREATE TABLE t(id INTEGER PRIMARY KEY, v INTEGER NOT NULL DEFAULT 0)")
	b.must(b, fmt.Sprintf("WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM s WHERE i < %d) INSERT INTO t(id) SELECT i FROM s", n))
}

// drainRows counts what is left of a result.
func drainRows(rows *sql.Rows) (n int, err error) {
	for rows.Next() {
		n++
	}
	return n, errors.Join(rows.Err(), rows.Close())
}

// evictAll ends every lease that can be ended.
func (b *bench) evictAll() int {
	return len(b.locks.EvictOlder(time.Now().Add(time.Hour), 0))
}

func contains(err error, what string) bool { return err != nil && strings.Contains(err.Error(), what) }
