package memory

import (
	"cmp"
	"slices"
	"time"

	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// Numbers are what one connection has, as its owner last saw it.
type Numbers struct {
	Role                     Role
	Size                     int64 // bytes that its page cache may have; 0 if it is not of the budget
	Status                   sqlite.CacheStatus
	Schema, Statement        int64 // bytes, of at most half a minute ago
	Lookaside                int64 // slots in use
	RecentHits, RecentMisses float64
	Idle                     time.Duration
}

// Report is the budget of the process.
type Report struct {
	Total, Limit int64   // bytes: the budget, and what of it may be used now
	Granted      int64   // bytes that the caches may have, at most
	Short        string  // what has made Limit less than Total, or ""
	Moves        int64   // changes of a cache's size
	Growth       Growth  // of memory that nothing explains; zero if there is none
	Nearest      Reserve // the bound that the process is nearest to; zero if there is none, or nobody has looked yet
}

// Report returns the budget as it is now. It touches no connection.
func (b *Budget) Report() Report {
	b.mu.Lock()
	defer b.mu.Unlock()
	return Report{
		Total: b.total(), Limit: b.limit(), Granted: b.sum, Short: b.squeeze.name,
		Moves: b.moves, Growth: b.growth, Nearest: b.nearest,
	}
}

// Numbers returns those of the database's connections, the largest caches first. It
// touches no connection.
func (d *Database) Numbers() []Numbers {
	d.b.mu.Lock()
	out := make([]Numbers, 0, len(d.caches))
	for _, c := range d.caches {
		out = append(out, Numbers{
			Role: c.role, Size: c.has(), Status: c.now, Schema: c.schema, Statement: c.stmt, Lookaside: c.lookaside,
			RecentHits: c.hits, RecentMisses: c.misses, Idle: time.Duration(c.idle) * every,
		})
	}
	d.b.mu.Unlock()
	slices.SortFunc(out, func(a, b Numbers) int {
		return cmp.Or(cmp.Compare(b.Status.Used, a.Status.Used), cmp.Compare(a.Role, b.Role))
	})
	return out
}

// explained is the memory that is accounted for. Called with mu held.
func (b *Budget) explained() int64 {
	n := int64(0)
	for d := range b.databases {
		for _, c := range d.caches {
			n += c.now.Used + c.schema + c.stmt
		}
	}
	return n
}

// Watch takes in how much memory the engine has, and tells once if it grows for an hour
// beyond what the connections have.
func (b *Budget) Watch(now time.Time, engine int64) (Growth, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	g, found := b.trend.Add(now, engine-b.explained())
	if found {
		b.growth = g
	}
	return g, found
}
