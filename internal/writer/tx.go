package writer

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/holdfastdb/holdfast/internal/busy"
	"github.com/holdfastdb/holdfast/internal/locks"
	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// Tx is an interactive unit: a write transaction that its caller runs
// statement by statement. Its methods are for one goroutine at a time.
type Tx struct {
	w     *Writer
	t     *task
	began time.Time
	inner bool // runs in a SAVEPOINT of an open group
	ended bool
	give  bool // the connection leaves with the transaction
	stop  atomic.Bool
}

// Stop interrupts the statement that is running, from another goroutine, and
// every one that follows. The transaction itself is ended by its owner.
func (tx *Tx) Stop() { tx.stop.Store(true) }

// Request is what Begin and Hold ask for.
type Request struct {
	Priority Priority
	Site     locks.Site
	SQL      string        // what it will run, for reports; may be empty
	Alone    bool          // shares no group with units before it
	Budget   time.Duration // longest wait; 0 is the Config's, negative none
	Mark     locks.Mark    // on the stack of everything that runs in the transaction; 0 if there is none
}

func (w *Writer) request(ctx context.Context, k kind, r Request) *task {
	t := w.newTask()
	t.ctx, t.kind, t.prio, t.site, t.sql = ctx, k, r.Priority, r.Site, r.SQL
	t.alone, t.budget, t.mark = r.Alone, r.Budget, r.Mark
	return t
}

// Begin waits for the writer and opens a write transaction. It blocks behind
// the units before it until ctx ends or the budget is spent (*BusyError). The
// caller must end it with Commit or Rollback; until then nobody else writes.
func (w *Writer) Begin(ctx context.Context, r Request) (*Tx, error) {
	t := w.request(ctx, interactive, r)
	if err := w.enter(t); err != nil {
		w.recycle(t)
		return nil, err
	}
	if !t.lead {
		err := own(t.err) // closed or out of budget while it waited
		w.recycle(t)
		return nil, err
	}
	t.lead = false
	tx := &Tx{w: w, t: t}
	if err := tx.open(); err != nil {
		w.proceed()
		w.recycle(t)
		return nil, err
	}
	return tx, nil
}

func (tx *Tx) open() error {
	w, t := tx.w, tx.t
	if err := t.ctx.Err(); err != nil {
		return err
	}
	if w.group == nil {
		if err := w.begin(t); err != nil {
			return err
		}
	} else {
		if err := w.control("SAVEPOINT holdfast_unit"); err != nil {
			return err
		}
		tx.inner = true
	}
	tx.began = time.Now()
	w.stop = &tx.stop
	w.hasWaited(tx.began.Sub(t.since))
	w.setHolder(Holder{Kind: kindTransaction, Site: t.site, Since: tx.began, ctx: t.ctx, mark: t.mark})
	w.marked(t.mark)
	return nil
}

// Conn is the write connection; it is the caller's until Commit or Rollback.
func (tx *Tx) Conn() *sqlite.Conn { return tx.w.conn }

// Running sets the context that ends the statement about to run, and notes the
// statement for whoever asks who holds the writer. Call it with a nil context
// when the statement has returned.
func (tx *Tx) Running(ctx context.Context, sql string) {
	tx.w.ctx = ctx
	if sql != "" {
		tx.w.mu.Lock()
		tx.w.holder.SQL = sql
		tx.w.mu.Unlock()
	}
}

// Lost tells whether SQLite has dropped the transaction by itself. The caller
// then has to call Rollback; nothing of it is in the database.
func (tx *Tx) Lost() bool { return !tx.ended && tx.w.conn.Autocommit() }

// GiveAway makes the connection leave the writer when the transaction ends,
// because the transaction has changed its state (ATTACH, TEMP, PRAGMA). The
// caller gets it from End and must close it.
func (tx *Tx) GiveAway() { tx.give = true }

// Violations tells whether COMMIT would be refused for deferred foreign keys.
func (tx *Tx) Violations() bool { return tx.w.deferredViolations() }

// Commit ends the transaction with its group and returns when COMMIT has
// returned. After an error nothing is in the database, unless it is
// ErrOutcomeUnknown. ctx ends the wait for a group that another caller's
// transaction keeps open; that of Begin was for the wait there. kept is the
// connection after GiveAway, else nil.
func (tx *Tx) Commit(ctx context.Context) (kept *sqlite.Conn, err error) {
	if tx.ended {
		return nil, ErrEnded
	}
	tx.t.ctx = ctx
	if tx.Lost() {
		kept, _ := tx.lost(nil)
		return kept, ErrRolledBack
	}
	if tx.w.deferredViolations() {
		return tx.rollback(errForeignKey())
	}
	w := tx.w
	tx.end()
	if tx.inner {
		if err := w.control("RELEASE holdfast_unit"); err != nil {
			_ = w.control("ROLLBACK")
			w.lose(tx.t, err)
			return tx.finish()
		}
	}
	w.sealLoose()
	w.executed(tx.t)
	if tx.give {
		w.group.sealed = true
		w.commit()
		return tx.handOut(), tx.leave()
	}
	return tx.finish()
}

// Rollback ends the transaction; nothing of it is in the database.
func (tx *Tx) Rollback() (kept *sqlite.Conn, err error) {
	if tx.ended {
		return nil, ErrEnded
	}
	if tx.Lost() {
		return tx.lost(nil)
	}
	kept, err = tx.rollback(nil)
	return kept, err
}

// Abort is Rollback after an error that ended the transaction in SQLite or
// broke the connection; cause tells which.
func (tx *Tx) Abort(cause error) (kept *sqlite.Conn, err error) {
	if tx.ended {
		return nil, ErrEnded
	}
	if tx.Lost() {
		return tx.lost(cause)
	}
	if busy.Classify(sqlite.Code(cause)) == busy.Broken {
		_ = tx.w.control("ROLLBACK")
		return tx.lost(cause)
	}
	return tx.rollback(cause)
}

// rollback undoes the transaction, and answers its owner with cause.
func (tx *Tx) rollback(cause error) (*sqlite.Conn, error) {
	w := tx.w
	defer w.recycle(tx.t)
	tx.end()
	if !tx.inner {
		w.abandonGroup()
	} else {
		err := w.control("ROLLBACK TO holdfast_unit")
		if err == nil {
			err = w.control("RELEASE holdfast_unit")
		}
		if err != nil {
			_ = w.control("ROLLBACK")
			w.lose(tx.t, fmt.Errorf("%w (cause: %w)", ErrRolledBack, err))
			<-tx.t.ready
			w.proceed()
			return nil, cause
		}
		w.sealLoose()
	}
	var kept *sqlite.Conn
	if tx.give && w.conn != nil {
		if w.group != nil {
			w.commit()
		}
		kept = tx.handOut()
	}
	w.proceed()
	return kept, cause
}

// lost ends a transaction that SQLite has dropped.
func (tx *Tx) lost(cause error) (*sqlite.Conn, error) {
	w := tx.w
	defer w.recycle(tx.t)
	tx.end()
	w.lose(tx.t, cause)
	<-tx.t.ready
	kept := tx.handOut()
	w.proceed()
	return kept, cause
}

// end marks the transaction as over and notes how long it held the writer.
func (tx *Tx) end() {
	tx.ended = true
	tx.w.unmarked()
	tx.w.ctx, tx.w.stop = nil, nil
	tx.w.clock.now = time.Now()
	tx.w.learn(tx.t.site, tx.w.clock.now.Sub(tx.began))
}

// finish lets the owner of the baton go on and waits for the COMMIT.
func (tx *Tx) finish() (*sqlite.Conn, error) {
	tx.w.proceed()
	return nil, tx.leaveWithoutBaton()
}

func (tx *Tx) leave() error {
	tx.w.proceed()
	return tx.leaveWithoutBaton()
}

func (tx *Tx) leaveWithoutBaton() error {
	defer tx.w.recycle(tx.t)
	if err := tx.w.await(tx.t); err != nil {
		return err
	}
	return tx.t.err
}

// handOut takes the connection out of the writer; the next unit opens another.
func (tx *Tx) handOut() *sqlite.Conn {
	w := tx.w
	if !tx.give || w.conn == nil {
		return nil
	}
	c := w.conn
	w.conn = nil
	c.SetProgressHandler(0, nil)
	c.SetBusyHandler(nil)
	return c
}

// maxSites bounds what is remembered about call sites.
const maxSites = 1024

// learn keeps the hold time of a call site as a peak that decays, so that one
// slow transaction keeps its site out of groups for a while.
func (w *Writer) learn(s locks.Site, d time.Duration) {
	if !s.Known() {
		return
	}
	w.mu.Lock()
	old, ok := w.known.sites[s]
	if !ok && len(w.known.sites) >= maxSites {
		clear(w.known.sites)
	}
	w.known.sites[s] = max(d, old-old/8)
	w.mu.Unlock()
}

// joins tells whether transactions of a call site may share a COMMIT: nobody
// may wait for another caller's think time. Called with mu held.
func (w *Writer) joins(s locks.Site) bool {
	d, ok := w.known.sites[s]
	return ok && d < w.cfg.JoinBelow
}

// Held is the baton without a transaction.
type Held struct {
	w     *Writer
	t     *task
	began time.Time
}

// Hold waits for the writer like Begin and returns it with no transaction
// open: for statements that can't run in one (VACUUM, PRAGMA wal_checkpoint),
// and for sessions that write through a connection of their own. Nobody else
// writes until Release.
func (w *Writer) Hold(ctx context.Context, r Request) (*Held, error) {
	t := w.request(ctx, hold, r)
	if err := w.enter(t); err != nil {
		return nil, err
	}
	if !t.lead {
		return nil, own(t.err)
	}
	t.lead = false
	if err := t.ctx.Err(); err != nil {
		w.proceed()
		return nil, err
	}
	if err := w.ready(t); err != nil {
		w.proceed()
		return nil, err
	}
	now := time.Now()
	w.hasWaited(now.Sub(t.since))
	w.tell()
	w.setHolder(Holder{Kind: kindExclusive, Site: r.Site, SQL: r.SQL, Since: now, ctx: t.ctx, mark: t.mark})
	w.marked(t.mark)
	w.ctx = ctx
	w.busy.Arm(ctx, t.left(), nil)
	return &Held{w: w, t: t, began: now}, nil
}

// Conn is the write connection, in autocommit mode. Lock waits of its
// statements end with the context given to Hold.
func (h *Held) Conn() *sqlite.Conn { return h.w.conn }

// Running notes the statement for whoever asks who holds the writer.
func (h *Held) Running(sql string) {
	h.w.mu.Lock()
	h.w.holder.SQL = sql
	h.w.mu.Unlock()
}

// Budget limits the lock waits of the statements that follow.
func (h *Held) Budget(ctx context.Context, d time.Duration) { h.w.busy.Arm(ctx, d, nil) }

// Release gives the writer back. err is the result of the work: a broken
// connection is given up.
func (h *Held) Release(err error) {
	w := h.w
	w.unmarked()
	w.ctx = nil
	w.busy.Disarm()
	if t := w.cfg.Times; t != nil {
		t.Exclusive.Add(time.Since(h.began))
	}
	w.releaseTurn()
	w.discardIf(err)
	if w.conn != nil && !w.conn.Autocommit() {
		w.discard("unclean")
	}
	w.proceed()
}
