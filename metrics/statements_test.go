package metrics

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/queries"
)

// TestSeriesNeverFall looks 400 times at a program whose favourites change, and which
// gives up rows: what all series told, ended ones included, is all that was
// counted, and no series ever falls.
func TestSeriesNeverFall(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(4, 2))
	newQuery := func(id string) queries.Query {
		return queries.Query{ID: id, Statement: "SELECT * FROM " + id, Times: queries.Times{Duration: new(queries.Histogram), Wait: new(queries.Histogram)}}
	}
	report := queries.Report{Others: newQuery("")}
	for i := range 20 {
		report.Queries = append(report.Queries, newQuery(fmt.Sprint("t", i)))
	}
	s := statements{top: 4}
	shown, changes := map[string]float64{}, 0
	ended, total := 0.0, 0.0
	for look := range 400 {
		for i := range report.Queries {
			q := &report.Queries[i]
			for range r.IntN(5) {
				d := time.Duration(r.Int64N(int64(1 + (look/20+len(q.ID)+int(q.ID[len(q.ID)-1]))%9*1000000)))
				q.Calls++
				q.Duration.Add(d)
				total++
			}
			q.Summarize()
		}
		if look%50 == 49 { // a row is given up
			q := &report.Queries[r.IntN(len(report.Queries))]
			report.Others.Calls += q.Calls
			report.Others.Duration.Merge(q.Duration)
			*q = newQuery(fmt.Sprint("u", look))
		}
		copied := report
		copied.Queries = append([]queries.Query(nil), report.Queries...)
		s.take(&copied)
		now, sum := map[string]float64{}, 0.0
		for _, told := range s.told {
			now[told.id] = told.figures[0]
			sum += told.figures[0]
			if uint64(told.figures[0]) != told.duration.Count() {
				t.Fatalf("look %d: %s has %v calls and %d durations", look, told.id, told.figures[0], told.duration.Count())
			}
			if told.figures[0] < shown[told.id] {
				t.Fatalf("look %d: %q falls from %v to %v", look, told.id, shown[told.id], told.figures[0])
			}
		}
		for id, v := range shown {
			if _, still := now[id]; !still {
				changes++
				ended += v
			}
		}
		if len(now) > 5 || math.Abs(sum+ended-total) > 0.5 {
			t.Fatalf("look %d: %d series of %v and %v, of %v", look, len(now), sum, ended, total)
		}
		shown = now
	}
	if changes < 10 {
		t.Errorf("only %d series have ended", changes)
	}
}
