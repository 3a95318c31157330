package contention

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func small(t *testing.T, c Contestant) Load {
	t.Helper()
	return Load{Contestant: c, Path: filepath.Join(t.TempDir(), "a?b#c%41.db"), Goroutines: 4, Duration: 50 * time.Millisecond}
}

func TestMeasureEveryContestant(t *testing.T) {
	t.Parallel()
	for _, c := range []Contestant{Holdfast, Bare, Recipe} {
		r, err := Measure(t.Context(), small(t, c), 1, nil)
		if err != nil {
			t.Errorf("%s: %v", c, err)
			continue
		}
		if r.Tally.Transactions+r.Tally.Errors == 0 || r.LostUpdates != 0 || r.Tally.Elapsed <= 0 {
			t.Errorf("%s: %+v", c, r.Tally)
		}
		// Of the others not one may come through, on a machine with more to do.
		if c == Holdfast && (r.Tally.Errors != 0 || r.ErrorRatio() != 0 || r.PerSecond() <= 0) {
			t.Errorf("%s: %d errors, the first: %s", c, r.Tally.Errors, r.Tally.FirstError)
		}
		if p50, p99 := r.Quantile(0.5), r.Quantile(0.99); p50 > p99 || p99 > r.Tally.Longest {
			t.Errorf("%s: p50 %s, p99 %s, longest %s", c, p50, p99, r.Tally.Longest)
		}
	}
}

// TestLostUpdatesAreSeen takes an update back behind the benchmark's back.
func TestLostUpdatesAreSeen(t *testing.T) {
	t.Parallel()
	l := small(t, Holdfast)
	if _, err := l.prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	db, err := l.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	const thief = `CREATE TRIGGER thief AFTER UPDATE ON holdfast_bench_contention WHEN NEW.n = 5
BEGIN UPDATE holdfast_bench_contention SET n = 3; END`
	if _, err := db.ExecContext(t.Context(), thief); err != nil {
		t.Fatal(err)
	}
	r, err := Measure(t.Context(), l, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.LostUpdates == 0 {
		t.Errorf("%d transactions were acknowledged, the counter never passed 4, and nothing is lost", r.Tally.Transactions)
	}
}

func TestTalliesMerge(t *testing.T) {
	t.Parallel()
	sum, _ := newTally()
	for part := range 2 {
		tally, err := newTally()
		if err != nil {
			t.Fatal(err)
		}
		for i := 1; i <= 100; i++ {
			tally.count(time.Duration(100*part+i)*time.Millisecond, nil)
		}
		tally.count(time.Hour, errors.New("not counted as a time"))
		// As it comes from another process.
		tally.waits.Encode(&tally.Sketch, false)
		text, err := json.Marshal(tally)
		if err != nil {
			t.Fatal(err)
		}
		var arrived Tally
		if err := json.Unmarshal(text, &arrived); err != nil {
			t.Fatal(err)
		}
		if err := sum.add(&arrived); err != nil {
			t.Fatal(err)
		}
	}
	if sum.Transactions != 200 || sum.Errors != 2 || sum.Longest != 200*time.Millisecond || sum.FirstError == "" {
		t.Errorf("%+v", sum)
	}
	for q, want := range map[float64]time.Duration{0.5: 100 * time.Millisecond, 0.99: 198 * time.Millisecond, 1: 200 * time.Millisecond} {
		if got := sum.quantile(q); got < want*97/100 || got > want*103/100 {
			t.Errorf("quantile %g is %s, want about %s", q, got, want)
		}
	}
}

func TestWorkerEndsWithItsParent(t *testing.T) {
	t.Parallel()
	l := small(t, Holdfast)
	l.Duration = time.Hour
	if _, err := l.prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	in, parent := io.Pipe()
	ready, out := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- Worker(context.Background(), in, out) }()
	if err := json.NewEncoder(parent).Encode(l); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 16)
	if n, err := ready.Read(line); err != nil || string(line[:n]) != "\"ready\"\n" {
		t.Fatalf("%q, %v", line[:n], err)
	}
	if _, err := io.WriteString(parent, "\"go\"\n"); err != nil {
		t.Fatal(err)
	}
	if err := parent.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("the worker ended with %v", err)
	}
	if err := Worker(t.Context(), strings.NewReader("{"), &bytes.Buffer{}); err == nil {
		t.Error("half a load was accepted")
	}
}
