// Package memfile makes the file that stands behind a database in memory: in a
// private directory, on Linux in the kernel's shared memory, that ends with its
// owner. SQLite's own in-memory databases have no WAL mode, so a reader would
// block the writer and a test would behave unlike production
// (docs/decisions/0008).
package memfile

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/holdfastdb/holdfast/internal/sidelock"
)

// A File is the place of one database in memory.
type File struct {
	Path string // the database file; New does not create it

	dir   string
	owner *sidelock.Lock // held for the file's life: a dead owner's is free
}

// Names in the base directory and in the private one.
const (
	dirs = "holdfast-memory-"
	name = "memory.db"
)

// New makes the directory for one database in memory, and removes those whose
// owners were killed; Remove ends it.
func New() (*File, error) {
	base := baseDir()
	sweep(base, time.Now().Add(-time.Minute))
	dir, err := os.MkdirTemp(base, dirs)
	if err != nil {
		return nil, err
	}
	f := &File{dir: dir, Path: filepath.Join(dir, name)}
	if f.owner, err = sidelock.Open(f.Path + sidelock.Suffix); err == nil {
		_, err = f.owner.Acquire(context.Background())
	}
	if err != nil {
		_ = os.RemoveAll(dir) // nothing of value is in it yet
		return nil, err
	}
	return f, nil
}

// Remove deletes the directory. Every connection must be closed before.
func (f *File) Remove() error {
	err := f.owner.Close()
	if e := os.RemoveAll(f.dir); err == nil {
		err = e
	}
	return err
}

func baseDir() string {
	const shm = "/dev/shm"
	if runtime.GOOS == "linux" {
		if fi, err := os.Stat(shm); err == nil && fi.IsDir() && fi.Mode().Perm()&0o002 != 0 {
			return shm
		}
	}
	return os.TempDir()
}

// sweep removes what processes that were killed have left behind. Where locks
// belong to the process (neither Linux nor Windows) its own live ones could not
// be told from dead ones, so nothing is swept there.
func sweep(base string, before time.Time) {
	if runtime.GOOS != "linux" && runtime.GOOS != "windows" {
		return
	}
	found, err := filepath.Glob(filepath.Join(base, dirs+"*"))
	if err != nil {
		return
	}
	for _, dir := range found {
		fi, err := os.Stat(dir)
		if err != nil || fi.ModTime().After(before) {
			continue
		}
		l, err := sidelock.Open(filepath.Join(dir, name) + sidelock.Suffix)
		if err != nil {
			continue // another user's
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // one attempt
		_, err = l.Acquire(ctx)
		_ = l.Close() // Windows removes no file that is open
		if err == nil {
			_ = os.RemoveAll(dir)
		}
	}
}
