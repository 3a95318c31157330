package schedule

import (
	"slices"
	"time"
)

// kept is how many runs of each task are remembered.
const kept = 16

// history is the last runs of a task, the newest at the end.
type history struct{ runs []Run }

// add reports whether r is news: what is skipped for the same reason again is
// only counted.
func (h *history) add(r Run) bool {
	if n := len(h.runs); r.Outcome == Skipped && n > 0 {
		if last := &h.runs[n-1]; last.Outcome == Skipped && last.Why == r.Why && last.Asked == r.Asked {
			last.Times++
			last.Took = r.Started.Sub(last.Started)
			return false
		}
	}
	if len(h.runs) == kept {
		h.runs = append(h.runs[:0], h.runs[1:]...)
	}
	r.Times = 1
	h.runs = append(h.runs, r)
	return true
}

// Totals is what was run since New.
type Totals struct {
	Done, Failed, Interrupted, Skipped int64
	Took                               time.Duration
}

// record notes a run and when the task may be tried again.
func (s *Scheduler) record(t *state, r *Run) {
	if r.Outcome == "" { // another process has done it
		s.mu.Lock()
		t.since, t.waiting, t.warned = time.Time{}, "", false
		s.mu.Unlock()
		return
	}
	s.mu.Lock()
	now := s.now()
	t.waiting = r.Why
	s.totals.Took += r.Took
	switch r.Outcome {
	case Done:
		s.totals.Done++
		t.last, t.since, t.retry, t.failed, t.warned = now, time.Time{}, time.Time{}, 0, false
	case Failed:
		s.totals.Failed++
		t.failed++
		t.retry = now.Add(min(retryAfter<<min(t.failed, 20), max(t.Every, retryAfter)))
	case Interrupted:
		s.totals.Interrupted++
		t.retry = now.Add(retryAfter)
	case Skipped:
		t.retry = now.Add(retryAfter)
	}
	news := t.add(*r)
	if news && r.Outcome == Skipped {
		s.totals.Skipped++
	}
	s.mu.Unlock()
	if news {
		r.Times = 1
		s.cfg.OnRun(*r)
	}
}

// Totals returns what was run since New.
func (s *Scheduler) Totals() Totals {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.totals
}

// Runs returns the last runs of all tasks, up to 16 of each, the newest first.
func (s *Scheduler) Runs() []Run {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Run
	for _, t := range s.tasks {
		all = append(all, t.runs...)
	}
	slices.SortStableFunc(all, func(a, b Run) int { return b.Started.Compare(a.Started) })
	return all
}

// Next returns when each task runs, in the order in which they were given.
func (s *Scheduler) Next() []Next {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	list := make([]Next, 0, len(s.tasks))
	for _, t := range s.tasks {
		n := Next{Task: t.Name, Last: s.lastOf(t, now)}
		if t.Every > 0 {
			n.At = s.from(t, now)
			n.Waiting = t.waiting
			if s.paused != "" {
				n.Waiting = "paused: " + s.paused
			}
		}
		list = append(list, n)
	}
	return list
}
