package sqlite

import (
	"path/filepath"
	"strings"
	"testing"
)

// confinedConn returns a confined connection to a small database in memory.
func confinedConn(t *testing.T) *Conn {
	t.Helper()
	path := filepath.Join(t.TempDir(), "confined.db")
	c, err := Open(path, OpenReadWrite|OpenCreate)
	if err != nil {
		t.Fatal(err)
	}
	err = c.Exec(`CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT COLLATE NOCASE, doc TEXT);
		CREATE INDEX i ON t(b);
		INSERT INTO t VALUES (1, 'Ada', '{"x":[1,2]}'), (2, 'Grace', '{}');
		CREATE VIEW v AS SELECT upper(b) AS u FROM t;
		CREATE VIRTUAL TABLE f USING fts5(text);
		CREATE VIRTUAL TABLE r USING rtree(id, x0, x1);
		INSERT INTO f VALUES ('a needle in a haystack');
		INSERT INTO r VALUES (1, 2, 3);
		CREATE VIRTUAL TABLE s USING dbstat;`)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if c, err = Open(path, OpenReadWrite); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := c.Exec("PRAGMA query_only = 1"); err != nil {
		t.Fatal(err)
	}
	if err := c.Confine(); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestConfinedReads(t *testing.T) {
	c := confinedConn(t)
	for range 200 { // each has less than 100 instructions, so nothing but its begin starts its account
		if _, err := c.QueryText("SELECT length(hex(zeroblob(1000000)))"); err != nil {
			t.Fatal(err)
		}
	}
	for _, q := range []struct{ sql, want string }{
		{"SELECT b FROM t WHERE a = 1", "Ada"},
		{"SELECT u FROM v ORDER BY u DESC", "GRACE"},
		{"SELECT count(*) FROM f WHERE f MATCH 'needle'", "1"},
		{"SELECT snippet(f, 0, '[', ']', '', 3) FROM f('needle')", "a [needle] in"},
		{"SELECT id FROM r WHERE x0 > 1", "1"},
		{"SELECT doc ->> '$.x[1]' FROM t", "2"},
		{"SELECT count(*) FROM t, json_each(t.doc, '$.x')", "2"},
		{"SELECT group_concat(name) FROM pragma_table_info('t')", "a,b,doc"},
		{"PRAGMA user_version", "0"},
		{"PRAGMA table_info(t)", "0"},
		{"PRAGMA quick_check", "ok"},
		{"WITH RECURSIVE n(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM n WHERE x < 9) SELECT sum(x) FROM n", "45"},
		{"SELECT replace('aXbX', 'X', '-') || instr('abc', 'c') || hex('A') || quote(NULL) || printf('%03d', 7)", "a-b-341NULL007"},
		{"SELECT json_set('{}', '$.a', 1, '$.b', json_array(1, 2))", `{"a":1,"b":[1,2]}`},
		{"SELECT instr(1234, 34) || typeof(substr(5, 1)) || trim('  x ') || ltrim('xxa', 'x')", "3textxa"},
		{"SELECT row_number() OVER (ORDER BY b) FROM t", "1"},
		{"SELECT sql FROM sqlite_schema WHERE name = 'i'", "CREATE INDEX i ON t(b)"},
	} {
		if got, err := c.QueryText(q.sql); err != nil || got != q.want {
			t.Errorf("%s = %q, %v; want %q", q.sql, got, err, q.want)
		}
	}
	for _, sql := range []string{"BEGIN", "SAVEPOINT s", "RELEASE s", "COMMIT"} {
		if err := c.Exec(sql); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
}

// The planner sees the engine's own LIKE behind the bounded one.
func TestConfinedLikeUsesTheIndex(t *testing.T) {
	c := confinedConn(t)
	s, _, err := c.Prepare("EXPLAIN QUERY PLAN SELECT a FROM t WHERE b LIKE 'ad%'")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Finalize()
	if _, err := s.Step(); err != nil {
		t.Fatal(err)
	}
	if got, want := s.ColumnText(3), "SEARCH t USING COVERING INDEX i (b>? AND b<?)"; got != want {
		t.Errorf("the plan is %q, want %q", got, want)
	}
}

func TestConfinedRefuses(t *testing.T) {
	c := confinedConn(t)
	for code, statements := range map[ResultCode][]string{
		ResultReadOnly: {
			"INSERT INTO t(b) VALUES ('x')", "UPDATE t SET b = 'x'", "DELETE FROM t", "REPLACE INTO t(a) VALUES (1)",
			"CREATE TABLE x(a)", "CREATE TEMP TABLE x(a)", "CREATE TEMP VIEW x AS SELECT 1", "DROP TABLE t", "DROP VIEW v",
			"ALTER TABLE t ADD COLUMN c", "REINDEX", "ANALYZE", "CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT 1; END",
			"CREATE VIRTUAL TABLE x USING fts5(a)", "CREATE VIRTUAL TABLE temp.x USING dbstat", "INSERT INTO f(f) VALUES ('optimize')",
			"DELETE FROM r", "INSERT INTO r VALUES (2, 3, 4)", "CREATE TABLE IF NOT EXISTS x AS SELECT 1",
		},
		ResultAuth: {
			"ATTACH ':memory:' AS x", "ATTACH 'other.db' AS x", "DETACH x",
			"SELECT load_extension('x')", "SELECT sqlite_log(1, 'x')", "SELECT sqlite_offset(a) FROM t",
			"SELECT rtreenode(2, x'00')", "SELECT rtreecheck('r')", "SELECT fts5(NULL)", "SELECT sqlite_compileoption_get(1)",
			"PRAGMA writable_schema", "PRAGMA writable_schema = on", "PRAGMA database_list", "PRAGMA user_version = 5",
			"PRAGMA journal_mode = off", "PRAGMA query_only = 0", "PRAGMA trusted_schema = 1", "PRAGMA mmap_size = 100000000",
			"PRAGMA temp_store_directory = '/tmp'", "PRAGMA wal_checkpoint", "PRAGMA incremental_vacuum", "PRAGMA optimize",
			"PRAGMA hard_heap_limit = 1", "PRAGMA shrink_memory", "PRAGMA case_sensitive_like = 1", "PRAGMA cache_size = 1000000",
			"PRAGMA threads = 8", "PRAGMA query_only = ''", "PRAGMA synchronous('')", `PRAGMA foreign_keys = ""`,
			"PRAGMA user_version = []", "PRAGMA locking_mode = exclusive", "PRAGMA busy_timeout = 100000", "PRAGMA no_such_pragma",
			"VACUUM", "VACUUM INTO 'copy.db'",
		},
		ResultError: {
			"SELECT * FROM dbstat", "SELECT * FROM sqlite_dbpage", "SELECT * FROM s", "SELECT readfile('/etc/passwd')",

			"SELECT writefile('x', 'y')", "SELECT edit('x')", "SELECT fts3_tokenizer('x')", "SELECT * FROM sqlite_stmt",
			"SELECT * FROM bytecode('SELECT 1')", "SELECT * FROM fsdir('.')", "SELECT * FROM zipfile('x')",
			"SELECT 'a' REGEXP 'b'", "SELECT * FROM generate_series(1, 10)",
			"UPDATE sqlite_schema SET sql = ''", "DELETE FROM r_node",
		},
	} {
		for _, sql := range statements {
			err := c.Exec(sql)
			if got := Code(err).Primary(); got != code {
				t.Errorf("%s: %v (%d), want code %d", sql, err, got, code)
			}
		}
	}
	if _, err := c.QueryText("SELECT * FROM pragma_database_list"); Code(err) == ResultOK {
		t.Error("pragma_database_list tells where the file is")
	}
}

// Straight code has no loop in which the engine would ask the progress handler.
func TestConfinedStraightCodeEnds(t *testing.T) {
	c := confinedConn(t)
	c.Limit(LimitLength, 4<<20)
	asked := 0
	c.SetProgressHandler(1_000_000, func() bool { asked++; return asked > 3 })
	if _, err := c.QueryText("SELECT hex(zeroblob(9)), hex(zeroblob(8)), hex(zeroblob(7)), hex(zeroblob(6)), hex(zeroblob(5))"); Code(err) != ResultInterrupt {
		t.Errorf("five calls past the third look: %v", err)
	}
	if testing.Short() {
		return // the rest takes two minutes under the race detector
	}
	c.SetProgressHandler(1000, func() bool { return false })
	for _, sql := range []string{
		"SELECT " + repeat("hex(zeroblob(2000000))", 80),
		"SELECT " + repeat("randomblob(4000000)", 80),
	} {
		if _, err := c.QueryText(sql); Code(err) != ResultNoMem {
			t.Errorf("%.60s...: %v", sql, err)
		}
	}
	polygon := "(SELECT '[[0,0],' || replace(hex(zeroblob(9000)), '00', '[9,0],[0,1],') || '[0,9],[0,0]]' AS p)"
	for _, sql := range []string{
		"SELECT geopoly_overlap(p, p) FROM " + polygon,
		"SELECT geopoly_within(p, p) FROM " + polygon,
		"SELECT date('now'" + strings.Repeat(", x", 20) + ") FROM (SELECT CAST(zeroblob(4000000) AS TEXT) AS x)",
		"SELECT count(*) FROM f WHERE f MATCH replace(hex(zeroblob(100000)), '00', 'a ')",
		"SELECT hex(zeroblob(2000000)) LIKE '%' || hex(zeroblob(200)) || '1'",
		"SELECT instr(zeroblob(4000000), zeroblob(2000000) || x'01')",
		"SELECT replace(zeroblob(4000000), CAST(zeroblob(2000000) AS TEXT) || 'x', '')",
		"SELECT trim(hex(zeroblob(2000000)), hex(randomblob(2000000)))",
	} {
		if _, err := c.QueryText(sql); Code(err) != ResultTooBig {
			t.Errorf("%.60s...: %v", sql, err)
		}
	}
}

// Many rows of large values are no more than one of them, and are not refused.
func TestConfinedReadsManyLargeValues(t *testing.T) {
	c := confinedConn(t)
	c.SetProgressHandler(1000, func() bool { return false })
	const rows = "WITH n(x) AS (VALUES (1), (2), (3), (4), (5), (6), (7), (8), (9)), v AS MATERIALIZED (SELECT hex(zeroblob(8000000)) AS big) "
	s, _, err := c.Prepare(rows + "SELECT instr(big, '1') FROM n, v")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Finalize()
	for n := 0; ; n++ {
		row, err := s.Step()
		if err != nil {
			t.Fatalf("row %d: %v", n+1, err)
		}
		if !row {
			break
		}
	}
	if got, err := c.QueryText(rows + "SELECT sum(instr(big, '1')) FROM n, v"); got != "0" || err != nil {
		t.Errorf("the sum: %q, %v", got, err)
	}
}

// What a bounded function is given and returns stays as the engine has it.
func TestConfinedFunctionsKnowUTF16(t *testing.T) {
	path := filepath.Join(t.TempDir(), "utf16.db")
	plain, err := Open(path, OpenReadWrite|OpenCreate)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	err = plain.Exec(`PRAGMA encoding = 'UTF-16le'; CREATE TABLE t(a INTEGER PRIMARY KEY, b);
		INSERT INTO t(b) VALUES ('Ada'), ('Grace'), ('grüße'), (x'00ff'), (1.5), (NULL)`)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Open(path, OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Confine(); err != nil {
		t.Fatal(err)
	}
	// The engine's answer ends with three bytes of memory that it has not written.
	if got, err := c.QueryText("SELECT hex(concat(x'410042004300'))"); got != "410042004300" || err != nil {
		t.Errorf("concat of a blob: %s, %v", got, err)
	}
	for _, sql := range []string{
		"SELECT group_concat(hex(b)) FROM t", "SELECT group_concat(upper(b) || '!') FROM t",
		"SELECT group_concat(a) FROM t WHERE substr(b, 2) = 'da'", "SELECT group_concat(a) FROM (SELECT a FROM t ORDER BY lower(b))",
		"SELECT json_object('k', b) || '' FROM t", "SELECT json_extract('{\"a\":\"x\"}', '$.a') = 'x'",
		"SELECT group_concat(CAST(replace(b, 'a', 'x') AS BLOB)) FROM t",
	} {
		want, err := plain.QueryText(sql)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.QueryText(sql); got != want || err != nil {
			t.Errorf("%s = %q, %v; want %q", sql, got, err, want)
		}
	}
}

// A bounded function takes as many arguments as the engine's own.
func TestConfinedFunctionsCountArguments(t *testing.T) {
	c := confinedConn(t)
	for sql, want := range map[string]string{
		"SELECT concat_ws()": "", "SELECT concat_ws(',')": "", "SELECT concat()": "", "SELECT upper()": "", "SELECT instr('a')": "", "SELECT json_patch('{}')": "",
		"SELECT concat(1)": "1", "SELECT concat_ws(',', 1)": "1", "SELECT json_array()": "[]", "SELECT json_object()": "{}",
	} {
		if got, err := c.QueryText(sql); got != want || (err == nil) != (want != "") {
			t.Errorf("%s = %q, %v; want %q", sql, got, err, want)
		}
	}
}

// JSON aggregates grow without any limit of length.
func TestConfinedMemoryIsBounded(t *testing.T) {
	c := confinedConn(t)
	c.Limit(LimitLength, 1_000_000)
	c.SetProgressHandler(1000, func() bool { return false })
	_, err := c.QueryText(`WITH RECURSIVE n(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM n WHERE x < 100000)
		SELECT length(json_group_array(hex(zeroblob(400000)))) FROM n`)
	if Code(err) != ResultNoMem {
		t.Errorf("80 GB of JSON: %v", err)
	}
	if got, err := c.QueryText("SELECT 1"); got != "1" || err != nil {
		t.Errorf("the next statement: %q, %v", got, err)
	}
}

func repeat(expression string, n int) string {
	list := expression
	for range n - 1 {
		list += ", " + expression
	}
	return list
}

// Every function that the engine has is either allowed or named here.
func TestConfinedKnowsEveryFunction(t *testing.T) {
	c, err := Open(":memory:", OpenReadWrite|OpenCreate)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	refused := set("load_extension sqlite_log sqlite_offset sqlite_compileoption_get sqlite_compileoption_used " +
		"sqlite_source_id subtype rtreecheck rtreenode rtreedepth geopoly_debug fts5 fts5_source_id json_pretty")
	s, _, err := c.Prepare("SELECT DISTINCT name FROM pragma_function_list")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Finalize()
	for {
		row, err := s.Step()
		if err != nil {
			t.Fatal(err)
		}
		if !row {
			break
		}
		if name := s.ColumnText(0); !allowedFunctions[name] && !refused[name] {
			t.Errorf("the engine has a function %s: allow or refuse it", name)
		}
	}
}
