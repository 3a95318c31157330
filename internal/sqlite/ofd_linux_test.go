package sqlite

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

const secondUserVariable = "HOLDFAST_TEST_SECOND_USER"

// TestSecondUserKeepsItsLocks starts the library in a process in which another user
// of the engine, who has chosen OFD locks, has a transaction open.
func TestSecondUserKeepsItsLocks(t *testing.T) {
	if os.Getenv(secondUserVariable) == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSecondUserKeepsItsLocks$")
		cmd.Env = append(os.Environ(), secondUserVariable+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
		return
	}
	if ofdLocking(1) < 0 {
		t.Skip("no open file description locks here")
	}
	tls := libc.NewTLS()
	defer tls.Close()
	path := filepath.Join(t.TempDir(), "test.db")
	db, err := openDB(tls, path, OpenReadWrite|OpenCreate, "")
	must(t, err)
	defer sqlite3.Xsqlite3_close(tls, db)
	second := func(sql string) {
		t.Helper()
		z, err := mallocString(tls, sql)
		must(t, err)
		defer free(tls, z)
		if rc := sqlite3.Xsqlite3_exec(tls, db, z, 0, 0, 0); rc != sqlite3.SQLITE_OK {
			t.Fatalf("%s: %v", sql, ResultCode(rc))
		}
	}
	second("PRAGMA journal_mode=WAL; CREATE TABLE t(a); BEGIN IMMEDIATE; INSERT INTO t VALUES (1)")
	must(t, start())
	second("COMMIT")
	second("INSERT INTO t VALUES (2)")
	if OFDLocks() {
		t.Error("the locks on the -shm are said to survive")
	}
	c, err := Open(path, OpenReadWrite)
	must(t, err)
	mustExec(t, c, "INSERT INTO t VALUES (3)")
	wantInt(t, c, 3, "SELECT count(*) FROM t")
	must(t, c.Close())
}

// TestOFDLocksOfTheSharedMemory is TestOFDLocks for the locks that WAL mode rests
// on.
func TestOFDLocksOfTheSharedMemory(t *testing.T) {
	if !OFDLocks() {
		t.Skip("no open file description locks here")
	}
	db := newTestDB(t, "CREATE TABLE t(a)")
	c := db.open()
	mustExec(t, c, "BEGIN IMMEDIATE")
	locked := func() bool {
		t.Helper()
		f, err := os.OpenFile(c.Filename("main")+"-shm", os.O_RDWR, 0)
		must(t, err)
		defer f.Close() // would drop every POSIX lock of this process
		const writeLock = 120
		lock := unix.Flock_t{Type: unix.F_WRLCK, Start: writeLock, Len: 1}
		must(t, unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &lock))
		return lock.Type != unix.F_UNLCK
	}
	for range 2 {
		if !locked() {
			t.Fatal("the lock is gone")
		}
	}
	// Another connection of this process shares the descriptor.
	other := db.open()
	wantCode(t, other.Exec("BEGIN IMMEDIATE"), ResultBusy)
	must(t, other.Close())
	if !locked() {
		t.Fatal("the lock went with another connection")
	}
	mustExec(t, c, "COMMIT")
	if locked() {
		t.Error("still locked")
	}
}

// TestOFDLocks does what must never be done to a live database, opening and
// closing its file outside of SQLite, and expects the locks to survive it.
func TestOFDLocks(t *testing.T) {
	keepsLocks(t, newConn(t, "CREATE TABLE t(a)"))
}

func TestOFDLocksBehindAVFS(t *testing.T) {
	v := register(t, func(c *FileCall) ResultCode { return c.Forward() })
	keepsLocks(t, openThrough(t, newTestDB(t, "CREATE TABLE t(a)"), v))
}

func keepsLocks(t *testing.T, c *Conn) {
	if !OFDLocks() {
		t.Skip("no open file description locks here")
	}
	mustExec(t, c, "PRAGMA journal_mode=DELETE; BEGIN EXCLUSIVE")
	locked := func() bool {
		t.Helper()
		f, err := os.OpenFile(c.Filename("main"), os.O_RDWR, 0)
		must(t, err)
		defer f.Close() // would drop every POSIX lock of this process
		const pendingByte = 0x40000000
		lock := unix.Flock_t{Type: unix.F_WRLCK, Start: pendingByte, Len: 512}
		must(t, unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &lock))
		return lock.Type != unix.F_UNLCK
	}
	for range 2 {
		if !locked() {
			t.Fatal("the lock is gone")
		}
	}
	mustExec(t, c, "COMMIT")
	if locked() {
		t.Error("still locked")
	}
}
