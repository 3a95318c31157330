//go:build darwin || freebsd

package dbfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

func fileSystem(path string) (FS, error) {
	for ; path != "/"; path = filepath.Dir(path) {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return FS{}, &fs.PathError{Op: "statfs", Path: path, Err: err}
	}
	name := unix.ByteSliceToString(st.Fstypename[:])
	return FS{
		Class:    classify(name),
		Type:     name,
		Mount:    unix.ByteSliceToString(st.Mntonname[:]),
		Source:   unix.ByteSliceToString(st.Mntfromname[:]),
		ReadOnly: st.Flags&unix.MNT_RDONLY != 0,
	}, nil
}
