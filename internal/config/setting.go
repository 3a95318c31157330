package config

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// A setting is one key of a configuration. Loading, validation, the report and
// the reference page all walk the same list of them. Its methods take the struct
// of sections, as a reflect.Value that can be set.
type setting struct {
	name    string // "database.busy_timeout"
	section string // "database"
	key     string // "busy_timeout"
	doc     string
	unit    string // what a bare number counts: "s", "ms", "bytes", "pages" or ""
	off     string // what -1 means; empty if it is an error

	computed string   // how the default comes about when it is no constant
	values   []string // what a text may be, when that is a closed list

	kind         settingKind
	index        []int         // of the field in the struct of sections
	own          reflect.Value // the section itself, if that is no field of the struct; then index is in it
	defaultText  string
	defaultValue int64
	min, max     int64
	bounded      bool // max is a choice of ours or SQLite's, not just sanity
}

type settingKind int

const (
	kindText settingKind = iota
	kindBool
	kindSwitch
	kindCount
	kindSize
	kindDuration
)

// ValueOff is the value of a setting that -1 has turned off.
const ValueOff = -1

// What a switch is besides 0, which leaves it to its default.
const (
	switchOn  = 1
	switchOff = 2
)

func newSetting(section string, field reflect.StructField) *setting {
	tag := field.Tag
	s := &setting{
		section: section, key: tag.Get("json"), doc: tag.Get("doc"), unit: tag.Get("unit"), off: tag.Get("off"),
		computed: tag.Get("computed"), defaultText: tag.Get("default"),
	}
	s.name = section + "." + s.key
	if v := tag.Get("values"); v != "" {
		s.values = strings.Split(v, "|")
	}
	switch t := field.Type; {
	case t == reflect.TypeFor[string]():
		s.kind = kindText
		return s
	case t == reflect.TypeFor[bool]():
		s.kind, s.max = kindBool, 1
	case t.Kind() == reflect.Int8:
		s.kind, s.max = kindSwitch, switchOff
	case t == reflect.TypeFor[time.Duration]():
		s.kind, s.max = kindDuration, int64(10*365*24*time.Hour)
	case t == reflect.TypeFor[int](), t == reflect.TypeFor[int64]():
		s.kind, s.max = kindCount, math.MaxInt32
		if s.unit == "bytes" {
			s.kind, s.max = kindSize, 1<<50
		}
		if t.Bits() == 32 {
			s.max = min(s.max, math.MaxInt32)
		}
	default:
		panic("holdfast: no kind of setting for " + s.name)
	}
	s.min = s.tagNumber(tag.Get("min"), 0)
	s.max = s.tagNumber(tag.Get("max"), s.max)
	s.bounded = tag.Get("max") != ""
	s.defaultValue = s.tagNumber(s.defaultText, 0)
	return s
}

func (s *setting) tagNumber(text string, otherwise int64) int64 {
	if text == "" {
		return otherwise
	}
	n, ok := s.parse(text)
	if !ok {
		panic("holdfast: " + s.name + " has a tag that is no value of it: " + text)
	}
	return n
}

// field is s in a configuration.
func (s *setting) field(in reflect.Value) reflect.Value {
	if s.own.IsValid() {
		in = s.own
	}
	return in.FieldByIndex(s.index)
}

// number is the value of s. Texts have none.
func (s *setting) number(in reflect.Value) int64 {
	switch v := s.field(in); s.kind {
	case kindText:
		return 0
	case kindBool:
		if v.Bool() {
			return 1
		}
		return 0
	default:
		return v.Int()
	}
}

func (s *setting) setNumber(in reflect.Value, n int64) {
	if v := s.field(in); s.kind == kindBool {
		v.SetBool(n == 1)
	} else {
		v.SetInt(n)
	}
}

// set puts the value that text stands for in its place, unless it is none.
func (s *setting) set(in reflect.Value, text string) *Mistake {
	if s.kind == kindText {
		s.field(in).SetString(text)
		return s.check(in)
	}
	n, ok := s.parse(text)
	if !ok {
		return s.problem(": expected %s, got %s", s.expected(), Quote(text))
	}
	if err := s.checkNumber(n); err != nil {
		return err
	}
	s.setNumber(in, n)
	return nil
}

// check reports a value that s can't have, whatever the other settings say.
func (s *setting) check(in reflect.Value) *Mistake {
	if s.kind != kindText {
		return s.checkNumber(s.number(in))
	}
	switch text := s.field(in).String(); {
	case strings.ContainsRune(text, 0):
		return s.problem(" contains a NUL byte")
	case text == "" || s.values == nil || s.choice(text) != "":
		return nil
	default:
		return s.problem(": expected %s, got %s", s.expected(), Quote(text))
	}
}

func (s *setting) checkNumber(n int64) *Mistake {
	switch {
	case n == 0, n == ValueOff && s.off != "":
		return nil
	case n < 0 && s.min >= 0:
		turnOff := ""
		if s.off != "" {
			turnOff = "; -1 turns it off"
		}
		return s.problem(" = %s is negative%s", s.format(n), turnOff)
	case s.kind == kindSwitch && n > s.max:
		return s.problem(" is neither Default, On nor Off")
	case n < s.min:
		return s.problem(" = %s is less than %s%s", s.format(n), s.format(s.min), s.unitHint())
	case n > s.max:
		return s.problem(" = %s is more than %s%s", s.format(n), s.format(s.max), s.unitHint())
	}
	return nil
}

// unitHint is for whoever took seconds for milliseconds.
func (s *setting) unitHint() string {
	if s.kind != kindDuration {
		return ""
	}
	return "; a bare number counts " + unitName(s.unit)
}

func (s *setting) problem(format string, args ...any) *Mistake {
	return &Mistake{Key: s.name, Problem: s.name + fmt.Sprintf(format, args...)}
}

// complete replaces a zero by the default, and spells a choice as its list does.
func (s *setting) complete(in reflect.Value) {
	v := s.field(in)
	switch {
	case v.IsZero() && s.kind == kindText:
		v.SetString(s.defaultText)
	case v.IsZero():
		s.setNumber(in, s.defaultValue)
	case s.values != nil:
		if choice := s.choice(v.String()); choice != "" {
			v.SetString(choice)
		}
	}
}

// isDefault reports whether s has its default in a complete configuration. A computed
// default is never said to be changed.
func (s *setting) isDefault(in reflect.Value) bool {
	switch {
	case s.computed != "":
		return true
	case s.kind == kindText:
		return s.field(in).String() == s.defaultText
	default:
		return s.number(in) == s.defaultValue
	}
}

// choice is the one of s.values that text means, or "".
func (s *setting) choice(text string) string {
	for _, v := range s.values {
		if strings.EqualFold(v, text) {
			return v
		}
	}
	return ""
}

// text is the value of s for people; set reads it back.
func (s *setting) text(in reflect.Value) string {
	if s.kind == kindText {
		return s.field(in).String()
	}
	return s.format(s.number(in))
}

// otherwise is the value that s has by default, for people.
func (s *setting) otherwise(byDefault reflect.Value) string {
	switch {
	case !s.own.IsValid():
		return s.text(byDefault)
	case s.kind == kindText:
		return s.defaultText
	}
	return s.format(s.defaultValue)
}

func (s *setting) format(n int64) string {
	if n == ValueOff && s.off != "" {
		return "off"
	}
	switch s.kind {
	case kindBool:
		return strconv.FormatBool(n == 1)
	case kindSwitch:
		return strconv.FormatBool(n == switchOn)
	case kindDuration:
		return FormatDuration(time.Duration(n))
	case kindSize:
		return FormatSize(n)
	default:
		return strconv.FormatInt(n, 10)
	}
}

// parse reads a value of s as it stands in the environment or in a JSON token.
func (s *setting) parse(text string) (n int64, ok bool) {
	if s.off != "" && (text == "-1" || strings.EqualFold(text, "off")) {
		return ValueOff, true
	}
	switch s.kind {
	case kindBool, kindSwitch:
		switch strings.ToLower(text) {
		case "true", "on", "1":
			return 1, true // of a switch this is on
		case "false", "off", "0":
			if s.kind == kindSwitch {
				return switchOff, true
			}
			return 0, true
		}
		return 0, false
	case kindDuration:
		return parseDuration(text, s.unit)
	case kindSize:
		return parseSize(text)
	default:
		n, err := strconv.ParseInt(text, 10, 64)
		return n, err == nil
	}
}

// expected says in words what parse takes.
func (s *setting) expected() string {
	var what string
	switch s.kind {
	case kindText:
		if s.values == nil {
			return "a string"
		}
		return `one of "` + strings.Join(s.values, `", "`) + `"`
	case kindBool, kindSwitch:
		return "true or false"
	case kindDuration:
		what = `a duration such as "1m30s", or a number of ` + unitName(s.unit)
	case kindSize:
		what = `a size such as "64MiB", or a whole number of bytes`
	default:
		what = "a whole number"
		if s.unit != "" {
			what += " of " + s.unit
		}
	}
	if s.off != "" {
		what += ", or -1 for off"
	}
	return what
}

// takesJSON reports whether a JSON value may be s at all. A duration in quotes
// is fine, a count in quotes is a mistake.
func (s *setting) takesJSON(raw json.RawMessage) bool {
	switch raw[0] {
	case '{', '[', 'n':
		return false
	case 't', 'f':
		return s.kind == kindBool || s.kind == kindSwitch
	case '"':
		return s.kind == kindText || s.kind == kindDuration || s.kind == kindSize ||
			s.off != "" && strings.EqualFold(string(raw), `"off"`)
	default:
		return s.kind == kindCount || s.kind == kindDuration || s.kind == kindSize
	}
}

// appendJSON writes the value of s so that the loader reads the same back.
func (s *setting) appendJSON(b []byte, in reflect.Value) []byte {
	n := s.number(in)
	switch s.kind {
	case kindText:
		text, _ := json.Marshal(s.text(in)) // a string can't fail
		return append(b, text...)
	case kindDuration:
		if n == ValueOff {
			break
		}
		bare := strconv.FormatFloat(float64(n)/float64(unitDuration(s.unit)), 'f', -1, 64)
		if back, ok := parseDuration(bare, s.unit); ok && back == n {
			return append(b, bare...)
		}
		return strconv.AppendQuote(b, FormatDuration(time.Duration(n)))
	case kindBool, kindSwitch:
		return append(b, s.format(n)...)
	}
	return strconv.AppendInt(b, n, 10)
}
