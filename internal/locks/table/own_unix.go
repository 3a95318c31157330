//go:build unix

package table

import (
	"os"
	"slices"
	"strconv"
	"syscall"
)

// Own tells whether this process has one of the files open: then nothing else in
// it may open and close them, which would drop its locks.
func Own(names ...string) bool {
	var files []syscall.Stat_t
	for _, name := range names {
		var st syscall.Stat_t
		if syscall.Stat(name, &st) == nil {
			files = append(files, st)
		}
	}
	list, err := os.ReadDir("/dev/fd")
	if err != nil {
		list, _ = os.ReadDir("/proc/self/fd") // a container without /dev
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
		if slices.ContainsFunc(files, func(f syscall.Stat_t) bool { return f.Dev == st.Dev && f.Ino == st.Ino }) {
			return true
		}
	}
	return false
}
