package writer

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfastdb/holdfast/internal/busy"
	"github.com/holdfastdb/holdfast/internal/locks"
	"github.com/holdfastdb/holdfast/internal/sqlite"
	"github.com/holdfastdb/holdfast/internal/stats"
)

var (
	// ErrClosed: the writer was closed.
	ErrClosed = errors.New("the writer is closed")
	// ErrQueueFull: QueueLimit units are waiting already.
	ErrQueueFull = errors.New("the write queue is full")
	// ErrRolledBack: another unit made SQLite drop the whole group. Nothing of
	// this unit is in the database; running it again is safe.
	ErrRolledBack = errors.New("rolled back together with its group; nothing was written")
	// ErrOutcomeUnknown: COMMIT failed in a way that leaves open whether the
	// transaction survives a crash.
	ErrOutcomeUnknown = errors.New("the outcome of COMMIT is unknown")
	// ErrUnacknowledged: COMMIT has succeeded, and then the fence was found broken: the
	// write is in a file that the path doesn't name any more.
	ErrUnacknowledged = errors.New("it was committed, and can't be acknowledged")
	// ErrEnded: the transaction is over already.
	ErrEnded = errors.New("the transaction has already ended")
)

// Priority orders the queue. Within one priority it is first come, first
// served; a higher one always goes first.
type Priority uint8

// The priorities.
const (
	High Priority = iota
	Normal
	Low
)

// Turn is the fair lock between processes that surrounds each transaction.
type Turn interface {
	TryAcquire() (bool, error) // does not wait
	Acquire(ctx context.Context) (waited time.Duration, err error)
	Release() error
	Holder() (pid int, ok bool) // for any goroutine, at any time
}

// Config is how a Writer behaves. Open, Fence and Counters are required.
type Config struct {
	Open     func(ctx context.Context) (*sqlite.Conn, error) // opens the write connection and proves its settings
	Fence    func() error                                    // nil while the path still names the file that is open
	Turn     Turn                                            // nil: no fair lock between processes
	Counters *stats.Counters
	Times    *stats.Times // nil: nothing is timed
	Graph    *Graph       // finds writers that wait for each other; may be nil
	Name     string       // of the database, for what the Graph finds

	Budget       time.Duration // longest wait of one unit, queue and foreign locks together
	MaxGroup     int           // units in one COMMIT
	MaxGroupTime time.Duration // a group older than this takes no more units
	JoinBelow    time.Duration // call sites that hold the writer for less may join groups
	QueueLimit   int

	// Await returns when everything that was committed before the call is safe
	// elsewhere, or an error if it may not be; soon after its context has ended.
	// Uploaded calls it, never twice at once. Nil: a write is safe when it is
	// committed.
	Await      func(ctx context.Context) error
	AwaitLimit time.Duration // longest wait for it; 0 is none

	// OnConnClose is told why the write connection was given up. May be nil.
	OnConnClose func(reason string)
	// OnInversion is told, once, of orders that contradict each other: what one
	// of them wanted the next one had, and the last wanted what the first had.
	// It is called on the goroutine of whoever took the last one. May be nil.
	OnInversion func([]Order)
}

// Writer shares out one write connection. It is safe for concurrent use.
type Writer struct {
	cfg Config

	mu     sync.Mutex // guards the fields below; never held while SQLite works
	queue  queue
	owned  bool // somebody has the baton
	holder Holder
	closed bool
	idle   chan struct{} // closed when the baton has come back after Close and the connection is closed
	known  known
	expiry expiry
	served *task       // the unit that somebody else runs for its caller, or nil
	ask    atomic.Bool // somebody wants to know where the statement that runs comes from
	order  ordering
	visit  visit

	// Owned by whoever has the baton.
	conn      *sqlite.Conn
	busy      busy.Handler
	ctx       context.Context // ends the statement that is running
	stop      *atomic.Bool    // so does this, when somebody evicts a transaction
	group     *group
	clock     clock
	self      bool // the statement that runs is the owner's own
	pace      pace
	turn      bool      // the fair lock is held
	turnAgain time.Time // before then it is not asked for
	closeErr  error     // of the connection, before idle is closed

	spare   spare
	uploads *uploads // nil without Config.Await
}

// known is what experience has taught.
type known struct {
	sites map[locks.Site]time.Duration // how long transactions of a call site hold the writer
	apart map[string]int               // statements that commit alone, for so many runs more
}

// clock is when the owner of the baton last looked.
type clock struct {
	now    time.Time       // at the time
	looked time.Time       // at the fence, and found it whole
	waits  []time.Duration // of units, that Config.Times was not told of yet
}

// pace is how groups are gathered.
type pace struct {
	groups uint      // so far
	last   int       // units in the last group
	slow   bool      // the last yield was
	again  time.Time // before then nobody yields
}

// spare is what has served its time and can serve again.
type spare struct {
	group *group
	tasks sync.Pool
}

// New returns a writer. Nothing is opened until the first unit.
func New(cfg Config) *Writer {
	cfg.MaxGroup = max(cfg.MaxGroup, 1)
	w := &Writer{cfg: cfg, idle: make(chan struct{}), uploads: newUploads(cfg), known: known{
		sites: make(map[locks.Site]time.Duration), apart: make(map[string]int),
	}}
	if cfg.Graph != nil {
		cfg.Graph.join(w)
	}
	return w
}

// Unit is repeatable work for the write connection.
type Unit struct {
	// Run does the work. It may run on another caller's goroutine, more than
	// once, and must not end the transaction. It must not keep the connection.
	Run func(*sqlite.Conn) error
	// Atomic: Run executes a single statement, which needs no SAVEPOINT.
	Atomic   bool
	Priority Priority
	SQL      string        // what it does, for reports; literals are removed there
	Budget   time.Duration // longest wait; 0 is the Config's, negative none
	// Times, if it is not nil, is told when the unit came, by stats.Now, and how long it
	// waited for its turn before its last run, when Do returns.
	Times *Times
	// Written, if it is not nil, is counted before Do returns, if that is without an error.
	Written *stats.Written
	// Follow: while the writer is free, it waits for somebody else's unit and shares
	// its COMMIT, as long as ctx lets it, instead of making one of its own.
	Follow bool
}

// Times is what the writer's own looks at the clock tell of a unit.
type Times struct{ Began, Waited time.Duration }

// wait notes how long a unit waited that has been answered, or has the baton: before
// that it is in the hands of its group's leader.
func (at *Times) wait(t *task) {
	if at != nil {
		at.Waited = t.waited
	}
}

// Do runs a unit and returns when its COMMIT has returned. It blocks behind
// the units before it, until ctx ends or the budget is spent (*BusyError); a
// unit that has begun is waited for, so that the answer is the truth. Errors
// of Run are returned as they are, with nothing of the unit in the database.
func (w *Writer) Do(ctx context.Context, u Unit) error {
	t := w.newTask()
	t.ctx, t.kind, t.run, t.atomic = ctx, statement, u.Run, u.Atomic
	t.prio, t.sql, t.budget, t.follow, t.written = u.Priority, u.SQL, u.Budget, u.Follow, u.Written
	defer w.recycle(t)
	err := w.enter(t)
	if u.Times != nil && !t.since.IsZero() {
		u.Times.Began = stats.At(t.since)
	}
	if err != nil {
		return err
	}
	u.Times.wait(t)
	for t.lead { // more than once if its group was lost and it ran again
		t.lead = false
		w.self = true
		w.perform(t)
		w.self = false
		w.proceed()
		if err := w.await(t); err != nil {
			return err
		}
		u.Times.wait(t)
	}
	if t.panicked != nil {
		panic(t.panicked)
	}
	return own(t.err)
}

// enter gives t the baton (t.lead) or queues it and waits until it has the
// baton or an answer. An error means that t never began.
func (w *Writer) enter(t *task) error {
	if err := t.ctx.Err(); err != nil {
		return err
	}
	t.since = time.Now()
	if t.budget == 0 {
		t.budget = w.cfg.Budget
	}
	if g := w.cfg.Graph; g != nil && g.hasAnother(w) && t.budget > 0 && w.looksAtOrder(t) {
		g.observe(w)
	}
	w.mu.Lock()
	switch {
	case w.closed:
		w.mu.Unlock()
		return ErrClosed
	case !w.owned && !t.follow:
		w.owned = true
		t.state = granted
		t.lead = true
		w.mu.Unlock()
		return nil
	case w.cfg.QueueLimit > 0 && w.queue.len >= w.cfg.QueueLimit:
		w.queue.refused++
		w.mu.Unlock()
		return ErrQueueFull
	case t.budget <= 0:
		err := w.outOfBudget(t, t.since)
		w.mu.Unlock()
		return own(err)
	}
	w.queue.push(t)
	w.expireIn(min(t.budget, lookAfter), t.since)
	w.mu.Unlock()
	return w.await(t)
}

// Queued is the number of units waiting.
func (w *Writer) Queued() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.queue.len
}

// Refused is how many units were refused because of QueueLimit.
func (w *Writer) Refused() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.queue.refused
}

// Close refuses new units, fails those that are queued with ErrClosed, waits
// until the baton has come back or ctx ends, and closes the connection. Units
// that have begun are finished first. If ctx ends before, the last of them
// closes the connection.
func (w *Writer) Close(ctx context.Context) error {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return nil
	}
	w.closed = true
	waiting := w.queue.drain()
	for _, t := range waiting {
		// Under the same lock: a unit that is in no queue and not answered either
		// would take the end of its context for leave to go, and be used again.
		t.state, t.err = answered, ErrClosed
	}
	free := !w.owned
	if w.expiry.timer != nil {
		w.expiry.timer.Stop()
	}
	w.mu.Unlock()
	if w.cfg.Graph != nil {
		w.cfg.Graph.part(w)
	}
	for _, t := range waiting {
		t.ready <- struct{}{}
	}
	if free {
		w.closeIdle()
		return w.closeErr // also when ctx has ended: select would choose by chance
	}
	select {
	case <-w.idle:
		return w.closeErr
	case <-ctx.Done():
		return ctx.Err() // whoever has the baton closes the connection
	}
}

// closeIdle closes the connection when nobody will ever have the baton again.
func (w *Writer) closeIdle() {
	if c := w.conn; c != nil {
		w.conn = nil
		w.closeErr = w.closeConn(c, "closed")
	}
	close(w.idle)
}
