package writer

import (
	"context"
	"errors"
	"fmt"
	"runtime"
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
	// ErrEnded: the transaction is over already.
	ErrEnded = errors.New("the transaction has already ended")
)

// BusyError says that the wait budget was spent, and on whom.
type BusyError struct {
	Waited   time.Duration
	Attempts int
	Holder   Holder
	Cause    error // the engine's answer when another process held the lock
}

func (e *BusyError) Error() string {
	return fmt.Sprintf("the write lock was not free within %s: %s", e.Waited.Round(time.Millisecond), e.Holder)
}

func (e *BusyError) Unwrap() error { return e.Cause }

// Holder is who has the writer.
type Holder struct {
	Kind  string // "transaction", "statement", "exclusive work", "another process", or "" for nobody
	Site  locks.Site
	SQL   string // its last statement, literals and all: never print it as it is
	Since time.Time
}

func (h Holder) String() string {
	switch h.Kind {
	case "":
		return "nobody holds it now"
	case "another process":
		return "another process holds it"
	}
	s := "held by a " + h.Kind
	if h.Kind == "exclusive work" {
		s = "held by exclusive work"
	}
	if h.Site.Known() {
		s += " begun at " + h.Site.String()
	}
	if !h.Since.IsZero() {
		s += fmt.Sprintf(", %s ago", time.Since(h.Since).Round(time.Millisecond))
	}
	if h.SQL != "" {
		s += ", running " + stats.Fingerprint(h.SQL)
	}
	return s
}

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
	Acquire(ctx context.Context) (waited time.Duration, err error)
	Release() error
}

// Config is how a Writer behaves. Open, Fence and Counters are required.
type Config struct {
	Open     func(ctx context.Context) (*sqlite.Conn, error) // opens the write connection and proves its settings
	Fence    func() error                                    // nil while the path still names the file that is open
	Turn     Turn                                            // nil: no fair lock between processes
	Counters *stats.Counters

	Budget       time.Duration // longest wait of one unit, queue and foreign locks together
	MaxGroup     int           // units in one COMMIT
	MaxGroupTime time.Duration // a group older than this takes no more units
	JoinBelow    time.Duration // call sites that hold the writer for less may join groups
	QueueLimit   int

	// OnConnClose is told why the write connection was given up. May be nil.
	OnConnClose func(reason string)
}

// Writer shares out one write connection. It is safe for concurrent use.
type Writer struct {
	cfg Config

	mu     sync.Mutex // guards the fields below; never held while SQLite works
	queue  queue
	owned  bool // somebody has the baton
	holder Holder
	closed bool
	idle   chan struct{} // closed when the baton comes back after Close
	sites  map[locks.Site]time.Duration

	// Owned by whoever has the baton.
	conn      *sqlite.Conn
	busy      busy.Handler
	ctx       context.Context // ends the statement that is running
	stop      *atomic.Bool    // so does this, when somebody evicts a transaction
	group     *group
	lastGroup int
	turn      bool // the fair lock is held
}

// group is one BEGIN IMMEDIATE ... COMMIT.
type group struct {
	tasks  []*task // executed, waiting for COMMIT
	began  time.Time
	sealed bool // takes no more units
}

// New returns a writer. Nothing is opened until the first unit.
func New(cfg Config) *Writer {
	cfg.MaxGroup = max(cfg.MaxGroup, 1)
	return &Writer{cfg: cfg, idle: make(chan struct{}), sites: make(map[locks.Site]time.Duration)}
}

// Unit is repeatable work for the write connection.
type Unit struct {
	// Run does the work. It may run on another caller's goroutine, more than
	// once, and must not end the transaction. It must not keep the connection.
	Run func(*sqlite.Conn) error
	// Atomic: Run executes a single statement, which needs no SAVEPOINT.
	Atomic   bool
	Priority Priority
	SQL      string // what it does, for reports; literals are removed there
}

// Do runs a unit and returns when its COMMIT has returned. It blocks behind
// the units before it, until ctx ends or the budget is spent (*BusyError); a
// unit that has begun is waited for, so that the answer is the truth. Errors
// of Run are returned as they are, with nothing of the unit in the database.
func (w *Writer) Do(ctx context.Context, u Unit) error {
	t := &task{ctx: ctx, kind: statement, run: u.Run, atomic: u.Atomic, prio: u.Priority, sql: u.SQL, ready: make(chan struct{}, 1)}
	if err := w.enter(t); err != nil {
		return err
	}
	for t.lead { // more than once if its group was lost and it ran again
		t.lead = false
		w.perform(t)
		w.proceed()
		if err := w.await(t); err != nil {
			return err
		}
	}
	return t.err
}

// enter gives t the baton (t.lead) or queues it and waits until it has the
// baton or an answer. An error means that t never began.
func (w *Writer) enter(t *task) error {
	if err := t.ctx.Err(); err != nil {
		return err
	}
	t.since = time.Now()
	w.mu.Lock()
	switch {
	case w.closed:
		w.mu.Unlock()
		return ErrClosed
	case !w.owned:
		w.owned = true
		t.state = granted
		t.lead = true
		w.mu.Unlock()
		return nil
	case w.cfg.QueueLimit > 0 && w.queue.len >= w.cfg.QueueLimit:
		w.mu.Unlock()
		return ErrQueueFull
	}
	w.queue.push(t)
	w.mu.Unlock()
	return w.await(t)
}

// await returns when t has been answered or has the baton. An error means that
// t left the queue without having begun.
func (w *Writer) await(t *task) error {
	select {
	case <-t.ready:
		return nil
	default:
	}
	timer := acquireTimer(w.cfg.Budget)
	defer releaseTimer(timer)
	select {
	case <-t.ready:
		return nil
	case <-t.ctx.Done():
	case <-timer.C:
	}
	w.mu.Lock()
	if t.state == queued {
		w.queue.remove(t)
		holder := w.holder
		w.mu.Unlock()
		if err := t.ctx.Err(); err != nil {
			return err
		}
		w.cfg.Counters.LockConflicts.Add(1)
		return &BusyError{Waited: time.Since(t.since), Attempts: 1, Holder: holder}
	}
	w.mu.Unlock()
	return w.awaitOutcome(t)
}

// hostageGrace is how long a unit whose context has ended still waits for the
// COMMIT of its group while another caller's transaction keeps the group open.
const hostageGrace = 30 * time.Millisecond

// awaitOutcome waits for a unit that has begun. Its statement stops by itself
// when the context ends; after that only the COMMIT is missing, and guessing
// is worse than waiting for it. The exception is a group that a joined
// transaction keeps open for longer than its call site ever did.
func (w *Writer) awaitOutcome(t *task) error {
	for {
		grace := acquireTimer(hostageGrace)
		select {
		case <-t.ready:
			releaseTimer(grace)
			return nil
		case <-grace.C:
			releaseTimer(grace)
		}
		err := t.ctx.Err()
		w.mu.Lock()
		hostage := err != nil && t.state == executed && w.holder.Kind == kindTransaction
		t.left = hostage
		w.mu.Unlock()
		if hostage {
			return fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
		}
	}
}

const (
	kindTransaction = "transaction"
	kindStatement   = "statement"
	kindExclusive   = "exclusive work"
	kindForeign     = "another process"
)

func (w *Writer) setHolder(h Holder) {
	w.mu.Lock()
	w.holder = h
	w.mu.Unlock()
}

// Holder tells who has the writer now.
func (w *Writer) Holder() Holder {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.holder
}

// Queued is the number of units waiting.
func (w *Writer) Queued() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.queue.len
}

// perform runs a statement unit in the current group, or opens one for it.
func (w *Writer) perform(t *task) {
	if err := t.ctx.Err(); err != nil {
		w.answer(t, err)
		return
	}
	if w.group == nil {
		if err := w.begin(t); err != nil {
			w.answer(t, err)
			return
		}
		w.group.sealed = t.alone
	}
	now := time.Now()
	w.cfg.Counters.AddQueueWait(now.Sub(t.since))
	w.mu.Lock()
	t.state = running
	w.holder = Holder{Kind: kindStatement, SQL: t.sql, Since: now}
	w.mu.Unlock()

	w.ctx = t.ctx
	before := w.conn.TotalChanges()
	err := w.runIsolated(t)
	w.ctx = nil
	w.settle(t, err, before)
}

func (w *Writer) runIsolated(t *task) error {
	if t.atomic {
		return t.run(w.conn)
	}
	if err := w.control("SAVEPOINT holdfast_unit"); err != nil {
		return err
	}
	err := t.run(w.conn)
	if err == nil && w.deferredViolations() {
		err = errForeignKey()
	}
	if w.conn.Autocommit() {
		return err
	}
	var e error
	if err != nil {
		e = w.control("ROLLBACK TO holdfast_unit")
	}
	if e == nil {
		e = w.control("RELEASE holdfast_unit")
	}
	if e != nil {
		// The unit can't be told apart from its group any more: drop both.
		_ = w.control("ROLLBACK")
		return errors.Join(err, e)
	}
	return err
}

// settle decides what a unit's result means for its group.
func (w *Writer) settle(t *task, err error, before int64) {
	g := w.group
	lost := w.conn.Autocommit()
	action := busy.Report
	if err != nil {
		action = busy.Classify(sqlite.Code(err))
	}
	switch {
	case lost:
		w.lose(t, err)
	case t.atomic && err == nil && w.deferredViolations():
		// A statement unit has no savepoint to go back to: the group is given
		// up, the others run again, this one has its answer.
		_ = w.control("ROLLBACK")
		w.lose(t, errForeignKey())
	case err != nil && action == busy.Broken:
		_ = w.control("ROLLBACK")
		w.lose(t, err)
	case err != nil && !(t.atomic && w.conn.TotalChanges() != before):
		w.answer(t, err) // it left no trace; its answer needs no COMMIT
		if len(g.tasks) == 0 {
			w.abandonGroup()
		}
	default:
		// Done; or INSERT OR FAIL, whose first rows stay although it failed.
		t.err = err
		w.executed(t)
	}
}

func (w *Writer) executed(t *task) {
	w.mu.Lock()
	t.state = executed
	w.mu.Unlock()
	w.group.tasks = append(w.group.tasks, t)
}

// lose deals with a transaction that SQLite has dropped because of guilty.
// The others run again before anything that queued later. The guilty one has
// its answer, unless it failed on what the others had written: then it is run
// again too, alone, so that its answer is the one it would have had alone.
func (w *Writer) lose(guilty *task, err error) {
	others := w.group.tasks
	w.group = nil
	w.releaseTurn()
	var again []*task
	for _, t := range others {
		if t.kind == interactive || w.hasLeft(t) {
			w.answer(t, fmt.Errorf("%w (cause: %w)", ErrRolledBack, err))
			continue
		}
		t.err = nil
		again = append(again, t)
	}
	if err != nil && len(others) > 0 && guilty.kind == statement && busy.Classify(sqlite.Code(err)) == busy.Report {
		guilty.alone = true
		guilty.err = nil
		again = append(again, guilty)
	} else {
		if err == nil {
			err = ErrRolledBack
		}
		w.answer(guilty, err)
	}
	w.cfg.Counters.Retries.Add(int64(len(again)))
	w.mu.Lock()
	w.queue.pushFront(again)
	w.mu.Unlock()
	w.discardIf(err)
}

// proceed is what the owner of the baton does when its own unit is done: it
// fills the group, commits it, and hands the baton on.
func (w *Writer) proceed() {
	for {
		t, act := w.decide()
		switch act {
		case doRun:
			w.perform(t)
		case doCommit:
			w.commit()
		case doHandOver:
			t.ready <- struct{}{}
			return
		case doRest:
			return
		}
	}
}

type step int

const (
	doRun step = iota
	doCommit
	doHandOver
	doRest
)

func (w *Writer) decide() (*task, step) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.queue.first()
	if w.group != nil {
		full := w.group.sealed || len(w.group.tasks) >= w.cfg.MaxGroup ||
			w.cfg.MaxGroupTime > 0 && time.Since(w.group.began) >= w.cfg.MaxGroupTime
		switch {
		case t == nil || full || t.alone || t.kind == hold:
			return nil, doCommit
		case t.kind == interactive && !w.joins(t.site):
			return nil, doCommit
		}
		w.queue.remove(t)
		if t.kind == statement {
			t.state = granted
			return t, doRun
		}
		w.grant(t)
		return t, doHandOver
	}
	if t == nil {
		w.owned = false
		w.holder = Holder{}
		if w.closed {
			close(w.idle)
		}
		return nil, doRest
	}
	w.queue.remove(t)
	w.grant(t)
	return t, doHandOver
}

// grant makes t the next owner of the baton. Called with mu held.
func (w *Writer) grant(t *task) {
	t.state = granted
	t.lead = true
	w.holder = Holder{Kind: t.kind.holder(), Site: t.site, SQL: t.sql, Since: time.Now()}
}

// commit ends the group and answers everybody in it.
func (w *Writer) commit() {
	g := w.group
	w.group = nil
	if len(g.tasks) == 0 {
		_ = w.control("ROLLBACK")
		w.releaseTurn()
		return
	}
	w.mu.Lock()
	w.holder.Kind = kindStatement // COMMIT: nobody's think time any more
	w.holder.SQL = "COMMIT"
	w.mu.Unlock()
	err := w.commitEngine()
	w.releaseTurn()
	if err == nil {
		// Committed, but to which file? An answer would be a promise about the
		// one that the path names.
		err = w.cfg.Fence()
	}
	w.lastGroup = len(g.tasks)
	if err == nil {
		w.cfg.Counters.Groups.Add(1)
		w.cfg.Counters.GroupedUnits.Add(int64(len(g.tasks)))
		w.answerAll(g.tasks)
		return
	}
	w.commitFailed(g, err)
}

func (w *Writer) commitEngine() error {
	var err error
	_, _, _ = busy.Poll(context.Background(), w.cfg.Budget, func() bool {
		err = w.control("COMMIT")
		return err == nil || busy.Classify(sqlite.Code(err)) != busy.Wait
	})
	if err != nil && !w.conn.Autocommit() {
		if e := w.control("ROLLBACK"); e != nil {
			err = errors.Join(err, e)
		}
	}
	return err
}

func (w *Writer) commitFailed(g *group, err error) {
	code := sqlite.Code(err)
	switch {
	case busy.CommitOutcomeUnknown(code):
		w.cfg.Counters.UnknownOutcomes.Add(int64(len(g.tasks)))
		err = fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
	case code.Primary() == sqlite.ResultConstraint && len(g.tasks) > 1:
		w.commitApart(g, err)
		return
	}
	for _, t := range g.tasks {
		w.answer(t, err)
	}
	w.discardIf(err)
}

// commitApart handles a COMMIT that a constraint refused although every unit
// passed its own check: each unit is committed by itself, so that one cannot
// spoil the others.
func (w *Writer) commitApart(g *group, err error) {
	var again []*task
	for _, t := range g.tasks {
		if t.kind == interactive || w.hasLeft(t) {
			w.answer(t, fmt.Errorf("%w (cause: %w)", ErrRolledBack, err))
			continue
		}
		t.alone, t.err = true, nil
		again = append(again, t)
	}
	w.cfg.Counters.Retries.Add(int64(len(again)))
	w.mu.Lock()
	w.queue.pushFront(again)
	w.mu.Unlock()
}

func (w *Writer) hasLeft(t *task) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return t.left
}

func (w *Writer) answer(t *task, err error) {
	w.mu.Lock()
	t.state = answered
	t.err = err
	w.mu.Unlock()
	t.ready <- struct{}{}
}

func (w *Writer) answerAll(tasks []*task) {
	w.mu.Lock()
	for _, t := range tasks {
		t.state = answered
	}
	w.mu.Unlock()
	for _, t := range tasks {
		t.ready <- struct{}{}
	}
}

// begin opens a group for t: the fence, the fair lock, BEGIN IMMEDIATE.
func (w *Writer) begin(t *task) error {
	if w.lastGroup > 1 {
		// The callers that were just answered are about to queue again. One
		// yield lets them, and the group is five times larger for it.
		runtime.Gosched()
	}
	if err := w.ready(t); err != nil {
		return err
	}
	left := w.cfg.Budget - time.Since(t.since)
	var err error
	attempts, expired, ctxErr := busy.Poll(t.ctx, left, func() bool {
		err = w.control("BEGIN IMMEDIATE")
		return err == nil || busy.Classify(sqlite.Code(err)) != busy.Wait
	})
	if attempts > 1 {
		w.cfg.Counters.LockConflicts.Add(1)
	}
	if err != nil {
		w.releaseTurn()
		w.discardIf(err)
	}
	switch {
	case ctxErr != nil && err != nil:
		return ctxErr
	case expired:
		return &BusyError{Waited: time.Since(t.since), Attempts: attempts, Holder: Holder{Kind: kindForeign}, Cause: err}
	case err != nil:
		return err
	}
	w.group = &group{began: time.Now()}
	return nil
}

// ready proves the fence, opens the connection and takes the fair lock.
func (w *Writer) ready(t *task) error {
	if err := w.cfg.Fence(); err != nil {
		return err
	}
	if w.conn == nil {
		if err := w.open(t.ctx); err != nil {
			return err
		}
	}
	return w.takeTurn(t)
}

func (w *Writer) open(ctx context.Context) error {
	c, err := w.cfg.Open(ctx)
	if err != nil {
		return err
	}
	// The busy handler stays at "no" except for work outside a transaction:
	// BEGIN IMMEDIATE is polled in Go, where a context can end the wait, and
	// behind it nobody can be in the way.
	c.SetBusyHandler(w.busy.Busy)
	c.SetProgressHandler(progressOps, w.interrupted)
	w.conn = c
	return nil
}

// progressOps is how many instructions of SQLite's virtual machine run between
// two looks at the context: tens of microseconds.
const progressOps = 1000

func (w *Writer) interrupted() bool {
	return w.ctx != nil && (w.ctx.Err() != nil || w.stop != nil && w.stop.Load())
}

func (w *Writer) takeTurn(t *task) error {
	if w.cfg.Turn == nil || w.turn {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(t.ctx, w.cfg.Budget-time.Since(t.since), errBudget)
	defer cancel()
	if _, err := w.cfg.Turn.Acquire(ctx); err != nil {
		if context.Cause(ctx) == errBudget {
			w.cfg.Counters.LockConflicts.Add(1)
			return &BusyError{Waited: time.Since(t.since), Attempts: 1, Holder: Holder{Kind: kindForeign}}
		}
		return err
	}
	w.turn = true
	return nil
}

var errBudget = errors.New("wait budget spent")

func (w *Writer) releaseTurn() {
	if w.turn {
		w.turn = false
		_ = w.cfg.Turn.Release() // the descriptor is gone only after Close
	}
}

// abandonGroup rolls back a transaction in which nothing is left.
func (w *Writer) abandonGroup() {
	w.group = nil
	err := w.control("ROLLBACK")
	w.releaseTurn()
	w.discardIf(err)
}

// control runs a transaction statement, outside any caller's context.
func (w *Writer) control(sql string) error {
	saved := w.ctx
	w.ctx = nil
	defer func() { w.ctx = saved }()
	s, _, err := w.conn.PrepareCached(sql)
	if err != nil {
		return err
	}
	_, err = s.Step()
	if e := s.Release(); err == nil {
		err = e
	}
	return err
}

func (w *Writer) deferredViolations() bool {
	n, _, err := w.conn.Status(sqlite.DBStatusDeferredFKs, false)
	return err == nil && n != 0
}

func errForeignKey() error {
	return &sqlite.Error{Code: sqlite.ResultConstraintForeignKey, Op: "commit", Msg: "FOREIGN KEY constraint failed", Offset: -1}
}

// discardIf gives the connection up after an error that may have left it in a
// state nobody can vouch for.
func (w *Writer) discardIf(err error) {
	if err == nil || w.conn == nil {
		return
	}
	if busy.Classify(sqlite.Code(err)) == busy.Broken || !w.conn.Autocommit() {
		w.discard("unclean")
	}
}

func (w *Writer) discard(reason string) {
	c := w.conn
	w.conn = nil
	w.group = nil
	_ = w.closeConn(c, reason) // an open transaction is rolled back by SQLite
}

func (w *Writer) closeConn(c *sqlite.Conn, reason string) error {
	err := c.Close()
	if w.cfg.OnConnClose != nil {
		w.cfg.OnConnClose(reason)
	}
	return err
}

// Close refuses new units, fails those that are queued with ErrClosed, waits
// until the baton has come back or ctx ends, and closes the connection. Units
// that have begun are finished first.
func (w *Writer) Close(ctx context.Context) error {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return nil
	}
	w.closed = true
	waiting := w.queue.drain()
	if !w.owned {
		close(w.idle)
	}
	w.mu.Unlock()
	for _, t := range waiting {
		w.answer(t, ErrClosed)
	}
	select {
	case <-w.idle:
	case <-ctx.Done():
		return ctx.Err()
	}
	if w.conn != nil {
		c := w.conn
		w.conn = nil
		return w.closeConn(c, "closed")
	}
	return nil
}
