package sqlite

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// register returns a VFS that is unregistered when the test ends.
func register(t *testing.T, hook func(*FileCall) ResultCode) *VFS {
	t.Helper()
	checkMemory(t)
	v, err := RegisterVFS(hook)
	must(t, err)
	t.Cleanup(func() {
		if err := v.Unregister(); err != nil {
			t.Error(err)
		}
	})
	return v
}

// openThrough is testDB.open through a VFS.
func openThrough(t *testing.T, db *testDB, v *VFS) *Conn {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the engine's own VFS for Windows keeps a stack slot that this would count")
	}
	c, err := OpenVFS(db.path, OpenReadWrite|OpenCreate, v.Name())
	must(t, err)
	t.Cleanup(func() {
		if c.tls != nil && c.tls.StackSlots() != 0 {
			t.Errorf("%d stack slots are still in use", c.tls.StackSlots())
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// TestVFSOfManyConnections: connections through the hook and past it work on one
// file at once, and the counter that they raise misses nothing.
func TestVFSOfManyConnections(t *testing.T) {
	var calls [FileAccess + 1]atomic.Int64
	db := newTestDB(t, "CREATE TABLE t(n); INSERT INTO t VALUES (0)")
	v := register(t, func(c *FileCall) ResultCode {
		calls[c.Op].Add(1)
		return c.Forward()
	})
	const workers, rounds = 8, 50
	var all sync.WaitGroup
	for w := range workers {
		name := v.Name()
		if w%4 == 3 {
			name = ""
		}
		all.Go(func() {
			for range 4 {
				c, err := OpenVFS(db.path, OpenReadWrite, name)
				if err != nil {
					t.Error(err)
					return
				}
				c.SetBusyHandler(func(int) bool { return true })
				for range rounds / 5 {
					if err := c.Exec("BEGIN IMMEDIATE; UPDATE t SET n=n+1; COMMIT"); err != nil {
						t.Error(err)
					}
				}
				if err := c.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	wantInt(t, db.open(), workers*4*(rounds/5), "SELECT n FROM t")
	for _, op := range []FileOp{FileOpen, FileClose, FileRead, FileWrite, FileSync, FileSize, FileLock, FileUnlock, FileControlCall, FileShmMap, FileShmLock, FileShmUnlock} {
		if calls[op].Load() == 0 {
			t.Errorf("no call %d was seen", op)
		}
	}
	if opens, closes := calls[FileOpen].Load(), calls[FileClose].Load(); opens != closes {
		t.Errorf("%d files opened, %d closed", opens, closes)
	}
}

// TestVFSRollback sees the calls that only a rollback journal makes.
func TestVFSRollback(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	db := newTestDB(t, "")
	v := register(t, func(c *FileCall) ResultCode {
		mu.Lock()
		defer mu.Unlock()
		if c.Kind == FileJournal {
			seen = append(seen, fmt.Sprint(c.Op))
		}
		if c.Op == FileTruncate && c.Kind == FileMain {
			seen = append(seen, "cut")
		}
		return c.Forward()
	})
	c := openThrough(t, db, v)
	mustExec(t, c, "PRAGMA journal_mode=DELETE; CREATE TABLE t(a); INSERT INTO t VALUES (zeroblob(100000)); DELETE FROM t; VACUUM")
	for _, want := range []string{fmt.Sprint(FileOpen), fmt.Sprint(FileWrite), fmt.Sprint(FileSync), fmt.Sprint(FileDelete), fmt.Sprint(FileAccess), "cut"} {
		if !slices.Contains(seen, want) {
			t.Errorf("no call %s was seen", want)
		}
	}
}

func TestVFSExcludes(t *testing.T) {
	db := newTestDB(t, "CREATE TABLE t(a)")
	v := register(t, func(c *FileCall) ResultCode { return c.Forward() })
	through, past := openThrough(t, db, v), db.open()
	mustExec(t, through, "BEGIN IMMEDIATE; INSERT INTO t VALUES (1)")
	wantCode(t, past.Exec("BEGIN IMMEDIATE"), ResultBusy)
	mustExec(t, through, "COMMIT; PRAGMA mmap_size=1000000; SELECT * FROM t")
	mustExec(t, past, "BEGIN IMMEDIATE")
	wantCode(t, through.Exec("BEGIN IMMEDIATE"), ResultBusy)
	mustExec(t, past, "COMMIT")
	if n, _, err := through.WALCheckpoint("", CheckpointTruncate); n != 0 || err != nil {
		t.Error(n, err)
	}
}

// TestVFSFaults: what the hook answers is what the statement fails with, and
// what it leaves out has not happened.
func TestVFSFaults(t *testing.T) {
	for _, f := range []struct {
		name string
		hook func(*FileCall) ResultCode
		want ResultCode
	}{
		{"write", func(c *FileCall) ResultCode {
			if c.Op == FileWrite && c.Kind == FileWAL {
				return ResultIOErrWrite
			}
			return c.Forward()
		}, ResultIOErrWrite},
		{"half a write", func(c *FileCall) ResultCode {
			if c.Op == FileWrite && c.Kind == FileWAL {
				c.Data = c.Data[:len(c.Data)/2]
				c.Forward()
				return ResultFull
			}
			return c.Forward()
		}, ResultFull},
		{"sync", func(c *FileCall) ResultCode {
			if c.Op == FileSync {
				return ResultIOErrFsync
			}
			return c.Forward()
		}, ResultIOErrFsync},
		{"read", func(c *FileCall) ResultCode {
			if c.Op == FileRead && c.Kind == FileMain {
				return ResultIOErrRead
			}
			return c.Forward()
		}, ResultIOErrRead},
		{"lock", func(c *FileCall) ResultCode {
			if c.Op == FileShmLock && c.Offset == 0 { // WAL_WRITE_LOCK
				return ResultBusy
			}
			return c.Forward()
		}, ResultBusy},
		{"no log", func(c *FileCall) ResultCode {
			if c.Op == FileOpen && c.Kind == FileWAL {
				return ResultCantOpen
			}
			return c.Forward()
		}, ResultCantOpen},
		{"a log that was opened first", func(c *FileCall) ResultCode {
			rc := c.Forward()
			if c.Op == FileOpen && c.Kind == FileWAL {
				return ResultCantOpen
			}
			return rc
		}, ResultCantOpen},
	} {
		t.Run(f.name, func(t *testing.T) {
			db := newTestDB(t, "CREATE TABLE t(a)")
			wantInt(t, db.open(), 0, "SELECT count(*) FROM t") // and stays: the log is recovered
			var on atomic.Bool
			v := register(t, func(c *FileCall) ResultCode {
				if !on.Load() {
					return c.Forward()
				}
				return f.hook(c)
			})
			c := openThrough(t, db, v)
			on.Store(true)
			wantCode(t, c.Exec("INSERT INTO t VALUES (zeroblob(10000))"), f.want)
			on.Store(false)
			wantInt(t, c, 0, "SELECT count(*) FROM t")
			mustExec(t, c, "INSERT INTO t VALUES (1)")
		})
	}
}

func TestVFSOpenFails(t *testing.T) {
	db := newTestDB(t, "")
	for _, forward := range []bool{true, false} {
		v := register(t, func(c *FileCall) ResultCode {
			if forward {
				c.Forward()
				return ResultIOErr
			}
			return ResultOK
		})
		c, err := OpenVFS(db.path, OpenReadWrite, v.Name())
		if err == nil {
			_, err = c.QueryInt64("PRAGMA schema_version")
			must(t, c.Close())
		}
		if err == nil || v.files.Load() != 0 {
			t.Errorf("forward %v: %v, %d files", forward, err, v.files.Load())
		}
	}
}

func TestVFSReadsBelowTheHook(t *testing.T) {
	db := newTestDB(t, "CREATE TABLE t(a)")
	var header []byte
	v := register(t, func(c *FileCall) ResultCode {
		rc := c.Forward()
		if c.Op == FileOpen && c.Kind == FileMain {
			n, code := c.File.Size()
			header = make([]byte, n+100)
			if code != ResultOK || c.File.ReadAt(header[:n], 0) != ResultOK || c.File.ReadAt(header, 0) != ResultIOErrShortRead {
				t.Error("the file can't be read")
			}
		}
		return rc
	})
	openThrough(t, db, v)
	if len(header) < 200 || string(header[:15]) != "SQLite format 3" {
		t.Errorf("read %d bytes: %q", len(header), header[:min(16, len(header))])
	}
}

func TestUnregisterVFS(t *testing.T) {
	db := newTestDB(t, "")
	v := register(t, func(c *FileCall) ResultCode { return c.Forward() })
	other := register(t, func(c *FileCall) ResultCode { return c.Forward() })
	if v.Name() == other.Name() {
		t.Errorf("both are %q", v.Name())
	}
	c := openThrough(t, db, v)
	wantCode(t, v.Unregister(), ResultMisuse)
	must(t, c.Close())
	must(t, v.Unregister())
	must(t, v.Unregister())
	if _, err := OpenVFS(db.path, OpenReadWrite, v.Name()); err == nil {
		t.Error("opened through a VFS that is gone")
	}
}

func TestProbe(t *testing.T) {
	db := newTestDB(t, "CREATE TABLE t(a INTEGER PRIMARY KEY, b);"+rows(10))
	if ProbeOf(context.Background()) != nil {
		t.Error("a probe in an empty context")
	}
	c, err := ProbeOf(context.Background()).Open(db.path, OpenReadWrite)
	must(t, err)
	must(t, c.Close())

	v := register(t, func(c *FileCall) ResultCode { return c.Forward() })
	var got []string
	ctx := WithProbe(context.Background(), &Probe{VFS: v, Finished: func(sql string, scanned int) {
		got = append(got, fmt.Sprintf("%s: %d", sql, scanned))
	}})
	c, err = ProbeOf(ctx).Open(db.path, OpenReadWrite)
	must(t, err)
	if v.files.Load() == 0 {
		t.Error("not opened through the VFS")
	}
	s, _, err := c.PrepareCached("SELECT * FROM t WHERE b = 'row 3'")
	must(t, err)
	for range 2 {
		_, err = s.Step()
		must(t, err)
		must(t, s.Reset())
	}
	must(t, s.Release())
	wantInt(t, c, 5, "SELECT a FROM t WHERE a = 5")
	must(t, c.Close())
	want := []string{"SELECT * FROM t WHERE b = 'row 3': 2", "SELECT * FROM t WHERE b = 'row 3': 2", "SELECT a FROM t WHERE a = 5: 0"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
