package row

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Plan is where the columns of a row go in an item of one type.
type Plan []target

// Set copies the row into item.
func (p Plan) Set(r *Row, item reflect.Value) error {
	for i, t := range p {
		if err := t.set(r, i, item); err != nil {
			return err
		}
	}
	return nil
}

// target is where a column of a row goes.
type target struct {
	index   []int // of the field; empty for the item itself
	scanner bool
}

func (t target) set(r *Row, i int, item reflect.Value) error {
	v := item
	for _, k := range t.index {
		if v.Kind() == reflect.Pointer { // an embedded one
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(k)
	}
	if t.scanner {
		return r.scanInto(i, v)
	}
	return r.assignPlain(i, v)
}

// PlanFor finds the field of t for each column of row.
func PlanFor(t reflect.Type, row *Row) (Plan, error) {
	isScanner := reflect.PointerTo(t).Implements(scannerType)
	if t.Kind() != reflect.Struct || t == timeType || isScanner {
		if len(row.names) != 1 {
			return nil, misfit("the row has %d columns, and a %s takes one", len(row.names), t)
		}
		return Plan{{scanner: isScanner}}, nil
	}
	fields, used := fieldsOf(t), make(map[string]bool)
	plan := make(Plan, len(row.names))
	for i := range plan {
		index, ok := fields[row.names[i]]
		if !ok {
			index, ok = fields[foldName(row.names[i])]
		}
		if key := fmt.Sprint(index); !ok || used[key] {
			return nil, misfit("%s has no field for %s, or one that has a column: add one, tag one with its name, or leave the column out", t, row.label(i))
		} else {
			used[key] = true
		}
		plan[i] = target{index, reflect.PointerTo(t.FieldByIndex(index).Type).Implements(scannerType)}
	}
	return plan, nil
}

// fieldsOf lists the fields of a struct under their tags and folded names. As in
// Go, those of the struct itself come before those of what it embeds, level by
// level; at each, tags come before names.
func fieldsOf(t reflect.Type) map[string][]int {
	fields := make(map[string][]int)
	add := func(name string, index []int) {
		if _, taken := fields[name]; !taken {
			fields[name] = index
		}
	}
	for level := [][]int{{}}; len(level) > 0 && len(level[0]) < maxEmbedded; {
		var embedded, named [][]int
		for _, at := range level {
			e := fieldAt(t, at)
			for i := range e.NumField() {
				f, index := e.Field(i), append(slices.Clone(at), i)
				switch tag := f.Tag.Get("db"); {
				case tag == "" && f.Anonymous && embeds(f):
					embedded = append(embedded, index)
				case tag == "" && f.IsExported():
					named = append(named, index)
				case tag != "" && tag != "-" && f.IsExported():
					add(tag, index)
				}
			}
		}
		for _, index := range named {
			add(foldName(t.FieldByIndex(index).Name), index)
		}
		level = embedded
	}
	return fields
}

// maxEmbedded ends the search in a struct that embeds itself by a pointer.
const maxEmbedded = 8

// fieldAt is the struct at an index, t itself at an empty one.
func fieldAt(t reflect.Type, index []int) reflect.Type {
	if len(index) > 0 {
		t = t.FieldByIndex(index).Type
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

// embeds tells whether an embedded field stands for its own fields. A pointer to
// an unexported struct does not: nobody outside its package can make one.
func embeds(f reflect.StructField) bool {
	t := f.Type
	if t.Kind() == reflect.Pointer {
		if t = t.Elem(); !f.IsExported() {
			return false
		}
	}
	return t.Kind() == reflect.Struct && t != timeType && !reflect.PointerTo(t).Implements(scannerType)
}

// foldName is what names have in common: OwnerID, owner_id and ownerid.
func foldName(name string) string {
	return strings.ToLower(strings.ReplaceAll(name, "_", ""))
}
