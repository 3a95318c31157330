package space

import (
	"context"
	"fmt"
	"time"

	"github.com/holdfastdb/holdfast/internal/busy"
	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// Config is what this package works with. Open is required.
type Config struct {
	// Open opens a connection that only reads, for the caller, which closes it.
	Open func(ctx context.Context) (*sqlite.Conn, error)
	// Write has run done by the writer, in a transaction that others may share,
	// behind everybody else. It may call run more than once. Nil without a writer.
	Write func(ctx context.Context, sql string, run func(*sqlite.Conn) error) error
	// Hold runs a function on the write connection, in autocommit mode, while
	// nobody else writes.
	Hold func(ctx context.Context, sql string, run func(*sqlite.Conn) error) error
	// Quiet tells whether nobody would be in the way of a step now. Nil is always.
	Quiet func() bool
	// Room tells how much the volume of a directory has for ordinary users, and its
	// size, 0 if nobody knows. Nil is nobody.
	Room func(dir string) (free, total int64)
	// Checkpoint copies the log as far as it goes, off the write path. May be nil.
	Checkpoint func(ctx context.Context) error
}

// What PRAGMA auto_vacuum answers.
const (
	AutoVacuumNone        = 0
	AutoVacuumFull        = 1
	AutoVacuumIncremental = 2
)

// State is what the header of a file says of its space.
type State struct {
	AutoVacuum int
	PageSize   int64
	Pages      int64
	Free       int64 // of Pages
}

// Bytes is the size of so many pages.
func (s State) Bytes(pages int64) int64 { return pages * s.PageSize }

// Look reads the State. It costs nothing.
func Look(ctx context.Context, cfg Config) (s State, err error) {
	c, err := cfg.Open(ctx)
	if err != nil {
		return s, err
	}
	defer c.Close()
	return look(c)
}

func look(c *sqlite.Conn) (s State, err error) {
	var mode int64
	for _, ask := range []struct {
		pragma string
		answer *int64
	}{{"auto_vacuum", &mode}, {"page_size", &s.PageSize}, {"page_count", &s.Pages}, {"freelist_count", &s.Free}} {
		if *ask.answer, err = c.QueryInt64("PRAGMA " + ask.pragma); err != nil {
			return s, err
		}
	}
	s.AutoVacuum = int(mode)
	return s, nil
}

// Bounds of a step and of the pauses between two. SQLite looks for a page in the
// list of free ones from its beginning, 0.2 ms for each page given back while a
// gigabyte is free; a page puts one or two into the log, so mostPages keep a COMMIT
// to a few megabytes.
//
// While others write, steps are rare: what matters to the 99th percentile of writes is
// how many meet a step, and not for how long. 164 steps of 0.3 ms a second, each with a
// COMMIT of its own, lifted it by a third, and on a disk that flushes in 0.2 ms 15 still
// did; one of 5 ms a second gives back more.
const (
	DefaultStep = 10 * time.Millisecond

	mostPages  = 512
	slowStep   = 25 * time.Millisecond // with its COMMIT: the next has half as many pages at most
	quietPages = 8                     // between two looks at the clock; others write: one
	busyShare  = 2                     // while others write a step has this part of the budget,
	busyWork   = 300                   // and the pause is that many times its work
	busyCommit = 60                    // and that many times its COMMIT
	longest    = time.Second
)

// Released is what a Release has done.
type Released struct {
	Before, After State
	Pages         int64 // that the file lost: free ones, and those that kept book of them
	freed         int64 // free ones; somebody may have freed others meanwhile
	Steps         int
	BusySteps     int           // of them, while the database was busy
	LongestStep   time.Duration // others waited for its work
	LongestCommit time.Duration // the same with the COMMIT, of which others may have been part
	OverBudget    int           // steps whose work took more than twice the budget
}

// Release gives back free pages until leave of them remain or as many as there
// were at its beginning are gone. step is the longest that a step should hold the
// writer, 0 being DefaultStep. Of a file without auto_vacuum=INCREMENTAL it gives
// back nothing. It blocks until it is done or ctx ends; what was given back by
// then stays so, and is in the answer.
func Release(ctx context.Context, cfg Config, step time.Duration, leave int64) (r Released, err error) {
	if step <= 0 {
		step = DefaultStep
	}
	if r.Before, err = Look(ctx, cfg); err != nil {
		return r, err
	}
	r.After = r.Before
	if r.Before.AutoVacuum != AutoVacuumIncremental || cfg.Write == nil {
		return r, nil
	}
	most := int64(mostPages)
	for r.After.Free > leave && r.freed < r.Before.Free {
		limit, chunk := step, int64(quietPages)
		quiet := cfg.Quiet == nil || cfg.Quiet()
		if !quiet {
			limit, chunk = step/busyShare, 1
		}
		work, all, err := r.step(ctx, cfg, limit, chunk, min(most, r.After.Free-leave))
		if err != nil {
			return r, err
		}
		most = nextMost(most, all)
		r.Steps++
		if !quiet {
			r.BusySteps++
		}
		r.LongestStep, r.LongestCommit = max(r.LongestStep, work), max(r.LongestCommit, all)
		if work > 2*step {
			r.OverBudget++
		}
		if err := busy.Sleep(ctx, pause(work, all, quiet)); err != nil {
			return r, err
		}
	}
	return r, nil
}

// nextMost is how many pages the next step may give back at most. It follows the
// disk: a COMMIT that took long, because others flush to it too, takes longer with
// more pages.
func nextMost(most int64, all time.Duration) int64 {
	if all > slowStep {
		return max(most/2, 1)
	}
	return min(2*most, mostPages)
}

func pause(work, all time.Duration, quiet bool) time.Duration {
	if quiet {
		return all
	}
	return min(work*busyWork+all*busyCommit, longest)
}

// step gives back at most so many pages, a chunk at a time until limit is over.
// work is how long that took, all the same with the COMMIT.
func (r *Released) step(ctx context.Context, cfg Config, limit time.Duration, chunk, most int64) (work, all time.Duration, err error) {
	var start time.Time
	var before, after State
	err = cfg.Write(ctx, "PRAGMA incremental_vacuum", func(c *sqlite.Conn) (err error) {
		if before, err = look(c); err != nil {
			return err
		}
		start = time.Now()
		for n := int64(0); n < most; n += chunk {
			if err := c.Exec(fmt.Sprintf("PRAGMA main.incremental_vacuum(%d)", min(chunk, most-n))); err != nil {
				return err
			}
			if work = time.Since(start); work >= limit {
				break
			}
		}
		after, err = look(c)
		return err
	})
	if err == nil {
		r.After = after
		r.Pages += before.Pages - after.Pages
		r.freed += before.Free - after.Free
		all = time.Since(start)
	}
	return work, all, err
}
