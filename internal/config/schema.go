// Package config turns texts into a configuration and a configuration into
// texts: the JSON file, the environment, flags, the report of what is in effect
// and the reference page, all by the tags of one struct.
//
// The struct has sections, and these have settings. A section is a field that is
// a struct itself, with the tags json (its name; "-" for a field that is none) and
// doc. A setting is a field of a section: a string, a bool, a time.Duration, an
// int or int64, or any type of kind int8, which is a switch: 0 leaves it to its
// default, 1 is on, 2 is off. The tags of a setting are
//
//	json      its name; "section.name" is the dotted key
//	doc       what it does
//	default   what the zero value means; with computed instead the owner of the struct says so
//	computed  how the default comes about when it is no constant
//	unit      what a bare number counts: "s" or "ms" of a duration; "bytes" makes it a size
//	off       what -1 means; without it -1 is an error
//	min, max  what is accepted, besides 0
//	values    what a text may be: "A|B"
//
// What holds between settings is the business of whoever owns the struct.
package config

import (
	"reflect"
	"slices"
)

// A Schema is what a configuration of type C, a struct of sections, may hold. It
// never changes.
type Schema[C any] struct{ table }

// A table is what a Schema knows of its type.
type table struct {
	sections []section
	settings []*setting
}

// A section is the heading of one block of settings.
type section struct{ name, doc string }

// A Section is one that is no field of the struct of sections: Into points to the
// struct of its settings, which has the same tags.
type Section struct {
	Name, Doc string
	Into      any
}

// A Mistake is one thing that is wrong with a configuration.
type Mistake struct {
	Key     string // dotted; empty if no key is at fault
	Where   string // "holdfast.json:4:5", "environment variable HOLDFAST_...", "flag", or empty
	Problem string // a sentence that names the key
}

// A Value is one setting in effect.
type Value struct {
	Key     string
	Value   string // as a flag takes it
	Default string
	Origin  string // "default", "file", "environment" or "flag"
	Unit    string // what a bare number counts, or ""
	Doc     string
}

// New reads the tags of C. They are constants of the program, so a wrong one
// panics, in every test.
func New[C any]() *Schema[C] {
	s := &Schema[C]{}
	for block := range reflect.TypeFor[C]().Fields() {
		name := block.Tag.Get("json")
		if name == "-" {
			continue
		}
		s.sections = append(s.sections, section{name, block.Tag.Get("doc")})
		for field := range block.Type.Fields() {
			set := newSetting(name, field)
			set.index = []int{block.Index[0], field.Index[0]}
			s.settings = append(s.settings, set)
		}
	}
	return s
}

// With returns a Schema that has sections besides. Their settings are read and set
// where the sections point to, whatever configuration its methods are given.
func (s *Schema[C]) With(sections ...Section) *Schema[C] {
	if len(sections) == 0 {
		return s
	}
	with := &Schema[C]{table{sections: slices.Clone(s.sections), settings: slices.Clone(s.settings)}}
	for _, block := range sections {
		own := reflect.ValueOf(block.Into).Elem()
		with.sections = append(with.sections, section{block.Name, block.Doc})
		for i := range own.NumField() {
			if own.Type().Field(i).Tag.Get("json") == "-" {
				continue
			}
			set := newSetting(block.Name, own.Type().Field(i))
			set.index, set.own = []int{i}, own
			with.settings = append(with.settings, set)
		}
	}
	return with
}

// CompleteSections is Complete for the sections of With alone.
func (s *Schema[C]) CompleteSections() []Mistake {
	var wrong []Mistake
	for _, set := range s.settings {
		if !set.own.IsValid() {
			continue
		}
		if m := set.check(set.own); m != nil {
			wrong = append(wrong, *m)
		}
		set.complete(set.own)
	}
	return wrong
}

func (t *table) named(key string) (s *setting, ok bool) {
	for _, s := range t.settings {
		if s.name == key {
			return s, true
		}
	}
	return nil, false
}

// Complete replaces each zero by its default, and spells choices as their lists
// do. It returns the values that can't be, whatever the other settings say. A
// computed default stays zero.
func (s *Schema[C]) Complete(c *C) []Mistake {
	var wrong []Mistake
	in := reflect.ValueOf(c).Elem()
	for _, set := range s.settings {
		if m := set.check(in); m != nil {
			wrong = append(wrong, *m)
		}
		set.complete(in)
	}
	return wrong
}

// Differing lists the keys whose values are not the same in a and b.
func (s *Schema[C]) Differing(a, b *C) []string {
	var keys []string
	inA, inB := reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem()
	for _, set := range s.settings {
		if !set.field(inA).Equal(set.field(inB)) {
			keys = append(keys, set.name)
		}
	}
	return keys
}

// Changed lists the keys that differ from their defaults in c, which must be
// complete. A computed default is never said to be changed.
func (s *Schema[C]) Changed(c *C) []string {
	var keys []string
	in := reflect.ValueOf(c).Elem()
	for _, set := range s.settings {
		if !set.isDefault(in) {
			keys = append(keys, set.name)
		}
	}
	return keys
}

// Values describes every setting in the order of the struct. Both configurations
// must be complete; origins says where a key came from, if it is no default.
func (s *Schema[C]) Values(effective, defaults *C, origins map[string]string) []Value {
	values := make([]Value, 0, len(s.settings))
	in, byDefault := reflect.ValueOf(effective).Elem(), reflect.ValueOf(defaults).Elem()
	for _, set := range s.settings {
		origin := origins[set.name]
		if origin == "" {
			origin = originDefault
		}
		values = append(values, Value{
			Key: set.name, Value: set.text(in), Default: set.otherwise(byDefault), Origin: origin, Unit: set.unit, Doc: set.doc,
		})
	}
	return values
}

// JSON writes c as the file that a Loader reads: bare numbers in each key's unit,
// and only what differs from the zero value. A text that is not valid UTF-8 is
// mangled, as encoding/json does.
func (s *Schema[C]) JSON(c *C) []byte {
	b := []byte("{")
	last := ""
	in := reflect.ValueOf(c).Elem()
	for _, set := range s.settings {
		if set.field(in).IsZero() {
			continue
		}
		switch last {
		case set.section:
			b = append(b, ',')
		case "":
			b = append(b, `"`+set.section+`":{`...)
		default:
			b = append(b, `},"`+set.section+`":{`...)
		}
		last = set.section
		b = append(b, `"`+set.key+`":`...)
		b = set.appendJSON(b, in)
	}
	if last != "" {
		b = append(b, '}')
	}
	return append(b, '}')
}
