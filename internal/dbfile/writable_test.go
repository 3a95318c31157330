package dbfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWritable(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "app.db")
	if err := Writable(path); err != nil {
		t.Errorf("to be created: %v", err)
	}
	touch(t, path)
	touch(t, path+"-wal")
	if err := Writable(path); err != nil {
		t.Errorf("existing: %v", err)
	}
	for _, c := range []struct {
		path string
		want error
	}{
		{"", ErrBadName},
		{filepath.Join(dir, "none", "app.db"), ErrNoDirectory},
		{filepath.Join(path, "app.db"), ErrNoDirectory},
	} {
		if err := Writable(c.path); !errors.Is(err, c.want) {
			t.Errorf("%q: %v; want %v", c.path, err, c.want)
		}
	}
}

func TestNotWritable(t *testing.T) {
	for name, c := range map[string]struct {
		path string // below the test's directory
		mode fs.FileMode
		want string
	}{
		"read-only file":      {"app.db", 0o400, "mode 0400"},
		"unreadable file":     {"app.db", 0o200, "mode 0200"},
		"read-only -wal":      {"app.db-wal", 0o444, "app.db-wal can't be read and written"},
		"read-only -shm":      {"app.db-shm", 0o444, "app.db-shm can't be read and written"},
		"read-only directory": {".", 0o555, "own the directory and not only the file"},
		"closed directory":    {".", 0o600, "is a directory that uid"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := openTempDir(t)
			path, target := filepath.Join(dir, "app.db"), filepath.Join(dir, c.path)
			touch(t, path)
			if target != path && target != dir {
				touch(t, target)
			}
			asUser(t, dir, func() {
				if err := Writable(path); err != nil {
					t.Fatalf("before: %v", err)
				}
			})
			if err := os.Chmod(target, c.mode); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.Chmod(target, 0o700) })
			asUser(t, dir, func() {
				err := Writable(path)
				if !errors.Is(err, ErrReadOnly) || !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%v; want %q in it", err, c.want)
				}
			})
		})
	}
}
