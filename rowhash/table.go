package rowhash

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// table is one that is read by pages.
type table struct {
	name    string
	columns []string // as expressions
	keys    []string // by which it is ordered, without doubles: expressions, with their collations
	where   string   // which rows; "" is all

	collations []string // of the keys, where it has no rowid
}

func tables(ctx context.Context, db Querier) (list []table, err error) {
	list = append(list, table{name: Schema, columns: []string{"type", "name", "tbl_name", "sql"}, keys: []string{"rowid"}, where: ours})
	rows, err := texts(ctx, db, 2, `SELECT name, wr FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', 'shadow') AND name <> 'sqlite_schema' AND `+ours)
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		t := table{name: r[0]}
		if err := t.describe(ctx, db, r[1] == "1"); err != nil {
			return nil, fmt.Errorf("%s: %w", t.name, err)
		}
		list = append(list, t)
	}
	slices.SortFunc(list, func(a, b table) int { return strings.Compare(a.name, b.name) })
	return list, nil
}

// ours leaves out what ANALYZE has written.
const ours = `substr(name, 1, 11) <> 'sqlite_stat'`

// texts reads a few rows of texts.
func texts(ctx context.Context, db Querier, width int, query string, args ...any) (out [][]string, err error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		row, dest := make([]string, width), make([]any, width)
		for i := range row {
			dest[i] = &row[i]
		}
		if err := rows.Scan(dest...); err != nil {
			return nil, err
		}
		out = append(out, row)
	}
	return out, rows.Err()
}

func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// describe finds the columns and the key.
func (t *table) describe(ctx context.Context, db Querier, withoutRowid bool) error {
	columns, err := texts(ctx, db, 2, "SELECT name, hidden FROM pragma_table_xinfo(?) ORDER BY cid", t.name)
	if err != nil {
		return err
	}
	taken := map[string]bool{}
	for _, c := range columns {
		taken[strings.ToLower(c[0])] = true
		if c[1] == "0" { // others are generated
			t.columns = append(t.columns, quoted(c[0]))
		}
	}
	if !withoutRowid {
		for _, name := range []string{"rowid", "_rowid_", "oid"} {
			if !taken[name] {
				t.keys = []string{name}
				return nil
			}
		}
		return errors.New("its columns rowid, oid and _rowid_ hide the key of its rows, so it can't be read page by page; rename one of them")
	}
	keys, err := texts(ctx, db, 2, `SELECT x.name, x.coll FROM pragma_index_list(?) AS l, pragma_index_xinfo(l.name) AS x
WHERE l.origin = 'pk' AND x.key = 1 ORDER BY x.seqno`, t.name)
	if err != nil {
		return err
	}
	for _, k := range keys {
		t.collations = append(t.collations, k[1]) // it may differ from the column's
		t.keys = append(t.keys, quoted(k[0])+t.collation(len(t.keys)))
	}
	if len(t.keys) == 0 {
		return errors.New("it has no rowid, and its primary key is not to be found")
	}
	return nil
}

// A page has as many rows as fit, which are found by asking for their size first.
const (
	pageBytes = 1 << 20
	firstRows = 64
	mostRows  = 4096
)

func (t *table) read(ctx context.Context, db Querier, progress func(string, int64)) (Table, error) {
	var total sum
	out := Table{Name: t.name}
	last := make([]any, 0, len(t.keys))
	for limit := firstRows; ; {
		size, err := t.size(ctx, db, last, limit)
		if err != nil {
			return out, err
		}
		if size > pageBytes && limit > 1 {
			limit = max(1, min(limit-1, int(int64(limit)*pageBytes/size)))
			continue
		}
		n, err := t.add(ctx, db, &total, &last, limit)
		if err != nil {
			return out, err
		}
		out.Rows += int64(n)
		if progress != nil {
			progress(t.name, out.Rows)
		}
		if n < limit {
			out.Hash = total.String()
			return out, nil
		}
		if 2*size <= pageBytes {
			limit = min(2*limit, mostRows)
		}
	}
}

// size is that of the content of the rows after a key. It stands in the heads of records, so
// that large values are not read for it.
func (t *table) size(ctx context.Context, db Querier, last []any, limit int) (bytes int64, err error) {
	var sums []string
	for part := range slices.Chunk(append(t.bare(), t.columns...), 100) { // SQLite bounds the depth of an expression
		sums = append(sums, "(ifnull(octet_length("+strings.Join(part, "), 0) + ifnull(octet_length(")+"), 0))")
	}
	after, args := t.after(last, limit)
	rows, err := db.QueryContext(ctx, "SELECT ifnull(sum(n), 0) FROM (SELECT "+strings.Join(sums, " + ")+" AS n"+after+")", args...)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		if err := rows.Scan(&bytes); err != nil {
			return 0, err
		}
	}
	return bytes, rows.Err()
}

// bare are the keys without their collations.
func (t *table) bare() []string {
	out := slices.Clone(t.keys)
	for i := range out {
		out[i] = strings.TrimSuffix(out[i], t.collation(i))
	}
	return out
}

func (t *table) collation(key int) string {
	if key < len(t.collations) {
		return " COLLATE " + quoted(t.collations[key])
	}
	return ""
}

// page is the query for the rows after a key.
func (t *table) page(last []any, limit int) (query string, args []any) {
	cells := append(t.bare(), t.columns...)
	for i := range cells {
		cells[i] = cell(cells[i])
	}
	after, args := t.after(last, limit)
	return "SELECT " + strings.Join(cells, ", ") + after, args
}

func (t *table) after(last []any, limit int) (clauses string, args []any) {
	var conditions []string
	if t.where != "" {
		conditions = append(conditions, t.where)
	}
	if len(last) > 0 {
		var places []string
		for _, v := range last {
			place, values := bound(v)
			places, args = append(places, place), append(args, values...)
		}
		conditions = append(conditions, "("+strings.Join(t.keys, ", ")+") > ("+strings.Join(places, ", ")+")")
	}
	clauses = " FROM " + quoted(t.name)
	if len(conditions) > 0 {
		clauses += " WHERE " + strings.Join(conditions, " AND ")
	}
	return fmt.Sprintf("%s ORDER BY %s LIMIT %d", clauses, strings.Join(t.keys, ", "), limit), args
}

// add hashes the rows of one page, and keeps the last key.
func (t *table) add(ctx context.Context, db Querier, total *sum, last *[]any, limit int) (n int, err error) {
	query, args := t.page(*last, limit)
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	cells := make([]any, len(t.keys)+len(t.columns))
	dest := make([]any, len(cells))
	for i := range cells {
		dest[i] = &cells[i]
	}
	h, digest := newHash(), []byte(nil)
	for ; rows.Next(); n++ {
		if err := rows.Scan(dest...); err != nil {
			return n, err
		}
		h.Reset()
		*last = (*last)[:0]
		for i, c := range cells {
			v, err := value(c)
			switch {
			case err != nil:
				return n, err
			case i < len(t.keys):
				*last = append(*last, v)
				continue
			}
			write(h, v)
		}
		digest = h.Sum(digest[:0])
		total.add(digest)
	}
	return n, rows.Err()
}
