package dbfile

import (
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"
)

// createExclusive makes the file without opening it, so there is no descriptor
// whose close could cancel a lock. For a regular file mknod(2) does what open
// with O_EXCL does, on every file system and without privilege. A sandbox may
// forbid it; then open tells whether it forbids that too.
func createExclusive(path string, mode fs.FileMode) error {
	err := unix.Mknod(path, unix.S_IFREG|uint32(mode.Perm()), 0)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrExist):
		return &fs.PathError{Op: "create", Path: path, Err: err}
	}
	return createByOpening(path, mode)
}
