package sidelock

import (
	"fmt"
	"os"

	"golang.org/x/sys/windows"
)

const (
	supported = true
	// Windows unlocks only what was locked in one call.
	rangesSplit = false
)

type lockFile struct {
	file   *os.File
	handle windows.Handle
	record [recordSize]byte // what this process writes as holder
	seen   [recordSize]byte // what it found written
}

// openLockFile: FILE_FLAG_OPEN_REPARSE_POINT would open a link itself; looking
// first refuses it with a sentence.
func openLockFile(path string) (*lockFile, error) {
	if st, err := os.Lstat(path); err == nil && !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file; remove it, it is no lock file of Holdfast's", path)
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	return &lockFile{file: file, handle: windows.Handle(file.Fd()), record: newRecord(os.Getpid())}, nil
}

func (f *lockFile) tryLock(at, n int64) (bool, error) {
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	err := windows.LockFileEx(f.handle, flags, 0, uint32(n), 0, &windows.Overlapped{Offset: uint32(at)})
	if err == windows.ERROR_LOCK_VIOLATION || err == windows.ERROR_IO_PENDING {
		return false, nil
	}
	return err == nil, err
}

func (f *lockFile) unlock(at, n int64) error {
	return windows.UnlockFileEx(f.handle, 0, uint32(n), 0, &windows.Overlapped{Offset: uint32(at)})
}

// waiting reports whether somebody waits for the turn, or at least was there
// at the moment: whoever has just joined is still on the way to this place.
func (f *lockFile) waiting() (bool, error) {
	free, err := f.tryLock(next, 1)
	if free {
		err = f.unlock(next, 1)
	}
	return !free, err
}

// sign: see the Unix version.
func (f *lockFile) sign(note int64) {
	if n, err := f.file.ReadAt(f.seen[:], note); err == nil && n == recordSize && f.seen == f.record {
		return
	}
	_, _ = f.file.WriteAt(f.record[:], note)
}

// holder finds out whether a byte is taken by trying to take it for a moment; a
// waiter that polls in that moment simply polls again.
func (f *lockFile) holder(at, note int64) (pid int, ok bool) {
	free, err := f.tryLock(at, 1)
	if free {
		_ = f.unlock(at, 1)
	}
	if free || err != nil {
		return 0, false
	}
	var found [recordSize]byte
	if n, err := f.file.ReadAt(found[:], note); err != nil || n != recordSize {
		return 0, false
	}
	return parseRecord(found)
}

func (f *lockFile) readAt(b []byte, at int64) (int, error) { return f.file.ReadAt(b, at) }

func (f *lockFile) writeAt(b []byte, at int64) error {
	_, err := f.file.WriteAt(b, at)
	return err
}

func (f *lockFile) close() error { return f.file.Close() }
