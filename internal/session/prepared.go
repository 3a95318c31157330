package session

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/holdfastdb/holdfast/internal/locks"
)

// maxPlaces bounds the call sites whose prepared statements are counted apart.
const maxPlaces = 1024

// prepared counts the prepared statements that are open, by the place that prepared
// them. To database/sql one of a program's statements is one here for each session that
// has run it, so the number of a place is at most the number of its statements times that
// of sessions. A statement that is never closed stays for as long as the handle: nothing
// collects it.
type prepared struct {
	mu     sync.Mutex // guards places
	places map[locks.Site]*place
	others place // of the places past maxPlaces
}

type place struct {
	open atomic.Int64
	last atomic.Pointer[string] // the text of the latest
}

// add counts one more statement of a place and returns what its Close takes it from.
func (p *prepared) add(site locks.Site, text *string) *place {
	p.mu.Lock()
	at := p.places[site]
	switch {
	case at != nil:
	case len(p.places) >= maxPlaces:
		at = &p.others
	default:
		if p.places == nil {
			p.places = make(map[locks.Site]*place)
		}
		at = new(place)
		p.places[site] = at
	}
	at.open.Add(1)
	p.mu.Unlock()
	at.last.Store(text)
	return at
}

// PreparedAt is the prepared statements of one call site that are open.
type PreparedAt struct {
	Site locks.Site // unknown for those past the first 1024 call sites
	Open int64
	SQL  string // of the latest, literals and all
}

// Prepared returns them, the largest number first. Places without any are forgotten.
func (e *Engine) Prepared() []PreparedAt {
	p := &e.prepared
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.places, func(_ locks.Site, at *place) bool { return at.open.Load() <= 0 })
	var out []PreparedAt
	for site, at := range p.places {
		out = append(out, at.told(site))
	}
	if p.others.open.Load() > 0 {
		out = append(out, p.others.told(locks.Site{}))
	}
	slices.SortFunc(out, func(a, b PreparedAt) int { return cmp.Compare(b.Open, a.Open) })
	return out
}

func (at *place) told(site locks.Site) PreparedAt {
	out := PreparedAt{Site: site, Open: at.open.Load()}
	if text := at.last.Load(); text != nil {
		out.SQL = *text
	}
	return out
}
