package replicate

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// identity tells a file from another one under the same name, or is "". The number of an
// inode is given again at once where its file was deleted, so its birth counts too. The
// number of the device doesn't: it may change when the machine starts.
func identity(path string) string {
	var s unix.Statx_t
	if unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_INO|unix.STATX_BTIME, &s) != nil {
		return ""
	}
	return fmt.Sprintf("%d %d.%09d", s.Ino, s.Btime.Sec, s.Btime.Nsec)
}
