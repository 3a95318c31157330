package sqlite

import "testing"

func TestLogSyncs(t *testing.T) {
	db := newTestDB(t, "CREATE TABLE t(a)")
	c := db.open()
	mustExec(t, c, "PRAGMA wal_autocheckpoint=0; PRAGMA synchronous=FULL; INSERT INTO t VALUES (0)")
	s, err := c.CountLogSyncs()
	must(t, err)
	want := func(n int64, sql string) {
		t.Helper()
		before := s.Count()
		mustExec(t, c, sql)
		if got := s.Count() - before; got != n {
			t.Errorf("%s: %d syncs, want %d", sql, got, n)
		}
	}
	want(1, "INSERT INTO t VALUES (1)")
	want(1, "BEGIN IMMEDIATE; INSERT INTO t VALUES (2); INSERT INTO t VALUES (zeroblob(100000)); COMMIT")
	want(0, "BEGIN IMMEDIATE; INSERT INTO t VALUES (3); ROLLBACK")
	want(0, "SELECT * FROM t")
	want(0, "PRAGMA synchronous=NORMAL; INSERT INTO t VALUES (4)")
	must(t, c.Close())

	m, err := Open(":memory:", OpenReadWrite)
	must(t, err)
	_, err = m.CountLogSyncs()
	wantCode(t, err, ResultMisuse)
	must(t, m.Close())
}

func TestCalls(t *testing.T) {
	c := newConn(t, "CREATE TABLE t(a, b)")
	for i, want := range []int{5, 4, 4} { // the first compiles it
		before := c.Calls()
		s, _, err := c.PrepareCached("INSERT INTO t VALUES (?, ?)")
		must(t, err)
		must(t, s.BindInt64(1, 1))
		must(t, s.BindText(2, "x"))
		_, err = s.Step()
		must(t, err)
		must(t, s.Release())
		if got := c.Calls() - before; got != want {
			t.Errorf("run %d: %d calls, want %d", i, got, want)
		}
	}
}
