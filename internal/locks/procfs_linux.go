package locks

import (
	"bytes"
	"cmp"
	"context"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Foreign tells which other process has the lock that keeps this one from
// writing to a database, by the kernel's table of locks; shm is its shared
// memory, which need not exist. It opens neither. The answer is about this
// moment: the lock may be gone. Processes of other PID namespaces are not seen,
// and an OFD lock (Holdfast's own) only if its owner may be looked at.
func Foreign(ctx context.Context, db, shm string) (p Process, ok bool) {
	files := make(map[string]inode, 2)
	for _, name := range []string{db, shm} {
		var st syscall.Stat_t
		if syscall.Stat(name, &st) == nil {
			files[name] = inode{dev: uint64(st.Dev), ino: st.Ino} //nolint:unconvert // 32 bits on some systems
		}
	}
	table, err := os.ReadFile("/proc/locks")
	if err != nil {
		return Process{}, false
	}
	_, wal := files[shm]
	var found []rangeLock
	for line := range bytes.Lines(table) {
		l, ok := parseLock(string(line))
		if !ok || l.pid == os.Getpid() {
			continue
		}
		if l.file.same(files[shm]) {
			l.name = walLock(l)
		} else if l.file.same(files[db]) {
			l.name = fileLock(l, wal)
		}
		if l.name != "" {
			found = append(found, l)
		}
	}
	slices.SortStableFunc(found, func(a, b rangeLock) int {
		return cmp.Compare(slices.Index(obstacles, a.name), slices.Index(obstacles, b.name))
	})
	for _, l := range found {
		pid := l.pid
		if pid < 0 {
			pid = ofdOwner(ctx, l, db, shm)
		}
		if pid > 0 {
			return Describe(pid, l.name), true
		}
	}
	return Process{}, false
}

// obstacles are the locks that can be in a writer's way, the likeliest first.
var obstacles = []string{"WAL_WRITE", "WAL_RECOVER", "EXCLUSIVE", "PENDING", "RESERVED", "WAL_CKPT", "SHARED"}

type inode struct{ dev, ino uint64 }

// same compares what the lock table says with what stat says. Where a device
// has no number of its own (btrfs, overlay), the two may differ about it.
func (i inode) same(o inode) bool {
	return i.ino == o.ino && o.ino != 0 && (i.dev == o.dev || i.dev>>8&0xfff == 0 && o.dev>>8&0xfff == 0)
}

// rangeLock is a line of the table.
type rangeLock struct {
	pid         int // -1 for an OFD lock
	file        inode
	write       bool
	first, last uint64
	name        string
}

func (l rangeLock) covers(b uint64) bool { return l.first <= b && b <= l.last }

// parseLock reads a line such as
//
//	1: POSIX  ADVISORY  WRITE 4711 08:01:131 120 120
//
// of proc_locks(5). Those of waiters have an arrow after the number.
func parseLock(line string) (l rangeLock, ok bool) {
	f := strings.Fields(line)
	if len(f) != 8 || f[1] != "POSIX" && f[1] != "OFDLCK" {
		return l, false
	}
	id := strings.Split(f[5], ":")
	if len(id) != 3 {
		return l, false
	}
	var errs [6]error
	var major, minor uint64
	l.pid, errs[0] = strconv.Atoi(f[4])
	major, errs[1] = strconv.ParseUint(id[0], 16, 32)
	minor, errs[2] = strconv.ParseUint(id[1], 16, 32)
	l.file.ino, errs[3] = strconv.ParseUint(id[2], 10, 64)
	l.first, errs[4] = strconv.ParseUint(f[6], 10, 64)
	l.last = 1<<64 - 1
	if f[7] != "EOF" {
		l.last, errs[5] = strconv.ParseUint(f[7], 10, 64)
	}
	for _, err := range errs {
		if err != nil {
			return l, false
		}
	}
	l.file.dev = minor&0xff | major&0xfff<<8 | minor&^uint64(0xff)<<12 // as stat packs it
	l.write = f[3] == "WRITE"
	return l, true
}

// walLock names a lock on the shared memory by its byte, see
// https://www.sqlite.org/walformat.html#wal_locks.
func walLock(l rangeLock) string {
	switch {
	case !l.write:
	case l.covers(120):
		return "WAL_WRITE"
	case l.covers(122):
		return "WAL_RECOVER"
	case l.covers(121):
		return "WAL_CKPT"
	}
	return ""
}

// fileLock names a lock on the database itself, see
// https://www.sqlite.org/lockingv3.html. With a log all who have it open share it.
func fileLock(l rangeLock, wal bool) string {
	const pending, reserved, shared = 1 << 30, 1<<30 + 1, 1<<30 + 2
	switch {
	case l.write && l.covers(shared):
		return "EXCLUSIVE"
	case l.write && l.covers(pending):
		return "PENDING"
	case l.write && l.covers(reserved):
		return "RESERVED"
	case !wal && l.covers(shared):
		return "SHARED"
	}
	return ""
}

// ofdOwner looks for the process that has an OFD lock, which the table does not
// tell, among those that have one of the files open.
func ofdOwner(ctx context.Context, want rangeLock, names ...string) int {
	processes, err := os.ReadDir("/proc")
	if err != nil {
		return 0
	}
	for _, p := range processes {
		if ctx.Err() != nil {
			return 0
		}
		pid, err := strconv.Atoi(p.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		dir := "/proc/" + p.Name()
		descriptors, err := os.ReadDir(dir + "/fd")
		if err != nil { // another user's, or gone
			continue
		}
		for _, d := range descriptors {
			target, err := os.Readlink(dir + "/fd/" + d.Name())
			if err != nil || !slices.ContainsFunc(names, func(n string) bool { return path.Base(n) == path.Base(target) }) {
				continue
			}
			if info, err := os.ReadFile(dir + "/fdinfo/" + d.Name()); err == nil && hasLock(string(info), want) {
				return pid
			}
		}
	}
	return 0
}

// hasLock tells whether the fdinfo of a descriptor has a lock.
func hasLock(info string, want rangeLock) bool {
	for line := range strings.Lines(info) {
		text, ok := strings.CutPrefix(line, "lock:")
		if !ok {
			continue
		}
		l, ok := parseLock(text)
		if ok && l.pid == want.pid && l.file == want.file && l.write == want.write && l.first == want.first && l.last == want.last {
			return true
		}
	}
	return false
}

var states = map[string]string{
	"R": "running", "S": "sleeping", "D": "waiting for a device", "T": "stopped", "t": "traced", "Z": "zombie", "I": "idle", "X": "dead",
}

// Describe tells what the system tells of a process.
func Describe(pid int, lock string) Process {
	p := Process{PID: pid, Lock: lock}
	dir := "/proc/" + strconv.Itoa(pid)
	if name, err := os.ReadFile(dir + "/comm"); err == nil {
		p.Program = strings.TrimSpace(string(name))
	}
	if stat, err := os.ReadFile(dir + "/stat"); err == nil {
		// The name stands in parentheses and may have any in it.
		if f := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])); len(f) > 0 {
			p.State = states[f[0]]
		}
	}
	return p
}
