package holdfast_test

import (
	"context"
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
	if runtime.GOOS == "windows" {
		t.Skip("each call of Windows by the engine's C library allocates")
	}
	db := open(t, holdfast.WithSynchronous("NORMAL"))
	must(t, db, "CREATE TABLE entry(id INTEGER PRIMARY KEY, worker INTEGER, seq INTEGER, body TEXT)")
	for _, c := range []struct {
		name  string
		write func(db *holdfast.DB, worker, seq int64) error
		limit float64 // with those of database/sql and of the test
	}{
		{"Exec", execEntry, 6},
		{"Batch", batchEntry, 5},
		{"transaction", txEntry, 16},
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

// Not parallel either.
func TestAllocationsOfARead(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool forget")
	}
	db := open(t)
	must(t, db, "CREATE TABLE t(a INTEGER PRIMARY KEY, b, c, d)")
	must(t, db, "WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n WHERE i < 1999) INSERT INTO t SELECT i, 'text ' || i, i / 7.0, i FROM n")
	const scanned = 1000
	background := context.Background()
	rows := func(query string, args ...any) func() {
		return func() {
			for row, err := range db.Rows(background, query, args...) {
				if err != nil || row.Int64(0) == 0 || len(row.Bytes(1)) == 0 || row.Float64(2) == 0 {
					t.Error(err)
				}
			}
		}
	}
	for _, c := range []struct {
		name  string
		read  func()
		limit float64 // with those of database/sql and of the test
	}{
		{"QueryRow by key", func() {
			var text string
			var n int64
			if err := db.QueryRowContext(background, "SELECT b, d FROM t WHERE a = ?", 1500).Scan(&text, &n); err != nil {
				t.Error(err)
			}
		}, 13},
		{"Rows by key", rows("SELECT a, b, c FROM t WHERE a = ?", 1500), 6},
		{"Rows, 1000 rows", rows("SELECT a, b, c FROM t"), 8},
		{"Query, 1000 rows", func() {
			r, err := db.QueryContext(background, "SELECT a, b, c, d FROM t")
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			var a, d int64
			var b string
			var c float64
			for r.Next() {
				if err := r.Scan(&a, &b, &c, &d); err != nil {
					t.Fatal(err)
				}
			}
			if r.Err() != nil {
				t.Error(r.Err())
			}
		}, 2.1 * scanned}, // a text and its box
	} {
		got := testing.AllocsPerRun(200, c.read)
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
