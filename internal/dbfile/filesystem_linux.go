package dbfile

import (
	"errors"
	"fmt"
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
	witness := FS{ReadOnly: st.Flags&unix.ST_RDONLY != 0}
	witness.Class, witness.Type = classifyMagic(uint32(st.Type))

	table, err := readMounts()
	if err != nil {
		if witness.Class == Unknown {
			return FS{}, err
		}
		return witness, nil // a sandbox without /proc: one witness must do
	}
	m, ok := findMount(table, path)
	if !ok {
		return witness, nil // a chroot that shows no mount above itself
	}
	return reconcile(m.fs(), witness), nil
}

// findMount asks the kernel for the id of the mount; kernels before 5.8 don't
// tell it, and then the path must do.
func findMount(table []mount, path string) (mount, bool) {
	var stx unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, unix.AT_STATX_DONT_SYNC, unix.STATX_MNT_ID, &stx)
	if err == nil && stx.Mask&unix.STATX_MNT_ID != 0 {
		if m, ok := mountByID(table, stx.Mnt_id); ok {
			return m, true
		}
	}
	return mountOf(table, path)
}

func readMounts() ([]mount, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("the mount table can't be read: %w", err)
	}
	defer f.Close()
	return parseMountinfo(f)
}
