package busy

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// Backoff is the pause between two runs of a whole transaction.
type Backoff struct {
	Base        time.Duration // first pause
	Max         time.Duration // longest pause
	Exponential bool          // double the pause after each run
	Jitter      bool          // draw from [d/2, d], so that losers do not meet again
}

// Delay returns the pause after the attempt-th failed run, counted from 0.
func (b Backoff) Delay(attempt int) time.Duration {
	d := b.Base
	if b.Exponential {
		for range min(attempt, 62) {
			if d >= b.Max/2 {
				d = b.Max
				break
			}
			d *= 2
		}
	}
	d = min(d, b.Max)
	if b.Jitter && d > 1 {
		d = d/2 + rand.N(d/2+1)
	}
	return d
}

// Sleep waits for d or until ctx ends, and then returns ctx's error.
func Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Pauses between attempts at a lock that a process without a fair lock holds.
// SQLite's own handler backs off to 100 ms, and then a waiter gets the less
// the longer it has waited; a short, constant ceiling keeps the tail short.
const (
	pollFirst = 100 * time.Microsecond
	pollMax   = 4 * time.Millisecond
)

func pollDelay(count int) time.Duration {
	d := pollFirst << min(count, 10)
	d = min(d, pollMax)
	return d/2 + rand.N(d/2+1)
}

// Handler is SQLite's busy handler with a budget and a context. The zero value
// gives up at once. It belongs to one connection: Arm and Busy are called by
// the goroutine that uses the connection.
type Handler struct {
	ctx     context.Context
	started time.Time
	budget  time.Duration
	waited  time.Duration
	calls   int
	stop    *atomic.Bool
}

// Arm starts a new budget that also ends with ctx, or when *stop becomes true;
// stop may be nil. budget <= 0 gives up at once.
func (h *Handler) Arm(ctx context.Context, budget time.Duration, stop *atomic.Bool) {
	*h = Handler{ctx: ctx, budget: budget, stop: stop}
}

// Disarm ends what Arm began: no wait, no interruption.
func (h *Handler) Disarm() { *h = Handler{} }

// Interrupted is the progress callback: true once the context has ended or
// the statement was told to stop. It is asked on the goroutine that runs the
// statement, so it can never hit somebody else's.
func (h *Handler) Interrupted() bool {
	if h.started.IsZero() {
		h.started = time.Now()
	}
	return h.ctx != nil && h.ctx.Err() != nil || h.stop != nil && h.stop.Load()
}

// Busy is the callback: it waits a moment and returns true, or false when the
// budget is spent or the context has ended.
func (h *Handler) Busy(count int) bool {
	if h.ctx == nil || h.budget <= 0 || h.Interrupted() {
		return false
	}
	if h.calls == 0 {
		h.started = time.Now()
	}
	h.calls++
	left := h.budget - time.Since(h.started)
	if left <= 0 {
		return false
	}
	err := Sleep(h.ctx, min(pollDelay(count), left))
	h.waited = time.Since(h.started)
	return err == nil
}

// Since returns when the statement was first seen to take its time: when it was asked
// whether to go on, or had to wait. It is zero for most.
func (h *Handler) Since() time.Time { return h.started }

// Waited returns how long and how often Busy waited since Arm.
func (h *Handler) Waited() (time.Duration, int) { return h.waited, h.calls }

// Poll calls try until it returns done, the budget is spent (then expired is
// true) or ctx ends (then err is its error). The first call comes at once.
func Poll(ctx context.Context, budget time.Duration, try func() (done bool)) (attempts int, expired bool, err error) {
	start := time.Now()
	for n := 0; ; n++ {
		if try() {
			return n + 1, false, nil
		}
		if err := ctx.Err(); err != nil {
			return n + 1, false, err
		}
		left := budget - time.Since(start)
		if left <= 0 {
			return n + 1, true, nil
		}
		if err := Sleep(ctx, min(pollDelay(n), left)); err != nil {
			return n + 1, false, err
		}
	}
}
