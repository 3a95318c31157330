package pool

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast/internal/busy"
	"github.com/holdfastdb/holdfast/internal/locks"
	"github.com/holdfastdb/holdfast/internal/sqlite"
	"github.com/holdfastdb/holdfast/internal/stats"
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

	// Warm lets readers keep their snapshot from one Read to the next. It is for
	// databases in WAL mode, where a reader keeps nobody from writing.
	Warm bool

	// Times has how long callers waited, how long they had readers, and how long it took to
	// open one. Nil: nothing is timed.
	Times *stats.Times

	// OnClose is told why a reader was closed: "lifetime", "idle", "unclean",
	// "beyond", "check" or "closed".
	OnClose func(reason string)
}

// progressOps is how many instructions of SQLite's virtual machine run between
// two looks at the context: tens of microseconds.
const progressOps = 1000

// Reader is one leased connection. It belongs to the goroutine that leased it
// until Put.
type Reader struct {
	Conn *sqlite.Conn
	Busy busy.Handler // the connection's busy handler; armed by each lease
	// Waited is how long this lease waited for a reader to become free.
	Waited time.Duration
	Turn   stats.Turn // whether what runs on it is timed

	opened  time.Time
	idle    time.Time
	leased  time.Time // zero unless this lease is timed
	weight  uint64    // of how many leases it is one
	beyond  bool      // opened past the maximum
	kept    bool      // beyond one call
	holder  uint64    // the goroutine that keeps it, or 0 if it is not known
	visited uint64    // the round of Visit,
	idled   uint64    // and of Idle
	snapshot
}

// Pool is a bounded, lazy set of readers. It is safe for concurrent use.
type Pool struct {
	cfg Config

	mu       sync.Mutex     // guards everything below; never held while SQLite works
	free     []*Reader      // a stack: the warmest page cache is on top
	open     int            // leased and free, and those being opened
	waiting  line           // FIFO
	kept     int            // readers kept beyond one call
	holders  map[uint64]int // by goroutine, as far as known
	returned uint64         // Put calls, to see a stall
	closed   bool
	empty    chan struct{} // closed when the last reader is gone after Close

	// now is the time of the last Retire. Asking the clock twice a lease would
	// cost more than the rest of it, and ages count in minutes.
	now time.Time

	leases uint64 // to time one in so many
	visit  visit
	idled  uint64 // rounds of Idle
	timer  timer  // for tend
	round  uint64 // of tend
	hold   hold

	beyond      int64 // leases past the maximum, ever
	waits       int64
	exhausted   int64 // waits that ended without a reader
	waited      time.Duration
	maxInUse    int
	createdEver int64
	warmEver    int64
}

// New returns an empty pool; nothing is opened until the first Get.
func New(cfg Config) *Pool {
	cfg.Max = max(cfg.Max, 1)
	cfg.Min = min(max(cfg.Min, 0), cfg.Max)
	return &Pool{cfg: cfg, now: time.Now(), holders: make(map[uint64]int), empty: make(chan struct{})}
}

// Get leases a reader outside of any transaction: a free one, a new one, or the
// next that comes back. At the maximum it waits, first come first served, until
// ctx ends, the budget is spent (ErrExhausted) or the pool closes (ErrClosed). A
// goroutine that keeps a reader already never waits for a second: it would wait
// for itself. What was set aside on the reader is settled: nobody knows for how long
// it is kept.
func (p *Pool) Get(ctx context.Context) (*Reader, error) {
	r, err := p.lease(ctx)
	if err != nil {
		return nil, err
	}
	r.Conn.Settle()
	if !r.warm {
		return r, nil
	}
	if r.cool() != nil {
		return p.replace(ctx, r, "unclean")
	}
	return r, nil
}

func (p *Pool) lease(ctx context.Context) (*Reader, error) {
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
		pass := !p.hold.on || p.holders[caller] > 0
		if n := len(p.free); n > 0 && pass {
			r := p.free[n-1]
			p.free = p.free[:n-1]
			p.noteUse()
			p.begin(r)
			stale := p.unproven(r)
			p.mu.Unlock()
			r.Waited = 0
			if stale {
				return p.checked(ctx, r)
			}
			return r, nil
		}
		if p.open < p.cfg.Max && pass {
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
	w := p.queue()
	p.mu.Unlock()
	return p.wait(ctx, w)
}

func (p *Pool) goBeyond() {
	p.open++
	p.beyond++
	p.noteUse()
}

func (p *Pool) noteUse() { p.maxInUse = max(p.maxInUse, p.open-len(p.free)) }

func (p *Pool) create(ctx context.Context, beyond bool) (*Reader, error) {
	began := time.Now()
	c, err := p.cfg.Open(ctx)
	if err != nil {
		p.forget()
		return nil, err
	}
	r := &Reader{Conn: c, opened: time.Now(), beyond: beyond}
	if t := p.cfg.Times; t != nil {
		t.ReaderCreate.Add(r.opened.Sub(began))
	}
	c.SetBusyHandler(r.Busy.Busy)
	c.SetProgressHandler(progressOps, r.Busy.Interrupted)
	p.mu.Lock()
	p.createdEver++
	p.begin(r)
	p.mu.Unlock()
	return r, nil
}

// begin times one lease in so many; of those that are kept Keep times each. Called with
// mu held.
func (p *Pool) begin(r *Reader) {
	if p.leases++; p.leases%stats.SampledLeases == 0 && p.cfg.Times != nil {
		r.leased, r.weight = time.Now(), stats.SampledLeases
	}
}

// ended counts a lease that was timed. Called with mu held.
func (p *Pool) ended(r *Reader) {
	if r.weight > 0 {
		p.cfg.Times.ReaderUse.AddN(time.Since(r.leased), r.weight)
		r.weight = 0
	}
}

// unproven tells whether a reader has been idle for so long that it has to show
// that it still works. Called with mu held.
func (p *Pool) unproven(r *Reader) bool {
	return p.cfg.CheckEvery > 0 && p.cfg.Check != nil && p.now.Sub(r.idle) >= p.cfg.CheckEvery
}

// checked proves a reader, and replaces it when it no longer answers.
func (p *Pool) checked(ctx context.Context, r *Reader) (*Reader, error) {
	r.Busy.Arm(ctx, p.cfg.Wait, nil)
	err := p.cfg.Check(r.Conn)
	r.Busy.Disarm()
	if err == nil {
		return r, nil
	}
	return p.replace(ctx, r, "check")
}

// replace closes a leased reader and opens another in its place. The place stays
// taken: given back for a moment, it could go to a waiter, or Close could find
// the pool empty.
func (p *Pool) replace(ctx context.Context, r *Reader, reason string) (*Reader, error) {
	p.discard(r, reason)
	return p.create(ctx, r.beyond)
}

// Keep records that the calling goroutine keeps r beyond one call, so that its
// next Get does not wait behind itself. Put ends it.
func (p *Pool) Keep(r *Reader) {
	p.mu.Lock()
	r.kept = true
	p.kept++
	if p.cfg.Times != nil {
		if r.weight == 0 {
			r.leased = time.Now()
		}
		r.weight = 1
	}
	known := p.open-len(p.free) >= p.cfg.Max || p.hold.expected
	p.mu.Unlock()
	if !known {
		// Asking for the goroutine costs some 20 us under a deep stack. Who it is
		// matters only when readers run out or are held back; a goroutine that kept its reader
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
// transaction of its user) is closed, never handed out again.
func (p *Pool) Put(r *Reader, clean bool) {
	inTx := !r.Conn.Autocommit()
	r.warm = r.warm && inTx // an error may have ended it
	clean = clean && r.warm == inTx
	p.mu.Lock()
	if clean && r.visited < p.visit.round {
		p.shown(r)
	}
	p.release(r)
	p.ended(r)
	p.returned++
	p.warmEver += r.hits
	r.hits = 0
	reason := ""
	switch {
	case p.closed:
		reason = "closed"
	case !clean:
		reason = "unclean"
	case p.cfg.Lifetime > 0 && p.now.Sub(r.opened) >= p.cfg.Lifetime:
		reason = "lifetime"
	case p.open > p.cfg.Max && p.waiting.head == nil:
		reason = "beyond"
	}
	if reason != "" {
		p.mu.Unlock()
		p.close(r, reason)
		return
	}
	p.giveBack(r, len(p.free))
	p.mu.Unlock()
}

// release ends what Keep recorded. Called with mu held.
func (p *Pool) release(r *Reader) {
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
}

// giveBack hands a reader to who has waited longest, or puts it into the stack
// at the place given. Called with mu held.
func (p *Pool) giveBack(r *Reader, at int) {
	r.beyond = false
	if w := p.waiting.head; w != nil && !p.hold.on {
		p.answer(w, grant{r: r})
		return
	}
	r.idle, r.round = p.now, p.round
	at = min(at, len(p.free))
	p.free = append(p.free, nil)
	copy(p.free[at+1:], p.free[at:])
	p.free[at] = r
	p.returnedAll()
	if r.warm {
		p.timer.soon(p, coolAfter)
	}
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
	p.returnedAll()
	if p.closed {
		if p.open == 0 {
			close(p.empty)
		}
		return
	}
	if w := p.waiting.head; w != nil && p.open < p.cfg.Max && !p.hold.on {
		p.open++
		p.answer(w, grant{})
	}
}

// Retire closes readers that have been idle too long or have lived too long,
// and keeps Min. It is called by a ticker that the caller owns, and is also the
// pool's clock: ages are told from the time of the last Retire.
func (p *Pool) Retire(now time.Time) {
	p.mu.Lock()
	p.now = now
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
	for w := p.waiting.head; w != nil; w = p.waiting.head {
		p.answer(w, grant{err: ErrClosed})
	}
	none := p.open == 0
	p.mu.Unlock()
	p.timer.stop()
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
	Exhausted                                 int64 // waits whose budget was spent
	Leases                                    int64 // that have ended
	Warm                                      int64 // Reads that found their snapshot still current
	Waited                                    time.Duration
}

// Stats returns the pool's numbers as they are now.
func (p *Pool) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Stats{
		Open: p.open, InUse: p.open - len(p.free), Idle: len(p.free), Waiting: p.waiting.len,
		Max: p.cfg.Max, MaxInUse: p.maxInUse,
		Leases: int64(p.returned), Created: p.createdEver, Waits: p.waits, Exhausted: p.exhausted, Beyond: p.beyond, Warm: p.warmEver, Waited: p.waited,
	}
}
