package history

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/history"
	"github.com/holdfastdb/holdfast/internal/sqlite"
	"github.com/holdfastdb/holdfast/queries"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newStore returns the store of a file that is checked when the test ends.
func newStore(t *testing.T, bytes int64) *Store {
	t.Helper()
	s := New(Config{Path: filepath.Join(t.TempDir(), "app.db-holdfast.telemetry"), Bytes: bytes})
	t.Cleanup(func() {
		err := s.read(context.Background(), func(c *sqlite.Conn) error {
			if text, err := c.QueryText("PRAGMA integrity_check"); err != nil || text != "ok" {
				t.Errorf("integrity_check: %q, %v", text, err)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	return s
}

func read(t *testing.T, s *Store, now time.Time, q history.Request) history.Report {
	t.Helper()
	r, err := s.Read(t.Context(), now, q)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// program is one that is recorded: what it counts, and what the history must have.
type program struct {
	random  *rand.Rand
	started time.Time
	groups  float64
	rows    map[string]*queries.Query
}

func newProgram(seed uint64, started time.Time) *program {
	return &program{random: rand.New(rand.NewPCG(seed, 1)), started: started, rows: map[string]*queries.Query{}}
}

// work does a minute's work: up to ten calls of each of n statements.
func (p *program) work(n int) {
	p.groups += float64(p.random.IntN(1000))
	for i := range n {
		id := fmt.Sprintf("%016x", i+1)
		q := p.rows[id]
		if q == nil {
			e := empty(id)
			q = &e
			q.Statement, q.Errors, q.Plan.Hash = fmt.Sprintf("SELECT %d", i), map[string]int64{}, "p"
			p.rows[id] = q
		}
		for range p.random.IntN(10) {
			q.Calls++
			q.Attempts++
			q.Rows += 3
			q.VMSteps += 100
			q.Duration.Add(time.Duration(p.random.IntN(1e7)) + 300)
			if q.Calls%50 == 0 {
				q.Errors["SQLITE_BUSY"]++
			}
		}
	}
}

// report is what the program tells; it shares nothing with it.
func (p *program) report() ([]Sample, queries.Report) {
	r := queries.Report{Since: p.started, Others: empty("")}
	for _, q := range p.rows {
		r.Queries = append(r.Queries, queries.Merge(queries.Report{Queries: []queries.Query{*q}}).Queries[0])
		r.Queries[len(r.Queries)-1].Plan.Hash = q.Plan.Hash
	}
	return []Sample{{"writer.groups", history.Counter, p.groups}, {"wal.bytes", history.Gauge, float64(p.random.IntN(1e6))}}, r
}

// A day and a bit, minute by minute. Every resolution has all of it, to the last call.
func TestEveryResolutionHasEverything(t *testing.T) {
	t.Parallel()
	s, p := newStore(t, 64<<20), newProgram(1, noon)
	r := NewRecorder(s, "v1")
	minutes := 26 * 60
	if testing.Short() {
		minutes = 75
	}
	now := noon
	for range minutes {
		p.work(5)
		samples, report := p.report()
		if err := r.Record(now, samples, report); err != nil {
			t.Fatal(err)
		}
		now = now.Add(time.Minute)
	}
	for _, level := range history.Levels() {
		got := read(t, s, now, history.Request{From: noon, Step: level.Step, Series: []string{"*"}, Queries: true, Query: fmt.Sprintf("%016x", 3)})
		if got.Step != level.Step || !got.Since.Equal(noon) {
			t.Errorf("step %v since %v, want %v", got.Step, got.Since, level.Step)
		}
		buckets := int((time.Duration(minutes)*time.Minute + level.Step - 1) / level.Step)
		sum := map[string]float64{}
		for _, series := range got.Series {
			if len(series.Points) != buckets {
				t.Errorf("%s has %d points, want %d", series.Name, len(series.Points), buckets)
			}
			count := int64(0)
			for _, point := range series.Points {
				count += point.Count
				sum[series.Name] += point.Sum
				if point.Least > point.Mean() || point.Most < point.Mean() {
					t.Errorf("%s: %+v", series.Name, point)
				}
			}
			if count != int64(minutes) {
				t.Errorf("%s has %d samples, want %d", series.Name, count, minutes)
			}
		}
		if sum["writer.groups"] != p.groups {
			t.Errorf("%v: %v groups, want %v", level.Step, sum["writer.groups"], p.groups)
		}
		if len(got.Queries.Queries) != 5 || len(got.Releases) != 1 || got.Releases[0].Name != "v1" {
			t.Fatalf("%d queries, releases %v", len(got.Queries.Queries), got.Releases)
		}
		for i := range got.Queries.Queries {
			same(t, &got.Queries.Queries[i], p.rows[got.Queries.Queries[i].ID])
		}
		course := queries.Report{}
		for _, m := range got.Course {
			course = queries.Merge(course, queries.Report{Queries: []queries.Query{m.Query}})
		}
		same(t, &course.Queries[0], p.rows[fmt.Sprintf("%016x", 3)])
	}
}

// same fails unless both have cost the same, exactly.
func same(t *testing.T, got, want *queries.Query) {
	t.Helper()
	a, b := slices.Collect(counts(got.Duration)), slices.Collect(counts(want.Duration))
	if got.Calls != want.Calls || got.Rows != want.Rows || got.VMSteps != want.VMSteps || got.Failed() != want.Failed() ||
		got.Duration.Sum() != want.Duration.Sum() || !slices.Equal(a, b) {
		t.Errorf("%s: %d calls, %d rows, %d steps, %d failed, %v; want %d, %d, %d, %d, %v", got.Statement, got.Calls, got.Rows, got.VMSteps, got.Failed(), got.Duration.Sum(),
			want.Calls, want.Rows, want.VMSteps, want.Failed(), want.Duration.Sum())
	}
}

func counts(h *queries.Histogram) func(func(uint64) bool) {
	return func(yield func(uint64) bool) {
		for bucket, n := range h.Buckets() {
			if !yield(uint64(bucket+1000)) || !yield(n) {
				return
			}
		}
	}
}

// What is older than a resolution keeps is gone from it, and still in the coarser ones.
func TestOldMinutesGo(t *testing.T) {
	t.Parallel()
	s := newStore(t, 64<<20)
	total := 0.0
	now := noon
	for day := range 20 {
		for i := range 4 {
			now = noon.Add(time.Duration(day)*24*time.Hour + time.Duration(i)*time.Minute)
			total += float64(i + 1)
			if err := s.Add(now, Minute{Samples: []Sample{{"a", history.Counter, float64(i + 1)}}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i, days := range []int{2, 14, 20} {
		level := history.Levels()[i]
		from := noon.Add(time.Duration(20-days) * 24 * time.Hour)
		got := read(t, s, now.Add(time.Minute), history.Request{From: from, Step: level.Step, Series: []string{"a"}})
		sum := 0.0
		for _, p := range got.Series[0].Points {
			sum += p.Sum
		}
		if got.Step != level.Step || sum != float64(10*days) {
			t.Errorf("%v: %v since %v, want %d, at %v", level.Step, sum, got.Since, 10*days, got.Step)
		}
	}
	// From before the finest begins the finest that has it all is chosen.
	if got := read(t, s, now, history.Request{From: noon.Add(7 * 24 * time.Hour), Series: []string{"a"}}); got.Step != 10*time.Minute {
		t.Errorf("step %v for the last 12 days", got.Step)
	}
	if got := read(t, s, now, history.Request{Series: []string{"a"}}); got.Step != time.Hour {
		t.Errorf("step %v for everything: the sum of all is %v", got.Step, total)
	}
}

// The file never grows beyond its bound, and what is newest stays.
func TestSizeIsBounded(t *testing.T) {
	t.Parallel()
	const bound = 1 << 20
	s, p := newStore(t, bound), newProgram(2, noon)
	r := NewRecorder(s, "")
	minutes := 400
	if testing.Short() {
		minutes = 40
	}
	now := noon
	for range minutes {
		now = now.Add(time.Minute)
		p.work(60)
		samples, report := p.report()
		if err := r.Record(now, samples, report); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(s.cfg.Path)
		if err != nil || info.Size() > bound {
			t.Fatalf("%d bytes, %v", info.Size(), err)
		}
	}
	got := read(t, s, now.Add(time.Minute), history.Request{From: now, Series: []string{"*"}, Queries: true})
	if len(got.Series) != 2 || len(got.Series[0].Points) != 1 || !got.Series[0].Points[0].At.Equal(now) {
		t.Errorf("the last minute is not there: %+v", got.Series)
	}
	if testing.Short() {
		return
	}
	finest := read(t, s, now, history.Request{From: now, Series: []string{"*"}})
	coarsest := read(t, s, now, history.Request{From: noon, Step: time.Hour, Series: []string{"*"}})
	if finest.Step != time.Minute || !finest.Since.After(noon.Add(time.Minute)) || finest.Since.After(now.Add(-time.Hour/2)) || !coarsest.Since.Equal(noon) {
		t.Errorf("from %v each %v, from %v each %v", finest.Since, finest.Step, coarsest.Since, coarsest.Step)
	}
}

// A process that ends without a word loses what it had not recorded, and nothing that
// it had.
func TestRestartLosesTheMinuteThatRuns(t *testing.T) {
	t.Parallel()
	s := newStore(t, 8<<20)
	recorded := int64(0)
	now := noon
	for life := range 5 {
		p, r := newProgram(uint64(life), now), NewRecorder(s, fmt.Sprintf("v%d", life/2))
		for range 10 {
			now = now.Add(time.Minute)
			p.work(3)
			samples, report := p.report()
			if err := r.Record(now, samples, report); err != nil {
				t.Fatal(err)
			}
		}
		for _, q := range p.rows {
			recorded += q.Calls
		}
		p.work(3) // is never recorded
	}
	got := read(t, s, now.Add(time.Minute), history.Request{Queries: true})
	sum := int64(0)
	for _, q := range got.Queries.Queries {
		sum += q.Calls
	}
	if sum != recorded {
		t.Errorf("%d calls, recorded were %d", sum, recorded)
	}
	if len(got.Releases) != 3 {
		t.Errorf("releases %v, want 3", got.Releases)
	}
}

// A row that makes place for another one, is reset or comes back is counted once.
func TestReplacedRowsCountOnce(t *testing.T) {
	t.Parallel()
	s := newStore(t, 8<<20)
	r := NewRecorder(s, "")
	of := func(id string, calls int64) queries.Query {
		q := empty(id)
		q.Statement, q.Calls = "SELECT "+id, calls
		for range calls {
			q.Duration.Add(time.Millisecond)
		}
		return q
	}
	for i, report := range []queries.Report{
		{Since: noon, Queries: []queries.Query{of("a", 10), of("b", 5)}, Others: of("", 0)},
		{Since: noon, Queries: []queries.Query{of("a", 12), of("c", 1)}, Others: of("", 7)},                      // b went with 7
		{Since: noon, Queries: []queries.Query{of("a", 12), of("b", 2)}, Others: of("", 8)},                      // c went, b is back
		{Since: noon.Add(time.Hour), Queries: []queries.Query{of("a", 12), of("b", 1)}, Others: of("", 3)},       // reset
		{Since: noon.Add(time.Hour), Queries: []queries.Query{of("a", 12), of("b", 1)}, Others: of("", 3)},       // nothing
		{Since: noon.Add(time.Hour), Queries: []queries.Query{of("a", 13), of("b", 1)}, Others: queries.Query{}}, // without others
	} {
		if err := r.Record(noon.Add(time.Duration(i)*time.Minute), nil, report); err != nil {
			t.Fatal(err)
		}
	}
	got := read(t, s, noon.Add(time.Hour), history.Request{Queries: true}).Queries
	calls := map[string]int64{"": got.Others.Calls}
	for _, q := range got.Queries {
		calls[q.ID] = q.Calls
		if int64(q.Duration.Count()) != q.Calls {
			t.Errorf("%s: %d durations of %d calls", q.ID, q.Duration.Count(), q.Calls)
		}
	}
	// Of the others are 2 of b that were not recorded under its name, and 3 after the reset.
	for id, want := range map[string]int64{"a": 25, "b": 8, "c": 1, "": 5} {
		if calls[id] != want {
			t.Errorf("%q has %d calls, want %d", id, calls[id], want)
		}
	}
}

// What can't be written is written later, and what can't be read is put aside.
func TestBrokenFiles(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"no database": "this is no database, and long enough to be seen as none", "empty": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, p := newStore(t, 1<<20), newProgram(3, noon)
			if err := os.WriteFile(s.cfg.Path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			p.work(2)
			samples, report := p.report()
			if err := NewRecorder(s, "").Record(noon, samples, report); err != nil {
				t.Fatal(err)
			}
			aside, err := os.ReadFile(s.cfg.Path + ".damaged")
			if text != "" && string(aside) != text || text == "" && !errors.Is(err, os.ErrNotExist) {
				t.Errorf("aside is %q, %v", aside, err)
			}
			if got := read(t, s, noon.Add(time.Minute), history.Request{Queries: true}); len(got.Queries.Queries) != 2 {
				t.Errorf("%d queries", len(got.Queries.Queries))
			}
		})
	}
	t.Run("no directory", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		s := New(Config{Path: filepath.Join(dir, "sub", "x"), Bytes: 1 << 20})
		r, p := NewRecorder(s, ""), newProgram(4, noon)
		for i := range 3 {
			p.work(2)
			samples, report := p.report()
			if err := r.Record(noon.Add(time.Duration(i)*time.Minute), samples, report); (err == nil) != (i == 2) {
				t.Fatalf("round %d: %v", i, err)
			}
			if i == 1 {
				if err := os.Mkdir(filepath.Dir(s.cfg.Path), 0o700); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, q := range read(t, s, noon.Add(time.Hour), history.Request{Queries: true}).Queries.Queries {
			same(t, &q, p.rows[q.ID])
		}
	})
	t.Run("another version", func(t *testing.T) {
		t.Parallel()
		s := newStore(t, 1<<20)
		if err := s.Add(noon, Minute{Samples: []Sample{{"a", history.Gauge, 1}}}); err != nil {
			t.Fatal(err)
		}
		if err := s.write(func(c *sqlite.Conn) error { return c.Exec("PRAGMA user_version = 2") }); err != nil {
			t.Fatal(err)
		}
		if err := s.Add(noon, Minute{}); !errors.Is(err, ErrVersion) {
			t.Errorf("write: %v", err)
		}
		if _, err := s.Read(t.Context(), noon, history.Request{}); !errors.Is(err, ErrVersion) {
			t.Errorf("read: %v", err)
		}
		if err := s.rewind(); err != nil {
			t.Fatal(err)
		}
	})
}

// rewind makes the file one of this version again, so that its check at the end runs.
func (s *Store) rewind() error {
	c, err := sqlite.Open(s.cfg.Path, sqlite.OpenReadWrite)
	if err != nil {
		return err
	}
	return errors.Join(c.Exec("PRAGMA user_version = 1"), c.Close())
}

// Several processes add to the same buckets, each with a Store of its own.
func TestProcessesAddUp(t *testing.T) {
	t.Parallel()
	first := newStore(t, 8<<20)
	var all sync.WaitGroup
	programs := make([]*program, 4)
	for i := range programs {
		programs[i] = newProgram(uint64(i), noon)
		all.Go(func() {
			r := NewRecorder(New(first.cfg), "")
			for minute := range 10 {
				programs[i].work(3)
				samples, report := programs[i].report()
				for {
					err := r.Record(noon.Add(time.Duration(minute)*time.Minute), samples, report)
					if err == nil {
						break
					}
					// The others may take longer than one waits. Then nothing of it is
					// there, and the next attempt has it all.
					if e := (*sqlite.Error)(nil); !errors.As(err, &e) || e.Code.Primary() != sqlite.ResultBusy {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	all.Wait()
	got := read(t, first, noon.Add(time.Hour), history.Request{Queries: true, Series: []string{"writer.groups"}})
	groups, want := 0.0, 0.0
	for _, p := range got.Series[0].Points {
		groups += p.Sum
	}
	for _, p := range programs {
		want += p.groups
	}
	if groups != want {
		t.Errorf("%v groups, want %v", groups, want)
	}
	for _, q := range got.Queries.Queries {
		calls := int64(0)
		for _, p := range programs {
			calls += p.rows[q.ID].Calls
		}
		if q.Calls != calls {
			t.Errorf("%s has %d calls, want %d", q.ID, q.Calls, calls)
		}
	}
}

func TestNothingIsEmpty(t *testing.T) {
	t.Parallel()
	s := newStore(t, 1<<20)
	got := read(t, s, noon, history.Request{Series: []string{"*"}, Queries: true})
	if len(got.Series) != 0 || len(got.Queries.Queries) != 0 {
		t.Errorf("%+v", got)
	}
	if _, err := os.Stat(s.cfg.Path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("reading made the file: %v", err)
	}
	if err := s.Add(noon, Minute{Samples: []Sample{{"a", history.Gauge, 1}}}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Read(ctx, noon, history.Request{}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
