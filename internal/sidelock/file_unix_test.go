//go:build unix && !aix

package sidelock

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLockFileTakesTheDatabasesMode(t *testing.T) {
	for _, c := range []struct {
		database, want fs.FileMode
	}{{0, 0o600}, {0o600, 0o600}, {0o660, 0o660}, {0o644, 0o644}} {
		path := lockPath(t)
		database := strings.TrimSuffix(path, Suffix)
		if c.database != 0 {
			if err := os.WriteFile(database, nil, c.database); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(database, c.database); err != nil {
				t.Fatal(err)
			}
		}
		open(t, path)
		st, err := os.Stat(path)
		if err != nil || st.Mode() != c.want {
			t.Errorf("database %v: lock file %v, %v; want %v", c.database, st.Mode(), err, c.want)
		}
	}
}

func TestForeignFilesAtThePathAreRefused(t *testing.T) {
	for name, prepare := range map[string]func(path string) error{
		"symbolic link": func(path string) error { return os.Symlink("/nowhere", path) },
		"link to a database": func(path string) error {
			database := strings.TrimSuffix(path, Suffix)
			if err := os.WriteFile(database, nil, 0o600); err != nil {
				return err
			}
			return os.Symlink(filepath.Base(database), path)
		},
		"hard link to a database": func(path string) error {
			database := strings.TrimSuffix(path, Suffix)
			if err := os.WriteFile(database, nil, 0o600); err != nil {
				return err
			}
			return os.Link(database, path)
		},
		"directory": func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		path := lockPath(t)
		if err := prepare(path); err != nil {
			t.Fatal(err)
		}
		l, err := Open(path)
		if err == nil {
			l.Close()
			t.Errorf("%s: opened", name)
			continue
		}
		if !strings.Contains(err.Error(), path) {
			t.Errorf("%s: the error doesn't name the file: %v", name, err)
		}
	}
}
