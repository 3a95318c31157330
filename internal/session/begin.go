package session

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"time"

	"github.com/holdfastdb/holdfast/internal/locks"
	"github.com/holdfastdb/holdfast/internal/sqlite"
	"github.com/holdfastdb/holdfast/internal/writer"
)

// BeginTx opens a transaction: on a reader if opts.ReadOnly, optimistic for
// sql.LevelSnapshot, else on the writer. All other isolation levels are
// accepted: SQLite's transactions are serializable, which satisfies them.
func (c *Conn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	if c.e.guard != nil {
		return c.beginGuarded(ctx, opts)
	}
	kind := writeTx
	switch {
	case opts.ReadOnly:
		kind = readTx
	case sql.IsolationLevel(opts.Isolation) == sql.LevelSnapshot && c.pin == nil && c.e.cfg.Writer != nil && c.e.cfg.JournalMode == "wal":
		kind = optimistic // without WAL there are no snapshots to compare
	}
	if err := c.begin(ctx, kind); err != nil {
		return nil, c.fail(ctx, "begin", "", nil, err)
	}
	c.tx.ctx = ctx
	return driverTx{c.tx}, nil
}

// Begin is BeginTx without a context.
func (c *Conn) Begin() (driver.Tx, error) {
	return c.BeginTx(context.Background(), driver.TxOptions{})
}

func (c *Conn) begin(ctx context.Context, kind txKind) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.tx != nil {
		return misplaced("cannot start a transaction within a transaction")
	}
	t := &transaction{c: c, kind: kind, site: locks.Here(2, locks.Deep), mark: mark(ctx)}
	var err error
	switch {
	case c.pin != nil:
		err = t.beginPinned(ctx, kind == readTx)
	case kind == writeTx:
		err = t.beginWrite(ctx)
	default:
		err = t.beginRead(ctx)
	}
	if err != nil {
		return err
	}
	c.tx = t
	leaseKind := locks.WriteTx
	if t.write == nil && t.gate == nil {
		leaseKind = locks.ReadTx
	}
	t.lease = locks.Lease{Kind: leaseKind, Site: t.site, Since: time.Now(), Context: ctx, Evict: t.evict, Work: t}
	c.e.cfg.Locks.Add(&t.lease)
	c.occupied(1)
	return nil
}

func (t *transaction) beginWrite(ctx context.Context) error {
	w := t.c.e.cfg.Writer
	if w == nil {
		return ErrReadOnly
	}
	tx, err := w.Begin(ctx, t.request(ctx))
	if err != nil {
		return err
	}
	t.write, t.conn = tx, tx.Conn()
	t.writing.Store(tx)
	t.conn.SetCounters(t.c.lastRowID, t.c.changes, t.conn.TotalChanges())
	return nil
}

func (t *transaction) request(ctx context.Context) writer.Request {
	r := t.c.request(ctx, t.site, "")
	r.Mark = t.mark
	return r
}

func (t *transaction) beginRead(ctx context.Context) error {
	e := t.c.e
	r, err := e.cfg.Pool.Get(ctx)
	if err != nil {
		return err
	}
	r.Busy.Arm(ctx, t.c.budget, &t.stop.told)
	err = control(r.Conn, "BEGIN")
	if err == nil && t.kind == optimistic {
		t.snap, err = snapshot(r.Conn)
	}
	r.Busy.Disarm()
	if err != nil {
		e.giveBack(r, err)
		return err
	}
	r.Conn.SetCounters(t.c.lastRowID, t.c.changes, t.c.total)
	e.cfg.Pool.Keep(r)
	t.reader, t.conn = r, r.Conn
	return nil
}

// snapshot names the state that the transaction open on c reads. It is nil, as
// SQLite has no name for it, while nothing has been written to the log since it
// was made: a reader of that state keeps the log from being emptied again, so
// two such answers in its lifetime are about the same state.
func snapshot(c *sqlite.Conn) (*sqlite.Snapshot, error) {
	if _, err := c.QueryInt64("PRAGMA schema_version"); err != nil { // a read, so that there is one
		return nil, err
	}
	s, err := c.SnapshotGet("main")
	if sqlite.Code(err) == sqlite.ResultError {
		return nil, nil
	}
	return s, err
}

func sameSnapshot(a, b *sqlite.Snapshot) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Compare(b) == 0
}

// beginPinned opens the transaction on the session's own connection; one that
// may write takes the writer's gate first.
func (t *transaction) beginPinned(ctx context.Context, readOnly bool) error {
	t.kind = pinnedTx
	t.conn = t.c.pin.conn
	verb := "BEGIN"
	if !readOnly {
		w := t.c.e.cfg.Writer
		if w == nil {
			return ErrReadOnly
		}
		gate, err := w.Hold(ctx, t.request(ctx))
		if err != nil {
			return err
		}
		t.gate = gate
		verb = "BEGIN IMMEDIATE"
	}
	t.arm(ctx, t.c.budget, "")
	err := control(t.conn, verb)
	if err == nil && readOnly {
		err = control(t.conn, "PRAGMA query_only=1")
	}
	t.disarm()
	if err != nil && t.gate != nil {
		t.gate.Release(nil)
	}
	return err
}
