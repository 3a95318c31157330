package writer

import (
	"fmt"
	"time"
)

// outOfBudget is the answer to a unit that may not wait, or not any longer.
// Called with mu held.
func (w *Writer) outOfBudget(t *task, now time.Time) error {
	w.cfg.Counters.LockConflicts.Add(1)
	return &BusyError{Waited: now.Sub(t.since), Attempts: 1, Holder: w.holder}
}

// expiry ends the waits whose budget is spent, and has those look around who
// wait for long. It is one timer for the whole queue: a timer for each unit cost
// more than the rest of the queue.
type expiry struct {
	timer *time.Timer // nil until the first unit queues
	at    time.Time   // when it fires; zero while it is not set
}

// expireIn makes expire run in d from now, or before. Called with mu held.
func (w *Writer) expireIn(d time.Duration, now time.Time) {
	e := &w.expiry
	at := now.Add(d)
	switch {
	case !e.at.IsZero() && !at.Before(e.at):
		return
	case e.timer == nil:
		e.timer = time.AfterFunc(d, w.expire)
	default:
		e.timer.Reset(d)
	}
	e.at = at
}

// Between two looks at the queue there is a pause, at most longestPause, that
// grows with what a look costs, which is 20 to 35 ns a unit. Without it 50,000
// units, each with a deadline of its own, took 1.8 s of a processor to end.
const (
	pausePerUnit = 200 * time.Nanosecond
	longestPause = 10 * time.Millisecond
)

// expire answers the units whose budget is spent, and calls those that have
// waited for long to look around.
func (w *Writer) expire() {
	w.mu.Lock()
	now := time.Now()
	stands := now.Sub(w.holder.Since) >= lookAfter
	looks := 0
	if stands {
		w.askHolder()
	}
	var late []*task
	next := time.Duration(-1)
	for t := range w.queue.all() {
		left, waited := t.deadline().Sub(now), now.Sub(t.since)
		switch {
		case left <= 0:
			w.queue.remove(t)
			t.state = answered
			t.err = w.outOfBudget(t, now)
			late = append(late, t)
			continue
		case t.look.called:
		case waited >= lookAfter && (stands || waited >= lookAnyway) && looks < maxLooks:
			looks++
			t.callToLook()
		default:
			left = min(left, max(lookAfter-waited, lookAfter/2))
		}
		if next < 0 || left < next {
			next = left
		}
	}
	w.expiry.at = time.Time{}
	if next >= 0 {
		w.expireIn(max(next, min(time.Duration(w.queue.len)*pausePerUnit, longestPause)), now)
	}
	w.mu.Unlock()
	for _, t := range late {
		t.ready <- struct{}{}
	}
}

// await returns when t has been answered or has the baton. An error means that
// t left the queue without having begun.
func (w *Writer) await(t *task) error {
	for {
		if done := t.ctx.Done(); done == nil {
			<-t.ready
		} else {
			select {
			case <-t.ready:
			case <-done:
				return w.giveUp(t)
			}
		}
		if !t.look.due {
			return nil
		}
		if err := w.lookAround(t); err != nil {
			return err
		}
	}
}

// giveUp ends the wait of a unit whose context has ended.
func (w *Writer) giveUp(t *task) error {
	w.mu.Lock()
	if t.state != queued {
		w.mu.Unlock()
		return w.awaitOutcome(t)
	}
	w.leave(t)
	w.mu.Unlock()
	return t.ctx.Err()
}

// leave takes a unit that waits, and the call to look around that it may not
// have heard, out of the queue. Called with mu held.
func (w *Writer) leave(t *task) {
	w.queue.remove(t)
	if t.look.due {
		t.look.due = false
		<-t.ready
	}
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
		grace := time.NewTimer(hostageGrace)
		select {
		case <-t.ready:
			grace.Stop()
			if t.look.due { // from when it still waited
				t.look.due = false
				continue
			}
			return nil
		case <-grace.C:
		}
		err := t.ctx.Err()
		w.mu.Lock()
		hostage := err != nil && t.state == executed && w.holder.Kind == kindTransaction
		if hostage { // else it isn't touched: it is read without mu once the answers are given
			t.gone = true
		}
		w.mu.Unlock()
		if hostage {
			return fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
		}
	}
}
