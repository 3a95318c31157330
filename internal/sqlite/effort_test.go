package sqlite

import (
	"testing"
)

// Effort must be what the documented functions say.
func TestEffortIsWhatTheEngineCounts(t *testing.T) {
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

// till is an account.
type till struct{ Effort }

func (t *till) Settle(e Effort) {
	t.VMSteps += e.VMSteps
	t.FullScanSteps += e.FullScanSteps
	t.PageHits += e.PageHits
	t.PageMisses += e.PageMisses
	t.Runs += e.Runs
	t.Rows += e.Rows
}

// What was set aside is told once, whichever way: by the next Effort, by Settle, or when the
// statement or the connection ends.
func TestSetAside(t *testing.T) {
	for name, end := range map[string]func(c *Conn, account *till) error{
		"settled":   func(c *Conn, _ *till) error { c.Settle(); c.Settle(); return nil },
		"finalized": func(c *Conn, _ *till) error { c.ClearStatementCache(); c.Settle(); return nil },
		"closed":    func(c *Conn, _ *till) error { return c.Close() },
		"asked for": func(c *Conn, account *till) error {
			for _, sql := range []string{"SELECT a FROM t", "SELECT count(*) FROM t WHERE b <> ''", "SELECT 1"} {
				s, _, err := c.PrepareCached(sql)
				if err != nil {
					return err
				}
				account.Settle(s.Effort())
				if err := s.Release(); err != nil {
					return err
				}
			}
			c.Settle()
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newConn(t, "CREATE TABLE t(a, b);"+rows(100))
			var got till
			var want Effort
			for range 5 {
				for sql, n := range map[string]uint32{"SELECT a FROM t": 100, "SELECT count(*) FROM t WHERE b <> ''": 1, "SELECT 1": 1} {
					s, _, err := c.PrepareCached(sql)
					if err != nil {
						t.Fatal(err)
					}
					steps, scanned := s.Status(StmtStatusVMStep, false), s.Status(StmtStatusFullScanStep, false)
					hits, _, _ := c.Status(DBStatusCacheHit, false)
					misses, _, _ := c.Status(DBStatusCacheMiss, false)
					for row := true; row; {
						if row, err = s.Step(); err != nil {
							t.Fatal(err)
						}
					}
					s.SetAside(&got, n)
					hitsNow, _, _ := c.Status(DBStatusCacheHit, false)
					missesNow, _, _ := c.Status(DBStatusCacheMiss, false)
					want.VMSteps += uint32(s.Status(StmtStatusVMStep, false) - steps)
					want.FullScanSteps += uint32(s.Status(StmtStatusFullScanStep, false) - scanned)
					want.PageHits += uint32(hitsNow - hits)
					want.PageMisses += uint32(missesNow - misses)
					want.Runs++
					want.Rows += n
					if err := s.Release(); err != nil {
						t.Fatal(err)
					}
				}
			}
			if got != (till{}) {
				t.Errorf("told at once: %+v", got)
			}
			if err := end(c, &got); err != nil {
				t.Fatal(err)
			}
			if got.Effort != want || want.FullScanSteps == 0 || want.PageHits == 0 {
				t.Errorf("%+v, want %+v", got.Effort, want)
			}
		})
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
	b.Run("set aside", func(b *testing.B) {
		var account till
		for b.Loop() {
			s.SetAside(&account, 1)
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
