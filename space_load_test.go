package holdfast_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
)

// Four fifths of a database are deleted and given back while others write. By
// default it is small, and counters are judged alone. HOLDFAST_SPACE_MB makes it
// larger, HOLDFAST_SPACE_THINK is the pause of a writer between two writes, and
// then the latencies of rounds with and without are printed:
//
//	HOLDFAST_SPACE_MB=1024 go test -count=1 -run TestSpaceUnderLoad -v .
func TestSpaceUnderLoad(t *testing.T) {
	megabytes, err := strconv.Atoi(os.Getenv("HOLDFAST_SPACE_MB"))
	measure := err == nil
	rounds, round := 10, 1200*time.Millisecond
	if !measure {
		t.Parallel()
		megabytes, rounds, round = 16, 1, 200*time.Millisecond
	}
	think, err := time.ParseDuration(os.Getenv("HOLDFAST_SPACE_THINK"))
	if err != nil {
		think = 2 * time.Millisecond
	}
	dir := t.TempDir()
	if place := os.Getenv("HOLDFAST_SPACE_DIR"); place != "" {
		if dir, err = os.MkdirTemp(place, "space"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
	}
	db := openAt(t, filepath.Join(dir, "app.db"))
	must(t, db, "CREATE TABLE t(id INTEGER PRIMARY KEY, a BLOB)")
	must(t, db, "CREATE TABLE ledger(id INTEGER PRIMARY KEY, writer INT, n INT)")
	for range megabytes / 16 {
		must(t, db, "INSERT INTO t(a) "+series(4096, "zeroblob(3500)"))
	}
	w := &writers{db: db, think: think}
	ctx, cancel := context.WithCancel(ctx())
	defer cancel()
	for n := range 4 {
		w.all.Go(func() { w.run(ctx, n) })
	}
	rows := number(t, db, "SELECT max(id) FROM t")
	for from := int64(0); from < rows; from += 500 { // in small transactions, as programs should
		must(t, db, "DELETE FROM t WHERE id BETWEEN ? AND ? AND id % 5", from, from+499)
	}
	before := number(t, db, "PRAGMA page_count")
	var longest, commit float64
	over, steps, busy := 0, 0, 0
	release := func(d time.Duration) {
		limited, cancel := context.WithTimeout(ctx, d)
		defer cancel()
		r, err := db.Optimize(limited, holdfast.WithoutStatistics())
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Optimize: %v", err)
		}
		longest, commit = max(longest, r.Space.LongestStepSeconds), max(commit, r.Space.LongestCommitSeconds)
		over, steps, busy = over+r.Space.StepsOverBudget, steps+r.Space.Steps, busy+r.Space.BusySteps
	}
	var alone, beside latencies
	var ratios, noise []float64
	for n := range rounds {
		w.take()
		<-time.After(round)
		without := w.take()
		release(round)
		with := w.take()
		<-time.After(round)
		again := w.take()
		alone, beside = append(alone, without...), append(beside, with...)
		if measure {
			ratios = append(ratios, float64(with.at(.99))/float64(without.at(.99)))
			noise = append(noise, float64(again.at(.99))/float64(without.at(.99)))
			t.Logf("round %d: %s without, %s with, %s without; %d pages are left", n, without, with, again, number(t, db, "PRAGMA page_count"))
		}
	}
	slices.Sort(alone)
	slices.Sort(beside)
	if measure {
		slices.Sort(ratios)
		slices.Sort(noise)
		t.Logf("all rounds: %s without, %s with; p99 with/without of a round: median %.2f, from %.2f to %.2f; without/without: median %.2f, from %.2f to %.2f",
			alone, beside, ratios[len(ratios)/2], ratios[0], ratios[len(ratios)-1], noise[len(noise)/2], noise[0], noise[len(noise)-1])
	}
	if busy == 0 || busy != steps {
		t.Errorf("%d of %d steps knew that others write", busy, steps)
	}
	if measure {
		t.Logf("under load: %d steps, %d over twice their budget, the longest %.1f ms, %.1f ms with COMMIT, %d of %d pages given back",
			steps, over, 1000*longest, 1000*commit, before-number(t, db, "PRAGMA page_count"), before)
	}
	cancel()
	w.all.Wait()
	r := optimize(t, db).Space // nobody writes any more
	if r.FreeBytesAfter != 0 {
		t.Errorf("report %+v", r)
	}
	t.Logf("alone: %d steps, the longest %.1f ms, %.1f ms with COMMIT, file %d MB", r.Steps, 1000*r.LongestStepSeconds, 1000*r.LongestCommitSeconds, r.BytesAfter>>20)
	if all := steps + r.Steps; over+r.StepsOverBudget > all/3 {
		t.Errorf("%d of %d steps took more than twice their budget", over+r.StepsOverBudget, all)
	}
	w.check(t)
}

// writers write small rows, and keep outside of the database what was acknowledged.
type writers struct {
	db    *holdfast.DB
	think time.Duration
	all   sync.WaitGroup

	mu     sync.Mutex
	took   []time.Duration
	ledger [4]int
	err    error
}

func (w *writers) run(ctx context.Context, n int) {
	for i := 1; ; i++ {
		start := time.Now()
		_, err := w.db.ExecContext(ctx, "INSERT INTO ledger(writer, n) VALUES (?, ?)", n, i)
		took := time.Since(start)
		w.mu.Lock()
		if err == nil {
			w.ledger[n] = i
			w.took = append(w.took, took)
		} else if ctx.Err() == nil {
			w.err = err
		}
		w.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-time.After(w.think):
		}
	}
}

// latencies are sorted.
type latencies []time.Duration

func (l latencies) String() string {
	if len(l) == 0 {
		return "nothing"
	}
	at := func(part float64) string { return l.at(part).Round(10 * time.Microsecond).String() }
	return strconv.Itoa(len(l)) + " writes, p50 " + at(.5) + ", p99 " + at(.99) + ", max " + at(1)
}

func (l latencies) at(part float64) time.Duration { return l[int(part*float64(len(l)-1))] }

func (w *writers) take() latencies {
	w.mu.Lock()
	defer w.mu.Unlock()
	took := w.took
	w.took = nil
	slices.Sort(took)
	return took
}

func (w *writers) check(t *testing.T) {
	t.Helper()
	if w.err != nil {
		t.Errorf("a write failed: %v", w.err)
	}
	for n, acknowledged := range w.ledger {
		if got := number(t, w.db, "SELECT count(*) FROM ledger WHERE writer = ? AND n <= ?", n, acknowledged); got != int64(acknowledged) {
			t.Errorf("writer %d: %d rows of %d that were acknowledged", n, got, acknowledged)
		}
	}
}
