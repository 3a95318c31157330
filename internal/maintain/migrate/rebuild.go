package migrate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Querier is what runs statements inside one transaction.
type Querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// Shape is what becomes of a table.
type Shape struct {
	Create  string            // CREATE TABLE, with the table's own name
	Columns map[string]string // a column of the new table, and an expression over a row of the old one
	Without []string          // indexes and triggers that are not made again
}

var (
	// ErrForeignKeys: foreign keys are on, and DROP TABLE would delete what refers
	// to the table.
	ErrForeignKeys = errors.New("foreign keys are on, and dropping the old table would delete or change the rows that refer to it")
	// ErrShape: the table can't be rebuilt so.
	ErrShape = errors.New("the table can't be rebuilt so")
)

// rebuild is one run of Rebuild.
type rebuild struct {
	q     Querier
	table string // as the schema has it
	old   string // its name while both are there
	shape Shape
}

// Rebuild gives a table another shape and keeps its rows, their rowids, its
// AUTOINCREMENT sequence, its indexes and its triggers. Views, triggers elsewhere
// and foreign keys that refer to it are not touched. After an error the table is
// as it was. q must be inside a transaction with foreign keys off.
//
// It is step 4 to 8 of https://www.sqlite.org/lang_altertable.html#otheralter in
// another order: the old table makes way, so that the statement for the new one
// can be run as it stands. In that order a rename must leave references to the old
// name alone, which is what legacy_alter_table and foreign keys that are off do.
func Rebuild(ctx context.Context, q Querier, table string, s Shape) (err error) {
	b := &rebuild{q: q, shape: s}
	if err := b.find(ctx, table); err != nil {
		return err
	}
	legacy, err := b.one(ctx, "SELECT legacy_alter_table FROM pragma_legacy_alter_table")
	if err != nil {
		return err
	}
	if err := b.exec(ctx, "SAVEPOINT holdfast_rebuild; PRAGMA legacy_alter_table=1"); err != nil {
		return err
	}
	err = b.run(ctx)
	// Also when ctx has ended: nothing may be left half done.
	ctx = context.WithoutCancel(ctx)
	if err != nil {
		err = errors.Join(err, b.exec(ctx, "ROLLBACK TO holdfast_rebuild"))
	}
	return single(errors.Join(err, b.exec(ctx, "RELEASE holdfast_rebuild"), b.exec(ctx, "PRAGMA legacy_alter_table="+legacy)))
}

// find looks whether there is such a table, and whether this is the place for it.
func (b *rebuild) find(ctx context.Context, table string) error {
	// The function asks the engine; a session may answer the pragma itself.
	on, err := b.one(ctx, "SELECT foreign_keys FROM pragma_foreign_keys")
	if err != nil {
		return err
	}
	if on != "0" {
		return ErrForeignKeys
	}
	rows, err := b.all(ctx, "SELECT name, type FROM pragma_table_list WHERE schema = 'main' AND name = ? COLLATE NOCASE", table)
	switch {
	case err != nil:
		return err
	case len(rows) == 0:
		return fmt.Errorf("%w: there is no table %s", ErrShape, table)
	case rows[0][1] != "table":
		return fmt.Errorf("%w: %s is no ordinary table, it is a %s", ErrShape, table, rows[0][1])
	}
	b.table = rows[0][0]
	b.old = "holdfast_old_" + b.table
	return nil
}

func (b *rebuild) run(ctx context.Context) error {
	belongings, err := b.all(ctx, "SELECT type, name, sql FROM main.sqlite_schema WHERE tbl_name = ? COLLATE NOCASE AND type IN ('index', 'trigger') AND sql IS NOT NULL ORDER BY rowid", b.table)
	if err != nil {
		return err
	}
	broken, err := b.brokenViews(ctx)
	if err != nil {
		return err
	}
	seq, err := b.sequence(ctx)
	if err != nil {
		return err
	}
	if err := b.exec(ctx, "ALTER TABLE main."+quote(b.table)+" RENAME TO "+quote(b.old)); err != nil {
		return err
	}
	if err := b.exec(ctx, b.shape.Create); err != nil {
		return err
	}
	// From here on the name is spelled as the new table has it: SQLite finds a
	// sequence by the exact name.
	made, err := b.one(ctx, "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name = ? COLLATE NOCASE", b.table)
	if err != nil {
		return err
	}
	if made == "" {
		return fmt.Errorf("%w: the CREATE statement has made no table %s; give it that name", ErrShape, b.table)
	}
	b.table = made
	if err := b.fill(ctx); err != nil {
		return err
	}
	if err := b.exec(ctx, "DROP TABLE main."+quote(b.old)); err != nil {
		return err
	}
	if seq != "" {
		if err := b.setSequence(ctx, seq); err != nil {
			return err
		}
	}
	if err := b.remake(ctx, belongings); err != nil {
		return err
	}
	now, err := b.brokenViews(ctx)
	if err != nil {
		return err
	}
	for view, why := range now {
		if broken[view] == nil {
			return fmt.Errorf("%w: the view %s would not work any more: %w; drop it before and make it again after", ErrShape, view, why)
		}
	}
	return nil
}

// fill copies the rows.
func (b *rebuild) fill(ctx context.Context) error {
	from, err := b.columns(ctx, b.old)
	if err != nil {
		return err
	}
	to, err := b.columns(ctx, b.table)
	if err != nil {
		return err
	}
	var names, values []string
	if id := rowidName(from, to); id != "" {
		names, values = []string{id}, []string{id}
	}
	given := make(map[string]string, len(b.shape.Columns))
	for column, value := range b.shape.Columns {
		given[strings.ToLower(column)] = value
	}
	for _, column := range to.names {
		key := strings.ToLower(column)
		value, ok := given[key]
		delete(given, key)
		switch {
		case to.generated[key] && ok:
			return fmt.Errorf("%w: the column %s is generated, so it takes no value", ErrShape, column)
		case to.generated[key] || !ok && !from.has(key):
			continue
		case !ok:
			value = quote(column)
		}
		names, values = append(names, quote(column)), append(values, value)
	}
	for column := range given {
		return fmt.Errorf("%w: the new table has no column %s", ErrShape, column)
	}
	if len(names) == 0 {
		return fmt.Errorf("%w: the new table takes nothing from the old one; name its columns in Columns", ErrShape)
	}
	return b.exec(ctx, fmt.Sprintf("INSERT INTO main.%s (%s) SELECT %s FROM main.%s",
		quote(b.table), strings.Join(names, ", "), strings.Join(values, ", "), quote(b.old)))
}

// columns are those of one table.
type columns struct {
	names     []string
	generated map[string]bool // lower case
	rowid     bool            // it has one
	alias     bool            // a column of the table is the rowid
}

func (c columns) has(name string) bool {
	for _, n := range c.names {
		if strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}

func (b *rebuild) columns(ctx context.Context, table string) (c columns, err error) {
	rows, err := b.all(ctx, "SELECT name, hidden, pk FROM pragma_table_xinfo(?)", table)
	if err != nil {
		return c, err
	}
	c.generated = make(map[string]bool)
	keys := 0
	for _, r := range rows {
		c.names = append(c.names, r[0])
		c.generated[strings.ToLower(r[0])] = r[1] == "2" || r[1] == "3"
		if r[2] != "0" {
			keys++
		}
	}
	wr, err := b.one(ctx, "SELECT wr FROM pragma_table_list WHERE schema = 'main' AND name = ?", table)
	if err != nil {
		return c, err
	}
	// A primary key that has no index of its own is the rowid.
	indexes, err := b.one(ctx, "SELECT count(*) FROM pragma_index_list(?) WHERE origin = 'pk'", table)
	c.rowid = wr == "0"
	c.alias = c.rowid && keys == 1 && indexes == "0"
	return c, err
}

// rowidName is the name under which the rowid can be copied, or "" where it
// comes with a column, or there is none.
func rowidName(from, to columns) string {
	if !from.rowid || !to.rowid || to.alias {
		return ""
	}
	for _, name := range []string{"rowid", "_rowid_", "oid"} {
		if !from.has(name) && !to.has(name) {
			return name
		}
	}
	return ""
}

// sequence is the last number that AUTOINCREMENT gave, or "".
func (b *rebuild) sequence(ctx context.Context) (string, error) {
	there, err := b.one(ctx, "SELECT count(*) FROM main.sqlite_schema WHERE name = 'sqlite_sequence'")
	if err != nil || there == "0" {
		return "", err
	}
	return b.one(ctx, "SELECT max(seq) FROM main.sqlite_sequence WHERE name = ?", b.table)
}

// setSequence goes on counting from where the old table was: rows at its end may
// have been deleted, and their numbers must not be given again.
func (b *rebuild) setSequence(ctx context.Context, seq string) error {
	// Whether the new table counts is in no pragma. An INSERT into one that does
	// opens the table of sequences.
	root, err := b.one(ctx, "SELECT rootpage FROM main.sqlite_schema WHERE name = 'sqlite_sequence'")
	if err != nil {
		return err
	}
	program, err := b.all(ctx, "EXPLAIN INSERT INTO main."+quote(b.table)+" DEFAULT VALUES")
	if err != nil {
		return err
	}
	counts := false
	for _, op := range program {
		counts = counts || strings.HasPrefix(op[1], "Open") && op[3] == root && op[4] == "0"
	}
	if !counts {
		return nil
	}
	n, err := strconv.ParseInt(seq, 10, 64)
	if err != nil {
		return err
	}
	// Without rows there is no number yet.
	_, err = b.q.ExecContext(ctx, "INSERT INTO main.sqlite_sequence (name, seq) SELECT ?1, 0 WHERE NOT EXISTS (SELECT 1 FROM main.sqlite_sequence WHERE name = ?1)", b.table)
	if err == nil {
		_, err = b.q.ExecContext(ctx, "UPDATE main.sqlite_sequence SET seq = max(seq, ?) WHERE name = ?", n, b.table)
	}
	return err
}

// remake makes the indexes and triggers again, as they were written.
func (b *rebuild) remake(ctx context.Context, belongings [][]string) error {
	without := make(map[string]bool)
	for _, name := range b.shape.Without {
		without[strings.ToLower(name)] = true
	}
	for _, o := range belongings {
		if name := strings.ToLower(o[1]); without[name] {
			delete(without, name)
			continue
		}
		if err := b.exec(ctx, o[2]); err != nil {
			return fmt.Errorf("%w: the %s %s can't be made again: %w; name it in Without, and make another", ErrShape, o[0], o[1], err)
		}
	}
	for name := range without {
		return fmt.Errorf("%w: %s has no index or trigger %s", ErrShape, b.table, name)
	}
	for _, how := range []string{"DELETE FROM main.%s", "INSERT INTO main.%s DEFAULT VALUES"} { // triggers are compiled only now
		if err := b.exec(ctx, "EXPLAIN "+fmt.Sprintf(how, quote(b.table))); err != nil {
			return fmt.Errorf("%w: a trigger would not work any more: %w; name it in Without, and make another", ErrShape, err)
		}
	}
	return nil
}

// brokenViews are the views that can't be read, and why.
func (b *rebuild) brokenViews(ctx context.Context) (map[string]error, error) {
	views, err := b.all(ctx, "SELECT name FROM main.sqlite_schema WHERE type = 'view'")
	if err != nil {
		return nil, err
	}
	broken := make(map[string]error)
	for _, v := range views {
		if err := b.exec(ctx, "EXPLAIN SELECT * FROM main."+quote(v[0])); err != nil {
			if ctx.Err() != nil {
				return nil, err
			}
			broken[v[0]] = err
		}
	}
	return broken, nil
}

func (b *rebuild) exec(ctx context.Context, query string) error {
	_, err := b.q.ExecContext(ctx, query)
	return err
}

// one returns the first column of the first row, or "".
func (b *rebuild) one(ctx context.Context, query string, args ...any) (string, error) {
	rows, err := b.all(ctx, query, args...)
	if err != nil || len(rows) == 0 {
		return "", err
	}
	return rows[0][0], nil
}

// all returns all rows as texts; NULL is "".
func (b *rebuild) all(ctx context.Context, query string, args ...any) (all [][]string, err error) {
	rows, err := b.q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = single(errors.Join(err, rows.Close())) }()
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		values := make([]sql.NullString, len(names))
		into := make([]any, len(names))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		texts := make([]string, len(names))
		for i, v := range values {
			texts[i] = v.String
		}
		all = append(all, texts)
	}
	return all, rows.Err()
}
