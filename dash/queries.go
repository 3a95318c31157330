package dash

import (
	"context"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/history"
	"github.com/holdfastdb/holdfast/queries"
)

func queriesPage() page {
	return page{
		id: "queries", params: []string{"range", "sort", "q", "verb", "only"},
		view: func(ctx context.Context, v *visit) (any, error) { return v.queries(ctx) },
	}
}

// queryList is what the statements have cost.
type queryList struct {
	Range    string     `json:"range"`
	Since    time.Time  `json:"since"`
	At       time.Time  `json:"at"`
	Sort     string     `json:"sort"`
	Query    string     `json:"q"`
	Verb     string     `json:"verb"`
	Only     string     `json:"only"`
	Known    int        `json:"known"`    // statements
	Matching int        `json:"matching"` // of them, by the filter
	Queries  []queryRow `json:"queries"`  // the first of those
	Others   int64      `json:"others"`   // calls of statements that are not counted apart
	Compared bool       `json:"compared"` // with as much time before
	Off      string     `json:"off"`      // why nothing is counted
	Course   *chart     `json:"course,omitempty"`
}

// queryRow is one statement.
type queryRow struct {
	ID        string  `json:"id"`
	Statement string  `json:"statement"`
	Writes    bool    `json:"writes"`
	Load      float64 `json:"load"` // its part of the time of all
	Calls     int64   `json:"calls"`
	Total     float64 `json:"total_seconds"`
	Mean      float64 `json:"mean_seconds"`
	P95       float64 `json:"p95_seconds"`
	P99       float64 `json:"p99_seconds"`
	Rows      float64 `json:"rows_per_call"`
	Wait      float64 `json:"wait_seconds"`
	Busy      int64   `json:"busy_waits"`
	Failed    int64   `json:"failed"`
	Marks     []mark  `json:"marks"`
	Factor    float64 `json:"mean_factor"` // of the mean before; 0 if there is nothing to compare with
	Added     float64 `json:"added_seconds"`
}

// mark is what is worth a look: "errors", "scan", "autoindex", "plan" or "new".
type mark string

const mostRows = 100

// sorts are the orders; added is one of comparisons alone.
func sorts() []string {
	var all []string
	for _, o := range queries.Orders() {
		all = append(all, string(o))
	}
	return append(all, "added")
}

func (v *visit) queries(ctx context.Context) (*queryList, error) {
	l := &queryList{
		Sort: v.choice("sort", sorts()...), Query: v.params.Get("q"), Verb: v.choice("verb", "all", "read", "write"),
		Only: v.choice("only", "all", "errors", "scan", "autoindex", "wait", "plan", "new"), Queries: []queryRow{},
	}
	var length time.Duration
	l.Range, length = v.stretch()
	report, changes, err := v.counted(ctx, l, length)
	if err != nil || l.Off != "" {
		return l, err
	}
	by := map[string]history.QueryChange{}
	for _, c := range changes {
		by[c.ID] = c
	}
	whole := report.Others.TotalSeconds
	for i := range report.Queries {
		whole += report.Queries[i].TotalSeconds
	}
	l.Since, l.At, l.Known, l.Others = report.Since, report.At, len(report.Queries), report.Others.Calls
	rows := report.Queries
	if l.Sort != "added" {
		rows = report.Top(queries.Order(l.Sort), 0)
	}
	for i := range rows {
		change, known := by[rows[i].ID]
		if row := rowOf(&rows[i], whole, change, known); l.matches(row) {
			l.Queries = append(l.Queries, row)
		}
	}
	if l.Sort == "added" {
		slices.SortStableFunc(l.Queries, func(a, b queryRow) int { return int(math.Copysign(1, b.Added-a.Added)) })
	}
	l.Matching = len(l.Queries)
	l.Queries = l.Queries[:min(l.Matching, mostRows)]
	if l.Range != "5m" {
		return l, v.loadCourse(ctx, l, report, length)
	}
	return l, nil
}

// counted is what was counted since the database was opened, or in a stretch of the
// history, then with what differs from the stretch before.
func (v *visit) counted(ctx context.Context, l *queryList, length time.Duration) (queries.Report, []history.QueryChange, error) {
	if l.Range == "5m" {
		r, err := v.watch.queries()
		if err != nil {
			l.Off = err.Error()
		}
		r.Queries = slices.Clone(r.Queries) // it is sorted below
		return r, nil, nil
	}
	v.keep = slowly
	now, err := v.db.History(ctx, history.Request{From: v.now.Add(-length), To: v.now, Queries: true})
	if err != nil {
		return queries.Report{}, nil, err
	}
	before, err := v.db.History(ctx, history.Request{From: v.now.Add(-2 * length), To: v.now.Add(-length), Queries: true})
	if err != nil {
		return queries.Report{}, nil, err
	}
	now.Queries.Since, now.Queries.At = v.now.Add(-length).UTC(), v.now.UTC()
	l.Compared = len(before.Queries.Queries) > 0
	if !l.Compared {
		return now.Queries, nil, nil
	}
	return now.Queries, history.Compare(before, now).Queries, nil
}

func rowOf(q *queries.Query, whole float64, change history.QueryChange, compared bool) queryRow {
	r := queryRow{
		ID: q.ID, Statement: q.Statement, Writes: q.Writes, Calls: q.Calls, Total: q.TotalSeconds, Mean: q.MeanSeconds, P95: q.P95Seconds, P99: q.P99Seconds,
		Wait: q.WaitSeconds, Busy: q.BusyWaits, Failed: q.Failed(), Marks: []mark{},
	}
	if whole > 0 {
		r.Load = q.TotalSeconds / whole
	}
	if q.Calls > 0 {
		r.Rows = float64(q.Rows+q.RowsChanged) / float64(q.Calls)
	}
	if compared {
		r.Factor, r.Added = change.MeanFactor, change.AddedSeconds
	}
	for _, m := range []struct {
		is   bool
		mark mark
	}{
		{r.Failed > 0, "errors"},
		{q.FullScanSteps > 0, "scan"},
		{q.AutoIndexes > 0, "autoindex"},
		{compared && change.PlanChanged || !compared && q.Plan.Changes > 0, "plan"},
		{compared && change.Before.Calls == 0, "new"},
	} {
		if m.is {
			r.Marks = append(r.Marks, m.mark)
		}
	}
	return r
}

func (l *queryList) matches(r queryRow) bool {
	switch {
	case l.Verb == "read" && r.Writes, l.Verb == "write" && !r.Writes:
		return false
	case l.Only == "wait" && r.Wait == 0:
		return false
	case l.Only != "all" && l.Only != "wait" && !slices.Contains(r.Marks, mark(l.Only)):
		return false
	}
	return strings.Contains(strings.ToLower(r.Statement), strings.ToLower(l.Query))
}

// topQueries is how many statements have an area of their own.
const topQueries = 5

// loadCourse adds how much time the statements took that took most, and the rest.
func (v *visit) loadCourse(ctx context.Context, l *queryList, r queries.Report, length time.Duration) error {
	if len(r.Queries) == 0 {
		return nil
	}
	c := chart{ID: "load", Unit: "%", From: v.now.Add(-length).UTC(), To: v.now.UTC(), Kind: "stack", Series: []series{}}
	first, last := int64(math.MaxInt64), int64(0) // of what is recorded; the newest minute is not yet
	var courses []history.Report
	r.Queries = slices.Clone(r.Queries) // which the table sorts otherwise
	top := r.Top(queries.ByTime, topQueries)
	for i := range top {
		h, err := v.db.History(ctx, history.Request{From: c.From, To: c.To, Step: length / 60, Query: top[i].ID})
		if err != nil {
			return err
		}
		courses = append(courses, h)
		for _, m := range h.Course {
			first, last = min(first, m.At.Unix()), max(last, m.At.Unix())
		}
	}
	for i, h := range courses {
		c.Step = h.Step.Seconds()
		s := series{Name: excerpt(top[i].Statement, 48), Key: top[i].ID, Points: []point{}}
		at := map[int64]float64{}
		for _, m := range h.Course {
			at[m.At.Unix()] = m.Query.TotalSeconds / c.Step
		}
		for _, t := range buckets(h) { // a stack wants each line at the same times
			if t.Unix() >= first && t.Unix() <= last {
				s.Points = append(s.Points, point{t, at[t.Unix()]})
			}
		}
		c.Series = append(c.Series, s)
	}
	l.Course = &c
	return nil
}

// excerpt is the beginning of a statement, on one line.
func excerpt(sql string, n int) string {
	words := []rune(strings.Join(strings.Fields(sql), " "))
	if len(words) <= n {
		return string(words)
	}
	return string(words[:n-1]) + "…"
}
