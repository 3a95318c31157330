package sqlite

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// What is read through SQLite's descriptors is what is on the disk.
func TestRawFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	c, err := Open(path, OpenReadWrite|OpenCreate)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := c.RawFile(FileWAL); ok {
		t.Error("a log before there is one")
	}
	if err := c.Exec("PRAGMA journal_mode=WAL; CREATE TABLE t(a); INSERT INTO t VALUES(randomblob(50000))"); err != nil {
		t.Fatal(err)
	}
	got := map[string][]byte{"-shm": c.SharedMemory()}
	for ending, kind := range map[string]FileKind{"": FileMain, "-wal": FileWAL} {
		f, ok := c.RawFile(kind)
		if !ok {
			t.Fatalf("%q is not open", ending)
		}
		size, err := f.Size()
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, size+10)
		if err := f.ReadAt(b[:100], 0); err != nil {
			t.Fatal(err)
		}
		if err := f.ReadAt(b[100:], 100); err != nil {
			t.Fatal(err)
		}
		got[ending] = b[:size]
	}
	if _, err := c.DBConfig(DBConfigNoCkptOnClose, true); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	for ending, b := range got {
		want, err := os.ReadFile(path + ending)
		if err != nil {
			t.Fatal(err)
		}
		if len(b) == 0 || !bytes.Equal(b, want[:min(len(b), len(want))]) || len(b) < len(want) && ending != "-shm" {
			t.Errorf("%q: %d bytes, on the disk %d", ending, len(b), len(want))
		}
	}
}
