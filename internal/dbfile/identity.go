package dbfile

import (
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"
)

// ID names a file independently of its path: two paths with the same ID are
// the same file, and a path whose ID changed leads to another file than
// before. An ID is comparable and may be a map key. The zero ID names no file.
//
// An inode number is used again once its file is deleted and closed
// everywhere, so an ID identifies a file only while somebody holds it open.
//
// On Windows Dev is the volume's serial number and Ino the file index.
type ID struct {
	Dev, Ino uint64
}

// String returns the ID in the form "dev:ino", both in hexadecimal.
func (id ID) String() string { return fmt.Sprintf("%x:%x", id.Dev, id.Ino) }

// Info is what stat tells about a file.
type Info struct {
	Size    int64       // in bytes
	Mode    fs.FileMode // type and permission bits
	Links   uint64      // number of hard links, 0 if unknown
	ModTime time.Time
	Owner   int // numeric user id, -1 where there is none
}

// IsRegular reports whether the file is a regular file.
func (i Info) IsRegular() bool { return i.Mode.IsRegular() }

// Identify returns the identity and the attributes of the file at path,
// symbolic links followed. It never opens the file, so it may be called at any
// time, also while this process holds locks on it. A missing file is an error
// that [errors.Is] finds to be [fs.ErrNotExist].
func Identify(path string) (ID, Info, error) {
	st, err := os.Stat(path)
	if err != nil {
		return ID{}, Info{}, err
	}
	info := Info{Size: st.Size(), Mode: st.Mode(), ModTime: st.ModTime(), Owner: -1}
	id, err := identify(path, st, &info)
	if err != nil {
		return ID{}, Info{}, err
	}
	return id, info, nil
}

// CheckLinks refuses a file that has more than one hard link with
// [ErrHardLinked]. SQLite finds the -wal and the journal by the name of the
// database, so a process that comes by the second name recovers with other
// sidecars than the first and both lose data. path is for the message only.
func CheckLinks(info Info, path string) error {
	if info.Links <= 1 || !info.IsRegular() {
		return nil
	}
	return refuse(ErrHardLinked, nil, fmt.Sprintf(
		"%s has %d hard links: each name would get its own -wal file and commits would be lost; "+
			"keep one name (find the others with: find <mount> -samefile %s) and use symbolic links for the rest",
		path, info.Links, quoteShell(path)))
}

// quoteShell quotes a path so that the command in a message can be pasted.
func quoteShell(path string) string {
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
