package sqlite

import (
	"testing"
)

// Effort must be what the documented functions say.
func TestEffortIsWhatTheEngineCounts(t *testing.T) {
	t.Parallel()
	c := newConn(t, "CREATE TABLE t(a, b); CREATE TABLE u(a, b);"+rows(500)+"INSERT INTO u SELECT * FROM t;")
	for _, sql := range []string{
		"SELECT * FROM t ORDER BY b DESC", "SELECT count(*) FROM t JOIN u ON t.b = u.b", "UPDATE t SET b = b || 1 WHERE a > 10", "SELECT 1",
	} {
		for round := range 3 { // the second time from the cache
			s, _, err := c.PrepareCached(sql)
			if err != nil {
				t.Fatal(err)
			}
			ops := []StmtStatus{StmtStatusFullScanStep, StmtStatusSort, StmtStatusAutoIndex, StmtStatusVMStep}
			var before [4]int
			for i, op := range ops {
				before[i] = s.Status(op, false)
			}
			hits, _, _ := c.Status(DBStatusCacheHit, false)
			misses, _, _ := c.Status(DBStatusCacheMiss, false)
			for row := true; row; {
				if row, err = s.Step(); err != nil {
					t.Fatal(err)
				}
			}
			e := s.Effort()
			got := [4]int{int(e.FullScanSteps), int(e.Sorts), int(e.AutoIndexes), int(e.VMSteps)}
			for i, op := range ops {
				if want := s.Status(op, false) - before[i]; got[i] != want {
					t.Errorf("%s, round %d: counter %d is %d, want %d", sql, round, op, got[i], want)
				}
			}
			hitsNow, _, _ := c.Status(DBStatusCacheHit, false)
			missesNow, _, _ := c.Status(DBStatusCacheMiss, false)
			if int64(e.PageHits) != hitsNow-hits || int64(e.PageMisses) != missesNow-misses {
				t.Errorf("%s: %d hits and %d misses, want %d and %d", sql, e.PageHits, e.PageMisses, hitsNow-hits, missesNow-misses)
			}
			if e.VMSteps == 0 {
				t.Errorf("%s took no step", sql)
			}
			if again := s.Effort(); again != (Effort{}) {
				t.Errorf("%s: asked again, %+v", sql, again)
			}
			if err := s.Release(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func BenchmarkEffort(b *testing.B) {
	c, err := Open(":memory:", OpenReadWrite)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	s, _, err := c.PrepareCached("SELECT 1")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Release() }()
	b.Run("loads", func(b *testing.B) {
		for b.Loop() {
			s.Effort()
		}
	})
	b.Run("functions", func(b *testing.B) {
		for b.Loop() {
			for _, op := range []StmtStatus{StmtStatusFullScanStep, StmtStatusSort, StmtStatusAutoIndex, StmtStatusVMStep} {
				s.Status(op, false)
			}
			_, _, _ = c.Status(DBStatusCacheHit, false)
			_, _, _ = c.Status(DBStatusCacheMiss, false)
		}
	})
}
