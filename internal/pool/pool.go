package pool

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast/internal/busy"
	"github.com/holdfastdb/holdfast/internal/locks"
	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// ErrClosed is returned by Get after Close.
var ErrClosed = errors.New("the reader pool is closed")

// ErrExhausted is returned by Get when no reader became free within the wait
// budget.
var ErrExhausted = errors.New("no reader became free in time")

// Config is how a Pool behaves. Open is required; a zero duration turns the
// thing off.
type Config struct {
	// Open opens a reader and proves its settings. The pool calls it from
	// several goroutines at once.
	Open func(ctx context.Context) (*sqlite.Conn, error)
	// Check proves that a reader that has been idle for CheckEvery still works.
	Check func(*sqlite.Conn) error

	Min, Max   int           // readers kept when idle; readers open at once
	Lifetime   time.Duration // a reader older than this is retired when it comes back
	IdleTime   time.Duration // a reader idle for this long is retired, down to Min
	CheckEvery time.Duration
	Wait       time.Duration // how long Get waits at the maximum

	// OnClose is told why a reader was closed: "lifetime", "idle", "unclean",
	// "beyond", "check" or "closed".
	OnClose func(reason string)
}

// stallAfter is how long a waiter watches a full pool give nothing back before
// it goes past the maximum. A goroutine that iterates rows and hands each to
// another goroutine that queries can't be told from plain load; this keeps
// such a program alive.
const stallAfter = 20 * time.Millisecond

// progressOps is how many instructions of SQLite's virtual machine run between
// two looks at the context: tens of microseconds.
const progressOps = 1000

// Reader is one leased connection. It belongs to the goroutine that leased it
// until Put.
type Reader struct {
	Conn *sqlite.Conn
	Busy busy.Handler // the connection's busy handler; armed by each lease

	opened time.Time
	idle   time.Time
	beyond bool   // opened past the maximum
	kept   bool   // beyond one call
	holder uint64 // the goroutine that keeps it, or 0 if it is not known
}

// Pool is a bounded, lazy set of readers. It is safe for concurrent use.
type Pool struct {
	cfg Config

	mu       sync.Mutex     // guards everything below; never held while SQLite works
	free     []*Reader      // a stack: the warmest page cache is on top
	open     int            // leased and free, and those being opened
	waiting  []*waiter      // FIFO
	kept     int            // readers kept beyond one call
	holders  map[uint64]int // by goroutine, as far as known
	returned uint64         // Put calls, to see a stall
	closed   bool
	empty    chan struct{} // closed when the last reader is gone after Close

	beyond      int64 // leases past the maximum, ever
	waits       int64
	waited      time.Duration
	maxInUse    int
	createdEver int64
}

type waiter struct {
	got chan *Reader // capacity 1; nil means "open one yourself"
}

// New returns an empty pool; nothing is opened until the first Get.
func New(cfg Config) *Pool {
	cfg.Max = max(cfg.Max, 1)
	cfg.Min = min(max(cfg.Min, 0), cfg.Max)
	return &Pool{cfg: cfg, holders: make(map[uint64]int), empty: make(chan struct{})}
}

// Get leases a reader: a free one, a new one, or the next that comes back. At
// the maximum it waits, first come first served, until ctx ends, the budget is
// spent (ErrExhausted) or the pool closes (ErrClosed). A goroutine that keeps
// a reader already never waits for a second: it would wait for itself.
func (p *Pool) Get(ctx context.Context) (*Reader, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var caller uint64
	for {
		p.mu.Lock()
		if p.closed {
			p.mu.Unlock()
			return nil, ErrClosed
		}
		if n := len(p.free); n > 0 {
			r := p.free[n-1]
			p.free = p.free[:n-1]
			p.noteUse()
			p.mu.Unlock()
			return p.checked(ctx, r)
		}
		if p.open < p.cfg.Max {
			p.open++
			p.noteUse()
			p.mu.Unlock()
			return p.create(ctx, false)
		}
		if len(p.holders) > 0 && caller == 0 {
			p.mu.Unlock()
			caller = locks.Goroutine() // slow, so not under the lock
			continue
		}
		break
	}
	if p.holders[caller] > 0 {
		p.goBeyond()
		p.mu.Unlock()
		return p.create(ctx, true)
	}
	w := &waiter{got: make(chan *Reader, 1)}
	p.waiting = append(p.waiting, w)
	p.waits++
	p.mu.Unlock()
	return p.wait(ctx, w)
}

func (p *Pool) goBeyond() {
	p.open++
	p.beyond++
	p.noteUse()
}

func (p *Pool) noteUse() { p.maxInUse = max(p.maxInUse, p.open-len(p.free)) }

func (p *Pool) wait(ctx context.Context, w *waiter) (*Reader, error) {
	start := time.Now()
	stall := time.NewTimer(stallAfter)
	defer stall.Stop()
	var spent <-chan time.Time
	if p.cfg.Wait > 0 {
		t := time.NewTimer(p.cfg.Wait)
		defer t.Stop()
		spent = t.C
	}
	p.mu.Lock()
	seen := p.returned
	p.mu.Unlock()
	for {
		select {
		case r, ok := <-w.got:
			p.mu.Lock()
			p.waited += time.Since(start)
			p.mu.Unlock()
			switch {
			case !ok:
				return nil, ErrClosed
			case r == nil:
				return p.create(ctx, false)
			}
			return p.checked(ctx, r)
		case <-stall.C:
			p.mu.Lock()
			if p.returned == seen && p.allKept() && p.leave(w) {
				p.goBeyond()
				// The others see this lease as progress: one a turn goes past.
				p.returned++
				p.mu.Unlock()
				return p.create(ctx, true)
			}
			seen = p.returned
			p.mu.Unlock()
			stall.Reset(stallAfter)
		case <-ctx.Done():
			return nil, p.abandon(w, ctx.Err())
		case <-spent:
			return nil, p.abandon(w, ErrExhausted)
		}
	}
}

// allKept tells whether every reader is kept beyond one call. As long as one is
// not, it comes back by itself: its user is in the middle of a query, however
// slow, and waits for nobody. Called with mu held.
func (p *Pool) allKept() bool {
	return p.kept >= p.open-len(p.free)
}

// leave takes w out of the queue; false means that it was served meanwhile.
func (p *Pool) leave(w *waiter) bool {
	for i, x := range p.waiting {
		if x == w {
			p.waiting = append(p.waiting[:i], p.waiting[i+1:]...)
			return true
		}
	}
	return false
}

// abandon gives up a wait; a reader that arrived in the same moment is passed on.
func (p *Pool) abandon(w *waiter, err error) error {
	p.mu.Lock()
	left := p.leave(w)
	p.mu.Unlock()
	if left {
		return err
	}
	r, ok := <-w.got
	switch {
	case !ok:
		return ErrClosed
	case r == nil:
		p.forget()
	default:
		p.Put(r, true)
	}
	return err
}

func (p *Pool) create(ctx context.Context, beyond bool) (*Reader, error) {
	c, err := p.cfg.Open(ctx)
	if err != nil {
		p.forget()
		return nil, err
	}
	r := &Reader{Conn: c, opened: time.Now(), beyond: beyond}
	c.SetBusyHandler(r.Busy.Busy)
	c.SetProgressHandler(progressOps, r.Busy.Interrupted)
	p.mu.Lock()
	p.createdEver++
	p.mu.Unlock()
	return r, nil
}

// checked proves a reader that has been idle for long, and replaces it when it
// no longer answers.
func (p *Pool) checked(ctx context.Context, r *Reader) (*Reader, error) {
	if p.cfg.CheckEvery <= 0 || p.cfg.Check == nil || r.idle.IsZero() || time.Since(r.idle) < p.cfg.CheckEvery {
		return r, nil
	}
	r.Busy.Arm(ctx, p.cfg.Wait, nil)
	err := p.cfg.Check(r.Conn)
	r.Busy.Disarm()
	if err == nil {
		return r, nil
	}
	// Its place stays taken: given back for a moment, it could go to a waiter,
	// or Close could find the pool empty.
	p.discard(r, "check")
	return p.create(ctx, r.beyond)
}

// Keep records that the calling goroutine keeps r beyond one call, so that its
// next Get does not wait behind itself. Put ends it.
func (p *Pool) Keep(r *Reader) {
	p.mu.Lock()
	r.kept = true
	p.kept++
	full := p.open-len(p.free) >= p.cfg.Max
	p.mu.Unlock()
	if !full {
		// Asking for the goroutine costs some 20 us under a deep stack. Who it is
		// matters only when readers run out; a goroutine that kept its reader
		// before is then found by the stall.
		return
	}
	g := locks.Goroutine()
	p.mu.Lock()
	r.holder = g
	p.holders[g]++
	p.mu.Unlock()
}

// Put gives a reader back. An unclean one (clean is false, or it is still in a
// transaction) is closed, never handed out again.
func (p *Pool) Put(r *Reader, clean bool) {
	clean = clean && r.Conn.Autocommit()
	p.mu.Lock()
	if r.kept {
		r.kept = false
		p.kept--
	}
	if r.holder != 0 {
		if p.holders[r.holder]--; p.holders[r.holder] == 0 {
			delete(p.holders, r.holder)
		}
		r.holder = 0
	}
	p.returned++
	reason := ""
	switch {
	case p.closed:
		reason = "closed"
	case !clean:
		reason = "unclean"
	case p.cfg.Lifetime > 0 && time.Since(r.opened) >= p.cfg.Lifetime:
		reason = "lifetime"
	case p.open > p.cfg.Max && len(p.waiting) == 0:
		reason = "beyond"
	}
	if reason != "" {
		p.mu.Unlock()
		p.close(r, reason)
		return
	}
	r.beyond = false
	if len(p.waiting) > 0 {
		w := p.waiting[0]
		p.waiting = p.waiting[1:]
		p.mu.Unlock()
		w.got <- r
		return
	}
	r.idle = time.Now()
	p.free = append(p.free, r)
	p.mu.Unlock()
}

func (p *Pool) close(r *Reader, reason string) {
	p.discard(r, reason)
	p.forget()
}

// discard closes the connection and keeps its place in the count.
func (p *Pool) discard(r *Reader, reason string) {
	_ = r.Conn.Close() // a reader has nothing to lose
	if p.cfg.OnClose != nil {
		p.cfg.OnClose(reason)
	}
}

// forget takes one reader off the count; a waiter may then open its own.
func (p *Pool) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open--
	if p.closed {
		if p.open == 0 {
			close(p.empty)
		}
		return
	}
	if len(p.waiting) > 0 && p.open < p.cfg.Max {
		w := p.waiting[0]
		p.waiting = p.waiting[1:]
		p.open++
		w.got <- nil
	}
}

// Retire closes readers that have been idle too long or have lived too long,
// and keeps Min. It is called by a timer that the caller owns.
func (p *Pool) Retire(now time.Time) {
	p.mu.Lock()
	var out []*Reader
	kept := p.free[:0]
	for i, r := range p.free { // the coldest are at the bottom
		left := len(kept) + len(p.free) - i - 1
		idle := p.cfg.IdleTime > 0 && now.Sub(r.idle) >= p.cfg.IdleTime && left+p.open-len(p.free) >= p.cfg.Min
		old := p.cfg.Lifetime > 0 && now.Sub(r.opened) >= p.cfg.Lifetime
		if idle || old {
			out = append(out, r)
			continue
		}
		kept = append(kept, r)
	}
	p.free = kept
	p.mu.Unlock()
	for _, r := range out {
		p.close(r, "idle")
	}
}

// Close refuses new leases, closes the free readers and waits until the leased
// ones have come back or ctx ends.
func (p *Pool) Close(ctx context.Context) error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	free := p.free
	p.free = nil
	for _, w := range p.waiting {
		close(w.got)
	}
	p.waiting = nil
	none := p.open == 0
	p.mu.Unlock()
	for _, r := range free {
		p.close(r, "closed")
	}
	if none {
		return nil
	}
	select {
	case <-p.empty:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Stats is a snapshot of the pool. Open, InUse, Idle and Waiting are current;
// the rest is cumulative.
type Stats struct {
	Open, InUse, Idle, Waiting, Max, MaxInUse int
	Created, Waits, Beyond                    int64
	Waited                                    time.Duration
}

// Stats returns the pool's numbers as they are now.
func (p *Pool) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Stats{
		Open: p.open, InUse: p.open - len(p.free), Idle: len(p.free), Waiting: len(p.waiting),
		Max: p.cfg.Max, MaxInUse: p.maxInUse,
		Created: p.createdEver, Waits: p.waits, Beyond: p.beyond, Waited: p.waited,
	}
}
