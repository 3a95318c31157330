package holdfast

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// A connection on which the engine does not do as it was told is not used.
func TestSettingsAreReadBack(t *testing.T) {
	c, err := sqlite.Open(filepath.Join(t.TempDir(), "app.db"), sqlite.OpenReadWrite|sqlite.OpenCreate)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	good := pragma{"cache_size", "-512"}
	if err := newScript(good, pragma{"no_such_pragma", "0"}).run(t.Context(), c); err != nil {
		t.Error(err)
	}
	for _, bad := range []pragma{{"page_size", "3"}, {"no_such_pragma", "1"}} {
		err := newScript(good, bad, pragma{"foreign_keys", "1"}).run(t.Context(), c)
		if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), bad.name) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// A test's probe is behind every connection of the database: the writer's, the
// readers' and those that sessions have of their own.
func TestAProbeIsBehindEveryConnection(t *testing.T) {
	var files, statements atomic.Int64
	vfs, err := sqlite.RegisterVFS(func(c *sqlite.FileCall) sqlite.ResultCode {
		rc := c.Forward()
		if c.Op == sqlite.FileOpen && c.Kind == sqlite.FileMain && rc == sqlite.ResultOK {
			files.Add(1)
		}
		return rc
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := vfs.Unregister(); err != nil {
			t.Error(err)
		}
	}()
	path := filepath.Join(t.TempDir(), "app.db")
	probe := &sqlite.Probe{VFS: vfs, Finished: func(string, int) { statements.Add(1) }}
	ctx := sqlite.WithProbe(context.Background(), probe)
	db, err := Open(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, sql := range []string{"CREATE TABLE t(a)", "INSERT INTO t VALUES (1)", "PRAGMA cache_size=100; CREATE TEMP TABLE u(a)"} {
		if _, err := db.ExecContext(context.Background(), sql); err != nil {
			t.Fatal(err)
		}
	}
	var n int
	if err := db.View(context.Background(), func(tx *sql.Tx) error { return tx.QueryRow("SELECT count(*) FROM t").Scan(&n) }); err != nil || n != 1 {
		t.Error(n, err)
	}
	if got := db.Stats().ConnectionsCreated; got != files.Load() || got < 3 {
		t.Errorf("%d connections, %d opened through the VFS", got, files.Load())
	}
	if statements.Load() < 4 {
		t.Errorf("%d statements were seen", statements.Load())
	}
	// Another handle on the file would share these connections.
	if _, err := Open(context.Background(), path); !errors.Is(err, ErrRefused) {
		t.Errorf("opened without the probe: %v", err)
	}
	again, err := Open(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

// SQLite opens a file that can't be written for reading and says nothing. Such a
// connection must not become the writer, which is kept for as long as it works.
func TestAReadOnlyConnectionIsNoWriter(t *testing.T) {
	var readOnly atomic.Bool
	vfs, err := sqlite.RegisterVFS(func(c *sqlite.FileCall) sqlite.ResultCode {
		if c.Op == sqlite.FileOpen && c.Kind == sqlite.FileMain && readOnly.Load() {
			c.Flags = c.Flags&^int(sqlite.OpenReadWrite|sqlite.OpenCreate) | int(sqlite.OpenReadOnly)
		}
		return c.Forward()
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := vfs.Unregister(); err != nil {
			t.Error(err)
		}
	}()
	ctx := sqlite.WithProbe(context.Background(), &sqlite.Probe{VFS: vfs})
	path := filepath.Join(t.TempDir(), "app.db")
	db, err := Open(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var n int
	if err := db.QueryRow("SELECT count(*) FROM sqlite_schema").Scan(&n); err != nil { // takes the connection that Open has made
		t.Fatal(err)
	}
	readOnly.Store(true)
	if _, err := db.Exec("CREATE TABLE t(a)"); !errors.Is(err, ErrReadOnly) {
		t.Errorf("a write while the file system is read-only: %v", err)
	}
	readOnly.Store(false)
	if _, err := db.Exec("CREATE TABLE t(a)"); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	readOnly.Store(true)
	if _, err := Open(ctx, path); !errors.Is(err, ErrReadOnly) {
		t.Errorf("opened for writing on a read-only file system: %v", err)
	}
}

// A connection that was opened while the file was in another journal mode has no
// log that could be taken: who switches to WAL and is the last to close removes the
// log rightly.
func TestALogOfOthersIsNotMissed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	open := func(sql string) *sqlite.Conn {
		t.Helper()
		c, err := sqlite.Open(path, sqlite.OpenReadWrite|sqlite.OpenCreate)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Exec(sql); err != nil {
			t.Fatal(err)
		}
		return c
	}
	synctest.Test(t, func(t *testing.T) { // whose clock makes each look a new one
		var d database
		look := func() {
			t.Helper()
			time.Sleep(time.Second)
			if gone, what := d.logFiles.Look(); what != "" {
				t.Errorf("%s %s", gone, what)
			}
		}
		d.logFiles.Watch(path+"-wal", path+"-shm")
		without := open("CREATE TABLE t(a); SELECT * FROM t")
		defer without.Close()
		d.openedLog(without)
		other := open("PRAGMA journal_mode=WAL; INSERT INTO t VALUES (1)")
		look()
		if err := other.Close(); err != nil {
			t.Fatal(err)
		}
		look()
		with := open("PRAGMA journal_mode=WAL; SELECT * FROM t")
		defer with.Close()
		d.openedLog(with)
		look()
		if runtime.GOOS == "windows" { // which keeps a file that is open
			return
		}
		if err := os.Remove(path + "-wal"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if gone, what := d.logFiles.Look(); gone != path+"-wal" {
			t.Errorf("a log that was taken: %q %q", gone, what)
		}
	})
}
