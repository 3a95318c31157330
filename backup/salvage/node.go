package salvage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Kinds of pages of trees.
const (
	indexInterior = 2
	tableInterior = 5
	indexLeaf     = 10
	tableLeaf     = 13
)

// node is one page of a tree.
type node struct {
	im    *image
	no    uint32
	kind  byte
	page  []byte
	ptrs  []byte // two bytes for each cell
	right uint32 // of an interior page, the last child
	doubt bool   // it says that it has more cells than there is room for
}

var errNoTree = errors.New("it is no page of a tree")

func (im *image) node(n uint32) (*node, error) {
	b, err := im.page(n)
	if err != nil {
		return nil, err
	}
	at := 0
	if n == 1 {
		at = headerSize
	}
	d := &node{im: im, no: n, kind: b[at], page: b[:im.usable]}
	head := 8
	switch d.kind {
	case tableInterior, indexInterior:
		head = 12
		d.right = binary.BigEndian.Uint32(b[at+8:])
	case tableLeaf, indexLeaf:
	default:
		return nil, errNoTree
	}
	cells := int(binary.BigEndian.Uint16(b[at+3:]))
	from, to := at+head, im.usable
	if start := int(binary.BigEndian.Uint16(b[at+5:])); start >= from && start < to {
		to = start
	}
	if from+2*cells > to {
		d.doubt, cells = true, (to-from)/2
	}
	d.ptrs = b[from : from+2*cells]
	if d.doubt {
		d.ptrs = d.ptrs[:2*d.ascending()]
		if d.cells() == 0 {
			return nil, fmt.Errorf("%w: it has no rows where it says", errNoTree)
		}
	}
	return d, nil
}

// ascending is how many cells from the first on can be read, and have rowids that rise.
// What is behind them was never a cell, or is one no more.
func (d *node) ascending() int {
	last := int64(math.MinInt64)
	for i := range d.cells() {
		if !d.good(i) {
			return i
		}
		c, _ := d.cell(i)
		if !d.index() && i > 0 && c.rowid <= last {
			return i
		}
		last = c.rowid
	}
	return d.cells()
}

func (d *node) cells() int     { return len(d.ptrs) / 2 }
func (d *node) interior() bool { return d.kind == tableInterior || d.kind == indexInterior }
func (d *node) index() bool    { return d.kind == indexInterior || d.kind == indexLeaf }

// plausible tells whether half of the cells of a page that nothing refers to can be
// read, or more: the page itself may be damaged.
func (d *node) plausible() bool {
	good := 0
	for i := range d.cells() {
		if d.good(i) {
			good++
		}
	}
	return good > 0 && 2*good >= d.cells()
}

// good tells whether a cell looks like one.
func (d *node) good(i int) bool {
	c, err := d.cell(i)
	if err != nil {
		return false
	}
	if d.kind == tableInterior {
		return c.child > 0 && c.child <= d.im.pages
	}
	n, w := varint(c.local)
	return w > 0 && int(n) >= w && n <= c.size
}

// cell is one entry of a page.
type cell struct {
	child uint32
	rowid int64
	size  uint64 // of the record, with what is on overflow pages
	local []byte // what is on this page
	next  uint32 // the first overflow page, or 0
}

var errCell = errors.New("it can't be where the page says")

func (d *node) cell(i int) (c cell, err error) {
	at := int(binary.BigEndian.Uint16(d.ptrs[2*i:])) & (d.im.pageSize - 1) // SQLite looks at no more bits
	if at < 8 || at+4 > len(d.page) {
		return c, errCell
	}
	b := d.page[at:]
	if d.interior() {
		c.child = binary.BigEndian.Uint32(b)
		b = b[4:]
	}
	if d.kind == tableInterior {
		n, w := varint(b)
		if w == 0 {
			return c, errCell
		}
		c.rowid = int64(n)
		return c, nil
	}
	n, w := varint(b)
	if w == 0 {
		return c, errCell
	}
	c.size, b = n, b[w:]
	if d.kind == tableLeaf {
		n, w := varint(b)
		if w == 0 {
			return c, errCell
		}
		c.rowid, b = int64(n), b[w:]
	}
	local, more := d.local(c.size)
	if local > len(b) || more && local+4 > len(b) {
		return c, errCell
	}
	c.local = b[:local]
	if more {
		c.next = binary.BigEndian.Uint32(b[local:])
	}
	return c, nil
}

// local is how much of a record of so many bytes stands in its cell.
func (d *node) local(size uint64) (n int, more bool) {
	u := d.im.usable
	most, least := u-35, (u-12)*32/255-23
	if d.index() {
		most = (u-12)*64/255 - 23
	}
	if size <= uint64(most) {
		return int(size), false
	}
	n = least + int((size-uint64(least))%uint64(u-4))
	if n > most {
		n = least
	}
	return n, true
}

// varint decodes a number; w is 0 if b is too short.
func varint(b []byte) (n uint64, w int) {
	for i := 0; i < 9 && i < len(b); i++ {
		if i == 8 {
			return n<<8 | uint64(b[8]), 9
		}
		n = n<<7 | uint64(b[i]&0x7f)
		if b[i] < 0x80 {
			return n, i + 1
		}
	}
	return 0, 0
}

// payload puts a record together. If its overflow pages end too soon it is what
// there is of it, with an error. seen is told each of these pages.
func (im *image) payload(c cell, seen func(page uint32)) ([]byte, error) {
	if c.next == 0 && uint64(len(c.local)) == c.size {
		return c.local, nil
	}
	if c.size > uint64(im.pages)*uint64(im.usable) {
		return c.local, errors.New("it would be larger than the file")
	}
	out := append(make([]byte, 0, min(c.size, 1<<20)), c.local...)
	mark, steps := c.next, 0 // of the chain a page now and then, to which a cycle comes back
	for next := c.next; uint64(len(out)) < c.size; {
		b, err := im.page(next)
		if err != nil {
			return out, fmt.Errorf("its overflow page %d can't be read: %w", next, err)
		}
		if seen != nil {
			seen(next)
		}
		n := min(c.size-uint64(len(out)), uint64(im.usable-4))
		out = append(out, b[4:4+n]...)
		next = binary.BigEndian.Uint32(b)
		if next == mark && uint64(len(out)) < c.size {
			return out, fmt.Errorf("its overflow pages come back to page %d", next)
		}
		if steps++; steps&(steps-1) == 0 {
			mark = next
		}
	}
	return out, nil
}
