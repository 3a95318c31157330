// Package plans finds out how SQLite runs the statements that are counted, off
// their path: while a reader is idle, or when somebody asks for what was counted.
package plans

import (
	"context"
	"errors"
	"time"

	"github.com/holdfastdb/holdfast/internal/busy"
	"github.com/holdfastdb/holdfast/internal/maintain/planner"
	"github.com/holdfastdb/holdfast/internal/pool"
	"github.com/holdfastdb/holdfast/internal/sqlite"
	"github.com/holdfastdb/holdfast/internal/stats"
	"github.com/holdfastdb/holdfast/queries"
)

// Watcher looks after the plans of one database. Report is safe for concurrent
// use, Round is not.
type Watcher struct {
	Pool    *pool.Pool
	Queries *stats.Queries // nil if nothing is counted
	// Writes grows with what is written.
	Writes func() int64
	// Failed is told of an error of a connection; the plans are looked for again.
	Failed func(error)

	seen int64 // what had used the database before the last Round that looked
}

const (
	perRound   = 8
	roundLimit = 5 * time.Millisecond
	// askLimit leaves a process that asks by the control socket time for the rest.
	askLimit = 50 * time.Millisecond
)

// Round finds out a few plans, of statements that are new, or of all after a change of
// the schema, while a reader is idle. A database that nobody has used since is left alone.
func (w *Watcher) Round() {
	if w.Queries == nil {
		return
	}
	p := w.Pool.Stats()
	used := p.Leases + w.Writes()
	if used == w.seen || p.Idle == 0 {
		return
	}
	w.look(context.Background(), perRound, roundLimit)
	w.seen = used + 1 // with the lease of its own
}

var errOff = errors.New("the statements of this process are not counted")

// Report is what was counted, with all plans that can be had within 50 ms. It is an
// error if nothing is counted.
func (w *Watcher) Report(ctx context.Context) (queries.Report, error) {
	if w.Queries == nil {
		return queries.Report{}, errOff
	}
	w.look(ctx, w.Queries.Bound(), askLimit)
	w.settle()
	return w.Queries.Report(), nil
}

// settle has everything counted that the readers have set aside. One that somebody has
// at this moment tells of it next time: a few calls of each statement.
func (w *Watcher) settle() { w.Pool.Idle((*sqlite.Conn).Settle) }

// Reset sets all counts to zero, if there are any.
func (w *Watcher) Reset() {
	if w.Queries != nil {
		w.settle()
		w.Queries.Reset()
	}
}

// Counted is Report without a look: it takes no connection, and new statements have
// no plan yet.
func (w *Watcher) Counted() (queries.Report, error) {
	if w.Queries == nil {
		return queries.Report{}, errOff
	}
	w.settle()
	return w.Queries.Report(), nil
}

// Tell is Report for other processes, which are told no value, and then, with reset,
// all counts begin anew.
func (w *Watcher) Tell(ctx context.Context, reset bool) (any, error) {
	r, err := w.Report(ctx)
	if err != nil {
		return nil, err
	}
	if w.Queries.Values() {
		for i := range r.Queries {
			r.Queries[i].Samples = [][]string{}
		}
	}
	if reset {
		w.Queries.Reset()
	}
	return r, nil
}

func (w *Watcher) look(ctx context.Context, n int, limit time.Duration) {
	until := time.Now().Add(limit)
	limited, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	r, err := w.Pool.Read(limited)
	if err != nil {
		return // none is free
	}
	r.Conn.Settle() // a report that comes meanwhile does not find it idle
	r.Busy.Arm(ctx, limit, nil)
	err = planner.Look(r.Conn, w.Queries, n, until)
	r.Busy.Disarm()
	w.Pool.Put(r, err == nil || busy.Classify(sqlite.Code(err)) != busy.Broken)
	if err != nil {
		w.Failed(err)
	}
}
