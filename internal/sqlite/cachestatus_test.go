package sqlite

import (
	"math"
	"testing"
)

func TestCacheSizeAndStatus(t *testing.T) {
	db := newTestDB(t, "CREATE TABLE t(b)")
	w := db.open()
	mustExec(t, w, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<500) INSERT INTO t SELECT zeroblob(3000) FROM n")
	for _, confined := range []bool{false, true} {
		c := db.open()
		mustExec(t, c, "PRAGMA query_only=1")
		if confined {
			must(t, c.Confine())
		}
		read := func() CacheStatus {
			t.Helper()
			_, err := c.QueryInt64("SELECT sum(length(b)) FROM t")
			must(t, err)
			s, err := c.CacheStatus()
			must(t, err)
			return s
		}
		must(t, c.SetCacheSize(1<<10))
		if s := read(); s.Evicted < 200 || s.Peak < 900<<10 || s.Peak > 1100<<10 {
			t.Errorf("a cache of 1 MiB after 500 pages: %+v", s)
		}
		must(t, c.SetCacheSize(8<<10))
		mustExec(t, w, "INSERT INTO t VALUES(1)") // which empties the caches of others
		before, err := c.CacheStatus()
		must(t, err)
		if before.Peak > 1100<<10 {
			t.Errorf("the peak stays: %+v", before)
		}
		first := read()
		first.Misses, first.Hits = first.Misses-before.Misses, first.Hits-before.Hits
		if first.Evicted != before.Evicted || first.Peak < 2<<20 {
			t.Errorf("%+v after %+v", first, before)
		}
		if first.Misses < 500 || first.Used < 2<<20 || first.Spills != 0 {
			t.Fatalf("after the first scan %+v", first)
		}
		if again := read(); again.Misses != first.Misses+before.Misses || again.Hits <= first.Hits+before.Hits {
			t.Errorf("the second scan of a table that is in the cache: %+v after %+v", again, first)
		}
		mustExec(t, c, "BEGIN")
		read()
		must(t, c.SetCacheSize(64)) // in the middle of a transaction
		if s, err := c.CacheStatus(); err != nil || s.Used > 128<<10 {
			t.Errorf("a cache that was bounded to 64 KiB has %d, %v", s.Used, err)
		}
		mustExec(t, c, "COMMIT")
		must(t, c.SetCacheSize(8<<10))
		read()
		must(t, c.ReleaseMemory())
		if s, err := c.CacheStatus(); err != nil || s.Used > 128<<10 {
			t.Errorf("a cache that was asked for what it does not use has %d, %v", s.Used, err)
		}
		if confined {
			if _, err := c.QueryInt64("PRAGMA cache_size"); err == nil {
				t.Error("the connection is not confined any more")
			}
		}
		must(t, c.Close())
		if c.SetCacheSize(64) == nil || c.ReleaseMemory() == nil {
			t.Error("a closed connection took it")
		}
	}
}

// The largest cache is not none.
func TestLargestCacheSize(t *testing.T) {
	c := newConn(t, "")
	for _, kib := range []int{math.MaxInt32, math.MaxInt} {
		must(t, c.SetCacheSize(kib))
		wantInt(t, c, -math.MaxInt32, "PRAGMA cache_size")
	}
}

func BenchmarkCacheStatus(b *testing.B) {
	c, err := Open(b.TempDir()+"/a.db", OpenReadWrite|OpenCreate)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	if err := c.Exec("CREATE TABLE t(a, b)"); err != nil {
		b.Fatal(err)
	}
	for range 128 { // as many cached statements as a connection keeps
		s, _, err := c.PrepareCached("SELECT a, b, " + string(rune('0'+b.N%10)) + " FROM t WHERE a = ? AND b IN (SELECT a FROM t)")
		if err != nil {
			b.Fatal(err)
		}
		defer s.Finalize()
	}
	b.Run("cache", func(b *testing.B) {
		for b.Loop() {
			_, _ = c.CacheStatus()
		}
	})
	b.Run("size", func(b *testing.B) {
		for b.Loop() {
			_ = c.SetCacheSize(2000)
		}
	})
	for name, op := range map[string]DBStatus{"schema": DBStatusSchemaUsed, "statements": DBStatusStmtUsed, "lookaside": DBStatusLookasideUsed} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				_, _, _ = c.Status(op, false)
			}
		})
	}
}
