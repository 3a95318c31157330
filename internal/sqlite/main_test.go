package sqlite

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
	"modernc.org/libc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testDB is one database file of a test. When the test ends it is checked, and
// everything SQLite has allocated since must be free again.
type testDB struct {
	t    *testing.T
	path string
}

func newTestDB(t *testing.T, schema string) *testDB {
	t.Helper()
	if err := start(); err != nil {
		t.Fatal(err)
	}
	checkMemory(t)
	db := &testDB{t, filepath.Join(t.TempDir(), "test.db")}
	t.Cleanup(func() {
		c, err := Open(db.path, OpenReadWrite|OpenCreate)
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		if s, err := c.QueryText("PRAGMA integrity_check"); s != "ok" {
			t.Errorf("integrity_check: %q, %v", s, err)
		}
	})
	c := db.open()
	mustExec(t, c, "PRAGMA journal_mode=WAL;"+schema)
	must(t, c.Close())
	return db
}

// measured are the tests that checkMemory was called for; they run one by one.
var measured = map[*testing.T]bool{}

func checkMemory(t *testing.T) {
	if measured[t] {
		return // with a database open, memory comes and goes
	}
	measured[t] = true
	base := MemoryUsed()
	t.Cleanup(func() {
		if n := MemoryUsed() - base; n != 0 {
			t.Errorf("%d bytes leaked", n)
		}
	})
}

// open returns a connection that is closed when the test ends.
func (db *testDB) open() *Conn {
	db.t.Helper()
	c, err := Open(db.path, OpenReadWrite|OpenCreate)
	if err != nil {
		db.t.Fatal(err)
	}
	db.t.Cleanup(func() {
		if c.tls != nil && c.tls.StackSlots() != unusedSlots() {
			db.t.Errorf("%d stack slots are still in use", c.tls.StackSlots()-unusedSlots())
		}
		if err := c.Close(); err != nil {
			db.t.Error(err)
		}
	})
	return c
}

// unusedSlots are the stack slots of a fresh thread: outside Linux the C library
// keeps errno in one.
func unusedSlots() int {
	tls := libc.NewTLS()
	defer tls.Close()
	return tls.StackSlots()
}

// newConn is for tests that need one connection to one database.
func newConn(t *testing.T, schema string) *Conn {
	t.Helper()
	return newTestDB(t, schema).open()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mustExec(t *testing.T, c *Conn, sql string) {
	t.Helper()
	must(t, c.Exec(sql))
}

func wantCode(t *testing.T, err error, code ResultCode) *Error {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Code != code {
		t.Fatalf("error %v (%v), want %v", err, Code(err), code)
	}
	return e
}

func wantInt(t *testing.T, c *Conn, want int64, sql string) {
	t.Helper()
	if got, err := c.QueryInt64(sql); got != want || err != nil {
		t.Fatalf("%s: %d, %v; want %d", sql, got, err, want)
	}
}

func wantText(t *testing.T, c *Conn, want, sql string) {
	t.Helper()
	if got, err := c.QueryText(sql); got != want || err != nil {
		t.Fatalf("%s: %q, %v; want %q", sql, got, err, want)
	}
}

// wantPanic runs f and expects it to panic with want.
func wantPanic(t *testing.T, want any, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if got := recover(); got != want {
			t.Fatalf("panic %v, want %v", got, want)
		}
	}()
	f()
}

// rows are n rows for a table t(a, b).
func rows(n int) string {
	return fmt.Sprintf(`WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM r WHERE i<%d)
		INSERT INTO t(a, b) SELECT i, 'row ' || i FROM r;`, n)
}
