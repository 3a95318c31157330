package stats

import (
	"math"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast/queries"
)

// Timing a call costs some 130 ns, two looks at the clock and all that is added up, more than
// many a call takes. So of a statement that comes so often that this is felt a part of the
// calls is timed, and stands for those that aren't: as many as its quantiles need, and after that
// as many as slow it down by half a percent, or as do nobody any harm. What can be seen to be
// unusual, because it waited or ran for long, is timed all the same.
const (
	allTimed     = 26 * time.Microsecond // a call that takes this long is slowed down by half a percent
	timedASecond = 4096                  // are a two-thousandth of a processor
	lookEvery    = 10 * time.Millisecond // at how often it comes
	mostStands   = 512
)

// Unusual is how long a call takes that is timed in any case, if somebody can tell.
const Unusual = 16 * time.Microsecond

// timing is which calls a Call's time is of.
type timing struct {
	Untimed bool  // Took is not known
	Unusual bool  // it was timed because it was seen to take long: it stands for no other
	Aside   int64 // calls before it that were not timed, and were not counted until now
	Counted bool  // the call is among those that are counted later, as one of Aside
}

// Step is what a Turn goes on by with each call of the statement; 0 says that all are timed.
func (q *Query) Step() uint32 { return q.step.Load() }

// wholeTurn is how many steps of all calls a Turn has, as a rule.
const wholeTurn = 1 << 16

// pace is how often the calls of a row are timed. mu is taken before those of the parts.
type pace struct {
	mu     sync.Mutex // guards the following
	at     time.Duration
	calls  int64   // at that time
	need   float64 // see judge
	cheap  float64 // of so many calls one is timed at no cost that is felt
	judged int64   // calls, when these were found
}

// look decides how many of the next calls are timed. It is called with no lock held, every
// now and then, with the time.
func (q *Query) look(now time.Duration) {
	g := &q.pace
	if !g.mu.TryLock() {
		return
	}
	defer g.mu.Unlock()
	since := now - g.at
	if since < lookEvery {
		return
	}
	calls := q.calls()
	came := calls - g.calls
	first := g.at == 0
	g.at, g.calls = now, calls
	if first || came <= 0 {
		q.step.Store(0)
		return
	}
	rare := float64(came) / since.Seconds() / timedASecond
	if rare > 1 && calls >= 2*g.judged {
		g.judged = calls
		q.judge()
	}
	// To be as good as need timed calls, however many of all there are so far, it takes at
	// each point one of this many.
	gap := min(rare, g.cheap, 1+2*float64(calls)/g.need)
	if gap <= 1 {
		q.step.Store(0)
		return
	}
	q.step.Store(uint32(wholeTurn / gap))
}

// forget begins anew, as the row does.
func (q *Query) forget() {
	g := &q.pace
	g.mu.Lock()
	g.at, g.calls, g.judged = 0, 0, 0
	q.step.Store(0)
	g.mu.Unlock()
}

func (q *Query) calls() (n int64) {
	for p := range q.each() {
		n += p.calls
	}
	return n
}

// How exact the quantiles of a sample are: twice their standard error, which is of 95 in 100, is
// exactly, to which the histogram adds up to 1.1 %. A p99 where hardly any call is takes more
// calls than mostNeeded for that, which would be felt: its error is larger as the square
// root of what it lacks.
const (
	exactly    = 0.009
	mostNeeded = 1 << 17
)

// judge finds how many calls have to be timed for the median and the p99, and what of them is
// cheap. Called with the pace's mu held.
func (q *Query) judge() {
	var all queries.Histogram
	for p := range q.each() {
		all.Merge(&p.duration)
	}
	need := 1.0
	for _, part := range []float64{0.5, 0.99} {
		// Of n calls, the part that lies below a value has the error sqrt(part * (1 - part) / n);
		// how far that moves the value depends on how dense they are there.
		moves := density(&all, part) * exactly / 2
		need = max(need, part*(1-part)/(moves*moves))
	}
	q.pace.need = min(need, mostNeeded)
	q.pace.cheap = float64(allTimed) / float64(max(all.Quantile(0.5), 1))
}

// density is the part of all durations that a small change of a quantile passes over,
// divided by that change, of the logarithm.
func density(h *queries.Histogram, part float64) float64 {
	rank, near, last := uint64(math.Ceil(part*float64(h.Count()))), uint64(0), 0
	var before uint64
	found := false
	for bucket, n := range h.Buckets() {
		if bucket != last+1 {
			before = 0
		}
		last = bucket
		switch {
		case found:
			if before > 0 {
				near += n
			}
			return smooth(near, h)
		case rank <= n:
			near, found = before+n, true
		default:
			rank -= n
		}
		before = n
	}
	return smooth(near, h)
}

// smooth spreads calls over the three buckets that they were found in.
func smooth(near uint64, h *queries.Histogram) float64 {
	return float64(near) / float64(h.Count()) / (3 * math.Ln2 / (1 << queries.Scale))
}

// time adds the time of a call, and tells for how many it stands.
func (s *counts) time(c *Call) (stands int64) {
	switch {
	case c.Untimed:
		s.untimed++
		return 0
	case c.Unusual:
		stands = 1
	default:
		stands = 1 + min(max(s.untimed, 0), mostStands)
		s.untimed -= stands - 1
	}
	s.duration.AddN(c.Took, uint64(stands))
	return stands
}

// began is when the call began, as far as it is known.
func (c *Call) began() time.Duration {
	if c.Untimed {
		return Now()
	}
	return c.Ended - c.Took
}

// Turn says which calls are timed: those that come after half to one and a half times as
// many others as their statement's Step says, at random, as a program's statements may
// follow each other in a rhythm. It is for one goroutine.
type Turn struct {
	left   int32
	random uint32
}

// Due tells whether the next call of a statement is to be timed; step is what it has.
func (t *Turn) Due(step uint32) bool {
	if t.left -= int32(step); t.left >= 0 {
		return false
	}
	t.again(step)
	return true
}

// again is apart from Due so that Due is inlined. The generator is the one of "Numerical
// Recipes", whose upper bits are good.
func (t *Turn) again(step uint32) {
	t.random = t.random*1664525 + 1013904223
	t.left = int32(wholeTurn/2+t.random>>16) - int32(step/2) // as the last step goes past it by half of one
}

// At is a time as Now tells it.
func At(t time.Time) time.Duration { return t.Sub(epoch) }
