package session

import (
	"context"
	"database/sql/driver"
	"sync/atomic"
	"time"

	"github.com/holdfastdb/holdfast/internal/locks"
	"github.com/holdfastdb/holdfast/internal/sqlite"
	"github.com/holdfastdb/holdfast/internal/stats"
)

// Conn is a session: what database/sql takes for a connection.
type Conn struct {
	e      *Engine
	budget time.Duration // PRAGMA busy_timeout of this session

	tx    *transaction
	pin   *pinned // a connection of its own, or nil
	inner *inner  // a transaction inside the Guard's, or nil

	counters
	unit      *unit // for the next statement that goes to the writer
	committed bool  // something, since a call was last acknowledged
	call      call  // the statement that runs
	turn      stats.Turn

	bad atomic.Bool // must not go back to database/sql's pool; the evictor may say so

	unread atomic.Int32 // results not closed yet

	checkOut
}

var (
	_ driver.Conn               = (*Conn)(nil)
	_ driver.ConnBeginTx        = (*Conn)(nil)
	_ driver.ConnPrepareContext = (*Conn)(nil)
	_ driver.ExecerContext      = (*Conn)(nil)
	_ driver.QueryerContext     = (*Conn)(nil)
	_ driver.Pinger             = (*Conn)(nil)
	_ driver.SessionResetter    = (*Conn)(nil)
	_ driver.Validator          = (*Conn)(nil)
)

// counters is what last_insert_rowid(), changes() and total_changes() answer
// in one session, whatever connection its statements run on.
type counters struct{ lastRowID, changes, total int64 }

func (c *Conn) idleLeak(now time.Time, age time.Duration) (locks.Lease, bool) {
	l, ok := c.leak(now, age)
	if c.unread.Load() > 0 {
		l.Kind = locks.Rows // all read ahead, so they hold nothing but the session
	}
	return l, ok
}

// ResetSession is called when database/sql hands the session out again. State
// that the program set (PRAGMA, ATTACH, TEMP) stays, as it does with every
// SQLite driver: programs set a pragma with one call and rely on it in the next.
func (c *Conn) ResetSession(context.Context) error {
	if c.bad.Load() {
		return driver.ErrBadConn
	}
	c.take(c.e.round.Load())
	return nil
}

// IsValid is called when the session goes back to database/sql's pool. A textual
// transaction stays open, also after an error in it: ended here, the program's
// next statements would commit by themselves, and its ROLLBACK undo nothing.
func (c *Conn) IsValid() bool {
	c.giveBack()
	return !c.bad.Load()
}

// Close ends the session. An open transaction is rolled back.
func (c *Conn) Close() error {
	if c.tx != nil {
		_ = c.tx.abort(nil)
		c.tx = nil
	}
	if c.inner != nil {
		_ = c.endInner(context.Background(), false) // nobody is left to hear of it
	}
	c.unpin()
	c.bad.Store(true)
	c.e.forget(c)
	return nil
}

// Ping proves that the database answers.
func (c *Conn) Ping(ctx context.Context) error {
	err := c.e.onReader(ctx, c.budget, func(r *sqlite.Conn) error {
		_, err := r.QueryInt64("PRAGMA schema_version")
		return err
	})
	if err == nil && c.e.cfg.Moved != nil {
		err = c.e.cfg.Moved()
	}
	return c.fail(ctx, "ping", "", nil, err)
}

// fail counts what became of a call and translates its error.
func (c *Conn) fail(ctx context.Context, op, sql string, args []driver.NamedValue, err error) error {
	if err == nil {
		c.e.cfg.Counters.Succeeded.Add(1)
		return nil
	}
	site := locks.Site{}
	if c.tx != nil {
		site = c.tx.site
	}
	return c.e.fail(ctx, op, sql, site, args, err)
}

// ExecContext runs every statement of query. With several statements each is
// committed by itself, unless the text opens a transaction, and each takes its
// arguments from the first on.
func (c *Conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	r, err := c.exec(ctx, query, args)
	if err = c.uploaded(ctx, err); err != nil {
		return nil, c.fail(ctx, "exec", query, args, err)
	}
	c.e.cfg.Counters.Succeeded.Add(1)
	return r, nil
}

// QueryContext runs one statement and returns its rows.
func (c *Conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	r, err := c.query(ctx, query, args)
	if err = c.uploaded(ctx, err); err != nil {
		return nil, c.fail(ctx, "query", query, args, err)
	}
	c.e.cfg.Counters.Succeeded.Add(1)
	r.owner = c
	c.unread.Add(1)
	return r, nil
}

// uploaded is the last thing before a call is acknowledged: it waits until what
// the call has committed is safe elsewhere, too, where that was asked for. Nothing
// is held meanwhile but the session. After an error nothing is acknowledged.
func (c *Conn) uploaded(ctx context.Context, err error) error {
	committed := c.committed
	c.committed = false
	if err != nil || !committed {
		return err
	}
	return c.e.cfg.Writer.Uploaded(ctx)
}

// Prepare is PrepareContext without a context.
func (c *Conn) Prepare(query string) (driver.Stmt, error) {
	return c.PrepareContext(context.Background(), query)
}

// PrepareContext compiles the statement to see whether it can be run, and
// keeps its text. Each connection that runs it keeps it compiled.
func (c *Conn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	if err := checkText(query); err != nil {
		return nil, c.fail(ctx, "prepare", query, nil, err)
	}
	if c.e.verdicts.get(query) == nil || c.tx != nil {
		if _, _, _, err := c.classify(ctx, query); err != nil {
			return nil, c.fail(ctx, "prepare", query, nil, err)
		}
	}
	s := &Stmt{c: c, query: query}
	s.from.Store(c.e.prepared.add(locks.Here(1, locks.Shallow), &s.query))
	return s, nil
}

// Stmt is a prepared statement: a text whose compiled forms live in the
// statement caches of the connections.
type Stmt struct {
	c     *Conn
	query string
	from  atomic.Pointer[place] // that counts it; nil once it is closed
}

var (
	_ driver.StmtExecContext  = (*Stmt)(nil)
	_ driver.StmtQueryContext = (*Stmt)(nil)
)

// Close has nothing to free, and takes the statement off the count of open ones.
func (s *Stmt) Close() error {
	if at := s.from.Swap(nil); at != nil {
		at.open.Add(-1)
	}
	return nil
}

// NumInput is unknown: extra arguments are ignored, as the stock drivers do.
func (s *Stmt) NumInput() int { return -1 }

// ExecContext runs the statement.
func (s *Stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return s.c.ExecContext(ctx, s.query, args)
}

// QueryContext runs the statement and returns its rows.
func (s *Stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return s.c.QueryContext(ctx, s.query, args)
}

// Exec is ExecContext without a context.
func (s *Stmt) Exec(args []driver.Value) (driver.Result, error) {
	return s.ExecContext(context.Background(), named(args))
}

// Query is QueryContext without a context.
func (s *Stmt) Query(args []driver.Value) (driver.Rows, error) {
	return s.QueryContext(context.Background(), named(args))
}

func named(args []driver.Value) []driver.NamedValue {
	out := make([]driver.NamedValue, len(args))
	for i, v := range args {
		out[i] = driver.NamedValue{Ordinal: i + 1, Value: v}
	}
	return out
}

// result is what Exec returns.
type result struct {
	lastRowID, affected int64
	total               int64 // with what triggers changed
}

func (r result) LastInsertId() (int64, error) { return r.lastRowID, nil }
func (r result) RowsAffected() (int64, error) { return r.affected, nil }
