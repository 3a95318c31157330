package rowhash_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/holdfastdb/holdfast/rowhash"
	"go.uber.org/goleak"
	_ "modernc.org/sqlite" // any engine will do
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, statements ...string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "a.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		var ok string
		if err := db.QueryRow("PRAGMA integrity_check").Scan(&ok); err != nil || ok != "ok" {
			t.Error(ok, err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	return db
}

func hashes(t *testing.T, db rowhash.Querier) []rowhash.Table {
	t.Helper()
	list, err := rowhash.Database(t.Context(), db, nil)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// What is another value, or a value of another type, is another hash; what no column shows is not.
func TestValuesThatDiffer(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, rows := range []string{
		"", "(NULL, NULL)", "(1, NULL)", "(NULL, 1)", "(1.0, NULL)", "('1', NULL)", "(x'31', NULL)", "('', NULL)", "(x'', NULL)",
		"('a' || char(0) || 'b', NULL)", "('a', 'b')", "('ab', NULL)", "('a' || char(0), NULL)", "(CAST(x'ff' AS TEXT), NULL)", "(x'ff', NULL)",
		"(9223372036854775807, NULL)", "(9223372036854775806, NULL)", "(9223372036854775807.0, NULL)", "(9e999, NULL)", "(-9e999, NULL)",
		"(0.1, NULL)", "(0.1 + 0.2, NULL)", "(0.3, NULL)", "(1e300, NULL)", "(1, NULL), (1, NULL)", "(1, NULL), (2, NULL)", "('r+inf', NULL)", "('i1', NULL)",
	} {
		db := open(t, "CREATE TABLE t(a, b)")
		if rows != "" {
			if _, err := db.Exec("INSERT INTO t VALUES " + rows); err != nil {
				t.Fatal(err)
			}
		}
		got := hashes(t, db)
		if other, found := seen[got[1].Hash]; found {
			t.Errorf("%s and %s have one hash", other, rows)
		}
		seen[got[1].Hash] = rows
	}
	first := open(t, "CREATE TABLE t(a, b)", "INSERT INTO t(rowid, a) VALUES (1, 'x'), (2, 'y'), (3, 0.0)")
	second := open(t, "CREATE TABLE t(a, b)", "INSERT INTO t(rowid, a) VALUES (-5, -0.0), (7, 'y'), (90, 'x')", "ANALYZE")
	if d := rowhash.Compare(hashes(t, first), hashes(t, second)); len(d) > 0 {
		t.Errorf("%v", d)
	}
}

// The definition stands: a hash that is kept must be found again by later versions.
func TestTheHashStays(t *testing.T) {
	t.Parallel()
	got := hashes(t, open(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, a)", "INSERT INTO t VALUES (1, NULL), (2, 2.5), (3, 'ä'), (4, x'00ff')"))
	want := []rowhash.Table{
		{Name: "sqlite_schema", Rows: 1, Hash: "f18d322013f95050db5756fa89fe541d766672b068330140af6dfa0d852b24bf"},
		{Name: "t", Rows: 4, Hash: "a08a148a0020b00f07e2ee4aeef8277286069462bbb6ffc7afe9c6a1b6f8164b"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
}

// counter counts queries, and the rows of the largest page.
type counter struct {
	rowhash.Querier
	queries int
	fails   error
}

func (c *counter) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if c.queries++; c.fails != nil && strings.Contains(query, " > ") {
		return nil, c.fails
	}
	return c.Querier.QueryContext(ctx, query, args...)
}

// Tables of all kinds are read by pages, each row once, whatever their keys are.
func TestPages(t *testing.T) {
	t.Parallel()
	const rows = 900
	series := fmt.Sprintf("WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < %d) ", rows)
	tables := map[string]string{
		`plain`:       "(a)|SELECT i FROM n",
		`k`:           "(id INTEGER PRIMARY KEY, a)|SELECT i * -3, i FROM n",
		`text`:        "(a TEXT, b, PRIMARY KEY(a)) WITHOUT ROWID|SELECT 'k' || i, i FROM n",
		`two`:         "(b COLLATE NOCASE, a TEXT, c, PRIMARY KEY(a DESC, b COLLATE BINARY)) WITHOUT ROWID|SELECT CASE i % 2 WHEN 1 THEN 'Ab' ELSE 'ab' END, 'n' || (i / 2), i FROM n",
		`mixed`:       "(a PRIMARY KEY, b) WITHOUT ROWID|SELECT CASE i % 5 WHEN 0 THEN i WHEN 1 THEN i + 0.5 WHEN 2 THEN 't' || char(0) || i WHEN 3 THEN CAST('b' || i AS BLOB) ELSE CAST(CAST(x'ff' AS TEXT) || i AS TEXT) END, i FROM n",
		`shadowed`:    "(rowid, _rowid_ TEXT, a)|SELECT 1, 'x', i FROM n",
		"odd \" name": "(\"a \"\" b\", \"select\")|SELECT i, 0 FROM n",
		`gen`:         "(a, b AS (a + 1), c AS (a * 2) STORED)|SELECT i FROM n",
		`infinite`:    "(a PRIMARY KEY) WITHOUT ROWID|SELECT CASE i WHEN 1 THEN -9e999 WHEN 2 THEN 9e999 ELSE i END FROM n",
	}
	changed := map[string]string{"plain": "a", "k": "a", "text": "b", "two": "c", "mixed": "b", "shadowed": "a", "odd \" name": `"select"`, "gen": "a", "infinite": "a"}
	db := open(t)
	for name, of := range tables {
		definition, fill, _ := strings.Cut(of, "|")
		name = `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
		for _, s := range []string{"CREATE TABLE " + name + definition, "INSERT INTO " + name + " " + series + fill} {
			if _, err := db.Exec(s); err != nil {
				t.Fatalf("%s: %v", s, err)
			}
		}
	}
	c := &counter{Querier: db}
	last := map[string]int64{}
	got, err := rowhash.Database(t.Context(), c, func(table string, n int64) {
		if n < last[table] {
			t.Errorf("%s went back to %d rows", table, n)
		}
		last[table] = n
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(tables)+1 || c.queries < 5*len(tables) {
		t.Errorf("%d tables by %d queries", len(got), c.queries)
	}
	for _, g := range got {
		if g.Name != rowhash.Schema && (g.Rows != rows || last[g.Name] != rows) {
			t.Errorf("%s has %d rows, %d told", g.Name, g.Rows, last[g.Name])
		}
	}
	for name := range tables {
		column := changed[name]
		name = `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
		if _, err := db.Exec("UPDATE " + name + " SET " + column + " = 'other' WHERE " + column + " = (SELECT max(" + column + ") FROM " + name + ")"); err != nil {
			t.Fatal(name, err)
		}
	}
	if d := rowhash.Compare(got, hashes(t, db)); len(d) != len(tables) {
		t.Errorf("%d of %d changes are found: %v", len(d), len(tables), d)
	}
	wanted := errors.New("wanted")
	if _, err := rowhash.Database(t.Context(), &counter{Querier: db, fails: wanted}, nil); !errors.Is(err, wanted) {
		t.Error(err)
	}
}

func TestHiddenKey(t *testing.T) {
	t.Parallel()
	_, err := rowhash.Database(t.Context(), open(t, "CREATE TABLE t(rowid, OID, _RowID_)"), nil)
	if err == nil || !strings.Contains(err.Error(), "rename one") {
		t.Error(err)
	}
}

// A page of large rows has few of them.
func TestLargeRows(t *testing.T) {
	t.Parallel()
	db := open(t, "CREATE TABLE t(a)", "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 2100) INSERT INTO t SELECT zeroblob(CASE WHEN i > 2000 THEN 300000 ELSE 1 END) FROM n")
	before, most := int64(0), int64(0)
	got, err := rowhash.Database(t.Context(), db, func(table string, n int64) {
		if before > 2000 {
			most = max(most, n-before)
		}
		before = n
	})
	if err != nil || got[1].Rows != 2100 {
		t.Fatal(got, err)
	}
	if most != 3 {
		t.Errorf("a page of %d rows of 300 kB", most)
	}
}

func TestCompare(t *testing.T) {
	t.Parallel()
	first := open(t, "CREATE TABLE a(a)", "CREATE TABLE b(a)", "CREATE TABLE c(a)", "INSERT INTO c VALUES (1)", "CREATE TABLE e(a)", "INSERT INTO e VALUES (1)")
	second := open(t, "CREATE TABLE b(a)", "CREATE TABLE c(a)", "INSERT INTO c VALUES (1.0)", "CREATE TABLE d(a)", "CREATE TABLE e(a)")
	var lines []string
	for _, d := range rowhash.Compare(hashes(t, first), hashes(t, second)) {
		lines = append(lines, d.String())
	}
	want := []string{
		"table a is in the first only", "table c has 1 rows in both, and not the same values", "table d is in the second only",
		"table e has 1 rows in the first and 0 in the second", "the schema differs",
	}
	if !reflect.DeepEqual(lines, want) {
		t.Errorf("%q", lines)
	}
}
