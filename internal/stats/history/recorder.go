package history

import (
	"sync"
	"time"

	"github.com/holdfastdb/holdfast/history"
	"github.com/holdfastdb/holdfast/queries"
)

// Recorder turns what is counted since the beginning into what was added, and gives it to
// a Store. What could not be written stays to be written with the next minute. It is safe for
// concurrent use.
type Recorder struct {
	store   *Store
	release string

	mu       sync.Mutex // guards the rest: what was written last
	counters map[string]float64
	since    time.Time
	rows     map[string]queries.Query
	others   queries.Query
}

// NewRecorder returns a Recorder of a program whose build has this name, which may be
// empty.
func NewRecorder(s *Store, release string) *Recorder {
	r := &Recorder{store: s, release: release}
	r.forget(time.Time{})
	return r
}

// forget begins again where everything is zero.
func (r *Recorder) forget(since time.Time) {
	r.since, r.rows, r.others = since, map[string]queries.Query{}, empty("")
	if r.counters == nil {
		r.counters = map[string]float64{}
	}
}

func empty(id string) queries.Query {
	return queries.Query{ID: id, Times: queries.Times{Duration: new(queries.Histogram), Wait: new(queries.Histogram)}}
}

// Record writes a minute. Counters and the queries of the report are totals; the report is
// the Recorder's from then on.
func (r *Recorder) Record(at time.Time, samples []Sample, report queries.Report) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !report.Since.Equal(r.since) {
		r.forget(report.Since)
	}
	m := Minute{Release: r.release}
	counters := make(map[string]float64, len(samples))
	for _, s := range samples {
		if s.Kind == history.Counter {
			counters[s.Name] = s.Value
			if before := r.counters[s.Name]; s.Value >= before {
				s.Value -= before
			}
		}
		m.Samples = append(m.Samples, s)
	}
	rows, others := r.changes(&m, report)
	if err := r.store.Add(at, m); err != nil {
		return err
	}
	r.counters, r.rows, r.others = counters, rows, others
	return nil
}

// changes puts into m what queries have cost since the last minute, and returns what to
// compare with the next time.
func (r *Recorder) changes(m *Minute, report queries.Report) (rows map[string]queries.Query, others queries.Query) {
	rows = make(map[string]queries.Query, len(report.Queries))
	for _, q := range report.Queries {
		rows[q.ID] = q
		before, known := r.rows[q.ID]
		if !known || before.Calls > q.Calls {
			before = empty(q.ID)
		}
		if change := since(q, before); change.Calls > 0 || change.Attempts > 0 {
			m.Queries = append(m.Queries, change)
		}
	}
	// A row that made place for another one has put all of its counts to the others:
	// what of it was written already is not to be written again.
	written := []queries.Report{{Others: r.others}}
	for id, before := range r.rows {
		if now, there := rows[id]; !there || now.Calls < before.Calls {
			written = append(written, queries.Report{Others: before})
		}
	}
	others = report.Others
	if others.Duration == nil || others.Wait == nil {
		others.Times = empty("").Times
	}
	if change := since(others, queries.Merge(written...).Others); change.Calls > 0 {
		change.ID, change.Statement = "", ""
		m.Queries = append(m.Queries, change)
	}
	return rows, others
}

// since is what q has cost after it was like before.
func since(q, before queries.Query) queries.Query {
	d := q
	d.Calls -= before.Calls
	d.Attempts -= before.Attempts
	d.Rows -= before.Rows
	d.RowsChanged -= before.RowsChanged
	d.BusyWaits -= before.BusyWaits
	d.Effort = queries.Effort{
		VMSteps: q.VMSteps - before.VMSteps, FullScanSteps: q.FullScanSteps - before.FullScanSteps, Sorts: q.Sorts - before.Sorts,
		AutoIndexes: q.AutoIndexes - before.AutoIndexes, PageHits: q.PageHits - before.PageHits, PageMisses: q.PageMisses - before.PageMisses,
	}
	d.Errors = map[string]int64{}
	for name, n := range q.Errors {
		if n -= before.Errors[name]; n > 0 {
			d.Errors[name] = n
		}
	}
	d.Duration, d.Wait = q.Duration.Since(before.Duration), q.Wait.Since(before.Wait)
	return d
}
