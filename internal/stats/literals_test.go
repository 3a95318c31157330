package stats

import (
	"slices"
	"strings"
	"testing"
)

func TestLiterals(t *testing.T) {
	for _, c := range []struct {
		sql, rest string
		literals  []string
	}{
		{"SELECT 1", "SELECT 1", nil},
		{"SELECT 'a', t.\"b'\", [c'], `d'` -- e'\n, x'00' /* 'f' */", "SELECT ?, t.\"b'\", [c'], `d'` -- e'\n, x? /* 'f' */", []string{"'a'", "'00'"}},
		{"SELECT 'it''s'", "SELECT ?", []string{"'it''s'", "'it's'"}},
		{"SELECT 'open", "SELECT ?", []string{"'open"}},
		{"'", "?", []string{"'"}},
		{`SELECT "a" FROM "t" WHERE b = "x""y"`, `SELECT ? FROM "t" WHERE b = ?`, []string{`"a"`, `"x""y"`, `"x"y"`}},
	} {
		got, rest := Literals(c.sql)
		got = slices.Compact(got)
		if rest != c.rest || !slices.Equal(got, c.literals) {
			t.Errorf("%s: %q, %q", c.sql, got, rest)
		}
	}
}

// FuzzLiterals: what is left has no text literal, and nothing is lost.
func FuzzLiterals(f *testing.F) {
	f.Add("SELECT 'a', t.\"b'\", [c'], `d'` -- e'\n, x'00' /* 'f' */ WHERE a = 'it''s'")
	f.Add("'''")
	f.Add("/*")
	f.Add("[\x00'")
	f.Fuzz(func(t *testing.T, sql string) {
		literals, rest := Literals(sql)
		size := len(rest)
		for i := 0; i < len(literals); i += 2 {
			size += len(literals[i]) - 1
			if !strings.Contains(sql, literals[i]) {
				t.Errorf("%q is not in %q", literals[i], sql)
			}
		}
		if size != len(sql) {
			t.Errorf("%q: %q and %q", sql, literals, rest)
		}
		if again, same := Literals(rest); len(again) > 0 || same != rest {
			t.Errorf("%q still has %q", rest, again)
		}
	})
}
