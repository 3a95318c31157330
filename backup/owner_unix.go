//go:build unix

package backup

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// likeOld gives a new file the mode and the owner of the one that it replaces:
// an operator restores as root what a service reads as its own user.
// The file is not named, since who may write to the directory could put another there.
func likeOld(f *os.File, old fs.FileInfo) error {
	if st, ok := old.Sys().(*syscall.Stat_t); ok {
		if err := f.Chown(int(st.Uid), int(st.Gid)); err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
	}
	return f.Chmod(old.Mode().Perm())
}
