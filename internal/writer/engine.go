package writer

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast/internal/busy"
	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// begin opens a group for t: the fence, the fair lock, BEGIN IMMEDIATE.
func (w *Writer) begin(t *task) error {
	if w.pace.company() {
		// The callers that were just answered are about to queue again. One
		// yield lets them, and the group is five times larger for it.
		w.yield()
	}
	if err := w.ready(t); err != nil {
		return err
	}
	left := t.left()
	var err error
	var foreign Holder
	attempts, expired, ctxErr := busy.Poll(t.ctx, left, func() bool {
		err = w.control("BEGIN IMMEDIATE")
		if err == nil || busy.Classify(sqlite.Code(err)) != busy.Wait {
			return true
		}
		if foreign.Kind == "" {
			foreign = w.inTheWay()
		}
		return false
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
		return &BusyError{Waited: time.Since(t.since), Attempts: attempts, Holder: foreign, Cause: err}
	case err != nil:
		return err
	}
	w.clock.now = time.Now()
	g := w.spare.group
	if w.spare.group = nil; g == nil {
		g = new(group)
	}
	g.began, w.group = w.clock.now, g
	if w.pace.last > 1 {
		g.expected = w.pace.last + w.Queued()
	}
	return nil
}

// probeEvery is how often a writer that is alone yields to see whether it is:
// where nothing blocks (one processor, no fsync) nobody else may get to run.
const probeEvery = 8

// company tells whether a yield before BEGIN is likely to bring somebody.
func (p *pace) company() bool {
	p.groups++
	return p.last > 1 || p.groups%probeEvery == 0
}

// A yield takes microseconds, unless the processors are busy with something
// else. Then the writer, and perhaps the lock on the file, would be held for
// nothing: after two in a row that took longer than slowYield there is none for
// yieldPause times as long. (One alone is the system's doing. A pause after each
// left 32 writers beside four busy loops with a COMMIT for each write.)
const (
	slowYield  = time.Millisecond
	yieldPause = 4
)

// yield lets the goroutines run that are ready to.
func (w *Writer) yield() {
	start := time.Now()
	w.clock.now = start
	if start.Before(w.pace.again) {
		return
	}
	runtime.Gosched()
	w.clock.now = time.Now()
	took := w.clock.now.Sub(start)
	if took > slowYield && w.pace.slow {
		w.pace.again = w.clock.now.Add(yieldPause * took)
	}
	w.pace.slow = took > slowYield
}

// ready proves the fence, opens the connection and takes the fair lock.
func (w *Writer) ready(t *task) error {
	// What a path names that has changed meanwhile must not be opened, let alone
	// written to.
	if w.conn == nil || time.Since(w.clock.looked) > freshLook {
		if err := w.look(); err != nil {
			return err
		}
	}
	if w.conn == nil {
		if err := w.open(t.ctx); err != nil {
			return err
		}
	}
	return w.takeTurn(t)
}

// freshLook is how long the look after a COMMIT, which is what an answer rests
// on, also serves for the next group: less time than many a group takes between
// its own look and its COMMIT.
const freshLook = time.Millisecond

// look proves the fence.
func (w *Writer) look() error {
	w.clock.looked = time.Time{}
	err := w.cfg.Fence()
	if err == nil {
		w.clock.looked = time.Now()
	}
	return err
}

func (w *Writer) open(ctx context.Context) error {
	began := time.Now()
	c, err := w.cfg.Open(ctx)
	if err != nil {
		return err
	}
	if t := w.cfg.Times; t != nil {
		t.WriterCreate.Add(time.Since(began))
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
	if w.self && w.ask.Load() {
		w.tellSite()
	}
	return w.ctx != nil && (w.ctx.Err() != nil || w.stop != nil && w.stop.Load())
}

// A process that was stopped inside the queue of the fair lock keeps its place
// and everybody behind it, although the database itself may be free. So nobody
// waits for ever for a turn that does not go round: after turnPatience a writer
// goes on without it, which is less fair but safe, since BEGIN IMMEDIATE is what
// excludes. For turnPause after that it does not ask again.
const (
	turnPatience = 2 * time.Second
	turnPause    = 5 * time.Second
	turnLook     = 250 * time.Millisecond // whether it goes round
)

func (w *Writer) takeTurn(t *task) error {
	if w.cfg.Turn == nil || w.turn || time.Now().Before(w.turnAgain) {
		return nil
	}
	// Most often it is free, and then a context for the wait would cost more
	// than the turn.
	if free, err := w.cfg.Turn.TryAcquire(); free || err != nil {
		w.turn = free
		return nil
	}
	longest := t.left() / 2
	if longest <= 0 {
		return nil // no time to be fair; that says nothing about the lock
	}
	w.inTheWay()
	ctx, cancel := context.WithCancelCause(t.ctx)
	defer cancel(nil)
	p := patience{turn: w.cfg.Turn, cancel: cancel}
	p.begin(longest)
	defer p.end()
	_, err := w.cfg.Turn.Acquire(ctx)
	switch {
	case err == nil:
		w.turn = true
	case t.ctx.Err() != nil:
		return t.ctx.Err()
	default:
		w.turnAgain = time.Now().Add(turnPause)
	}
	return nil
}

// patience ends a wait for the turn when the same process has it for turnPatience,
// or nobody. Where each COMMIT takes long the turn comes late, but it comes: who
// left the queue then had to win a race against all who were in it, and of eight
// processes with commits of 350 ms some waited 17 s.
type patience struct {
	turn   Turn
	cancel context.CancelCauseFunc

	mu     sync.Mutex // guards the rest
	timer  *time.Timer
	over   bool
	holder int       // when it last looked
	moved  time.Time // when the holder was last seen to be another
	until  time.Time
}

func (p *patience) begin(longest time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.moved = time.Now()
	p.until = p.moved.Add(longest)
	p.timer = time.AfterFunc(min(turnLook, longest), p.look)
}

func (p *patience) look() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	holder, _ := p.turn.Holder()
	if p.holder != 0 && holder != p.holder {
		p.moved = now
	}
	p.holder = holder
	switch {
	case p.over:
	case now.Sub(p.moved) >= turnPatience || !now.Before(p.until):
		p.cancel(errPatience)
	default:
		p.timer.Reset(min(turnLook, p.until.Sub(now)))
	}
}

func (p *patience) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	p.timer.Stop()
}

var errPatience = errors.New("patience with the fair lock spent")

func (w *Writer) releaseTurn() {
	if w.turn {
		w.turn = false
		_ = w.cfg.Turn.Release() // the descriptor is gone only after Close
	}
}

// abandonGroup rolls back a transaction in which nothing is left.
func (w *Writer) abandonGroup() {
	if t := w.cfg.Times; t != nil {
		t.WriterUse.Add(w.clock.now.Sub(w.group.began))
	}
	w.group = nil
	w.tell()
	err := w.control("ROLLBACK")
	w.releaseTurn()
	w.discardIf(err)
}

// control runs a transaction statement, outside any caller's context.
func (w *Writer) control(sql string) error {
	saved := w.ctx
	w.ctx = nil
	defer func() { w.ctx = saved }()
	return w.conn.ExecCached(sql)
}

func (w *Writer) deferredViolations() bool { return w.conn.DeferredViolations() }

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
