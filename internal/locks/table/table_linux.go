package table

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// readings is how often a table is read that does not come in one piece. With 300
// locks held all the time while 40 others came and went without a pause, one was
// out of sight in 140 of 1,000 readings, in 16 of two and in 0 to 1 of three.
const readings = 3

// Read reads the kernel's lock table. The kernel hands it out a page at a time,
// and finds its place again by counting rows: a lock that goes away in between
// hides another one, and one that comes shows another twice. So a table of more
// than a page is read several times, and the answer is what any of them shows.
func Read() ([]Row, error) {
	text, pieces, err := readLocks()
	if err != nil {
		return nil, fmt.Errorf("read the lock table: %w", err)
	}
	rows := Parse(text)
	if pieces < 2 {
		return rows, nil
	}
	seen := make(map[Row]struct{}, len(rows))
	rows = slices.DeleteFunc(rows, func(r Row) bool { return !news(seen, r) })
	for range readings - 1 {
		if text, _, err = readLocks(); err != nil {
			return nil, fmt.Errorf("read the lock table: %w", err)
		}
		for _, r := range Parse(text) {
			if news(seen, r) {
				rows = append(rows, r)
			}
		}
	}
	return rows, nil
}

func news(seen map[Row]struct{}, r Row) bool {
	before := len(seen)
	seen[r] = struct{}{}
	return len(seen) > before
}

// readLocks returns the table and in how many pieces it came.
func readLocks() (text string, pieces int, err error) {
	file, err := os.Open("/proc/locks")
	if err != nil {
		return "", 0, err
	}
	defer file.Close()
	var all []byte
	page := make([]byte, 64<<10)
	for {
		n, err := file.Read(page)
		all = append(all, page[:n]...)
		switch {
		case errors.Is(err, io.EOF):
			return string(all), pieces, nil
		case err != nil:
			return "", 0, err
		}
		pieces++
	}
}

// Info reads the locks that a descriptor of a process tells of.
func Info(pid int, fd string) ([]Row, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%s", pid, fd))
	return ParseInfo(string(text)), err
}

// initialNamespace is the number that the kernel gives to the PID namespace of
// the machine itself (PROC_PID_INIT_INO).
const initialNamespace = "pid:[4026531836]"

// Whole tells whether the table has the locks of the whole machine: in a PID
// namespace it leaves out those of the others.
func Whole() bool {
	ns, err := os.Readlink("/proc/self/ns/pid")
	return err == nil && ns == initialNamespace
}

// File identifies a file the way the table does. The table has the device of
// the file system itself; stat, on Btrfs and overlays, another one. The zero File
// is none.
type File struct {
	inode   uint64
	devices [2]uint64 // by stat and by the mount table
}

// Is tells whether the inode of a device is the file's.
func (f File) Is(inode, device uint64) bool {
	return f.inode != 0 && f.inode == inode && slices.Contains(f.devices[:], device)
}

// Has tells whether a lock is on the file.
func (f File) Has(r Row) bool { return f.Is(r.Inode, unix.Mkdev(r.Major, r.Minor)) }

// Identify finds out, by stat, what files are called in the table that stand in
// the directory of the first one.
func Identify(names ...string) []File {
	device, known := mountDevice(names[0])
	files := make([]File, len(names))
	for i, name := range names {
		var st unix.Stat_t
		if unix.Stat(name, &st) != nil {
			continue
		}
		files[i] = File{st.Ino, [2]uint64{uint64(st.Dev), uint64(st.Dev)}} //nolint:unconvert // its width differs between architectures
		if known {
			files[i].devices[1] = device
		}
	}
	return files
}

// mountDevice is the device that the mount table has for the file system of a
// path. Kernels before 5.8 don't tell which mount it is.
func mountDevice(path string) (device uint64, known bool) {
	var stx unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, unix.AT_STATX_DONT_SYNC, unix.STATX_MNT_ID, &stx)
	if err != nil || stx.Mask&unix.STATX_MNT_ID == 0 {
		return 0, false
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return 0, false
	}
	return deviceOf(string(mounts), strconv.FormatUint(stx.Mnt_id, 10))
}

// deviceOf finds the device of a mount in a mount table (proc_pid_mountinfo(5)):
//
//	36 35 98:0 /root /mount rw,noatime master:1 - ext3 /dev/root rw
func deviceOf(mounts, mount string) (device uint64, known bool) {
	for line := range strings.Lines(mounts) {
		f := strings.Fields(line)
		if len(f) < 3 || f[0] != mount {
			continue
		}
		a, b, _ := strings.Cut(f[2], ":")
		major, err1 := strconv.ParseUint(a, 10, 32)
		minor, err2 := strconv.ParseUint(b, 10, 32)
		return unix.Mkdev(uint32(major), uint32(minor)), err1 == nil && err2 == nil
	}
	return 0, false
}

// Process is what /proc tells of a process.
type Process struct {
	Program string // without arguments
	State   string // "running", "sleeping", "stopped", ...; "" if it can't be seen
	Started uint64 // tells it from a later one of the same number
}

// Describe looks at a process. What can't be seen is left empty.
func Describe(pid int) (p Process) {
	dir := "/proc/" + strconv.Itoa(pid)
	if name, err := os.ReadFile(dir + "/comm"); err == nil {
		p.Program = strings.TrimSuffix(string(name), "\n")
	}
	if stat, err := os.ReadFile(dir + "/stat"); err == nil {
		p.State, p.Started = parseStat(string(stat))
	}
	return p
}

// states are those of proc_pid_stat(5).
var states = map[string]string{
	"R": "running", "S": "sleeping", "D": "waiting for the disk", "T": "stopped", "t": "traced", "Z": "zombie", "X": "dead", "I": "idle",
}

// parseStat reads the state and the start time out of /proc/PID/stat. The
// name in front may contain anything, parentheses too.
func parseStat(text string) (state string, started uint64) {
	f := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(f) < 20 {
		return "", 0
	}
	started, _ = strconv.ParseUint(f[19], 10, 64)
	return states[f[0]], started
}

// Unreadable tells whether there is no table here for this process.
func Unreadable(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)
}
