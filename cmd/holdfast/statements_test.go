package main

import (
	"slices"
	"strings"
	"testing"
)

func TestSplit(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		sql  string
		want []string
	}{
		{"", nil},
		{" ;; -- nothing\n/* at all */ ;", nil},
		{"SELECT 1", []string{"SELECT 1"}},
		{"SELECT 1;SELECT 2;", []string{"SELECT 1;", "SELECT 2;"}},
		{"SELECT ';'; SELECT \";\"; SELECT [;], `;` /* ; */ -- ;\n;", []string{"SELECT ';';", "SELECT \";\";", "SELECT [;], `;` /* ; */ -- ;\n;"}},
		{"SELECT 'it''s; fine'; x", []string{"SELECT 'it''s; fine';", "x"}},
		{"CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT 1; SELECT 2; END; SELECT 3", []string{
			"CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT 1; SELECT 2; END;", "SELECT 3",
		}},
		{"SELECT 'open; ", []string{"SELECT 'open;"}},
		{"/* open; SELECT 1;", []string{"/* open; SELECT 1;"}},
		{"SELECT 1; -- last", []string{"SELECT 1;", "-- last"}[:1]},
		{"SELECT 1\x00; SELECT 2", []string{"SELECT 1\x00; SELECT 2"}},
	} {
		if got := split(test.sql); !slices.Equal(got, test.want) {
			t.Errorf("split(%q) = %q, want %q", test.sql, got, test.want)
		}
	}
}

func TestKeyword(t *testing.T) {
	t.Parallel()
	for sql, want := range map[string]string{
		"":                          "",
		"select 1":                  "SELECT",
		" -- x\n/* y */;Begin;":     "BEGIN",
		"COMMIT;":                   "COMMIT",
		"/* open":                   "",
		"123":                       "",
		"release savepoint \"a b\"": "RELEASE",
	} {
		if got := keyword(sql); got != want {
			t.Errorf("keyword(%q) = %q, want %q", sql, got, want)
		}
	}
}

// FuzzCut holds that cutting loses nothing and comes to an end.
func FuzzCut(f *testing.F) {
	for _, seed := range []string{"", "SELECT 1;", "a;b;c", "';';\";\";[;];`;`", "--;\n/*;*/;", "CREATE TRIGGER t BEGIN SELECT 1; END;;", "\x00;"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		var whole strings.Builder
		rest := sql
		for {
			statement, tail, ok := cut(rest)
			if !ok {
				whole.WriteString(tail)
				break
			}
			if statement == "" || statement[len(statement)-1] != ';' {
				t.Fatalf("cut %q off %q", statement, rest)
			}
			whole.WriteString(statement)
			rest = tail
		}
		if whole.String() != sql {
			t.Fatalf("%q came back as %q", sql, whole.String())
		}
		split(sql)
		keyword(sql)
	})
}

func TestTransactionOfTheShell(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		statements string
		open       bool
	}{
		{"BEGIN", true},
		{"BEGIN IMMEDIATE; COMMIT", false},
		{"BEGIN; END TRANSACTION", false},
		{"BEGIN; ROLLBACK", false},
		{"BEGIN; SAVEPOINT a; ROLLBACK TO a", true},
		{"BEGIN; SAVEPOINT a; ROLLBACK TRANSACTION TO SAVEPOINT a", true},
		{"BEGIN; SAVEPOINT a; RELEASE a", true},
		{"SAVEPOINT a", true},
		{"SAVEPOINT a; SAVEPOINT b; RELEASE b", true},
		{"SAVEPOINT a; SAVEPOINT b; RELEASE SAVEPOINT 'A'", false},
		{"SAVEPOINT a; ROLLBACK TO a; RELEASE a", false},
		{"SELECT 1", false},
	} {
		var tx transaction
		for _, s := range split(test.statements) {
			tx.after(s, nil)
		}
		if tx.open != test.open {
			t.Errorf("%s: open = %t", test.statements, tx.open)
		}
	}
}
