package schedule

import (
	"context"
	"time"
)

// look runs what is due, on the goroutine of the timer.
func (s *Scheduler) look() {
	select {
	case s.slot <- struct{}{}:
	default:
		return // whoever is in the slot sets the timer when leaving
	}
	defer s.leave()
	s.noteTime()
	for {
		t := s.due()
		if t == nil {
			return
		}
		s.attempt(t)
	}
}

// noteTime finds out what became of the clock since the last look: a machine that
// slept may have slept through a window.
func (s *Scheduler) noteTime() {
	s.mu.Lock()
	now, before := s.now(), s.looked
	s.looked = now
	if s.started.After(now) { // the clock was set back
		s.started = now
	}
	var missed []*state
	if now.Sub(before) > 2*longestLook && s.cfg.Windows.passed(before, now) {
		for _, t := range s.tasks {
			if t.Every > 0 && !t.AnyTime && !s.whenever(t, now).After(now) {
				missed = append(missed, t)
			}
		}
	}
	s.mu.Unlock()
	for _, t := range missed {
		s.record(t, &Run{Task: t.Name, Outcome: Skipped, Started: now, Why: "its window passed while the process stood still"})
	}
}

// due returns the task that has been due for longest, or nil.
func (s *Scheduler) due() *state {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.paused != "" {
		return nil
	}
	now := s.now()
	var first *state
	var since time.Time
	for _, t := range s.tasks {
		if t.Every <= 0 {
			continue
		}
		if from := s.from(t, now); !from.After(now) && (first == nil || from.Before(since)) {
			first, since = t, from
		}
	}
	if first != nil && first.since.IsZero() {
		first.since = now
	}
	return first
}

// lastOf is when t last ended well. A time in the far future, from a clock that
// was wrong, would keep it from ever running again. Called with s.mu held.
func (s *Scheduler) lastOf(t *state, now time.Time) time.Time {
	var noted, last time.Time
	switch {
	case t.Last != nil:
		noted = t.Last().Round(0)
	case s.cfg.Last != nil:
		noted = s.cfg.Last(t.Name).Round(0)
	}
	for _, one := range []time.Time{t.last, noted} {
		if one.After(last) && !one.After(now.Add(max(t.Every, time.Hour))) {
			last = one
		}
	}
	return last
}

// whenever is from when t may run, at any hour. Called with s.mu held.
func (s *Scheduler) whenever(t *state, now time.Time) time.Time {
	begin := s.started
	if t.added.After(begin) && !t.added.After(now) { // else the clock was set back
		begin = t.added
	}
	from := begin.Add(s.cfg.Delay + s.jitter)
	if last := s.lastOf(t, now); !last.IsZero() {
		from = later(from, last.Add(t.Every+s.jitter))
	}
	if !t.retry.After(now.Add(max(t.Every, time.Hour))) { // else the clock was set back
		from = later(from, t.retry)
	}
	return from
}

// from is from when t may run. Called with s.mu held.
func (s *Scheduler) from(t *state, now time.Time) time.Time {
	from := s.whenever(t, now)
	if t.AnyTime {
		return from
	}
	begins, ends, open := s.cfg.Windows.around(later(from, now))
	begins = begins.Add(min(s.jitter, ends.Sub(begins)/2))
	if open {
		return later(from, begins)
	}
	return begins
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// attempt runs a task that is due, or says what it waits for.
func (s *Scheduler) attempt(t *state) {
	late := t.AnyTime || s.late(t)
	if !late {
		if calm, known := s.meter.quiet(); !calm {
			s.postpone(t, known)
			return
		}
	}
	ctx, cut := context.WithCancelCause(t.ctx)
	defer cut(nil)
	s.mu.Lock()
	if s.closed || s.paused != "" {
		s.mu.Unlock()
		return
	}
	s.cut = cut
	now := s.now()
	s.mu.Unlock()
	if _, ends, open := s.cfg.Windows.around(now); open && !ends.IsZero() && !t.AnyTime {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, ends.Sub(now), errWindow)
		defer cancel()
	}
	if !late {
		defer s.watchLoad(cut)()
	}
	r := s.claimed(ctx, t, false)
	s.mu.Lock()
	s.cut = nil
	s.mu.Unlock()
	s.record(t, &r)
}

// late reports whether t has waited for a whole interval, and at least an hour.
// Then it no longer waits for quiet: a database that is never quiet needs its
// statistics, too. It is said once.
func (s *Scheduler) late(t *state) bool {
	s.mu.Lock()
	since, why, warned := t.since, t.waiting, t.warned
	late := !since.IsZero() && s.now().Sub(since) > max(t.Every, time.Hour)
	t.warned = warned || late
	s.mu.Unlock()
	if late && !warned {
		s.cfg.OnLate(t.Name, since, why)
	}
	return late
}

// postpone has t wait for quiet.
func (s *Scheduler) postpone(t *state, known bool) {
	if known {
		s.record(t, &Run{Task: t.Name, Outcome: Skipped, Started: s.now(), Why: errLoad.Error()})
	}
	s.mu.Lock()
	t.retry = s.now().Add(pendingLook)
	s.mu.Unlock()
}

// watchLoad ends a run when the database has been busy for a while. The caller
// must call stop, which waits for the goroutine.
func (s *Scheduler) watchLoad(cut context.CancelCauseFunc) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(pendingLook)
		defer tick.Stop()
		for busy := 0; busy < patience; {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			busy++
			if calm, known := s.meter.quiet(); calm || !known {
				busy = 0
			}
		}
		cut(errLoad)
	}()
	return func() { close(done); <-ended }
}

// claimed runs t if no other process of the file runs a task. A Run without an
// outcome says that another process has done it by now.
func (s *Scheduler) claimed(ctx context.Context, t *state, asked bool) Run {
	r := Run{Task: t.Name, Started: s.now(), Asked: asked}
	if s.cfg.Claim != nil {
		switch taken, err := s.cfg.Claim(); {
		case err != nil:
			r.Outcome, r.Err = Failed, err
			return r
		case taken != "":
			r.Outcome, r.Why = Skipped, taken
			return r
		}
		defer func() { _ = s.cfg.Unclaim() }() // fails only if the lock file is closed, and the claim gone with it
	}
	if !asked { // another process may have done it since it was looked at
		s.mu.Lock()
		now := s.now()
		undone := !s.from(t, now).After(now)
		s.mu.Unlock()
		if !undone {
			return r
		}
	}
	s.perform(ctx, t, &r)
	if r.Outcome == Done && s.cfg.Note != nil && t.Last == nil {
		s.cfg.Note(t.Name, s.now())
	}
	return r
}

func (s *Scheduler) perform(ctx context.Context, t *state, r *Run) {
	if !s.beginRun(t) {
		r.Outcome, r.Why = Interrupted, context.Cause(t.ctx).Error()
		return
	}
	defer s.endRun()
	begin := time.Now()
	r.Result, r.Err = t.Task.Run(ctx)
	r.Took = time.Since(begin)
	switch {
	case r.Err == nil:
		r.Outcome = Done
	case ctx.Err() != nil:
		r.Outcome, r.Why = Interrupted, context.Cause(ctx).Error()
	default:
		r.Outcome = Failed
	}
}

// beginRun is false for a task that was removed meanwhile.
func (s *Scheduler) beginRun(t *state) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.ctx.Err() != nil {
		return false
	}
	s.running = t
	return true
}

func (s *Scheduler) endRun() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running = nil
}
