//go:build unix

package outside

import (
	"io/fs"
	"os"
	"strconv"
	"syscall"
)

// own tells whether this process has one of the files open.
func own(f files) bool {
	list, err := os.ReadDir("/dev/fd")
	if err != nil {
		return false
	}
	for _, entry := range list {
		fd, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		var st syscall.Stat_t
		if syscall.Fstat(fd, &st) != nil {
			continue
		}
		for _, info := range []fs.FileInfo{f.info, f.shm, f.wal} {
			if info == nil {
				continue
			}
			if known, ok := info.Sys().(*syscall.Stat_t); ok && known.Dev == st.Dev && known.Ino == st.Ino {
				return true
			}
		}
	}
	return false
}
