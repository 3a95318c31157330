package salvage

import (
	"encoding/binary"
	"slices"
	"strings"
)

func be32(b []byte) uint32 { return binary.BigEndian.Uint32(b) }

// object is one row of sqlite_schema.
type object struct {
	kind, name, table string
	root              uint32
	sql               string
}

func asObject(f []any) (o object, ok bool) {
	if len(f) < 5 {
		return o, false
	}
	var okKind, okName, okTable bool
	o.kind, okKind = f[0].(string)
	o.name, okName = f[1].(string)
	o.table, okTable = f[2].(string)
	root, okRoot := f[3].(int64)
	var okSQL bool
	o.sql, okSQL = f[4].(string)
	if !okKind || !okName || !okTable || f[3] != nil && !okRoot || f[4] != nil && !okSQL {
		return o, false
	}
	if root < 0 || root > 1<<32-2 {
		root = 0
	}
	o.root = uint32(root)
	return o, slices.Contains([]string{"table", "index", "view", "trigger"}, o.kind)
}

// virtual tells whether the rows of a table are somewhere else.
func (o object) virtual() bool {
	return o.kind == "table" && strings.HasPrefix(strings.ToUpper(strings.TrimSpace(o.sql)), "CREATE VIRTUAL")
}

// readSchema reads sqlite_schema, and finds its pages again if the tree is broken.
func readSchema(w *walker) (objects []object, t *tree, err error) {
	t = &tree{root: 1}
	seen := map[string]bool{}
	bad := 0
	take := func(_ *node, c cell) error {
		p, e := w.im.payload(c, w.use)
		r, err := w.im.record(p, e == nil)
		o, ok := asObject(r.fields)
		switch {
		case err != nil || !ok || !r.whole:
			bad++
		case !seen[o.kind+o.name]:
			seen[o.kind+o.name] = true
			objects = append(objects, o)
		}
		return nil
	}
	if err := w.walk(t, take); err != nil {
		return nil, t, err
	}
	for range bad {
		t.holes = append(t.holes, hole{page: 1, in: 1, row: true, why: errRecord})
	}
	if len(t.holes) == bad {
		return objects, t, nil
	}
	for n := uint32(2); n <= w.im.pages; n++ {
		if err := w.tick(); err != nil {
			return nil, t, err
		}
		if kind, _ := w.im.parent(n); kind == mapFree || w.used[n] || w.im.isMap(n) {
			continue
		}
		if d, err := w.im.node(n); err == nil && d.kind == tableLeaf && schemaLike(d) {
			w.used[n] = true
			for i := range d.cells() {
				if c, err := d.cell(i); err == nil {
					_ = take(d, c) // never fails
				}
			}
		}
	}
	return objects, t, nil
}

// schemaLike tells whether all rows of a page could be of sqlite_schema.
func schemaLike(d *node) bool {
	for i := range d.cells() {
		c, err := d.cell(i)
		if err != nil {
			return false
		}
		p, e := d.im.payload(c, nil)
		r, err := d.im.record(p, e == nil)
		if err != nil {
			return false
		}
		if _, ok := asObject(r.fields); !ok || len(r.fields) != 5 {
			return false
		}
	}
	return d.cells() > 0
}
