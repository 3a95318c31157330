package salvage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// output is the new database.
type output struct {
	c     *sqlite.Conn
	model *sqlite.Conn // an empty database with all tables and indexes, to ask what they look like
	aside aside
	over  func()
}

// newOutput makes a database at path with the layout of the damaged one.
func newOutput(ctx context.Context, path string, im *image) (*output, error) {
	c, err := sqlite.Open(path, sqlite.OpenReadWrite)
	if err != nil {
		return nil, err
	}
	model, err := sqlite.Open(":memory:", sqlite.OpenReadWrite|sqlite.OpenCreate)
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	o := &output{c: c, model: model, aside: aside{c: c}}
	encoding := map[int]string{utf16le: "UTF-16le", utf16be: "UTF-16be"}[im.encoding]
	if encoding == "" {
		encoding = "UTF-8"
	}
	// Nobody has the file yet, and what is half done is removed: nothing needs to be
	// flushed before the end. What a damaged schema calls is not to be trusted.
	setup := fmt.Sprintf(`PRAGMA page_size=%d; PRAGMA encoding='%s'; PRAGMA auto_vacuum=%d; PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=MEMORY;
		PRAGMA synchronous=OFF; PRAGMA foreign_keys=OFF; PRAGMA trusted_schema=OFF; PRAGMA cache_size=-65536; PRAGMA mmap_size=0`,
		im.pageSize, encoding, im.autoVacuum)
	for _, conn := range []*sqlite.Conn{c, model} {
		if err := errors.Join(conn.Exec(setup), conn.Exec("BEGIN")); err != nil {
			return nil, errors.Join(err, o.close())
		}
		conn.SetAuthorizer(func(a sqlite.AuthAction, _, _, _, _ string) sqlite.AuthResult {
			switch a {
			case sqlite.ActionAttach, sqlite.ActionDetach, sqlite.ActionCreateVTable, sqlite.ActionDropVTable:
				return sqlite.AuthDeny // no text from the damaged file gets that far
			}
			return sqlite.AuthOK
		})
	}
	c.SetProgressHandler(1000, func() bool { return ctx.Err() != nil })
	o.over = c.InterruptAfter(ctx)
	return o, nil
}

func (o *output) close() error {
	if o.over != nil {
		o.over()
	}
	return errors.Join(o.c.Close(), o.model.Close())
}

// create runs what the damaged schema says of an object, if that is one statement
// which does no more than that.
func create(c *sqlite.Conn, ob object) error {
	words := strings.Fields(strings.ToUpper(ob.sql))
	want := strings.ToUpper(ob.kind)
	if len(words) < 2 || words[0] != "CREATE" || words[1] != want && !(want == "INDEX" && words[1] == "UNIQUE") {
		return fmt.Errorf("its text creates no %s", ob.kind)
	}
	s, tail, err := c.Prepare(ob.sql)
	if err != nil {
		return err
	}
	if s == nil || strings.TrimSpace(tail) != "" {
		if s != nil {
			_ = s.Finalize()
		}
		return errors.New("its text is more than one statement")
	}
	_, err = s.Step()
	return errors.Join(err, s.Finalize())
}

// layout is how the rows of a table are stored.
type layout struct {
	columns      []string // of the stored ones, in the order of the fields
	generated    []bool   // of these: they are computed
	cids         []int    // of these: their number in the table
	alias        int      // the one that is the rowid, -1 if none is
	rowid        string   // a name for the rowid, "" if there is none
	withoutRowid bool
	indexes      []indexLayout
}

// indexLayout is what the fields of an entry are.
type indexLayout struct {
	name    string
	cids    []int // of columns of the table; -1 is the rowid, -2 an expression
	partial bool
}

// layout asks the model.
func (o *output) layout(name string) (l layout, err error) {
	l.alias = -1
	withoutRowid := int64(0)
	err = each(o.model, "SELECT wr FROM pragma_table_list WHERE schema='main' AND name="+text(name), func(s *sqlite.Stmt) { withoutRowid = s.ColumnInt64(0) })
	if err != nil {
		return l, err
	}
	l.withoutRowid = withoutRowid != 0
	type column struct {
		name   string
		pk     int64
		hidden int64
	}
	var all []column
	err = each(o.model, "SELECT name, pk, hidden FROM pragma_table_xinfo("+text(name)+")", func(s *sqlite.Stmt) {
		all = append(all, column{s.ColumnText(0), s.ColumnInt64(1), s.ColumnInt64(2)})
	})
	if err != nil {
		return l, err
	}
	if len(all) == 0 {
		return l, errors.New("it has no columns")
	}
	key := "" // the index of the primary key
	err = each(o.model, "SELECT name, origin, partial FROM pragma_index_list("+text(name)+")", func(s *sqlite.Stmt) {
		if s.ColumnText(1) == "pk" {
			key = s.ColumnText(0)
		}
		l.indexes = append(l.indexes, indexLayout{name: s.ColumnText(0), partial: s.ColumnInt64(2) != 0})
	})
	for i := range l.indexes {
		x := &l.indexes[i]
		err = errors.Join(err, each(o.model, "SELECT cid FROM pragma_index_xinfo("+text(x.name)+") ORDER BY seqno", func(s *sqlite.Stmt) {
			x.cids = append(x.cids, int(s.ColumnInt64(0)))
		}))
	}
	if err != nil {
		return l, err
	}
	order := make([]int, 0, len(all))
	if l.withoutRowid {
		for _, x := range l.indexes {
			if x.name == key {
				order = x.cids
			}
		}
	} else {
		for i, c := range all {
			order = append(order, i)
			if c.pk == 1 && key == "" {
				l.alias = i
			}
		}
	}
	for _, cid := range order {
		if cid < 0 || cid >= len(all) || all[cid].hidden == 2 {
			continue // a computed one that isn't stored
		}
		if cid == l.alias {
			l.alias = len(l.columns) // its number among the stored
			l.rowid = quote(all[cid].name)
		}
		l.columns, l.generated, l.cids = append(l.columns, all[cid].name), append(l.generated, all[cid].hidden == 3), append(l.cids, cid)
	}
	if l.withoutRowid || l.rowid != "" {
		return l, nil
	}
	for _, try := range []string{"rowid", "_rowid_", "oid"} {
		if !slices.ContainsFunc(all, func(c column) bool { return strings.EqualFold(c.name, try) }) {
			l.rowid = try
			break
		}
	}
	return l, nil
}

// insertion returns the statement that inserts rows of so many fields. The columns
// that an ALTER TABLE has added after such a row was written get their defaults.
func (l layout) insertion(table string, fields []any) string {
	var names, values []string
	if l.rowid != "" && l.alias < 0 {
		names, values = append(names, l.rowid), append(values, "?")
	}
	for i, v := range fields {
		if !l.generated[i] {
			names, values = append(names, quote(l.columns[i])), append(values, parameter(v))
		}
	}
	if len(names) == 0 {
		return "INSERT INTO " + quote(table) + " DEFAULT VALUES"
	}
	return "INSERT INTO " + quote(table) + "(" + strings.Join(names, ",") + ") VALUES(" + strings.Join(values, ",") + ")"
}

// parameter is what stands for a value in a statement: of a text that can't be given
// to SQLite as one, its bytes are given.
func parameter(v any) string {
	if _, raw := v.(rawText); raw {
		return "CAST(? AS TEXT)"
	}
	return "?"
}

func isRaw(v any) bool {
	_, raw := v.(rawText)
	return raw
}

// bind binds a row as insertion wants it.
func (l layout) bind(s *sqlite.Stmt, rowid int64, fields []any) error {
	i := 1
	if l.rowid != "" && l.alias < 0 {
		if err := s.BindInt64(i, rowid); err != nil {
			return err
		}
		i++
	}
	for k, v := range fields {
		if l.generated[k] {
			continue
		}
		if k == l.alias {
			v = rowid
		}
		if err := bind(s, i, v); err != nil {
			return err
		}
		i++
	}
	return nil
}

func bind(s *sqlite.Stmt, i int, v any) error {
	switch v := v.(type) {
	case int64:
		return s.BindInt64(i, v)
	case float64:
		return s.BindFloat(i, v)
	case string:
		return s.BindText(i, v)
	case rawText:
		return s.BindBlob(i, append([]byte{}, v...))
	case []byte:
		return s.BindBlob(i, v)
	}
	return s.BindNull(i)
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
func text(s string) string     { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// each runs sql and shows f its rows.
func each(c *sqlite.Conn, sql string, f func(*sqlite.Stmt)) error {
	s, _, err := c.Prepare(sql)
	if err != nil {
		return err
	}
	defer s.Finalize()
	for {
		row, err := s.Step()
		if err != nil || !row {
			return err
		}
		f(s)
	}
}

// aside is the table lost_and_found, which is made when the first row belongs there.
type aside struct {
	c      *sqlite.Conn
	name   string
	width  int // columns for fields
	insert *sqlite.Stmt
	rows   int64
}

// asideWidth is how many fields a row may have there: what a table of SQLite can
// have, less the columns in front.
const asideWidth = 1990

// add puts a row there, with whose it may be and why it isn't in that table.
func (a *aside) add(table, reason string, root, page uint32, rowid any, fields []any) error {
	if a.name == "" {
		if err := a.create(); err != nil {
			return err
		}
	}
	known := fields[:min(len(fields), asideWidth)]
	if len(known) > a.width || a.insert == nil {
		if err := a.widen(len(known)); err != nil {
			return err
		}
	}
	var owner any
	if table != "" {
		owner = table
	}
	front := []any{owner, reason, int64(root), int64(page), rowid, int64(len(fields))}
	insert := a.insert
	if slices.ContainsFunc(known, isRaw) {
		var err error
		if insert, err = a.prepare(known); err != nil {
			return err
		}
		defer insert.Finalize()
	}
	for i := range len(front) + a.width {
		var v any
		switch {
		case i < len(front):
			v = front[i]
		case i-len(front) < len(known):
			v = known[i-len(front)]
		}
		if err := bind(insert, i+1, v); err != nil {
			return err
		}
	}
	_, err := insert.Step()
	if err == nil {
		a.rows++
	}
	return errors.Join(err, insert.Reset())
}

func (a *aside) create() error {
	for i := 0; ; i++ {
		name := "lost_and_found"
		if i > 0 {
			name += "_" + strconv.Itoa(i)
		}
		taken, err := a.c.QueryInt64("SELECT count(*) FROM sqlite_schema WHERE name=" + text(name) + " COLLATE NOCASE")
		if err != nil {
			return err
		}
		if taken == 0 {
			a.name = name
			return a.c.Exec("CREATE TABLE " + name + "(table_name TEXT, reason TEXT, root INTEGER, page INTEGER, id, fields INTEGER)")
		}
	}
}

func (a *aside) widen(width int) error {
	if a.insert != nil {
		if err := a.insert.Finalize(); err != nil {
			return err
		}
	}
	for ; a.width < width; a.width++ {
		if err := a.c.Exec(fmt.Sprintf("ALTER TABLE %s ADD COLUMN c%d", a.name, a.width)); err != nil {
			return err
		}
	}
	var err error
	a.insert, err = a.prepare(nil)
	return err
}

func (a *aside) prepare(fields []any) (*sqlite.Stmt, error) {
	sql := "INSERT INTO " + a.name + " VALUES(?,?,?,?,?,?"
	for i := range a.width {
		if i < len(fields) {
			sql += "," + parameter(fields[i])
		} else {
			sql += ",?"
		}
	}
	s, _, err := a.c.Prepare(sql + ")")
	return s, err
}
