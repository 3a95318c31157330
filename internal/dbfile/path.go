package dbfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// maxSymlinks is the number of links in a chain after which SQLite's own
// resolution gives up (SQLITE_MAX_SYMLINK); going further would find a file
// that SQLite then can't.
const maxSymlinks = 200

// Resolve returns the absolute path of a database with all symbolic links
// followed, the last element's too. The last element need not exist, nor the
// target of a last element that is a dangling link: then the result is where
// SQLite would create the file.
//
// Two names of one database resolve to one path (unless they are hard links,
// see [CheckLinks]); SQLite resolves links the same way when it names the
// sidecars. Errors answer to [ErrBadName], [ErrNoDirectory], [ErrIsDirectory]
// and [ErrNotRegular].
func Resolve(path string) (string, error) {
	if err := checkText(path); err != nil {
		return "", err
	}
	if os.IsPathSeparator(path[len(path)-1]) {
		return "", refuse(ErrIsDirectory, nil, fmt.Sprintf(
			"%s ends in a separator and so names a directory; add the name of the database file", path))
	}
	at, err := absolute(path)
	if err != nil {
		return "", refuse(ErrNoDirectory, err, fmt.Sprintf(
			"%s can't be made absolute because the working directory is gone (%v); change to an existing directory or give an absolute path", path, err))
	}
	for range maxSymlinks {
		next, done, err := resolveStep(at)
		if err != nil || done {
			return next, err
		}
		at = next
	}
	return "", refuse(ErrBadName, nil, fmt.Sprintf(
		"%s leads through more than %d symbolic links, probably in a circle; correct the links", path, maxSymlinks))
}

// resolveStep resolves the directory of path and, if its last element is a
// link, follows that by one step; done means that no link was left.
func resolveStep(path string) (next string, done bool, err error) {
	dir, base := splitLast(path)
	parent, err := resolveDir(dir)
	if err != nil {
		return "", false, err
	}
	full := filepath.Join(parent, base)
	if base == "." || base == ".." {
		return "", false, isDirectory(full)
	}
	st, err := os.Lstat(full)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return full, true, nil
	case err != nil:
		return "", false, cannotReach(full, err)
	case st.IsDir():
		return "", false, isDirectory(full)
	case st.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(full)
		if err != nil {
			return "", false, cannotReach(full, err)
		}
		if !filepath.IsAbs(target) {
			target = parent + string(filepath.Separator) + target
		}
		return target, false, nil
	case st.Mode()&(fs.ModeDevice|fs.ModeCharDevice|fs.ModeNamedPipe|fs.ModeSocket) != 0:
		return "", false, refuse(ErrNotRegular, nil, fmt.Sprintf(
			"%s is a device, pipe or socket; a database must be a regular file, so choose another name", full))
	}
	return full, true, nil
}

// resolveDir follows all links in the path of a directory, which must exist.
func resolveDir(dir string) (string, error) {
	resolved, err := filepath.EvalSymlinks(dir)
	if err == nil {
		var st fs.FileInfo
		if st, err = os.Stat(resolved); err == nil && !st.IsDir() {
			err = syscall.ENOTDIR
		}
	}
	switch {
	case err == nil:
		return resolved, nil
	case errors.Is(err, fs.ErrNotExist):
		return "", refuse(ErrNoDirectory, err, fmt.Sprintf("the directory %s does not exist; create it first", dir))
	case errors.Is(err, syscall.ENOTDIR):
		return "", refuse(ErrNoDirectory, err, fmt.Sprintf("%s is not a directory, so no database can lie in it; correct the path", dir))
	}
	return "", cannotReach(dir, err)
}

// absolute prefixes the working directory. On Unix it leaves ".." alone, since
// "link/.." is the parent of the link's target and not of the link.
func absolute(path string) (string, error) {
	if filepath.IsAbs(path) {
		return path, nil
	}
	if runtime.GOOS == "windows" {
		return filepath.Abs(path) // knows "C:file" and "\file"; Windows itself resolves ".." by text
	}
	wd, err := os.Getwd()
	if err != nil {
		return "", err
	}
	return wd + string(filepath.Separator) + path, nil
}

// splitLast is filepath.Split without cleaning away "..", and with a directory
// that is never empty.
func splitLast(path string) (dir, base string) {
	dir, base = filepath.Split(path)
	trimmed := strings.TrimRight(dir, string(filepath.Separator))
	if len(trimmed) > len(filepath.VolumeName(dir)) {
		dir = trimmed
	}
	return dir, base
}

// checkText refuses names that no operating system takes.
func checkText(name string) error {
	if name == "" {
		return refuse(ErrBadName, nil, `the database name is empty; give a path, or ":memory:" for a database in memory`)
	}
	if strings.IndexByte(name, 0) >= 0 {
		return refuse(ErrBadName, nil, fmt.Sprintf(
			"the database name %q holds a NUL byte, at which the operating system would cut it off; remove it", name))
	}
	return nil
}

func isDirectory(path string) error {
	return refuse(ErrIsDirectory, nil, fmt.Sprintf("%s is a directory; give the path of a file in it, such as %s",
		path, filepath.Join(path, "app.db")))
}

func cannotReach(path string, err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	if errors.Is(err, syscall.ELOOP) || strings.Contains(err.Error(), "too many links") {
		return refuse(ErrBadName, err, fmt.Sprintf("%s leads through symbolic links in a circle; correct the links", path))
	}
	return fmt.Errorf("%s can't be examined (%w); check the permissions of the directories above it", path, err)
}

// Sidecars returns the names of the files that lie beside the database at
// path: SQLite's own -wal, -shm and -journal (https://www.sqlite.org/tempfiles.html)
// and Holdfast's lock file and socket. path should come from [Resolve], since
// SQLite puts its sidecars beside the file and not beside a link to it.
func Sidecars(path string) (wal, shm, journal, lock, socket string) {
	return path + "-wal", path + "-shm", path + "-journal", path + "-holdfast.lock", path + "-holdfast.sock"
}
