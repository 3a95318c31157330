package holdfast_test

import (
	"fmt"
	"sync"
	"testing"
)

// Writes that share COMMITs are counted by whoever leads them, and each before its caller
// has the answer; those that fail, and those of transactions that join, by their callers.
func TestWritesOfGroupsAreExact(t *testing.T) {
	t.Parallel()
	const (
		good   = "INSERT INTO p(b) VALUES (?)"
		bad    = "INSERT INTO t(a) VALUES (?)"
		tells  = "INSERT INTO p(b) VALUES (?) RETURNING b"
		change = "UPDATE p SET b = ? WHERE rowid <= ?"

		callers, each = 8, 100
	)
	db := openCounted(t)
	run(t, db, "CREATE TABLE p(b)")
	run(t, db, bad, "taken")
	db.ResetQueries()
	run(t, db, good, 1)
	alone := counted(t, db)[good]
	if alone.Calls != 1 || alone.Attempts != 1 || alone.RowsChanged != 1 || alone.VMSteps == 0 || alone.Duration.Count() != 1 {
		t.Fatalf("%+v", alone)
	}
	write := func(i int) error {
		if _, err := db.Exec(good, i); err != nil {
			return err
		}
		var told int
		if err := db.QueryRow(tells, i).Scan(&told); err != nil || told != i {
			return fmt.Errorf("%d of %d: %w", told, i, err)
		}
		if _, err := db.Exec(bad, "taken"); err == nil {
			return fmt.Errorf("no violation")
		}
		if i%10 == 0 {
			tx, err := db.Begin()
			if err != nil {
				return err
			}
			if _, err := tx.Exec(good, i); err != nil {
				return err
			}
			if err := tx.Commit(); err != nil {
				return err
			}
		}
		_, err := db.Exec(change, i, 3)
		return err
	}
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for i := range each {
				if err := write(i); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	rows := counted(t, db)
	const n = callers * each
	for statement, want := range map[string]struct{ calls, rows, changed, failed int64 }{
		good: {n + n/10 + 1, 0, n + n/10 + 1, 0}, tells: {n, n, n, 0}, bad: {n, 0, 0, n}, change: {n, 0, 3 * n, 0},
	} {
		q := rows[statement]
		if q.Calls != want.calls || q.Attempts != want.calls || q.Rows != want.rows || q.RowsChanged != want.changed ||
			q.Failed() != want.failed || q.Duration.Count() != uint64(want.calls) {
			t.Errorf("%s: %d calls, %d attempts, %d durations, %d rows, %d changed, %v; want %+v",
				statement, q.Calls, q.Attempts, q.Duration.Count(), q.Rows, q.RowsChanged, q.Errors, want)
		}
	}
	if q := rows[good]; q.VMSteps != q.Calls*alone.VMSteps {
		t.Errorf("%d instructions of %d calls, and %d of one", q.VMSteps, q.Calls, alone.VMSteps)
	}
}
