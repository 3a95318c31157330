package backup_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/backup"
)

// A volume that is full in the middle of a restore, or of a backup, costs nothing.
func TestVolumeFull(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=600k"); err != nil {
		t.Skipf("a volume of its own needs the right to mount: %v", err)
	}
	t.Cleanup(func() { must(t, syscall.Unmount(dir, 0)) })
	source := newBackup(t) // 350 KB
	path := filepath.Join(dir, "app.db")
	withLog(t, path)
	var o backup.RestoreOptions
	o.Room(1 << 30)
	r, err := backup.Restore(t.Context(), backup.File(source), path, o)
	if !errors.Is(err, syscall.ENOSPC) || r.Verified {
		t.Errorf("%+v, %v", r, err)
	}
	if got := holds(t, path); got != "500 old" {
		t.Errorf("it is %q", got)
	}
	if _, err := os.Lstat(path + "-restore"); err == nil {
		t.Error("something is left")
	}
	db, err := holdfast.Open(t.Context(), source)
	must(t, err)
	defer db.Close()
	if info, err := db.Backup(t.Context(), dir); !errors.Is(err, holdfast.ErrDiskFull) || info.Verified {
		t.Errorf("%+v, %v", info, err)
	}
	store := newShelf()
	if info, err := backup.Remote(store, dir).Create(t.Context(), db, nil, nil); !errors.Is(err, holdfast.ErrDiskFull) || info.Verified || len(store.files) > 0 {
		t.Errorf("%+v, %v, %q", info, err, store.names())
	}
	files, err := os.ReadDir(dir)
	must(t, err)
	if len(files) != 3 {
		t.Errorf("%v", files)
	}
}
