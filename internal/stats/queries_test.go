package stats

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/queries"
)

func newQueries(bound int) *Queries {
	return NewQueries(QueriesConfig{Bound: bound, Code: func(code int) string { return fmt.Sprint("CODE_", code) }})
}

// A million calls of 200 shapes, each with its own literals: 200 rows, quantiles
// within 2 %, sums exact, no literal anywhere.
func TestMillionCalls(t *testing.T) {
	t.Parallel()
	const shapes, goroutines = 200, 8
	calls := 1_000_000
	if testing.Short() {
		calls /= 10
	}
	each := calls / shapes / goroutines
	table := newQueries(500)
	var exact [shapes][goroutines][]time.Duration
	var all sync.WaitGroup
	for g := range goroutines {
		all.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 1))
			for s := range shapes {
				var row *Query
				for i := range each {
					if i%100 == 0 { // as a program that writes values into its texts
						row = table.Of(fmt.Sprintf("SELECT c%d FROM t WHERE a = 'canary%d' AND b IN (%d, %d)", s, i, i, g), false, true)
					}
					c := Call{Took: time.Duration(math.Exp(r.NormFloat64()+float64(9+s%7))) + 300, Rows: 2, Attempts: 1, Effort: queries.Effort{VMSteps: int64(s + 1), PageHits: 3}}
					c.Ended = c.Took
					row.Count(&c)
					exact[s][g] = append(exact[s][g], c.Took)
				}
			}
		})
	}
	all.Wait()
	report := table.Report()
	if len(report.Queries) != shapes || report.Others.Calls != 0 || report.Replaced != 0 {
		t.Fatalf("%d rows, %d calls of others, %d replaced", len(report.Queries), report.Others.Calls, report.Replaced)
	}
	for _, q := range report.Queries {
		var s int
		if _, err := fmt.Sscanf(q.Statement, "SELECT c%d FROM t WHERE a = ? AND b IN (?)", &s); err != nil {
			t.Fatalf("%s: %v", q.Statement, err)
		}
		took := slices.Concat(exact[s][:]...)
		slices.Sort(took)
		n := int64(len(took))
		if q.Calls != n || q.Rows != 2*n || q.VMSteps != n*int64(s+1) || q.PageHits != 3*n || q.Attempts != n {
			t.Errorf("%s: %+v of %d calls", q.Statement, q, n)
		}
		for part, got := range map[float64]float64{0.5: q.P50Seconds, 0.99: q.P99Seconds, 1: q.MaxSeconds} {
			want := took[int(math.Ceil(part*float64(n)))-1].Seconds()
			if off := math.Abs(got-want) / want; off > 0.02 {
				t.Errorf("%s: quantile %v is %v, exactly %v", q.Statement, part, got, want)
			}
		}
		if strings.Contains(fmt.Sprint(q), "canary") {
			t.Errorf("a literal: %v", q)
		}
	}
}

// Past the bound the rest counts together, rows that are worth little are
// replaced, and no call is lost.
func TestBoundLosesNoTotals(t *testing.T) {
	t.Parallel()
	table := newQueries(20)
	hot := make([]*Query, 10)
	for i := range hot {
		hot[i] = table.Of(fmt.Sprintf("SELECT hot%d", i), false, true)
		hot[i].Count(&Call{Took: time.Second, Attempts: 1})
	}
	calls := int64(len(hot))
	var old []*Query
	for i := range 500 {
		q := table.Of(fmt.Sprintf("SELECT once%d", i), false, true)
		q.Count(&Call{Took: time.Millisecond, Attempts: 1, Code: int32(i%12 + 1)})
		old = append(old, q)
		calls++
	}
	r := table.Report()
	if len(r.Queries) != 20 || r.Replaced != 490 {
		t.Errorf("%d rows, %d replaced", len(r.Queries), r.Replaced)
	}
	for _, q := range r.Queries[:10] {
		if !strings.HasPrefix(q.Statement, "SELECT hot") {
			t.Errorf("%s is among the first", q.Statement)
		}
	}
	// One that is gone comes back when it is worth more than another.
	for range 5000 {
		old[0].Count(&Call{Took: time.Millisecond, Attempts: 1})
		calls++
	}
	// A text is compiled again while its row is gone: both count in one.
	twin := table.Of("SELECT once1", false, true)
	for range 200 {
		old[1].Count(&Call{Took: time.Millisecond, Attempts: 1})
		twin.Count(&Call{Took: time.Millisecond, Attempts: 1})
		calls += 2
	}
	r = table.Report()
	var sum, failed, once0, once1 int64
	names := map[string]bool{}
	for _, q := range append(r.Queries, r.Others) {
		if names[q.Statement] {
			t.Errorf("%q has two rows", q.Statement)
		}
		names[q.Statement] = true
		sum += q.Calls
		failed += q.Failed()
		if int64(q.Duration.Count()) != q.Calls {
			t.Errorf("%s: %d durations of %d calls", q.Statement, q.Duration.Count(), q.Calls)
		}
		switch q.Statement {
		case "SELECT once0":
			once0 = q.Calls
		case "SELECT once1":
			once1 = q.Calls
		}
	}
	if sum != calls || failed != 500 || len(r.Queries) != 20 {
		t.Errorf("%d calls of %d, %d failures of 500, %d rows", sum, calls, failed, len(r.Queries))
	}
	if once0 < 4000 || once1 < 300 {
		t.Errorf("%d and %d calls of those that came back", once0, once1)
	}
	if n := r.Others.Errors["other"]; n == 0 || len(r.Others.Errors) > mostCodes {
		t.Errorf("%v", r.Others.Errors)
	}
}

func TestReset(t *testing.T) {
	t.Parallel()
	table := newQueries(2)
	for i := range 5 {
		table.Of(fmt.Sprint("SELECT c", i), false, true).Count(&Call{Took: 1, Attempts: 1})
	}
	q := table.Of("SELECT c4", false, true)
	q.Note("a.go:1", nil)
	q.Planned(1, []string{"SCAN t"})
	before := time.Now()
	table.Reset()
	if r := table.Report(); len(r.Queries) != 0 || r.Others.Calls != 0 || r.Replaced != 0 || r.Since.Before(before) {
		t.Errorf("%+v", r)
	}
	q.Count(&Call{Took: time.Second, Attempts: 1, Ended: Now()})
	r := table.Report()
	if len(r.Queries) != 1 || r.Queries[0].TotalSeconds != 1 || r.Queries[0].CallSites[0].Site != "a.go:1" || r.Queries[0].Plan.Lines[0] != "SCAN t" {
		t.Errorf("%+v", r.Queries)
	}
}

func TestPlans(t *testing.T) {
	t.Parallel()
	table := newQueries(10)
	a, b := table.Of("SELECT a FROM t", false, true), table.Of("SELECT b FROM t", false, true)
	table.Of("PRAGMA user_version", false, false).Count(&Call{Took: time.Hour})
	table.Of("SELECT never", false, true)
	a.Count(&Call{Took: 1})
	b.Count(&Call{Took: 2})
	if got := table.Unplanned(7, 9); !slices.Equal(got, []*Query{b, a}) {
		t.Errorf("%d are unplanned", len(got))
	}
	a.Planned(7, []string{"SCAN t"})
	b.Planned(7, nil) // it can't be explained
	if got := table.Unplanned(7, 9); len(got) != 0 {
		t.Errorf("%d are unplanned", len(got))
	}
	first := a.told().Plan
	for _, version := range []int64{8, 9} {
		if got := table.Unplanned(version, 1); len(got) != 1 {
			t.Errorf("%d are unplanned in version %d", len(got), version)
		}
	}
	a.Planned(8, []string{"SCAN t"})
	if p := a.told().Plan; p.Changes != 0 || p.Since != first.Since {
		t.Errorf("the same plan is a change: %+v", p)
	}
	a.Planned(9, []string{"SEARCH t USING INDEX i (a=?)"})
	if p := a.told().Plan; p.Changes != 1 || p.Hash == first.Hash || p.Hash == "" {
		t.Errorf("%+v after %+v", p, first)
	}
}

func TestNotesAreBounded(t *testing.T) {
	t.Parallel()
	table := newQueries(1)
	q := table.Of("SELECT ?", false, true)
	q.Count(&Call{})
	for i := range 10_000 {
		q.Note(fmt.Sprint("a.go:", i%6), slices.Repeat([]string{fmt.Sprint(i)}, 20))
	}
	r := table.Report().Queries[0]
	if len(r.CallSites) != queries.MostSites || r.OtherSites != 10_000-4*1667 || r.CallSites[0].Samples < 1600 {
		t.Errorf("%v and %d", r.CallSites, r.OtherSites)
	}
	if len(r.Samples) != mostSamples || len(r.Samples[0]) != mostParameters {
		t.Fatalf("%d samples", len(r.Samples))
	}
	late := 0
	for _, s := range r.Samples {
		if len(s[0]) > 3 {
			late++
		}
	}
	if late == 0 {
		t.Errorf("only early calls are kept: %v", r.Samples)
	}
}

func TestShape(t *testing.T) {
	t.Parallel()
	columns := strings.Repeat("columnname, ", 300)
	a, ida := Shape("SELECT " + columns + " a FROM t WHERE x = 'canary'")
	b, idb := Shape("SELECT " + columns + " b FROM t WHERE x = 'canary'")
	c, idc := Shape("SELECT " + columns + " a FROM t WHERE x = 5 -- canary")
	if a != b || ida == idb || ida != idc || a != c || len(a) > maxShapeText+3 {
		t.Errorf("%x %x %x, %d bytes", ida, idb, idc, len(a))
	}
	one, id1 := Shape("INSERT INTO t(a, b) VALUES (1, 2)")
	many, id2 := Shape("INSERT INTO t(a, b) VALUES (1, 2), ('x', 4),(?,?)")
	if one != "INSERT INTO t(a, b) VALUES (?)" || many != one || id1 != id2 {
		t.Errorf("%q and %q", one, many)
	}
	if _, again := Shape(one + " ;"); again != id1 {
		t.Error("the shape of a shape is another")
	}
	if got := fmt.Sprintf("%016x", id1); got != "a8347187e7aefca2" {
		t.Errorf("the number is %s: other processes, and what was stored, know it as another", got)
	}
}

func TestCountAllocatesNothing(t *testing.T) {
	table := newQueries(10)
	q := table.Of("SELECT 1", false, true)
	c := Call{Took: time.Microsecond, Attempts: 1, Rows: 1}
	q.Count(&c)
	if n := testing.AllocsPerRun(1000, func() { q.Count(&c) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkCount(b *testing.B) {
	table := newQueries(10)
	q := table.Of("SELECT 1", false, true)
	b.Run("alone", func(b *testing.B) {
		c := Call{Took: time.Microsecond, Attempts: 1, Rows: 1}
		for b.Loop() {
			q.Count(&c)
		}
	})
	b.Run("together", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			c := Call{Took: time.Microsecond, Attempts: 1, Rows: 1}
			for pb.Next() {
				q.Count(&c)
			}
		})
	})
}
