package salvage

import (
	"errors"
	"math"
)

// orphans are pages with rows that nothing refers to any more.
type orphans struct {
	pages []uint32
	above map[uint32]uint32 // who refers to a page, of those that nothing refers to
}

// gatherOrphans finds the pages of rows that no tree led to, and gives each to its
// table. That needs a proof: the pointer map, or a gap in one table alone that its
// rowids fit in and where its rows fit the columns. Else they go aside.
func (s *salvage) gatherOrphans() error {
	o, err := s.findOrphans()
	if err != nil {
		return err
	}
	for _, n := range o.pages {
		if err := s.ctx.Err(); err != nil {
			return err
		}
		d, err := s.im.node(n)
		if err != nil {
			continue
		}
		whose, sure := s.byMap(n)
		if sure && (whose.table == nil) != d.index() && (whose.table == nil || whose.table.tree.index != d.index()) {
			sure = false // the page has changed places with another
		}
		if !sure && !s.noList {
			whose, sure = s.byRows(d)
		}
		switch {
		case sure && whose.table == nil: // of an index, which is made anew
		case sure:
			err = s.adopt(whose.table, d)
		default:
			err = s.strand(d, o.root(n))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *salvage) findOrphans() (o orphans, err error) {
	o.above = map[uint32]uint32{}
	trees := len(s.tables) == 0
	for n := uint32(2); n <= s.im.pages; n++ {
		if err := s.w.tick(); err != nil {
			return o, err
		}
		if s.w.used[n] || s.im.isMap(n) {
			continue
		}
		if kind, _ := s.im.parent(n); kind == mapFree || kind == mapOverflow || kind == mapNext {
			continue
		}
		d, err := s.im.node(n)
		if err != nil || !d.plausible() {
			continue
		}
		if d.interior() {
			for i := range d.cells() {
				if c, err := d.cell(i); err == nil {
					o.above[c.child] = n
				}
			}
			o.above[d.right] = n
		}
		// Of an index tree the pages above the leaves have rows too.
		if d.kind != tableInterior && (d.kind == tableLeaf || trees || len(s.owners) > 0) {
			o.pages = append(o.pages, n)
		}
	}
	return o, nil
}

// root is the page that a page hangs below.
func (o orphans) root(n uint32) uint32 {
	for range maxDepth {
		up, ok := o.above[n]
		if !ok {
			break
		}
		n = up
	}
	return n
}

// byMap follows the pointer map up to a page of which is known whose it is.
func (s *salvage) byMap(n uint32) (owner, bool) {
	for range maxDepth {
		kind, up := s.im.parent(n)
		if kind != mapTree || up == 0 {
			return owner{}, false
		}
		if whose, ok := s.owners[up]; ok {
			return whose, true
		}
		if s.w.used[up] { // it is whole and refers to other pages
			return owner{}, false
		}
		n = up
	}
	return owner{}, false
}

// byRows finds the one table that a page must belong to.
func (s *salvage) byRows(d *node) (found owner, sure bool) {
	indexes := false
	for _, x := range s.indexes {
		indexes = indexes || len(x.tree.holes) > 0
	}
	n := 0
	for _, t := range s.tables {
		if len(t.tree.holes) > 0 && t.tree.index == d.index() && s.fits(t, d) {
			found.table = t
			n++
		}
	}
	switch {
	case d.index() && indexes && n == 0:
		return owner{index: true}, true
	case d.index() && indexes:
		return owner{}, false
	}
	return found, n == 1
}

// fits tells whether all rows of a page could be missing from a table.
func (s *salvage) fits(t *table, d *node) bool {
	if !t.made {
		return false
	}
	gaps := t.gaps()
	last := int64(math.MinInt64)
	for i := range d.cells() {
		if !d.good(i) {
			continue
		}
		c, err := d.cell(i)
		if err != nil || !d.index() && (!inside(gaps, c.rowid) || i > 0 && c.rowid <= last) {
			return false
		}
		last = c.rowid
		p, e := s.im.payload(c, nil)
		r, err := s.im.record(p, e == nil)
		if err != nil || len(r.fields) > len(t.layout.columns) {
			return false
		}
		// An ALTER TABLE adds columns to all rows, old ones have fewer; but the one
		// that is the rowid is stored as NULL, and in no other table's row for sure.
		if k := t.layout.alias; k >= 0 && k < len(r.fields) && r.fields[k] != nil {
			return false
		}
	}
	return d.cells() > 0
}

// adopt copies the rows of a page into its table.
func (s *salvage) adopt(t *table, d *node) error {
	for i := range d.cells() {
		c, err := d.cell(i)
		if err != nil {
			continue
		}
		into, err := s.take(t, d, c)
		if err != nil {
			return err
		}
		if into {
			t.report.FromOrphans++
		}
	}
	return nil
}

// strand puts the rows of a page aside.
func (s *salvage) strand(d *node, root uint32) error {
	for i := range d.cells() {
		c, err := d.cell(i)
		if err != nil {
			continue
		}
		p, broken := s.im.payload(c, s.w.use)
		r, err := s.im.record(p, broken == nil)
		if err != nil {
			continue
		}
		reason := "nothing refers to its page"
		if !r.whole {
			reason = "a part is missing, and " + reason
		}
		var id any
		if !d.index() {
			id = c.rowid
		}
		if err := s.putAside(nil, reason, root, d.no, id, r.fields); err != nil {
			return errors.Join(err, s.ctx.Err())
		}
	}
	return nil
}
