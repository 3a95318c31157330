package holdfast_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
)

// Each thing that lasts is done beside four writers. By default the database is small,
// and outcomes and rests are judged. HOLDFAST_TASKS_MB makes it larger,
// HOLDFAST_TASKS_THINK is the pause of a writer between two writes, and then the
// latencies of the writes during a run are printed, and of those in the pauses between
// two runs, which are a second or half as long as the run. The last step is a control:
// a file that is written as fast as a backup writes its own, without SQLite.
//
//	HOLDFAST_TASKS_MB=256 go test -count=1 -run TestTasksUnderLoad -v .
func TestTasksUnderLoad(t *testing.T) {
	megabytes, err := strconv.Atoi(os.Getenv("HOLDFAST_TASKS_MB"))
	measure := err == nil
	lasts, round := 40*time.Second, time.Second
	if !measure {
		t.Parallel()
		megabytes, lasts, round = 8, 0, 20*time.Millisecond
	}
	think, err := time.ParseDuration(os.Getenv("HOLDFAST_TASKS_THINK"))
	if err != nil {
		think = 2 * time.Millisecond
	}
	dir := t.TempDir()
	db := openAt(t, filepath.Join(dir, "app.db"))
	must(t, db, "CREATE TABLE t(id INTEGER PRIMARY KEY, k INT, a BLOB)")
	must(t, db, "CREATE INDEX by_k ON t(k)")
	must(t, db, "CREATE TABLE ledger(id INTEGER PRIMARY KEY, writer INT, n INT)")
	for range megabytes / 8 {
		must(t, db, "INSERT INTO t(k, a) "+series(2048, "value % 100, zeroblob(3500)"))
	}
	w := &writers{db: db, think: think}
	running, cancel := context.WithCancel(ctx())
	defer cancel()
	for n := range 4 {
		w.all.Go(func() { w.run(running, n) })
	}
	for _, step := range lastingSteps(t, db, dir) {
		if only := os.Getenv("HOLDFAST_TASKS_ONLY"); only != "" && only != step.name {
			continue
		}
		if step.control && !measure {
			continue
		}
		m := tasksMeasured{again: !measure}
		before := db.Stats().Maintenance
		for begun, more := time.Now(), true; more; more = time.Since(begun) < lasts {
			m.round(t, w, round, step.run)
		}
		after := db.Stats().Maintenance
		if measure {
			m.log(t, step.name)
			t.Logf("%s: %d rests of %.2f s in all, after %.2f s of work", step.name, after.Rests-before.Rests,
				after.RestedSeconds-before.RestedSeconds, after.PieceSeconds-before.PieceSeconds)
		}
		if after.Rests == before.Rests && !step.control {
			t.Errorf("%s has not rested while others write", step.name)
		}
	}
	cancel()
	w.all.Wait()
	w.check(t)
}

// lastingStep is something that lasts.
type lastingStep struct {
	name    string
	control bool // none of Holdfast's
	run     func(context.Context) error
}

func lastingSteps(t *testing.T, db *holdfast.DB, dir string) []lastingStep {
	task := func(name string) lastingStep {
		return lastingStep{name: name, run: func(ctx context.Context) error {
			r, err := db.Maintenance().Run(ctx, name)
			if err == nil && r.Outcome != "done" && ctx.Err() == nil {
				t.Errorf("%s: %+v", name, r)
			}
			return err
		}}
	}
	n := 0
	return []lastingStep{
		task("optimize"),
		task("verify"),
		{name: "backup", run: func(ctx context.Context) error {
			n++
			dst := filepath.Join(dir, "copy"+strconv.Itoa(n)+".db")
			_, err := db.Backup(ctx, dst)
			return errors.Join(err, os.Remove(dst), os.Remove(dst+".manifest.json"))
		}},
		{name: "checkpoint", run: func(ctx context.Context) error { // two, so that one has another before it
			_, err := db.Checkpoint(ctx, holdfast.CheckpointPassive)
			_, again := db.Checkpoint(ctx, holdfast.CheckpointPassive)
			return errors.Join(err, again)
		}},
		{name: "a file", control: true, run: func(context.Context) error { return plainFile(filepath.Join(dir, "plain")) }},
	}
}

// plainFile writes 32 MiB in pieces of 8 KiB, one a millisecond or so.
func plainFile(path string) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	piece := make([]byte, 8<<10)
	for range 32 << 20 / len(piece) {
		<-time.After(800 * time.Microsecond)
		if _, err := f.Write(piece); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return errors.Join(f.Sync(), f.Close(), os.Remove(path))
}

// tasksMeasured are the writes of rounds with and without something, in turn.
type tasksMeasured struct {
	again          bool // and again, for as long as a round lasts
	runs           int
	took           time.Duration
	without, with  latencies
	ratios, noises []float64 // p99 of a round, divided by that of the round before
}

func (m *tasksMeasured) round(t *testing.T, w *writers, round time.Duration, run func(context.Context) error) {
	<-time.After(round / 2)
	w.take()
	<-time.After(round / 2)
	alone := w.take()
	start := time.Now()
	for more := true; more; more = m.again && time.Since(start) < round {
		if err := run(ctx()); err != nil {
			t.Error(err)
			return
		}
		m.runs++
	}
	took := time.Since(start)
	m.took += took
	beside := w.take()
	if m.again {
		took = 0
	}
	<-time.After(max(round, took/2))
	again := w.take()
	m.without, m.with = append(m.without, append(alone, again...)...), append(m.with, beside...)
	if len(alone) > 0 && len(beside) > 0 && len(again) > 0 {
		m.ratios = append(m.ratios, 2*float64(beside.at(.99))/float64(alone.at(.99)+again.at(.99)))
		m.noises = append(m.noises, float64(again.at(.99))/float64(alone.at(.99)))
	}
}

func (m *tasksMeasured) log(t *testing.T, name string) {
	slices.Sort(m.without)
	slices.Sort(m.with)
	slices.Sort(m.ratios)
	slices.Sort(m.noises)
	t.Logf("%s: %d runs of %s; %s without; %s with", name, m.runs, (m.took / time.Duration(m.runs)).Round(10*time.Microsecond), m.without, m.with)
	t.Logf("%s: p99 with/without %.2f; of a round: median %.2f, from %.2f to %.2f; without/without: median %.2f, from %.2f to %.2f", name,
		float64(m.with.at(.99))/float64(m.without.at(.99)), m.ratios[len(m.ratios)/2], m.ratios[0], m.ratios[len(m.ratios)-1],
		m.noises[len(m.noises)/2], m.noises[0], m.noises[len(m.noises)-1])
}

// Without a log whoever copies keeps everybody from committing, and does not rest.
func TestNobodyRestsInTheWayOfWrites(t *testing.T) {
	t.Parallel()
	cfg := holdfast.Config{}
	cfg.Database.EnableWALMode = holdfast.Off
	dir := t.TempDir()
	db, err := holdfast.OpenConfig(ctx(), withPath(cfg, filepath.Join(dir, "app.db")))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	must(t, db, "CREATE TABLE t(a)")
	must(t, db, "INSERT INTO t "+series(1000, "zeroblob(3500)")) // others write: it was within a second
	info, err := db.Backup(ctx(), filepath.Join(dir, "copy.db"), holdfast.BackupOnProgress(func(p holdfast.BackupProgress) {
		if n := db.Stats().Maintenance.Rests; p.Phase == "copy" && n > 0 {
			t.Errorf("%d rests while it is copied", n)
		}
	}))
	if err != nil || !info.Verified {
		t.Errorf("%+v, %v", info, err)
	}
	if db.Stats().Maintenance.Rests == 0 {
		t.Error("no rest while the copy is checked")
	}
	check(t, db)
}
