package holdfast

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A setting is one key of the configuration. Loading, validation, the report
// and the reference page all walk the same list of them.
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
	index        []int // of the field in Config
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

// valueOff is the value of a setting that -1 has turned off.
const valueOff = -1

// sectionDoc is the heading of one block of settings.
type sectionDoc struct{ name, doc string }

// settings and sections are read from the tags once. The tags are constants of
// the program, so a wrong one panics, in every test.
var (
	settings = sync.OnceValue(func() []setting {
		var list []setting
		for section := range reflect.TypeFor[Config]().Fields() {
			name := section.Tag.Get("json")
			if name == "-" {
				continue
			}
			for field := range section.Type.Fields() {
				s := newSetting(name, field)
				s.index = []int{section.Index[0], field.Index[0]}
				list = append(list, s)
			}
		}
		return list
	})
	sections = sync.OnceValue(func() []sectionDoc {
		var list []sectionDoc
		for section := range reflect.TypeFor[Config]().Fields() {
			if name := section.Tag.Get("json"); name != "-" {
				list = append(list, sectionDoc{name, section.Tag.Get("doc")})
			}
		}
		return list
	})
)

func newSetting(section string, field reflect.StructField) setting {
	tag := field.Tag
	s := setting{
		section: section, key: tag.Get("json"), doc: tag.Get("doc"), unit: tag.Get("unit"), off: tag.Get("off"),
		computed: tag.Get("computed"), defaultText: tag.Get("default"),
	}
	s.name = section + "." + s.key
	if v := tag.Get("values"); v != "" {
		s.values = strings.Split(v, "|")
	}
	switch field.Type {
	case reflect.TypeFor[string]():
		s.kind = kindText
		return s
	case reflect.TypeFor[bool]():
		s.kind, s.max = kindBool, 1
	case reflect.TypeFor[Switch]():
		s.kind, s.max = kindSwitch, int64(Off)
	case reflect.TypeFor[time.Duration]():
		s.kind, s.max = kindDuration, int64(10*365*24*time.Hour)
	case reflect.TypeFor[int](), reflect.TypeFor[int64]():
		s.kind, s.max = kindCount, math.MaxInt32
		if s.unit == "bytes" {
			s.kind, s.max = kindSize, 1<<50
		}
		if field.Type.Bits() == 32 {
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

func (s setting) tagNumber(text string, otherwise int64) int64 {
	if text == "" {
		return otherwise
	}
	n, ok := s.parse(text)
	if !ok {
		panic("holdfast: " + s.name + " has a tag that is no value of it: " + text)
	}
	return n
}

// field is s in c.
func (s setting) field(c *Config) reflect.Value {
	return reflect.ValueOf(c).Elem().FieldByIndex(s.index)
}

// number is the value of s in c. Texts have none.
func (s setting) number(c *Config) int64 {
	switch v := s.field(c); s.kind {
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

func (s setting) setNumber(c *Config, n int64) {
	if v := s.field(c); s.kind == kindBool {
		v.SetBool(n == 1)
	} else {
		v.SetInt(n)
	}
}

// set puts the value that text stands for into c, unless it is none.
func (s setting) set(c *Config, text string) *ConfigError {
	if s.kind == kindText {
		s.field(c).SetString(text)
		return s.check(c)
	}
	n, ok := s.parse(text)
	if !ok {
		return s.problem(": expected %s, got %s", s.expected(), quoteValue(text))
	}
	if err := s.checkNumber(n); err != nil {
		return err
	}
	s.setNumber(c, n)
	return nil
}

// check reports a value that s can't have, whatever the other settings say.
func (s setting) check(c *Config) *ConfigError {
	if s.kind != kindText {
		return s.checkNumber(s.number(c))
	}
	switch text := s.field(c).String(); {
	case strings.ContainsRune(text, 0):
		return s.problem(" contains a NUL byte")
	case text == "" || s.values == nil || s.choice(text) != "":
		return nil
	default:
		return s.problem(": expected %s, got %s", s.expected(), quoteValue(text))
	}
}

func (s setting) checkNumber(n int64) *ConfigError {
	switch {
	case n == 0, n == valueOff && s.off != "":
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
func (s setting) unitHint() string {
	if s.kind != kindDuration {
		return ""
	}
	return "; a bare number counts " + unitName(s.unit)
}

func (s setting) problem(format string, args ...any) *ConfigError {
	return &ConfigError{Key: s.name, Problem: s.name + fmt.Sprintf(format, args...)}
}

// complete replaces a zero by the default, and spells a choice as its list does.
func (s setting) complete(c *Config) {
	v := s.field(c)
	switch {
	case v.IsZero() && s.kind == kindText:
		v.SetString(s.defaultText)
	case v.IsZero():
		s.setNumber(c, s.defaultValue)
	case s.values != nil:
		if choice := s.choice(v.String()); choice != "" {
			v.SetString(choice)
		}
	}
}

// isDefault reports whether s has its default in a complete c. A computed
// default is never said to be changed.
func (s setting) isDefault(c *Config) bool {
	switch {
	case s.computed != "":
		return true
	case s.kind == kindText:
		return s.field(c).String() == s.defaultText
	default:
		return s.number(c) == s.defaultValue
	}
}

// choice is the one of s.values that text means, or "".
func (s setting) choice(text string) string {
	for _, v := range s.values {
		if strings.EqualFold(v, text) {
			return v
		}
	}
	return ""
}

// text is the value of s in c for people; set reads it back.
func (s setting) text(c *Config) string {
	if s.kind == kindText {
		return s.field(c).String()
	}
	return s.format(s.number(c))
}

func (s setting) format(n int64) string {
	if n == valueOff && s.off != "" {
		return "off"
	}
	switch s.kind {
	case kindBool:
		return strconv.FormatBool(n == 1)
	case kindSwitch:
		return strconv.FormatBool(Switch(n) == On)
	case kindDuration:
		return formatDuration(time.Duration(n))
	case kindSize:
		return formatSize(n)
	default:
		return strconv.FormatInt(n, 10)
	}
}

// parse reads a value of s as it stands in the environment or in a JSON token.
func (s setting) parse(text string) (n int64, ok bool) {
	if s.off != "" && (text == "-1" || strings.EqualFold(text, "off")) {
		return valueOff, true
	}
	switch s.kind {
	case kindBool, kindSwitch:
		switch strings.ToLower(text) {
		case "true", "on", "1":
			return 1, true // of a Switch this is On
		case "false", "off", "0":
			if s.kind == kindSwitch {
				return int64(Off), true
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
func (s setting) expected() string {
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
func (s setting) takesJSON(raw json.RawMessage) bool {
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

// appendJSON writes the value of s in c so that the loader reads the same back.
func (s setting) appendJSON(b []byte, c *Config) []byte {
	n := s.number(c)
	switch s.kind {
	case kindText:
		text, _ := json.Marshal(s.text(c)) // a string can't fail
		return append(b, text...)
	case kindDuration:
		if n == valueOff {
			break
		}
		bare := strconv.FormatFloat(float64(n)/float64(unitDuration(s.unit)), 'f', -1, 64)
		if back, ok := parseDuration(bare, s.unit); ok && back == n {
			return append(b, bare...)
		}
		return strconv.AppendQuote(b, formatDuration(time.Duration(n)))
	case kindBool, kindSwitch:
		return append(b, s.format(n)...)
	}
	return strconv.AppendInt(b, n, 10)
}

// MarshalJSON writes c as the file that LoadConfig reads: bare numbers in each
// key's unit, and only what differs from the zero value. Logger is left out.
// A text that is not valid UTF-8 is mangled, as encoding/json does.
func (c Config) MarshalJSON() ([]byte, error) {
	b := []byte("{")
	last := ""
	for _, s := range settings() {
		if s.field(&c).IsZero() {
			continue
		}
		switch last {
		case s.section:
			b = append(b, ',')
		case "":
			b = append(b, `"`+s.section+`":{`...)
		default:
			b = append(b, `},"`+s.section+`":{`...)
		}
		last = s.section
		b = append(b, `"`+s.key+`":`...)
		b = s.appendJSON(b, &c)
	}
	if last != "" {
		b = append(b, '}')
	}
	return append(b, '}'), nil
}

// UnmarshalJSON reads c by the rules of a configuration file: it refuses what
// it doesn't know and what can't be, and keeps what the text doesn't mention.
func (c *Config) UnmarshalJSON(text []byte) error {
	next := *c
	l := configLoader{config: &next, origins: map[string]string{}}
	l.file(bytes.Clone(text), "")
	if err := l.err(); err != nil {
		return err
	}
	if err := next.Validate(); err != nil {
		return err
	}
	*c = next
	return nil
}

func unitDuration(unit string) time.Duration {
	if unit == "ms" {
		return time.Millisecond
	}
	return time.Second
}

func unitName(unit string) string {
	if unit == "ms" {
		return "milliseconds"
	}
	return "seconds"
}

// parseDuration reads a bare number of units or a Go duration. A time too short
// to be told from zero is refused: zero would mean the default.
func parseDuration(text, unit string) (int64, bool) {
	f, ok := parseDecimal(text)
	if !ok {
		d, err := time.ParseDuration(text)
		if err != nil || d == 0 && strings.ContainsAny(text, "123456789") {
			return 0, false
		}
		// Minus one nanosecond is how Go code says off. In a text -1 says it.
		return int64(d), d != valueOff
	}
	ns := math.Round(f * float64(unitDuration(unit)))
	if math.Abs(ns) >= math.MaxInt64 || ns == 0 && f != 0 || ns == valueOff {
		return 0, false
	}
	return int64(ns), true
}

// parseDecimal reads what JSON calls a number. strconv alone would also take
// hexadecimal, infinity and NaN.
func parseDecimal(text string) (float64, bool) {
	if text == "" || strings.Trim(text, "0123456789.eE+-") != "" {
		return 0, false
	}
	f, err := strconv.ParseFloat(text, 64)
	return f, err == nil
}

// formatDuration drops the zeros that Duration.String ends in: "168h", not
// "168h0m0s".
func formatDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// sizeUnits are in the order in which suffixes must be tried.
var sizeUnits = [...]struct {
	suffix string
	bytes  int64
}{
	{"TiB", 1 << 40},
	{"GiB", 1 << 30},
	{"MiB", 1 << 20},
	{"KiB", 1 << 10},
	{"TB", 1e12},
	{"GB", 1e9},
	{"MB", 1e6},
	{"KB", 1e3},
	{"B", 1},
}

// parseSize reads a whole number of bytes, or a number with a unit, "1.5GiB".
func parseSize(text string) (int64, bool) {
	number, unit := text, int64(1)
	for _, u := range sizeUnits {
		if at := len(text) - len(u.suffix); at >= 0 && strings.EqualFold(text[at:], u.suffix) {
			number, unit = strings.TrimSpace(text[:at]), u.bytes
			break
		}
	}
	if n, err := strconv.ParseInt(number, 10, 64); err == nil {
		product := n * unit
		return product, product/unit == n
	}
	f, ok := parseDecimal(number)
	f *= float64(unit)
	// Past 2^53 a float no longer tells one byte from the next.
	if !ok || unit == 1 || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return 0, false
	}
	return int64(f), true
}

func formatSize(n int64) string {
	for _, u := range sizeUnits[:4] {
		if n != 0 && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.suffix
		}
	}
	return strconv.FormatInt(n, 10)
}

// quote shows a value in an error, not more of it than helps.
func quoteValue(text string) string {
	const most = 60
	if len(text) > most {
		return strconv.Quote(text[:most]) + "..."
	}
	return strconv.Quote(text)
}
