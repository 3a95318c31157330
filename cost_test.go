package holdfast_test

import (
	"runtime"
	"sync"
	"testing"

	"github.com/holdfastdb/holdfast"
)

// What a write costs, in numbers that hardly depend on the machine. They may
// not rise unnoticed; who lowers one lowers its limit too.

// Not parallel: allocations are counted for the whole process.
func TestAllocationsOfAWrite(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool forget")
	}
	db := open(t, holdfast.WithSynchronous("NORMAL"))
	must(t, db, "CREATE TABLE entry(id INTEGER PRIMARY KEY, worker INTEGER, seq INTEGER, body TEXT)")
	for _, c := range []struct {
		name  string
		write func(db *holdfast.DB, worker, seq int64) error
		limit float64 // with those of database/sql and of the test
	}{
		{"Exec", execEntry, 9},
		{"Batch", batchEntry, 8},
		{"transaction", txEntry, 20},
	} {
		got := testing.AllocsPerRun(200, func() {
			if err := c.write(db, 1, 1); err != nil {
				t.Error(err)
			}
		})
		t.Logf("%s: %v allocations", c.name, got)
		if got > c.limit {
			t.Errorf("%s: %v allocations, limit %v", c.name, got, c.limit)
		}
	}
}

// TestWritersShareCommits: those who wait for the writer together share a
// COMMIT, and so an fsync. How many wait together is up to the scheduler, so here
// they do for a transaction; BenchmarkExec32 tells how many do by themselves.
func TestWritersShareCommits(t *testing.T) {
	t.Parallel()
	const writers, rounds = 32, 5
	for name, write := range map[string]func(db *holdfast.DB, worker, seq int64) error{"Exec": execEntry, "Batch": batchEntry} {
		db := open(t) // synchronous=FULL
		must(t, db, "CREATE TABLE entry(id INTEGER PRIMARY KEY, worker INTEGER, seq INTEGER, body TEXT)")
		before := db.Stats().Writer
		for round := range int64(rounds) {
			tx, err := db.Begin()
			if err != nil {
				t.Fatal(err)
			}
			var all sync.WaitGroup
			for w := range int64(writers) {
				all.Go(func() {
					if err := write(db, w, round); err != nil {
						t.Error(err)
					}
				})
			}
			for db.Stats().Writer.Queued < writers {
				runtime.Gosched()
			}
			if err := tx.Rollback(); err != nil {
				t.Error(err)
			}
			all.Wait()
		}
		after := db.Stats().Writer
		units, groups := after.Units-before.Units, after.Groups-before.Groups
		t.Logf("%s: %d writes, %d COMMITs", name, units, groups)
		if units != writers*rounds || groups*4 > units { // one a round, unless the machine stalls for writer.max_group_duration
			t.Errorf("%s: %d writes took %d COMMITs", name, units, groups)
		}
	}
}
