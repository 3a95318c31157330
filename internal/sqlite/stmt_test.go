package sqlite

import (
	"bytes"
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"
)

// prepare returns a statement that is finalized when the test ends.
func prepare(t *testing.T, c *Conn, sql string) *Stmt {
	t.Helper()
	s, tail, err := c.Prepare(sql)
	if s == nil || tail != "" || err != nil {
		t.Fatalf("%v, %q, %v", s, tail, err)
	}
	t.Cleanup(func() { _ = s.Finalize() })
	return s
}

func wantRow(t *testing.T, s *Stmt, want bool) {
	t.Helper()
	if row, err := s.Step(); row != want || err != nil {
		t.Fatalf("row %v, %v; want %v", row, err, want)
	}
}

func TestPrepare(t *testing.T) {
	c := newConn(t, "CREATE TABLE t(a)")
	for _, blank := range []string{"", " \n", "-- x", "/* x */ "} {
		if s, _, err := c.Prepare(blank); s != nil || err != nil {
			t.Errorf("%q: %v, %v", blank, s, err)
		}
		if s, _, err := c.PrepareCached(blank); s != nil || err != nil {
			t.Errorf("%q: %v, %v", blank, s, err)
		}
	}
	s, tail, err := c.Prepare(" SELECT 1; SELECT 2")
	must(t, err)
	if s.SQL() != "SELECT 1;" || tail != " SELECT 2" {
		t.Errorf("%q, %q", s.SQL(), tail)
	}
	must(t, s.Finalize())
	wantCode(t, s.Finalize(), ResultMisuse)
	_, _, err = c.Prepare("SELECT 1\x00")
	wantCode(t, err, ResultMisuse)
	for sql, want := range map[string][2]int{
		"SELECT 1":                           {1, 0},
		"INSERT INTO t VALUES (1)":           {0, 0},
		"EXPLAIN INSERT INTO t VALUES (1)":   {0, 1},
		"EXPLAIN QUERY PLAN SELECT * FROM t": {1, 2},
		"INSERT INTO t VALUES (1) RETURNING": {0, 0},
	} {
		s, _, err := c.Prepare(sql)
		if strings.HasSuffix(sql, "RETURNING") {
			wantCode(t, err, ResultError)
			continue
		}
		must(t, err)
		if s.ReadOnly() != (want[0] == 1) || s.Explain() != want[1] {
			t.Error(sql, s.ReadOnly(), s.Explain())
		}
		must(t, s.Finalize())
	}
}

func TestBindRoundTrip(t *testing.T) {
	c := newConn(t, "")
	s := prepare(t, c, "SELECT ?1, typeof(?1), length(CAST(?1 AS BLOB))")
	for _, text := range []string{"", "x", "\x00", "a\x00b\x00", "ä€😀", strings.Repeat("long ", 50000)} {
		must(t, s.BindText(1, text))
		wantRow(t, s, true)
		if got := s.ColumnText(0); got != text || s.ColumnText(1) != "text" || s.ColumnInt64(2) != int64(len(text)) {
			t.Errorf("%q: %q %s %d", text, got, s.ColumnText(1), s.ColumnInt64(2))
		}
		if got := s.ColumnView(0); string(got) != text || got == nil {
			t.Errorf("%q: %q", text, got)
		}
		wantRow(t, s, false)
		must(t, s.Reset())
	}
	for _, blob := range [][]byte{nil, {}, {0}, {1, 0, 2}, bytes.Repeat([]byte{7}, 300000)} {
		must(t, s.BindBlob(1, blob))
		wantRow(t, s, true)
		want := TypeBlob
		if blob == nil {
			want = TypeNull
		}
		got := s.ColumnBlob(0)
		if !bytes.Equal(got, blob) || (got == nil) != (blob == nil) || s.ColumnType(0) != want {
			t.Errorf("%d bytes: %d bytes, nil %v, type %d", len(blob), len(got), got == nil, s.ColumnType(0))
		}
		must(t, s.Reset())
	}
	must(t, s.BindZeroBlob(1, 70000))
	wantRow(t, s, true)
	if got := s.ColumnBlob(0); !bytes.Equal(got, make([]byte, 70000)) {
		t.Error(len(got))
	}
	must(t, s.Reset())
	for _, n := range []int64{0, -1, math.MaxInt64, math.MinInt64} {
		must(t, s.BindInt64(1, n))
		wantRow(t, s, true)
		if s.ColumnInt64(0) != n || s.ColumnType(0) != TypeInteger || s.ColumnText(0) != fmt.Sprint(n) {
			t.Error(n, s.ColumnText(0))
		}
		must(t, s.Reset())
	}
	for _, x := range []float64{0.5, math.Inf(-1), math.MaxFloat64} {
		must(t, s.BindFloat(1, x))
		wantRow(t, s, true)
		if s.ColumnFloat(0) != x || s.ColumnType(0) != TypeFloat {
			t.Error(x, s.ColumnFloat(0))
		}
		must(t, s.Reset())
	}
	must(t, s.BindNull(1))
	wantRow(t, s, true)
	if s.ColumnType(0) != TypeNull || s.ColumnText(0) != "" || s.ColumnBlob(0) != nil || s.ColumnInt64(0) != 0 {
		t.Error("not NULL")
	}
	if s.ColumnType(-1) != TypeNull || s.ColumnText(3) != "" || s.ColumnName(3) != "" || s.ColumnName(-1) != "" {
		t.Error("a column that is none")
	}
}

// TestBindKeepsOthers rebinds single parameters with growing values, so that the
// arena moves, and expects the other parameters to keep theirs.
func TestBindKeepsOthers(t *testing.T) {
	c := newConn(t, "")
	const params = 20
	s := prepare(t, c, "SELECT ?"+strings.Repeat(", ?", params-1))
	want := make([]string, params)
	for i := range want {
		want[i] = fmt.Sprintf("value %d", i)
		must(t, s.BindText(i+1, want[i]))
	}
	for round := range 400 {
		i := round * 7 % params
		want[i] = strings.Repeat(fmt.Sprint(round), round*round%977)
		switch {
		case round%11 == 3:
			want[i] = "12"
			must(t, s.BindInt64(i+1, 12))
		case round%2 == 0:
			must(t, s.BindText(i+1, want[i]))
		default:
			must(t, s.BindBlob(i+1, []byte(want[i])))
		}
		wantRow(t, s, true)
		for k := range want {
			if got := s.ColumnText(k); got != want[k] {
				t.Fatalf("round %d, parameter %d: %q, want %q", round, k+1, got, want[k])
			}
		}
		must(t, s.Reset())
	}
}

func TestBindMisuse(t *testing.T) {
	c := newConn(t, "")
	s := prepare(t, c, "SELECT ?, :name, @x, ?7")
	if s.BindParamCount() != 7 {
		t.Error(s.BindParamCount())
	}
	for i, want := range []string{"", "", ":name", "@x", "", "", "", "?7", ""} {
		if got := s.BindParamName(i); got != want {
			t.Errorf("%d: %q", i, got)
		}
	}
	for _, i := range []int{0, -1, 8, math.MaxInt, math.MaxInt - math.MaxUint32&math.MaxInt + 1} {
		wantCode(t, s.BindInt64(i, 1), ResultRange)
		wantCode(t, s.BindText(i, "x"), ResultRange)
	}
	must(t, s.BindText(1, "before"))
	wantRow(t, s, true)
	wantCode(t, s.BindText(1, "during"), ResultMisuse)
	wantCode(t, s.ClearBindings(), ResultMisuse)
	if got := s.ColumnText(0); got != "before" {
		t.Error(got)
	}
	must(t, s.Reset())
	must(t, s.ClearBindings())
	wantRow(t, s, true)
	if s.ColumnType(0) != TypeNull {
		t.Error("a binding survived")
	}
}

func TestBindUTF16(t *testing.T) {
	c, err := Open(":memory:", OpenReadWrite)
	must(t, err)
	defer c.Close()
	mustExec(t, c, "PRAGMA encoding='UTF-16'; CREATE TABLE t(a, b)")
	s, _, err := c.PrepareCached("INSERT INTO t VALUES (?, ?)")
	must(t, err)
	for i := range 200 {
		must(t, s.BindText(1, "ä"))
		must(t, s.BindText(2, strings.Repeat("ö", i)))
		wantRow(t, s, false)
		must(t, s.Reset())
	}
	wantInt(t, c, 200*199/2+200, "SELECT sum(length(b)) + sum(a = 'ä') FROM t")
}

func TestStepErrors(t *testing.T) {
	c := newConn(t, "CREATE TABLE t(a UNIQUE)")
	s := prepare(t, c, "INSERT INTO t VALUES (?)")
	for i := range 3 {
		must(t, s.BindInt64(1, int64(i/2)))
		_, err := s.Step()
		if i == 1 {
			wantCode(t, err, ResultConstraintUnique)
			wantCode(t, s.Reset(), ResultConstraintUnique)
		} else {
			must(t, err)
			must(t, s.Reset())
		}
	}
	wantInt(t, c, 2, "SELECT count(*) FROM t")
	q := prepare(t, c, "SELECT a FROM t ORDER BY a")
	for range 2 { // after the end it starts over
		wantRow(t, q, true)
		if !q.Busy() {
			t.Error("not busy")
		}
		wantRow(t, q, true)
		wantRow(t, q, false)
		if q.Busy() {
			t.Error("busy")
		}
	}
	if n := q.Status(StmtStatusRun, true); n != 2 || q.Status(StmtStatusRun, false) != 0 || q.Status(StmtStatusMemUsed, false) == 0 {
		t.Error(n)
	}
}

func TestColumnsAfterSchemaChange(t *testing.T) {
	c := newConn(t, "CREATE TABLE t(a INTEGER, b TEXT); INSERT INTO t VALUES (1, 'x')")
	s := prepare(t, c, "SELECT * FROM t")
	check := func(want string) {
		t.Helper()
		wantRow(t, s, true)
		var got []string
		for i := range s.ColumnCount() {
			got = append(got, s.ColumnName(i)+" "+s.ColumnDeclType(i))
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("%v, want %s", got, want)
		}
		must(t, s.Reset())
	}
	check("a INTEGER, b TEXT")
	mustExec(t, c, "ALTER TABLE t ADD COLUMN c BLOB")
	check("a INTEGER, b TEXT, c BLOB")
	mustExec(t, c, "ALTER TABLE t RENAME COLUMN b TO renamed")
	check("a INTEGER, renamed TEXT, c BLOB")
	s.Status(StmtStatusReprepare, true)
	mustExec(t, c, "ALTER TABLE t RENAME COLUMN c TO d")
	check("a INTEGER, renamed TEXT, d BLOB")
	wantRow(t, s, true)
	if db, table, column := s.ColumnOrigin(1); db != "main" || table != "t" || column != "renamed" {
		t.Error(db, table, column)
	}
}

func TestHotPathDoesNotAllocate(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("each call of Windows by the engine's C library allocates")
	}
	c := newConn(t, "CREATE TABLE t(a INTEGER PRIMARY KEY, b, c);")
	blob := bytes.Repeat([]byte{1}, 500)
	run := func(sql string) func() {
		return func() {
			s, _, err := c.PrepareCached(sql)
			must(t, err)
			must(t, s.BindInt64(1, 7))
			must(t, s.BindText(2, "some text"))
			must(t, s.BindBlob(3, blob))
			must(t, s.BindFloat(4, 0.5))
			for row := true; row; {
				row, err = s.Step()
				must(t, err)
				for i := range s.ColumnCount() {
					_ = s.ColumnName(i)
					_ = s.ColumnType(i)
					_ = s.ColumnInt64(i)
					_ = s.ColumnView(i)
				}
			}
			if s.BindParamName(4) != ":f" {
				t.Error("name")
			}
			must(t, s.Release())
		}
	}
	for _, sql := range []string{
		"INSERT OR REPLACE INTO t VALUES (?1, ?2, ?3 || :f)",
		"SELECT *, ?2, ?3, :f FROM t WHERE a=?1",
	} {
		if n := testing.AllocsPerRun(500, run(sql)); n != 0 {
			t.Errorf("%s: %v allocations", sql, n)
		}
	}
}
