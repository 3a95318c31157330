package stats

import (
	"math/rand/v2"
	"time"
)

// Two looks at the clock are 50 ns, more than all else that a call is counted with. So a
// statement that takes a few microseconds has its calls timed as long as they are few;
// after that one in sixteen is, and stands for those that weren't. What can be seen to be
// unusual, because it waited or ran for long, is timed all the same.
const (
	timedAlways = 10_000                 // calls of a part
	briskBelow  = 4 * time.Microsecond   // a call takes less as a rule
	quietAfter  = 100 * time.Millisecond // without a call that is timed: each is again
	mostStands  = 64
)

// Unusual is how long a call of a brisk statement takes that is timed in any case, if
// somebody can tell.
const Unusual = 4 * briskBelow

// timing is which calls a Call's time is of.
type timing struct {
	Untimed bool  // Took is not known
	Unusual bool  // it was timed because it was seen to take long: it stands for no other
	Aside   int64 // calls before it that were not timed, and were not counted until now
	Counted bool  // the call is among those that are counted later, as one of Aside
}

// Brisk tells that calls need not be timed, but for those that a Turn says and those that
// are unusual.
func (q *Query) Brisk() bool { return q.brisk.Load() }

// usual tells whether the call says something about what others take.
func (c *Call) usual() bool { return !c.Untimed && !c.Unusual && !c.Again }

// note decides whether the next calls are to be timed; last is when the one before ended.
// Called with the part's mu held.
func (p *part) note(q *Query, c *Call, last time.Duration) {
	p.usual += (min(c.Took, Unusual) - p.usual) / 32 // a processor that was taken away for once is no change
	brisk, was := false, q.brisk.Load()
	if p.calls > timedAlways && c.Ended-last < quietAfter {
		brisk = p.usual < briskBelow || was && p.usual < 2*briskBelow
	}
	if brisk != was {
		q.brisk.Store(brisk)
	}
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

// Turn says which calls of brisk statements are timed: those that come after 8 to 24
// others, at random, as a program's statements may follow each other in a rhythm. It is for
// one goroutine.
type Turn uint8

// Due tells whether the next call is to be timed.
func (t *Turn) Due() bool {
	if *t > 0 {
		*t--
		return false
	}
	*t = gap()
	return true
}

// gap is apart from Due so that Due is inlined.
func gap() Turn { return Turn(7 + rand.Uint32N(17)) }

// At is a time as Now tells it.
func At(t time.Time) time.Duration { return t.Sub(epoch) }
