package dash

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/history"
	"github.com/holdfastdb/holdfast/plan"
	"github.com/holdfastdb/holdfast/queries"
)

func queryPage() page {
	return page{
		id: "query", params: []string{"range", "id"}, detail: true,
		view: func(ctx context.Context, v *visit) (any, error) { return v.query(ctx) },
	}
}

// queryView is one statement. Parameters of its calls are not in it.
type queryView struct {
	queryRow
	Range      string             `json:"range"`
	Since      time.Time          `json:"since"` // of what was counted by this process; zero if it has not run it
	At         time.Time          `json:"at"`
	Attempts   int64              `json:"attempts"`
	Effort     queries.Effort     `json:"effort"`
	P50        float64            `json:"p50_seconds"`
	Max        float64            `json:"max_seconds"`
	FirstSeen  time.Time          `json:"first_seen,omitzero"`
	LastSeen   time.Time          `json:"last_seen,omitzero"`
	Errors     []errorCount       `json:"errors"`
	CallSites  []queries.CallSite `json:"call_sites"`
	OtherSites int64              `json:"other_sites"`
	Plan       planView           `json:"plan"`
	Heat       heat               `json:"heatmap"`
}

type errorCount struct {
	Name  string `json:"name"`
	Calls int64  `json:"calls"`
}

// planView is how SQLite runs the statement.
type planView struct {
	Steps    []planStep   `json:"steps"` // a tree
	Sentence string       `json:"sentence"`
	Source   string       `json:"source"` // "now", "seen" when it was looked at last, or "none"
	Why      string       `json:"why"`    // Source is not "now"
	Changes  int64        `json:"changes"`
	Since    time.Time    `json:"since,omitzero"`
	Past     []planChange `json:"past"` // in the history, the newest first
}

type planStep struct {
	Detail    string     `json:"detail"` // SQLite's own words
	Sentence  string     `json:"sentence"`
	Attention string     `json:"attention"` // "", "note" or "warning"
	Remark    string     `json:"remark"`
	Steps     []planStep `json:"steps"`
}

// planChange is when a plan was seen first after another one.
type planChange struct {
	At   time.Time `json:"at"`
	Plan string    `json:"plan"` // its hash
	Mean float64   `json:"mean_seconds"`
}

// heat is how many calls took how long, in the course of time.
type heat struct {
	Step   float64     `json:"step_seconds"`
	Times  []time.Time `json:"times"`  // the beginnings of columns
	Bounds []float64   `json:"bounds"` // seconds, the upper ends of rows
	Counts [][]float64 `json:"counts"` // by column and row
}

// heatLeast is the shortest stretch that the heatmap shows: the history has whole minutes.
const heatLeast = time.Hour

func (v *visit) query(ctx context.Context) (*queryView, error) {
	id := v.params.Get("id")
	report, _ := v.watch.queries() // without, the history may know it
	q, whole := queries.Query{ID: id}, report.Others.TotalSeconds
	for i := range report.Queries {
		whole += report.Queries[i].TotalSeconds
		if report.Queries[i].ID == id {
			q = report.Queries[i]
		}
	}
	name, length := v.stretch()
	course, err := v.courseOf(ctx, id, max(length, heatLeast))
	if err != nil {
		return nil, err
	}
	if q.Statement == "" {
		for _, m := range course.Course {
			q.Statement, q.Writes = m.Query.Statement, m.Query.Writes
		}
	}
	if q.Statement == "" {
		return nil, fmt.Errorf("no statement with the id %q was counted: %w", id, errNotFound)
	}
	w := &queryView{
		queryRow: rowOf(&q, whole, history.QueryChange{}, false), Range: name, At: report.At, Attempts: q.Attempts, Effort: q.Effort,
		P50: q.P50Seconds, Max: q.MaxSeconds, FirstSeen: q.FirstSeen, LastSeen: q.LastSeen, Errors: []errorCount{},
		CallSites: append([]queries.CallSite{}, q.CallSites...), OtherSites: q.OtherSites, Heat: heatOf(course),
	}
	if q.Calls > 0 {
		w.Since = report.Since
	}
	for _, name := range slices.Sorted(maps.Keys(q.Errors)) {
		w.Errors = append(w.Errors, errorCount{name, q.Errors[name]})
	}
	w.Plan = v.planOf(ctx, &q, course)
	return w, nil
}

// courseOf is what the history has of one statement. A database in memory has none.
func (v *visit) courseOf(ctx context.Context, id string, length time.Duration) (history.Report, error) {
	if v.db.Path() == "" {
		return history.Report{}, nil
	}
	return v.watch.course(ctx, v.db, history.Request{From: v.now.Add(-length), To: v.now, Step: length / 60, Query: id}, v.now)
}

func (v *visit) planOf(ctx context.Context, q *queries.Query, course history.Report) planView {
	p := planView{Steps: []planStep{}, Changes: q.Plan.Changes, Since: q.Plan.Since, Past: []planChange{}, Source: "now"}
	lang := plan.LanguageOf(v.text.lang)
	x, err := v.db.Explain(ctx, q.Statement)
	found := &x.Plan
	if err != nil {
		p.Why, p.Source = err.Error(), "none"
		if len(q.Plan.Lines) > 0 {
			p.Source, found = "seen", plan.Parse(rowsOf(q.Plan.Lines))
		}
	}
	if p.Source != "none" {
		p.Sentence, p.Steps = found.Sentence(lang), steps(found.Steps, lang)
	}
	last := ""
	for _, m := range course.Course {
		if hash := m.Query.Plan.Hash; hash != "" && hash != last {
			p.Past = append(p.Past, planChange{m.At.UTC(), hash, m.Query.MeanSeconds})
			last = hash
		}
	}
	slices.Reverse(p.Past)
	return p
}

// rowsOf makes rows of a plan's indented lines.
func rowsOf(lines []string) []plan.Row {
	var rows []plan.Row
	var above []int // indents of the lines that this one may be below
	var ids []int
	for i, line := range lines {
		text := strings.TrimLeft(line, " ")
		indent := len(line) - len(text)
		for len(above) > 0 && above[len(above)-1] >= indent {
			above, ids = above[:len(above)-1], ids[:len(ids)-1]
		}
		parent := 0
		if len(ids) > 0 {
			parent = ids[len(ids)-1]
		}
		rows = append(rows, plan.Row{ID: i + 1, Parent: parent, Detail: text})
		above, ids = append(above, indent), append(ids, i+1)
	}
	return rows
}

func steps(all []*plan.Step, lang plan.Language) []planStep {
	list := []planStep{}
	for _, s := range all {
		attention, remark := s.Remark(lang)
		list = append(list, planStep{s.Detail, s.Sentence(lang), string(attention), remark, steps(s.Steps, lang)})
	}
	return list
}

// heatOf counts calls in rows of powers of two, where there are any.
func heatOf(r history.Report) heat {
	h := heat{Step: r.Step.Seconds(), Times: []time.Time{}, Bounds: []float64{}, Counts: [][]float64{}}
	lowest, highest := math.MaxInt, math.MinInt
	octave := func(bucket int) int { return bucket >> queries.Scale }
	for _, m := range r.Course {
		for b := range m.Query.Duration.Buckets() {
			lowest, highest = min(lowest, octave(b)), max(highest, octave(b))
		}
	}
	for o := lowest; o <= highest; o++ {
		h.Bounds = append(h.Bounds, math.Exp2(float64(o+1)))
	}
	for _, m := range r.Course {
		column := make([]float64, len(h.Bounds))
		for b, n := range m.Query.Duration.Buckets() {
			column[octave(b)-lowest] += float64(n)
		}
		h.Times, h.Counts = append(h.Times, m.At.UTC()), append(h.Counts, column)
	}
	return h
}
