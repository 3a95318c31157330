package sqlite

import (
	"math"
	"testing"

	sqlite3 "modernc.org/sqlite/lib"
)

// Values are read from the engine's cells where they need no conversion; the
// answers have to be those of the C API in every case.
func TestColumnsAreReadAsTheCAPIDoes(t *testing.T) {
	c := newConn(t, "CREATE TABLE t(a INTEGER, b REAL, c TEXT, d BLOB, e);"+
		"INSERT INTO t VALUES (1, 2, 3, 4, 5), ('x', 'y', 'z', 'w', zeroblob(3)), (1.5, 1.5, 1.5, 1.5, 1.5), (NULL, NULL, NULL, NULL, NULL),"+
		"(9223372036854775807, -1e300, '', x'', ''), (-1, 0, 'caf\u00e9', x'00ff', x'414243')")
	for _, sql := range []string{
		"SELECT a, b, c, d, e FROM t",
		"SELECT a+0, b+0, c||'', d, typeof(e) FROM t",
		"SELECT e, d, c, b, a FROM t ORDER BY e",
		"SELECT count(*), max(b), min(c), total(a), avg(b) FROM t GROUP BY typeof(a)",
		"SELECT CAST(a AS TEXT), CAST(b AS BLOB), CAST(c AS INTEGER), CAST(d AS REAL), zeroblob(5) FROM t",
		"SELECT 1, 2.5, 'text', x'c0ffee', NULL",
		"SELECT ?1, ?2, ?3, ?4, ?5",
	} {
		for _, access := range []string{"type", "int", "float", "text", "blob", "all"} {
			ours, _, err := c.Prepare(sql)
			must(t, err)
			theirs, _, err := c.Prepare(sql)
			must(t, err)
			for _, s := range []*Stmt{ours, theirs} {
				if s.BindParamCount() == 5 {
					must(t, s.BindInt64(1, math.MinInt64))
					must(t, s.BindFloat(2, math.Inf(1)))
					must(t, s.BindText(3, "bound"))
					must(t, s.BindBlob(4, []byte{0, 1}))
					must(t, s.BindZeroBlob(5, 7))
				}
			}
			for {
				row, err := ours.Step()
				must(t, err)
				_, err = theirs.Step()
				must(t, err)
				if !row {
					break
				}
				for i := -1; i <= ours.ColumnCount(); i++ {
					compareColumn(t, sql, access, ours, theirs, i)
				}
			}
			must(t, ours.Finalize())
			must(t, theirs.Finalize())
		}
	}
}

// A database may keep its texts in UTF-16; nobody sees it.
func TestColumnsOfUTF16(t *testing.T) {
	for _, encoding := range []string{"UTF-16le", "UTF-16be"} {
		c := newConn(t, "PRAGMA encoding='"+encoding+"'; CREATE TABLE t(a); INSERT INTO t VALUES ('caf\u00e9'), (''), (42), (NULL)")
		if got, err := c.QueryText("PRAGMA encoding"); got != encoding {
			t.Fatal(got, err)
		}
		for _, read := range []func(*Stmt) string{
			func(s *Stmt) string { return string(s.ColumnView(0)) },
			func(s *Stmt) string { return string(s.ColumnBlob(0)) },
			func(s *Stmt) string { _ = s.ColumnView(0); return s.ColumnText(0) },
			func(s *Stmt) string { _ = s.ColumnText(0); return string(s.ColumnView(0)) },
		} {
			s, _, err := c.Prepare("SELECT a FROM t ORDER BY rowid")
			must(t, err)
			for _, want := range []string{"caf\u00e9", "", "42", ""} {
				_, err := s.Step()
				must(t, err)
				if got := read(s); got != want {
					t.Errorf("%s: %q, want %q", encoding, got, want)
				}
			}
			must(t, s.Finalize())
		}
	}
}

func compareColumn(t *testing.T, sql, access string, ours, theirs *Stmt, i int) {
	t.Helper()
	tls, p, n := theirs.tls, theirs.ptr, int32(i)
	check := func(kind string, got, want any) {
		t.Helper()
		if got != want {
			t.Errorf("%s: column %d as %s: %v, the C API says %v", sql, i, kind, got, want)
		}
	}
	if access == "type" || access == "all" {
		check("type", ours.ColumnType(i), Type(sqlite3.Xsqlite3_column_type(tls, p, n)))
	}
	if access == "int" || access == "all" {
		check("int", ours.ColumnInt64(i), sqlite3.Xsqlite3_column_int64(tls, p, n))
	}
	if access == "float" || access == "all" {
		check("float", ours.ColumnFloat(i), sqlite3.Xsqlite3_column_double(tls, p, n))
	}
	if access == "blob" || access == "all" {
		b := ours.ColumnView(i)
		check("blob", string(b), string(view(sqlite3.Xsqlite3_column_blob(tls, p, n), int(sqlite3.Xsqlite3_column_bytes(tls, p, n)))))
		check("NULL", b == nil, sqlite3.Xsqlite3_column_type(tls, p, n) == sqlite3.SQLITE_NULL)
	}
	if access == "text" || access == "all" {
		text := ours.ColumnText(i)
		check("text", text, string(view(sqlite3.Xsqlite3_column_text(tls, p, n), int(sqlite3.Xsqlite3_column_bytes(tls, p, n)))))
		check("text again", ours.ColumnText(i), text)
	}
}
