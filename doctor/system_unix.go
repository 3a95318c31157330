//go:build unix

package doctor

import (
	"io/fs"
	"os"
	"syscall"
)

func groupOf(st fs.FileInfo) int {
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		return int(sys.Gid)
	}
	return -1
}

// tempDirs are where SQLite puts temporary files: the first that can be written.
func tempDirs() []string {
	return []string{os.Getenv("SQLITE_TMPDIR"), os.Getenv("TMPDIR"), "/var/tmp", "/usr/tmp", "/tmp", "."}
}
