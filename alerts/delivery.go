package alerts

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// outlet delivers to one receiver, apart from all others. What waits is one notification
// for each database, the newest, with what has ended since the last that was
// delivered: so the queue is bounded by the number of databases, and nothing that is
// still true is ever dropped, however long the receiver is away.
type outlet struct {
	receiver Receiver
	timeout  time.Duration
	pause    time.Duration // the first after a failure
	wake     chan struct{}
	end      func() // ends run, and waits for it; the engine's Configure and Close have it

	mu      sync.Mutex // guards the rest
	waiting map[string]*Notification
	order   []string // their keys, the oldest first
	told    ReceiverStatus
}

// Pauses after a failure: the first, and the longest.
const (
	firstPause   = time.Second
	longestPause = 5 * time.Minute
)

func newOutlet(r Receiver, timeout time.Duration) *outlet {
	return &outlet{receiver: r, timeout: timeout, pause: firstPause, wake: make(chan struct{}, 1), waiting: map[string]*Notification{}, told: ReceiverStatus{Name: r.Name()}}
}

// takeOver has what waits for a receiver delivered by its successor. Neither runs.
func (o *outlet) takeOver(was *outlet) {
	o.waiting, o.order, o.told = was.waiting, was.order, was.told
}

// release gives up what the receiver holds.
func (o *outlet) release() {
	if c, ok := o.receiver.(interface{ close() }); ok {
		c.close()
	}
}

// put queues a notification. It never waits.
func (o *outlet) put(n *Notification) {
	n = n.clone()
	n.Receiver = o.receiver.Name()
	o.mu.Lock()
	if older := o.waiting[n.GroupKey]; older != nil {
		n.absorb(older)
	} else {
		o.order = append(o.order, n.GroupKey)
	}
	o.waiting[n.GroupKey] = n
	o.mu.Unlock()
	select {
	case o.wake <- struct{}{}:
	default: // it is awake
	}
}

// take is what has waited for longest, or nil.
func (o *outlet) take() *Notification {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.order) == 0 {
		return nil
	}
	n := o.waiting[o.order[0]]
	delete(o.waiting, o.order[0])
	o.order = o.order[1:]
	return n
}

// back queues what could not be delivered, before all others.
func (o *outlet) back(n *Notification) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if newer := o.waiting[n.GroupKey]; newer != nil {
		newer.absorb(n)
		return
	}
	o.waiting[n.GroupKey] = n
	o.order = append([]string{n.GroupKey}, o.order...)
}

// run delivers until ctx ends.
func (o *outlet) run(ctx context.Context) {
	pause := o.pause
	for {
		n := o.take()
		if n == nil {
			select {
			case <-ctx.Done():
				return
			case <-o.wake:
			}
			continue
		}
		if err := o.deliver(ctx, n); err == nil {
			pause = o.pause
			continue
		}
		o.back(n)
		timer := time.NewTimer(pause/2 + rand.N(pause/2)) // many programs have one receiver
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		pause = min(2*pause, longestPause)
	}
}

// deliver tries once. A receiver that panics has failed.
func (o *outlet) deliver(whole context.Context, n *Notification) (err error) {
	ctx, cancel := context.WithTimeout(whole, o.timeout)
	defer cancel()
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the receiver panicked: %v", r)
		}
		if err != nil && whole.Err() != nil {
			return // it was cut short, which is no fault of the receiver's
		}
		o.mu.Lock()
		o.told.note(time.Now(), err)
		o.mu.Unlock()
	}()
	return o.receiver.Deliver(ctx, n.clone())
}

// note counts one try.
func (s *ReceiverStatus) note(now time.Time, err error) {
	if err == nil {
		s.Delivered++
		s.LastDelivered, s.FailingSince, s.LastError = now.UTC(), time.Time{}, ""
		return
	}
	s.Failed++
	if s.LastError = err.Error(); errors.Is(err, context.DeadlineExceeded) {
		s.LastError = "it did not answer in time"
	}
	if s.FailingSince.IsZero() {
		s.FailingSince = now.UTC()
	}
}

func (o *outlet) status() ReceiverStatus {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.told
	s.Pending = len(o.order)
	return s
}

// TestResult is what became of a test alert at one receiver.
type TestResult struct {
	Receiver string `json:"receiver"`
	Error    string `json:"error"` // "" if it was delivered
}

// Test sends a test alert through every receiver at once, and returns when each has taken
// or refused it, alerts.timeout at most. It passes by the queues and is not repeated.
func (e *Engine) Test(ctx context.Context) ([]TestResult, error) {
	if e.ctx.Err() != nil {
		return nil, ErrClosed
	}
	c := e.config()
	now := time.Now()
	n := notify([]Alert{{
		Rule: "test", Name: "Test", Severity: Warning, State: Firing, Since: now, FiredAt: now,
		Summary: Text{"This is a test of Holdfast's alerts on " + e.host, "Dies ist ein Test der Alarme von Holdfast auf " + e.host},
		Next:    Text{"Nothing: it was delivered", "Nichts: er wurde zugestellt"}, Runbook: c.runbook("test"), Fingerprint: key{"test", "", ""}.fingerprint(),
	}}, "", &c, e.host)
	outlets, _ := e.told()
	out := make([]TestResult, len(outlets))
	var all sync.WaitGroup
	for i, o := range outlets {
		own := n.clone()
		own.Receiver = o.receiver.Name()
		all.Go(func() {
			out[i].Receiver = own.Receiver
			if err := o.deliver(ctx, own); err != nil {
				out[i].Error = err.Error()
			}
		})
	}
	all.Wait()
	return out, nil
}
