//go:build unix

package dbfile

import (
	"errors"
	"io/fs"
	"syscall"
)

// identify reads the identity out of what stat already returned.
func identify(path string, st fs.FileInfo, info *Info) (ID, error) {
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return ID{}, &fs.PathError{Op: "identify", Path: path, Err: errors.ErrUnsupported}
	}
	// The conversions look idle on Linux; the widths differ between systems.
	info.Links = uint64(sys.Nlink)
	info.Owner = int(sys.Uid)
	return ID{Dev: uint64(sys.Dev), Ino: uint64(sys.Ino)}, nil
}

// Look returns the identity of the file at path and nothing else: it is
// [Identify] for those who ask before and after each commit.
func Look(path string) (ID, error) {
	var st syscall.Stat_t
	for {
		err := syscall.Stat(path, &st)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return ID{}, &fs.PathError{Op: "stat", Path: path, Err: err}
		}
		return ID{Dev: uint64(st.Dev), Ino: uint64(st.Ino)}, nil
	}
}
