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
	dir := filepath.Dir(path)
	if st, err := os.Stat(dir); err != nil || !st.IsDir() {
		return refuse(ErrNoDirectory, err, fmt.Sprintf("the directory %s does not exist; create it first", dir))
	}
	wal, shm, journal, _, _ := Sidecars(path)
	for _, file := range []string{path, wal, shm, journal} {
		st, err := os.Stat(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("%s can't be examined: %w", file, err)
		}
		// os.Stat clears the write bits where the read-only attribute is set.
		if st.Mode().Perm()&0o200 == 0 {
			return denied(file, fmt.Sprintf("has the read-only attribute (%s)", describe(file)),
				"clear it, or open the database read-only", fs.ErrPermission)
		}
	}
	return nil
}
