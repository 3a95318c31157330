//go:build !unix

package dbfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

func writable(path string) error {
	if _, err := resolveDir(filepath.Dir(path)); err != nil {
		return err
	}
	wal, shm, journal, _, _ := Sidecars(path)
	for _, file := range []string{path, wal, shm, journal} {
		st, err := os.Stat(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return cannotReach(file, err)
		}
		// os.Stat clears the write bits where the read-only attribute is set.
		if st.Mode().Perm()&0o200 == 0 {
			return denied(file, fmt.Sprintf("has the read-only attribute (%s)", describe(file)),
				"clear it, or open the database read-only", fs.ErrPermission)
		}
	}
	return nil
}

// readable has no answer here: access lists aren't consulted.
func readable(string) error { return nil }
