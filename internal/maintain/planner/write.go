package planner

import (
	"context"
	"errors"
	"time"

	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// readStatistics returns what sqlite_stat1 has, by table and index; the row of a
// table itself has the index "".
func readStatistics(c *sqlite.Conn) (map[string]map[string]string, error) {
	recorded := map[string]map[string]string{}
	there, err := exists(c, "sqlite_stat1")
	if err != nil || !there {
		return recorded, err
	}
	return recorded, rows(c, "SELECT tbl, idx, stat FROM main.sqlite_stat1 WHERE tbl IS NOT NULL", func(s *sqlite.Stmt) {
		t := s.ColumnText(0)
		if recorded[t] == nil {
			recorded[t] = map[string]string{}
		}
		recorded[t][s.ColumnText(1)] = s.ColumnText(2)
	})
}

// saved is rows of the statistics tables, as they were and as they were written.
type saved struct {
	stat1, stat4 []record
	written      []record // of stat1
}

type record []sqliteValue

// sqliteValue is one column.
type sqliteValue struct {
	typ  sqlite.Type
	n    int64
	f    float64
	text string // or blob
}

func valueOf(s *sqlite.Stmt, i int) sqliteValue {
	v := sqliteValue{typ: s.ColumnType(i)}
	switch v.typ {
	case sqlite.TypeInteger:
		v.n = s.ColumnInt64(i)
	case sqlite.TypeFloat:
		v.f = s.ColumnFloat(i)
	case sqlite.TypeText:
		v.text = s.ColumnText(i)
	case sqlite.TypeBlob:
		v.text = string(s.ColumnBlob(i))
	}
	return v
}

func (v sqliteValue) bind(s *sqlite.Stmt, i int) error {
	switch v.typ {
	case sqlite.TypeInteger:
		return s.BindInt64(i, v.n)
	case sqlite.TypeFloat:
		return s.BindFloat(i, v.f)
	case sqlite.TypeText:
		return s.BindText(i, v.text)
	case sqlite.TypeBlob:
		return s.BindBlob(i, []byte(v.text))
	}
	return s.BindNull(i)
}

func text(s string) sqliteValue { return sqliteValue{typ: sqlite.TypeText, text: s} }

// textOrNull is what a statistics table has as the name of an index.
func textOrNull(s string) sqliteValue {
	if s == "" {
		return sqliteValue{typ: sqlite.TypeNull}
	}
	return text(s)
}

func execute(c *sqlite.Conn, sql string, args ...sqliteValue) (err error) {
	s, _, err := c.Prepare(sql)
	if err != nil {
		return err
	}
	defer func() {
		if e := s.Finalize(); err == nil {
			err = e
		}
	}()
	for i, a := range args {
		if err := a.bind(s, i+1); err != nil {
			return err
		}
	}
	_, err = s.Step()
	return err
}

func records(c *sqlite.Conn, sql, table string) (list []record, err error) {
	err = rows(c, sql, func(s *sqlite.Stmt) {
		r := make(record, s.ColumnCount())
		for i := range r {
			r[i] = valueOf(s, i)
		}
		list = append(list, r)
	}, table)
	return list, err
}

const (
	ofStat1 = "SELECT tbl, idx, stat FROM main.sqlite_stat1 WHERE tbl = ? ORDER BY rowid"
	ofStat4 = "SELECT tbl, idx, neq, nlt, ndlt, sample FROM main.sqlite_stat4 WHERE tbl = ? ORDER BY rowid"
)

// write runs a transaction of the writer and notes how long it took.
func (s *steward) write(ctx context.Context, sql string, run func(*sqlite.Conn) error) error {
	err := s.Write(ctx, sql, func(c *sqlite.Conn) error {
		start := time.Now()
		defer func() { s.report.Longest = max(s.report.Longest, time.Since(start)) }()
		return run(c)
	})
	s.report.Writes++
	return err
}

// reload is a name that nobody has.
const reload = "holdfast_statistics_changed"

// Making and dropping a view changes the number of the schema and nothing else:
// every connection, of every process, then reads the schema and the statistics
// anew. The writer, whose change it is, doesn't, so it is told.
const tell = "CREATE VIEW main." + reload + " AS SELECT 1; DROP VIEW main." + reload + "; ANALYZE main.sqlite_schema"

// prepare makes the statistics tables if they are missing. That changes the
// schema, so it comes before the connection is opened that keeps the old
// statistics.
func (s *steward) prepare(ctx context.Context) error {
	return s.write(ctx, "ANALYZE sqlite_schema", func(c *sqlite.Conn) error {
		n, err := c.QueryInt64("SELECT count(*) FROM main.sqlite_schema WHERE name IN ('sqlite_stat1', 'sqlite_stat4')")
		if err != nil || n == 2 {
			return err
		}
		return c.Exec("ANALYZE main.sqlite_schema")
	})
}

// apply writes the changes of all tables, and remembers what was there. The rows of
// sqlite_stat4 go with those that they were made with: they are samples of a
// table that looked different.
func (s *steward) apply(ctx context.Context, found []*finding) error {
	return s.write(ctx, "UPDATE sqlite_stat1", func(c *sqlite.Conn) (err error) {
		for _, f := range found {
			f.saved = saved{}
			if f.saved.stat1, err = records(c, ofStat1, f.Name); err != nil {
				return err
			}
			if f.saved.stat4, err = records(c, ofStat4, f.Name); err != nil {
				return err
			}
			for _, ch := range f.Changes {
				if err := applyOne(c, f.Name, ch); err != nil {
					return err
				}
			}
			if f.saved.written, err = records(c, ofStat1, f.Name); err != nil {
				return err
			}
		}
		return nil
	})
}

func applyOne(c *sqlite.Conn, table string, ch Change) error {
	name, idx := text(table), textOrNull(ch.Index)
	if err := execute(c, "DELETE FROM main.sqlite_stat1 WHERE tbl = ? AND idx IS ?", name, idx); err != nil {
		return err
	}
	if err := execute(c, "DELETE FROM main.sqlite_stat4 WHERE tbl = ? AND idx IS ?", name, idx); err != nil {
		return err
	}
	if ch.After == "" {
		return nil
	}
	return execute(c, "INSERT INTO main.sqlite_stat1(tbl, idx, stat) VALUES (?, ?, ?)", name, idx, text(ch.After))
}

// putBack restores the statistics of tables, unless somebody else has written them
// meanwhile: theirs are newer.
func (s *steward) putBack(ctx context.Context, found []*finding) error {
	return s.write(ctx, "UPDATE sqlite_stat1", func(c *sqlite.Conn) error {
		for _, f := range found {
			now, err := records(c, ofStat1, f.Name)
			if err != nil {
				return err
			}
			if !equal(now, f.saved.written) {
				continue
			}
			if err := f.saved.restore(c, f.Name); err != nil {
				return err
			}
		}
		return nil
	})
}

func equal(a, b []record) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		for j := range a[i] {
			if a[i][j] != b[i][j] {
				return false
			}
		}
	}
	return true
}

func (s saved) restore(c *sqlite.Conn, table string) error {
	err := errors.Join(
		execute(c, "DELETE FROM main.sqlite_stat1 WHERE tbl = ?", text(table)),
		execute(c, "DELETE FROM main.sqlite_stat4 WHERE tbl = ?", text(table)))
	for _, r := range s.stat1 {
		err = errors.Join(err, execute(c, "INSERT INTO main.sqlite_stat1(tbl, idx, stat) VALUES (?, ?, ?)", r...))
	}
	for _, r := range s.stat4 {
		err = errors.Join(err, execute(c, "INSERT INTO main.sqlite_stat4(tbl, idx, neq, nlt, ndlt, sample) VALUES (?, ?, ?, ?, ?, ?)", r...))
	}
	return err
}
