package pool

import "github.com/holdfastdb/holdfast/internal/sqlite"

// visit is a function that every reader is to be shown to once.
type visit struct {
	fn    func(*sqlite.Conn)
	round uint64
}

// Visit has fn called with each reader that is open now, by whoever owns it: here for the
// idle ones, one at a time, so that no more than one is missing from the pool, and by
// their users for the others, when they come back. A reader that is not back when Visit
// is called again is shown to the later fn alone. fn leaves the connection as it was, in
// its transaction or outside of one, and is quick: somebody may be waiting for it.
func (p *Pool) Visit(fn func(*sqlite.Conn)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	round := p.visit.round + 1
	p.visit = visit{fn, round}
	p.withIdle(func(r *Reader) bool { return r.visited < round }, func(r *Reader) error {
		r.visited = round
		fn(r.Conn)
		return nil
	})
}

// Idle has fn called with each reader that is idle now, one at a time, as Visit does, and
// with no other.
func (p *Pool) Idle(fn func(*sqlite.Conn)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idled++
	round := p.idled
	p.withIdle(func(r *Reader) bool { return r.idled < round }, func(r *Reader) error {
		r.idled = round
		fn(r.Conn)
		return nil
	})
}

// shown calls what the reader is to be shown to. Called with mu held, and gives it up
// meanwhile.
func (p *Pool) shown(r *Reader) {
	v := p.visit
	r.visited = v.round
	p.mu.Unlock()
	v.fn(r.Conn)
	p.mu.Lock()
}

// withIdle does something with the idle readers that which names, one at a time, so that
// no more than one is missing from the pool; afterwards which must not name it any more.
// One with which it fails is closed. Called with mu held, and gives it up meanwhile.
func (p *Pool) withIdle(which func(*Reader) bool, do func(*Reader) error) {
	for i := 0; i < len(p.free); {
		r := p.free[i]
		if !which(r) {
			i++
			continue
		}
		p.free = append(p.free[:i], p.free[i+1:]...)
		p.mu.Unlock()
		err := do(r)
		p.mu.Lock()
		if err != nil || p.closed {
			reason := "closed"
			if err != nil {
				reason = "unclean"
			}
			p.mu.Unlock()
			p.close(r, reason)
			p.mu.Lock()
			continue
		}
		idle := r.idle
		p.giveBack(r, i)
		r.idle = idle
	}
}
