package history

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/holdfastdb/holdfast/history"
	"github.com/holdfastdb/holdfast/internal/sqlite"
	"github.com/holdfastdb/holdfast/queries"
)

// Sample is one figure: by how much a counter has grown, or what a gauge is.
type Sample struct {
	Name  string
	Kind  history.Kind
	Value float64
}

// Minute is what is added at one moment.
type Minute struct {
	Samples []Sample
	Queries []queries.Query // what they have cost since the last minute; one without ID is all others
	Release string          // the build of the program; "" if it has no name
}

// Add adds a minute to the bucket of at in each resolution, and removes what is older
// than is kept. When the file is as large as it may be, the oldest tenth of a
// resolution makes room. A file that is damaged is put aside, under the same name with
// ".damaged" at its end, and begun anew.
func (s *Store) Add(at time.Time, m Minute) error {
	err := s.write(func(c *sqlite.Conn) error { return s.add(c, at, m) })
	switch sqlite.Code(err).Primary() {
	case sqlite.ResultFull:
		if e := s.write(func(c *sqlite.Conn) error { return prune(c, at, false) }); e != nil {
			return errors.Join(err, e)
		}
	case sqlite.ResultCorrupt, sqlite.ResultNotADB:
		if e := s.putAside(); e != nil {
			return errors.Join(err, e)
		}
	default:
		return err
	}
	return s.write(func(c *sqlite.Conn) error { return s.add(c, at, m) })
}

// putAside renames what can't be read. Other processes that are in the middle of a
// write lose that.
func (s *Store) putAside() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	// The journal first: it would be taken for the new file's.
	aside := s.cfg.Path + ".damaged"
	if err := os.Rename(s.cfg.Path+"-journal", aside+"-journal"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Rename(s.cfg.Path, aside)
}

func (s *Store) add(c *sqlite.Conn, at time.Time, m Minute) error {
	w := writing{c: c, series: map[string]int64{}}
	for _, sample := range m.Samples {
		if err := w.point(at, sample); err != nil {
			return err
		}
	}
	for i := range m.Queries {
		if err := w.cost(at, &m.Queries[i]); err != nil {
			return err
		}
	}
	if m.Release != "" {
		if err := w.release(at, m.Release); err != nil {
			return err
		}
	}
	full, err := nearlyFull(c, s.cfg.Bytes)
	if err != nil {
		return err
	}
	return prune(c, at, !full)
}

// writing is one transaction.
type writing struct {
	c      *sqlite.Conn
	series map[string]int64
}

func (w *writing) point(at time.Time, sample Sample) error {
	id, err := w.lookUp("INSERT INTO series(name, kind) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET kind = excluded.kind RETURNING id", sample.Name, string(sample.Kind))
	if err != nil {
		return err
	}
	const add = `INSERT INTO point VALUES (?1, ?2, ?3, 1, ?4, ?4, ?4, ?4) ON CONFLICT DO UPDATE SET count = count + 1,
		total = total + excluded.total, least = min(least, excluded.least), most = max(most, excluded.most), last = excluded.last`
	for _, s := range steps() {
		if err := run(w.c, add, nil, s.number, s.bucket(at), id, sample.Value); err != nil {
			return err
		}
	}
	return nil
}

// lookUp returns the number of what is inserted if it isn't there.
func (w *writing) lookUp(insert, name string, args ...any) (id int64, err error) {
	if id, known := w.series[name]; known {
		return id, nil
	}
	err = run(w.c, insert, func(s *sqlite.Stmt) error { id = s.ColumnInt64(0); return nil }, append([]any{name}, args...)...)
	w.series[name] = id
	return id, err
}

const costs = "calls, attempts, errors, rows, rows_changed, vm_steps, full_scan_steps, sorts, auto_indexes, page_hits, page_misses, busy_waits, plan, duration, wait"

func (w *writing) cost(at time.Time, q *queries.Query) error {
	var id int64
	err := run(w.c, "INSERT INTO query(shape, statement, writes) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET writes = excluded.writes RETURNING id",
		func(s *sqlite.Stmt) error { id = s.ColumnInt64(0); return nil }, q.ID, q.Statement, q.Writes)
	if err != nil {
		return err
	}
	for _, s := range steps() {
		sum := queries.Report{Queries: []queries.Query{*q}}
		key := []any{s.number, s.bucket(at), id}
		err := run(w.c, "SELECT "+costs+" FROM cost WHERE level = ?1 AND at = ?2 AND query = ?3", func(row *sqlite.Stmt) error {
			was := queries.Query{ID: q.ID}
			err := scanCost(row, 0, &was)
			sum = queries.Merge(queries.Report{Queries: []queries.Query{was}}, sum)
			return err
		}, key...)
		if err != nil {
			return err
		}
		if err := w.put(key, &sum.Queries[0], q.Plan.Hash); err != nil {
			return err
		}
	}
	return nil
}

func (w *writing) put(key []any, q *queries.Query, plan string) error {
	failed, err := json.Marshal(q.Errors)
	if err != nil {
		return err
	}
	duration, err := binary(q.Duration)
	if err != nil {
		return err
	}
	waited, err := binary(q.Wait)
	if err != nil {
		return err
	}
	return run(w.c, "INSERT OR REPLACE INTO cost(level, at, query, "+costs+") VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)", nil,
		append(key, q.Calls, q.Attempts, string(failed), q.Rows, q.RowsChanged, q.VMSteps, q.FullScanSteps, q.Sorts, q.AutoIndexes,
			q.PageHits, q.PageMisses, q.BusyWaits, plan, duration, waited)...)
}

func binary(h *queries.Histogram) ([]byte, error) {
	if h == nil {
		h = new(queries.Histogram)
	}
	return h.MarshalBinary()
}

// release notes a build that differs from the program's one before. Two that run side by
// side are noted once a day, and not each minute in turn.
func (w *writing) release(at time.Time, name string) error {
	return run(w.c, `INSERT OR REPLACE INTO release SELECT ?1, ?2 WHERE ?2 IS NOT
		(SELECT name FROM release WHERE substr(name, 1, instr(name, ' ')) = substr(?2, 1, instr(?2, ' ')) ORDER BY at DESC LIMIT 1)
		AND NOT EXISTS (SELECT 1 FROM release WHERE name = ?2 AND at > ?1 - 86400)`, nil, at.Unix(), name)
}

// nearlyFull tells that the next minutes could be refused.
func nearlyFull(c *sqlite.Conn, bytes int64) (bool, error) {
	used, err := c.QueryInt64("SELECT page_count - freelist_count FROM pragma_page_count, pragma_freelist_count")
	return used*pageSize > max(bytes, leastSize)/10*9, err
}

// prune removes what is older than is kept, and if there is no room the oldest tenth of
// the resolution that takes most of its share.
func prune(c *sqlite.Conn, now time.Time, room bool) error {
	for _, s := range steps() {
		if err := remove(c, s, s.oldest(now)); err != nil {
			return err
		}
	}
	if room {
		return c.Exec("PRAGMA incremental_vacuum")
	}
	s, first, last, err := largest(c)
	if err != nil {
		return err
	}
	// What no cost refers to any more is looked for here, and not each minute.
	return errors.Join(remove(c, s, min(first+(last-first)/10+1, last)),
		c.Exec("DELETE FROM query WHERE id NOT IN (SELECT query FROM cost); PRAGMA incremental_vacuum"))
}

// remove removes what is older than a bucket.
func remove(c *sqlite.Conn, s step, oldest int64) error {
	return errors.Join(run(c, "DELETE FROM point WHERE level = ?1 AND at < ?2", nil, s.number, oldest),
		run(c, "DELETE FROM cost WHERE level = ?1 AND at < ?2", nil, s.number, oldest))
}

// largest is the resolution that takes most of its share, and its oldest and its newest
// bucket. The finest has half of the room, since it is the one that is looked at
// when something is wrong; if all lost the same, the months would be gone after a day.
func largest(c *sqlite.Conn) (most step, first, last int64, err error) {
	weight := -1.0
	for i, s := range steps() {
		share := 0.25
		if i == 0 {
			share = 0.5
		}
		// The cost of a statement takes about ten times the room of a point.
		err := run(c, `SELECT sum(n), min(first), max(last) FROM (
			SELECT count(*) AS n, min(at) AS first, max(at) AS last FROM point WHERE level = ?1 UNION ALL
			SELECT 10 * count(*), min(at), max(at) FROM cost WHERE level = ?1)`, func(row *sqlite.Stmt) error {
			if w := row.ColumnFloat(0) / share; w > weight && row.ColumnInt64(1) < row.ColumnInt64(2) {
				most, weight, first, last = s, w, row.ColumnInt64(1), row.ColumnInt64(2)
			}
			return nil
		}, s.number)
		if err != nil {
			return most, 0, 0, err
		}
	}
	return most, first, last, nil
}

// run runs a statement with parameters, and f for each row.
func run(c *sqlite.Conn, sql string, f func(*sqlite.Stmt) error, args ...any) (err error) {
	s, _, err := c.PrepareCached(sql)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Release()) }()
	for i, a := range args {
		if err := bind(s, i+1, a); err != nil {
			return err
		}
	}
	for {
		row, err := s.Step()
		if err != nil || !row {
			return err
		}
		if f != nil {
			if err := f(s); err != nil {
				return err
			}
		}
	}
}

func bind(s *sqlite.Stmt, i int, value any) error {
	switch v := value.(type) {
	case int64:
		return s.BindInt64(i, v)
	case bool:
		if v {
			return s.BindInt64(i, 1)
		}
		return s.BindInt64(i, 0)
	case float64:
		return s.BindFloat(i, v)
	case string:
		return s.BindText(i, v)
	case []byte:
		return s.BindBlob(i, v)
	}
	return fmt.Errorf("history: a %T can't be bound", value)
}
