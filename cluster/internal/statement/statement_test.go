package statement

import (
	"database/sql/driver"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/holdfastdb/holdfast/internal/sqlite"
)

func TestWhatIsRefused(t *testing.T) {
	for _, c := range []struct {
		sql  string
		want error
	}{
		{"BEGIN", ErrTransaction},
		{"begin immediate", ErrTransaction},
		{" \t\r\n\f;;; Commit ; ", ErrTransaction},
		{"END TRANSACTION", ErrTransaction},
		{"ROLLBACK TO a", ErrTransaction},
		{"SAVEPOINT a", ErrTransaction},
		{"/* SELECT 1; */ RELEASE a", ErrTransaction},
		{"-- harmless\nBEGIN", ErrTransaction},
		{"/**/BEGIN/**/;", ErrTransaction},
		{"/*/ */BEGIN", ErrTransaction},
		{"\ufeffBEGIN", ErrTransaction},
		{"\ufeff \ufeffBEGIN", ErrTransaction},
		{"SELECT 1; COMMIT", ErrTransaction},
		{"SELECT ';'; COMMIT", ErrTransaction},
		{"SELECT 'it''s'; COMMIT", ErrTransaction},
		{`SELECT "a;b""c"; COMMIT`, ErrTransaction},
		{"SELECT [a;b]; COMMIT", ErrTransaction},
		{"SELECT `a;b`; COMMIT", ErrTransaction},
		{"SELECT x'00'; COMMIT", ErrTransaction},
		{"SELECT 1e+5; COMMIT", ErrTransaction},
		{"SELECT $a::b(;); COMMIT", ErrTransaction},
		{"CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT CASE WHEN 1 THEN 2 END; END; COMMIT", ErrTransaction},
		{"INSERT INTO t VALUES(1); BEGIN", ErrTransaction},
		{"ATTACH 'x' AS y", ErrRefused},
		{"detach y", ErrRefused},
		{"VACUUM", ErrRefused},
		{"VACUUM INTO 'x'", ErrRefused},
		{"PRAGMA foreign_keys = OFF", ErrRefused},
		{"PRAGMA foreign_keys(0)", ErrRefused},
		{"PRAGMA main.synchronous = OFF", ErrRefused},
		{`PRAGMA "foreign_keys" = OFF`, ErrRefused},
		{"PRAGMA wal_checkpoint", ErrRefused},
		{"PRAGMA optimize", ErrRefused},
		{"PRAGMA writable_schema=1", ErrRefused},
		{"CREATE TEMP TABLE t(a)", ErrRefused},
		{"CREATE TEMPORARY TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; END", ErrRefused},
		{"CREATE TABLE temp.t(a)", ErrRefused},
		{`CREATE TABLE "temp".t(a)`, ErrRefused},
		{"INSERT INTO t VALUES(CURRENT_TIMESTAMP)", ErrRefused},
		{"UPDATE t SET a = current_date", ErrRefused},
		{"INSERT INTO t VALUES('\xff')", ErrInvalid},
		{"SELECT 1\x00; COMMIT", ErrInvalid},
		{"GIBBERISH", ErrInvalid},
		{"(BEGIN)", ErrInvalid},
		{"PRAGMA", ErrInvalid},
		{"SELECT ?0", ErrInvalid},
		{"SELECT ?99999", ErrInvalid},
	} {
		if got, err := Parse(c.sql); !errors.Is(err, c.want) {
			t.Errorf("%q: %v, %v; want %v", c.sql, got, err, c.want)
		}
	}
}

func TestWhatIsSent(t *testing.T) {
	type want struct {
		n         int
		kind      Kind
		returning bool
	}
	for sql, w := range map[string]want{
		"":                                     {},
		" ; /* nothing */ ; -- at all":         {},
		"SELECT 1":                             {1, Read, false},
		"VALUES(1)":                            {1, Read, false},
		"SELECT 'BEGIN'; SELECT 1;":            {2, Read, false},
		"EXPLAIN BEGIN":                        {1, Read, false},
		"EXPLAIN QUERY PLAN DELETE FROM t":     {1, Read, false},
		"WITH a AS (SELECT 1) SELECT * FROM a": {1, Read, false},
		"WITH RECURSIVE a(b) AS (VALUES(1)) DELETE FROM t":                               {1, Write, false},
		"WITH replace AS (SELECT 1) SELECT * FROM replace":                               {1, Read, false},
		"WITH a AS (SELECT 1) REPLACE INTO t SELECT * FROM a":                            {1, Write, false},
		"WITH replace(a) AS (SELECT 1) INSERT INTO t SELECT a FROM replace":              {1, Write, false},
		"INSERT INTO t VALUES(1) RETURNING\nid":                                          {1, Write, true},
		"INSERT INTO t SELECT returning FROM u":                                          {1, Write, true}, // harmless: the server asks in the same way
		"CREATE TRIGGER t AFTER INSERT ON a BEGIN UPDATE b SET c=1; DELETE FROM d; END;": {1, Schema, false},
		"CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT CASE WHEN 1 THEN 2 END; END":    {1, Schema, false},
		"CREATE TABLE t(a DEFAULT CURRENT_TIMESTAMP)":                                    {1, Schema, false},
		"PRAGMA table_info(t)":                                                           {1, Read, false},
		"PRAGMA main.user_version":                                                       {1, Read, false},
		"PRAGMA user_version = 7":                                                        {1, Schema, false},
		"ANALYZE":                                                                        {1, Schema, false},
		"SELECT CURRENT_TIMESTAMP":                                                       {1, Read, false},
		"INSERT INTO t(\"current_timestamp\") VALUES(1)":                                 {1, Write, false},
	} {
		got, err := Parse(sql)
		if err != nil || len(got) != w.n {
			t.Errorf("%q: %d statements, %v; want %d", sql, len(got), err, w.n)
			continue
		}
		if w.n > 0 && (got[0].Kind != w.kind || got[0].Returning != w.returning) {
			t.Errorf("%q: %+v", sql, got[0])
		}
		for _, s := range got {
			if i := strings.Index(strings.ToLower(s.SQL), "returning"); s.Returning && s.SQL[i+len("returning")] != ' ' {
				t.Errorf("%q is sent as %q", sql, s.SQL)
			}
		}
	}
}

// SQLite itself says how many parameters a statement has and what they are called.
func TestParametersAreNumberedAsSQLiteDoes(t *testing.T) {
	c, err := new(sqlite.Probe).Open(":memory:", sqlite.OpenReadWrite|sqlite.OpenCreate)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, sql := range []string{
		"SELECT ?, ?, ?", "SELECT ?5, ?, ?2", "SELECT :a, ?, :a, @b, $c", "SELECT ?2, :a, ?", "SELECT $1, $2, $1", "SELECT '?', ? AS \"?\", 1 AS [?], ? -- ?",
		"SELECT /* ? */ ?1 + ?1", "SELECT $a::b(c), $a", "SELECT 1",
	} {
		s, _, err := c.Prepare(sql)
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		parsed, err := Parse(sql)
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		n := 0
		for _, p := range parsed[0].params {
			n = max(n, p.index)
			if name := s.BindParamName(p.index); name != p.name && (name != "" || p.name[0] != '?') {
				t.Errorf("%s: parameter %d is %q, for SQLite %q", sql, p.index, p.name, name)
			}
		}
		if n != s.BindParamCount() {
			t.Errorf("%s: %d parameters, for SQLite %d", sql, n, s.BindParamCount())
		}
		s.Finalize()
	}
}

func TestBind(t *testing.T) {
	args := func(vs ...any) (out []driver.NamedValue) {
		for i, v := range vs {
			out = append(out, driver.NamedValue{Ordinal: i + 1, Value: v})
		}
		return out
	}
	named := []driver.NamedValue{{Name: "a", Ordinal: 1, Value: 1}, {Name: "b", Ordinal: 2, Value: 2}}
	for _, c := range []struct {
		sql  string
		args []driver.NamedValue
		want []driver.Value
	}{
		{"SELECT ?, ?", args(1, 2), []driver.Value{1, 2}},
		{"SELECT ?, ?", args(1, 2, 3), []driver.Value{1, 2}},
		{"SELECT ?2", args(1, 2), []driver.Value{nil, 2}},
		{"SELECT :b, @a, :b", named, []driver.Value{2, 1}},
		{"SELECT :b", named, []driver.Value{2}},
		{"SELECT $2, $1", args(1, 2), []driver.Value{2, 1}},
		{"SELECT ?", nil, nil},
		{"SELECT ?3", args(1), nil},
		{"SELECT :c", named, nil},
	} {
		s, err := Parse(c.sql)
		if err != nil {
			t.Fatal(err)
		}
		got, err := s[0].Bind(c.args)
		if c.want == nil && !errors.Is(err, ErrInvalid) || c.want != nil && (err != nil || !slices.Equal(got, c.want)) {
			t.Errorf("%s: %v, %v; want %v", c.sql, got, err, c.want)
		}
	}
}

func TestCast(t *testing.T) {
	s, err := Parse("INSERT INTO t VALUES(?, '?', :a, ?1) RETURNING\tid, ?")
	if err != nil {
		t.Fatal(err)
	}
	const want = "INSERT INTO t VALUES(CAST(? AS TEXT), '?', :a, CAST(?1 AS TEXT)) RETURNING \tid, CAST(? AS TEXT)"
	if got := s[0].Cast(map[int]bool{1: true, 3: true}); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

// Whatever is let through, SQLite finds one statement in each, and nothing that controls a
// transaction or attaches a file: it says so itself while it compiles.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"SELECT 1; COMMIT", "/*/ */BEGIN", "CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; END; SELECT $a::b(c)",
		"\ufeffBEGIN", "x'';''", "EXPLAIN BEGIN", "-- a\r\nBEGIN", "[a]]BEGIN", "PRAGMA user_version=1", "WITH a AS (SELECT 1) DELETE FROM a",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		parsed, err := Parse(sql)
		if err != nil {
			return
		}
		c, err := new(sqlite.Probe).Open(":memory:", sqlite.OpenReadWrite|sqlite.OpenCreate)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.Exec("CREATE TABLE a(b)"); err != nil {
			t.Fatal(err)
		}
		for _, s := range parsed {
			c.SetAuthorizer(func(a sqlite.AuthAction, _, _, _, _ string) sqlite.AuthResult {
				explained := strings.HasPrefix(strings.ToUpper(s.SQL), "EXPLAIN")
				if !explained && (a == sqlite.ActionTransaction || a == sqlite.ActionSavepoint || a == sqlite.ActionAttach || a == sqlite.ActionDetach) {
					t.Errorf("%q was let through", s.SQL)
				}
				return sqlite.AuthOK
			})
			st, tail, err := c.Prepare(s.SQL)
			if err != nil {
				return
			}
			if again, err := Parse(tail); err != nil || len(again) > 0 {
				t.Errorf("SQLite sees more than one statement in %q", s.SQL)
			}
			if st != nil {
				st.Finalize()
			}
		}
	})
}
