package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// foreignKeys looks for rows whose parent is gone, and for keys whose children
// are found by reading the whole table.
func (q *asked) foreignKeys(int64) error {
	orphans := map[string]int{}
	total, parent := 0, map[string]string{}
	err := q.rows("PRAGMA foreign_key_check", func(row []string) bool {
		orphans[row[0]]++
		parent[row[0]] = row[2]
		total++
		return total < orphansShown
	})
	if err != nil && sqlite.Code(err) != sqlite.ResultError { // that code means that a key names no unique column
		return err
	}
	if err != nil {
		q.e.found("foreign-key-mismatch", Warning, err)
	}
	for _, table := range sorted(orphans) {
		q.e.found("foreign-key-orphans", Critical, table, orphans[table], parent[table])
	}
	tables, err := q.tables("SELECT name FROM main.sqlite_schema WHERE type = 'table' AND sql LIKE '%REFERENCES%' ORDER BY name")
	if err != nil {
		return err
	}
	for _, table := range tables {
		if err := q.childIndexes(table); err != nil {
			return err
		}
	}
	return nil
}

func sorted[V any](m map[string]V) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// childIndexes checks that each foreign key of a table begins an index: SQLite
// looks for the children whenever a parent is deleted or its key changes.
func (q *asked) childIndexes(table string) error {
	keys := map[string][]string{}
	parents := map[string]string{}
	var order []string
	err := q.rows("SELECT id, \"table\", \"from\" FROM pragma_foreign_key_list(?) ORDER BY id, seq", func(row []string) bool {
		if keys[row[0]] == nil {
			order = append(order, row[0])
		}
		keys[row[0]] = append(keys[row[0]], row[2])
		parents[row[0]] = row[1]
		return true
	}, table)
	if err != nil {
		return err
	}
	indexes, err := q.indexesOf(table)
	if err != nil {
		return err
	}
	for _, id := range order {
		if slices.ContainsFunc(indexes, func(i index) bool { return !i.partial && i.begins(keys[id]) }) {
			continue
		}
		rows, err := q.rowsOf(table, enoughRows)
		if err != nil {
			return err
		}
		s := Info
		if rows >= enoughRows {
			s = Warning
		}
		columns := strings.Join(keys[id], ", ")
		create := fmt.Sprintf("CREATE INDEX %s ON %s(%s)", identifier(table+"_"+strings.Join(keys[id], "_")), identifier(table), identifiers(keys[id]))
		q.e.found("foreign-key-unindexed", s, table, columns, parents[id], quote(create))
	}
	return nil
}

// index is one index of a table; rowid counts as an index of its own.
type index struct {
	name            string
	unique, partial bool
	origin          string // "c" by CREATE INDEX, "u" by UNIQUE, "pk"
	columns         []string
	plain           bool // no expression, no descending column, no collation of its own
	terms           []string
}

// begins tells whether the index finds rows by these columns, in whatever order.
func (i index) begins(columns []string) bool {
	if len(i.columns) < len(columns) {
		return false
	}
	for _, c := range i.columns[:len(columns)] {
		if !slices.ContainsFunc(columns, func(k string) bool { return strings.EqualFold(k, c) }) {
			return false
		}
	}
	return true
}

func (q *asked) indexesOf(table string) ([]index, error) {
	var list []index
	err := q.rows("SELECT name, \"unique\", origin, partial FROM pragma_index_list(?) ORDER BY name", func(row []string) bool {
		list = append(list, index{name: row[0], unique: row[1] == "1", origin: row[2], partial: row[3] == "1", plain: true})
		return true
	}, table)
	if err != nil {
		return nil, err
	}
	for n := range list {
		i := &list[n]
		err := q.rows("SELECT name, cid, \"desc\", coll FROM pragma_index_xinfo(?) WHERE key ORDER BY seqno", func(row []string) bool {
			i.plain = i.plain && row[1] != "-2"
			i.columns = append(i.columns, row[0])
			i.terms = append(i.terms, strings.ToLower(strings.Join([]string{row[0], row[2], row[3]}, "\x00")))
			return true
		}, i.name)
		if err != nil {
			return nil, err
		}
	}
	return list, q.rows("SELECT name FROM pragma_table_info(?) WHERE pk = 1 AND upper(type) = 'INTEGER' "+
		"AND (SELECT count(*) FROM pragma_table_info(?) WHERE pk) = 1", func(row []string) bool {
		list = append(list, index{name: "rowid", origin: "rowid", columns: row[:1:1]})
		return false
	}, table, table)
}

// indexes looks for those that another one makes idle.
func (q *asked) indexes(int64) error {
	tables, err := q.tables("SELECT DISTINCT tbl_name FROM main.sqlite_schema WHERE type = 'index' ORDER BY 1")
	if err != nil {
		return err
	}
	for _, table := range tables {
		list, err := q.indexesOf(table)
		if err != nil {
			return err
		}
		for n, i := range list {
			q.idle(table, i, list, n)
		}
	}
	return nil
}

// idle reports an index whose work another one does: one with the same columns,
// or one that begins with them. A unique index is a rule besides, so it stays.
func (q *asked) idle(table string, i index, list []index, n int) {
	if i.origin != "c" || i.partial || !i.plain || len(i.terms) == 0 {
		return
	}
	for m, o := range list {
		if m == n || o.partial || !o.plain || o.origin == "rowid" || len(o.terms) < len(i.terms) ||
			!slices.Equal(o.terms[:len(i.terms)], i.terms) {
			continue
		}
		drop := quote("DROP INDEX " + identifier(i.name))
		switch same := len(o.terms) == len(i.terms); {
		case same && (!i.unique || o.unique) && (o.origin != "c" || m < n || o.unique && !i.unique):
			q.e.found("index-duplicate", Warning, i.name, table, o.name, drop)
			return
		case !same && !i.unique:
			q.e.found("index-redundant", Warning, i.name, table, o.name, drop)
			return
		}
	}
}

// identifier quotes a name for SQL if it must be.
func identifier(name string) string {
	for n, c := range name {
		if c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (n == 0 || c < '0' || c > '9') {
			return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
		}
	}
	return name
}

func identifiers(names []string) string {
	var quoted []string
	for _, n := range names {
		quoted = append(quoted, identifier(n))
	}
	return strings.Join(quoted, ", ")
}
