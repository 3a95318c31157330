package pool

import (
	"context"
	"time"
)

// hold keeps new leases waiting for a moment. Readers that overlap, none of them
// long, never leave the log alone: each begins before the one before it has
// ended, and the log can only be begun anew when nobody reads in it.
type hold struct {
	on       bool          // leases wait
	idle     chan struct{} // closed when all readers have come back meanwhile
	expected bool          // Keep finds out who keeps a reader
}

// ExpectHold tells that a Hold may come. As long as it may, Keep notes which
// goroutine keeps a reader, at the price of up to 25 us, so that Hold lets it pass.
func (p *Pool) ExpectHold(on bool) {
	p.mu.Lock()
	p.hold.expected = on
	p.mu.Unlock()
}

// Hold keeps new leases waiting until release is called, and returns when all
// readers have come back, bound is over or ctx has ended; idle says whether they
// have. A goroutine that keeps a reader already is let pass as far as it is known:
// its reader comes back the sooner. Those that wait go on in their order, and a
// wait budget that is spent meanwhile ends theirs. Only one Hold may be under way.
func (p *Pool) Hold(ctx context.Context, bound time.Duration) (release func(), idle bool) {
	p.mu.Lock()
	h := &p.hold
	all := make(chan struct{})
	h.on, h.idle = true, all
	p.returnedAll()
	p.mu.Unlock()
	limit := time.NewTimer(bound)
	defer limit.Stop()
	select {
	case <-all:
		idle = true
	case <-limit.C:
	case <-ctx.Done():
	}
	return p.letGo, idle
}

// returnedAll tells Hold when nobody has a reader. Called with mu held.
func (p *Pool) returnedAll() {
	if h := &p.hold; h.idle != nil && p.open == len(p.free) {
		close(h.idle)
		h.idle = nil
	}
}

// letGo ends a hold.
func (p *Pool) letGo() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hold.on, p.hold.idle = false, nil
	for w := p.waiting.head; w != nil; w = p.waiting.head {
		switch n := len(p.free); {
		case n > 0:
			r := p.free[n-1]
			p.free = p.free[:n-1]
			p.noteUse()
			p.answer(w, grant{r: r})
		case p.open < p.cfg.Max:
			p.open++
			p.noteUse()
			p.answer(w, grant{})
		default:
			return
		}
	}
}
