package holdfast_test

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// lockTable is the rows of the kernel's table that a process has on a database
// and its shared memory, without their numbers.
type lockTable []string

// tableOf reads the table. A lock of an open file has no process in it; it counts
// as everybody's.
func tableOf(t *testing.T, pid int, path string) (rows lockTable) {
	t.Helper()
	text := kernelTable(t)
	var files []string
	for _, name := range []string{path, path + "-shm"} {
		var st syscall.Stat_t
		if err := syscall.Stat(name, &st); err != nil {
			t.Fatal(err)
		}
		files = append(files, fmt.Sprintf(":%d", st.Ino))
	}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) != 8 || f[4] != "-1" && f[4] != strconv.Itoa(pid) {
			continue // of others, or asked for in vain
		}
		for i, file := range files {
			if !strings.HasSuffix(f[5], file) {
				continue
			}
			// Readers come and go, and so do their slots (bytes 123 to 127) and
			// checkpoints (byte 121), whose lock is one row with that of the writer.
			if i == 1 && (f[6] >= "121" && f[6] <= "127") {
				continue
			}
			if i == 1 && f[6] == "120" {
				f[7] = "120"
			}
			rows = append(rows, strings.Join(f[1:], " "))
		}
	}
	return rows
}

// kernelTable reads the table. The kernel gives a page of it at a time and counts
// the rows that it has given, so a lock that goes away meanwhile hides another:
// who misses one looks again.
func kernelTable(t *testing.T) string {
	t.Helper()
	file, err := os.Open("/proc/locks")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var text bytes.Buffer
	text.Grow(64 << 10) // os.ReadFile would ask for 512 bytes first, in more pieces
	if _, err := text.ReadFrom(file); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

// lockRows is the rows of one file, whoever has the locks, as any of three readings
// shows them.
func lockRows(t *testing.T, name string) (rows string) {
	t.Helper()
	text := kernelTable(t) + kernelTable(t) + kernelTable(t)
	var st syscall.Stat_t
	if err := syscall.Stat(name, &st); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(text) {
		if strings.Contains(line, fmt.Sprintf(":%d ", st.Ino)) {
			rows += line
		}
	}
	return rows
}

// posixWriteLock takes a lock of the shared memory (https://www.sqlite.org/walformat.html#wal_locks)
// for as long as the process lives and closes no descriptor of the file.
func posixWriteLock(shm string, at int64) error {
	fd, err := syscall.Open(shm, syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return syscall.FcntlFlock(uintptr(fd), syscall.F_SETLK, &syscall.Flock_t{Type: syscall.F_WRLCK, Start: at, Len: 1})
}
