package holdfast_test

import (
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/holdfastdb/holdfast"
)

// TestVolumeFull fills a small volume from several goroutines: what was
// acknowledged is there and nothing else, reads go on, and writes go on when
// space is free again.
func TestVolumeFull(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
		t.Skipf("a volume of its own needs the right to mount: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	db := openAt(t, filepath.Join(dir, "app.db"))
	must(t, db, "CREATE TABLE t(id INTEGER PRIMARY KEY, a BLOB)")
	var acknowledged atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				_, err := db.Exec("INSERT INTO t(a) VALUES (randomblob(3000))")
				if err != nil {
					if !errors.Is(err, holdfast.ErrDiskFull) {
						t.Error(err)
					}
					return
				}
				acknowledged.Add(1)
			}
		})
	}
	wg.Wait()
	if n := number(t, db, "SELECT count(*) FROM t"); n != acknowledged.Load() || n == 0 {
		t.Errorf("%d rows, %d acknowledged", n, acknowledged.Load())
	}
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT, "size=8m"); err != nil {
		t.Fatal(err)
	}
	for range 50 {
		must(t, db, "INSERT INTO t(a) VALUES (randomblob(3000))")
		acknowledged.Add(1)
	}
	if n := number(t, db, "SELECT count(*) FROM t"); n != acknowledged.Load() {
		t.Errorf("%d rows, %d acknowledged", n, acknowledged.Load())
	}
}
