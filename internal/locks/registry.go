package locks

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Kind says what a lease is.
type Kind string

const (
	// Rows is a result that is still being read: it holds a reader and, through
	// it, a snapshot that the WAL cannot shrink past.
	Rows Kind = "rows"
	// ReadTx is a read-only transaction.
	ReadTx Kind = "read transaction"
	// WriteTx is a write transaction: it holds the writer.
	WriteTx Kind = "write transaction"
	// Migration is the transaction of one: it holds the writer, for as long as it
	// takes.
	Migration Kind = "migration"
	// Conn is a *sql.Conn that its borrower has not closed.
	Conn Kind = "connection"
	// Backup is a copy that is being made: a reader and its snapshot. No maximum age
	// ends it, since it takes as long as the database is large.
	Backup Kind = "backup"
)

// Lease is one thing held beyond a single call.
type Lease struct {
	Kind  Kind
	Site  Site
	Since time.Time
	SQL   string // the first statement, literals and all: never print it as it is; may be empty
	Last  string // and the last that was begun
	Rows  int64  // rows changed by the statements before that

	// Context is the caller's, for the labels of its goroutine. May be nil.
	Context context.Context

	// Evict ends the lease from outside, or returns false when it can't be
	// ended right now. Nil for leases that are only reported.
	Evict func() bool

	// Work tells, without waiting, whether the engine works for the lease right now. Nil
	// for leases of which nobody asks that.
	Work interface{ AtWork() bool }
	// Quiet is since when a transaction has begun no statement, as far as Idle has seen.
	Quiet time.Time

	statements, known uint64 // begun so far, and when Idle looked last
	reported          bool
}

// Registry is the set of leases of one database in this process. The zero
// value is ready to use.
type Registry struct {
	mu     sync.Mutex // guards leases and what changes in each: Kind, SQL, Last, Rows, Quiet, statements, known, reported
	leases map[*Lease]struct{}
}

// Add puts a lease on record.
func (r *Registry) Add(l *Lease) {
	r.mu.Lock()
	l.Quiet = l.Since
	if r.leases == nil {
		r.leases = make(map[*Lease]struct{})
	}
	r.leases[l] = struct{}{}
	r.mu.Unlock()
}

// Describe notes the statement that a lease is about to be used for, and how
// many rows those before it have changed.
func (r *Registry) Describe(l *Lease, sql string, rows int64) {
	r.mu.Lock()
	if l.SQL == "" {
		l.SQL = sql
	}
	l.Last, l.Rows = sql, rows
	l.statements++
	r.mu.Unlock()
}

// Become changes what a lease is: a transaction that has moved to the writer.
func (r *Registry) Become(l *Lease, k Kind) {
	r.mu.Lock()
	l.Kind = k
	r.mu.Unlock()
}

// Remove takes a lease off the record. Removing it twice does no harm.
func (r *Registry) Remove(l *Lease) {
	r.mu.Lock()
	delete(r.leases, l)
	r.mu.Unlock()
}

// Len returns the number of leases on record.
func (r *Registry) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.leases)
}

// Snapshot returns the leases on record, oldest first.
func (r *Registry) Snapshot() []Lease {
	r.mu.Lock()
	out := make([]Lease, 0, len(r.leases))
	for l := range r.leases {
		out = append(out, *l)
	}
	r.mu.Unlock()
	slices.SortFunc(out, func(a, b Lease) int { return a.Since.Compare(b.Since) })
	return out
}

// Idle returns for how long the transaction that has been left alone longest has begun no
// statement; 0 if none is open. It has to be called every so often, and is as exact as
// that is often: the time of each statement would cost it a look at the clock. A migration
// is none that anybody leaves alone.
func (r *Registry) Idle(now time.Time) (longest time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for l := range r.leases {
		if l.Kind != WriteTx && l.Kind != ReadTx {
			continue
		}
		if l.statements != l.known || l.Work != nil && l.Work.AtWork() {
			l.known, l.Quiet = l.statements, now
		}
		longest = max(longest, now.Sub(l.Quiet))
	}
	return longest
}

// Overdue returns the leases taken at least age before now that have not been
// returned by it before, oldest first: each leak is reported once. A migration is
// none.
func (r *Registry) Overdue(now time.Time, age time.Duration) []Lease {
	r.mu.Lock()
	var out []Lease
	for l := range r.leases {
		if !l.reported && l.Kind != Migration && now.Sub(l.Since) >= age {
			l.reported = true
			out = append(out, *l)
		}
	}
	r.mu.Unlock()
	slices.SortFunc(out, func(a, b Lease) int { return a.Since.Compare(b.Since) })
	return out
}

// EvictOlder asks every lease of the given kinds (none: of all) taken at least
// age before now to end, and returns those that did.
func (r *Registry) EvictOlder(now time.Time, age time.Duration, kinds ...Kind) []Lease {
	return r.EvictIf(func(l *Lease) bool {
		return now.Sub(l.Since) >= age && (len(kinds) == 0 || slices.Contains(kinds, l.Kind))
	})
}

// EvictIf asks every lease that is wanted to end, and returns those that did. wanted must
// not call the registry.
func (r *Registry) EvictIf(wanted func(*Lease) bool) []Lease {
	r.mu.Lock()
	var some []*Lease
	for l := range r.leases {
		if l.Evict != nil && wanted(l) {
			some = append(some, l)
		}
	}
	r.mu.Unlock()
	var out []Lease
	for _, l := range some { // outside the lock: Evict removes the lease itself
		if l.Evict() {
			r.mu.Lock()
			out = append(out, *l)
			r.mu.Unlock()
		}
	}
	return out
}
