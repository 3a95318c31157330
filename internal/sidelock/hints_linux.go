package sidelock

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// What a waiter can be told.
const (
	givenBack = unix.IN_ACCESS // the turn is free
	passedOn  = unix.IN_MODIFY // somebody else has it, so everybody behind can move up
)

// hints tells a waiter when to look, so that nobody has to look all the time:
// whoever gives the turn back reads a byte of the lock file, whoever gets it
// writes a note there (sign), and inotify reports both. It is only a
// hint: a process that is killed gives none, so there is always a time limit.
//
// The descriptor is made at the first wait; the zero value is ready. A user
// has a limited number of them (fs.inotify.max_user_instances, at least 128).
type hints struct {
	file  *os.File
	fd    int // of file, for the calls that os.File doesn't have
	path  string
	found [1024]byte

	unavailable bool // it was tried in vain
}

// expect makes wait end at the event; false: hints can't be had.
func (h *hints) expect(lock *lockFile, event uint32) bool {
	if h.unavailable {
		return false
	}
	if h.file == nil {
		fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
		if err != nil {
			h.unavailable = true
			return false
		}
		h.file, h.fd = os.NewFile(uintptr(fd), "inotify"), fd
		h.path = fmt.Sprintf("/proc/self/fd/%d", lock.fd)
	}
	_, err := unix.InotifyAddWatch(h.fd, h.path, event)
	h.unavailable = err != nil // no /proc, perhaps
	return err == nil
}

// wait returns at an event, or after limit.
func (h *hints) wait(limit time.Duration) {
	if h.file.SetReadDeadline(time.Now().Add(limit)) != nil {
		time.Sleep(limit)
		return
	}
	_, _ = h.file.Read(h.found[:])
}

// rest lets no event come any more.
func (h *hints) rest(lock *lockFile) {
	if h.file != nil {
		_ = h.expect(lock, unix.IN_DELETE_SELF) // this doesn't happen to a lock file
	}
}

func (h *hints) close() error {
	if h.file == nil {
		return nil
	}
	return h.file.Close()
}

// hintGivenBack tells whoever is next.
func (f *lockFile) hintGivenBack() { _, _ = unix.Pread(f.fd, f.seen[:1], recordAt) }
