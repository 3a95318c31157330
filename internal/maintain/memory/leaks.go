package memory

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast/internal/locks"
)

// Open is how many prepared statements of one call site are open.
type Open struct {
	Site  locks.Site
	Count int64
	SQL   string // the latest, literals and all
}

// Suspect is a call site whose open statements have grown each time that somebody
// looked.
type Suspect struct {
	Open
	From  int64 // how many there were when it began
	Since time.Time
}

// Statements finds the call sites whose prepared statements are never closed. The zero
// value is ready to use.
type Statements struct {
	mu    sync.Mutex // guards the rest
	at    time.Time
	sites map[locks.Site]*history
}

type history struct {
	last  Open
	from  int64 // at the first of the looks that found more each time
	since time.Time
	rises int
	told  int64 // when it was last told, how many
}

// risesToTell is how many looks in a row have to find more. A program that prepares what
// it needs and keeps it is done with that before; one that closes what it prepares falls
// in between.
const risesToTell = 4

// Look takes in what is open now, if the last look is at least every ago, and returns the
// call sites that are to be told of: with at least as many as open says, grown at four looks in a row
// without having fallen in between, and twice as many as when they were last told of.
func (s *Statements) Look(now time.Time, every time.Duration, open func() (sites []Open, least int64)) []Suspect {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.at.IsZero() && now.Sub(s.at) < every {
		return nil
	}
	s.at = now
	next := make(map[locks.Site]*history)
	var out []Suspect
	sites, least := open()
	for _, o := range sites {
		h := s.sites[o.Site]
		switch {
		case h == nil:
			h = &history{from: o.Count, since: now}
		case o.Count > h.last.Count:
			h.rises++
		case o.Count < h.last.Count:
			h.rises, h.from, h.since = 0, o.Count, now
			if o.Count < h.told/2 {
				h.told = 0
			}
		}
		h.last = o
		next[o.Site] = h
		if h.rises >= risesToTell && o.Count >= max(least, 2*h.told) {
			h.told = o.Count
			out = append(out, h.suspect())
		}
	}
	s.sites = next
	return out
}

func (h *history) suspect() Suspect { return Suspect{h.last, h.from, h.since} }

// Suspects returns the call sites that were told of and have not closed half of it since,
// the largest number first.
func (s *Statements) Suspects() []Suspect {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Suspect
	for _, h := range s.sites {
		if h.told > 0 {
			out = append(out, h.suspect())
		}
	}
	slices.SortFunc(out, func(a, b Suspect) int { return cmp.Compare(b.Count, a.Count) })
	return out
}
