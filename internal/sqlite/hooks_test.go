package sqlite

import (
	"fmt"
	"slices"
	"testing"
)

func TestBusyHandler(t *testing.T) {
	db := newTestDB(t, "CREATE TABLE t(a, b)")
	holder, c := db.open(), db.open()
	mustExec(t, holder, "BEGIN IMMEDIATE")
	wantCode(t, c.Exec("INSERT INTO t VALUES (1, 1)"), ResultBusy)

	var counts []int
	c.SetBusyHandler(func(n int) bool {
		counts = append(counts, n)
		return n < 2
	})
	wantCode(t, c.Exec("INSERT INTO t VALUES (1, 1)"), ResultBusy)
	if !slices.Equal(counts, []int{0, 1, 2}) {
		t.Error(counts)
	}
	c.SetBusyHandler(func(n int) bool {
		if n == 3 {
			mustExec(t, holder, "COMMIT")
		}
		return true
	})
	mustExec(t, c, "INSERT INTO t VALUES (1, 1)")
	c.SetBusyHandler(nil)
	mustExec(t, holder, "BEGIN IMMEDIATE")
	wantCode(t, c.Exec("INSERT INTO t VALUES (1, 1)"), ResultBusy)

	mustExec(t, c, "BEGIN; SELECT * FROM t")
	mustExec(t, holder, "INSERT INTO t VALUES (1, 1); COMMIT")
	c.SetBusyHandler(func(int) bool { t.Error("asked about a stale snapshot"); return false })
	wantCode(t, c.Exec("INSERT INTO t VALUES (1, 1)"), ResultBusySnapshot)
	mustExec(t, c, "ROLLBACK")
}

func TestProgressHandler(t *testing.T) {
	c := newConn(t, "")
	n := 0
	c.SetProgressHandler(100, func() bool { n++; return n == 50 })
	endless := "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM r) SELECT count(*) FROM r"
	wantCode(t, c.Exec(endless), ResultInterrupt)
	if n != 50 {
		t.Error(n)
	}
	c.SetProgressHandler(100, nil)
	wantInt(t, c, 10000, "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM r WHERE i<10000) SELECT count(*) FROM r")
	if n != 50 {
		t.Error(n)
	}
}

// A write that is stopped has written nothing, wherever that was; one that has
// written does not fail. A read that is open on the same connection changes
// nothing about it.
func TestProgressHandlerStopsAWriteOrLeavesIt(t *testing.T) {
	for _, test := range []struct {
		sql   string
		begin string
		rows  bool
	}{
		{"INSERT INTO t VALUES (1)", "BEGIN IMMEDIATE", false},
		{"INSERT INTO t VALUES (1)", "BEGIN IMMEDIATE", true},
		{"INSERT INTO t VALUES (1)", "", false},
		{"INSERT INTO t SELECT 1 WHERE 1 RETURNING a", "BEGIN IMMEDIATE", false},
		{"CREATE TABLE t2(a)", "BEGIN IMMEDIATE", false},
	} {
		written := func(c *Conn) bool {
			n, err := c.QueryInt64("SELECT (SELECT count(*) FROM t WHERE a=1) + (SELECT count(*) FROM sqlite_schema WHERE name='t2')")
			must(t, err)
			return n > 0
		}
		stopped := 0
		for at := 1; ; at++ {
			c := newConn(t, "CREATE TABLE t(a); INSERT INTO t VALUES (0), (0)")
			mustExec(t, c, test.begin)
			if test.rows {
				s, _, err := c.Prepare("SELECT * FROM t")
				must(t, err)
				if row, err := s.Step(); !row || err != nil {
					t.Fatal(row, err)
				}
			}
			s, _, err := c.Prepare(test.sql)
			must(t, err)
			n := 0
			c.SetProgressHandler(1, func() bool { n++; return n == at })
			for row := true; row && err == nil; {
				row, err = s.Step()
			}
			c.SetProgressHandler(0, nil)
			if e := s.Finalize(); err == nil {
				err = e
			}
			if got := written(c); got != (err == nil) {
				t.Fatalf("%s, stopped at %d: %v, written: %v", test.sql, at, err, got)
			}
			if err == nil {
				break
			}
			wantCode(t, err, ResultInterrupt)
			stopped++
		}
		if stopped < 3 {
			t.Errorf("%s was stopped at %d places only", test.sql, stopped)
		}
	}
}

func TestWALHook(t *testing.T) {
	db := newTestDB(t, "CREATE TABLE t(a, b)")
	c := db.open()
	var got []string
	frames := 0
	c.SetWALHook(func(schema string, n int) { got = append(got, schema); frames = n })
	mustExec(t, c, "INSERT INTO t VALUES (1, 1); INSERT INTO t VALUES (2, 2)")
	if !slices.Equal(got, []string{"main", "main"}) {
		t.Error(got)
	}
	if log, _, err := c.WALCheckpoint("", CheckpointNoop); log != frames || err != nil {
		t.Error(log, frames, err)
	}
	// Automatic checkpoints go on under the hook and after it.
	copied := func() int {
		t.Helper()
		_, n, err := c.WALCheckpoint("", CheckpointNoop)
		must(t, err)
		return n
	}
	if n := copied(); n != 0 {
		t.Error(n)
	}
	must(t, c.WALAutocheckpoint(1))
	mustExec(t, c, "INSERT INTO t VALUES (3, 3)")
	if n := copied(); n == 0 {
		t.Error("no checkpoint under the hook")
	}
	c.SetWALHook(nil)
	wantInt(t, c, 1, "PRAGMA wal_autocheckpoint")
	must(t, c.WALAutocheckpoint(0))
	c.SetWALHook(func(string, int) {})
	if c.hooks.autoCheckpoint != 0 {
		t.Error(c.hooks.autoCheckpoint)
	}
	mustExec(t, c, "PRAGMA wal_autocheckpoint=77") // takes the hook's place
	c.SetWALHook(func(string, int) {})
	if c.hooks.autoCheckpoint != 77 {
		t.Error(c.hooks.autoCheckpoint)
	}
	if len(got) != 3 {
		t.Error(got)
	}
}

func TestTransactionHooks(t *testing.T) {
	c := newConn(t, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
	var log []string
	refuse := false
	c.SetCommitHook(func() bool { log = append(log, "commit"); return refuse })
	c.SetRollbackHook(func() { log = append(log, "rollback") })
	c.SetUpdateHook(func(op AuthAction, schema, table string, rowid int64) {
		log = append(log, fmt.Sprintf("%d %s.%s %d", op, schema, table, rowid))
	})
	mustExec(t, c, "INSERT INTO t VALUES (5, 0)")
	mustExec(t, c, "BEGIN; UPDATE t SET b=1; DELETE FROM t WHERE a=5; ROLLBACK")
	refuse = true
	wantCode(t, c.Exec("INSERT INTO t VALUES (6, 0)"), ResultConstraintCommitHook)
	want := []string{"18 main.t 5", "commit", "23 main.t 5", "9 main.t 5", "rollback", "18 main.t 6", "commit", "rollback"}
	if !slices.Equal(log, want) {
		t.Errorf("%q", log)
	}
	c.SetCommitHook(nil)
	c.SetRollbackHook(nil)
	c.SetUpdateHook(nil)
	mustExec(t, c, "INSERT INTO t VALUES (7, 0)")
	if len(log) != len(want) {
		t.Errorf("%q", log)
	}
}

func TestAuthorizer(t *testing.T) {
	c := newConn(t, "CREATE TABLE t(a, b); INSERT INTO t VALUES (1, 2)")
	s := prepare(t, c, "SELECT a FROM t")
	var seen map[string]bool
	c.SetAuthorizer(func(a AuthAction, arg1, arg2, schema, trigger string) AuthResult {
		seen[fmt.Sprintf("%d %s|%s|%s|%s", a, arg1, arg2, schema, trigger)] = true
		return AuthOK
	})
	for sql, want := range map[string]string{
		"PRAGMA foreign_keys=on":             fmt.Sprintf("%d foreign_keys|on||", ActionPragma),
		"PRAGMA foreign_keys=''":             fmt.Sprintf("%d foreign_keys|''||", ActionPragma),
		"PRAGMA main.page_size":              fmt.Sprintf("%d page_size||main|", ActionPragma),
		"ATTACH ':memory:' AS x":             fmt.Sprintf("%d :memory:|||", ActionAttach),
		"DETACH x":                           fmt.Sprintf("%d x|||", ActionDetach),
		"BEGIN IMMEDIATE":                    fmt.Sprintf("%d BEGIN|||", ActionTransaction),
		"ROLLBACK":                           fmt.Sprintf("%d ROLLBACK|||", ActionTransaction),
		"SAVEPOINT s":                        fmt.Sprintf("%d BEGIN|s||", ActionSavepoint),
		"RELEASE s":                          fmt.Sprintf("%d RELEASE|s||", ActionSavepoint),
		"CREATE TEMP TABLE tt(x)":            fmt.Sprintf("%d tt||temp|", ActionCreateTempTable),
		"SELECT last_insert_rowid()":         fmt.Sprintf("%d |last_insert_rowid||", ActionFunction),
		"SELECT * FROM pragma_table_info(1)": fmt.Sprintf("%d table_info|1||", ActionPragma),
		"UPDATE t SET b=3":                   fmt.Sprintf("%d t|b|main|", ActionUpdate),
	} {
		seen = map[string]bool{}
		s, _, err := c.Prepare(sql)
		must(t, err)
		if s.ReadOnly() && s.ColumnCount() > 1 {
			_, err = s.Step() // compiles the pragma behind the table
			must(t, err)
		}
		must(t, s.Finalize())
		if !seen[want] {
			t.Errorf("%s: %v, want %s", sql, seen, want)
		}
	}
	seen = map[string]bool{}
	wantRow(t, s, true) // prepared before and not asked about now
	must(t, s.Reset())
	if len(seen) != 0 || s.Status(StmtStatusReprepare, false) != 0 {
		t.Error("the authorizer expires statements:", seen)
	}
	c.SetAuthorizer(func(a AuthAction, arg1, arg2, schema, trigger string) AuthResult {
		switch {
		case a == ActionRead && arg2 == "a":
			return AuthIgnore
		case a == ActionPragma:
			return AuthDeny
		}
		return AuthOK
	})
	wantText(t, c, ",2", "SELECT coalesce(a, '') || ',' || b FROM t")
	wantCode(t, c.Exec("PRAGMA user_version"), ResultAuth)
	c.SetAuthorizer(nil)
	mustExec(t, c, "PRAGMA user_version")
}

// TestPanics lets each kind of callback panic: the panic arrives on the Go side,
// the operation is refused, and the connection works on.
func TestPanics(t *testing.T) {
	db := newTestDB(t, "CREATE TABLE t(a, b);"+rows(10))
	holder := db.open()
	for name, test := range map[string]struct {
		set func(c *Conn)
		sql string
	}{
		"busy": {func(c *Conn) {
			mustExec(t, holder, "BEGIN IMMEDIATE")
			c.SetBusyHandler(func(int) bool { panic("busy") })
		}, "DELETE FROM t"},
		"progress": {func(c *Conn) { c.SetProgressHandler(1, func() bool { panic("progress") }) }, "DELETE FROM t"},
		"commit":   {func(c *Conn) { c.SetCommitHook(func() bool { panic("commit") }) }, "DELETE FROM t"},
		"rollback": {func(c *Conn) { c.SetRollbackHook(func() { panic("rollback") }) }, "BEGIN; DELETE FROM t; ROLLBACK"},
		"auth": {func(c *Conn) {
			c.SetAuthorizer(func(AuthAction, string, string, string, string) AuthResult { panic("auth") })
		}, "DELETE FROM t"},
		"function": {func(c *Conn) {
			must(t, c.CreateFunction("f", -1, false, func([]Value) (any, error) { panic("function") }))
		}, "DELETE FROM t WHERE f(a)"},
		"update": {func(c *Conn) {
			c.SetUpdateHook(func(AuthAction, string, string, int64) { panic("update") })
			c.SetCommitHook(func() bool { return false })
		}, "DELETE FROM t WHERE a>0"},
	} {
		c, err := Open(db.path, OpenReadWrite)
		must(t, err)
		test.set(c)
		wantPanic(t, name, func() { _ = c.Exec(test.sql) })
		c.hooks = hooks{}
		if !holder.Autocommit() {
			mustExec(t, holder, "COMMIT")
		}
		wantInt(t, c, 10, "SELECT count(*) FROM t")
		s := cached(t, c, "INSERT INTO t VALUES (1, 1)")
		wantRow(t, s, false)
		must(t, s.Release())
		mustExec(t, c, "DELETE FROM t WHERE rowid>10")
		must(t, c.Close())
	}

	// The commit is done when the WAL hook is called.
	c := db.open()
	c.SetWALHook(func(string, int) { panic("wal") })
	s := cached(t, c, "DELETE FROM t")
	wantPanic(t, "wal", func() { _, _ = s.Step() })
	c.SetWALHook(nil)
	must(t, s.Release())
	wantInt(t, c, 0, "SELECT count(*) FROM t")
}

// TestGoexit ends a goroutine inside a callback: the connection is dead, and
// everything about it says so.
func TestGoexit(t *testing.T) {
	c, err := Open(":memory:", OpenReadWrite)
	must(t, err)
	s := cached(t, c, "SELECT 1")
	ses, err := c.NewSession("")
	must(t, err)
	dst, err := Open(":memory:", OpenReadWrite)
	must(t, err)
	b, err := NewBackup(dst, "", c, "")
	must(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.SetProgressHandler(1, func() bool {
			new(testing.T).SkipNow() // ends the goroutine, as t.Fatal does
			return false
		})
		_, _ = s.Step()
	}()
	<-done
	_, err = s.Step()
	wantCode(t, err, ResultMisuse)
	wantCode(t, c.Exec("SELECT 1"), ResultMisuse)
	wantCode(t, ses.Attach(""), ResultMisuse)
	_, err = b.Step(1)
	wantCode(t, err, ResultMisuse)
	c.Interrupt()
	must(t, c.Close())
	must(t, dst.Close())
}
