package history

import (
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/queries"
)

func costing(id, plan string, calls int, each time.Duration) queries.Query {
	q := queries.Query{ID: id, Statement: "SELECT " + id, Calls: int64(calls), Rows: int64(2 * calls), Plan: queries.Plan{Hash: plan}}
	q.Duration, q.Wait = new(queries.Histogram), new(queries.Histogram)
	for range calls {
		q.Duration.Add(each)
	}
	q.Summarize()
	return q
}

func TestCompare(t *testing.T) {
	t.Parallel()
	before := Report{
		Queries: queries.Report{Queries: []queries.Query{
			costing("a", "p", 100, time.Millisecond), costing("b", "p", 100, 2*time.Millisecond), costing("c", "", 10, time.Second), costing("gone", "p", 5, time.Second),
		}},
		Series: []Series{{Name: "x", Kind: Gauge, Points: []Point{{Count: 2, Sum: 4}, {Count: 2, Sum: 12}}}, {Name: "y"}},
	}
	now := Report{
		Queries: queries.Report{Queries: []queries.Query{
			costing("new", "p", 1, 100*time.Millisecond), costing("c", "p", 20, time.Second), costing("b", "p", 100, time.Millisecond), costing("a", "q", 300, 3*time.Millisecond),
		}},
		Series: []Series{{Name: "x", Kind: Gauge, Points: []Point{{Count: 1, Sum: 8}}}, {Name: "z"}},
	}
	got := Compare(before, now)
	want := []struct {
		id      string
		added   float64
		factor  float64
		changed bool
	}{{"a", 0.6, 3, true}, {"new", 0.1, 0, false}, {"c", 0, 1, false}, {"b", -0.1, 0.5, false}, {"gone", -5, 0, false}}
	if len(got.Queries) != len(want) {
		t.Fatalf("%+v", got)
	}
	near := func(a, b float64) bool { return a-b < 1e-9 && b-a < 1e-9 }
	for i, w := range want {
		q := got.Queries[i]
		if q.ID != w.id || !near(q.AddedSeconds, w.added) || !near(q.MeanFactor, w.factor) || q.PlanChanged != w.changed || q.Statement != "SELECT "+w.id {
			t.Errorf("%d: %+v, want %+v", i, q, w)
		}
	}
	if a := got.Queries[0]; a.Before.Calls != 100 || a.Now.Calls != 300 || a.Now.Rows != 2 || a.Now.P99Seconds < 0.0029 || a.Now.P99Seconds > 0.0031 {
		t.Errorf("%+v", a)
	}
	if len(got.Series) != 1 || got.Series[0] != (SeriesChange{"x", Gauge, 4, 8, 2}) {
		t.Errorf("%+v", got.Series)
	}
}

func TestWholeSeries(t *testing.T) {
	t.Parallel()
	s := Series{Points: []Point{{Count: 1, Sum: 3, Least: 3, Most: 3, Last: 3}, {Count: 2, Sum: 6, Least: 1, Most: 5, Last: 1}}}
	if got := s.Whole(); got != (Point{Count: 3, Sum: 9, Least: 1, Most: 5, Last: 1}) {
		t.Errorf("%+v", got)
	}
	if (Series{}).Whole() != (Point{}) {
		t.Error("nothing is something")
	}
}
