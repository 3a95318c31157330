package alerts

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/holdfastdb/holdfast"
)

// A volume is filled to the last page, so that a write fails, and emptied again.
func TestDiskFullSoon(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=8m"); err != nil {
		t.Skipf("a volume of its own needs the right to mount: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	l := lookAt(t, quick(), openAt(t, filepath.Join(dir, "shop.db")))
	must(t, l.db, "CREATE TABLE t(a)")
	l.quiet("disk_full_soon")
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 16<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the volume is not full: %v", err)
	}
	if _, err := l.db.ExecContext(t.Context(), "INSERT INTO t VALUES (randomblob(500000))"); !errors.Is(err, holdfast.ErrDiskFull) {
		t.Errorf("%v", err)
	}
	l.comes("disk_full_soon", Critical)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	l.goes("disk_full_soon")
	must(t, l.db, "INSERT INTO t VALUES (randomblob(500000))")
}
