package holdfast_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/holdfastdb/holdfast"
	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

const posixEnv = "HOLDFAST_TEST_POSIX_LOCKS"

// TestReplicationWherePOSIXLocksAre is a process in which a second user of the
// engine has taken POSIX locks before: whoever reads the files there drops the
// locks of Holdfast, so nothing that reads them is let begin.
func TestReplicationWherePOSIXLocksAre(t *testing.T) {
	dir := os.Getenv(posixEnv)
	if dir == "" {
		path := openAt(t, filepath.Join(t.TempDir(), "app.db")).Path()
		c := startChild(t, "TestReplicationWherePOSIXLocksAre", posixEnv, filepath.Dir(path))
		if says := c.line("Open: "); !strings.Contains(says, "`holdfast replicate` as a process of its own") {
			t.Error(says)
		}
		other := startOutsider(t)
		own := c.line("in a transaction of ")
		other.wants("probe", own, lockIsHeld)
		c.say("read the files")
		c.line("read")
		other.wants("probe", own, lockIsFree) // which is why
		c.say("end")
		c.line("end")
		c.end()
		return
	}
	usePOSIXLocks(t, filepath.Join(dir, "other.db"))
	path := filepath.Join(dir, "app.db")
	_, err := holdfast.Open(t.Context(), path, newTarget(t).here)
	if !errors.Is(err, holdfast.ErrRefused) {
		t.Error(err)
	}
	fmt.Println("Open:", err)
	db := openAt(t, path)
	must(t, db, "CREATE TABLE IF NOT EXISTS t(a)")
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	must(t, tx, "INSERT INTO t VALUES (1)")
	fmt.Println("in a transaction of", path)
	in := bufio.NewScanner(os.Stdin)
	in.Scan()
	for _, suffix := range []string{"", "-wal", "-shm"} {
		f, err := os.Open(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	fmt.Println("read")
	in.Scan()
	if err := tx.Rollback(); err != nil {
		t.Error(err)
	}
	fmt.Println("end")
}

// usePOSIXLocks settles the kind of locks, as a second user of the engine does
// who has chosen no other and is in a transaction.
func usePOSIXLocks(t *testing.T, path string) {
	t.Helper()
	tls := libc.NewTLS()
	t.Cleanup(tls.Close)
	text := func(s string) uintptr {
		p, err := libc.CString(s)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { libc.Xfree(tls, p) })
		return p
	}
	handle := tls.Alloc(8)
	t.Cleanup(func() { tls.Free(8) })
	if rc := sqlite3.Xsqlite3_open(tls, text(path), handle); rc != sqlite3.SQLITE_OK {
		t.Fatal(rc)
	}
	conn := *(*uintptr)(*(*unsafe.Pointer)(unsafe.Pointer(&handle)))
	t.Cleanup(func() { sqlite3.Xsqlite3_close(tls, conn) })
	if rc := sqlite3.Xsqlite3_exec(tls, conn, text("CREATE TABLE t(a); BEGIN IMMEDIATE"), 0, 0, 0); rc != sqlite3.SQLITE_OK {
		t.Fatal(rc)
	}
}

const besideEnv = "HOLDFAST_TEST_BESIDE_REPLICATION"

// One process replicates a file. Another one with a target waits for it and is
// told who it is; one without writes, and is told what that lacks. What it has
// written is uploaded with what the first writes next.
func TestTwoProcessesAndOneReplication(t *testing.T) {
	path := os.Getenv(besideEnv)
	if path == "" {
		target := newTarget(t)
		db := open(t, target.durable)
		must(t, db, "CREATE TABLE t(a)")
		c := startChild(t, "TestTwoProcessesAndOneReplication", besideEnv, db.Path())
		if says := c.line("with a target: "); !strings.Contains(says, fmt.Sprintf("pid %d", os.Getpid())) {
			t.Error(says)
		}
		if says := c.line("beside it: "); !strings.Contains(says, "replication-elsewhere") {
			t.Error(says)
		}
		seen := int64(0)
		target.uploads(func(context.Context) error {
			seen = number(t, db, "SELECT count(*) FROM t")
			return nil
		})
		must(t, db, "INSERT INTO t VALUES (2)")
		if seen != 2 {
			t.Errorf("%d rows were uploaded", seen)
		}
		target.uploads(nil)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		c.say("go on")
		c.line("alone")
		c.end()
		return
	}
	ctx := context.Background()
	target := newTarget(t)
	_, err := holdfast.Open(ctx, path, target.here, func(c *holdfast.Config) { c.Database.ConnectionTimeout = 50 * time.Millisecond })
	if !errors.Is(err, holdfast.ErrBusy) {
		t.Error(err)
	}
	fmt.Println("with a target:", err)
	db, err := holdfast.Open(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	must(t, db, "INSERT INTO t VALUES (1)")
	h, err := db.Health(ctx)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("beside it:", h.Status, h.Findings)
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	bufio.NewScanner(os.Stdin).Scan()
	db = openAt(t, path, target.durable)
	must(t, db, "INSERT INTO t VALUES (3)")
	fmt.Println("alone")
}
