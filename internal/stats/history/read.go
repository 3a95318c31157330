package history

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/history"
	"github.com/holdfastdb/holdfast/internal/sqlite"
	"github.com/holdfastdb/holdfast/queries"
)

// Read answers a request. A history that has not begun is empty.
func (s *Store) Read(ctx context.Context, now time.Time, q history.Request) (history.Report, error) {
	if q.To.IsZero() {
		q.To = now
	}
	r := history.Report{
		From: q.From, To: q.To, Series: []history.Series{}, Course: []history.Moment{}, Releases: []history.Release{},
		Queries: queries.Report{Since: q.From, At: q.To, Queries: []queries.Query{}},
	}
	err := s.read(ctx, func(c *sqlite.Conn) error {
		first, err := firsts(c)
		if err != nil {
			return err
		}
		at := choose(first, q)
		r.Step, r.Since = at.Step, first[at.number]
		r.From = r.From.UTC()
		if r.From.Before(r.Since) {
			r.From = r.Since
		}
		reading := reading{c: c, step: at, from: at.bucket(r.From), to: q.To.Unix(), report: &r}
		return errors.Join(reading.series(q.Series), reading.costs(q), reading.releases())
	})
	return r, err
}

// firsts are the oldest buckets that are there, by resolution; zero where none is.
func firsts(c *sqlite.Conn) (all []time.Time, err error) {
	for _, s := range steps() {
		var first time.Time
		err := run(c, "SELECT min(at) FROM (SELECT min(at) AS at FROM point WHERE level = ?1 UNION ALL SELECT min(at) FROM cost WHERE level = ?1)", func(row *sqlite.Stmt) error {
			if row.ColumnType(0) != sqlite.TypeNull {
				first = timeOf(row.ColumnInt64(0))
			}
			return nil
		}, s.number)
		if err != nil {
			return nil, err
		}
		all = append(all, first)
	}
	return all, nil
}

// choose returns the finest resolution that is no finer than asked for and has all of
// the stretch, as far as there is anything at all. The oldest bucket of the coarsest
// began before the first minute did that is in it: there, that is near enough.
func choose(first []time.Time, q history.Request) step {
	all := steps()
	coarsest := all[len(all)-1]
	begin, oldest := q.From, first[coarsest.number]
	if begin.Before(oldest.Add(coarsest.Step)) {
		begin = oldest.Add(coarsest.Step)
	}
	for _, s := range all {
		if s.Step >= q.Step && !first[s.number].IsZero() && !first[s.number].After(begin) {
			return s
		}
	}
	return coarsest
}

// reading is one answer in the making.
type reading struct {
	c        *sqlite.Conn
	step     step
	from, to int64
	report   *history.Report
}

// series reads the points of the series that are asked for.
func (r reading) series(names []string) error {
	if len(names) == 0 {
		return nil
	}
	at := map[int64]int{}
	err := run(r.c, "SELECT id, name, kind FROM series ORDER BY name", func(row *sqlite.Stmt) error {
		name := row.ColumnText(1)
		if slices.ContainsFunc(names, func(asked string) bool { return matches(asked, name) }) {
			at[row.ColumnInt64(0)] = len(r.report.Series)
			r.report.Series = append(r.report.Series, history.Series{Name: name, Kind: history.Kind(row.ColumnText(2)), Points: []history.Point{}})
		}
		return nil
	})
	if err != nil {
		return err
	}
	return run(r.c, "SELECT series, at, count, total, least, most, last FROM point WHERE level = ?1 AND at >= ?2 AND at < ?3 ORDER BY at", func(row *sqlite.Stmt) error {
		if i, asked := at[row.ColumnInt64(0)]; asked {
			s := &r.report.Series[i]
			s.Points = append(s.Points, history.Point{
				At: timeOf(row.ColumnInt64(1)), Count: row.ColumnInt64(2), Sum: row.ColumnFloat(3),
				Least: row.ColumnFloat(4), Most: row.ColumnFloat(5), Last: row.ColumnFloat(6),
			})
		}
		return nil
	}, r.step.number, r.from, r.to)
}

func matches(asked, name string) bool {
	begin, some := strings.CutSuffix(asked, "*")
	return some && strings.HasPrefix(name, begin) || asked == name
}

// costs reads what statements have cost.
func (r reading) costs(q history.Request) error {
	if !q.Queries && q.Query == "" {
		return nil
	}
	sum := map[string]*queries.Report{}
	err := run(r.c, "SELECT shape, statement, writes, at, "+costs+" FROM cost JOIN query ON query.id = cost.query WHERE level = ?1 AND at >= ?2 AND at < ?3 ORDER BY at", func(row *sqlite.Stmt) error {
		shape := row.ColumnText(0)
		if !q.Queries && shape != q.Query {
			return nil
		}
		at := timeOf(row.ColumnInt64(3))
		one := queries.Query{ID: shape, Statement: row.ColumnText(1), Writes: row.ColumnInt64(2) != 0, FirstSeen: at, LastSeen: at.Add(r.step.Step)}
		if err := scanCost(row, 4, &one); err != nil {
			return err
		}
		if shape == q.Query && q.Query != "" {
			r.report.Course = append(r.report.Course, history.Moment{At: at, Query: one})
		}
		if !q.Queries {
			return nil
		}
		merged := queries.Report{Queries: []queries.Query{one}}
		if before := sum[shape]; before != nil {
			merged = queries.Merge(*before, merged)
		}
		sum[shape] = &merged
		return nil
	}, r.step.number, r.from, r.to)
	r.report.Queries.Others = known(empty(""))
	for shape, one := range sum {
		if shape == "" {
			r.report.Queries.Others = known(one.Queries[0])
			continue
		}
		r.report.Queries.Queries = append(r.report.Queries.Queries, known(one.Queries[0]))
	}
	r.report.Queries.Since = r.report.From
	r.report.Queries.Sort(queries.ByTime)
	return err
}

// known has lists where there is nothing on record, as the queries of a program that
// counts: whoever reads JSON may count on them.
func known(q queries.Query) queries.Query {
	if q.Errors == nil {
		q.Errors = map[string]int64{}
	}
	q.CallSites, q.Plan.Lines, q.Samples = []queries.CallSite{}, []string{}, [][]string{}
	return q
}

// scanCost reads the columns of costs, from column i on.
func scanCost(row *sqlite.Stmt, i int, q *queries.Query) error {
	next := func() int64 { i++; return row.ColumnInt64(i - 1) }
	q.Calls, q.Attempts = next(), next()
	if err := json.Unmarshal(row.ColumnBlob(i), &q.Errors); err != nil {
		return err
	}
	i++
	q.Rows, q.RowsChanged = next(), next()
	q.VMSteps, q.FullScanSteps, q.Sorts, q.AutoIndexes = next(), next(), next(), next()
	q.PageHits, q.PageMisses, q.BusyWaits = next(), next(), next()
	q.Plan.Hash = row.ColumnText(i)
	q.Duration, q.Wait = new(queries.Histogram), new(queries.Histogram)
	err := errors.Join(q.Duration.UnmarshalBinary(row.ColumnBlob(i+1)), q.Wait.UnmarshalBinary(row.ColumnBlob(i+2)))
	q.Summarize()
	return err
}

// releases reads the builds that were seen.
func (r reading) releases() error {
	return run(r.c, "SELECT at, name FROM release WHERE at < ?2 AND at >= coalesce((SELECT max(at) FROM release WHERE at <= ?1), 0) ORDER BY at", func(row *sqlite.Stmt) error {
		r.report.Releases = append(r.report.Releases, history.Release{At: timeOf(row.ColumnInt64(0)), Name: row.ColumnText(1)})
		return nil
	}, r.from, r.to)
}
