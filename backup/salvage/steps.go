package salvage

import (
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// readObjects reads the schema and makes its tables.
func (s *salvage) readObjects() error {
	s.w = newWalker(s.ctx, s.im, s.stage("read"))
	objects, t, err := readSchema(s.w)
	if err != nil {
		return err
	}
	for _, h := range t.holes {
		s.report.DamagedPages = addPage(s.report.DamagedPages, h.page, mostPages)
	}
	if s.options.SchemaFrom != "" {
		if objects, err = s.borrowSchema(); err != nil {
			return err
		}
	}
	s.objects = objects
	for _, o := range objects {
		if o.kind == "table" && o.name == "sqlite_stat1" { // makes those for statistics that this engine has
			_ = s.out.c.Exec("ANALYZE sqlite_schema") // without them their rows go aside
		}
	}
	for _, o := range objects {
		switch {
		case o.kind == "table" && !o.virtual() && o.root > 1:
			s.tables = append(s.tables, s.makeTable(o))
		case o.kind == "index" && o.root > 1:
			s.indexes = append(s.indexes, &indexTree{object: o, tree: tree{root: o.root, index: true}})
		}
	}
	for _, o := range objects {
		if o.kind == "index" && o.sql != "" {
			_ = create(s.out.model, o) // that it can't be made is told when it really is
		}
	}
	for _, t := range s.tables {
		if !t.made {
			continue
		}
		if t.layout, err = s.out.layout(t.name); err != nil {
			t.made = false
			t.report.problem(err.Error())
		}
	}
	return s.ctx.Err()
}

// borrowSchema reads the schema of another database.
func (s *salvage) borrowSchema() ([]object, error) {
	f, size, err := openFile(s.options.SchemaFrom)
	if err == nil && f == nil {
		err = &os.PathError{Op: "open", Path: s.options.SchemaFrom, Err: os.ErrNotExist}
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	im, err := newImage(f, size, overlay{}, 0)
	if err != nil {
		return nil, err
	}
	objects, t, err := readSchema(newWalker(s.ctx, im, nil))
	if err == nil && (len(t.holes) > 0 || !im.whole) {
		err = fmt.Errorf("the schema of %s is damaged too; name another database", s.options.SchemaFrom)
	}
	if err == nil && !s.im.whole {
		s.im.encoding, s.im.user, s.im.app = im.encoding, im.user, im.app
	}
	return objects, err
}

func (s *salvage) makeTable(o object) *table {
	t := &table{object: o, tree: tree{root: o.root}, inserts: map[int]*sqlite.Stmt{}}
	t.report = Table{Name: o.name, Missing: []Range{}, DamagedPages: []uint32{}, Problems: []string{}}
	if d, err := s.im.node(o.root); err == nil {
		t.tree.index = d.index()
	} else {
		t.tree.index = strings.Contains(strings.ToUpper(o.sql), "WITHOUT ROWID")
	}
	var err error
	if strings.HasPrefix(strings.ToLower(o.name), "sqlite_") { // SQLite makes it itself
		if strings.HasPrefix(o.name, "sqlite_stat") {
			_ = s.out.model.Exec("ANALYZE sqlite_schema")
		}
		var n int64
		if n, err = s.out.c.QueryInt64("SELECT count(*) FROM sqlite_schema WHERE name=" + text(o.name)); err == nil && n == 0 {
			err = errors.New("SQLite makes it, and has not")
		}
	} else if err = create(s.out.model, o); err == nil {
		err = create(s.out.c, o)
	}
	t.made = err == nil
	if err != nil {
		t.report.problem("it could not be made: " + err.Error())
	}
	return t
}

// copyTables goes through all tables. sqlite_sequence is last: inserting rows changes it.
func (s *salvage) copyTables() error {
	last := func(t *table) int {
		if t.name == "sqlite_sequence" {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(s.tables, func(a, b *table) int { return last(a) - last(b) })
	for _, t := range s.tables {
		err := s.w.walk(&t.tree, func(d *node, c cell) error {
			_, err := s.take(t, d, c)
			return err
		})
		if err != nil {
			return err
		}
		for _, h := range t.tree.holes {
			s.own(h, owner{table: t})
			s.damage(t, h.page)
			if !h.row {
				t.report.problem(fmt.Sprintf("page %d can't be read: %v", h.page, h.why))
			} else if h.doubt {
				t.report.problem(fmt.Sprintf("page %d: %v", h.page, h.why))
			} else if h.depth > 0 {
				t.report.problem(fmt.Sprintf("page %d has a row that can't be read: %v", h.page, h.why))
			}
		}
	}
	return nil
}

// own notes whose page is damaged: what it refers to is his too.
func (s *salvage) own(h hole, o owner) {
	for _, n := range []uint32{h.page, h.in} {
		if n != 0 && (n == h.in || !h.row) {
			s.owners[n] = o
		}
	}
}

// goThroughIndexes finds out which pages are theirs, and which of them are damaged.
func (s *salvage) goThroughIndexes() error {
	for _, x := range s.indexes {
		err := s.w.walk(&x.tree, func(_ *node, c cell) error {
			_, e := s.im.payload(c, s.w.use)
			if e != nil {
				x.tree.holes = append(x.tree.holes, hole{row: true, why: e})
			}
			return nil
		})
		if err != nil {
			return err
		}
		if len(x.tree.holes) > 0 {
			s.report.Indexes = append(s.report.Indexes, x.name)
		}
		for _, h := range x.tree.holes {
			s.own(h, owner{index: true})
			if h.page != 0 {
				s.report.DamagedPages = addPage(s.report.DamagedPages, h.page, mostPages)
			}
		}
	}
	var whole bool
	s.report.FreePages, whole = s.w.free()
	s.noList = !whole
	s.report.FreelistBad = !whole
	return nil
}

// mostRebuilt bounds what is remembered of rows that indexes know.
const mostRebuilt = 1 << 20

// askIndexes looks in the indexes for rows that were on damaged pages: it counts
// them, and copies those of which all columns are known.
func (s *salvage) askIndexes() error {
	for _, t := range s.tables {
		gaps := t.gaps()
		if len(gaps) == 0 || !t.rowed() {
			continue
		}
		missing := map[int64][]any{}
		exact := false
		for _, x := range t.layout.indexes {
			i := slices.IndexFunc(s.indexes, func(o *indexTree) bool { return o.name == x.name })
			if i < 0 {
				continue
			}
			whole, err := s.askIndex(t, s.indexes[i], x, gaps, missing)
			if err != nil {
				return err
			}
			exact = exact || whole && !x.partial
		}
		if err := s.rebuild(t, missing); err != nil {
			return err
		}
		if exact && len(missing) < mostRebuilt {
			t.report.LostExact, t.report.RowsLost = true, int64(len(missing))
			var lost []Range
			for id := range missing {
				lost = append(lost, Range{id, id})
			}
			t.report.Missing = merge(lost, mostOfTable)
		}
	}
	return nil
}

// unknown is a column that no index has.
type unknown struct{}

func (s *salvage) askIndex(t *table, x *indexTree, l indexLayout, gaps []Range, missing map[int64][]any) (whole bool, err error) {
	whole = len(x.tree.holes) == 0
	again := tree{root: x.root, index: true}
	err = s.w.walk(&again, func(_ *node, c cell) error {
		p, e := s.im.payload(c, nil)
		r, err := s.im.record(p, e == nil)
		if err != nil || !r.whole || len(r.fields) != len(l.cids) {
			whole = false
			return nil
		}
		id, ok := r.fields[len(r.fields)-1].(int64)
		if !ok || !inside(gaps, id) || len(missing) >= mostRebuilt && missing[id] == nil {
			return nil
		}
		row := missing[id]
		if row == nil {
			there, err := s.has(t, id)
			if err != nil || there {
				return err
			}
			row = make([]any, len(t.layout.columns))
			for i := range row {
				row[i] = unknown{}
			}
			missing[id] = row
		}
		for i, cid := range l.cids {
			if k := slices.Index(t.layout.cids, cid); k >= 0 {
				row[k] = r.fields[i]
			}
		}
		return nil
	})
	return whole, err
}

// rebuild copies the rows that are known whole, and takes them off; of the others
// what is known goes aside.
func (s *salvage) rebuild(t *table, missing map[int64][]any) error {
	for id, row := range missing {
		whole, known := true, false
		for k, v := range row {
			if v != any(unknown{}) {
				known = true
				continue
			}
			if row[k] = nil; k != t.layout.alias && !t.layout.generated[k] {
				whole = false
			}
		}
		if whole {
			into, err := s.insert(t, 0, id, row)
			if err != nil {
				return err
			}
			if into {
				t.report.FromIndexes++
				delete(missing, id)
			}
		} else if known {
			if err := s.putAside(t, "only what indexes know of it is left", t.root, 0, id, row); err != nil {
				return err
			}
		}
	}
	return s.ctx.Err()
}

// count estimates what is lost where no index tells.
func (s *salvage) count() error {
	for _, t := range s.tables {
		if !t.report.LostExact {
			if err := s.estimate(t); err != nil {
				return err
			}
		}
		s.report.Rows += t.report.Rows
		s.report.RowsLost += t.report.RowsLost
	}
	return nil
}

func (s *salvage) estimate(t *table) error {
	t.report.LostExact = len(t.tree.holes) == 0
	average := 1.0
	if t.tree.leaves > 0 {
		average = max(1, float64(t.tree.rows)/float64(t.tree.leaves))
	}
	lost := 0.0
	var gaps []Range
	for _, h := range t.tree.holes {
		if t.rowed() && h.lo < h.hi {
			there, err := s.out.c.QueryInt64(fmt.Sprintf("SELECT count(*) FROM (SELECT 1 FROM %s WHERE %s>%d AND %s<=%d LIMIT %d)",
				quote(t.name), t.layout.rowid, h.lo, t.layout.rowid, h.hi, int64(math.MaxInt32)))
			if err != nil {
				return err
			}
			span := float64(h.hi) - float64(h.lo)
			if h.row && h.hi-h.lo == 1 && there == 1 || !h.row && float64(there) >= span {
				continue // found elsewhere
			}
			gaps = append(gaps, Range{h.lo + 1, h.hi})
			if !h.row && h.lo != math.MinInt64 && h.hi != math.MaxInt64 {
				if h.depth < t.tree.depth { // a page without rows: those below were looked for, and counted
					lost += min(span-float64(there), max(0, average-float64(there)))
				} else {
					lost += min(span, average)
				}
				continue
			}
		}
		switch {
		case h.doubt:
		case h.row:
			lost++
		case h.depth >= t.tree.depth && (t.tree.depth > 0 || t.report.FromOrphans == 0):
			lost += average
		}
	}
	t.report.RowsLost = int64(math.Round(lost))
	t.report.Missing = merge(gaps, mostOfTable)
	return nil
}
