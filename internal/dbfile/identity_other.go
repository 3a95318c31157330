//go:build !unix && !windows

package dbfile

import (
	"errors"
	"io/fs"
)

func identify(path string, _ fs.FileInfo, _ *Info) (ID, error) {
	return ID{}, &fs.PathError{Op: "identify", Path: path, Err: errors.ErrUnsupported}
}

// Look returns the identity of the file at path and nothing else.
func Look(path string) (ID, error) {
	id, _, err := Identify(path)
	return id, err
}
