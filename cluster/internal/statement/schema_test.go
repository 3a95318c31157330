package statement

import (
	"slices"
	"testing"
)

func TestCalls(t *testing.T) {
	t.Parallel()
	for sql, want := range map[string][]string{
		"CREATE TABLE t(a VARCHAR(10) CHECK (f(a) > 0), b REFERENCES p(id), PRIMARY KEY(a))":   {"f"},
		"CREATE TABLE t(a, b AS (\"my \"\"f\"(a)) /* g(1) */, c DEFAULT ('h(1)'))":             {`my "f`},
		"CREATE TABLE t(a CHECK (CAST(a AS DECIMAL(5, 2)) > 0 AND a IN (1)))":                  {"cast", "in"},
		"CREATE UNIQUE INDEX i ON t(F(a), b) WHERE [g](b)":                                     {"f", "g"},
		"CREATE VIEW v(x) AS SELECT f(1) -- g(1)":                                              {"v", "f"},
		"CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT `f`(new.a), x'61'; SELECT :g(1); END": {"f"},
		"CREATE TABLE plain(a INTEGER, b)":                                                     nil,
		"":                                                                                     nil,
		"CREATE TABLE t(a CHECK (a > (1 + 2)))":                                                nil,
		"CREATE TABLE t(a) -- unfinished (((":                                                  nil,
	} {
		if got := Calls(sql); !slices.Equal(got, want) {
			t.Errorf("%s: %q, not %q", sql, got, want)
		}
	}
}

func TestModule(t *testing.T) {
	t.Parallel()
	for sql, want := range map[string]string{
		"CREATE VIRTUAL TABLE f USING fts5(a)":                                               "fts5",
		"create virtual table if not exists \"using\" /* USING x */ using \"R*\"\"Tree\"(a)": `r*"tree`,
		"CREATE TABLE t(a)":            "",
		"CREATE VIRTUAL TABLE f USING": "",
	} {
		if got := Module(sql); got != want {
			t.Errorf("%s: %q, not %q", sql, got, want)
		}
	}
}
