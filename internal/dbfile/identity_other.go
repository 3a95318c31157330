//go:build !unix && !windows

package dbfile

import (
	"errors"
	"io/fs"
)

func identify(path string, _ fs.FileInfo, _ *Info) (ID, error) {
	return ID{}, &fs.PathError{Op: "identify", Path: path, Err: errors.ErrUnsupported}
}
