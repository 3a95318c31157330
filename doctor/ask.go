package doctor

import (
	"context"
	"fmt"
	"math"

	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// ask is the second stage: it opens the database for reading only.
func (e *examination) ask(ctx context.Context) {
	c, err := sqlite.Open(e.report.Path, sqlite.OpenReadOnly)
	if err != nil {
		e.refused(err)
		return
	}
	defer c.Close()
	defer c.InterruptAfter(ctx)()
	q := &asked{e: e, c: c}
	err = c.Exec("PRAGMA busy_timeout=2000; PRAGMA query_only=1; PRAGMA trusted_schema=0; BEGIN")
	if err == nil {
		err = q.all()
	}
	if err == nil && !e.has("corrupt") {
		err = q.unused(told(ctx, e.report.Path))
	}
	if err != nil {
		e.refused(err)
	}
}

// refused tells damage from what only keeps us from looking.
func (e *examination) refused(err error) {
	if damaged(err) {
		if !e.has("corrupt") {
			e.found("corrupt", Critical, err)
		}
		return
	}
	e.blind("open", err)
	e.report.Unknown = true
}

func damaged(err error) bool {
	switch sqlite.Code(err).Primary() {
	case sqlite.ResultCorrupt, sqlite.ResultNotADB:
		return true
	}
	return false
}

// asked is a connection in one read transaction, so that all answers are about
// one state.
type asked struct {
	e *examination
	c *sqlite.Conn
}

const quickPages = 25_000 // quick_check reads every page; 100 MB take a second or so

func (q *asked) all() error {
	pages, err := q.number("PRAGMA page_count")
	if err != nil {
		return err
	}
	for _, step := range []func(int64) error{q.integrity, q.freePages, q.settings, q.foreignKeys, q.indexes, q.useless, q.statistics} {
		if err := step(pages); err != nil {
			return err
		}
		if q.e.has("corrupt") {
			return nil
		}
	}
	return nil
}

func (q *asked) number(sql string) (int64, error) { return q.c.QueryInt64(sql) }

// rows calls each with the columns of every row as texts, until it says no.
func (q *asked) rows(sql string, each func(row []string) bool, args ...string) (err error) {
	s, _, err := q.c.Prepare(sql)
	if err != nil {
		return err
	}
	defer s.Finalize()
	for i, a := range args {
		if err := s.BindText(i+1, a); err != nil {
			return err
		}
	}
	row := make([]string, s.ColumnCount())
	for {
		more, err := s.Step()
		if err != nil || !more {
			return err
		}
		for i := range row {
			row[i] = s.ColumnText(i)
		}
		if !each(row) {
			return nil
		}
	}
}

func (q *asked) integrity(pages int64) error {
	if pages > quickPages {
		q.e.found("check-skipped", Info, pages)
		return nil
	}
	return q.rows("PRAGMA quick_check(1)", func(row []string) bool {
		if row[0] != "ok" {
			q.e.found("corrupt", Critical, row[0])
		}
		return false
	})
}

func (q *asked) freePages(pages int64) error {
	free, err := q.number("PRAGMA freelist_count")
	if err == nil && pages >= 256 && free > pages/4 {
		q.e.found("free-pages", Warning, free, pages, 100*free/pages)
	}
	return err
}

// settings notes what was decided when the file was made.
func (q *asked) settings(pages int64) error {
	vacuum, err := q.number("PRAGMA auto_vacuum")
	if err != nil {
		return err
	}
	size, err := q.number("PRAGMA page_size")
	if err != nil {
		return err
	}
	encoding, err := q.c.QueryText("PRAGMA encoding")
	if err != nil {
		return err
	}
	app, err := q.number("PRAGMA application_id")
	if err != nil {
		return err
	}
	if vacuum == 1 {
		q.e.found("auto-vacuum-full", Info)
	}
	if size < 4096 && pages > 256 {
		q.e.found("page-size", Info, size)
	}
	if encoding != "UTF-8" {
		q.e.found("encoding", Info, encoding)
	}
	if app != 0 {
		q.e.found("application-id", Info, fmt.Sprintf("%#08x", uint32(app)))
	}
	return nil
}

const (
	enoughRows   = 1000 // from here on a missing index or wrong statistics cost something
	orphansShown = 1_000_000
)

// rowsOf counts the rows of a table, up to limit.
func (q *asked) rowsOf(table string, limit int64) (int64, error) {
	return q.number(fmt.Sprintf("SELECT count(*) FROM (SELECT 1 FROM main.%s LIMIT %d)", identifier(table), limit))
}

// statistics judges what the planner knows.
func (q *asked) statistics(int64) error {
	recorded := map[string]int64{}
	have, err := q.number("SELECT count(*) FROM main.sqlite_schema WHERE name = 'sqlite_stat1'")
	if err != nil {
		return err
	}
	if have > 0 {
		err = q.rows("SELECT tbl, max(CAST(stat AS INTEGER)) FROM main.sqlite_stat1 GROUP BY tbl", func(row []string) bool {
			var n int64
			if _, err := fmt.Sscan(row[1], &n); err == nil {
				recorded[row[0]] = n
			}
			return true
		})
		if err != nil {
			return err
		}
	}
	tables, err := q.tables("SELECT DISTINCT tbl_name FROM main.sqlite_schema WHERE type = 'index' AND tbl_name NOT LIKE 'sqlite\\_%' ESCAPE '\\' " +
		"AND tbl_name IN (SELECT name FROM main.sqlite_schema WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%')")
	if err != nil {
		return err
	}
	missing, most := "", int64(0)
	for _, table := range tables {
		n, known := recorded[table]
		rows, err := q.rowsOf(table, max(11*enoughRows, min(11*n+1, math.MaxInt32)))
		switch {
		case err != nil:
			return err
		case !known && rows >= enoughRows && rows > most:
			missing, most = table, rows
		case known && max(rows, n) >= enoughRows && (rows > 10*n || n > 10*max(rows, 1)):
			q.e.found("statistics-stale", Warning, table, n, rows)
		}
	}
	if missing != "" {
		q.e.found("statistics-missing", Warning, missing, most)
	}
	return nil
}

func (q *asked) tables(sql string) (names []string, err error) {
	err = q.rows(sql, func(row []string) bool {
		names = append(names, row[0])
		return true
	})
	return names, err
}
