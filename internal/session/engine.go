package session

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfastdb/holdfast/internal/busy"
	"github.com/holdfastdb/holdfast/internal/locks"
	"github.com/holdfastdb/holdfast/internal/pool"
	"github.com/holdfastdb/holdfast/internal/sqlite"
	"github.com/holdfastdb/holdfast/internal/stats"
	"github.com/holdfastdb/holdfast/internal/writer"
)

var (
	// ErrReadOnlyTx: a write inside a read-only transaction.
	ErrReadOnlyTx = errors.New("write inside a read-only transaction")
	// ErrReadOnly: the database was opened read-only.
	ErrReadOnly = errors.New("the database is open read-only")
	// ErrEvicted: the lease was ended because it was older than allowed.
	ErrEvicted = errors.New("ended because it was held longer than allowed")
	// ErrConflict: an optimistic transaction wrote after somebody else had.
	ErrConflict = errors.New("the database has changed since the transaction's snapshot")
	// ErrRefused: a statement that Holdfast does not run.
	ErrRefused = errors.New("refused")
	// ErrTxLost: SQLite has rolled the transaction back by itself.
	ErrTxLost = errors.New("the transaction was rolled back; nothing of it was written")
)

// EvictedError is ErrEvicted with what was ended and the two places: where it was
// begun, and where the caller that still had it wanted to go on.
type EvictedError struct {
	Lease locks.Lease
	Used  locks.Site
	Age   time.Duration
}

func (e *EvictedError) Error() string {
	return fmt.Sprintf("%s: %s begun at %s, %s ago, used again at %s", ErrEvicted, e.Lease.Kind, e.Lease.Site, e.Age.Round(time.Millisecond), e.Used)
}

// Unwrap makes it ErrEvicted.
func (e *EvictedError) Unwrap() error { return ErrEvicted }

// evictedBy is the error for the caller who still has l.
func evictedBy(l *locks.Lease) error {
	used, _ := locks.Caller()
	// Not the whole of it, which the watchdog may be writing to.
	known := locks.Lease{Kind: l.Kind, Site: l.Site, Since: l.Since, SQL: l.SQL, Last: l.Last}
	return &EvictedError{Lease: known, Used: used, Age: time.Since(l.Since)}
}

// Config is what a session needs from the rest of the library.
type Config struct {
	Pool     *pool.Pool
	Writer   *writer.Writer // nil for a read-only database
	Locks    *locks.Registry
	Counters *stats.Counters

	// OpenPinned opens a connection for one session alone, with the settings of
	// the writer and no busy handler.
	OpenPinned func(ctx context.Context) (*sqlite.Conn, error)
	// Visit is told of such a connection each time that it has been used, by its user.
	// It must be quick.
	Visit func(*sqlite.Conn)
	// Fence is nil while what is written may be acknowledged, Moved while the path still
	// names the file that is open: a file that may not be written any more can be read.
	Fence, Moved func() error
	// Sidecar tells whether a name leads to the log, the shared memory, the
	// journal or the lock file of a database that this process has open.
	Sidecar func(name string) bool
	// Checkpoint waits for the checkpoint in the background that is under way, which a
	// statement's own would be refused beside, and keeps others away until over is
	// called. Nil if there are none.
	Checkpoint func(ctx context.Context) (over func(), err error)
	// Private is told the names that ATTACH or VACUUM INTO may create; create asks to
	// make an empty file first. What did not exist before is private after
	// afterwards was called.
	Private func(names []string, create bool) (afterwards func())
	// Fail turns an error of any room into the library's own. sql may be empty.
	Fail func(op, sql string, site locks.Site, args []driver.NamedValue, err error) error
	// Notice reports something an operator may want to know. It must not block.
	Notice func(msg, pragma string, site locks.Site)

	// OnSlow is told of a lease that has ended and was held for SlowWrite or
	// longer, or SlowRead if it was a reader's. 0 turns it off. It must not block.
	OnSlow              func(l locks.Lease, held time.Duration, outcome string)
	SlowWrite, SlowRead time.Duration

	Budget         time.Duration // longest lock wait of one statement
	ReadAheadRows  int
	ReadAheadBytes int
	AllowUnsafe    bool
	// Confined: the statements come from outside, on connections that refuse what
	// such a statement may not do. A text is one statement then, and no session
	// gets a connection of its own.
	Confined bool
	// Defaults are the pragmas that every connection has, lower-case name to
	// the number SQLite answers: setting one of them again changes nothing.
	Defaults map[string]string
	// JournalMode is the file's, lower case.
	JournalMode string
	// Statements remembers what was run; nil if nobody will ask. A text is noted
	// when it is classified, so that one that is known costs nothing.
	Statements *stats.Statements
	// Times has how long leases were held; nil if nothing is counted.
	Times *stats.Times
	// Queries counts what is run; nil if nothing is counted.
	Queries *stats.Queries
}

// Engine makes sessions. It is a driver.Connector and driver.Driver.
type Engine struct {
	cfg      Config
	verdicts verdicts
	batches  sync.Pool
	guard    *Guard // the transaction that all sessions run in, or nil
	prepared prepared

	mu       sync.Mutex // guards sessions
	sessions map[*Conn]struct{}
	round    atomic.Uint64 // of IdleLeaks
	drifting atomic.Int64
}

// New returns an engine. It opens nothing and starts nothing.
func New(cfg Config) *Engine {
	return &Engine{cfg: cfg, sessions: make(map[*Conn]struct{})}
}

// Connect makes a session. It opens no connection.
func (e *Engine) Connect(ctx context.Context) (driver.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c := &Conn{e: e, budget: e.cfg.Budget}
	c.take(e.round.Load())
	e.mu.Lock()
	e.sessions[c] = struct{}{}
	e.mu.Unlock()
	return c, nil
}

// Drifting is how many settings of foreign_keys and synchronous sessions have changed for
// themselves, and still have so.
func (e *Engine) Drifting() int64 { return e.drifting.Load() }

// Driver returns e itself: there is no data source name to open.
func (e *Engine) Driver() driver.Driver { return e }

// Open is refused: the driver is reached through holdfast.Open only.
func (e *Engine) Open(string) (driver.Conn, error) {
	return nil, errors.New("holdfast: use holdfast.Open, which returns a *sql.DB")
}

func (e *Engine) forget(c *Conn) {
	e.mu.Lock()
	delete(e.sessions, c)
	e.mu.Unlock()
}

// ReadOnly tells whether sessions may only read.
func (e *Engine) ReadOnly() bool { return e.cfg.Writer == nil }

// Sessions returns the number of open sessions.
func (e *Engine) Sessions() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.sessions)
}

// Texts returns the statements that are known to read or write rows, literals and
// all: the last few thousand that differ. They are in memory anyway, to spare
// asking the engine twice, and must not go anywhere else.
func (e *Engine) Texts() []string { return e.verdicts.texts() }

// IdleLeaks returns the sessions that somebody has had out of database/sql's
// pool for at least age without a transaction or rows, and that were not
// returned before: a *sql.Conn that was never closed. It is called in rounds; the
// age counts from the round that first saw the session out.
func (e *Engine) IdleLeaks(now time.Time, age time.Duration) []locks.Lease {
	e.round.Add(1)
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []locks.Lease
	for c := range e.sessions {
		if l, ok := c.idleLeak(now, age); ok {
			out = append(out, l)
		}
	}
	return out
}

// KeptConns returns the sessions that IdleLeaks has returned and that are out still.
func (e *Engine) KeptConns() []locks.Lease {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []locks.Lease
	for c := range e.sessions {
		if l, ok := c.kept(); ok {
			out = append(out, l)
		}
	}
	return out
}

// outcomes of a lease, for the log.
const (
	committed  = "committed"
	rolledBack = "rolled back"
	unknown    = "unknown"
	evicted    = "evicted"
	closed     = "closed" // of what only read
)

// release takes a lease off the record, and tells of it if it was held for long.
func (e *Engine) release(l *locks.Lease, outcome string) {
	e.cfg.Locks.Remove(l)
	limit := e.cfg.SlowRead
	switch l.Kind {
	case locks.WriteTx:
		limit = e.cfg.SlowWrite
	case locks.Migration:
		limit = 0 // whoever asked for it tells how long it took
	}
	if e.cfg.OnSlow == nil {
		limit = 0
	}
	if limit <= 0 && e.cfg.Times == nil {
		return
	}
	held := time.Since(l.Since)
	if limit > 0 && held >= limit {
		e.cfg.OnSlow(*l, held, outcome)
	}
	if t := e.cfg.Times; t != nil {
		switch l.Kind {
		case locks.WriteTx:
			t.WriteTx.Add(held)
		case locks.ReadTx:
			t.ReadTx.Add(held)
		case locks.Rows:
			t.Rows.Add(held)
		}
	}
}

// onReader runs fn on a leased reader and gives it back. A reader that fails
// with a broken file is not used again.
func (e *Engine) onReader(ctx context.Context, budget time.Duration, fn func(*sqlite.Conn) error) error {
	r, err := e.cfg.Pool.Get(ctx)
	if err != nil {
		return err
	}
	r.Busy.Arm(ctx, budget, nil)
	err = fn(r.Conn)
	e.giveBack(r, err)
	return err
}

func (e *Engine) giveBack(r *pool.Reader, err error) {
	if waited, n := r.Busy.Waited(); n > 0 {
		e.cfg.Counters.LockConflicts.Add(1)
		_ = waited
	}
	r.Busy.Disarm()
	e.cfg.Pool.Put(r, err == nil || busy.Classify(sqlite.Code(err)) != busy.Broken)
}

// classifyOn returns the verdict on the first statement of sql, from memory or
// from c.
func (e *Engine) classifyOn(c *sqlite.Conn, sql string, remember bool) (v *verdict, text, tail string, err error) {
	v, text, tail, err = classify(c, sql)
	if err == nil && e.cfg.Queries != nil && v.class != blank {
		v.query = e.cfg.Queries.Of(text, !v.readOnly, v.class == plain && v.name == "" && len(text) <= maxVerdictText)
	}
	if err == nil && remember && v.class != temporary {
		e.verdicts.put(text, v)
		if e.cfg.Statements != nil && v.class == plain {
			e.cfg.Statements.Add(text, !v.readOnly)
		}
	}
	return v, text, tail, err
}
