package conformance

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
)

var reading = []test{
	{"query", testQuery},
	{"read levels", testLevels},
	{"types", testTypes},
	{"types of expressions", testExpressions},
	{"whole floats without a type", testWholeFloats},
	{"blobs without a type", testUntypedBlobs},
	{"times", testTimes},
	{"rows", testRows},
	{"returning", testReturning},
	{"large values", testLarge},
}

func testQuery(t *testing.T, db *holdfast.DB, table string) {
	must(t, db, "CREATE TABLE "+table+"(id INTEGER PRIMARY KEY, name TEXT)")
	must(t, db, "INSERT INTO "+table+" VALUES (1, 'a'), (2, NULL), (3, 'c')")
	rows, err := db.QueryContext(latest(t), "SELECT id AS number, name FROM "+table+" WHERE id >= ? ORDER BY id", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	if names, err := rows.Columns(); err != nil || !reflect.DeepEqual(names, []string{"number", "name"}) {
		t.Errorf("columns %v (%v)", names, err)
	}
	var got []string
	for id := 1; rows.Next(); id++ {
		var n int
		var name sql.NullString
		if err := rows.Scan(&n, &name); err != nil || n != id || name.Valid != (id != 2) {
			t.Errorf("row %d: %d, %v (%v)", id, n, name, err)
		}
		got = append(got, name.String)
	}
	if err := rows.Err(); err != nil || strings.Join(got, ",") != "a,,c" {
		t.Errorf("%v (%v)", got, err)
	}
	var n int
	if err := db.QueryRowContext(t.Context(), "SELECT id FROM "+table+" WHERE id = ?", 99).Scan(&n); !errors.Is(err, sql.ErrNoRows) {
		t.Errorf("no rows: %v", err)
	}
	names, err := db.QueryContext(latest(t), "SELECT id, name FROM "+table+" WHERE id = 99")
	if err != nil {
		t.Fatal(err)
	}
	defer names.Close()
	if list, err := names.Columns(); err != nil || len(list) != 2 || names.Next() || names.Err() != nil {
		t.Errorf("a result without rows has the columns %v (%v)", list, err)
	}
	err = db.QueryRowContext(t.Context(), "SELECT missing FROM "+table+" WHERE name = ?", canary).Scan(&n)
	code(t, "a query", err, 1)
}

func testLevels(t *testing.T, db *holdfast.DB, table string) {
	must(t, db, "CREATE TABLE "+table+"(a INTEGER)")
	none := holdfast.WithReadLevel(t.Context(), holdfast.ReadNone)
	for end := time.Now().Add(time.Minute); ; <-time.After(5 * time.Millisecond) { // who answers may not have the table yet
		var n int
		err := db.QueryRowContext(none, "SELECT count(*) FROM "+table).Scan(&n)
		if err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
	for i := range 5 {
		must(t, db, "INSERT INTO "+table+" VALUES (?)", i)
		for level, ctx := range map[string]context.Context{
			"none":         none,
			"none, fresh":  holdfast.WithFreshness(none, time.Minute),
			"weak":         holdfast.WithReadLevel(t.Context(), holdfast.ReadWeak),
			"linearizable": holdfast.WithReadLevel(t.Context(), holdfast.ReadLinearizable),
			"default":      t.Context(),
		} {
			var n int
			if err := db.QueryRowContext(ctx, "SELECT count(*) FROM "+table).Scan(&n); err != nil {
				t.Errorf("%s: %v", level, err)
			}
			if level == "linearizable" && n != i+1 {
				t.Errorf("%s: %d rows of %d", level, n, i+1)
			}
		}
	}
}

// values are what must come back as it went, by the type of its column.
var values = []struct {
	column string
	in     any
	out    any // nil: in
	typ    string
}{
	{"i INTEGER", int64(math.MaxInt64), nil, "integer"},
	{"i INTEGER", int64(math.MinInt64), nil, "integer"},
	{"i INTEGER", int64(1<<53 + 1), nil, "integer"},
	{"i INTEGER", int64(0), nil, "integer"},
	{"i INTEGER", true, int64(1), "integer"},
	{"r REAL", 0.1, nil, "real"},
	{"r REAL", 3.0, nil, "real"},
	{"r REAL", -1e300, nil, "real"},
	{"r REAL", 5e-324, nil, "real"},
	{"r REAL", math.MaxFloat64, nil, "real"},
	{"r REAL", 1e17, nil, "real"},
	{"r REAL", int64(7), 7.0, "real"},
	{"t TEXT", "", nil, "text"},
	{"t TEXT", "a\x00b\x00", nil, "text"},
	{"t TEXT", "Grüße, \U0001F980 \u2028 \"'\\ \t\r\n <&>", nil, "text"},
	{"t TEXT", "1234", nil, "text"},
	{"t TEXT", "null", nil, "text"},
	{"b BLOB", []byte{0, 1, 2, 254, 255}, nil, "blob"},
	{"b BLOB", []byte{}, nil, "blob"},
	{"b BLOB", []byte("text"), nil, "blob"},
	{"b BLOB", "text in a blob column", nil, "text"},
	{"u", int64(-5), nil, "integer"},
	{"u", 2.5, nil, "real"},
	{"u", "untyped", nil, "text"},
	{"i INTEGER", nil, nil, "null"},
	{"r REAL", nil, nil, "null"},
	{"t TEXT", nil, nil, "null"},
	{"b BLOB", nil, nil, "null"},
	{"b BLOB", []byte(nil), []byte(nil), "null"},
}

func testTypes(t *testing.T, db *holdfast.DB, table string) {
	must(t, db, "CREATE TABLE "+table+"(id INTEGER PRIMARY KEY, i INTEGER, r REAL, t TEXT, b BLOB, u)")
	for id, v := range values {
		column, _, _ := strings.Cut(v.column, " ")
		insert := "INSERT INTO " + table + "(id, " + column + ") VALUES (?, ?)"
		must(t, db, insert, 2*id, v.in)
		if _, err := db.Batch(t.Context(), []holdfast.Statement{{SQL: insert, Args: []any{2*id + 1, v.in}}}); err != nil {
			t.Fatal(err)
		}
		want := v.out
		if b, null := want.([]byte); null && b == nil {
			want = nil
		} else if want == nil {
			want = v.in
		}
		for _, id := range []int{2 * id, 2*id + 1} {
			var got any
			var typ string
			query := "SELECT " + column + ", typeof(" + column + ") FROM " + table + " WHERE id = ?"
			if err := db.QueryRowContext(latest(t), query, id).Scan(&got, &typ); err != nil || typ != v.typ || !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %T %v came back as %T %v, a %s (%v)", v.column, v.in, v.in, got, got, typ, err)
			}
			// A value finds itself.
			if v.typ != "null" && number(t, db, "SELECT count(*) FROM "+table+" WHERE id = ? AND "+column+" IS ?", id, want) != 1 {
				t.Errorf("%s: %v doesn't find itself", v.column, v.in)
			}
		}
	}
}

func testExpressions(t *testing.T, db *holdfast.DB, _ string) {
	var i, r, text, null any
	err := db.QueryRowContext(t.Context(), "SELECT 9223372036854775807, 1.5, 'x' || char(0) || 'y', NULL").Scan(&i, &r, &text, &null)
	if err != nil || i != int64(math.MaxInt64) || r != 1.5 || text != "x\x00y" || null != nil {
		t.Errorf("%v %v %q %v (%v)", i, r, text, null, err)
	}
	var types string
	if err := db.QueryRowContext(t.Context(), "SELECT typeof(?1) || typeof(?2) || typeof(?3) || typeof(?4)", 1, 1.0, "x", nil).Scan(&types); err != nil || types != "integerrealtextnull" {
		t.Errorf("%s (%v)", types, err)
	}
}

// A text protocol may say 4 for 4.0 where no column's type tells them apart.
func testWholeFloats(t *testing.T, db *holdfast.DB, table string) {
	must(t, db, "CREATE TABLE "+table+"(u)")
	must(t, db, "INSERT INTO "+table+" VALUES (?)", 4.0)
	for _, query := range []string{"SELECT u FROM " + table, "SELECT 4.0", "SELECT sum(u) FROM " + table} {
		var got any
		if err := db.QueryRowContext(latest(t), query).Scan(&got); err != nil || got != 4.0 {
			t.Errorf("%s: %T %v (%v)", query, got, got, err)
		}
	}
	var x float64
	if err := db.QueryRowContext(latest(t), "SELECT u FROM "+table).Scan(&x); err != nil || x != 4 {
		t.Errorf("into a float64: %v (%v)", x, err)
	}
}

func testUntypedBlobs(t *testing.T, db *holdfast.DB, table string) {
	must(t, db, "CREATE TABLE "+table+"(u)")
	must(t, db, "INSERT INTO "+table+" VALUES (?)", []byte{0, 255})
	for _, query := range []string{"SELECT u FROM " + table, "SELECT x'00ff'", "SELECT max(u) FROM " + table} {
		var got any
		if err := db.QueryRowContext(latest(t), query).Scan(&got); err != nil || !reflect.DeepEqual(got, []byte{0, 255}) {
			t.Errorf("%s: %T %v (%v)", query, got, got, err)
		}
	}
}

func testTimes(t *testing.T, db *holdfast.DB, table string) {
	must(t, db, "CREATE TABLE "+table+"(id INTEGER PRIMARY KEY, at DATETIME, day DATE, stamp TIMESTAMP, t TEXT)")
	at := time.Date(2026, 11, 28, 3, 4, 5, 678901234, time.FixedZone("", 3600))
	must(t, db, "INSERT INTO "+table+" VALUES (1, ?, ?, ?, ?)", at, at, at.UTC(), at)
	var got, day, stamp time.Time
	var text string
	if err := db.QueryRowContext(latest(t), "SELECT at, day, stamp, t FROM "+table).Scan(&got, &day, &stamp, &text); err != nil {
		t.Fatal(err)
	}
	for _, back := range []time.Time{got, day, stamp} {
		if !back.Equal(at) {
			t.Errorf("%v came back as %v", at, back)
		}
	}
	if text != "2026-11-28 03:04:05.678901234+01:00" {
		t.Errorf("stored as %q", text)
	}
	var unix int64
	if err := db.QueryRowContext(latest(t), "SELECT unixepoch(at) FROM "+table).Scan(&unix); err != nil || unix != at.Unix() {
		t.Errorf("SQLite's functions read it as %d, not %d (%v)", unix, at.Unix(), err)
	}
	if n := number(t, db, "SELECT count(*) FROM "+table+" WHERE at = ?", at); n != 1 {
		t.Error("a time doesn't find itself")
	}
}

func testRows(t *testing.T, db *holdfast.DB, table string) {
	must(t, db, "CREATE TABLE "+table+"(id INTEGER PRIMARY KEY, r REAL, t TEXT, b BLOB, at DATETIME)")
	must(t, db, "INSERT INTO "+table+" VALUES (?, ?, ?, ?, ?), (2, NULL, NULL, NULL, NULL)", 1, 0.5, "x\x00", []byte{0}, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	type item struct {
		ID int
		R  *float64
		T  sql.NullString
		B  []byte
		At *time.Time
	}
	items, err := holdfast.Collect[item](db.Rows(latest(t), "SELECT * FROM "+table+" ORDER BY id"))
	if err != nil || len(items) != 2 {
		t.Fatalf("%v (%v)", items, err)
	}
	if f, s := items[0], items[1]; f.ID != 1 || *f.R != 0.5 || f.T.String != "x\x00" || !reflect.DeepEqual(f.B, []byte{0}) || f.At.Unix() != 1767323045 ||
		s.ID != 2 || s.R != nil || s.T.Valid || s.B != nil || s.At != nil {
		t.Errorf("%+v", items)
	}
	var types []string
	for row, err := range db.Rows(latest(t), "SELECT id, r, t, b, at FROM "+table+" ORDER BY id") {
		if err != nil {
			t.Fatal(err)
		}
		for i := range row.Len() {
			types = append(types, row.Type(i).String())
		}
		if row.Name(4) != "at" || row.Int64(0) == 1 && row.Text(4) != "2026-01-02 03:04:05+00:00" {
			t.Errorf("%s: %s", row.Name(4), row.Text(4))
		}
	}
	if got := strings.Join(types, " "); got != "INTEGER REAL TEXT BLOB TEXT INTEGER NULL NULL NULL NULL" {
		t.Error(got)
	}
	for _, err := range db.Rows(t.Context(), "INSERT INTO "+table+"(t) VALUES ('by Rows') RETURNING id") {
		rolledBack(t, "a write by Rows", err, holdfast.ErrRefused, "")
	}
	if n := number(t, db, "SELECT count(*) FROM "+table); n != 2 {
		t.Errorf("%d rows", n)
	}
	for row, err := range db.Rows(t.Context(), "SELECT missing FROM "+table+" WHERE t = ?", canary) {
		if row != nil {
			t.Error("a row of a query that can't be run")
		}
		code(t, "Rows", err, 1)
	}
}

func testReturning(t *testing.T, db *holdfast.DB, table string) {
	must(t, db, "CREATE TABLE "+table+"(id INTEGER PRIMARY KEY, a UNIQUE)")
	insert := "INSERT INTO " + table + "(a) VALUES (?) RETURNING id, a"
	var id int
	var a string
	if err := db.QueryRowContext(t.Context(), insert, "x").Scan(&id, &a); err != nil || id != 1 || a != "x" {
		t.Errorf("%d %s (%v)", id, a, err)
	}
	code(t, "the same again", db.QueryRowContext(t.Context(), insert, "x").Scan(&id, &a), unique)
	if n := number(t, db, "SELECT count(*) FROM "+table); n != 1 {
		t.Errorf("%d rows", n)
	}
}

func testLarge(t *testing.T, db *holdfast.DB, table string) {
	must(t, db, "CREATE TABLE "+table+"(id INTEGER PRIMARY KEY, t TEXT, b BLOB)")
	text, blob := strings.Repeat("päng ", 1<<18), make([]byte, 1<<20)
	for i := range blob {
		blob[i] = byte(i * i >> 3)
	}
	must(t, db, "INSERT INTO "+table+" VALUES (1, ?, ?)", text, blob)
	var gotText string
	var gotBlob []byte
	if err := db.QueryRowContext(latest(t), "SELECT t, b FROM "+table).Scan(&gotText, &gotBlob); err != nil || gotText != text || !reflect.DeepEqual(gotBlob, blob) {
		t.Errorf("%d and %d bytes came back as %d and %d (%v)", len(text), len(blob), len(gotText), len(gotBlob), err)
	}
	must(t, db, "INSERT INTO "+table+"(t) WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) SELECT i FROM n")
	if list, err := holdfast.Collect[int64](db.Rows(latest(t), "SELECT id FROM "+table)); err != nil || len(list) != 20001 {
		t.Errorf("%d rows (%v)", len(list), err)
	}
}
