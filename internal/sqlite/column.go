package sqlite

import (
	"unsafe"

	sqlite3 "modernc.org/sqlite/lib"
)

// Type is the type of a value. See https://www.sqlite.org/datatype3.html.
type Type int

// The types of values.
const (
	TypeInteger Type = sqlite3.SQLITE_INTEGER
	TypeFloat   Type = sqlite3.SQLITE_FLOAT
	TypeText    Type = sqlite3.SQLITE_TEXT
	TypeBlob    Type = sqlite3.SQLITE_BLOB
	TypeNull    Type = sqlite3.SQLITE_NULL
)

// columns caches what SQLite tells about the result columns until it compiles
// the statement again, which can change all of it.
type columns struct {
	checked    bool // since the last step that can have compiled
	reprepares int32
	names      []string
	decls      []string
	note       any
}

// checkColumns forgets the cached columns of an older compilation.
func (s *Stmt) checkColumns() {
	if s.cols.checked {
		return
	}
	n := sqlite3.Xsqlite3_stmt_status(s.tls, s.ptr, sqlite3.SQLITE_STMTSTATUS_REPREPARE, 0)
	if n != s.cols.reprepares {
		s.cols = columns{reprepares: n}
	}
	s.cols.checked = true
}

// ColumnCount returns the number of result columns: 0 for a statement that
// returns no rows. Like everything about columns it can change in the first Step
// after a schema change.
func (s *Stmt) ColumnCount() int {
	if s.ptr == 0 {
		return 0
	}
	return int(sqlite3.Xsqlite3_column_count(s.tls, s.ptr))
}

// ColumnName returns the name of a result column: that of its AS clause, or
// whatever SQLite made up.
func (s *Stmt) ColumnName(i int) string {
	if s.ptr == 0 {
		return ""
	}
	s.checkColumns()
	if s.cols.names == nil {
		s.cols.names = make([]string, s.ColumnCount())
		for k := range s.cols.names {
			s.cols.names[k] = goString(sqlite3.Xsqlite3_column_name(s.tls, s.ptr, int32(k)))
		}
	}
	if uint(i) >= uint(len(s.cols.names)) {
		return ""
	}
	return s.cols.names[i]
}

// ColumnDeclType returns the declared type of the table column behind a result
// column; "" if that is an expression.
func (s *Stmt) ColumnDeclType(i int) string {
	if s.ptr == 0 {
		return ""
	}
	s.checkColumns()
	if s.cols.decls == nil {
		s.cols.decls = make([]string, s.ColumnCount())
		for k := range s.cols.decls {
			s.cols.decls[k] = goString(sqlite3.Xsqlite3_column_decltype(s.tls, s.ptr, int32(k)))
		}
	}
	if uint(i) >= uint(len(s.cols.decls)) {
		return ""
	}
	return s.cols.decls[i]
}

// ColumnNote returns what the caller has kept with SetColumnNote about the
// result columns, or nil. It is forgotten when the statement is compiled anew.
func (s *Stmt) ColumnNote() any {
	if s.ptr == 0 {
		return nil
	}
	s.checkColumns()
	return s.cols.note
}

// SetColumnNote keeps something derived from the names and declared types of
// the result columns, so that it is made once and not for each run.
func (s *Stmt) SetColumnNote(note any) {
	if s.ptr != 0 {
		s.checkColumns()
		s.cols.note = note
	}
}

// ColumnOrigin returns the table column behind a result column; all "" if that
// is an expression.
func (s *Stmt) ColumnOrigin(i int) (schema, table, column string) {
	if s.ptr == 0 {
		return "", "", ""
	}
	n := int32(i)
	return goString(sqlite3.Xsqlite3_column_database_name(s.tls, s.ptr, n)),
		goString(sqlite3.Xsqlite3_column_table_name(s.tls, s.ptr, n)),
		goString(sqlite3.Xsqlite3_column_origin_name(s.tls, s.ptr, n))
}

// mem returns the engine's own cell for a value of the current row, or nil
// outside of a row. What is stored as it is wanted, which is the rule, is read
// from there: the functions of the C API would look for the cell, take a mutex
// that isn't there, and clear an error code, three times for a text. They are a
// quarter of a scan. Everything that needs a conversion is left to them.
func (s *Stmt) mem(i int) *sqlite3.TMem {
	if s.ptr == 0 {
		return nil
	}
	v := (*sqlite3.TVdbe)(pointer(s.ptr))
	if v.FpResultRow == 0 || uint(i) >= uint(v.FnResColumn) {
		return nil
	}
	return (*sqlite3.TMem)(pointer(v.FpResultRow + uintptr(i)*unsafe.Sizeof(sqlite3.TMem{})))
}

// bytesOf returns the text (in UTF-8) or the blob in m without copying it; ok is
// false if m holds something else. A blob may still have zeros to be written out.
func bytesOf(m *sqlite3.TMem) (b []byte, ok bool) {
	switch {
	case m == nil || m.Fz == 0:
		return nil, false
	case m.Fflags&(sqlite3.MEM_Str|sqlite3.MEM_Blob) == sqlite3.MEM_Str && m.Fenc == sqlite3.SQLITE_UTF8,
		m.Fflags&(sqlite3.MEM_Str|sqlite3.MEM_Blob|sqlite3.MEM_Zero) == sqlite3.MEM_Blob:
		return view(m.Fz, int(m.Fn)), true
	}
	return nil, false
}

// ColumnType returns the type of a value of the current row: TypeNull outside of
// a row. Ask before reading the value as another type, which can convert it.
func (s *Stmt) ColumnType(i int) Type {
	m := s.mem(i)
	if m == nil {
		return TypeNull
	}
	switch m.Fflags & sqlite3.MEM_AffMask {
	case sqlite3.MEM_Int:
		return TypeInteger
	case sqlite3.MEM_Real:
		return TypeFloat
	case sqlite3.MEM_Str:
		return TypeText
	case sqlite3.MEM_Blob:
		return TypeBlob
	case sqlite3.MEM_Null:
		return TypeNull
	}
	return Type(sqlite3.Xsqlite3_column_type(s.tls, s.ptr, int32(i)))
}

// ColumnInt64 returns a value of the current row as an integer.
func (s *Stmt) ColumnInt64(i int) int64 {
	m := s.mem(i)
	if m == nil {
		return 0
	}
	if m.Fflags&sqlite3.MEM_Int != 0 {
		return *(*int64)(unsafe.Pointer(&m.Fu))
	}
	return sqlite3.Xsqlite3_column_int64(s.tls, s.ptr, int32(i))
}

// ColumnFloat returns a value of the current row as a floating point number.
func (s *Stmt) ColumnFloat(i int) float64 {
	m := s.mem(i)
	if m == nil {
		return 0
	}
	if m.Fflags&sqlite3.MEM_Real != 0 {
		return *(*float64)(unsafe.Pointer(&m.Fu))
	}
	return sqlite3.Xsqlite3_column_double(s.tls, s.ptr, int32(i))
}

// ColumnText returns a value of the current row as text, in full if it contains
// NUL bytes; "" for NULL.
func (s *Stmt) ColumnText(i int) string {
	if s.ptr == 0 {
		return ""
	}
	if b, ok := bytesOf(s.mem(i)); ok {
		return string(b)
	}
	// The order matters: text may convert the value, and bytes counts the result.
	p := sqlite3.Xsqlite3_column_text(s.tls, s.ptr, int32(i))
	if p == 0 {
		return ""
	}
	return string(view(p, int(sqlite3.Xsqlite3_column_bytes(s.tls, s.ptr, int32(i)))))
}

// ColumnBlob returns a copy of a value of the current row: nil for NULL, an empty
// slice for an empty blob or text. Text is in UTF-8, numbers come as text.
func (s *Stmt) ColumnBlob(i int) []byte {
	v := s.ColumnView(i)
	if v == nil {
		return nil
	}
	b := make([]byte, len(v))
	copy(b, v)
	return b
}

// ColumnView is [Stmt.ColumnBlob] without the copy. The bytes must not be written
// to, and are gone with the next Step, Reset, Release or Finalize, or when the
// same value is read as another type.
func (s *Stmt) ColumnView(i int) []byte {
	if s.ptr == 0 {
		return nil
	}
	if b, ok := bytesOf(s.mem(i)); ok && len(b) > 0 {
		return b
	}
	var p uintptr
	switch s.ColumnType(i) {
	case TypeNull:
		return nil
	case TypeBlob:
		p = sqlite3.Xsqlite3_column_blob(s.tls, s.ptr, int32(i))
	default:
		// Not column_blob: it gives text in the encoding of the database.
		p = sqlite3.Xsqlite3_column_text(s.tls, s.ptr, int32(i))
	}
	if p == 0 { // SQLite has no address for an empty blob
		return []byte{}
	}
	return view(p, int(sqlite3.Xsqlite3_column_bytes(s.tls, s.ptr, int32(i))))
}
