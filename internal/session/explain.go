package session

import (
	"context"
	"database/sql/driver"
	"errors"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/internal/locks"
	"github.com/holdfastdb/holdfast/internal/pool"
	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// Explained is how SQLite would run a statement, and what is known of the tables.
type Explained struct {
	SQL        string
	ReadOnly   bool
	Parameters int
	Unbound    int
	Steps      []ExplainedStep
	Tables     []ExplainedTable
}

// ExplainedStep is a row of EXPLAIN QUERY PLAN.
type ExplainedStep struct {
	ID, Parent int
	Detail     string
}

// ExplainedTable is a table of the schema; Rows and PerKey are those of
// sqlite_stat1, 0 and nil without it.
type ExplainedTable struct {
	Name, Module string
	Rows         int64
	Indexes      []ExplainedIndex
}

// ExplainedIndex is an index of a table.
type ExplainedIndex struct {
	Name    string
	Columns int
	Unique  bool // and no column of it may be NULL
	PerKey  []int64
}

// Explain compiles a statement on a reader and runs nothing but EXPLAIN QUERY PLAN.
// Parameters without an argument stay NULL, for which SQLite plans as for any value.
// What has no plan, as a PRAGMA, is not even compiled for one: a PRAGMA acts while it
// is compiled.
func (e *Engine) Explain(ctx context.Context, query string, args []any) (x Explained, err error) {
	named, err := namedValues(args)
	if err == nil {
		err = e.onReader(ctx, e.cfg.Budget, func(c *sqlite.Conn) error {
			// EXPLAIN does not look whether the schema has changed; this does.
			if _, err := c.QueryInt64("SELECT 1 FROM sqlite_schema LIMIT 0"); err != nil {
				return err
			}
			v, text, err := e.single(c, query)
			if err != nil {
				return err
			}
			x.SQL, x.ReadOnly = text, v.readOnly
			if v.class != plain && v.class != temporary || v.name != "" {
				return nil
			}
			if err := x.plan(c, named); err != nil {
				return err
			}
			x.Tables, err = tablesOf(c)
			return err
		})
	}
	if err != nil {
		return x, e.fail(ctx, "explain", query, locks.Site{}, named, err)
	}
	return x, nil
}

// single is the verdict on a text that has to be one statement.
func (e *Engine) single(c *sqlite.Conn, query string) (v *verdict, text string, err error) {
	if err := checkText(query); err != nil {
		return nil, "", err
	}
	v, text, tail, err := classify(c, query)
	if err != nil {
		return nil, "", err
	}
	if v.class == blank {
		return nil, "", &ArgumentError{"the SQL text holds no statement"}
	}
	if !isBlank(tail) {
		if more, _, _, err := classify(c, tail); err != nil || more.class != blank {
			return nil, "", &ArgumentError{"the text has more than one statement: explain each by itself"}
		}
	}
	return v, text, nil
}

func (x *Explained) plan(c *sqlite.Conn, args []driver.NamedValue) error {
	s, _, err := c.Prepare("EXPLAIN QUERY PLAN " + x.SQL)
	if err != nil {
		return err
	}
	defer s.Finalize()
	x.Parameters = s.BindParamCount()
	for i := 1; i <= x.Parameters; i++ {
		a, err := argument(s.BindParamName(i), i, args)
		if err != nil {
			x.Unbound++
			continue
		}
		if err := bindValue(s, i, a); err != nil {
			return err
		}
	}
	for {
		more, err := s.Step()
		if err != nil || !more {
			return err
		}
		x.Steps = append(x.Steps, ExplainedStep{int(s.ColumnInt64(0)), int(s.ColumnInt64(1)), s.ColumnText(3)})
	}
}

// Measured is what SQLite has counted while a statement ran.
type Measured struct {
	Rows, Steps, FullScan, Sorts, AutoIndex, FilterSkipped, FilterPassed int64
	PagesHit, PagesRead                                                  int64
	Took                                                                 time.Duration
	Complete                                                             bool
}

// Measure runs a query once, on a reader in a transaction of its own, and counts.
// With an error the counters are those until then.
func (e *Engine) Measure(ctx context.Context, query string, args []any) (m Measured, err error) {
	named, err := namedValues(args)
	if err == nil {
		var r *pool.Reader
		if r, err = e.cfg.Pool.Get(ctx); err == nil {
			err = e.measure(ctx, r, query, named, &m)
			e.giveBack(r, err)
		}
	}
	if err != nil {
		return m, e.fail(ctx, "explain", query, locks.Site{}, named, err)
	}
	return m, nil
}

func (e *Engine) measure(ctx context.Context, r *pool.Reader, query string, args []driver.NamedValue, m *Measured) (err error) {
	var stop stopper
	lease := &locks.Lease{Kind: locks.Rows, Site: locks.Here(3, locks.Deep), Since: time.Now(), SQL: query, Last: query, Context: ctx, Evict: func() bool {
		first := stop.stop()
		if first {
			e.cfg.Counters.Evictions.Add(1)
		}
		return first
	}}
	r.Busy.Arm(ctx, e.cfg.Budget, &stop.told)
	v, text, err := e.single(r.Conn, query)
	switch {
	case err != nil:
		return err
	case v.class != plain || !v.readOnly || v.name != "":
		return refused(firstWord(text) + " is no query that only reads, so it is not run to be measured; explain it without")
	}
	s, _, err := r.Conn.Prepare(text)
	if err != nil {
		return err
	}
	defer s.Finalize()
	if err := bind(s, args); err != nil {
		return err
	}
	e.cfg.Locks.Add(lease)
	defer r.Conn.InterruptAfter(ctx)()
	defer r.Conn.InterruptAfter(stop.context())()
	err = m.run(r.Conn, s)
	outcome := closed
	if stop.told.Load() {
		err, outcome = evictedBy(lease), evicted
	}
	e.release(lease, outcome)
	return err
}

func (m *Measured) run(c *sqlite.Conn, s *sqlite.Stmt) error {
	pages := func() (hit, read int64) {
		hit, _, _ = c.Status(sqlite.DBStatusCacheHit, false) // fails on a closed connection only
		read, _, _ = c.Status(sqlite.DBStatusCacheMiss, false)
		return hit, read
	}
	hit, read := pages()
	start := time.Now()
	more, err := s.Step()
	for ; more && err == nil; more, err = s.Step() {
		m.Rows++
	}
	m.Took = time.Since(start)
	m.Complete = err == nil
	m.PagesHit, m.PagesRead = pages()
	m.PagesHit, m.PagesRead = m.PagesHit-hit, m.PagesRead-read
	for to, counter := range map[*int64]sqlite.StmtStatus{
		&m.Steps: sqlite.StmtStatusVMStep, &m.FullScan: sqlite.StmtStatusFullScanStep, &m.Sorts: sqlite.StmtStatusSort,
		&m.AutoIndex: sqlite.StmtStatusAutoIndex, &m.FilterSkipped: sqlite.StmtStatusFilterHit, &m.FilterPassed: sqlite.StmtStatusFilterMiss,
	} {
		*to = int64(s.Status(counter, false))
	}
	return err
}

// module finds the name of a module in what sqlite_schema has of a virtual table.
var module = regexp.MustCompile(`(?is)^CREATE VIRTUAL TABLE\s+(?:"(?:[^"]|"")*"|'(?:[^']|'')*'|\[[^\]]*\]|` + "`(?:[^`]|``)*`" + `|[^\s"'\[]+)\s+USING\s+(\w+)`)

const (
	tablesSQL = `SELECT l.name, coalesce(s.sql, '') FROM pragma_table_list AS l LEFT JOIN main.sqlite_schema AS s ON s.type = 'table' AND s.name = l.name
		WHERE l.schema = 'main' AND l.type IN ('table', 'virtual')`
	indexesSQL = `SELECT l.name, i.name, count(*), i."unique" AND count(*) = coalesce(sum(c."notnull"), 0)
		FROM pragma_table_list AS l, pragma_index_list(l.name) AS i, pragma_index_xinfo(i.name) AS x LEFT JOIN pragma_table_info(l.name) AS c ON c.cid = x.cid
		WHERE l.schema = 'main' AND l.type = 'table' AND x.key GROUP BY l.name, i.name`
	statisticsSQL = `SELECT lower(tbl), lower(idx), stat FROM main.sqlite_stat1 WHERE typeof(stat) = 'text'`
)

// tablesOf reads the schema and its statistics. A part that can't be read is left
// out: it only adds to a plan.
func tablesOf(c *sqlite.Conn) (list []ExplainedTable, err error) {
	at := map[string]int{}
	err = each(c, tablesSQL, func(s *sqlite.Stmt) {
		t := ExplainedTable{Name: s.ColumnText(0)}
		if m := module.FindStringSubmatch(s.ColumnText(1)); m != nil {
			t.Module = strings.ToLower(m[1])
		}
		at[strings.ToLower(t.Name)] = len(list)
		list = append(list, t)
	})
	if err == nil {
		err = each(c, indexesSQL, func(s *sqlite.Stmt) {
			if n, ok := at[strings.ToLower(s.ColumnText(0))]; ok {
				list[n].Indexes = append(list[n].Indexes, ExplainedIndex{Name: s.ColumnText(1), Columns: int(s.ColumnInt64(2)), Unique: s.ColumnInt64(3) != 0})
			}
		})
	}
	if err == nil {
		err = each(c, statisticsSQL, func(s *sqlite.Stmt) {
			if n, ok := at[s.ColumnText(0)]; ok {
				list[n].count(s.ColumnText(1), numbers(s.ColumnText(2)))
			}
		})
	}
	if code := sqlite.Code(err).Primary(); code == sqlite.ResultError || code == sqlite.ResultAuth {
		err = nil // there is no sqlite_stat1, or the SQL is confined
	}
	return list, err
}

// count takes a row of sqlite_stat1: rows of the index, rows that share a key.
func (t *ExplainedTable) count(index string, stat []int64) {
	if len(stat) == 0 {
		return
	}
	t.Rows = max(t.Rows, stat[0]) // a partial index has fewer
	for n := range t.Indexes {
		if strings.EqualFold(t.Indexes[n].Name, index) {
			t.Indexes[n].PerKey = stat[1:]
		}
	}
}

// numbers are those that a text begins with; words may follow.
func numbers(text string) (list []int64) {
	for word := range strings.FieldsSeq(text) {
		n, err := strconv.ParseInt(word, 10, 64)
		if err != nil || n < 0 {
			break
		}
		list = append(list, n)
	}
	return list
}

func each(c *sqlite.Conn, sql string, row func(*sqlite.Stmt)) (err error) {
	s, _, err := c.Prepare(sql)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Finalize()) }()
	for {
		more, err := s.Step()
		if err != nil || !more {
			return err
		}
		row(s)
	}
}
