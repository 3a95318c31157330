package dbfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// local reports whether the driver of the file system itself says that it is a
// local one. Nothing in the mount table can be held against that: statfs
// follows the path as opening the file does, and a driver that could hand the
// file on to others (FUSE, a network client, a layer of a virtual machine)
// answers with a number of its own, known or not. What the table knows beyond
// statfs is which of these it is.
func local(path string) bool {
	if !filepath.IsAbs(path) {
		return false
	}
	witness, _, err := askKernel(path)
	return err == nil && (witness.Class == Local || witness.Class == Memory)
}

// askKernel asks statfs(2) about path, or its nearest parent that exists, and
// returns which that was.
func askKernel(path string) (witness FS, existing string, err error) {
	var st unix.Statfs_t
	for {
		err = unix.Statfs(path, &st)
		if !errors.Is(err, fs.ErrNotExist) || path == "/" {
			break
		}
		path = filepath.Dir(path)
	}
	if err != nil {
		return FS{}, path, &fs.PathError{Op: "statfs", Path: path, Err: err}
	}
	witness.ReadOnly = st.Flags&unix.ST_RDONLY != 0
	witness.Class, witness.Type = classifyMagic(uint32(st.Type))
	return witness, path, nil
}

func fileSystem(path string) (FS, error) {
	witness, path, err := askKernel(path)
	if err != nil {
		return FS{}, err
	}
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
