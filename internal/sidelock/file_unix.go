//go:build unix && !aix

package sidelock

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	supported = true
	// POSIX lets a part of a locked range be unlocked.
	rangesSplit = true
)

// lockFile holds the descriptor as a bare number: os.File's methods would add
// their own locking to each of the few system calls of a turn.
type lockFile struct {
	fd     int
	record [recordSize]byte // what this process writes as holder
	seen   [recordSize]byte // what it found written; here, so that reading doesn't allocate
}

func openLockFile(path string) (*lockFile, error) {
	if err := checkExisting(path); err != nil {
		return nil, err
	}
	fd, err := openOrCreate(path)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return &lockFile{fd: fd, record: newRecord(os.Getpid())}, nil
}

// checkExisting looks before the file is opened, because if it is another name
// of the database, opening and closing it would already do the harm.
func checkExisting(path string) error {
	var st unix.Stat_t
	err := unix.Lstat(path, &st)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return &fs.PathError{Op: "lstat", Path: path, Err: err}
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return fmt.Errorf("%s is not a regular file; remove it, it is no lock file of Holdfast's", path)
	case st.Nlink > 1:
		return fmt.Errorf("%s has another name (hard link); remove it, Holdfast makes a new one", path)
	}
	return nil
}

func openOrCreate(path string) (int, error) {
	const flags = unix.O_RDWR | unix.O_NOFOLLOW | unix.O_CLOEXEC
	for {
		fd, err := retry(func() (int, error) { return unix.Open(path, flags, 0) })
		if err != unix.ENOENT {
			return fd, err
		}
		fd, err = retry(func() (int, error) { return unix.Open(path, flags|unix.O_CREAT|unix.O_EXCL, 0o600) })
		if err == nil {
			matchDatabase(fd, strings.TrimSuffix(path, Suffix))
		}
		if err != unix.EEXIST { // else another process was faster
			return fd, err
		}
	}
}

// matchDatabase gives a new lock file owner and mode of the database, as SQLite
// does with -wal and -shm: else one command run by root would leave a file that
// the service, running as somebody else, can't open. What can't be changed
// stays private, and whoever is shut out learns it from Open.
func matchDatabase(fd int, database string) {
	var st unix.Stat_t
	if unix.Stat(database, &st) != nil {
		return
	}
	if os.Geteuid() == 0 {
		_ = unix.Fchown(fd, int(st.Uid), int(st.Gid))
	}
	_ = unix.Fchmod(fd, uint32(st.Mode)&0o666)
}

// tryLock takes n bytes from offset at, without waiting. The bytes needn't
// exist. What this Lock holds already counts as free.
func (f *lockFile) tryLock(at, n int64) (bool, error) {
	err := f.setlk(unix.F_WRLCK, at, n)
	if err == unix.EAGAIN || err == unix.EACCES {
		return false, nil
	}
	return err == nil, os.NewSyscallError("fcntl", err)
}

func (f *lockFile) unlock(at, n int64) error {
	return os.NewSyscallError("fcntl", f.setlk(unix.F_UNLCK, at, n))
}

func (f *lockFile) setlk(kind int16, at, n int64) error {
	lk := unix.Flock_t{Type: kind, Whence: io.SeekStart, Start: at, Len: n}
	for {
		err := unix.FcntlFlock(uintptr(f.fd), cmdSetlk, &lk)
		if err != unix.EINTR {
			return err
		}
	}
}

// waiting reports whether somebody waits for the turn.
func (f *lockFile) waiting() (bool, error) {
	lk := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart, Start: next, Len: places - next}
	err := unix.FcntlFlock(uintptr(f.fd), cmdGetlk, &lk)
	return lk.Type != unix.F_UNLCK, os.NewSyscallError("fcntl", err)
}

// sign notes this process as holder, at the place of a note. Reading first keeps
// a process that is alone from making the file dirty with every transaction.
// Errors don't matter: the note only serves messages, and a full disk must not
// keep anybody from writing what makes room.
func (f *lockFile) sign(note int64) {
	if n, err := unix.Pread(f.fd, f.seen[:], note); err == nil && n == recordSize && f.seen == f.record {
		return
	}
	_, _ = unix.Pwrite(f.fd, f.record[:], note)
}

// holder asks the kernel whether a byte is taken, and by whom; for an OFD lock,
// which belongs to no process, the kernel answers -1 and the note helps.
func (f *lockFile) holder(at, note int64) (pid int, ok bool) {
	lk := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart, Start: at, Len: 1}
	if err := unix.FcntlFlock(uintptr(f.fd), cmdGetlk, &lk); err != nil || lk.Type == unix.F_UNLCK {
		return 0, false
	}
	if lk.Pid > 0 {
		return int(lk.Pid), true
	}
	var found [recordSize]byte
	if n, err := unix.Pread(f.fd, found[:], note); err != nil || n != recordSize {
		return 0, false
	}
	return parseRecord(found)
}

func (f *lockFile) readAt(b []byte, at int64) (int, error) { return unix.Pread(f.fd, b, at) }

func (f *lockFile) writeAt(b []byte, at int64) error {
	_, err := unix.Pwrite(f.fd, b, at)
	return os.NewSyscallError("pwrite", err)
}

func (f *lockFile) close() error { return unix.Close(f.fd) }

// retry calls open again while a signal interrupts it.
func retry(open func() (int, error)) (int, error) {
	for {
		fd, err := open()
		if err != unix.EINTR {
			return fd, err
		}
	}
}
