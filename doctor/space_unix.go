//go:build linux || darwin

package doctor

import "golang.org/x/sys/unix"

// room asks the file system for what an ordinary user may still use.
func room(path string) (r space, ok bool) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return r, false
	}
	return space{
		free: int64(st.Bavail) * int64(st.Bsize), size: int64(st.Blocks) * int64(st.Bsize),
		inodes: int64(st.Ffree), allInodes: int64(st.Files),
	}, true
}
