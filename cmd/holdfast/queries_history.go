package main

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/exitcode"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/output"
	"github.com/holdfastdb/holdfast/history"
	"github.com/holdfastdb/holdfast/queries"
)

// historyFlags say which part of the history is asked for.
type historyFlags struct {
	since   string
	compare string
	series  []string
	step    time.Duration
}

func (f *historyFlags) any() bool { return f.since != "" || f.compare != "" || len(f.series) > 0 }

// comparisons are the values of --compare.
var comparisons = []string{"previous", "week", "release"}

func (f *historyFlags) check(reset bool) error {
	switch {
	case f.any() && reset:
		return exitcode.Usagef("--reset is about what programs count now; the history stays")
	case f.compare != "" && !slices.Contains(comparisons, f.compare):
		return exitcode.Usagef("--compare %q: it is one of %s", f.compare, strings.Join(comparisons, ", "))
	case f.compare == "release" && f.since != "" && f.since != "release":
		return exitcode.Usagef("--compare release begins at the release: leave --since out")
	case f.step != 0 && (len(f.series) == 0 || f.compare != ""):
		return exitcode.Usagef("--step is for --series without --compare")
	case f.step < 0:
		return exitcode.Usagef("--step is a length of time: 1m, 10m, 1h")
	}
	return nil
}

// historyAnswer is what queries --json adds with --since, --compare or --series.
type historyAnswer struct {
	From     time.Time         `json:"from"`
	To       time.Time         `json:"to"`
	Step     float64           `json:"step_seconds"`
	Since    time.Time         `json:"kept_since"` // the oldest at this step
	Releases []history.Release `json:"releases"`
	Series   []history.Series  `json:"series"`
	Compared *comparedAnswer   `json:"compared,omitempty"`
}

type comparedAnswer struct {
	With  string    `json:"with"`
	From  time.Time `json:"from"`
	To    time.Time `json:"to"`
	Empty bool      `json:"empty"` // nothing is on record of that time
	history.Comparison
	Known int `json:"-"` // before the limit
}

// stretch is a time, half open.
type stretch struct{ from, to time.Time }

func (s stretch) moved(by time.Duration) stretch { return stretch{s.from.Add(by), s.to.Add(by)} }

// stretches are the time that is asked for, and the one that it is compared with.
func (f *historyFlags) stretches(now time.Time, releases []history.Release) (asked, before stretch, err error) {
	text := cmp.Or(f.since, "24h")
	if f.compare == "release" {
		text = "release"
	}
	asked = stretch{to: now}
	if asked.from, err = begin(text, now, releases); err != nil {
		return asked, before, err
	}
	if f.compare == "week" {
		return asked, asked.moved(-7 * 24 * time.Hour), nil
	}
	return asked, asked.moved(asked.from.Sub(asked.to)), nil
}

// begin reads the value of --since.
func begin(text string, now time.Time, releases []history.Release) (time.Time, error) {
	if text == "release" {
		if len(releases) == 0 {
			return time.Time{}, exitcode.With(exitcode.Unavailable, fmt.Errorf("no build of a program is on record: builds with a version are (go build in a repository, go install path@version), and those that set telemetry.release; name a time with --since"))
		}
		return releases[len(releases)-1].At, nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil && at.Before(now) {
		return at, nil
	}
	ago, err := time.ParseDuration(text)
	if days, isDays := strings.CutSuffix(text, "d"); isDays {
		var n float64
		n, err = strconv.ParseFloat(days, 64)
		ago = time.Duration(n * 24 * float64(time.Hour))
	}
	if err != nil || ago <= 0 {
		return time.Time{}, exitcode.Usagef("--since %q: say how long ago (24h, 7d), since when (2026-11-27T08:00:00Z), or release", text)
	}
	return now.Add(-ago), nil
}

// readHistory answers from what was recorded.
func readHistory(ctx context.Context, path string, by queries.Order, limit int, f *historyFlags) (*queriesAnswer, error) {
	all, err := holdfast.ReadHistory(ctx, path, history.Request{})
	if err != nil {
		return nil, err
	}
	if all.Since.IsZero() {
		return nil, exitcode.With(exitcode.Unavailable, fmt.Errorf("%s: there is no history: programs that run Holdfast write it, each minute from their first one on, unless telemetry.history is false; \"holdfast queries\" without --since, --compare and --series asks those that run", path))
	}
	now := time.Now()
	asked, before, err := f.stretches(now, all.Releases)
	if err != nil {
		return nil, err
	}
	q := history.Request{From: asked.from, To: asked.to, Series: f.series, Queries: len(f.series) == 0, Step: f.step}
	if len(f.series) > 0 && f.step == 0 && f.compare == "" {
		q.Step = stepFor(asked)
	}
	old := history.Report{}
	if f.compare != "" {
		if old, err = readBefore(ctx, path, &q, before); err != nil {
			return nil, err
		}
	}
	r, err := holdfast.ReadHistory(ctx, path, q)
	if err != nil {
		return nil, err
	}
	answer := &queriesAnswer{
		Schema: "holdfast.queries/v1", Database: path, Sort: string(by), Report: r.Queries, Known: len(r.Queries.Queries),
		Processes: []holdfast.ProcessQueries{}, Blind: []string{},
		History: &historyAnswer{From: r.From, To: r.To, Step: r.Step.Seconds(), Since: r.Since, Releases: r.Releases, Series: r.Series},
	}
	answer.Queries = answer.Top(by, limit)
	if f.compare != "" {
		c := &comparedAnswer{With: f.compare, From: old.From, To: old.To, Empty: !old.From.Before(old.To), Comparison: history.Compare(old, r)}
		c.Known = len(c.Queries)
		if limit > 0 {
			c.Queries = c.Queries[:min(limit, len(c.Queries))]
		}
		answer.History.Compared = c
	}
	return answer, nil
}

// readBefore reads the older stretch, and sets both to begin and end where buckets do: or
// the one where they meet would count in both.
func readBefore(ctx context.Context, path string, q *history.Request, before stretch) (history.Report, error) {
	old := *q
	old.From, old.To = before.from, before.to
	r, err := holdfast.ReadHistory(ctx, path, old)
	if err != nil {
		return r, err
	}
	q.Step, q.From = r.Step, q.From.Truncate(r.Step)
	old.Step, old.From, old.To = r.Step, before.from.Truncate(r.Step), before.to.Truncate(r.Step)
	return holdfast.ReadHistory(ctx, path, old)
}

// stepFor is a step of which a table has few enough.
func stepFor(s stretch) time.Duration {
	levels := history.Levels()
	for _, l := range levels {
		if s.to.Sub(s.from)/l.Step <= 60 {
			return l.Step
		}
	}
	return levels[len(levels)-1].Step
}

// queriesBefore is "holdfast queries" with --since, --compare or --series.
func (a *app) queriesBefore(ctx context.Context, path string, by queries.Order, limit int, reset bool, f *historyFlags) error {
	if err := f.check(reset); err != nil {
		return err
	}
	if _, err := os.Stat(path); err != nil && !strings.HasPrefix(path, "file:") {
		return err
	}
	answer, err := readHistory(ctx, path, by, limit, f)
	if err != nil {
		return err
	}
	return a.printHistory(answer, len(f.series) > 0)
}

func (a *app) printHistory(answer *queriesAnswer, asSeries bool) error {
	h := answer.History
	grid := queriesGrid(answer)
	var lines []string
	switch {
	case h.Compared != nil && asSeries:
		grid = changedSeriesGrid(h.Compared.Series)
	case h.Compared != nil:
		grid = changesGrid(h.Compared.Queries)
		lines = append(lines, fmt.Sprintf("%d of %d statements, what takes longer than before first", len(h.Compared.Queries), h.Compared.Known))
	case asSeries:
		grid = seriesGrid(h.Series)
	default:
		lines = append(lines, fmt.Sprintf("%d of %d statements, by %s", len(answer.Queries), answer.Known, answer.Sort))
	}
	if a.format.Structured() {
		return a.printer().Document(answer, grid)
	}
	if err := a.printer().Result(grid); err != nil || a.format != output.Table {
		return err
	}
	lines = append(lines, fmt.Sprintf("from %s to %s, in steps of %s", clock(h.From), clock(h.To), time.Duration(h.Step*float64(time.Second))))
	if c := h.Compared; c != nil && c.Empty {
		lines = append(lines, "nothing is on record of the time before")
	} else if c != nil {
		lines = append(lines, fmt.Sprintf("before: from %s to %s (%s)", clock(c.From), clock(c.To), c.With))
	}
	for _, r := range h.Releases {
		lines = append(lines, fmt.Sprintf("%s first seen %s", r.Name, clock(r.At)))
	}
	for _, line := range lines {
		if _, err := a.out.WriteString(output.Visible(line) + "\n"); err != nil {
			return &output.WriteError{Err: err}
		}
	}
	return nil
}

func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04Z") }

func changesGrid(changes []history.QueryChange) *output.Result {
	var rows [][]any
	for _, c := range changes {
		marks := ""
		switch {
		case c.Before.Calls == 0:
			marks = "N"
		case c.Now.Calls == 0:
			marks = "G"
		}
		if c.PlanChanged {
			marks += "P"
		}
		both := func(of func(history.Cost) string) string { return of(c.Before) + " > " + of(c.Now) }
		rows = append(rows, []any{
			signedTime(c.AddedSeconds), both(func(c history.Cost) string { return strconv.FormatInt(c.Calls, 10) }),
			both(func(c history.Cost) string { return shortTime(c.MeanSeconds) }), fmt.Sprintf("%.3g", c.MeanFactor),
			both(func(c history.Cost) string { return shortTime(c.P95Seconds) }), both(func(c history.Cost) string { return shortTime(c.P99Seconds) }),
			both(func(c history.Cost) string { return fmt.Sprintf("%.3g", c.Rows) }),
			both(func(c history.Cost) string { return strconv.FormatInt(c.Errors, 10) }), marks, c.Statement,
		})
	}
	return output.Grid(rows, "added", "calls", "mean", "x", "p95", "p99", "rows", "errors", "!", "statement")
}

func signedTime(seconds float64) string {
	if seconds < 0 {
		return "-" + shortTime(-seconds)
	}
	return shortTime(seconds)
}

func changedSeriesGrid(changes []history.SeriesChange) *output.Result {
	var rows [][]any
	for _, c := range changes {
		rows = append(rows, []any{c.Name, string(c.Kind), figure(c.Before), figure(c.Now), fmt.Sprintf("%.3g", c.Factor)})
	}
	return output.Grid(rows, "series", "kind", "before", "now", "x")
}

// seriesGrid has the sums of counters only: that of a gauge says nothing.
func seriesGrid(series []history.Series) *output.Result {
	var rows [][]any
	for _, s := range series {
		for _, p := range s.Points {
			sum := ""
			if s.Kind == history.Counter {
				sum = figure(p.Sum)
			}
			rows = append(rows, []any{clock(p.At), s.Name, figure(p.Mean()), figure(p.Most), sum})
		}
	}
	return output.Grid(rows, "at", "series", "mean", "most", "sum")
}

// figure is a number in four digits, or all of what is above 100: sizes are compared.
func figure(v float64) string {
	if math.Abs(v) >= 100 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return fmt.Sprintf("%.4g", v)
}
