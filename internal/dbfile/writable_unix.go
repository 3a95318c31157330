//go:build unix

package dbfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

func writable(path string) error {
	if err := directoryWritable(path); err != nil {
		return err
	}
	wal, shm, journal, _, _ := Sidecars(path)
	for _, file := range []string{path, wal, shm, journal} {
		if err := fileWritable(file); err != nil {
			return err
		}
	}
	return nil
}

func readable(path string) error {
	err := access(path, unix.R_OK)
	if err == nil || !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return refuse(ErrUnreadable, err, fmt.Sprintf("%s can't be read by uid %d (%s); give the file to the user that runs this program, or change its mode",
		path, os.Geteuid(), describe(path)))
}

// WAL mode can't even read there, because it creates -wal and -shm.
const readOnlyMountHint = "remount it writable, or, if nobody else writes the file, open it as file:NAME?immutable=1"

func directoryWritable(path string) error {
	dir := filepath.Dir(path)
	// The dot makes a plain file in the place of the directory an error.
	err := access(dir+"/.", unix.W_OK|unix.X_OK)
	if err == nil {
		return nil
	}
	if _, err := resolveDir(dir); err != nil {
		return err
	}
	switch {
	case errors.Is(err, unix.EROFS):
		return denied(dir, "is on a read-only mount", readOnlyMountHint, err)
	case errors.Is(err, fs.ErrPermission):
		return denied(dir, fmt.Sprintf("is a directory that uid %d can't write (%s)", os.Geteuid(), describe(dir)), needsDirectory(path), err)
	}
	return cannotReach(dir, err)
}

func fileWritable(file string) error {
	err := access(file, unix.R_OK|unix.W_OK)
	switch {
	case err == nil, errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, unix.EROFS):
		return denied(file, "is on a read-only mount", readOnlyMountHint, err)
	case errors.Is(err, fs.ErrPermission):
		return denied(file, fmt.Sprintf("can't be read and written by uid %d (%s)", os.Geteuid(), describe(file)),
			"give the file to the user that runs this program, or change its mode", err)
	}
	return cannotReach(file, err)
}

// access asks with the effective ids, with which SQLite will open the file;
// plain access(2) would answer for the user who called a setuid program.
func access(path string, mode uint32) error {
	for {
		err := unix.Faccessat(unix.AT_FDCWD, path, mode, unix.AT_EACCESS)
		if err != unix.EINTR {
			return err
		}
	}
}
