package holdfast

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/internal/locks"
	"github.com/holdfastdb/holdfast/internal/session"
	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// ReadLevel is how much a read may miss of what others have committed. On a file
// each is honoured trivially: every read there sees all that was committed before it.
type ReadLevel string

// The read levels, as rqlite has them. The empty one is that of the back end: ReadWeak,
// unless the address says otherwise.
const (
	ReadNone         ReadLevel = "none"         // whatever the node has that is asked; see WithFreshness
	ReadWeak         ReadLevel = "weak"         // what a node has that takes itself for the leader: wrong for a moment after it was deposed
	ReadLinearizable ReadLevel = "linearizable" // all that was committed when the read began
)

type readWish struct {
	level ReadLevel
	fresh time.Duration
}

type readWishKey struct{}

// WithReadLevel returns a context whose queries read at level. Writes don't mind it.
func WithReadLevel(ctx context.Context, level ReadLevel) context.Context {
	r, _ := ctx.Value(readWishKey{}).(readWish)
	r.level = level
	return context.WithValue(ctx, readWishKey{}, r)
}

// WithFreshness returns a context whose queries at ReadNone fail if the node that is
// asked has heard nothing of the leader for longer than d. Other levels don't mind it;
// 0 or less is any age.
func WithFreshness(ctx context.Context, d time.Duration) context.Context {
	r, _ := ctx.Value(readWishKey{}).(readWish)
	r.fresh = max(d, 0)
	return context.WithValue(ctx, readWishKey{}, r)
}

// ReadLevelOf tells a Backend what WithReadLevel and WithFreshness have asked for.
func ReadLevelOf(ctx context.Context) (level ReadLevel, freshness time.Duration) {
	r, _ := ctx.Value(readWishKey{}).(readWish)
	return r.level, r.fresh
}

// ClusterHealth is how the machines of a cluster are, in Health.Cluster.
type ClusterHealth struct {
	Leader string        `json:"leader"` // the ID of the node that leads; "" if nobody is known to
	Ready  bool          `json:"ready"`  // a leader is known, and a majority of those that vote can be reached
	Nodes  []ClusterNode `json:"nodes"`
}

// ClusterNode is one machine of a cluster.
type ClusterNode struct {
	ID        string  `json:"id"`
	Address   string  `json:"address"` // of its HTTP interface, without user and password
	Leader    bool    `json:"leader"`
	Voter     bool    `json:"voter"`
	Reachable bool    `json:"reachable"`
	Version   string  `json:"version"`
	Applied   uint64  `json:"applied_index"` // the last entry of the log that its database has; 0 if it didn't say
	Lag       uint64  `json:"lag_entries"`   // behind the leader's
	Seconds   float64 `json:"round_trip_seconds"`
	Error     string  `json:"error"` // why it can't be reached
}

// Type is the type of a value in the database, which belongs to the value and
// not to its column. See https://www.sqlite.org/datatype3.html.
type Type int

// The types of values.
const (
	TypeInteger Type = Type(sqlite.TypeInteger)
	TypeFloat   Type = Type(sqlite.TypeFloat)
	TypeText    Type = Type(sqlite.TypeText)
	TypeBlob    Type = Type(sqlite.TypeBlob)
	TypeNull    Type = Type(sqlite.TypeNull)
)

// Rows runs a query and yields its rows: the way to read for hot loops, several
// times faster than QueryContext, because values come from the engine's memory
// without a copy, and without a box, a conversion and a call through database/sql
// for each.
//
//	for row, err := range db.Rows(ctx, "SELECT id, name FROM user WHERE age > ?", 30) {
//		if err != nil {
//			return err
//		}
//		use(row.Int64(0), row.Text(1))
//	}
//
// Every use of the result runs the query anew, on a reader and in a snapshot of
// its own; it is part of no transaction. An error, of the query or of a later
// row, is yielded once, with a nil row, as the last. The row is valid until the
// next one is asked for and must not be kept, nor used by two goroutines.
// Statements that write are ErrRefused, also those that return rows.
//
// A result of one row gives its reader back before it is yielded. A longer one
// holds it, and its snapshot, until the loop ends in whatever way; it is reported
// when that takes longer than connection_pool.leak_threshold, and ends with
// ErrEvicted at its next row when it is older than max_lease_age. Waiting for a
// reader ends with ctx or after connection_timeout (ErrBusy); the end of ctx also
// ends the query. Arguments are as for QueryContext.
func (db *DB) Rows(ctx context.Context, query string, args ...any) iter.Seq2[*Row, error] {
	return func(yield func(*Row, error) bool) {
		r, more, err := db.h.Read(ctx, query, args)
		if err == nil {
			defer r.Close()
			if more {
				err = yieldRows(r, yield)
			}
		}
		if err != nil {
			yield(nil, err)
			return
		}
		r.Counted()
	}
}

// yieldRows yields the rows of r, which is on its first.
func yieldRows(r *session.Reading, yield func(*Row, error) bool) error {
	row := &Row{names: r.Names()}
	row.hold(r.Stmt())
	more, err := r.Next()
	if more {
		r.Keep(locks.Here(2, locks.Deep))
	} else {
		r.Close() // so that the queries in the loop find a reader
	}
	if !yield(row, nil) {
		return nil
	}
	for more {
		row.held, row.stmt = nil, r.Stmt()
		if !yield(row, nil) {
			break
		}
		more, err = r.Next()
	}
	row.held, row.stmt = row.few[:0], nil // kept by mistake, it must not show what the statement reads next
	return err
}

// Row is the current row of Rows. Columns are numbered from 0; a number that the
// row doesn't have reads as NULL.
type Row struct {
	names []string
	stmt  *sqlite.Stmt
	held  []cell // the values instead of stmt's
	few   [4]cell
}

// cell is a value that is held in Go's memory.
type cell struct {
	typ     Type
	integer int64
	float   float64
	bytes   []byte
}

func (r *Row) hold(s *sqlite.Stmt) {
	r.held = r.few[:0]
	var text []byte
	for i := range r.names {
		c := cell{typ: Type(s.ColumnType(i))}
		switch c.typ {
		case TypeInteger:
			c.integer = s.ColumnInt64(i)
		case TypeFloat:
			c.float = s.ColumnFloat(i)
		case TypeText, TypeBlob:
			from := len(text)
			text = append(text, s.ColumnView(i)...)
			c.bytes = text[from:len(text):len(text)]
		}
		r.held = append(r.held, c)
	}
}

// Len returns the number of columns.
func (r *Row) Len() int { return len(r.names) }

// Name returns the name of a column: that of its AS clause, or what SQLite made
// up.
func (r *Row) Name(i int) string {
	if uint(i) < uint(len(r.names)) {
		return r.names[i]
	}
	return ""
}

// Type returns the type of a value.
func (r *Row) Type(i int) Type {
	switch {
	case r.held == nil:
		return Type(r.stmt.ColumnType(i))
	case uint(i) < uint(len(r.held)):
		return r.held[i].typ
	}
	return TypeNull
}

// IsNull reports whether a value is NULL.
func (r *Row) IsNull(i int) bool { return r.Type(i) == TypeNull }

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
	case TypeInteger:
		return r.integer(i)
	case TypeFloat:
		return truncate(r.float(i))
	case TypeText, TypeBlob:
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
	case TypeFloat:
		return r.float(i)
	case TypeInteger:
		return float64(r.integer(i))
	case TypeText, TypeBlob:
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
	case TypeText, TypeBlob:
		return string(r.view(i))
	case TypeNull:
		return ""
	}
	return string(r.format(i))
}

// Bytes returns the bytes of a TEXT or BLOB without a copy: they are the
// engine's, must not be changed, and are valid until the next row only. Numbers
// are formatted. It is nil for NULL and for nothing else.
func (r *Row) Bytes(i int) []byte {
	switch r.Type(i) {
	case TypeText, TypeBlob:
		if b := r.view(i); b != nil {
			return b
		}
		return []byte{}
	case TypeNull:
		return nil
	}
	return r.format(i)
}

func (r *Row) format(i int) []byte {
	if r.Type(i) == TypeInteger {
		return strconv.AppendInt(nil, r.integer(i), 10)
	}
	return strconv.AppendFloat(nil, r.float(i), 'g', -1, 64)
}

// Value returns a value as the type it has: int64, float64, string, []byte (a
// copy) or nil.
func (r *Row) Value(i int) any {
	switch r.Type(i) {
	case TypeInteger:
		return r.integer(i)
	case TypeFloat:
		return r.float(i)
	case TypeText:
		return string(r.view(i))
	case TypeBlob:
		return append([]byte{}, r.view(i)...)
	}
	return nil
}

// Scan copies the columns into the variables that dest points to, one for each
// column. It takes pointers to the types that (*sql.Rows).Scan takes, except
// sql.RawBytes, and converts between numbers, text and booleans only where
// nothing is lost. NULL needs a pointer to a pointer, an any, a []byte or an
// sql.Scanner such as sql.NullString. A value that does not fit is an error that
// names the column and the types.
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
		if r.Type(i) == TypeInteger {
			*d = r.integer(i)
			return nil
		}
	case *string:
		if r.Type(i) == TypeText {
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
		if r.IsNull(i) {
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
	case v.Type() == timeType && r.Type(i) == TypeText:
		if t, ok := session.ParseTime(string(r.view(i))); ok {
			v.Set(reflect.ValueOf(t))
			return nil
		}
	}
	return misfit("%s is %s, which does not fit a %s", r.label(i), r.Type(i), v.Type())
}

// assignBasic converts where nothing is lost, and reports whether it could.
func (r *Row) assignBasic(i int, v reflect.Value) bool {
	switch v.Kind() {
	case reflect.String:
		if r.IsNull(i) {
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
	case TypeInteger:
		return r.integer(i), true
	case TypeFloat:
		x := r.float(i)
		n := truncate(x)
		return n, float64(n) == x && n != math.MaxInt64
	case TypeText:
		n, err := strconv.ParseInt(string(r.view(i)), 10, 64)
		return n, err == nil
	}
	return 0, false
}

func (r *Row) number(i int) (float64, bool) {
	switch r.Type(i) {
	case TypeInteger:
		n := r.integer(i)
		return float64(n), truncate(float64(n)) == n && n != math.MaxInt64
	case TypeFloat:
		return r.float(i), true
	case TypeText:
		x, err := strconv.ParseFloat(string(r.view(i)), 64)
		return x, err == nil
	}
	return 0, false
}

// String names the type as SQLite does.
func (t Type) String() string {
	if t < TypeInteger || t > TypeNull {
		return "Type(" + strconv.Itoa(int(t)) + ")"
	}
	return [...]string{"INTEGER", "REAL", "TEXT", "BLOB", "NULL"}[t-TypeInteger]
}

// Collect reads all rows into a slice, which is empty and not nil if there are
// none:
//
//	users, err := holdfast.Collect[User](db.Rows(ctx, "SELECT id, name FROM user"))
//
// T is a struct, whose fields are the columns by the name in a `db:"..."` tag or
// else by their own name, in any case and with or without underscores; embedded
// structs count as their fields, and `db:"-"` is no field. A column without a
// field is an error, a field without a column keeps its zero value. Any other T,
// also one that implements sql.Scanner, and time.Time, is the value of a single
// column. What fits is what fits in (*Row).Scan.
//
// The first error ends it and is returned with the rows before it.
func Collect[T any](rows iter.Seq2[*Row, error]) ([]T, error) {
	out := []T{}
	var plan []target
	for row, err := range rows {
		if err != nil {
			return out, err
		}
		if plan == nil {
			if plan, err = targets(reflect.TypeFor[T](), row); err != nil {
				return out, err
			}
		}
		out = append(out, *new(T))
		v := reflect.ValueOf(&out[len(out)-1]).Elem()
		for i, t := range plan {
			if err := t.set(row, i, v); err != nil {
				return out[:len(out)-1], err
			}
		}
	}
	return out, nil
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

// targets finds the field of t for each column of row.
func targets(t reflect.Type, row *Row) ([]target, error) {
	isScanner := reflect.PointerTo(t).Implements(scannerType)
	if t.Kind() != reflect.Struct || t == timeType || isScanner {
		if row.Len() != 1 {
			return nil, misfit("the row has %d columns, and a %s takes one", row.Len(), t)
		}
		return []target{{scanner: isScanner}}, nil
	}
	fields, used := fieldsOf(t), make(map[string]bool)
	plan := make([]target, row.Len())
	for i := range plan {
		index, ok := fields[row.Name(i)]
		if !ok {
			index, ok = fields[foldName(row.Name(i))]
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
