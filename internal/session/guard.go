package session

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfastdb/holdfast/internal/locks"
	"github.com/holdfastdb/holdfast/internal/sqlite"
	"github.com/holdfastdb/holdfast/internal/writer"
)

// Guard is one write transaction, on a connection of its own with foreign keys
// off, that sessions of a *sql.DB run in: it is a driver.Connector for them. What
// they take for transactions are savepoints, so that what a tool for migrations
// has committed is still undone with the whole. Statements that would end the
// transaction, or can't be in one, are refused.
//
// Foreign keys are off because SQLite reads their switch outside of transactions
// only, and because with them DROP TABLE deletes the rows that refer to the
// table. Whoever begins a Guard has to check them before Commit.
//
// The sessions see what each other has written. One at a time has a transaction;
// others' writes wait for its end, for their busy_timeout at most. The Guard
// itself is for one goroutine.
type Guard struct {
	*Engine
	host *Conn // has the connection
	tx   *transaction
	ctx  context.Context
	cfg  GuardConfig

	foreignKeys atomic.Bool   // what PRAGMA foreign_keys answers
	free        chan struct{} // has its one token while no session has a transaction

	mu     sync.Mutex // guards holder
	holder writer.Holder
}

// GuardConfig is who listens to a Guard. An error of theirs ends the transaction,
// and every statement that follows returns it. Both are called on the goroutine of
// the statement, with the connection to themselves.
type GuardConfig struct {
	// Before is called once, before the first statement that may write.
	Before func(*sqlite.Conn) error
	// After is called after each statement that may have written, with how many
	// rows were changed so far.
	After func(c *sqlite.Conn, rows int64) error
}

// What a Guard's results read ahead: mostly all, because rows that somebody has
// forgotten to close would keep tables from being altered.
const (
	guardRows  = math.MaxInt
	guardBytes = 32 << 20
)

// Guard waits for the writer and begins the transaction. It blocks until ctx ends
// or busy_timeout is over. Nobody else writes until Commit or Rollback, one of
// which the caller must call.
func (e *Engine) Guard(ctx context.Context, site locks.Site, cfg GuardConfig) (*Guard, error) {
	if e.cfg.Writer == nil {
		return nil, ErrReadOnly
	}
	conn, err := e.cfg.OpenPinned(ctx)
	if err != nil {
		return nil, err
	}
	own := e.cfg
	own.ReadAheadRows, own.ReadAheadBytes = guardRows, guardBytes
	g := &Guard{Engine: New(own), ctx: ctx, cfg: cfg, free: make(chan struct{}, 1)}
	g.guard = g
	g.free <- struct{}{}
	g.foreignKeys.Store(own.Defaults["foreign_keys"] == "1")
	g.host = &Conn{e: g.Engine, budget: own.Budget}
	g.host.adopt(conn)
	g.tx = &transaction{c: g.host, kind: pinnedTx, site: site, mark: mark(ctx)}
	if err = control(conn, "PRAGMA foreign_keys=0"); err == nil {
		err = g.tx.beginPinned(ctx, false)
	}
	if err != nil {
		g.host.unpin()
		return nil, err
	}
	g.host.tx = g.tx
	g.tx.lease = locks.Lease{Kind: locks.Migration, Site: site, Since: time.Now(), Context: ctx, Evict: g.tx.evict}
	own.Locks.Add(&g.tx.lease)
	g.host.occupied(1)
	return g, nil
}

// Do gives the connection to fn, between two statements of the sessions.
func (g *Guard) Do(ctx context.Context, fn func(*sqlite.Conn) error) error {
	t := g.tx
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.usable(); err != nil {
		return err
	}
	t.arm(ctx, g.host.budget, "")
	defer t.disarm()
	return t.after(fn(t.conn))
}

// Settle lets no session write any more. It is an error if one has left a
// transaction open: nobody knows what should become of that.
func (g *Guard) Settle() error {
	select {
	case <-g.free:
		return nil
	default:
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return refused("a transaction begun at " + g.holder.Site.String() + " was neither committed nor rolled back")
}

// Commit ends the transaction, after Settle. No statement runs in the sessions
// afterwards.
func (g *Guard) Commit(ctx context.Context) error {
	err := g.host.endTx(ctx, true)
	g.host.unpin()
	return err
}

// Uploaded waits until what was committed is safe elsewhere, as a session does.
func (g *Guard) Uploaded(ctx context.Context) error { return g.Engine.cfg.Writer.Uploaded(ctx) }

// Rollback ends the transaction; nothing of it is in the database. No statement
// runs in the sessions afterwards.
func (g *Guard) Rollback() error {
	err := g.host.endTx(context.Background(), false)
	g.host.unpin()
	return err
}

// run runs one statement, within the context of the Guard if it has none.
func (g *Guard) run(ctx context.Context, s statement) (answer, error) {
	if ctx.Done() != nil {
		return g.tx.run(ctx, s)
	}
	a, err := g.tx.run(g.ctx, s)
	if cause := g.ctx.Err(); cause != nil && sqlite.Code(err).Primary() == sqlite.ResultInterrupt {
		err = cause // which the statement's own context doesn't tell
	}
	return a, err
}

// write is run for what may write.
func (g *Guard) write(ctx context.Context, s statement) (a answer, err error) {
	if before := g.cfg.Before; before != nil {
		g.cfg.Before = nil
		if err := g.Do(g.ctx, before); err != nil {
			return answer{}, g.fail(err)
		}
	}
	if a, err = g.run(ctx, s); err != nil || g.cfg.After == nil {
		return a, err
	}
	if err := g.Do(g.ctx, func(c *sqlite.Conn) error { return g.cfg.After(c, g.tx.rows) }); err != nil {
		return answer{}, g.fail(err)
	}
	return a, nil
}

// fail ends the transaction because of err.
func (g *Guard) fail(err error) error {
	t := g.tx
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over == nil {
		t.finish(func() error { return t.endEngine(nil) }, err)
	}
	return err
}

// enter takes the right to write.
func (g *Guard) enter(ctx context.Context, budget time.Duration) error {
	select {
	case <-g.free:
		return nil
	default:
	}
	timer := time.NewTimer(budget)
	defer timer.Stop()
	select {
	case <-g.free:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		g.mu.Lock()
		defer g.mu.Unlock()
		return &writer.BusyError{Waited: budget, Attempts: 1, Holder: g.holder}
	}
}

// leave gives the right to write back.
func (g *Guard) leave() { g.free <- struct{}{} }

// inner is a transaction of a session inside the Guard's.
type inner struct {
	names    savepoints // textual
	textual  bool       // begun by SAVEPOINT: RELEASE of the outermost ends it
	readOnly bool
	methods  bool // begun by BeginTx: no text ends it
}

// runGuarded is run for a session of a Guard.
func (c *Conn) runGuarded(ctx context.Context, s statement) (answer, error) {
	g := c.e.guard
	switch s.v.class {
	case blank:
		return answer{rows: noRows()}, nil
	case begin:
		return answer{}, c.beginInner(ctx, &inner{})
	case commit, rollback:
		switch {
		case c.inner != nil && c.inner.methods:
			return answer{}, refuseEnd(s)
		case c.inner == nil:
			return answer{}, misplaced("cannot " + strings.ToLower(firstWord(s.text)) + " - no transaction is active")
		}
		return answer{}, c.endInner(ctx, s.v.class == commit)
	case savepoint, release, rollbackTo:
		return answer{}, c.savepointInner(ctx, s)
	case attach, detach:
		return answer{}, refused(firstWord(s.text) + " can't be part of a migration: another file would not be rolled back with this one")
	case outside:
		return answer{}, refused(firstWord(s.text) + " can't run inside the transaction of a migration; run it after Migrate has returned")
	case plain, pragmaSet:
		if s.v.name == "foreign_keys" {
			return g.switchForeignKeys(s.v.value), nil
		}
	}
	if s.v.class == pragmaSet {
		if a, done, err := c.pragma(ctx, s); done || err != nil {
			return a, err
		}
		if s.v.name == "synchronous" {
			return answer{rows: noRows()}, nil // SQLite fails here, inside a transaction
		}
	}
	if s.v.readOnly {
		return g.run(ctx, s)
	}
	if c.inner == nil {
		if err := g.enter(ctx, c.budget); err != nil {
			return answer{}, err
		}
		defer g.leave()
	} else if c.inner.readOnly {
		return answer{}, ErrReadOnlyTx
	}
	return g.write(ctx, s)
}

// switchForeignKeys answers PRAGMA foreign_keys: tools that switch them off and
// on around what they do go on only if that seems to work.
func (g *Guard) switchForeignKeys(value string) answer {
	if value != "" {
		g.foreignKeys.Store(normalize("foreign_keys", value) == "1")
		return answer{rows: noRows()}
	}
	on := int64(0)
	if g.foreignKeys.Load() {
		on = 1
	}
	return oneRow("foreign_keys", on)
}

// beginGuarded is BeginTx for a session of a Guard.
func (c *Conn) beginGuarded(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	i := &inner{readOnly: opts.ReadOnly, methods: true}
	if err := c.beginInner(ctx, i); err != nil {
		return nil, c.fail(ctx, "begin", "", nil, err)
	}
	return innerTx{c, i}, nil
}

func (c *Conn) beginInner(ctx context.Context, i *inner) error {
	g := c.e.guard
	if c.inner != nil {
		return misplaced("cannot start a transaction within a transaction")
	}
	if err := g.enter(ctx, c.budget); err != nil {
		return err
	}
	if err := g.Do(g.ctx, func(conn *sqlite.Conn) error { return control(conn, "SAVEPOINT holdfast_unit") }); err != nil {
		g.leave()
		return err
	}
	g.mu.Lock()
	g.holder = writer.Holder{Kind: "transaction", Site: locks.Here(1, locks.Deep), Since: time.Now()}
	g.mu.Unlock()
	c.inner = i
	return nil
}

// endInner commits the session's transaction, as far as that goes inside the
// Guard's, or rolls it back, and leaves none.
func (c *Conn) endInner(_ context.Context, commit bool) error {
	g := c.e.guard
	err := g.Do(g.ctx, func(conn *sqlite.Conn) error {
		if commit {
			return control(conn, "RELEASE holdfast_unit")
		}
		return errors.Join(control(conn, "ROLLBACK TO holdfast_unit"), control(conn, "RELEASE holdfast_unit"))
	})
	c.inner = nil
	g.leave()
	if !commit && g.over() != nil {
		return nil // rolled back all the same
	}
	return err
}

// over is why no statement runs any more, or nil.
func (g *Guard) over() error {
	g.tx.mu.Lock()
	defer g.tx.mu.Unlock()
	return g.tx.usable()
}

// savepointInner is savepointText for a session of a Guard. A name that is not
// the session's own may be another's, or the program's outside of the migration.
func (c *Conn) savepointInner(ctx context.Context, s statement) error {
	if err := refuseOwnName(s.v.name); err != nil {
		return err
	}
	switch {
	case c.inner == nil && s.v.class == savepoint:
		if err := c.beginInner(ctx, &inner{textual: true}); err != nil {
			return err
		}
	case s.v.class != savepoint && (c.inner == nil || c.inner.names.find(s.v.name) < 0):
		return misplaced("no such savepoint: " + s.v.name)
	}
	i := c.inner
	if s.v.class == release && i.textual && i.names.find(s.v.name) == 0 {
		return c.endInner(ctx, true)
	}
	if _, err := c.e.guard.run(ctx, s); err != nil {
		return err
	}
	i.names.track(s.v)
	return nil
}

// innerTx is what database/sql commits or rolls back.
type innerTx struct {
	c *Conn
	i *inner
}

func (t innerTx) Commit() error { return t.end("commit", true) }

func (t innerTx) Rollback() error { return t.end("rollback", false) }

func (t innerTx) end(op string, commit bool) error {
	var err error
	switch {
	case t.c.inner == t.i:
		err = t.c.endInner(t.c.e.guard.ctx, commit)
	case commit: // the session was closed
		err = misplaced("cannot commit - no transaction is active")
	}
	if errors.Is(err, sql.ErrTxDone) {
		return err
	}
	return t.c.fail(context.Background(), op, "", nil, err)
}
