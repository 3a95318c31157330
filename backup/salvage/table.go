package salvage

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"

	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// table is one table that rows are copied into.
type table struct {
	object
	tree   tree
	layout layout
	made   bool // it is in the new database; else its rows go aside
	report Table

	inserts map[int]*sqlite.Stmt // by the number of fields
	exists  *sqlite.Stmt
}

// take copies one row.
func (s *salvage) take(t *table, d *node, c cell) (into bool, err error) {
	if s.taken++; s.taken%1024 == 0 && s.ctx.Err() != nil {
		return false, s.ctx.Err()
	}
	p, broken := s.im.payload(c, s.w.use)
	r, err := s.im.record(p, broken == nil)
	rowid := any(c.rowid)
	if d.index() {
		rowid = nil
	}
	switch {
	case err != nil:
		t.lose(d.no, c.rowid, err)
		t.report.problem(fmt.Sprintf("page %d has a row that is none", d.no))
		s.damage(t, d.no)
		return false, nil
	case !r.whole:
		t.lose(d.no, c.rowid, errRecord)
		s.damage(t, d.no)
		why := "it is damaged"
		if broken != nil {
			why = broken.Error()
		}
		t.report.problem(fmt.Sprintf("page %d has a row of which only a part is left: %s", d.no, why))
		return false, s.putAside(t, "a part is missing: "+why, t.root, d.no, rowid, r.fields)
	}
	return s.insert(t, d.no, rowid, r.fields)
}

// lose notes a row that is there and can't be read whole.
func (t *table) lose(page uint32, rowid int64, why error) {
	h := hole{page: page, in: page, row: true, lo: rowid, hi: rowid, why: why}
	if rowid > math.MinInt64 {
		h.lo--
	}
	t.tree.holes = append(t.tree.holes, h)
}

// damage notes a page.
func (s *salvage) damage(t *table, page uint32) {
	t.report.DamagedPages = addPage(t.report.DamagedPages, page, mostOfTable)
	s.report.DamagedPages = addPage(s.report.DamagedPages, page, mostPages)
}

func (s *salvage) putAside(t *table, reason string, root, page uint32, rowid any, fields []any) error {
	name := ""
	if t != nil {
		name = t.name
		t.report.Aside++
	}
	return s.out.aside.add(name, reason, root, page, rowid, fields)
}

// insert puts a whole row into its table, or aside if that doesn't take it.
func (s *salvage) insert(t *table, page uint32, rowid any, fields []any) (into bool, err error) {
	switch {
	case !t.made:
		return false, s.putAside(t, "its table could not be made", t.root, page, rowid, fields)
	case len(fields) > len(t.layout.columns):
		s.foreign(t, page)
		return false, s.putAside(t, fmt.Sprintf("it has %d fields where the table has %d columns", len(fields), len(t.layout.columns)), t.root, page, rowid, fields)
	case t.layout.withoutRowid != (rowid == nil):
		return false, s.putAside(t, "it is a row of another kind of table", t.root, page, rowid, fields)
	}
	id, _ := rowid.(int64)
	if strings.EqualFold(t.name, "sqlite_sequence") {
		return s.sequence(fields)
	}
	st, once, err := s.insertion(t, fields)
	if err != nil {
		return false, s.refused(t, err, page, rowid, fields)
	}
	if once {
		defer st.Finalize()
	}
	if err := t.layout.bind(st, id, fields); err != nil {
		return false, s.refused(t, err, page, rowid, fields)
	}
	_, err = st.Step()
	_ = st.Reset() // says the same again
	if err != nil {
		return false, s.refused(t, err, page, rowid, fields)
	}
	t.report.Rows++
	return true, nil
}

// insertion returns the statement that inserts such rows; once says that it is for this
// one.
func (s *salvage) insertion(t *table, fields []any) (st *sqlite.Stmt, once bool, err error) {
	if slices.ContainsFunc(fields, isRaw) {
		st, _, err = s.out.c.Prepare(t.layout.insertion(t.name, fields))
		return st, true, err
	}
	if st = t.inserts[len(fields)]; st == nil {
		if st, _, err = s.out.c.Prepare(t.layout.insertion(t.name, fields)); err == nil {
			t.inserts[len(fields)] = st
		}
	}
	return st, false, err
}

func (s *salvage) foreign(t *table, page uint32) {
	s.damage(t, page)
	t.report.problem(fmt.Sprintf("page %d has rows of another table", page))
}

// refused deals with a row that the table doesn't take: the same was there already,
// or it breaks a rule and so can't have come there whole.
func (s *salvage) refused(t *table, err error, page uint32, rowid any, fields []any) error {
	if ctxErr := s.ctx.Err(); ctxErr != nil {
		return ctxErr
	}
	code := sqlite.Code(err)
	switch code.Primary() {
	case sqlite.ResultFull, sqlite.ResultIOErr, sqlite.ResultNoMem, sqlite.ResultCantOpen, sqlite.ResultInterrupt:
		return err
	}
	if code == sqlite.ResultConstraintPrimaryKey || code == sqlite.ResultConstraintRowID || code == sqlite.ResultConstraintUnique {
		if id, ok := rowid.(int64); ok && s.same(t, id, fields) {
			t.report.Duplicates++
			return nil
		}
	}
	text := err.Error()
	t.report.problem("rows were not taken: " + text)
	return s.putAside(t, text, t.root, page, rowid, fields)
}

// same tells whether the row with this rowid is the same as one that was copied.
func (s *salvage) same(t *table, id int64, fields []any) bool {
	same := false
	err := each(s.out.c, fmt.Sprintf("SELECT * FROM %s WHERE %s=%d", quote(t.name), t.layout.rowid, id), func(st *sqlite.Stmt) {
		same = true
		for i, v := range fields {
			cid := t.layout.cids[i]
			if t.layout.generated[i] || i == t.layout.alias || cid >= st.ColumnCount() {
				continue
			}
			same = same && reflect.DeepEqual(stored(st, cid), v)
		}
	})
	return err == nil && same
}

func stored(st *sqlite.Stmt, i int) any {
	switch st.ColumnType(i) {
	case sqlite.TypeInteger:
		return st.ColumnInt64(i)
	case sqlite.TypeFloat:
		return st.ColumnFloat(i)
	case sqlite.TypeText:
		return st.ColumnText(i)
	case sqlite.TypeBlob:
		return st.ColumnBlob(i)
	}
	return nil
}

// sequence takes a row of sqlite_sequence: a number that was given out is never
// given out again, so the higher one counts.
func (s *salvage) sequence(fields []any) (bool, error) {
	if len(fields) < 2 {
		return false, nil
	}
	name, okName := fields[0].(string)
	seq, okSeq := fields[1].(int64)
	if !okName || !okSeq {
		return false, nil
	}
	err := s.out.c.Exec(fmt.Sprintf("UPDATE sqlite_sequence SET seq=max(seq,%d) WHERE name=%s", seq, text(name)))
	if err == nil && s.out.c.Changes() == 0 {
		err = s.out.c.Exec(fmt.Sprintf("INSERT INTO sqlite_sequence VALUES(%s,%d)", text(name), seq))
	}
	return err == nil, err
}

// has tells whether a row is in the new table.
func (s *salvage) has(t *table, rowid int64) (bool, error) {
	if t.exists == nil {
		var err error
		if t.exists, _, err = s.out.c.Prepare("SELECT 1 FROM " + quote(t.name) + " WHERE " + t.layout.rowid + "=?"); err != nil {
			return false, err
		}
	}
	if err := t.exists.BindInt64(1, rowid); err != nil {
		return false, err
	}
	row, err := t.exists.Step()
	return row, errors.Join(err, t.exists.Reset())
}

func (t *table) finalize() {
	for _, st := range t.inserts {
		_ = st.Finalize()
	}
	if t.exists != nil {
		_ = t.exists.Finalize()
	}
	t.inserts, t.exists = nil, nil
}

// rowed tells whether rows can be asked for by rowid.
func (t *table) rowed() bool { return t.made && !t.layout.withoutRowid && t.layout.rowid != "" }

// gaps are the rowids that may have been where something can't be read.
func (t *table) gaps() []Range {
	var all []Range
	for _, h := range t.tree.holes {
		from := h.lo
		if h.lo != math.MinInt64 {
			from++
		}
		if from <= h.hi {
			all = append(all, Range{from, h.hi})
		}
	}
	return merge(all, math.MaxInt)
}

func inside(gaps []Range, rowid int64) bool {
	i, found := slices.BinarySearchFunc(gaps, rowid, func(r Range, id int64) int { return cmp.Compare(r.From, id) })
	return found || i > 0 && rowid <= gaps[i-1].To
}
