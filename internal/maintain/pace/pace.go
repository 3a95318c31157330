// Package pace keeps work that lasts out of the way of those who write: it is done
// in short pieces with rests between them for as long as others write, and at full
// speed when nobody does.
//
// On two cores four writers with pauses of 2 ms had a 99th percentile of 0.66 ms
// alone, and beside a loop that never rests 3.4 ms: Go takes a processor from a
// goroutine after 10 ms only. The loop working 5 ms and resting 15 left them 3.0
// ms, 1 and 3 ms 1.3, 0.5 and 4 ms 0.81, 0.3 and 1 ms 0.75, 0.1 and 1 ms 0.55. So it
// is the length of a piece that counts, and not the share of time. What meets a
// piece waits for its rest, so half the piece is half of that.
package pace

import (
	"context"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast/internal/busy"
)

const (
	// piece is how long work goes on before it looks whether it should rest.
	piece = 50 * time.Microsecond
	// times is how many times the work a rest lasts. Timers of Linux and Go are
	// late by up to a millisecond, so shorter rests would not be shorter.
	times = 16
	// Pieces of work that holds a log which is getting long: a third of the speed
	// that it would have without rests, and 0.75 ms in the table above.
	briskPiece = 300 * time.Microsecond
	briskTimes = 3
	// long and tooLong are shares of the size that is too large. From the first on
	// such work is brisk, from the second on it does not rest.
	long    = 3.0 / 8
	tooLong = 3.0 / 4
	// Slower is how many times as long work takes with its rests.
	Slower = times + 1
	// apart is the rest after what can't be made in pieces. A PASSIVE checkpoint takes a
	// millisecond or two with its flushes, and every COMMIT of that time waits for these.
	apart = 75 * time.Millisecond
	// longest is for a piece that could not be made shorter, or met a slow disk.
	longest = 100 * time.Millisecond
)

// Config says when to rest. Both may be nil, and are asked by several goroutines.
type Config struct {
	// Busy tells whether others write now or wait. Nil: there is never a rest.
	Busy func() bool
	// Log tells how much of the size that is too large the log has: it can't be emptied
	// while somebody reads an older state, so work that does so had better end. 1 if
	// there is no log, and writers wait for it. Nil: nothing.
	Log func() float64
}

// Pacer has the rests of all work on one database. It is safe for concurrent use.
type Pacer struct {
	cfg Config

	mu    sync.Mutex // guards the rest
	until time.Time  // rest that is owed for work that has ended
	stats Stats
}

// Stats counts rests.
type Stats struct {
	Rests  int64
	Rested time.Duration
	Worked time.Duration // in the pieces before them
}

// New returns a pacer.
func New(cfg Config) *Pacer {
	if cfg.Busy == nil {
		cfg.Busy = func() bool { return false }
	}
	if cfg.Log == nil {
		cfg.Log = func() float64 { return 0 }
	}
	return &Pacer{cfg: cfg}
}

// Stats returns the numbers as they are now.
func (p *Pacer) Stats() Stats {
	if p == nil {
		return Stats{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stats
}

// Begin waits for what is left of the rest after earlier work, so that many short
// works in a row are no different from a long one, and returns a context by which
// the rooms find out that they should rest. end must be called when the work has
// ended. The error is ctx's. On a nil Pacer it does nothing.
func (p *Pacer) Begin(ctx context.Context) (_ context.Context, end func(), err error) {
	if p == nil {
		return ctx, func() {}, ctx.Err()
	}
	if err := p.settle(ctx); err != nil {
		return ctx, nil, err
	}
	from := time.Now()
	w := &Work{p: p, from: &from}
	return context.WithValue(ctx, key{}, w), func() { p.owe(min(times*time.Since(from), longest)) }, nil
}

// Apart is Begin for work that can't be made in pieces, and so should be rare while
// others write.
func (p *Pacer) Apart(ctx context.Context) (end func(), err error) {
	if p == nil {
		return func() {}, ctx.Err()
	}
	return func() { p.owe(apart) }, p.settle(ctx)
}

// settle takes the rest that is owed.
func (p *Pacer) settle(ctx context.Context) error {
	p.mu.Lock()
	owed := time.Until(p.until)
	p.mu.Unlock()
	if owed > 0 && p.cfg.Busy() {
		return p.rest(ctx, owed, 0)
	}
	return ctx.Err()
}

// owe notes a rest for whoever comes next.
func (p *Pacer) owe(d time.Duration) {
	until := time.Now().Add(d)
	p.mu.Lock()
	defer p.mu.Unlock()
	if until.After(p.until) {
		p.until = until
	}
}

func (p *Pacer) rest(ctx context.Context, d, worked time.Duration) error {
	start := time.Now()
	err := busy.Sleep(ctx, d)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats.Rests++
	p.stats.Rested += time.Since(start)
	p.stats.Worked += worked
	return err
}

type key struct{}

// Work is one piece of work after the other, by one goroutine at a time. A nil *Work
// never rests.
type Work struct {
	p     *Pacer
	holds bool
	from  *time.Time // when the piece began
}

// Of returns the work that ctx is about, nil if nobody has begun any.
func Of(ctx context.Context) *Work {
	w, _ := ctx.Value(key{}).(*Work)
	return w
}

// Holding returns the work as one that keeps the log from being emptied while it
// rests: it rests less when the log is long, and not at all when it is too long.
func (w *Work) Holding() *Work {
	if w == nil {
		return nil
	}
	return &Work{p: w.p, holds: true, from: w.from}
}

// Holding is ctx with [Work.Holding] of its work.
func Holding(ctx context.Context) context.Context {
	if w := Of(ctx); w != nil {
		return context.WithValue(ctx, key{}, w.Holding())
	}
	return ctx
}

// Busy tells whether pieces should be short now.
func (w *Work) Busy() bool {
	return w != nil && w.p.cfg.Busy() && !(w.holds && w.p.cfg.Log() >= tooLong)
}

// OthersWrite tells whether others write, also when that is no reason to rest.
func (w *Work) OthersWrite() bool { return w != nil && w.p.cfg.Busy() }

// Pause is called between two pieces of work, which should be much shorter than a
// millisecond, and rests if it is time to, others write and ctx has not ended. It
// returns how long it has rested.
func (w *Work) Pause(ctx context.Context) (rested time.Duration) {
	if w == nil {
		return 0
	}
	now := time.Now()
	worked := now.Sub(*w.from)
	if worked < piece {
		return 0
	}
	rest := times * worked
	if w.holds && w.p.cfg.Log() >= long {
		if worked < briskPiece {
			return 0
		}
		rest = briskTimes * worked
	}
	if w.Busy() {
		_ = w.p.rest(ctx, min(rest, longest), worked) // who works looks at ctx
	}
	*w.from = time.Now()
	return w.from.Sub(now)
}
