package holdfast

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/holdfastdb/holdfast/internal/sidelock"
)

// memoryFile is what stands behind a database in memory: a file in a private
// directory, on Linux in the kernel's shared memory, that is removed at Close.
// SQLite's own in-memory databases have no WAL mode, so a reader would block
// the writer and a test would behave unlike production (docs/decisions/0008).
type memoryFile struct {
	path string // the database file; it does not exist yet

	dir   string
	owner *sidelock.Lock // held for the file's life: a dead owner's is free
}

const memoryDirs = "holdfast-memory-"

// newMemoryFile makes the directory for one database in memory; remove ends it.
func newMemoryFile() (*memoryFile, error) {
	base := memoryBase()
	sweepMemory(base, time.Now().Add(-time.Minute))
	dir, err := os.MkdirTemp(base, memoryDirs)
	if err != nil {
		return nil, err
	}
	m := &memoryFile{dir: dir, path: filepath.Join(dir, "memory.db")}
	if m.owner, err = sidelock.Open(m.path + sidelock.Suffix); err == nil {
		_, err = m.owner.Acquire(context.Background())
	}
	if err != nil {
		_ = os.RemoveAll(dir) // nothing of value is in it yet
		return nil, err
	}
	return m, nil
}

// remove deletes the directory. Every connection must be closed before.
func (m *memoryFile) remove() error {
	err := m.owner.Close()
	if e := os.RemoveAll(m.dir); err == nil {
		err = e
	}
	return err
}

func memoryBase() string {
	const shm = "/dev/shm"
	if runtime.GOOS == "linux" {
		if fi, err := os.Stat(shm); err == nil && fi.IsDir() && fi.Mode().Perm()&0o002 != 0 {
			return shm
		}
	}
	return os.TempDir()
}

// sweepMemory removes what processes that were killed have left behind. Where
// locks belong to the process (neither Linux nor Windows) its own live ones
// could not be told from dead ones, so nothing is swept there.
func sweepMemory(base string, before time.Time) {
	if runtime.GOOS != "linux" && runtime.GOOS != "windows" {
		return
	}
	dirs, err := filepath.Glob(filepath.Join(base, memoryDirs+"*"))
	if err != nil {
		return
	}
	for _, dir := range dirs {
		fi, err := os.Stat(dir)
		if err != nil || fi.ModTime().After(before) {
			continue
		}
		l, err := sidelock.Open(filepath.Join(dir, "memory.db") + sidelock.Suffix)
		if err != nil {
			continue // another user's
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // one attempt
		if _, err := l.Acquire(ctx); err == nil {
			_ = os.RemoveAll(dir)
		}
		_ = l.Close()
	}
}
