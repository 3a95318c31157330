package stats

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/history"
)

// Figures reads the numbers of a struct by the tags of its fields: json has the name,
// figure the kind and after a comma the unit, doc what it is. Structs in it give
// their name to theirs, unless they are embedded; a field with figure:"-" is left out. What
// a nil pointer leads to is listed, and is unknown. A number without tags panics: whoever
// adds one says what it is, and everything that shows figures has it.
func Figures(of any) []history.Figure {
	return appendFigures(nil, "", reflect.ValueOf(of), false)
}

func appendFigures(all []history.Figure, prefix string, v reflect.Value, unknown bool) []history.Figure {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		value, missing := pointedTo(v.Field(i))
		missing = missing || unknown
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		name = prefix + name
		tag := field.Tag.Get("figure")
		switch {
		case tag == "-":
		case field.Anonymous:
			all = appendFigures(all, prefix, value, missing)
		case tag == "" && value.Kind() == reflect.Struct:
			all = appendFigures(all, name+".", value, missing)
		default:
			kind, unit, _ := strings.Cut(tag, ",")
			f := history.Figure{
				Name: name, Kind: history.Kind(kind), Unit: unit, Help: field.Tag.Get("doc"),
				Time: value.Type() == reflect.TypeFor[time.Time](), Value: numberOf(value), Unknown: missing,
			}
			if f.Kind != history.Counter && f.Kind != history.Gauge || f.Help == "" {
				panic(fmt.Sprintf("stats: %s.%s says not what it is", v.Type(), field.Name))
			}
			all = append(all, f)
		}
	}
	return all
}

// pointedTo is what a pointer leads to, or a zero value if that is nothing.
func pointedTo(v reflect.Value) (value reflect.Value, missing bool) {
	switch {
	case v.Kind() != reflect.Pointer:
		return v, false
	case v.IsNil():
		return reflect.Zero(v.Type().Elem()), true
	}
	return v.Elem(), false
}

func numberOf(v reflect.Value) float64 {
	switch {
	case v.Type() == reflect.TypeFor[time.Time]():
		if t := v.Interface().(time.Time); !t.IsZero() {
			return float64(t.UnixMilli()) / 1000
		}
		return 0
	case v.Kind() == reflect.Bool:
		if v.Bool() {
			return 1
		}
		return 0
	case v.CanInt():
		return float64(v.Int())
	case v.CanFloat():
		return v.Float()
	}
	panic(fmt.Sprintf("stats: a %s is no figure", v.Type()))
}
