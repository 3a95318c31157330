package holdfast_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
)

// Each thing that is done in the background is done beside four writers, again and
// again. By default the database is small, and only outcomes are judged.
// HOLDFAST_TASKS_MB makes it larger, and then the latencies of rounds with and
// without are printed:
//
//	HOLDFAST_TASKS_MB=256 go test -count=1 -run TestTasksUnderLoad -v .
func TestTasksUnderLoad(t *testing.T) {
	megabytes, err := strconv.Atoi(os.Getenv("HOLDFAST_TASKS_MB"))
	measure := err == nil
	rounds, round := 12, time.Second
	if !measure {
		t.Parallel()
		megabytes, rounds, round = 8, 1, 20*time.Millisecond
	}
	db := openAt(t, filepath.Join(t.TempDir(), "app.db"))
	must(t, db, "CREATE TABLE t(id INTEGER PRIMARY KEY, k INT, a BLOB)")
	must(t, db, "CREATE INDEX by_k ON t(k)")
	must(t, db, "CREATE TABLE ledger(id INTEGER PRIMARY KEY, writer INT, n INT)")
	for range megabytes / 8 {
		must(t, db, "INSERT INTO t(k, a) "+series(2048, "value % 100, zeroblob(3500)"))
	}
	w := &writers{db: db, think: 2 * time.Millisecond}
	running, cancel := context.WithCancel(ctx())
	defer cancel()
	for n := range 4 {
		w.all.Go(func() { w.run(running, n) })
	}
	task := func(name string) func(context.Context) error {
		return func(ctx context.Context) error {
			r, err := db.Maintenance().Run(ctx, name)
			if err == nil && r.Outcome != "done" && ctx.Err() == nil {
				t.Errorf("%s: %+v", name, r)
			}
			return err
		}
	}
	for _, step := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"optimize", task("optimize")},
		{"verify", task("verify")},
		{"checkpoint", func(ctx context.Context) error {
			_, err := db.Checkpoint(ctx, holdfast.CheckpointPassive)
			return err
		}},
	} {
		runs := 0
		var alone, beside, again latencies
		for range rounds {
			w.take()
			<-time.After(round)
			alone = append(alone, w.take()...)
			for end := time.Now().Add(round); ; {
				if err := step.run(ctx()); err != nil {
					t.Errorf("%s: %v", step.name, err)
					break
				}
				if runs++; time.Now().After(end) {
					break
				}
			}
			beside = append(beside, w.take()...)
			<-time.After(round)
			again = append(again, w.take()...)
		}
		slices.Sort(alone)
		slices.Sort(beside)
		slices.Sort(again)
		if measure {
			t.Logf("%s: %d runs; %s without; %s with; %s without", step.name, runs, alone, beside, again)
			t.Logf("%s: p99 with/without %.2f, without/without %.2f", step.name,
				2*float64(beside.at(.99))/float64(alone.at(.99)+again.at(.99)), float64(again.at(.99))/float64(alone.at(.99)))
		}
	}
	cancel()
	w.all.Wait()
	w.check(t)
}
