package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfastdb/holdfast/internal/dbfile"
	"golang.org/x/sys/unix"
)

// initialPIDs is the first PID namespace; its number is the same on every
// kernel. From any other one the locks of its neighbours can't be seen.
const initialPIDs = "pid:[4026531836]"

// watch asks /proc who uses the database.
func (p *patient) watch() {
	w := &p.watched
	w.readers = map[int]int{}
	space, err := os.Readlink("/proc/self/ns/pid")
	table, err2 := os.ReadFile("/proc/locks")
	w.sees = err == nil && err2 == nil && space == initialPIDs
	for line := range strings.Lines(string(table)) {
		if l, ok := parseLock(line); ok {
			p.note(l)
		}
	}
	p.descriptors()
	slices.Sort(w.users)
	w.users = slices.Compact(w.users)
}

type fileLock struct {
	pid         int // -1 for open file description locks
	write       bool
	device      string // as the kernel prints it
	inode       uint64
	first, last int64
}

// parseLock reads a line such as
// "3: POSIX  ADVISORY  WRITE 2716 fd:01:123456 1073741825 1073741825". A line
// with an arrow waits and holds nothing.
func parseLock(line string) (l fileLock, ok bool) {
	f := strings.Fields(line)
	if len(f) < 8 || f[1] == "->" || f[1] != "POSIX" && f[1] != "OFDLCK" {
		return l, false
	}
	device, inode, found := cutLast(f[5], ":")
	if !found {
		return l, false
	}
	l.write, l.device, l.last = f[3] == "WRITE", device, 1<<62
	var errs [3]error
	l.pid, errs[0] = strconv.Atoi(f[4])
	l.inode, errs[1] = strconv.ParseUint(inode, 10, 64)
	l.first, errs[2] = strconv.ParseInt(f[6], 10, 64)
	if f[7] != "EOF" {
		if last, err := strconv.ParseInt(f[7], 10, 64); err == nil {
			l.last = last
		}
	}
	return l, errs == [3]error{}
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// is tells whether the lock is on a file. Layered file systems show the device
// of another layer, so there the inode has to do.
func (l fileLock) is(id dbfile.ID, layered bool) bool {
	return l.inode == id.Ino && (layered || l.device == fmt.Sprintf("%02x:%02x", unix.Major(id.Dev), unix.Minor(id.Dev)))
}

func (l fileLock) covers(b int64) bool { return l.first <= b && b <= l.last }

func (p *patient) note(l fileLock) {
	w := &p.watched
	layered := p.fs.Type == "overlay" || p.fs.Type == "btrfs"
	switch {
	case l.is(p.id, layered):
		w.users = append(w.users, max(l.pid, 0))
		w.writes = w.writes || l.write && (l.covers(reservedByte) || l.covers(sharedFirst))
	case p.shm != nil && l.is(p.shm.id, layered):
		w.users = append(w.users, max(l.pid, 0))
		if l.write && l.covers(shmWrite) {
			w.writes, w.writer = true, l.pid
		}
		for slot := range 5 {
			if !l.write && l.covers(int64(shmReader+slot)) {
				w.readers[slot] = l.pid
			}
		}
	}
}

// descriptors looks for processes that have the files open, as far as their
// descriptors may be seen.
func (p *patient) descriptors() {
	names, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return
	}
	for _, name := range names {
		target, err := os.Readlink(name)
		if err != nil || !strings.HasPrefix(target, p.path) {
			continue
		}
		rest := target[len(p.path):]
		base, deleted := strings.CutSuffix(rest, " (deleted)")
		if base != "" && base != "-wal" && base != "-shm" && base != "-journal" {
			continue
		}
		pid, _ := strconv.Atoi(strings.Split(name, "/")[2])
		switch {
		case deleted && (base == "" || base == "-wal"):
			p.watched.gone = append(p.watched.gone, openedGone{pid, p.path + base})
		case !deleted:
			p.watched.users = append(p.watched.users, pid)
		}
	}
}

// descriptorsHere tells whether this process has the file open.
func descriptorsHere(id dbfile.ID) bool {
	names, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		return false
	}
	for _, name := range names {
		if have, err := dbfile.Look(name); err == nil && have == id {
			return true
		}
	}
	return false
}
