package salvage

import (
	"context"
	"errors"
	"fmt"
	"math"
)

// tree is one tree of the file, as far as it was gone through.
type tree struct {
	root  uint32
	index bool

	holes  []hole
	leaves int64 // that were read
	rows   int64 // likewise
	depth  int   // of the leaves; 0 while none was found
}

// hole is what could not be read of a tree.
type hole struct {
	page   uint32
	in     uint32 // the page that refers to it, or has the row
	row    bool   // one row and not a page
	doubt  bool   // nothing that is known: how many rows the page has is damaged
	depth  int
	lo, hi int64 // of a table: which rowids it had, lo itself not among them
	why    error
}

// walker goes through trees and remembers where it has been.
type walker struct {
	ctx  context.Context
	im   *image
	tell func(done, total int)

	now   uint32   // the tree that is gone through
	stamp []uint32 // by page: the last tree that it was found in
	used  []bool   // by page: something refers to it
	read  int
	row   func(d *node, c cell) error
}

func newWalker(ctx context.Context, im *image, tell func(done, total int)) *walker {
	return &walker{ctx: ctx, im: im, tell: tell, stamp: make([]uint32, im.pages+1), used: make([]bool, im.pages+1)}
}

var errDoubt = errors.New("how many rows it has is damaged; some of them may be gone, or be back though they were deleted")

// maxDepth is more than SQLite's own trees can have.
const maxDepth = 24

// walk gives every cell of a tree that has a row to f, in its order. A cycle ends at
// the page that it comes back to. Only what f and the context say is an error.
func (w *walker) walk(t *tree, f func(d *node, c cell) error) error {
	w.now++
	w.row = f
	return w.visit(t, t.root, 0, 0, math.MinInt64, math.MaxInt64)
}

func (w *walker) visit(t *tree, n, from uint32, depth int, lo, hi int64) error {
	if err := w.tick(); err != nil {
		return err
	}
	miss := func(why error) {
		t.holes = append(t.holes, hole{page: n, in: from, depth: depth, lo: lo, hi: hi, why: why})
	}
	switch {
	case n == 0 || n > w.im.pages:
		miss(fmt.Errorf("there is no page %d", n))
		return nil
	case w.stamp[n] == w.now:
		miss(errors.New("it was met before in the same tree"))
		return nil
	case depth > maxDepth:
		miss(errors.New("the tree is too deep"))
		return nil
	}
	w.stamp[n] = w.now
	d, err := w.im.node(n)
	if err == nil && d.index() != t.index { // and may be missing there
		err = errors.New("it is of a tree of another kind")
	} else {
		w.used[n] = true
	}
	if err != nil {
		miss(err)
		return nil
	}
	if !d.interior() {
		t.leaves++
		if t.depth == 0 {
			t.depth = depth
		}
	}
	return w.cells(t, d, depth, lo, hi)
}

func (w *walker) cells(t *tree, d *node, depth int, lo, hi int64) error {
	from := lo
	if d.doubt {
		t.holes = append(t.holes, hole{page: d.no, in: d.no, row: true, doubt: true, lo: lo, hi: hi, why: errDoubt})
	}
	for i := range d.cells() {
		c, err := d.cell(i)
		if err != nil {
			t.holes = append(t.holes, hole{page: d.no, in: d.no, row: !d.interior() || t.index, depth: depth, lo: lo, hi: hi, why: err})
			continue
		}
		if d.interior() {
			to := hi
			if !t.index {
				to = c.rowid
			}
			if err := w.visit(t, c.child, d.no, depth+1, from, max(from, to)); err != nil {
				return err
			}
			if !t.index {
				from = c.rowid
				continue
			}
		}
		t.rows++
		if w.row == nil {
			continue
		}
		if err := w.row(d, c); err != nil {
			return err
		}
	}
	if d.interior() {
		return w.visit(t, d.right, d.no, depth+1, from, hi)
	}
	return nil
}

func (w *walker) tick() error {
	w.read++
	if w.tell != nil && w.read%256 == 0 {
		w.tell(min(w.read, int(w.im.pages)), int(w.im.pages))
	}
	return w.ctx.Err()
}

// use notes an overflow page.
func (w *walker) use(n uint32) { w.used[n] = true }

// free notes the pages of the freelist. whole is false if it can't be followed to
// its end: then nobody knows which pages hold what was deleted.
func (w *walker) free() (pages int, whole bool) {
	if !w.im.whole {
		return 0, false
	}
	for n := w.im.trunk; n != 0; {
		b, err := w.im.page(n)
		if err != nil || w.used[n] {
			return pages, false
		}
		w.used[n] = true
		pages++
		count := int(be32(b[4:]))
		if count > w.im.usable/4-2 {
			return pages, false
		}
		for i := range count {
			leaf := be32(b[8+4*i:])
			if leaf == 0 || leaf > w.im.pages {
				return pages, false
			}
			if !w.used[leaf] {
				w.used[leaf] = true
				pages++
			}
		}
		n = be32(b)
	}
	return pages, true
}
