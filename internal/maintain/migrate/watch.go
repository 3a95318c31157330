// Package migrate looks after a change of the schema: whether anything was
// changed at all, whether rows refer to missing ones that did not before, how
// many rows each table has lost, and a copy of what was before. It also rebuilds
// tables.
//
// It begins no transaction and knows no session: whoever runs the migration
// calls a Watch in between.
package migrate

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// Config is what is looked after, and what that takes.
type Config struct {
	// Log says that the database has a write-ahead log. Then others still read the
	// state of before while the migration writes, and all that is about that state
	// can wait until it is known that something has changed.
	Log bool
	// Open opens a connection that reads what is committed.
	Open func(ctx context.Context) (*sqlite.Conn, error)
	// Copy is the copy of before.
	Copy Copy
	// References asks for a look at the foreign keys.
	References bool
	// CountFor is how long rows may be counted; 0 is not at all.
	CountFor time.Duration
}

// Report is what has been seen.
type Report struct {
	Changed  bool
	Copy     string // its path, or ""
	Bytes    int64  // of the copy
	Tables   []Rows
	Counted  bool     // all of them
	Added    []string // "table x", "index y", "view z", "trigger t"
	Removed  []string
	Existing int // rows that refer to missing ones, and did so before
}

// Rows is how many rows a table had, and has; -1 where there is no such table.
type Rows struct {
	Name          string
	Before, After int64
}

// Watch looks after one migration. Its methods are called on one goroutine at a
// time, with the migration's connection.
type Watch struct {
	cfg    Config
	first  state
	empty  bool  // there was no table to copy
	before *past // without a log, as soon as the migration may write
	Report Report
}

// past is what is told about the state of before.
type past struct {
	objects    map[string]bool
	violations map[violation]int
	rows       map[string]int64
}

// state is what changes with the schema, and the numbers that programs count
// their own versions by.
type state struct{ schema, user, application int64 }

// Begin looks at the state of before. c is in the transaction of the migration.
func Begin(c *sqlite.Conn, cfg Config) (*Watch, error) {
	first, err := look(c)
	if err != nil {
		return nil, err
	}
	n, err := c.QueryInt64("SELECT count(*) FROM main.sqlite_schema")
	return &Watch{cfg: cfg, first: first, empty: n == 0}, err
}

func look(c *sqlite.Conn) (s state, err error) {
	for sql, n := range map[string]*int64{
		"PRAGMA schema_version": &s.schema, "PRAGMA user_version": &s.user, "PRAGMA application_id": &s.application,
	} {
		if *n, err = c.QueryInt64(sql); err != nil {
			return s, err
		}
	}
	return s, nil
}

// BeforeWrite is called before the first statement that may write. Without a log
// the state of before is gone when that has run.
func (w *Watch) BeforeWrite(ctx context.Context, c *sqlite.Conn) (err error) {
	if w.cfg.Log {
		return nil
	}
	if w.before, err = w.remember(ctx, c, true); err != nil {
		return err
	}
	return w.onCommitted(ctx, func(r *sqlite.Conn) error { return w.copy(ctx, r) })
}

// AfterWrite is called after each statement that may have written, with how many
// rows were changed so far. With the first change it looks whether there will be
// room for the copy, before the migration goes on for an hour in vain.
func (w *Watch) AfterWrite(c *sqlite.Conn, rows int64) error {
	if w.Report.Changed {
		return nil
	}
	now, err := look(c)
	if err != nil {
		return err
	}
	w.Report.Changed = rows > 0 || now != w.first
	if !w.Report.Changed || !w.cfg.Log || w.empty {
		return nil
	}
	return w.cfg.Copy.room(c)
}

// Finish is called before COMMIT. An error, a *ViolationError or a *DamageError
// perhaps, says that it must not come to that.
func (w *Watch) Finish(ctx context.Context, c *sqlite.Conn) error {
	if !w.Report.Changed {
		return nil
	}
	var violations map[violation]int
	if w.cfg.References {
		var err error
		if violations, err = references(ctx, c); err != nil {
			return err
		}
	}
	if w.before != nil {
		return w.compare(ctx, w.before, c, violations)
	}
	return w.onCommitted(ctx, func(r *sqlite.Conn) error {
		before, err := w.remember(ctx, r, len(violations) > 0)
		if err == nil {
			err = w.compare(ctx, before, c, violations)
		}
		if err == nil {
			err = w.copy(ctx, r)
		}
		return err
	})
}

// Done is called after COMMIT: only now the copy is one more than before.
func (w *Watch) Done() {
	if w.Report.Copy != "" {
		w.cfg.Copy.prune()
	}
}

// Undo is called when the migration was rolled back after all: a copy of what is
// still there would only push out older ones.
func (w *Watch) Undo() error {
	if w.Report.Copy == "" {
		return nil
	}
	err := w.cfg.Copy.remove(w.Report.Copy)
	w.Report.Copy, w.Report.Bytes = "", 0
	return err
}

// onCommitted gives fn a connection that reads one state, the one before the
// migration.
func (w *Watch) onCommitted(ctx context.Context, fn func(*sqlite.Conn) error) error {
	c, err := w.cfg.Open(ctx)
	if err != nil {
		return err
	}
	c.SetProgressHandler(1000, func() bool { return ctx.Err() != nil })
	if err = c.Exec("BEGIN"); err == nil {
		if _, err = c.QueryInt64("PRAGMA schema_version"); err == nil {
			err = fn(c)
		}
		if !c.Autocommit() {
			c.SetProgressHandler(0, nil)
			err = errors.Join(err, c.Exec("ROLLBACK"))
		}
	}
	if ctx.Err() != nil && err != nil {
		err = ctx.Err()
	}
	return single(errors.Join(err, c.Close()))
}

// remember notes what will be compared with.
func (w *Watch) remember(ctx context.Context, c *sqlite.Conn, withReferences bool) (p *past, err error) {
	p = new(past)
	if p.objects, err = objects(c); err != nil {
		return nil, err
	}
	if withReferences && w.cfg.References {
		if p.violations, err = references(ctx, c); err != nil {
			return nil, err
		}
	}
	if w.cfg.CountFor > 0 {
		p.rows = count(ctx, w.cfg.CountFor/2, c)
	}
	return p, nil
}

// compare fills the report.
func (w *Watch) compare(ctx context.Context, p *past, c *sqlite.Conn, violations map[violation]int) error {
	if err := w.judge(p.violations, violations); err != nil {
		return err
	}
	now, err := objects(c)
	if err != nil {
		return err
	}
	w.Report.Added, w.Report.Removed = missing(now, p.objects), missing(p.objects, now)
	if w.cfg.CountFor > 0 {
		w.Report.Tables, w.Report.Counted = pair(p, now, count(ctx, w.cfg.CountFor/2, c))
	}
	return nil
}

// objects lists the schema, as "table x". What SQLite makes by itself is left out.
func objects(c *sqlite.Conn) (map[string]bool, error) {
	found := make(map[string]bool)
	err := each(c, "SELECT type || ' ' || name FROM main.sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
		func(s *sqlite.Stmt) { found[s.ColumnText(0)] = true })
	return found, err
}

// missing lists what is in a and not in b.
func missing(a, b map[string]bool) (names []string) {
	for name := range a {
		if !b[name] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// count counts the rows of the tables one after the other, as far as it comes.
func count(ctx context.Context, limit time.Duration, c *sqlite.Conn) map[string]int64 {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	names, err := tables(c)
	if err != nil {
		return nil
	}
	defer c.InterruptAfter(ctx)()
	rows := make(map[string]int64, len(names))
	for _, name := range names {
		if ctx.Err() != nil {
			break
		}
		if n, err := c.QueryInt64("SELECT count(*) FROM main." + quote(name)); err == nil {
			rows[name] = n
		}
	}
	return rows
}

// tables are those with rows of their own: no views, and none of an extension.
func tables(c *sqlite.Conn) (names []string, err error) {
	err = each(c, "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name",
		func(s *sqlite.Stmt) { names = append(names, s.ColumnText(0)) })
	return names, err
}

// pair puts the counts of before and after together; complete says that none is
// missing.
func pair(p *past, now map[string]bool, after map[string]int64) (all []Rows, complete bool) {
	names := make(map[string]bool)
	for name := range p.rows {
		names[name] = true
	}
	for name := range after {
		names[name] = true
	}
	complete = true
	for name := range names {
		r := Rows{Name: name, Before: -1, After: -1}
		n, counted := p.rows[name]
		if counted {
			r.Before = n
		}
		had := p.objects["table "+name]
		ok := counted == had
		if n, counted = after[name]; counted {
			r.After = n
		}
		if ok = ok && counted == now["table "+name]; ok {
			all = append(all, r)
		}
		complete = complete && ok
	}
	for _, objects := range []map[string]bool{p.objects, now} {
		for o := range objects {
			name, table := strings.CutPrefix(o, "table ")
			complete = complete && (!table || names[name])
		}
	}
	slices.SortFunc(all, func(a, b Rows) int { return strings.Compare(a.Name, b.Name) })
	return all, complete
}

func each(c *sqlite.Conn, sql string, f func(*sqlite.Stmt)) error {
	s, _, err := c.Prepare(sql)
	if err != nil {
		return err
	}
	for row := true; row; {
		if row, err = s.Step(); err != nil {
			_ = s.Finalize() // repeats err
			return err
		}
		if row {
			f(s)
		}
	}
	return s.Finalize()
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// single unwraps a join of one error, so that its type stays visible.
func single(err error) error {
	if j, ok := err.(interface{ Unwrap() []error }); ok && len(j.Unwrap()) == 1 {
		return j.Unwrap()[0]
	}
	return err
}

// DamageError says that the copy of before is damaged, as the database is then.
type DamageError struct {
	Path     string // of the database
	Problems []string
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("%s was damaged before the migration: %s", filepath.Base(e.Path), e.Problems[0])
}
