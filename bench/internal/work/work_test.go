package work

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// fake answers from memory. Every refuse-th write is refused.
type fake struct {
	wrong  bool
	refuse int64
	writes atomic.Int64
}

func (f *fake) Close() error { return nil }

func (f *fake) Get(_ context.Context, id int64) (Item, error) {
	if f.wrong {
		id++
	}
	return ItemOf(id), nil
}

var errRefused = errors.New("refused")

func (f *fake) Insert(context.Context, Entry) error {
	if n := f.writes.Add(1); f.refuse > 0 && n%f.refuse == 0 {
		return errRefused
	}
	return nil
}

func TestLoopCountsWhatWasAcknowledged(t *testing.T) {
	f := &fake{refuse: 3}
	j := Job{Operation: Insert, Goroutines: 4, FirstWorker: 8, Duration: 20 * time.Millisecond}
	tally, err := j.Run(t.Context(), nil, f, nil)
	must(t, err)
	if tally.Done+tally.Failed != f.writes.Load() || tally.Failed != f.writes.Load()/3 {
		t.Errorf("%d done and %d failed of %d", tally.Done, tally.Failed, f.writes.Load())
	}
	if tally.FirstError != errRefused.Error() {
		t.Errorf("the first error is %q", tally.FirstError)
	}
	var rows int64
	for _, a := range tally.Ledger {
		rows += a.Rows
		if a.Worker < 8 || a.Worker >= 12 {
			t.Errorf("worker %d is not of this process", a.Worker)
		}
	}
	if rows != tally.Done || tally.Latency.Total() != tally.Done || tally.Rate <= 0 {
		t.Errorf("%d rows in the ledger, %d latencies, %d done, rate %g", rows, tally.Latency.Total(), tally.Done, tally.Rate)
	}
}

func TestWrongAnswerEndsTheJob(t *testing.T) {
	j := Job{Operation: Get, Goroutines: 2, Rows: 10, Duration: time.Hour}
	_, err := j.Run(t.Context(), nil, &fake{wrong: true}, nil)
	if _, ok := errors.AsType[*WrongError](err); !ok {
		t.Errorf("the error is %v", err)
	}
}

func TestWhatIsNotOffered(t *testing.T) {
	for _, o := range []Operation{Scan, Lease, "dance"} {
		if _, err := (Job{Operation: o}).Run(t.Context(), nil, &fake{}, nil); err == nil {
			t.Errorf("%s was done by a database that can't", o)
		}
	}
}

func TestMixReadsAndWrites(t *testing.T) {
	f := &fake{}
	j := Job{Operation: Mix, Goroutines: 2, Rows: 10, Duration: 20 * time.Millisecond}
	tally, err := j.Run(t.Context(), nil, f, nil)
	must(t, err)
	writes := f.writes.Load()
	if tally.Reads.Total()+writes != tally.Done || writes == 0 || float64(writes)/float64(tally.Done) > 0.2 {
		t.Errorf("%d reads and %d writes of %d operations", tally.Reads.Total(), writes, tally.Done)
	}
}

func TestVerify(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bench.db")
	must(t, Template(t.Context(), path, 10, "DELETE"))
	db, err := openPlain(path)
	must(t, err)
	for seq := 1; seq <= 3; seq++ {
		_, err = db.ExecContext(t.Context(), InsertEntry, 7, seq, Body)
		must(t, err)
	}
	_, err = db.ExecContext(t.Context(), UpdateCount, 5, 1)
	must(t, err)
	must(t, db.Close())
	for _, c := range []struct {
		name  string
		tally Tally
		want  Verdict
		wrong bool
	}{
		{"exact", Tally{Ledger: []Account{{7, 3, 6}}, Increments: 5}, Verdict{}, false},
		{"row lost", Tally{Ledger: []Account{{7, 4, 10}}, Increments: 5}, Verdict{Lost: 1}, false},
		{"worker lost", Tally{Ledger: []Account{{7, 3, 6}, {8, 2, 3}}, Increments: 5}, Verdict{Lost: 2}, false},
		{"update lost", Tally{Ledger: []Account{{7, 3, 6}}, Increments: 6}, Verdict{Lost: 1}, false},
		{"other row", Tally{Ledger: []Account{{7, 3, 7}}, Increments: 5, Failed: 1}, Verdict{Lost: 1, Surplus: 1}, false},
		{"refused and there", Tally{Ledger: []Account{{7, 2, 3}}, Increments: 5, Failed: 1}, Verdict{Surplus: 1}, false},
		{"from nowhere", Tally{Increments: 5}, Verdict{Surplus: 3}, true},
	} {
		v, err := Verify(t.Context(), path, &c.tally)
		if v != c.want || (err != nil) != c.wrong {
			t.Errorf("%s: %+v, %v", c.name, v, err)
		}
	}
}

func TestTemplateIsWhatScansExpect(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bench.db")
	must(t, Template(t.Context(), path, 1234, "WAL"))
	db, err := openPlain(path)
	must(t, err)
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), SelectItems)
	must(t, err)
	defer rows.Close()
	var got Sum
	for rows.Next() {
		var id int64
		var i Item
		must(t, rows.Scan(&id, &i.Name, &i.Qty, &i.Price))
		must(t, i.check(id))
		if i != ItemOf(id) {
			t.Fatalf("item %d is %+v", id, i)
		}
		got.Add(id, i.Name, i.Qty, i.Price)
	}
	must(t, rows.Err())
	if got != sumOf(1234) {
		t.Errorf("the sum is %+v, want %+v", got, sumOf(1234))
	}
	var n int
	must(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM counter").Scan(&n))
	if n != Counters {
		t.Errorf("%d counters, want %d", n, Counters)
	}
}

// TestChild plays the parent.
func TestChild(t *testing.T) {
	in, toChild := io.Pipe()
	fromChild, out := io.Pipe()
	done := make(chan error, 1)
	go func() {
		j := Job{Contestant: "fake", Operation: Insert, Goroutines: 1, Duration: time.Millisecond}
		open := func(context.Context, Settings) (Database, error) { return &fake{}, nil }
		done <- Child(t.Context(), j, open, in, out)
	}()
	lines := bufio.NewReader(fromChild)
	line, err := lines.ReadString('\n')
	must(t, err)
	if line != "ready\n" {
		t.Fatalf("the child says %q", line)
	}
	_, err = io.WriteString(toChild, "go\n")
	must(t, err)
	var tally Tally
	line, err = lines.ReadString('\n')
	must(t, err)
	must(t, json.Unmarshal([]byte(line), &tally))
	if tally.Done == 0 {
		t.Error("the child did nothing")
	}
	must(t, <-done)
	must(t, toChild.Close())
}

// TestChildEndsWithItsParent gives it an hour and goes away.
func TestChildEndsWithItsParent(t *testing.T) {
	in, toChild := io.Pipe()
	fromChild, out := io.Pipe()
	done := make(chan error, 1)
	go func() {
		j := Job{Contestant: "fake", Operation: Insert, Goroutines: 1, Duration: time.Hour}
		open := func(context.Context, Settings) (Database, error) { return &fake{}, nil }
		done <- Child(t.Context(), j, open, in, out)
	}()
	_, err := bufio.NewReader(fromChild).ReadString('\n')
	must(t, err)
	_, err = io.WriteString(toChild, "go\n")
	must(t, err)
	must(t, toChild.Close())
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("the child ended with %v", err)
	}
}

func TestWorkloads(t *testing.T) {
	seen := map[string]bool{}
	for _, w := range All() {
		if seen[w.ID()] {
			t.Errorf("two workloads are called %s", w.ID())
		}
		seen[w.ID()] = true
		if w.Title == "" || w.Unit.Name == "" || w.Scale <= 0 || w.Processes < 1 || w.Goroutines < 1 {
			t.Errorf("%s is not complete: %+v", w.ID(), w)
		}
		if w.Items() == 0 && w.Operation == Get {
			t.Errorf("%s reads an empty table", w.ID())
		}
	}
}

func TestMatches(t *testing.T) {
	w := Workload{Group: "W1", Variant: "prepared/8"}
	for name, want := range map[string]bool{
		"W1": true, "w1": true, "W10": false, "W1/prepared/8": true, "W1 prepared/8": true, "W1/prepared": false, "": false,
	} {
		if w.Matches(name) != want {
			t.Errorf("%q matches: %t", name, !want)
		}
	}
}
