package history

import (
	"cmp"
	"slices"

	"github.com/holdfastdb/holdfast/queries"
)

// Comparison is what differs between two stretches of time.
type Comparison struct {
	Queries []QueryChange  `json:"queries"` // those that cost more than before first
	Series  []SeriesChange `json:"series"`  // by name
}

// QueryChange is one statement in both.
type QueryChange struct {
	ID        string `json:"id"`
	Statement string `json:"statement"`
	Before    Cost   `json:"before"` // without calls: the statement is new
	Now       Cost   `json:"now"`    // without calls: it is gone

	// AddedSeconds is by how much the calls of now took longer than as many
	// would have before, or less than 0 if they were faster. A new statement
	// has added all of its time, and one that is gone has taken it away.
	AddedSeconds float64 `json:"added_seconds"`
	MeanFactor   float64 `json:"mean_factor"`  // now through before; 0 if either has no calls
	PlanChanged  bool    `json:"plan_changed"` // the last plans that are known of each differ
}

// Cost is what a call of a statement has cost in a stretch of time. Numbers are of a call,
// but for Calls and Errors.
type Cost struct {
	Calls       int64   `json:"calls"`
	Errors      int64   `json:"errors"` // calls that failed
	MeanSeconds float64 `json:"mean_seconds"`
	P95Seconds  float64 `json:"p95_seconds"`
	P99Seconds  float64 `json:"p99_seconds"`
	Rows        float64 `json:"rows"` // returned and changed
	VMSteps     float64 `json:"vm_steps"`
	Plan        string  `json:"plan"` // the hash of the last one; "" if none is known
}

// SeriesChange is one figure in both: of a counter the mean increase in a minute of
// one process, of a gauge the mean.
type SeriesChange struct {
	Name   string  `json:"name"`
	Kind   Kind    `json:"kind"`
	Before float64 `json:"before"`
	Now    float64 `json:"now"`
	Factor float64 `json:"factor"` // now through before; 0 if either is 0
}

// Compare compares two reports: their queries and their series.
func Compare(before, now Report) Comparison {
	c := Comparison{Queries: []QueryChange{}, Series: []SeriesChange{}}
	pairs := map[string]*[2]queries.Query{}
	for i, r := range []Report{before, now} {
		for _, q := range r.Queries.Queries {
			p := pairs[q.ID]
			if p == nil {
				p = new([2]queries.Query)
				pairs[q.ID] = p
			}
			p[i] = q
		}
	}
	for id, p := range pairs {
		c.Queries = append(c.Queries, change(id, &p[0], &p[1]))
	}
	slices.SortFunc(c.Queries, func(a, b QueryChange) int {
		return cmp.Or(cmp.Compare(b.AddedSeconds, a.AddedSeconds), cmp.Compare(a.ID, b.ID))
	})
	for _, s := range now.Series {
		i, known := slices.BinarySearchFunc(before.Series, s.Name, func(s Series, name string) int { return cmp.Compare(s.Name, name) })
		if !known {
			continue
		}
		x := SeriesChange{Name: s.Name, Kind: s.Kind, Before: before.Series[i].Whole().Mean(), Now: s.Whole().Mean()}
		x.Factor = factor(x.Now, x.Before)
		c.Series = append(c.Series, x)
	}
	return c
}

func change(id string, before, now *queries.Query) QueryChange {
	x := QueryChange{ID: id, Statement: cmp.Or(now.Statement, before.Statement), Before: costOf(before), Now: costOf(now)}
	x.MeanFactor = factor(x.Now.MeanSeconds, x.Before.MeanSeconds)
	x.PlanChanged = x.Before.Plan != "" && x.Now.Plan != "" && x.Before.Plan != x.Now.Plan
	if x.Now.Calls > 0 {
		x.AddedSeconds = (x.Now.MeanSeconds - x.Before.MeanSeconds) * float64(x.Now.Calls)
	} else {
		x.AddedSeconds = -before.TotalSeconds
	}
	return x
}

func costOf(q *queries.Query) Cost {
	c := Cost{
		Calls: q.Calls, Errors: q.Failed(), MeanSeconds: q.MeanSeconds, P95Seconds: q.P95Seconds, P99Seconds: q.P99Seconds, Plan: q.Plan.Hash,
	}
	if q.Calls > 0 {
		c.Rows, c.VMSteps = float64(q.Rows+q.RowsChanged)/float64(q.Calls), float64(q.VMSteps)/float64(q.Calls)
	}
	return c
}

func factor(now, before float64) float64 {
	if before == 0 {
		return 0
	}
	return now / before
}

// Whole is all of the series as one point; it is zero if there is none.
func (s Series) Whole() (sum Point) {
	for i, p := range s.Points {
		if i == 0 {
			sum = p
			continue
		}
		sum.Count += p.Count
		sum.Sum += p.Sum
		sum.Least, sum.Most, sum.Last = min(sum.Least, p.Least), max(sum.Most, p.Most), p.Last
	}
	return sum
}
