// Package row has one row of a result, wherever its values are, and puts them into the
// variables of a program.
package row

import (
	"database/sql"
	"database/sql/driver"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"time"

	"github.com/holdfastdb/holdfast/internal/session"
	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// Row is the current row of a result: of a statement that stands on it, or held in Go's
// memory. A column that it doesn't have reads as NULL. The zero value has none.
type Row struct {
	names []string
	stmt  *sqlite.Stmt
	held  []cell // the values instead of stmt's
	few   [4]cell
}

// cell is a value that is held in Go's memory.
type cell struct {
	typ     sqlite.Type
	integer int64
	float   float64
	bytes   []byte
}

// Name gives the columns their names.
func (r *Row) Name(names []string) { r.names = names }

// Names returns them.
func (r *Row) Names() []string { return r.names }

// Follow has the values read where s has them.
func (r *Row) Follow(s *sqlite.Stmt) { r.held, r.stmt = nil, s }

// Forget leaves the row without values: kept by mistake, it must not show what the
// statement reads next.
func (r *Row) Forget() { r.held, r.stmt = r.few[:0], nil }

// Hold copies the values of s.
func (r *Row) Hold(s *sqlite.Stmt) {
	r.held = r.few[:0]
	var text []byte
	for i := range r.names {
		c := cell{typ: s.ColumnType(i)}
		switch c.typ {
		case sqlite.TypeInteger:
			c.integer = s.ColumnInt64(i)
		case sqlite.TypeFloat:
			c.float = s.ColumnFloat(i)
		case sqlite.TypeText, sqlite.TypeBlob:
			from := len(text)
			text = append(text, s.ColumnView(i)...)
			c.bytes = text[from:len(text):len(text)]
		}
		r.held = append(r.held, c)
	}
}

// HoldValues takes the values of a driver, which must stay as they are.
func (r *Row) HoldValues(values []driver.Value) {
	r.held = r.few[:0]
	for _, v := range values {
		c := cell{typ: sqlite.TypeNull}
		switch v := v.(type) {
		case int64:
			c.typ, c.integer = sqlite.TypeInteger, v
		case bool:
			c.typ = sqlite.TypeInteger
			if v {
				c.integer = 1
			}
		case float64:
			c.typ, c.float = sqlite.TypeFloat, v
		case string:
			c.typ, c.bytes = sqlite.TypeText, []byte(v)
		case []byte:
			if v != nil {
				c.typ, c.bytes = sqlite.TypeBlob, v
			}
		case time.Time:
			c.typ, c.bytes = sqlite.TypeText, []byte(session.FormatTime(v))
		}
		r.held = append(r.held, c)
	}
}

// Type returns the type of a value.
func (r *Row) Type(i int) sqlite.Type {
	switch {
	case r.held == nil:
		return r.stmt.ColumnType(i)
	case uint(i) < uint(len(r.held)):
		return r.held[i].typ
	}
	return sqlite.TypeNull
}

func (r *Row) integer(i int) int64 {
	if r.held == nil {
		return r.stmt.ColumnInt64(i)
	}
	return r.held[i].integer
}

func (r *Row) float(i int) float64 {
	if r.held == nil {
		return r.stmt.ColumnFloat(i)
	}
	return r.held[i].float
}

func (r *Row) view(i int) []byte {
	if r.held == nil {
		return r.stmt.ColumnView(i)
	}
	return r.held[i].bytes
}

// Int64 returns an INTEGER. Of a REAL it is the integer part (the nearest int64
// if that is too large), of a TEXT or BLOB the decimal integer that it spells,
// and 0 of anything else.
func (r *Row) Int64(i int) int64 {
	switch r.Type(i) {
	case sqlite.TypeInteger:
		return r.integer(i)
	case sqlite.TypeFloat:
		return truncate(r.float(i))
	case sqlite.TypeText, sqlite.TypeBlob:
		n, err := strconv.ParseInt(string(r.view(i)), 10, 64)
		if err != nil {
			return 0
		}
		return n
	}
	return 0
}

// truncate is what CAST(x AS INTEGER) gives; Go leaves it open for large numbers.
func truncate(x float64) int64 {
	switch {
	case x >= math.MaxInt64:
		return math.MaxInt64
	case x <= math.MinInt64:
		return math.MinInt64
	case x != x:
		return 0
	}
	return int64(x)
}

// Float64 returns a REAL. Of an INTEGER it is the same number, of a TEXT or BLOB
// the decimal number that it spells, and 0 of anything else.
func (r *Row) Float64(i int) float64 {
	switch r.Type(i) {
	case sqlite.TypeFloat:
		return r.float(i)
	case sqlite.TypeInteger:
		return float64(r.integer(i))
	case sqlite.TypeText, sqlite.TypeBlob:
		x, err := strconv.ParseFloat(string(r.view(i)), 64)
		if err != nil {
			return 0
		}
		return x
	}
	return 0
}

// Text returns a TEXT, or the bytes of a BLOB, as a string of the caller's own.
// Numbers are formatted, NULL is "". Bytes does not copy.
func (r *Row) Text(i int) string {
	switch r.Type(i) {
	case sqlite.TypeText, sqlite.TypeBlob:
		return string(r.view(i))
	case sqlite.TypeNull:
		return ""
	}
	return string(r.format(i))
}

// Bytes returns the bytes of a TEXT or BLOB without a copy: they are the
// engine's, must not be changed, and are valid until the next row only. Numbers
// are formatted. It is nil for NULL and for nothing else.
func (r *Row) Bytes(i int) []byte {
	switch r.Type(i) {
	case sqlite.TypeText, sqlite.TypeBlob:
		if b := r.view(i); b != nil {
			return b
		}
		return []byte{}
	case sqlite.TypeNull:
		return nil
	}
	return r.format(i)
}

func (r *Row) format(i int) []byte {
	if r.Type(i) == sqlite.TypeInteger {
		return strconv.AppendInt(nil, r.integer(i), 10)
	}
	return strconv.AppendFloat(nil, r.float(i), 'g', -1, 64)
}

// Value returns a value as the type it has: int64, float64, string, []byte (a
// copy) or nil.
func (r *Row) Value(i int) any {
	switch r.Type(i) {
	case sqlite.TypeInteger:
		return r.integer(i)
	case sqlite.TypeFloat:
		return r.float(i)
	case sqlite.TypeText:
		return string(r.view(i))
	case sqlite.TypeBlob:
		return append([]byte{}, r.view(i)...)
	}
	return nil
}

// Scan copies the columns into the variables that dest points to. What doesn't fit is a
// *MisfitError.
func (r *Row) Scan(dest ...any) error {
	if len(dest) != len(r.names) {
		return misfit("the row has %d columns and Scan was given %d variables", len(r.names), len(dest))
	}
	for i, d := range dest {
		if err := r.scan(i, d); err != nil {
			return err
		}
	}
	return nil
}

func (r *Row) scan(i int, dest any) error {
	// The usual types, without reflection.
	switch d := dest.(type) {
	case *int64:
		if r.Type(i) == sqlite.TypeInteger {
			*d = r.integer(i)
			return nil
		}
	case *string:
		if r.Type(i) == sqlite.TypeText {
			*d = string(r.view(i))
			return nil
		}
	}
	v := reflect.ValueOf(dest)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return misfit("Scan needs a pointer for %s and was given a %T", r.label(i), dest)
	}
	return r.assign(i, v.Elem())
}

var (
	scannerType = reflect.TypeFor[sql.Scanner]()
	timeType    = reflect.TypeFor[time.Time]()
)

// assign copies a value into a variable of any type.
func (r *Row) assign(i int, v reflect.Value) error {
	if reflect.PointerTo(v.Type()).Implements(scannerType) {
		return r.scanInto(i, v)
	}
	return r.assignPlain(i, v)
}

func (r *Row) scanInto(i int, v reflect.Value) error {
	if err := v.Addr().Interface().(sql.Scanner).Scan(r.Value(i)); err != nil {
		return fmt.Errorf("%s: %w", r.label(i), err)
	}
	return nil
}

// assignPlain is assign for a variable that is no sql.Scanner.
func (r *Row) assignPlain(i int, v reflect.Value) error {
	switch {
	case r.assignBasic(i, v):
		return nil
	case v.Kind() == reflect.Pointer:
		if r.Type(i) == sqlite.TypeNull {
			v.SetZero()
			return nil
		}
		p := reflect.New(v.Type().Elem())
		v.Set(p)
		return r.assign(i, p.Elem())
	case v.Kind() == reflect.Interface && v.NumMethod() == 0:
		v.SetZero()
		if x := r.Value(i); x != nil {
			v.Set(reflect.ValueOf(x))
		}
		return nil
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8:
		v.SetZero()
		if b := r.Bytes(i); b != nil {
			v.SetBytes(append([]byte{}, b...))
		}
		return nil
	case v.Type() == timeType && r.Type(i) == sqlite.TypeText:
		if t, ok := session.ParseTime(string(r.view(i))); ok {
			v.Set(reflect.ValueOf(t))
			return nil
		}
	}
	return misfit("%s is %s, which does not fit a %s", r.label(i), TypeName(r.Type(i)), v.Type())
}

// assignBasic converts where nothing is lost, and reports whether it could.
func (r *Row) assignBasic(i int, v reflect.Value) bool {
	switch v.Kind() {
	case reflect.String:
		if r.Type(i) == sqlite.TypeNull {
			return false
		}
		v.SetString(r.Text(i))
	case reflect.Bool:
		n, ok := r.exact(i)
		if !ok || n != 0 && n != 1 {
			return false
		}
		v.SetBool(n == 1)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, ok := r.exact(i)
		if !ok || v.OverflowInt(n) {
			return false
		}
		v.SetInt(n)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		n, ok := r.exact(i)
		if !ok || n < 0 || v.OverflowUint(uint64(n)) {
			return false
		}
		v.SetUint(uint64(n))
	case reflect.Float32, reflect.Float64:
		x, ok := r.number(i)
		if !ok || v.OverflowFloat(x) {
			return false
		}
		v.SetFloat(x)
	default:
		return false
	}
	return true
}

// exact returns a value that is an integer, however it is stored.
func (r *Row) exact(i int) (int64, bool) {
	switch r.Type(i) {
	case sqlite.TypeInteger:
		return r.integer(i), true
	case sqlite.TypeFloat:
		x := r.float(i)
		n := truncate(x)
		return n, float64(n) == x && n != math.MaxInt64
	case sqlite.TypeText:
		n, err := strconv.ParseInt(string(r.view(i)), 10, 64)
		return n, err == nil
	}
	return 0, false
}

func (r *Row) number(i int) (float64, bool) {
	switch r.Type(i) {
	case sqlite.TypeInteger:
		n := r.integer(i)
		return float64(n), truncate(float64(n)) == n && n != math.MaxInt64
	case sqlite.TypeFloat:
		return r.float(i), true
	case sqlite.TypeText:
		x, err := strconv.ParseFloat(string(r.view(i)), 64)
		return x, err == nil
	}
	return 0, false
}

// TypeName is the name of a type, as SQLite has it.
func TypeName(t sqlite.Type) string {
	if t < sqlite.TypeInteger || t > sqlite.TypeNull {
		return "Type(" + strconv.Itoa(int(t)) + ")"
	}
	return [...]string{"INTEGER", "REAL", "TEXT", "BLOB", "NULL"}[t-sqlite.TypeInteger]
}

// MisfitError says what a row and a variable for it don't have in common.
type MisfitError struct{ text string }

func (e *MisfitError) Error() string { return e.text }

func misfit(format string, args ...any) error { return &MisfitError{fmt.Sprintf(format, args...)} }

// label names a column for an error. The name that SQLite makes up for an
// expression is its text, literals and all.
func (r *Row) label(i int) string {
	if isName.MatchString(r.names[i]) {
		return fmt.Sprintf("column %d (%s)", i, r.names[i])
	}
	return fmt.Sprintf("column %d", i)
}

var isName = regexp.MustCompile(`^[\pL_][\pL\d_]*$`)
