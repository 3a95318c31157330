package sqlite

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	_, err := Open(filepath.Join(dir, "missing.db"), OpenReadWrite)
	wantCode(t, err, ResultCantOpen)
	_, err = Open("a\x00b", OpenReadWrite|OpenCreate)
	wantCode(t, err, ResultCantOpen)
	if _, err := os.Stat("a"); err == nil {
		t.Error("a truncated path was opened")
	}
	_, err = OpenVFS(filepath.Join(dir, "x.db"), OpenReadWrite|OpenCreate, "no such vfs")
	wantCode(t, err, ResultError)
	_, err = Open(filepath.Join(dir, "x.db"), 0)
	wantCode(t, err, ResultMisuse)

	file := filepath.Join(dir, "text")
	must(t, os.WriteFile(file, []byte(strings.Repeat("not a database ", 100)), 0o600))
	c, err := Open(file, OpenReadWrite)
	must(t, err)
	defer c.Close()
	wantCode(t, c.Exec("SELECT * FROM sqlite_schema"), ResultNotADB)
}

func TestEngine(t *testing.T) {
	if got, err := newConn(t, "").QueryText("SELECT sqlite_version() || ' ' || sqlite_source_id()"); got != Version()+" "+SourceID() {
		t.Error(got, err)
	}
	if VersionNumber() < 3051003 || Threadsafe() == 0 {
		t.Error(VersionNumber(), Threadsafe())
	}
	if opts := CompileOptions(); !strings.Contains(strings.Join(opts, " "), "THREADSAFE=1") {
		t.Error(opts)
	}
	for word, want := range map[string]bool{"select": true, "SELECT": true, "selects": false, "": false, "a\x00b": false} {
		if KeywordCheck(word) != want {
			t.Error(word)
		}
	}
	for sql, want := range map[string]bool{
		"SELECT 1;": true, "SELECT 1": false, "SELECT ';": false, "": false,
		"CREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT 1;": false,
	} {
		if Complete(sql) != want {
			t.Error(sql)
		}
	}
}

func TestMemoryLimits(t *testing.T) {
	c := newConn(t, "CREATE TABLE t(a, b);"+rows(2000))
	wantInt(t, c, 2000, "SELECT count(*) FROM t")
	if MemoryUsed() <= 0 || MemoryHighwater(false) < MemoryUsed() {
		t.Error(MemoryUsed(), MemoryHighwater(false))
	}
	HardHeapLimit(MemoryUsed() + 1<<20)
	defer SoftHeapLimit(0) // a hard limit sets the soft one too
	defer HardHeapLimit(0)
	s, _, err := c.Prepare("SELECT length(?)")
	must(t, err)
	defer s.Finalize()
	wantCode(t, s.BindBlob(1, make([]byte, 4<<20)), ResultNoMem)
	must(t, s.BindBlob(1, make([]byte, 1000)))
}

func TestExec(t *testing.T) {
	c := newConn(t, "")
	mustExec(t, c, " -- nothing\n ; /* */ CREATE TABLE t(a);; INSERT INTO t VALUES (1), (2) RETURNING a; SELECT * FROM t -- end")
	wantInt(t, c, 2, "SELECT count(*) FROM t")
	mustExec(t, c, "")
	wantCode(t, c.Exec("INSERT INTO t VALUES (3); SELECT * FROM x; INSERT INTO t VALUES (4)"), ResultError)
	wantInt(t, c, 3, "SELECT max(a) FROM t")
	wantCode(t, c.Exec("DELETE FROM t\x00 WHERE a=1"), ResultMisuse)
	wantInt(t, c, 3, "SELECT count(*) FROM t")
	wantText(t, c, "", "SELECT a FROM t WHERE a=99")
	wantText(t, c, "", "-- nothing")
	if _, err := c.QueryInt64("SELECT abs(-9223372036854775808)"); Code(err) != ResultError {
		t.Error(err)
	}
	c.Limit(LimitSQLLength, 100)
	wantCode(t, c.Exec("SELECT '"+strings.Repeat("x", 100)+"'"), ResultTooBig)
}

func TestConnState(t *testing.T) {
	db := newTestDB(t, "CREATE TABLE t(a)")
	c := db.open()
	check := func(autocommit bool, state TxnState) {
		t.Helper()
		if c.Autocommit() != autocommit || c.TxnState("main") != state || c.TxnState("") != state {
			t.Error(c.Autocommit(), c.TxnState("main"), c.TxnState(""))
		}
	}
	check(true, TxnNone)
	mustExec(t, c, "BEGIN")
	check(false, TxnNone)
	mustExec(t, c, "SELECT * FROM t")
	check(false, TxnRead)
	mustExec(t, c, "INSERT INTO t VALUES (1)")
	check(false, TxnWrite)
	mustExec(t, c, "COMMIT")
	check(true, TxnNone)
	if c.TxnState("nowhere") != -1 || c.TxnState("main\x00") != -1 {
		t.Error("a state of no schema")
	}
	if got := c.Filename("main"); filepath.Base(got) != "test.db" || c.Filename("x") != "" || c.Filename("temp") != "" {
		t.Error(got)
	}
	if ro, err := c.DBReadOnly(""); ro || err != nil {
		t.Error(ro, err)
	}
	if _, err := c.DBReadOnly("x"); err == nil {
		t.Error("no error")
	}
	r, err := Open(db.path, OpenReadOnly)
	must(t, err)
	defer r.Close()
	if ro, err := r.DBReadOnly("main"); !ro || err != nil {
		t.Error(ro, err)
	}
	wantCode(t, r.Exec("INSERT INTO t VALUES (1)"), ResultReadOnly)
}

func TestCounters(t *testing.T) {
	c := newConn(t, "CREATE TABLE t(a)")
	mustExec(t, c, "INSERT INTO t VALUES (1), (2), (3)")
	const counters = "SELECT last_insert_rowid() || ',' || changes() || ',' || total_changes()"
	wantText(t, c, "3,3,3", counters)
	c.SetCounters(1<<40, 5, 1<<33)
	wantText(t, c, "1099511627776,5,8589934592", counters)
	if c.LastInsertRowID() != 1<<40 || c.Changes() != 5 || c.TotalChanges() != 1<<33 {
		t.Error(c.LastInsertRowID(), c.Changes(), c.TotalChanges())
	}
	mustExec(t, c, "UPDATE t SET a=0 WHERE a<3")
	wantText(t, c, "1099511627776,2,8589934594", counters)
}

func TestLimitsAndConfig(t *testing.T) {
	c := newConn(t, "")
	if old := c.Limit(LimitLength, 100); old != 1000000000 || c.Limit(LimitLength, -1) != 100 {
		t.Error(old)
	}
	s, _, err := c.Prepare("SELECT ?")
	must(t, err)
	defer s.Finalize()
	wantCode(t, s.BindText(1, strings.Repeat("x", 101)), ResultTooBig)
	wantCode(t, s.BindBlob(1, make([]byte, 101)), ResultTooBig)
	must(t, s.BindText(1, strings.Repeat("x", 100)))
	if c.Limit(Limit(99), -1) != -1 {
		t.Error("an unknown limit")
	}
	if on, err := c.DBConfig(DBConfigDefensive, true); !on || err != nil {
		t.Error(on, err)
	}
	wantCode(t, c.Exec("PRAGMA writable_schema=on; UPDATE sqlite_schema SET sql='x'"), ResultError)
	if on, err := c.DBConfig(DBConfigEnableFKey, true); !on || err != nil {
		t.Error(on, err)
	}
	wantInt(t, c, 1, "PRAGMA foreign_keys")
	if on, err := c.DBConfigValue(DBConfigTrustedSchema); !on || err != nil {
		t.Error(on, err)
	}
	for _, op := range []DBConfig{1000, 1001, 1023, 5000} {
		_, err := c.DBConfigValue(op)
		wantCode(t, err, ResultRange)
	}
}

func TestStatus(t *testing.T) {
	c := newConn(t, `CREATE TABLE p(id INTEGER PRIMARY KEY);
		CREATE TABLE c(p REFERENCES p DEFERRABLE INITIALLY DEFERRED)`)
	mustExec(t, c, "PRAGMA foreign_keys=on; BEGIN; INSERT INTO c VALUES (7)")
	deferred := func(want int64) {
		t.Helper()
		if n, _, err := c.Status(DBStatusDeferredFKs, false); n != want || err != nil {
			t.Error(n, err)
		}
		if c.DeferredViolations() != (want == 1) {
			t.Error(c.DeferredViolations())
		}
	}
	deferred(1)
	wantCode(t, c.Exec("COMMIT"), ResultConstraintForeignKey)
	deferred(1)
	mustExec(t, c, "INSERT INTO p VALUES (7)")
	deferred(0)
	mustExec(t, c, "COMMIT")
	if n, _, err := c.Status(DBStatusCacheUsed, false); n == 0 || err != nil {
		t.Error(n, err)
	}
	_, _, err := c.Status(99, false)
	wantCode(t, err, ResultError)
}

func TestCheckpoint(t *testing.T) {
	db := newTestDB(t, "CREATE TABLE t(a, b)")
	w, r := db.open(), db.open()
	must(t, w.WALAutocheckpoint(0))
	mustExec(t, w, rows(500))
	log0, copied, err := w.WALCheckpoint("", CheckpointNoop)
	if log0 < 3 || copied != 0 || err != nil {
		t.Fatal(log0, copied, err)
	}
	mustExec(t, r, "BEGIN; SELECT count(*) FROM t")
	mustExec(t, w, rows(500))

	log, copied, err := w.WALCheckpoint("main", CheckpointPassive)
	if log <= log0 || copied != log0 || err != nil {
		t.Fatal("a reader pins its frames:", log0, log, copied, err)
	}
	log2, copied2, err := w.WALCheckpoint("main", CheckpointTruncate)
	wantCode(t, err, ResultBusy)
	if log2 != log || copied2 != copied {
		t.Fatal(log2, copied2)
	}
	mustExec(t, r, "COMMIT")
	log, copied, err = w.WALCheckpoint("main", CheckpointTruncate)
	if log != 0 || copied != 0 || err != nil {
		t.Fatal(log, copied, err)
	}
	_, _, err = w.WALCheckpoint("nowhere", CheckpointPassive)
	wantCode(t, err, ResultError)

	m, err := Open(":memory:", OpenReadWrite)
	must(t, err)
	defer m.Close()
	if log, copied, err := m.WALCheckpoint("main", CheckpointFull); log != -1 || copied != -1 || err != nil {
		t.Error(log, copied, err)
	}
}

// TestAfterClose calls every method of everything that came from a connection
// after that was closed.
func TestAfterClose(t *testing.T) {
	c := newConn(t, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
	dst, err := Open(":memory:", OpenReadWrite)
	must(t, err)
	defer dst.Close()
	s, _, err := c.PrepareCached("SELECT a, ? FROM t")
	must(t, err)
	must(t, s.BindText(1, "x"))
	b, err := NewBackup(dst, "", c, "")
	must(t, err)
	ses, err := c.NewSession("")
	must(t, err)
	must(t, ses.Attach(""))
	must(t, c.CreateFunction("f", 0, true, func([]Value) (any, error) { return nil, nil }))
	mustExec(t, c, "BEGIN; INSERT INTO t VALUES (1, 2)")
	must(t, c.Close())
	must(t, c.Close())
	for _, v := range []any{c, s, b, ses} {
		callAll(t, v)
	}
	wantCode(t, c.Exec("SELECT 1"), ResultMisuse)
	_, err = s.Step()
	wantCode(t, err, ResultMisuse)
	_, err = b.Step(1)
	wantCode(t, err, ResultMisuse)
	wantCode(t, s.Release(), ResultMisuse)
	wantCode(t, s.Finalize(), ResultMisuse)
}

// callAll calls all methods of v with zero arguments; none may crash.
func callAll(t *testing.T, v any) {
	t.Helper()
	rv := reflect.ValueOf(v)
	for i := range rv.NumMethod() {
		m := rv.Method(i)
		args := make([]reflect.Value, m.Type().NumIn())
		for k := range args {
			args[k] = reflect.Zero(m.Type().In(k))
			switch m.Type().In(k) {
			case reflect.TypeFor[*Snapshot]():
				args[k] = reflect.ValueOf(&Snapshot{})
			case reflect.TypeFor[context.Context]():
				args[k] = reflect.ValueOf(context.Background())
			}
		}
		m.Call(args)
	}
}

func TestHandles(t *testing.T) {
	var table handleTable
	a, b := table.add("a"), table.add("b")
	if a == 0 || b == 0 || table.get(a) != "a" || table.get(b) != "b" {
		t.Error(a, b)
	}
	table.remove(a)
	if c := table.add("c"); c != a || table.get(c) != "c" || table.get(b) != "b" {
		t.Error(c)
	}
}

func TestInterrupt(t *testing.T) {
	c := newConn(t, "")
	running := make(chan struct{})
	var once sync.Once
	c.SetProgressHandler(1000, func() bool {
		once.Do(func() { close(running) })
		return false
	})
	done := make(chan error)
	go func() {
		done <- c.Exec("WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM r) SELECT max(i) FROM r")
	}()
	<-running
	c.Interrupt()
	wantCode(t, <-done, ResultInterrupt)
	if !c.IsInterrupted() {
		t.Error("not interrupted")
	}
	wantInt(t, c, 1, "SELECT 1")
	if c.IsInterrupted() {
		t.Error("still interrupted")
	}
	c.Interrupt() // nothing is running
	wantInt(t, c, 1, "SELECT 1")

	mustExec(t, c, "CREATE TABLE t(a)")
	c.Interrupt()
	_, _, err := c.WALCheckpoint("main", CheckpointPassive)
	wantCode(t, err, ResultInterrupt)
	c.Interrupt()
	c.ClearInterrupt()
	_, _, err = c.WALCheckpoint("main", CheckpointPassive)
	must(t, err)
}

func TestInterruptWhileClosing(t *testing.T) {
	db := newTestDB(t, "CREATE TABLE t(a, b);"+rows(100))
	for range 50 {
		c, err := Open(db.path, OpenReadWrite)
		must(t, err)
		stop, started := make(chan struct{}), make(chan struct{}, 2)
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				for first := true; ; first = false {
					select {
					case <-stop:
						return
					default:
						c.Interrupt()
					}
					if first {
						started <- struct{}{}
					}
				}
			})
		}
		<-started
		<-started
		if err := c.Exec("SELECT sum(a) FROM t"); err != nil {
			wantCode(t, err, ResultInterrupt)
		}
		must(t, c.Close())
		close(stop)
		wg.Wait()
	}
}

func TestExecTexts(t *testing.T) {
	c := newConn(t, "CREATE TABLE t(a); INSERT INTO t VALUES('x'),('y')")
	got, err := c.ExecTexts("SELECT a, 1 FROM t ORDER BY a; ; PRAGMA cache_size=7; PRAGMA cache_size; SELECT NULL; -- end", []string{"before"})
	must(t, err)
	if want := []string{"before", "x", "", "7", ""}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	got, err = c.ExecTexts("SELECT 'kept'; SELECT abs(-9223372036854775808); SELECT 'never'", nil)
	wantCode(t, err, ResultError)
	if want := []string{"kept", ""}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	must(t, c.Close())
	_, err = c.ExecTexts("SELECT 1", nil)
	wantCode(t, err, ResultMisuse)
}
