package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"
)

// Where a setting came from.
const (
	originDefault     = "default"
	originFile        = "file"
	originEnvironment = "environment"
	originFlag        = "flag"
)

// A Loader puts what the sources say into one configuration. The sources are
// applied one after the other, the weakest first.
type Loader struct {
	Origins  map[string]string // where each key that was set came from
	Mistakes []Mistake         // what was not set

	Several   bool       // the file may have an object "databases"
	Databases []Database // what is in it, in its order; see Database

	*table
	config reflect.Value
}

// Loader returns a Loader that sets fields of c.
func (s *Schema[C]) Loader(c *C) *Loader {
	return &Loader{Origins: map[string]string{}, table: &s.table, config: reflect.ValueOf(c).Elem()}
}

// A Database is one member of the object "databases": sections that hold for one of
// several databases, over those of the whole file.
type Database struct {
	Name       string
	text       []byte // of the whole file
	file       string
	begin, end int // of the member's value in text
}

// Database applies d over what l has set. The keys in mistakes begin with d's name.
func (l *Loader) Database(d Database) {
	// What stands around it becomes white space, so that positions stay right.
	text := bytes.Map(func(r rune) rune {
		if r == '\n' {
			return r
		}
		return ' '
	}, d.text[:d.begin])
	text = append(text, d.text[d.begin:d.end]...)
	p := parser{Loader: l, name: d.file, text: text, seen: map[string]bool{}, decoder: json.NewDecoder(bytes.NewReader(text))}
	before := len(l.Mistakes)
	p.top()
	for i := range l.Mistakes[before:] {
		m := &l.Mistakes[before+i]
		name := databasesKey + "." + d.Name
		m.Key, m.Problem = strings.TrimSuffix(name+"."+m.Key, "."), name+": "+m.Problem
	}
}

const databasesKey = "databases"

func (l *Loader) fail(where, key, format string, args ...any) {
	l.Mistakes = append(l.Mistakes, Mistake{Key: key, Where: where, Problem: fmt.Sprintf(format, args...)})
}

func (l *Loader) set(s *setting, text, where, origin string) {
	if m := s.set(l.config, text); m != nil {
		m.Where = where
		l.Mistakes = append(l.Mistakes, *m)
		return
	}
	l.Origins[s.name] = origin
}

// File applies the JSON text of the file called name, which is only for
// mistakes and may be empty.
func (l *Loader) File(text []byte, name string) {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	p := parser{Loader: l, name: name, text: text, seen: map[string]bool{}}
	if !utf8.Valid(text) {
		l.fail(name, "", "the text is not valid UTF-8")
		return
	}
	if len(bytes.TrimSpace(text)) == 0 {
		l.fail(name, "", "the text is empty: the least configuration is {}")
		return
	}
	var whole json.RawMessage
	if err := json.Unmarshal(text, &whole); err != nil {
		where := name
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
			where = p.at(max(0, int(syntax.Offset)-1))
		}
		l.fail(where, "", "not JSON: %v", err)
		return
	}
	p.decoder = json.NewDecoder(bytes.NewReader(text))
	p.top()
}

// Environment applies the variables whose names begin with a section's. Other
// HOLDFAST_ variables are somebody else's, and an empty one counts as not set.
func (l *Loader) Environment(env []string) {
	known := map[string]*setting{}
	for _, s := range l.settings {
		known[variable(s.name)] = s
	}
	values := map[string]string{} // the last of a name wins, as in package os/exec
	for _, entry := range env {
		if name, value, ok := strings.Cut(entry, "="); ok {
			values[name] = value
		}
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		value := values[name]
		if value == "" || !l.hasSectionPrefix(name) {
			continue
		}
		s, ok := known[name]
		if !ok {
			l.fail("", "", "unknown environment variable %s: did you mean %s?", name, nearest(name, slices.Sorted(maps.Keys(known))))
			continue
		}
		l.set(s, value, "environment variable "+name, originEnvironment)
	}
}

// variable is the environment variable for a dotted key.
func variable(key string) string {
	return "HOLDFAST_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

func (l *Loader) hasSectionPrefix(name string) bool {
	return slices.ContainsFunc(l.sections, func(s section) bool {
		return strings.HasPrefix(name, variable(s.name)+"_")
	})
}

// Overrides applies what flags say, by dotted key.
func (l *Loader) Overrides(values map[string]string) {
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if s, ok := l.named(key); ok {
			l.set(s, values[key], "flag", originFlag)
		} else {
			l.unknown("flag", key)
		}
	}
}

// unknown complains about a dotted key and names the nearest one there is.
func (l *Loader) unknown(where, key string) {
	var known []string
	if !strings.Contains(key, ".") {
		for _, s := range l.sections {
			known = append(known, s.name)
		}
	}
	for _, s := range l.settings {
		known = append(known, s.name)
	}
	if len(key) > maxKeyLength {
		key = strings.ToValidUTF8(key[:maxKeyLength], "") + "..."
	}
	l.fail(where, key, "unknown key %q: did you mean %q?", key, nearest(key, known))
}
