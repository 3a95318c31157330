package pool

import (
	"context"
	"time"
)

// stallAfter is how long a waiter watches a full pool give nothing back before
// it goes past the maximum. A goroutine that iterates rows and hands each to
// another goroutine that queries can't be told from plain load; this keeps
// such a program alive.
const stallAfter = 20 * time.Millisecond

// waiter is one Get at the maximum. It is used again for a later one: under load
// every lease waits, and should allocate nothing.
type waiter struct {
	got        chan grant // capacity 1
	since      time.Time
	seen       uint64    // Pool.returned when the pool was last seen to move
	moved      time.Time // and when that was
	prev, next *waiter
	in         bool
}

// grant ends a wait: with a reader, an error, or leave to open one.
type grant struct {
	r      *Reader
	beyond bool
	err    error
}

// line is the waiters, first come first served, and those not in use.
type line struct {
	head, tail *waiter
	len        int
	spare      *waiter // linked by next
}

// queue puts the caller into the line. Called with mu held.
func (p *Pool) queue() *waiter {
	l := &p.waiting
	w := l.spare
	if w == nil {
		w = &waiter{got: make(chan grant, 1)}
	} else {
		l.spare = w.next
	}
	now := time.Now()
	w.since, w.moved, w.seen, w.in = now, now, p.returned, true
	w.prev, w.next = l.tail, nil
	if l.tail != nil {
		l.tail.next = w
	} else {
		l.head = w
	}
	l.tail = w
	l.len++
	p.waits++
	due := stallAfter
	if p.cfg.Wait > 0 {
		due = min(due, p.cfg.Wait)
	}
	p.timer.soon(p, due)
	return w
}

// leave takes w out of the line; false means that it was served meanwhile.
// Called with mu held.
func (l *line) leave(w *waiter) bool {
	if !w.in {
		return false
	}
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		l.head = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	} else {
		l.tail = w.prev
	}
	w.prev, w.next, w.in = nil, nil, false
	l.len--
	return true
}

// answer ends a wait. Called with mu held.
func (p *Pool) answer(w *waiter, g grant) {
	if p.waiting.leave(w) {
		w.got <- g // never blocks: this is its only answer
	}
}

// wait returns what became of w.
func (p *Pool) wait(ctx context.Context, w *waiter) (*Reader, error) {
	var g grant
	select {
	case g = <-w.got:
	case <-ctx.Done():
		p.mu.Lock()
		left := p.waiting.leave(w)
		p.mu.Unlock()
		if !left {
			p.refuse(<-w.got) // it arrived in the same moment: pass it on
		}
		p.done(w, nil)
		return nil, ctx.Err()
	}
	waited := p.done(w, g.r)
	r, err := g.r, g.err
	if err == nil && r == nil {
		r, err = p.create(ctx, g.beyond)
	}
	if err != nil {
		return nil, err
	}
	r.Waited = waited
	return r, nil
}

// done keeps w for the next one who waits, and returns how long it has for r, if it got one.
func (p *Pool) done(w *waiter, r *Reader) time.Duration {
	p.mu.Lock()
	waited := time.Since(w.since)
	p.waited += waited
	if t := p.cfg.Times; t != nil {
		t.ReaderWait.Add(waited)
	}
	if r != nil {
		p.begin(r)
	}
	w.next, p.waiting.spare = p.waiting.spare, w
	p.mu.Unlock()
	return waited
}

// refuse gives back what a waiter who has left was granted.
func (p *Pool) refuse(g grant) {
	switch {
	case g.err != nil:
	case g.r != nil:
		p.Put(g.r, true)
	default:
		p.forget()
	}
}

// serve looks after those who wait: it ends the wait of those whose budget is
// spent, lets the first go past the maximum when the pool stands still, and
// returns when to look again, 0 for never. Called with mu held.
func (p *Pool) serve(now time.Time) time.Duration {
	for w := p.waiting.head; w != nil; w = p.waiting.head {
		if p.cfg.Wait > 0 && now.Sub(w.since) >= p.cfg.Wait {
			p.exhausted++
			p.answer(w, grant{err: ErrExhausted})
			continue
		}
		if w.seen != p.returned || !p.allKept() || p.hold.on {
			w.seen, w.moved = p.returned, now
		}
		if now.Sub(w.moved) >= stallAfter {
			p.goBeyond()
			// The others see this lease as progress: one a turn goes past.
			p.returned++
			p.answer(w, grant{beyond: true})
			continue
		}
		due := stallAfter - now.Sub(w.moved)
		if p.cfg.Wait > 0 {
			due = min(due, p.cfg.Wait-now.Sub(w.since))
		}
		return due
	}
	return 0
}

// allKept tells whether every reader is kept beyond one call. As long as one is
// not, it comes back by itself: its user is in the middle of a query, however
// slow, and waits for nobody. Called with mu held.
func (p *Pool) allKept() bool {
	return p.kept >= p.open-len(p.free)
}
