package alerts

import (
	"context"
	"slices"
)

// Configure puts another configuration into effect from the next round on, with these
// receivers beside those that c configures. It waits for deliveries under way, which are
// cut short. What waits for a receiver stays, if there is still one of that name; if
// there is one that wasn't there before, what is firing is told again. After an error everything is as it was.
func (e *Engine) Configure(c Config, receivers ...Receiver) error {
	c, err := c.complete()
	if err != nil {
		return err
	}
	e.judging.Lock() // no round tells anybody meanwhile
	defer e.judging.Unlock()
	if e.ctx.Err() != nil {
		return ErrClosed
	}
	e.mu.Lock()
	if err := e.moveSilences(c.Alerts.SilencesFile); err != nil {
		e.mu.Unlock()
		return err
	}
	e.cfg = c
	e.mu.Unlock()
	e.deliverTo(append(c.receivers(e.log), receivers...), &c)
	select {
	case e.retimed <- struct{}{}:
	default: // run has not read the last one yet
	}
	return nil
}

// moveSilences reads their file again, as somebody may have changed it; each change of
// the engine's own is in it. If it is another file they go there, beside those that are there. The
// caller holds mu.
func (e *Engine) moveSilences(path string) error {
	next, damage, err := loadSilences(path)
	if err != nil {
		return err
	}
	if damage != nil {
		e.log.Error("holdfast: "+damage.Error(), "file", path)
	}
	if path != "" && path == e.silences.path {
		e.silences = next
		return nil
	}
	for _, s := range e.silences.list {
		if !slices.ContainsFunc(next.list, func(q Silence) bool { return q.ID == s.ID }) {
			next.list = append(next.list, s)
		}
	}
	if err := next.save(); err != nil {
		return err
	}
	e.silences = next
	return nil
}

// told are those who are told.
func (e *Engine) told() ([]*outlet, *heartbeat) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.outlets, e.beat
}

// deliverTo begins to deliver to these receivers, and to no others. No round runs.
func (e *Engine) deliverTo(receivers []Receiver, c *Config) {
	old, oldBeat := e.told()
	for _, o := range old {
		o.end()
	}
	if oldBeat != nil {
		oldBeat.end()
	}
	left := slices.Clone(old)
	next := make([]*outlet, 0, len(receivers))
	strangers := false
	for _, r := range receivers {
		o := newOutlet(r, c.Alerts.Timeout)
		if i := slices.IndexFunc(left, func(was *outlet) bool { return was.told.Name == o.told.Name }); i >= 0 {
			o.takeOver(left[i])
			left = slices.Delete(left, i, i+1)
		} else {
			strangers = true
		}
		next = append(next, o)
	}
	for _, o := range left {
		if n := o.status().Pending; n > 0 {
			e.log.Warn("holdfast: alerts were not delivered", "receiver", o.receiver.Name(), "notifications", n)
		}
	}
	for _, o := range old {
		o.release()
	}
	var beat *heartbeat
	if c.Alerts.Heartbeat != "" {
		beat = newHeartbeat(c.Alerts.Heartbeat, c.Alerts.Timeout)
		if oldBeat != nil && oldBeat.address == beat.address {
			beat.last, beat.told = oldBeat.last, oldBeat.status()
		}
	}
	e.mu.Lock()
	e.outlets, e.beat = next, beat
	for _, s := range e.states {
		s.again = s.again || strangers && s.told != ""
	}
	e.mu.Unlock()
	for _, o := range next {
		o.end = e.owned(o.run)
	}
	if beat != nil {
		beat.end = e.owned(beat.run)
	}
}

// owned runs f until the engine is closed, or end is called, which waits for it.
func (e *Engine) owned(f func(context.Context)) (end func()) {
	ctx, cancel := context.WithCancel(e.ctx)
	done := make(chan struct{})
	e.running.Go(func() {
		defer close(done)
		defer cancel()
		f(ctx)
	})
	return func() {
		cancel()
		<-done
	}
}
