package sqlite

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func cached(t *testing.T, c *Conn, sql string) *Stmt {
	t.Helper()
	s, _, err := c.PrepareCached(sql)
	must(t, err)
	return s
}

func wantCache(t *testing.T, c *Conn, hits, misses uint64, size int) {
	t.Helper()
	h, m, n := c.StatementCacheStats()
	if h != hits || m != misses || n != size {
		t.Fatalf("hits %d, misses %d, size %d; want %d, %d, %d", h, m, n, hits, misses, size)
	}
}

func TestCacheHit(t *testing.T) {
	c := newConn(t, "")
	sql := "SELECT ?; SELECT 2"
	s, tail, err := c.PrepareCached(sql)
	must(t, err)
	must(t, s.BindInt64(1, 1))
	must(t, s.Release())
	wantCode(t, s.Release(), ResultMisuse)
	wantCode(t, s.BindInt64(1, 1), ResultMisuse)
	wantCode(t, s.Finalize(), ResultMisuse)
	again, tail2, err := c.PrepareCached(strings.Clone(sql))
	must(t, err)
	if again != s || tail != " SELECT 2" || tail2 != tail || again.SQL() != "SELECT ?;" {
		t.Errorf("%q, %q, %q", tail, tail2, again.SQL())
	}
	wantCache(t, c, 1, 1, 0)

	second := cached(t, c, sql) // the first one is in use
	if second == s {
		t.Fatal("one statement for two users")
	}
	must(t, s.BindInt64(1, 10))
	must(t, second.BindInt64(1, 20))
	wantRow(t, s, true)
	wantRow(t, second, true)
	if s.ColumnInt64(0) != 10 || second.ColumnInt64(0) != 20 {
		t.Error(s.ColumnInt64(0), second.ColumnInt64(0))
	}
	must(t, s.Release())
	must(t, second.Release())
	wantCache(t, c, 1, 2, 2)
	c.ClearStatementCache()
	wantCache(t, c, 1, 2, 0)
}

func TestCacheEviction(t *testing.T) {
	c := newConn(t, "")
	c.SetStatementCacheSize(3)
	text := func(i int) string { return fmt.Sprintf("SELECT %d", i) }
	for i := range 3 {
		must(t, cached(t, c, text(i)).Release())
	}
	must(t, cached(t, c, text(0)).Release()) // now 1 is the oldest
	must(t, cached(t, c, text(3)).Release())
	wantCache(t, c, 1, 4, 3)
	must(t, cached(t, c, text(0)).Release())
	must(t, cached(t, c, text(2)).Release())
	must(t, cached(t, c, text(3)).Release())
	wantCache(t, c, 4, 4, 3)
	must(t, cached(t, c, text(1)).Release())
	wantCache(t, c, 4, 5, 3)

	// Many of one text: the entry lives as long as one of them.
	var all []*Stmt
	for range 6 {
		all = append(all, cached(t, c, text(9)))
	}
	must(t, all[0].Finalize())
	for _, s := range slices.Backward(all[1:]) {
		must(t, s.Release())
	}
	wantCache(t, c, 4, 11, 3)
	if n := len(c.cache.entries); n != 1 {
		t.Errorf("%d texts", n)
	}
	c.SetStatementCacheSize(0)
	if len(c.cache.entries) != 0 || len(c.stmts) != 0 {
		t.Error(len(c.cache.entries), len(c.stmts))
	}
	s := cached(t, c, text(1))
	must(t, s.Release())
	wantCode(t, s.Reset(), ResultMisuse)
	if len(c.cache.entries) != 0 || len(c.stmts) != 0 {
		t.Error("a statement is kept")
	}
}

func TestCacheSchemaChange(t *testing.T) {
	db := newTestDB(t, "CREATE TABLE t(a); INSERT INTO t VALUES (1)")
	c, other := db.open(), db.open()
	s := cached(t, c, "SELECT * FROM t")
	if s.ColumnCount() != 1 || s.ColumnName(0) != "a" {
		t.Error(s.ColumnCount())
	}
	must(t, s.Release())
	mustExec(t, other, "DROP TABLE t; CREATE TABLE t(x, y); INSERT INTO t VALUES (2, 3)")
	s = cached(t, c, "SELECT * FROM t")
	wantCache(t, c, 1, 1, 0)
	wantRow(t, s, true)
	if s.ColumnCount() != 2 || s.ColumnName(1) != "y" || s.ColumnInt64(1) != 3 {
		t.Error(s.ColumnCount(), s.ColumnName(1))
	}
	must(t, s.Release())
	mustExec(t, other, "DROP TABLE t")
	s = cached(t, c, "SELECT * FROM t")
	_, err := s.Step()
	wantCode(t, err, ResultError)
	wantCode(t, s.Release(), ResultError)
	wantCache(t, c, 2, 1, 1)
}

// TestCacheArena expects a small arena to be kept and a large one to be freed.
func TestCacheArena(t *testing.T) {
	c := newConn(t, "")
	const sql = "SELECT ?, ?, ?"
	for _, test := range []struct {
		n    int
		kept bool
	}{{100, true}, {1 << 20, false}, {10, true}} {
		s := cached(t, c, sql)
		must(t, s.BindText(1, strings.Repeat("x", test.n)))
		must(t, s.BindInt64(2, 5))
		wantRow(t, s, true)
		must(t, s.Release())
		if kept := s.arena.size > 0; kept != test.kept {
			t.Errorf("%d bytes: kept %v", test.n, kept)
		}
	}
	s := cached(t, c, sql)
	wantRow(t, s, true)
	if s.ColumnInt64(1) != 5 { // documented: what is not bound anew stays
		t.Error(s.ColumnInt64(1))
	}
	must(t, s.Release())
}
