package dbfile

import (
	"fmt"
	"io/fs"
	"path/filepath"
)

// Writable returns nil if this process may write the database at path, its
// existing sidecars, and the directory, in which SQLite must create -wal and
// -shm even to read (https://www.sqlite.org/wal.html#readonly). The database
// itself may be missing. Otherwise the error is one sentence that tells what
// is in the way; it answers to [ErrReadOnly], to [fs.ErrPermission] unless the
// mount is the reason, or to [ErrNoDirectory].
//
// The check asks the kernel by access(2) with the process's effective rights
// and opens nothing. On Windows it looks at the read-only attribute of the
// files only; access lists aren't consulted.
func Writable(path string) error {
	if err := checkText(path); err != nil {
		return err
	}
	return writable(path)
}

// Readable returns nil if this process may read the existing database at path,
// else one sentence that answers to [ErrUnreadable] and [fs.ErrPermission]. It
// asks as [Writable] does and opens nothing; on Windows it knows no obstacle.
func Readable(path string) error {
	if err := checkText(path); err != nil {
		return err
	}
	return readable(path)
}

// denied words the refusal of one path: what is the matter, and a hint at the
// way out.
func denied(path, what, hint string, cause error) error {
	return refuse(ErrReadOnly, cause, fmt.Sprintf("%s %s; %s", path, what, hint))
}

// needsDirectory says why a database isn't one file.
func needsDirectory(path string) string {
	base := filepath.Base(path)
	return fmt.Sprintf("WAL mode creates %s-wal and %s-shm there, so own the directory and not only the file", base, base)
}

// describe tells owner and mode of a file for a message, as far as known.
func describe(path string) string {
	_, info, err := Identify(path)
	switch {
	case err != nil:
		return "its owner can't be seen"
	case info.Owner < 0:
		return fmt.Sprintf("mode %s", info.Mode)
	}
	return fmt.Sprintf("owner uid %d, mode %s", info.Owner, permissions(info.Mode))
}

// permissions writes the bits as chmod takes them.
func permissions(mode fs.FileMode) string { return fmt.Sprintf("%04o", mode.Perm()) }
