package pool

import (
	"context"
	"time"
)

// A reader that keeps its read transaction open between two statements starts
// the second without the two locks, the unlock and the page-cache check that
// beginning costs: half of a read by key. It may do so only while its snapshot
// is the newest state (Conn.SnapshotCurrent), so a read sees what a transaction
// begun at that moment would see.
//
// What it must not do is hold up checkpoints: the log can't be copied past the
// oldest snapshot, nor begun from its start while somebody reads in it. So idle
// readers give theirs up after coolAfter, and at once when somebody says Cool.

// coolAfter is how long an idle reader keeps its snapshot, at least; at most it
// is twice that. Another process's checkpoint waits no longer for it.
const coolAfter = 20 * time.Millisecond

// restMax is the most Reads that a reader does the plain way after its snapshot
// was out of date time and again.
const restMax = 64

// longLog is how many frames in the log mean that checkpoints are held up: one is
// made at 1000, and at 4000 a writer is slowed down until it is done. Reads that keep
// nothing from 2000 on cost a seventh more CPU where the log grows during the fsync
// of a checkpoint. The log can be begun anew only after a
// checkpoint that copied all of it, which needs a moment without an older
// snapshot. Cool makes that moment within the process; from the snapshots of
// readers in another process, kept between bursts of reads less than coolAfter
// apart, none would ever come, and the log would grow without end. So readers keep
// nothing as long as the log is long, whoever writes it.
const longLog = 5000

// snapshot is what a Reader keeps from one Read to the next.
type snapshot struct {
	warm  bool   // in a read transaction of the pool's
	hits  int64  // Reads that found it current, since Put last counted them
	round uint64 // of tend, when it came back
	rest  int    // Reads to do without
	worth int    // rest after the next snapshot that was kept for nothing
}

// Read leases a reader like Get, for one statement that reads. The reader is in
// a read transaction on the newest state, or begins one with the statement, and
// the caller leaves it open: Put keeps it for the next Read. The statement must
// be one that runs in a transaction.
func (p *Pool) Read(ctx context.Context) (*Reader, error) {
	r, err := p.lease(ctx)
	if err != nil || !p.cfg.Warm {
		return r, err
	}
	hit, err := r.warmUp()
	if err != nil {
		return p.replace(ctx, r, "unclean")
	}
	if hit {
		r.hits++
	}
	return r, nil
}

// warmUp brings the reader's transaction up to date; hit says that it was.
func (r *Reader) warmUp() (hit bool, err error) {
	if r.warm {
		if r.Conn.SnapshotCurrent() {
			r.worth = 0
			return true, nil
		}
		if err := r.cool(); err != nil {
			return false, err
		}
		// Where every read finds a new state, keeping the old one was for nothing.
		r.worth = min(2*r.worth+1, restMax)
		r.rest = r.worth - 1
	}
	if r.rest > 0 {
		r.rest--
		return false, nil
	}
	if r.Conn.LogPending() >= longLog {
		return false, nil
	}
	if err := r.Conn.ExecCached("BEGIN"); err != nil {
		return false, err
	}
	r.warm = true
	return false, nil
}

// cool ends the transaction.
func (r *Reader) cool() error {
	r.warm = false
	return r.Conn.ExecCached("COMMIT")
}

// Cool makes all idle readers give up their snapshots, so that a checkpoint can
// copy the whole log. Those at work keep theirs to the end of their statement.
func (p *Pool) Cool() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.withIdle(func(r *Reader) bool { return r.warm }, (*Reader).cool)
}

// tend is what the timer runs: it cools the readers that nobody has used for a
// round, and looks after those who wait.
func (p *Pool) tend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.timer.due = time.Time{}
	round := p.round
	p.round++
	p.withIdle(func(r *Reader) bool { return r.warm && r.round < round }, (*Reader).cool)
	if p.closed {
		return
	}
	for _, r := range p.free {
		if r.warm {
			p.timer.soon(p, coolAfter)
			break
		}
	}
	if d := p.serve(time.Now()); d > 0 {
		p.timer.soon(p, d)
	}
}

// timer runs tend when it is due. It is guarded by Pool.mu, except that stop
// comes after the last use.
type timer struct {
	t   *time.Timer
	due time.Time // zero: not set
}

// soon makes tend run after d, or earlier if it is due earlier.
func (t *timer) soon(p *Pool, d time.Duration) {
	if d == coolAfter && !t.due.IsZero() {
		return // due within a round anyway; the common case asks no clock
	}
	at := time.Now().Add(d)
	switch {
	case p.closed:
	case t.t == nil:
		t.t = time.AfterFunc(d, p.tend)
		t.due = at
	case t.due.IsZero() || at.Before(t.due):
		t.t.Reset(d)
		t.due = at
	}
}

func (t *timer) stop() {
	if t.t != nil {
		t.t.Stop()
	}
}
