package holdfast

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"os"
	"reflect"
	"time"

	"github.com/holdfastdb/holdfast/internal/busy"
	"github.com/holdfastdb/holdfast/internal/dbfile"
	"github.com/holdfastdb/holdfast/internal/locks"
	"github.com/holdfastdb/holdfast/internal/maintain/integrity"
	"github.com/holdfastdb/holdfast/internal/maintain/memory"
	"github.com/holdfastdb/holdfast/internal/session"
	"github.com/holdfastdb/holdfast/internal/session/row"
	"github.com/holdfastdb/holdfast/internal/sqlite"
	"github.com/holdfastdb/holdfast/internal/writer"
	"github.com/holdfastdb/holdfast/internal/writer/keys"
)

// Priority orders waiting writes. Within one priority it is first come, first
// served; a higher one goes first, always.
type Priority int

// The priorities. The zero value is Normal.
const (
	Low Priority = iota - 1
	Normal
	High
)

func (p Priority) internal() writer.Priority {
	switch {
	case p > Normal:
		return writer.High
	case p < Normal:
		return writer.Low
	}
	return writer.Normal
}

func publicPriority(p writer.Priority) Priority {
	switch p {
	case writer.High:
		return High
	case writer.Low:
		return Low
	}
	return Normal
}

// WithPriority returns a context whose writes queue with priority p, for calls
// that take no options: ExecContext, BeginTx, an ORM's.
func WithPriority(ctx context.Context, p Priority) context.Context {
	return session.WithPriority(ctx, p.internal())
}

type writeOptions struct {
	priority  *Priority
	key       string
	isolation sql.IsolationLevel
}

// TxOption changes one Update.
type TxOption interface{ tx(*writeOptions) }

// BatchOption changes one Batch.
type BatchOption interface{ batch(*writeOptions) }

// WriteOption is both a TxOption and a BatchOption.
type WriteOption func(*writeOptions)

func (o WriteOption) tx(w *writeOptions)    { o(w) }
func (o WriteOption) batch(w *writeOptions) { o(w) }

type txOnly func(*writeOptions)

func (o txOnly) tx(w *writeOptions) { o(w) }

// AtPriority queues the write with priority p. Default: that of the context,
// else Normal.
func AtPriority(p Priority) WriteOption {
	return func(o *writeOptions) { o.priority = &p }
}

// IdempotencyKey makes the write happen once for its key, also across a crash
// or ErrOutcomeUnknown: the key is recorded in the same transaction, in the
// table holdfast_idempotency, and a repetition finds it and does nothing. Keys
// are kept for writer.idempotency_retention (7 days). A key that was used for
// other statements of a Batch is ErrKeyReused. The empty key is no key.
func IdempotencyKey(key string) WriteOption {
	return func(o *writeOptions) { o.key = key }
}

// Optimistic runs an Update on a reader's snapshot until its first write, and
// moves to the writer then, if the database is still that snapshot; if not, it
// runs again. A transaction that turns out to read only never takes the writer.
func Optimistic() TxOption {
	return txOnly(func(o *writeOptions) { o.isolation = sql.LevelSnapshot })
}

// Update runs fn in a write transaction and commits it. If fn returns an error
// it is rolled back and the error returned; if fn panics it is rolled back and
// the panic goes on. fn must not commit or roll back; COMMIT and ROLLBACK as text
// are ErrRefused in every *sql.Tx. It must write through tx: a write through db
// (Exec, BeginTx, Update, Batch) would wait for this very transaction, and is ErrSelfDeadlock 50 ms later. That is known for calls on
// fn's own goroutine; one that fn has started and waits for gets ErrBusy.
//
// fn may write to other databases. Two functions that take the same two in
// opposite orders wait for each other when they meet, and then the last one gets
// ErrSelfDeadlock. The contradiction is logged before that, once, as soon as both
// orders have been seen in this process, with both stacks; likewise for more than
// two. A transaction begun by BeginTx counts as the second in an order, never as
// the first, and a mutex of the program's that keeps the functions apart is not
// seen. Where writes look alike, inside of functions and outside, one in 64 is
// looked at after the first few.
//
// In DURABLE mode (replication.mode) it returns when the transaction is at the
// target, or with ErrOutcomeUnknown if nobody knows whether it is, and then it is
// committed here for certain; it is the same with every other write. Reads see
// what is committed here and wait for nothing.
//
// A transaction that was rolled back through no fault of its own (ErrRolledBack,
// ErrConflict) is run again, up to retry_logic.max_retries times and within
// busy_timeout, so fn must be safe to repeat. Update blocks in the write queue
// until ctx ends or busy_timeout is over (ErrBusy).
func (db *DB) Update(ctx context.Context, fn func(tx *sql.Tx) error, opts ...TxOption) error {
	if err := db.needsFile("update"); err != nil {
		return err
	}
	u := new(updating)
	o := &u.writeOptions
	for _, opt := range opts {
		opt.tx(o)
	}
	ctx = o.context(ctx)
	u.Closure = session.Closure{Context: ctx, Mark: nextMark()}
	cfg := db.h.d.cfg
	pause := busy.Backoff{
		Base: cfg.RetryLogic.BaseWaitTime, Max: cfg.RetryLogic.MaxWaitTime,
		Exponential: cfg.RetryLogic.ExponentialBackoff.Enabled(), Jitter: cfg.RetryLogic.Jitter.Enabled(),
	}
	start := time.Now()
	var unknown error
	for n := 0; ; n++ {
		err := db.updateOnce(u, fn)
		again := o.repeatable(err) && n < cfg.RetryLogic.MaxRetries
		if err, unknown = unsettled(unknown, err); err == nil || !again {
			return err
		}
		d := pause.Delay(n)
		if time.Since(start)+d > cfg.Database.BusyTimeout {
			return err
		}
		db.h.d.counters.Retries.Add(1)
		if e := busy.Sleep(ctx, d); e != nil {
			e, _ = unsettled(unknown, e)
			return e
		}
	}
}

func (o *writeOptions) context(ctx context.Context) context.Context {
	if o.priority != nil {
		return WithPriority(ctx, *o.priority)
	}
	return ctx
}

// repeatable tells whether running the transaction again is safe and may help.
func (o *writeOptions) repeatable(err error) bool {
	return errors.Is(err, ErrRolledBack) || errors.Is(err, ErrConflict) ||
		o.key != "" && errors.Is(err, ErrOutcomeUnknown) && !errors.Is(err, ErrNotReplicated) // which only waiting helps
}

// unsettled returns the error of an attempt and, if that or an earlier one may
// have been committed, the error that says so. What a repetition dies of says
// nothing about the attempt before: as long as it has not found or made the
// write, the outcome stays unknown.
func unsettled(unknown, err error) (answer, stillUnknown error) {
	switch {
	case err == nil || errors.Is(err, ErrOutcomeUnknown):
		return err, err
	case unknown == nil:
		return err, nil
	}
	return fmt.Errorf("%w; repeating it failed: %w", unknown, err), unknown
}

// updating is one call of Update. It is the context of its transactions, which
// saves an allocation.
type updating struct {
	session.Closure
	writeOptions
}

func (db *DB) updateOnce(ctx *updating, fn func(tx *sql.Tx) error) (err error) {
	o := &ctx.writeOptions
	tx, err := db.BeginTx(&ctx.Closure, &sql.TxOptions{Isolation: o.isolation})
	if err != nil {
		return err
	}
	committed := false
	defer func() {
		if !committed {
			// Also when fn panicked: the panic goes on after this.
			if e := tx.Rollback(); e != nil && !errors.Is(e, sql.ErrTxDone) && err == nil {
				err = e
			}
		}
	}()
	if o.key != "" {
		done, err := keys.UsedIn(ctx, tx, o.key)
		if done && err == nil {
			committed = true
			return tx.Commit()
		}
		if err != nil {
			return err
		}
	}
	if err := locks.Under(ctx.Mark, func() error { return fn(tx) }); err != nil {
		return err
	}
	if o.key != "" {
		if err := keys.RecordIn(ctx, tx, o.key, db.h.d.cfg.Writer.IdempotencyRetention); err != nil {
			return err
		}
	}
	committed = true
	return tx.Commit()
}

// View runs fn in a read-only transaction: one snapshot for all its reads. A
// write in it is ErrReadOnlyTx, refused by the engine. It waits for a reader
// until ctx ends or connection_timeout is over.
func (db *DB) View(ctx context.Context, fn func(tx *sql.Tx) error) error {
	if err := db.needsFile("view"); err != nil {
		return err
	}
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // nothing was written
	return fn(tx)
}

// Statement is one statement of a Batch.
type Statement struct {
	SQL  string
	Args []any // as for ExecContext; sql.Named works

	// Expect is how many rows it must affect: Exactly(1). If it affects another number
	// the whole batch is rolled back with ErrGuardFailed. The zero value expects
	// nothing. So a batch decides by what it finds where there are no interactive
	// transactions: UPDATE ... WHERE balance >= ?, expecting one row.
	Expect Expectation
}

// Expectation is the number of rows that a statement must affect; see Exactly.
type Expectation struct {
	rows int64
	set  bool
}

// Exactly expects n rows to be affected, of which there may be none.
func Exactly(n int64) Expectation { return Expectation{n, true} }

// Rows returns the number, and whether any is expected.
func (e Expectation) Rows() (n int64, set bool) { return e.rows, e.set }

// Result is what one statement of a Batch did.
type Result struct {
	LastInsertID int64 `json:"last_insert_id"`
	RowsAffected int64 `json:"rows_affected"`
}

// BatchResult is what a Batch did.
type BatchResult struct {
	Results  []Result // one per statement
	Repeated bool     // the IdempotencyKey was known: nothing was run again
}

// Batch runs statements as one transaction, all or nothing, and returns when
// it is committed. It is the fastest way to write: whoever leads the commit
// group runs it, together with others', without a round trip for each
// statement. Statements that control transactions or change the connection
// (BEGIN, ATTACH, PRAGMA that sets, VACUUM) are ErrRefused. It blocks in the
// write queue until ctx ends or busy_timeout is over (ErrBusy).
func (db *DB) Batch(ctx context.Context, stmts []Statement, opts ...BatchOption) (BatchResult, error) {
	o := batchOptions(opts)
	if db.remote != nil {
		return db.remote.batch(ctx, stmts, o)
	}
	ctx = o.context(ctx)
	b, err := db.newBatch(stmts)
	if err != nil {
		return BatchResult{}, translate("batch", "", locks.Site{}, nil, err)
	}
	key := b.Once(o.key, db.h.d.cfg.Writer.IdempotencyRetention)
	var unknown error
	for n := 0; ; n++ {
		results, err := b.Run(ctx, key.Hooks())
		if err == nil {
			db.h.d.counters.Succeeded.Add(1)
			results, repeated := key.Results(results)
			r := BatchResult{Results: publicResults(results), Repeated: repeated}
			b.Release()
			return r, nil
		}
		db.h.d.counters.Failed.Add(1)
		cerr := ctx.Err()
		if cerr != nil && (err == cerr || busy.Classify(sqlite.Code(err)) == busy.Cancelled) {
			err = cerr
		} else {
			err = db.h.d.fail("batch", "", locks.Site{}, nil, err)
		}
		again := o.repeatable(err) && n < db.h.d.cfg.RetryLogic.MaxRetries
		if err, unknown = unsettled(unknown, err); !again {
			return BatchResult{}, err
		}
		db.h.d.counters.Retries.Add(1)
	}
}

// batchOptions keeps the options off the heap where there are none.
func batchOptions(opts []BatchOption) (o writeOptions) {
	if len(opts) == 0 {
		return o
	}
	set := new(writeOptions)
	for _, opt := range opts {
		opt.batch(set)
	}
	return *set
}

// newBatch gives arguments the types that a driver takes, as database/sql does.
func (db *DB) newBatch(stmts []Statement) (*session.Batch, error) {
	n := 0
	for _, s := range stmts {
		n += len(s.Args)
	}
	b := db.h.NewBatch(len(stmts), n)
	for i, s := range stmts {
		args := b.Add(s.SQL, len(s.Args))
		for j, a := range s.Args {
			var err error
			if args[j], err = session.NamedValue(j+1, a); err != nil {
				return nil, &session.ArgumentError{Reason: fmt.Sprintf("argument %d of statement %d has type %T, which SQLite can't store", j+1, i+1, args[j].Value)}
			}
		}
		if n, guarded := s.Expect.Rows(); guarded {
			b.Guard(n)
		}
	}
	return b, nil
}

func publicResults(in []session.Result) []Result {
	out := make([]Result, len(in))
	for i, r := range in {
		out[i] = Result(r)
	}
	return out
}

// Type is the type of a value in the database, which belongs to the value and
// not to its column. See https://www.sqlite.org/datatype3.html.
type Type int

// The types of values.
const (
	TypeInteger Type = Type(sqlite.TypeInteger)
	TypeFloat   Type = Type(sqlite.TypeFloat)
	TypeText    Type = Type(sqlite.TypeText)
	TypeBlob    Type = Type(sqlite.TypeBlob)
	TypeNull    Type = Type(sqlite.TypeNull)
)

// Rows runs a query and yields its rows: the way to read for hot loops, several
// times faster than QueryContext, because values come from the engine's memory
// without a copy, and without a box, a conversion and a call through database/sql
// for each.
//
//	for row, err := range db.Rows(ctx, "SELECT id, name FROM user WHERE age > ?", 30) {
//		if err != nil {
//			return err
//		}
//		use(row.Int64(0), row.Text(1))
//	}
//
// Every use of the result runs the query anew, on a reader and in a snapshot of
// its own; it is part of no transaction. An error, of the query or of a later
// row, is yielded once, with a nil row, as the last. The row is valid until the
// next one is asked for and must not be kept, nor used by two goroutines.
// Statements that write are ErrRefused, also those that return rows.
//
// A result of one row gives its reader back before it is yielded. A longer one
// holds it, and its snapshot, until the loop ends in whatever way; it is reported
// when that takes longer than connection_pool.leak_threshold, and ends with
// ErrEvicted at its next row when it is older than max_lease_age. Waiting for a
// reader ends with ctx or after connection_timeout (ErrBusy); the end of ctx also
// ends the query. Arguments are as for QueryContext.
func (db *DB) Rows(ctx context.Context, query string, args ...any) iter.Seq2[*Row, error] {
	if db.remote != nil {
		return db.remoteRows(ctx, query, args)
	}
	return func(yield func(*Row, error) bool) {
		r, more, err := db.h.Read(ctx, query, args)
		if err == nil {
			defer r.Close()
			if more {
				err = yieldRows(r, yield)
			}
		}
		if err != nil {
			yield(nil, err)
			return
		}
		r.Counted()
	}
}

// yieldRows yields the rows of r, which is on its first.
func yieldRows(r *session.Reading, yield func(*Row, error) bool) error {
	row := new(Row)
	row.r.Name(r.Names())
	row.r.Hold(r.Stmt())
	more, err := r.Next()
	if more {
		r.Keep(locks.Here(2, locks.Deep))
	} else {
		r.Close() // so that the queries in the loop find a reader
	}
	if !yield(row, nil) {
		return nil
	}
	for more {
		row.r.Follow(r.Stmt())
		if !yield(row, nil) {
			break
		}
		more, err = r.Next()
	}
	row.r.Forget()
	return err
}

// Row is the current row of Rows. Columns are numbered from 0; a number that the
// row doesn't have reads as NULL.
type Row struct{ r row.Row }

// Len returns the number of columns.
func (r *Row) Len() int { return len(r.r.Names()) }

// Name returns the name of a column: that of its AS clause, or what SQLite made
// up.
func (r *Row) Name(i int) string {
	if names := r.r.Names(); uint(i) < uint(len(names)) {
		return names[i]
	}
	return ""
}

// Type returns the type of a value.
func (r *Row) Type(i int) Type { return Type(r.r.Type(i)) }

// IsNull reports whether a value is NULL.
func (r *Row) IsNull(i int) bool { return r.Type(i) == TypeNull }

// Int64 returns an INTEGER. Of a REAL it is the integer part (the nearest int64
// if that is too large), of a TEXT or BLOB the decimal integer that it spells,
// and 0 of anything else.
func (r *Row) Int64(i int) int64 { return r.r.Int64(i) }

// Float64 returns a REAL. Of an INTEGER it is the same number, of a TEXT or BLOB
// the decimal number that it spells, and 0 of anything else.
func (r *Row) Float64(i int) float64 { return r.r.Float64(i) }

// Text returns a TEXT, or the bytes of a BLOB, as a string of the caller's own.
// Numbers are formatted, NULL is "". Bytes does not copy.
func (r *Row) Text(i int) string { return r.r.Text(i) }

// Bytes returns the bytes of a TEXT or BLOB without a copy: they are the
// engine's, must not be changed, and are valid until the next row only. Numbers
// are formatted. It is nil for NULL and for nothing else.
func (r *Row) Bytes(i int) []byte { return r.r.Bytes(i) }

// Value returns a value as the type it has: int64, float64, string, []byte (a
// copy) or nil.
func (r *Row) Value(i int) any { return r.r.Value(i) }

// Scan copies the columns into the variables that dest points to, one for each
// column. It takes pointers to the types that (*sql.Rows).Scan takes, except
// sql.RawBytes, and converts between numbers, text and booleans only where
// nothing is lost. NULL needs a pointer to a pointer, an any, a []byte or an
// sql.Scanner such as sql.NullString. A value that does not fit is an error that
// names the column and the types.
func (r *Row) Scan(dest ...any) error { return misfit(r.r.Scan(dest...)) }

// misfit makes the library's error of what a row and a variable don't have in common.
func misfit(err error) error {
	if e, ok := err.(*row.MisfitError); ok { //nolint:errorlint // a wrapped one is of a Scanner of the program's
		return newError("scan", ErrInvalid, sqlite.ResultMismatch, e.Error(), "")
	}
	return err
}

// String names the type as SQLite does.
func (t Type) String() string { return row.TypeName(sqlite.Type(t)) }

// Collect reads all rows into a slice, which is empty and not nil if there are
// none:
//
//	users, err := holdfast.Collect[User](db.Rows(ctx, "SELECT id, name FROM user"))
//
// T is a struct, whose fields are the columns by the name in a `db:"..."` tag or
// else by their own name, in any case and with or without underscores; embedded
// structs count as their fields, and `db:"-"` is no field. A column without a
// field is an error, a field without a column keeps its zero value. Any other T,
// also one that implements sql.Scanner, and time.Time, is the value of a single
// column. What fits is what fits in (*Row).Scan.
//
// The first error ends it and is returned with the rows before it.
func Collect[T any](rows iter.Seq2[*Row, error]) ([]T, error) {
	out := []T{}
	var plan row.Plan
	for r, err := range rows {
		if err != nil {
			return out, err
		}
		if plan == nil {
			if plan, err = row.PlanFor(reflect.TypeFor[T](), &r.r); err != nil {
				return out, misfit(err)
			}
		}
		out = append(out, *new(T))
		if err := plan.Set(&r.r, reflect.ValueOf(&out[len(out)-1]).Elem()); err != nil {
			return out[:len(out)-1], misfit(err)
		}
	}
	return out, nil
}

// guardAgainstDamage sets up what stops the writes of a damaged database.
func (d *database) guardAgainstDamage() {
	if d.memory != nil || d.name.Immutable || d.cfg.Database.ReadOnly {
		return
	}
	d.quarantine = integrity.NewQuarantine(integrity.QuarantineConfig{
		Open: func(ctx context.Context) (*sqlite.Conn, error) { return d.connectAs(ctx, reading, memory.Check) },
		Bare: func() (*sqlite.Conn, error) { return d.profile.probe.Open(d.path, sqlite.OpenReadWrite) },
		Exclude: func(ctx context.Context) (func(), error) {
			if d.checkpoints == nil {
				return func() {}, nil
			}
			return d.checkpoints.Exclude(ctx)
		},
		Identity: d.identity, Free: freeBytes, Path: d.path, WriteOn: d.cfg.Writer.WriteWhenDamaged,
		OnFound: func(found integrity.Damage) {
			d.log.Error("holdfast: the database is damaged", "path", d.path, "met_by", found.Op, "evidence", found.Evidence, "writes_stop", !d.cfg.Writer.WriteWhenDamaged,
				"next", "restore a verified backup (holdfast restore); holdfast salvage copies what can be read")
		},
		OnKept: func(found integrity.Damage) {
			if found.NotKept != "" {
				d.log.Error("holdfast: the files of the damaged database could not be kept", "path", d.path, "reason", found.NotKept)
				return
			}
			d.log.Warn("holdfast: the files of the damaged database are kept as they were", "path", d.path, "directory", found.Kept)
		},
	})
	d.quarantine.Remember()
}

// identity names the file and the state that it was last written in. A restore, a copy
// in its place and a repair make it another one, also where the inode is the same.
func (d *database) identity() string {
	info, err := os.Stat(d.path)
	if err != nil {
		return ""
	}
	id, _, err := dbfile.Identify(d.path)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%s:%d:%d", id, info.Size(), info.ModTime().UnixNano())
}

// mayWrite is nil while what is written may be acknowledged.
func (d *database) mayWrite() error {
	if d.quarantine != nil {
		if err := d.quarantine.Err(); err != nil {
			return err
		}
	}
	if err := d.outbid(); err != nil {
		return err
	}
	return d.fence()
}

// outbid is why another machine may have taken over. Unlike with a file that is gone, reads
// go on.
func (d *database) outbid() error {
	if f, ok := d.replication.(Fencer); ok {
		return f.Fenced()
	}
	return nil
}

func (d *database) isDamaged() bool { return d.quarantine != nil && d.quarantine.Found() != nil }

// suspect has an error looked into that may mean damage. It returns when that is
// clear, and until then no write is acknowledged.
func (d *database) suspect(op, sql string, err error) {
	if d.quarantine != nil {
		d.quarantine.Suspect(op, sql, err)
	}
}

// condemn takes what a check of the whole database has found.
func (d *database) condemn(op string, problems []string) {
	if d.quarantine != nil {
		d.quarantine.Condemn(op, problems)
	}
}

// EndHolder ends what Locks shows: a transaction is rolled back, a result closed, and who
// has it gets ErrEvicted at the next use, as for max_lease_age. It reports whether anything
// was ended: nothing is that has ended by itself, is in the middle of a statement that can't
// be stopped at once, or is neither a transaction nor a result of this process. h is found by its
// kind, call site and beginning.
func (db *DB) EndHolder(h LockHolder) bool {
	if db.remote != nil {
		return false
	}
	d := db.h.d
	writing := h.Kind == string(locks.WriteTx)
	if !writing && h.Kind != string(locks.ReadTx) && h.Kind != string(locks.Rows) {
		return false
	}
	begun := h.Since
	if writing { // it had the writer before it was on record as a transaction
		begun = time.Time{}
		if d.writer != nil {
			if now, _, _ := d.writer.Waiting(0); now.Since.Equal(h.Since) {
				begun = d.transactionOf(h)
			}
		}
	}
	if begun.IsZero() {
		return false
	}
	ended := d.registry.EvictIf(func(l *locks.Lease) bool {
		return string(l.Kind) == h.Kind && l.Since.Equal(begun) && callSite(l.Site) == h.CallSite
	})
	for _, l := range ended {
		d.log.Warn("holdfast: ended, because somebody asked for it", "path", d.path, "kind", string(l.Kind),
			"held", time.Since(l.Since).Round(time.Millisecond), "caller", l.Site.String())
	}
	return len(ended) > 0
}

// transactionOf is when the transaction that has the writer was put on record. Those of
// its place that come later wait for the writer before they are.
func (d *database) transactionOf(h LockHolder) time.Time {
	for _, l := range d.registry.Snapshot() { // the oldest first
		if l.Kind == locks.WriteTx && callSite(l.Site) == h.CallSite && !l.Since.Before(h.Since) {
			return l.Since
		}
	}
	return time.Time{}
}
