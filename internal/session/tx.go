package session

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfastdb/holdfast/internal/busy"
	"github.com/holdfastdb/holdfast/internal/locks"
	"github.com/holdfastdb/holdfast/internal/pool"
	"github.com/holdfastdb/holdfast/internal/sqlite"
	"github.com/holdfastdb/holdfast/internal/writer"
)

type txKind uint8

const (
	readTx     txKind = iota // a reader, one snapshot
	writeTx                  // the writer
	pinnedTx                 // the session's own connection, behind the writer's gate
	optimistic               // a reader that moves to the writer at its first write
)

// transaction is the open transaction of a session.
type transaction struct {
	c    *Conn
	kind txKind
	site locks.Site
	mark locks.Mark // of the function that it runs in, or 0

	// mu is held while a statement of the transaction runs; the evictor tries
	// it, so that it never ends a transaction in the middle of a statement.
	mu       sync.Mutex
	conn     *sqlite.Conn
	reader   *pool.Reader     // readTx, optimistic
	write    *writer.Tx       // writeTx
	gate     *writer.Held     // pinnedTx
	snap     *sqlite.Snapshot // optimistic: what it has read from
	open     map[*Rows]struct{}
	over     error    // why no statement can run any more
	tainted  bool     // the connection has session state now
	evicting bool     // the evictor is ending it, on a goroutine of its own
	pragmas  []string // those it has set away from their default

	names   savepoints // textual
	commits bool       // its end is a COMMIT
	textual bool       // begun by SAVEPOINT: RELEASE of the outermost commits
	lease   locks.Lease
	rows    int64           // changed so far
	ctx     context.Context // of BeginTx, whose driver.Tx ends the transaction; nil for a textual one
	stop    stopper
	writing atomic.Pointer[writer.Tx] // write, for the evictor, which doesn't have mu
}

func control(c *sqlite.Conn, sql string) error {
	return drain(context.Background(), c, statement{text: sql})
}

// usable tells why no statement can run in the transaction, if so. mu is held:
// the evictor may be ending it.
func (t *transaction) usable() error {
	if errors.Is(t.over, ErrEvicted) {
		return evictedBy(&t.lease)
	}
	return t.over
}

// arm lets the context of one statement end its waits and the statement.
func (t *transaction) arm(ctx context.Context, budget time.Duration, sql string) {
	switch {
	case t.write != nil:
		t.write.Running(ctx, sql)
	case t.reader != nil:
		t.reader.Busy.Arm(ctx, budget, &t.stop.told)
	default:
		if t.gate != nil {
			t.gate.Running(sql)
		}
		t.c.pin.busy.Arm(ctx, budget, &t.stop.told)
	}
}

func (t *transaction) disarm() {
	switch {
	case t.write != nil:
		t.write.Running(nil, "") //nolint:staticcheck // nil says that no statement runs
	case t.reader != nil:
		t.reader.Busy.Disarm()
	default:
		t.c.pin.busy.Disarm()
	}
}

// run runs one statement of the transaction.
func (t *transaction) run(ctx context.Context, s statement) (answer, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.usable(); err != nil {
		return answer{}, err
	}
	if s.v.class == outside {
		return answer{}, refused(firstWord(s.text) + " can't run inside a transaction; run it on the database handle")
	}
	if t.kind == optimistic && !s.v.readOnly {
		waited := s.call.waiting()
		err := t.moveToWriter(ctx)
		if waited(); err != nil {
			return answer{}, err
		}
	}
	if s.v.local() {
		if t.reader != nil && s.v.name == "query_only" {
			return answer{}, refused(refusal("query_only", ""))
		}
		t.tainted = true
		t.sets(s.v)
	}
	t.c.e.cfg.Locks.Describe(&t.lease, s.text, t.rows)
	a, err := t.execute(ctx, s)
	if t.kind == optimistic && sqlite.Code(err) == sqlite.ResultReadOnly {
		// The verdict is out of date: DROP TABLE IF EXISTS is read-only as long
		// as the table is missing.
		if err := t.moveToWriter(ctx); err != nil {
			return answer{}, err
		}
		a, err = t.execute(ctx, s)
	}
	if err == nil && a.rows != nil && a.rows.err != nil {
		_ = t.after(a.rows.err) // the rows tell it, behind those that were read
	}
	return a, t.after(err)
}

func (t *transaction) execute(ctx context.Context, s statement) (answer, error) {
	c := t.c
	t.arm(ctx, c.budget, s.text)
	defer t.disarm()
	if s.deaf() {
		defer t.conn.InterruptAfter(t.stop.context())()
	}
	before := c.present(t.conn, s.v)
	var a answer
	var err error
	switch {
	case !s.rows:
		err = drain(ctx, t.conn, s)
		t.met(s.call)
	case s.v.readOnly:
		a.rows, err = c.openRows(ctx, t.conn, s)
		t.met(s.call)
		if err == nil && !a.rows.done {
			a.rows.feed = &feed{c: c, ctx: ctx, text: s.text, args: s.args, deaf: s.deaf(), tx: t, call: s.call.handOver()}
			t.keep(a.rows)
		}
	default:
		a.rows, err = collect(ctx, t.conn, s)
	}
	if err != nil {
		return answer{}, err
	}
	a.lastRowID = c.lastRowID
	if t.reader == nil && !s.v.readOnly {
		a.lastRowID = t.conn.LastInsertRowID()
		a.total = t.conn.TotalChanges() - before
		t.rows += a.total
		if s.v.dml {
			a.affected = t.conn.Changes()
		}
		c.note(s.v, a.result)
	}
	return a, nil
}

// met notes the locks of others that a statement has met. The writer's handler
// belongs to the writer: in its transaction there is nobody else to wait for.
func (t *transaction) met(k *call) {
	switch {
	case t.reader != nil:
		k.met(&t.reader.Busy)
	case t.kind == pinnedTx:
		k.met(&t.c.pin.busy)
	}
}

// after looks at what a failed statement has done to the transaction.
func (t *transaction) after(err error) error {
	if err == nil {
		return nil
	}
	if t.stop.told.Load() {
		t.finish(func() error { return t.endEngine(err) }, ErrEvicted)
		t.c.e.cfg.Counters.Evictions.Add(1)
		return t.usable()
	}
	if t.write == nil && t.gate == nil && sqlite.Code(err).Primary() == sqlite.ResultReadOnly {
		return fmt.Errorf("%w (begun at %s): %w", ErrReadOnlyTx, t.site, err)
	}
	if t.conn.Autocommit() || broken(err) {
		// SQLite has dropped the whole transaction (full disk, I/O error,
		// interrupt of a write, ON CONFLICT ROLLBACK). What the caller does next
		// must not run outside of it.
		t.finish(func() error { return t.endEngine(err) }, ErrTxLost)
	}
	return err
}

// moveToWriter makes an optimistic transaction a write transaction, if nobody
// has written since its snapshot.
func (t *transaction) moveToWriter(ctx context.Context) error {
	e := t.c.e
	t.bufferRows() // before the writer waits for them
	if err := t.usable(); err != nil {
		return err
	}
	request := t.request(ctx)
	request.Alone = true
	tx, err := e.cfg.Writer.Begin(ctx, request)
	if err != nil {
		return err
	}
	// Nobody can commit now, so what a fresh reader sees is the newest state.
	// (sqlite3_snapshot_get is not allowed inside a write transaction.)
	same := false
	err = e.onReader(ctx, t.c.budget, func(r *sqlite.Conn) error {
		if err := control(r, "BEGIN"); err != nil {
			return err
		}
		now, err := snapshot(r)
		same = err == nil && sameSnapshot(now, t.snap)
		return errors.Join(err, control(r, "ROLLBACK"))
	})
	if err == nil && !same {
		e.cfg.Counters.LockConflicts.Add(1)
		err = ErrConflict
	}
	if err != nil {
		_, _ = tx.Rollback()
		t.finish(func() error { return t.endReader(err) }, ErrTxLost)
		return err
	}
	_ = t.endReader(nil)
	t.kind, t.write, t.conn = writeTx, tx, tx.Conn()
	t.writing.Store(tx)
	e.cfg.Locks.Become(&t.lease, locks.WriteTx)
	if t.stop.told.Load() {
		tx.Stop() // evicted while it waited
	}
	for _, name := range t.names {
		if err := control(t.conn, "SAVEPOINT "+quote(name)); err != nil {
			return err
		}
	}
	return nil
}

// driverTx is what database/sql commits or rolls back.
type driverTx struct{ t *transaction }

func (d driverTx) Commit() error {
	if d.t.c.tx != d.t {
		return d.t.c.fail(context.Background(), "commit", "", nil, misplaced("cannot commit - no transaction is active"))
	}
	err := d.t.c.uploaded(d.t.ctx, d.t.c.endTx(d.t.ctx, true))
	return d.t.c.fail(context.Background(), "commit", "", nil, err)
}

func (d driverTx) Rollback() error {
	if d.t.c.tx != d.t {
		return nil // the session was closed
	}
	return d.t.c.fail(context.Background(), "rollback", "", nil, d.t.c.endTx(d.t.ctx, false))
}

// endTx commits or rolls back the session's transaction and leaves none, also
// when the COMMIT fails.
func (c *Conn) endTx(ctx context.Context, commit bool) error {
	t := c.tx
	t.mu.Lock()
	defer t.mu.Unlock()
	defer func() { c.tx = nil }()
	if t.over != nil {
		if commit {
			return t.usable()
		}
		return nil
	}
	var err error
	t.commits = commit
	t.finish(func() error {
		err = t.endWith(ctx, commit)
		return err
	}, sql.ErrTxDone)
	c.committed = commit && err == nil && (t.write != nil || t.gate != nil)
	return err
}

// abort rolls the transaction back from wherever the session is closed.
func (t *transaction) abort(cause error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over != nil {
		return nil
	}
	t.finish(func() error { return t.endEngine(cause) }, ErrTxLost)
	return nil
}

// finish closes the rows, runs end, takes the transaction off the record and
// remembers why nothing can run in it any more. mu is held.
func (t *transaction) finish(end func() error, why error) {
	t.closeRows()
	err := end()
	t.over = why
	if t.lease.Kind != "" { // begun to the end
		t.c.e.release(&t.lease, t.outcome(err))
		t.c.occupied(-1)
	}
}

// outcome says what became of a transaction that has ended with err.
func (t *transaction) outcome(err error) string {
	switch {
	case errors.Is(t.over, ErrEvicted):
		return evicted
	case t.lease.Kind == locks.ReadTx:
		return closed
	case errors.Is(err, writer.ErrOutcomeUnknown), errors.Is(err, writer.ErrUnacknowledged):
		return unknown
	case t.commits && err == nil:
		return committed
	}
	return rolledBack
}

// keep notes rows that are read on after the statement has returned.
func (t *transaction) keep(r *Rows) {
	if t.open == nil {
		t.open = make(map[*Rows]struct{})
	}
	t.open[r] = struct{}{}
}

func (t *transaction) closeRows() {
	for r := range t.open {
		_ = r.release() // its error, if any, was Next's to tell
	}
	clear(t.open)
}

// bufferRows reads the open results to their end. mu is held.
func (t *transaction) bufferRows() {
	for r := range t.open {
		r.buffer()
	}
}

// endWith commits or rolls back where the transaction lives.
func (t *transaction) endWith(ctx context.Context, commit bool) error {
	if t.write == nil && t.gate == nil {
		return t.endReader(nil)
	}
	if !commit {
		return t.endEngine(nil)
	}
	if t.write != nil {
		if t.tainted {
			t.write.GiveAway()
		}
		kept, err := t.write.Commit(ctx)
		t.adopt(kept)
		return err
	}
	t.arm(ctx, t.c.budget, "") // without a log COMMIT waits for those who read
	err := control(t.conn, "COMMIT")
	t.disarm()
	if err != nil && busy.CommitOutcomeUnknown(t.conn, err) {
		err = fmt.Errorf("%w: %w", writer.ErrOutcomeUnknown, err)
	}
	if err == nil {
		err = writer.Unacknowledged(t.c.e.cfg.Fence())
	}
	if !t.conn.Autocommit() {
		err = errors.Join(err, control(t.conn, "ROLLBACK"))
	}
	t.gate.Release(nil)
	t.c.pinFailed(err)
	return err
}

// endEngine rolls back, whatever the state after cause.
func (t *transaction) endEngine(cause error) error {
	switch {
	case t.write != nil:
		if t.tainted {
			t.write.GiveAway()
		}
		var kept *sqlite.Conn
		if cause != nil {
			kept, _ = t.write.Abort(cause)
		} else {
			kept, _ = t.write.Rollback()
		}
		t.adopt(kept)
		return nil
	case t.gate != nil:
		var err error
		if !t.conn.Autocommit() {
			err = control(t.conn, "ROLLBACK")
		}
		t.gate.Release(nil)
		t.c.pinFailed(errors.Join(cause, err))
		return err
	}
	return t.endReader(cause)
}

func (t *transaction) endReader(cause error) error {
	if t.snap != nil {
		t.snap.Free()
		t.snap = nil
	}
	if t.reader == nil { // a read-only transaction of a pinned session
		var err error
		if !t.conn.Autocommit() {
			err = control(t.conn, "ROLLBACK")
		}
		return errors.Join(err, control(t.conn, "PRAGMA query_only=0"))
	}
	r := t.reader
	t.reader = nil
	var err error
	if !r.Conn.Autocommit() {
		err = control(r.Conn, "ROLLBACK")
	}
	if t.tainted { // its state must not reach the next lease
		err = errors.Join(err, &sqlite.Error{Code: sqlite.ResultCantOpen})
	}
	if err == nil {
		err = cause
	}
	t.c.e.giveBack(r, err)
	return nil
}

// adopt makes a connection that left the writer the session's own.
func (t *transaction) adopt(conn *sqlite.Conn) {
	if conn == nil {
		return
	}
	if t.evicting { // on the evictor's goroutine, while the session may be at work
		_ = conn.Close()
		return
	}
	t.c.adopt(conn)
	for _, name := range t.pragmas {
		t.c.pin.changed[name] = true
	}
	t.c.drift()
}

// sets notes a pragma that the session has to keep its connection for.
func (t *transaction) sets(v *verdict) {
	if v.class != pragmaSet || t.c.isDefault(v.name, v.value) {
		return
	}
	if t.kind == pinnedTx {
		t.c.pin.changed[v.name] = true
		return
	}
	t.pragmas = append(t.pragmas, v.name)
}

// AtWork tells whether a statement runs.
func (t *transaction) AtWork() bool {
	if !t.mu.TryLock() {
		return true
	}
	t.mu.Unlock()
	return false
}

// evict ends a transaction from outside. If a statement is running it is
// interrupted, and the transaction is ended by the goroutine that runs it.
func (t *transaction) evict() bool {
	t.stop.stop()
	if w := t.writing.Load(); w != nil {
		w.Stop()
	}
	if !t.mu.TryLock() {
		return true
	}
	defer t.mu.Unlock()
	if t.over != nil {
		return false
	}
	t.evicting = true
	t.finish(func() error { return t.endEngine(nil) }, ErrEvicted)
	t.c.e.cfg.Counters.Evictions.Add(1)
	return true
}
