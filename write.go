package holdfast

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"database/sql/driver"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfastdb/holdfast/internal/busy"
	"github.com/holdfastdb/holdfast/internal/dbfile"
	"github.com/holdfastdb/holdfast/internal/locks"
	"github.com/holdfastdb/holdfast/internal/maintain/integrity"
	"github.com/holdfastdb/holdfast/internal/maintain/memory"
	"github.com/holdfastdb/holdfast/internal/session"
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
// the panic goes on. fn must not commit or roll back. It must write through tx: a
// write through db (Exec, BeginTx, Update, Batch) would wait for this very
// transaction, and is ErrSelfDeadlock 50 ms later. That is known for calls on
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

// BatchSettings are the options of a Batch as a Backend gets them.
type BatchSettings struct {
	IdempotencyKey string   // "" is none
	Priority       Priority // of what waits
}

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
	var key *keyedBatch
	if o.key != "" {
		key = &keyedBatch{d: db.h.d, key: o.key, digest: digest(b.Statements())}
	}
	var unknown error
	for n := 0; ; n++ {
		results, err := b.Run(ctx, key.hooks())
		if err == nil {
			db.h.d.counters.Succeeded.Add(1)
			r := key.result(results)
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

// digest identifies the statements of a batch, so that a key used for another
// one is noticed.
func digest(stmts []session.Statement) []byte {
	h := sha256.New()
	part := func(s string) {
		var n [8]byte
		binary.LittleEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	for _, s := range stmts {
		part(s.SQL)
		for _, a := range s.Args {
			part(fmt.Sprintf("%s %T %v", a.Name, a.Value, a.Value))
		}
		if s.Guarded { // else the digest is that of earlier releases
			part(fmt.Sprintf("expect %d", s.Expect))
		}
	}
	return h.Sum(nil)
}

// keyedBatch surrounds a batch with the look-up and the record of its key. It is
// nil where there is none.
type keyedBatch struct {
	d        *database
	key      string
	digest   []byte
	stored   []Result
	repeated bool
}

func (b *keyedBatch) hooks() session.Hooks {
	if b == nil {
		return session.Hooks{}
	}
	return session.Hooks{
		Before: func(c *sqlite.Conn) (bool, error) {
			b.stored, b.repeated = nil, false
			return b.lookUp(c)
		},
		After: func(c *sqlite.Conn, results []session.Result) error { return b.record(c, results) },
	}
}

func (b *keyedBatch) result(results []session.Result) BatchResult {
	if b != nil && b.repeated {
		return BatchResult{Results: b.stored, Repeated: true}
	}
	return BatchResult{Results: publicResults(results)}
}

func publicResults(in []session.Result) []Result {
	out := make([]Result, len(in))
	for i, r := range in {
		out[i] = Result(r)
	}
	return out
}

func (b *keyedBatch) lookUp(c *sqlite.Conn) (done bool, err error) {
	row, found, err := keys.Find(c, b.key)
	if err != nil || !found {
		return false, err
	}
	if string(row.Digest) != string(b.digest) {
		return false, newError("batch", ErrKeyReused, sqlite.ResultMisuse,
			"this idempotency key was used before, for other statements", "use a new key for a new write")
	}
	if err := json.Unmarshal(row.Results, &b.stored); err != nil {
		return false, err
	}
	b.repeated = true
	return true, keys.Touch(c, b.key)
}

func (b *keyedBatch) record(c *sqlite.Conn, results []session.Result) error {
	text, err := json.Marshal(publicResults(results))
	if err != nil {
		return err
	}
	return keys.Record(c, b.key, b.digest, text, b.d.cfg.Writer.IdempotencyRetention)
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
	return d.fence()
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

// Backend is a database that is no file. Open gets one from the package that has
// registered its scheme, and DB passes on to it what it is asked. The embedded
// Connector makes the sessions of the *sql.DB that DB embeds: its connections run Exec
// and Query, refuse BeginTx with ErrUnsupported where there are no interactive
// transactions, and read at ReadLevelOf(ctx).
//
// Its methods are called by several goroutines at once. Their errors are made by
// NewError, or are that of a context that ended before anything was sent. An error that
// isn't ErrOutcomeUnknown says for certain that nothing was written: in doubt it is
// ErrOutcomeUnknown, also when a context has ended. None holds a secret or the value of
// a parameter.
type Backend interface {
	driver.Connector

	// Capabilities is asked often, and sends nothing.
	Capabilities() Capabilities
	// Batch is DB.Batch. Statements that control transactions or change the connection
	// are ErrRefused before anything is sent.
	Batch(ctx context.Context, stmts []Statement, o BatchSettings) (BatchResult, error)
	// Health is DB.Health. An error is only for what keeps it from looking at all; that
	// nobody answers is a finding of a Health that isn't accessible.
	Health(ctx context.Context) (Health, error)
	// Stats is asked often, sends nothing and waits for nobody.
	Stats() Stats
	// Backup writes a copy of the database, as one SQLite file, to w. DB.Backup checks
	// it and gives it its name.
	Backup(ctx context.Context, w io.Writer) error
	// Restore replaces all that is in the database by the SQLite file of size bytes that
	// r yields, whose journal mode is DELETE. DB.Restore has checked it, and counts the
	// rows afterwards, linearizably.
	Restore(ctx context.Context, r io.Reader, size int64) error
	// Close is called once, with the last use of the *sql.DB, and leaves no goroutine.
	Close() error
}

// backends are the openers by their schemes. It is package-level because it is the
// program, by what it imports, that has them: as with database/sql's drivers.
var backends sync.Map

type opener func(ctx context.Context, address string, cfg Config) (Backend, error)

// RegisterBackend makes Open take addresses that begin with scheme and "://". A
// program imports it with the package that calls this, in its init. open gets the
// whole address and the complete Config, of which it honours what has a meaning for it:
// the logger, database.read_only, busy_timeout and connection_timeout at least. It may
// look at the network, within ctx. A second one of a scheme panics, and so does nil.
func RegisterBackend(scheme string, open func(ctx context.Context, address string, cfg Config) (Backend, error)) {
	if open == nil || schemeOf(scheme+"://") != scheme {
		panic("holdfast: RegisterBackend was called with nil, or a scheme that is none")
	}
	if _, taken := backends.LoadOrStore(scheme, opener(open)); taken {
		panic("holdfast: RegisterBackend was called twice for " + scheme)
	}
}

// schemeOf is the scheme of an address, or "" of the name of a file. One letter is a
// volume of Windows.
func schemeOf(path string) string {
	scheme, _, found := strings.Cut(path, "://")
	if !found || len(scheme) < 2 || scheme == "file" {
		return ""
	}
	for _, c := range scheme {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '+' {
			return ""
		}
	}
	return scheme
}

// remote is one Open of a Backend.
type remote struct {
	Backend
	log    *slog.Logger
	closed atomic.Bool
}

// Close is called by the *sql.DB, once.
func (r *remote) Close() error {
	r.closed.Store(true)
	return r.Backend.Close()
}

func openRemote(ctx context.Context, scheme string, cfg Config) (*DB, error) {
	refuse := func(text, next string) (*DB, error) {
		return nil, newError("open", ErrRefused, sqlite.ResultMisuse, text, next)
	}
	open, ok := backends.Load(scheme)
	switch {
	case !ok && scheme == "rqlite":
		return refuse("nothing in this program opens rqlite:// addresses", `import _ "github.com/holdfastdb/holdfast/cluster"`)
	case !ok:
		return refuse(fmt.Sprintf("nothing in this program opens %s:// addresses", scheme), "import the package that does; a file of that name is ./"+scheme+"://...")
	case cfg.Limits.UntrustedSQL || cfg.Limits.UntrustedFile:
		return refuse("the limits for SQL or files from outside hold on a file only", "leave limits.untrusted_sql and limits.untrusted_file off, and give the program a user that may only read")
	case cfg.Replication.Target != "":
		return refuse("replication ships a file", "leave replication.target empty: a cluster replicates itself")
	}
	b, err := open.(opener)(ctx, cfg.Database.Path, cfg)
	if err != nil {
		return nil, err
	}
	r := &remote{Backend: b, log: cfg.Logger}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	pool := sql.OpenDB(r)
	pool.SetMaxIdleConns(idleSessions)
	return &DB{DB: pool, remote: r}, nil
}

func (r *remote) batch(ctx context.Context, stmts []Statement, o writeOptions) (BatchResult, error) {
	if r.closed.Load() {
		return BatchResult{}, errHandleClosed("batch")
	}
	set := BatchSettings{IdempotencyKey: o.key}
	if o.priority != nil {
		set.Priority = *o.priority
	}
	return r.Backend.Batch(ctx, stmts, set)
}
