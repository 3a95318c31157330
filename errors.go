package holdfast

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast/internal/busy"
	"github.com/holdfastdb/holdfast/internal/dbfile"
	"github.com/holdfastdb/holdfast/internal/locks"
	"github.com/holdfastdb/holdfast/internal/maintain/checkpoint"
	"github.com/holdfastdb/holdfast/internal/maintain/integrity"
	"github.com/holdfastdb/holdfast/internal/maintain/schedule"
	"github.com/holdfastdb/holdfast/internal/pool"
	"github.com/holdfastdb/holdfast/internal/session"
	"github.com/holdfastdb/holdfast/internal/sqlite"
	"github.com/holdfastdb/holdfast/internal/stats"
	"github.com/holdfastdb/holdfast/internal/writer"
)

// What an error can be asked for with errors.Is. The error itself is an *Error
// or wraps one, and its text tells the next step.
var (
	// ErrBusy: a lock, or a connection, was not free within busy_timeout.
	ErrBusy = errors.New("busy")
	// ErrConflict: a LevelSnapshot transaction wrote although the database had
	// changed since its snapshot. Running it again is safe; Update does.
	ErrConflict = errors.New("changed since the snapshot")
	// ErrRolledBack: the transaction was rolled back through no fault of its own.
	// Nothing of it is in the database. Running it again is safe; Update does.
	ErrRolledBack = errors.New("rolled back")
	// ErrOutcomeUnknown: COMMIT was under way and nobody can tell whether it
	// survives. Repeat the write with the IdempotencyKey that it had, or ask the
	// database: what isn't there may still come back, but only by a crash before the
	// next write that succeeds. With ErrNotReplicated it survives here, and perhaps
	// nowhere else. With ErrDiskFull it is not there now.
	ErrOutcomeUnknown = errors.New("outcome unknown")
	// ErrSelfDeadlock: a function given to Update wrote through the database
	// handle, and waited for its own transaction; or two took two databases in
	// opposite order. Nothing was written by that call.
	ErrSelfDeadlock = errors.New("waits for its own transaction")
	// ErrReadOnlyTx: a write in a transaction that was begun read-only.
	ErrReadOnlyTx = errors.New("write in a read-only transaction")
	// ErrReadOnly: a write to a database that was opened read-only, or that
	// can't be written.
	ErrReadOnly = errors.New("read-only")
	// ErrFenced: the path no longer names the file that was opened, or the -wal
	// or -shm beside it was removed or replaced, or the database is damaged (then it
	// is ErrCorrupt too, and reads go on), or another machine may have taken over
	// (replication.lease; reads go on). Nothing is acknowledged any more; of a write
	// that was under way just then the outcome is unknown.
	ErrFenced = errors.New("fenced")
	// ErrEvicted: a transaction or result was ended because it was held longer
	// than allowed.
	ErrEvicted = errors.New("evicted")
	// ErrQueueFull: writer.queue_limit units are waiting already.
	ErrQueueFull = errors.New("write queue full")
	// ErrRefused: a statement, name or file that Holdfast does not accept.
	ErrRefused = errors.New("refused")
	// ErrInvalid: the SQL text or its arguments can't be run at all.
	ErrInvalid = errors.New("invalid statement")
	// ErrKeyReused: an IdempotencyKey was used before for other statements.
	ErrKeyReused = errors.New("idempotency key reused")
	// ErrDiskFull: no space was left. Nothing was written, unless it is also
	// ErrOutcomeUnknown.
	ErrDiskFull = errors.New("disk full")
	// ErrCorrupt: the file is damaged, or not a database.
	ErrCorrupt = errors.New("corrupt")
	// ErrIO: the file system failed to read, write or sync.
	ErrIO = errors.New("input/output error")
	// ErrCannotOpen: the file could not be opened or created.
	ErrCannotOpen = errors.New("cannot open")
	// ErrNotReplicated: replication could not begin; or what is committed here may
	// not be at replication.target, and then the error says so of which writes. The
	// error of the replicator is there to unwrap.
	ErrNotReplicated = errors.New("not replicated")
	// ErrGuardFailed: a statement of a Batch affected another number of rows than it
	// was expected to, and all of the batch was rolled back. errors.As with a
	// *GuardError tells the numbers.
	ErrGuardFailed = errors.New("guard failed")
	// ErrUnsupported: the back end can't do this; the error says how to do it there.
	// Nothing was sent or changed. DB.Capabilities tells it beforehand.
	ErrUnsupported = errors.New("not supported by this back end")
	// ErrClosed: the database was closed.
	ErrClosed = errors.New("closed")
)

// Error is every failure that Holdfast reports, except the end of a context,
// which is returned as it is. It never contains the value of a parameter.
type Error struct {
	Code         int           // SQLite's primary result code, such as 5 for SQLITE_BUSY
	ExtendedCode int           // and the extended one, such as 517; see https://www.sqlite.org/rescode.html
	Statement    int           // which of a Batch failed, counted from 1; 0 if none of them did
	Op           string        // "open", "exec", "query", "prepare", "begin", "commit", "rollback", "ping", "batch", "update", "checkpoint"
	SQL          string        // the statement without its literals, cut to 300 bytes; may be empty
	Attempts     int           // how often the lock was tried, at least 1
	Waited       time.Duration // how long a lock was waited for
	Holder       *Holder       // who was in the way, if that is known

	text string
	kind error // one of the variables above, or nil
	next string
	err  error
}

// Holder is who holds a lock.
type Holder struct {
	Kind     string    // "transaction", "statement", "exclusive work" or "another process"; "rows" or "read transaction" in the way of a checkpoint, and of what was evicted
	CallSite string    // "billing.go:88 (shop/billing.Charge)", if it is in this process
	SQL      string    // its last statement, without literals
	Since    time.Time // when it got the lock, or was first in the way; zero if unknown

	// Of another process, where the system tells (Linux).
	PID     int    // 0 if unknown
	Program string // "python3"
	State   string // "running", "sleeping", "stopped", ...
	Lock    string // "WAL_WRITE", "RESERVED", ...; see the locks of DB.Locks. "TURN": that of the lock file beside the database
}

// Error says what happened and what to do about it.
func (e *Error) Error() string {
	if e.next == "" {
		return e.text
	}
	return e.text + "; " + e.next
}

// Is matches the variables of this package.
func (e *Error) Is(target error) bool { return e.kind != nil && target == e.kind }

// Unwrap returns the cause: a context's error, an operating system's error, or nil.
func (e *Error) Unwrap() error { return e.err }

// As answers errors.As for the error types of the drivers that a program may
// come from, *sqlite.Error of modernc.org/sqlite (and of its fork glebarez/go-sqlite)
// and sqlite3.Error of mattn/go-sqlite3, so that its questions still get their
// answers. The types are found by name: importing those packages would register
// their drivers in every program.
func (e *Error) As(target any) bool {
	v := reflect.ValueOf(target).Elem() // errors.As has checked that it is a pointer
	t := v.Type()
	if t.Kind() == reflect.Struct && t.PkgPath() == "github.com/mattn/go-sqlite3" && t.Name() == "Error" {
		code, extended := v.FieldByName("Code"), v.FieldByName("ExtendedCode")
		if !code.CanInt() || !extended.CanInt() {
			return false
		}
		code.SetInt(int64(e.Code))
		extended.SetInt(int64(e.ExtendedCode))
		return true
	}
	if t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct || t.Elem().Name() != "Error" ||
		t.Elem().PkgPath() != "modernc.org/sqlite" && t.Elem().PkgPath() != "github.com/glebarez/go-sqlite" {
		return false
	}
	other := reflect.New(t.Elem())
	msg, code := other.Elem().FieldByName("msg"), other.Elem().FieldByName("code")
	if msg.Kind() != reflect.String || code.Kind() != reflect.Int {
		return false
	}
	// The fields are private to their package, and it has no constructor.
	*(*string)(msg.Addr().UnsafePointer()) = e.text
	*(*int)(code.Addr().UnsafePointer()) = e.ExtendedCode
	v.Set(other)
	return true
}

// failure is how internal errors become public: the first row that matches.
type failure struct {
	match error
	kind  error
	code  sqlite.ResultCode
	next  string
}

var failures = []failure{
	{writer.ErrOutcomeUnknown, ErrOutcomeUnknown, sqlite.ResultIOErr, "look whether the write is there, or repeat it with the IdempotencyKey it had"},
	{writer.ErrRolledBack, ErrRolledBack, sqlite.ResultAbortRollback, "run the transaction again"},
	{writer.ErrQueueFull, ErrQueueFull, sqlite.ResultBusy, "slow the writers down, or raise writer.queue_limit"},
	{writer.ErrClosed, ErrClosed, sqlite.ResultMisuse, ""},
	{writer.ErrEnded, ErrRolledBack, sqlite.ResultMisuse, ""},
	{pool.ErrClosed, ErrClosed, sqlite.ResultMisuse, ""},
	{integrity.ErrClosed, ErrClosed, sqlite.ResultMisuse, ""},
	{checkpoint.ErrClosed, ErrClosed, sqlite.ResultMisuse, ""},
	{checkpoint.ErrHandedOver, ErrRefused, sqlite.ResultMisuse, "checkpoint with PASSIVE, or set maintenance.checkpoints to OWN if nobody else does it"},
	{schedule.ErrClosed, ErrClosed, sqlite.ResultMisuse, ""},
	{errClosedUnder, ErrClosed, sqlite.ResultMisuse, "end transactions and loops over rows before Close"},
	{pool.ErrExhausted, ErrBusy, sqlite.ResultBusy, "close rows and read transactions sooner, or raise connection_pool.max_connections"},
	{session.ErrReadOnlyTx, ErrReadOnlyTx, sqlite.ResultReadOnly, "begin the transaction without ReadOnly"},
	{session.ErrReadOnly, ErrReadOnly, sqlite.ResultReadOnly, "open the database without WithReadOnly"},
	{session.ErrEvicted, ErrEvicted, sqlite.ResultAbort, "hold it for less time, or raise connection_pool.max_lease_age"},
	{session.ErrConflict, ErrConflict, sqlite.ResultBusySnapshot, "run the transaction again"},
	{session.ErrRefused, ErrRefused, sqlite.ResultAuth, ""},
	{session.ErrKeyReused, ErrKeyReused, sqlite.ResultMisuse, "use a new key for a new write"},
	{session.ErrTxLost, ErrRolledBack, sqlite.ResultAbortRollback, "run the transaction again"},
	{errFencedFile, ErrFenced, sqlite.ResultReadOnlyDBMoved, "close this handle; before anybody opens a file that took the name, move the old -wal and -shm away, for they belong to the old file"},
	{errFencedLog, ErrFenced, sqlite.ResultReadOnlyDBMoved, "close this handle before anybody else opens the database: if nobody else has it, what the log holds goes into the file with it"},
	{ErrFenced, ErrFenced, sqlite.ResultReadOnly, "close this handle: write to the machine that has the lease (holdfast failover status), and let this one follow (holdfast standby)"},
	{integrity.ErrDamaged, ErrFenced, sqlite.ResultCorrupt, "restore a verified backup (holdfast restore), and copy what it doesn't have with holdfast salvage; DB.Health says where the files as they were are kept"},
	{dbfile.ErrUnreadable, ErrCannotOpen, sqlite.ResultCantOpen, ""},
	{dbfile.ErrReadOnly, ErrReadOnly, sqlite.ResultReadOnly, ""},
	{dbfile.ErrNetworkFS, ErrRefused, sqlite.ResultCantOpen, ""},
	{dbfile.ErrHardLinked, ErrRefused, sqlite.ResultCantOpen, ""},
	{dbfile.ErrBadName, ErrRefused, sqlite.ResultMisuse, ""},
	{dbfile.ErrIsDirectory, ErrCannotOpen, sqlite.ResultCantOpenIsDir, ""},
	{dbfile.ErrNoDirectory, ErrCannotOpen, sqlite.ResultCantOpen, ""},
	{dbfile.ErrNotRegular, ErrCannotOpen, sqlite.ResultCantOpen, ""},
	{fs.ErrNotExist, ErrCannotOpen, sqlite.ResultCantOpen, "check the path, or let the database be created by opening it for writing"},
	{fs.ErrPermission, ErrCannotOpen, sqlite.ResultCantOpen, "check who owns the file and its directory"},
}

// translate makes the library's error of any room's. Errors that database/sql
// or the caller must see as they are stay so.
func translate(op, text string, site locks.Site, args []driver.NamedValue, err error) error {
	var done *Error
	switch {
	case err == nil, err == driver.ErrBadConn, err == sql.ErrTxDone, err == context.Canceled, err == context.DeadlineExceeded:
		return err
	case errors.As(err, &done):
		return err
	}
	e := &Error{Op: op, Attempts: 1, text: err.Error()}
	var batch *session.BatchError
	if errors.As(err, &batch) {
		text, args, e.Statement = batch.SQL, batch.Args, batch.Index+1
	}
	e.SQL = stats.Fingerprint(text)
	var engine *sqlite.Error
	if errors.As(err, &engine) {
		e.setCode(engine.Code)
		e.engineMeaning(engine.Code)
		e.text = stats.RedactLiterals(stats.Redact(e.text, args), text)
	} else {
		e.setCode(sqlite.ResultError)
	}
	e.classify(err)
	if site.Known() && e.kind == ErrRolledBack {
		e.text += " (begun at " + site.String() + ")"
	}
	return e
}

// fail is translate with what the database knows besides: who the other process
// is that an operation has waited for in vain.
func (d *database) fail(op, text string, site locks.Site, args []driver.NamedValue, err error) error {
	if errors.Is(err, session.ErrEvicted) && d.closing() {
		err = errClosedUnder
	}
	out := translate(op, text, site, args, err)
	var e *Error
	if !errors.As(out, &e) {
		return out
	}
	var engine *sqlite.Error
	if errors.As(err, &engine) && e.kind != ErrFenced {
		d.suspect(op, text, engine)
	}
	if d.health.note(e); e.kind != ErrBusy {
		return out
	}
	if !errors.Is(err, pool.ErrExhausted) {
		d.counters.BusyErrors.Add(1)
	}
	if e.Holder == nil && !(errors.As(err, &engine) && busy.Classify(engine.Code) == busy.Wait) {
		return out // nobody, or a pool
	}
	if e.Holder == nil || e.Holder.Kind == foreignKind {
		d.nameForeign(e)
	}
	return out
}

// errClosedUnder is ErrEvicted when it was Close that ended the lease.
var errClosedUnder = errors.New("the database was closed meanwhile")

// unfinished says whom Close has waited for in vain.
func (d *database) unfinished(err error) error {
	if !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	text := fmt.Sprintf("after %s there still are statements that run, or loops over rows", closeWait)
	for _, l := range d.registry.Snapshot() {
		text += fmt.Sprintf("; %s begun at %s", l.Kind, l.Site)
	}
	return newError("close", ErrBusy, sqlite.ResultBusy, text, "end loops over rows before Close, and don't call it inside of them")
}

// closing tells whether the last handle has been closed.
func (d *database) closing() bool {
	opened.mu.Lock()
	defer opened.mu.Unlock()
	return d.handles == 0
}

const foreignKind = "another process"

// foreignLook bounds the look at other processes. An answer serves for a moment,
// as all who wait run out of patience together.
const (
	foreignLook  = 200 * time.Millisecond
	foreignFresh = 100 * time.Millisecond
)

// foreign is the last look at other processes.
type foreign struct {
	mu    sync.Mutex // guards the rest, and is held for a look
	at    time.Time
	found locks.Process
	ok    bool
}

func (f *foreign) look(path string) (locks.Process, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := time.Now(); now.Sub(f.at) > foreignFresh {
		ctx, cancel := context.WithTimeout(context.Background(), foreignLook)
		defer cancel()
		_, shm, _, _, _ := dbfile.Sidecars(path)
		f.found, f.ok = locks.Foreign(ctx, path, shm)
		f.at = time.Now()
	}
	return f.found, f.ok
}

// inTheWay is the other process that keeps the writer waiting: by a lock on the
// database or, while that is free, by the turn of the fair lock.
func (d *database) inTheWay() (locks.Process, bool) {
	p, ok := d.foreign.look(d.path)
	if !ok && d.turn != nil {
		var pid int
		if pid, ok = d.turn.Holder(); ok && pid != os.Getpid() {
			return locks.Describe(pid, "TURN"), true
		}
		ok = false
	}
	return p, ok
}

func (d *database) nameForeign(e *Error) {
	p, ok := d.inTheWay()
	if !ok {
		return
	}
	if e.Holder == nil {
		e.Holder = &Holder{Kind: foreignKind}
	}
	h := e.Holder
	h.PID, h.Program, h.State, h.Lock = p.PID, p.Program, p.State, p.Lock
	who := fmt.Sprintf("process %d (%s, %s) has %s", h.PID, h.Program, h.State, h.Lock)
	if !h.Since.IsZero() {
		who += fmt.Sprintf(", for at least %s", time.Since(h.Since).Round(time.Millisecond))
	}
	e.text += ": " + who
	e.next = "let it end its transaction sooner, or raise busy_timeout"
	if h.State == "stopped" {
		e.next = fmt.Sprintf("it is stopped and keeps its lock until it goes on (kill -CONT %d) or ends", h.PID)
	}
}

func (e *Error) setCode(c sqlite.ResultCode) {
	e.Code, e.ExtendedCode = int(c.Primary()), int(c)
}

// classify finds the public kind of an internal error.
func (e *Error) classify(err error) {
	var wait *writer.BusyError
	var self *writer.SelfDeadlockError
	var argument *session.ArgumentError
	var config *ConfigError
	var evicted *session.EvictedError
	var upload *writer.UploadError
	var guard *session.GuardError
	switch {
	case errors.As(err, &upload):
		e.kind, e.err = ErrOutcomeUnknown, fmt.Errorf("%w: %w", ErrNotReplicated, upload.Cause)
		e.setCode(sqlite.ResultIOErr)
		e.next = "DB.Stats().Replication tells when it is there; repeated with the IdempotencyKey it had, the write waits for that and isn't made twice"
		return
	case errors.As(err, &config):
		e.kind, e.err = ErrRefused, err
		e.setCode(sqlite.ResultMisuse)
		return
	case errors.As(err, &self):
		e.kind, e.Holder = ErrSelfDeadlock, publicHolder(self.Holder)
		e.setCode(sqlite.ResultLocked)
		e.next = "write through the *sql.Tx that the function was given"
		if self.Via.Known() {
			e.next = "take the databases in the same order everywhere"
		}
		return
	case errors.As(err, &wait):
		e.kind, e.Waited, e.Attempts = ErrBusy, wait.Waited, wait.Attempts
		e.setCode(sqlite.ResultBusy)
		e.Holder = publicHolder(wait.Holder)
		e.text = "database is locked (5) (SQLITE_BUSY): " + wait.Error()
		e.next = "shorten that transaction, or raise busy_timeout"
		return
	case errors.As(err, &guard):
		e.kind, e.err = ErrGuardFailed, &GuardError{Statement: e.Statement, Expected: guard.Expected, Affected: guard.Affected}
		e.setCode(sqlite.ResultAbort)
		e.next = "all of the batch was rolled back: read again what it decides by"
		return
	case errors.As(err, &argument):
		e.kind = ErrInvalid
		e.setCode(sqlite.ResultMisuse)
		return
	}
	if errors.As(err, &evicted) {
		l := evicted.Lease
		e.Holder = &Holder{Kind: string(l.Kind), CallSite: callSite(l.Site), SQL: stats.Fingerprint(l.Last), Since: l.Since}
	}
	for _, f := range failures {
		if errors.Is(err, f.match) {
			e.kind, e.next = f.kind, f.next
			if e.ExtendedCode == int(sqlite.ResultError) {
				e.setCode(f.code)
			}
			break
		}
	}
	if errors.Is(err, integrity.ErrDamaged) {
		e.err = ErrCorrupt
	}
	if e.kind == ErrOutcomeUnknown && e.Code == int(sqlite.ResultFull) {
		e.err = ErrDiskFull
		e.next = "free space on the volume of the database, then repeat the write with the IdempotencyKey it had: it isn't there, but a crash before the next write could bring it back"
	}
	if errors.Is(err, writer.ErrUnacknowledged) {
		e.err = errors.Join(ErrOutcomeUnknown, e.err)
	}
	for _, cause := range []error{context.Canceled, context.DeadlineExceeded, fs.ErrNotExist, fs.ErrPermission} {
		if errors.Is(err, cause) {
			e.err = cause
		}
	}
}

// engineMeaning says what a result code of SQLite means for the operator.
func (e *Error) engineMeaning(code sqlite.ResultCode) {
	switch busy.Classify(code) {
	case busy.Wait:
		e.kind, e.next = ErrBusy, "another process holds the lock: see who has the file open, or raise busy_timeout"
		if !strings.HasSuffix(e.text, "(SQLITE_BUSY)") {
			e.text += " (SQLITE_BUSY)"
		}
	case busy.Redo:
		e.kind, e.next = ErrConflict, "run the transaction again"
	case busy.Blocked:
		e.kind, e.next = ErrBusy, "a statement of the same connection is in the way: close its rows first"
	}
	switch code {
	case sqlite.ResultReadOnlyDirectory:
		e.next = "SQLite must create -wal and -shm beside the file: let the directory be written, or, if nobody writes the file, open it with immutable=1"
	case sqlite.ResultReadOnlyRollback, sqlite.ResultReadOnlyRecovery:
		e.next = "a crash left a journal that has to be played back: open the database once for writing"
	}
	switch code.Primary() {
	case sqlite.ResultReadOnly:
		e.kind = ErrReadOnly
	case sqlite.ResultAuth:
		e.kind, e.next = ErrRefused, "run statements of your own on a handle without WithUntrustedSQL"
	case sqlite.ResultNoMem: // also what SQLite says to too many instructions
		e.next = "ask for less at once, or raise limits.vdbe_op or the memory of the process"
	case sqlite.ResultTooBig:
		e.next = "ask for less at once, or raise limits.value_length or limits.sql_length"
	case sqlite.ResultFull:
		e.kind, e.next = ErrDiskFull, "free space on the volume of the database, then repeat the write"
	case sqlite.ResultIOErr:
		e.kind, e.next = ErrIO, "look at the kernel log and the volume before writing again"
	case sqlite.ResultCorrupt:
		e.kind, e.next = ErrCorrupt, "stop writing, keep the file with its -wal and -shm, and restore a checked backup; holdfast salvage copies what can be read"
	case sqlite.ResultNotADB:
		e.kind, e.next = ErrCorrupt, "the file is no SQLite database, or it is encrypted: check the path"
	case sqlite.ResultCantOpen:
		e.kind, e.next = ErrCannotOpen, "check that the directory exists and that its owner is the program's"
	}
}

func publicHolder(h writer.Holder) *Holder {
	if h.Kind == "" {
		return nil
	}
	p := &Holder{Kind: h.Kind, SQL: stats.Fingerprint(h.SQL), Since: h.Since}
	if h.Site.Known() {
		p.CallSite = h.Site.String()
	}
	return p
}

// Failure is what a Backend makes an *Error of.
type Failure struct {
	Kind      error  // one of the Err variables, or nil
	Code      int    // SQLite's extended result code; 1 where it has none
	Op        string // as in Error
	SQL       string // as it was sent: literals are taken out here
	Args      []any  // of SQL; what Text quotes of them is taken out
	Statement int    // of a Batch, counted from 1
	Attempts  int    // 0 is 1
	Waited    time.Duration
	Text      string // what happened
	Next      string // and what to do about it
	Cause     error  // what errors.Is and errors.As find besides: a context's error, a *GuardError, one of the Err variables
}

// NewError makes the *Error of a back end that is no file; see Backend.
func NewError(f Failure) *Error {
	e := newError(f.Op, f.Kind, sqlite.ResultCode(max(f.Code, int(sqlite.ResultError))), f.Text, f.Next)
	args := make([]driver.NamedValue, len(f.Args))
	for i, a := range f.Args {
		args[i].Value = a
	}
	e.SQL, e.text = stats.Fingerprint(f.SQL), stats.RedactLiterals(stats.Redact(f.Text, args), f.SQL)
	e.Statement, e.Attempts, e.Waited, e.err = f.Statement, max(f.Attempts, 1), f.Waited, f.Cause
	return e
}

// GuardError is the cause of ErrGuardFailed.
type GuardError struct {
	Statement          int // counted from 1
	Expected, Affected int64
}

// Error says which statement it was.
func (e *GuardError) Error() string {
	return fmt.Sprintf("statement %d of the batch affected %d rows where %d were expected", e.Statement, e.Affected, e.Expected)
}

// Outcome is what became of a write.
type Outcome string

// The outcomes.
const (
	Committed  Outcome = "committed"
	RolledBack Outcome = "rolled_back" // nothing of it is in the database, nor will be
	Unknown    Outcome = "unknown"     // ErrOutcomeUnknown: ask the database, or repeat the write with its IdempotencyKey
)

// OutcomeOf tells what became of a write by the error of its Exec, Batch, Update or
// Commit, on every back end. Of text with several statements for one Exec it is the
// outcome of the statement that failed: those before it are committed.
func OutcomeOf(err error) Outcome {
	switch {
	case err == nil:
		return Committed
	case errors.Is(err, ErrOutcomeUnknown):
		return Unknown
	}
	return RolledBack
}

func newError(op string, kind error, code sqlite.ResultCode, text, next string) *Error {
	e := &Error{Op: op, Attempts: 1, kind: kind, text: text, next: next}
	e.setCode(code)
	return e
}

func errHandleClosed(op string) error {
	return newError(op, ErrClosed, sqlite.ResultMisuse, "the database is closed", "")
}

// notReplicated is an error that err of the replicator is the reason for.
func notReplicated(op string, kind error, text, next string, err error) *Error {
	e := newError(op, kind, sqlite.ResultIOErr, text+": "+err.Error(), next)
	e.err = fmt.Errorf("%w: %w", ErrNotReplicated, err)
	return e
}

var (
	errFencedFile = errors.New("the path no longer names the file that was opened")
	errFencedLog  = errors.New("the log was taken from under the database")
)
