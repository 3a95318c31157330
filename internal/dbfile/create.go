package dbfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// CreatePrivate creates an empty file at path if nothing is there, and reports
// whether it did. mode 0 means 0600; the umask applies. SQLite takes an empty
// file for a new database and gives -wal and -shm the same permissions
// (https://www.sqlite.org/tempfiles.html), so all three are private.
//
// An existing file is not touched, and not an error. On Linux a new one isn't
// opened either. Elsewhere this is the only place that opens a database file
// outside SQLite, and it is safe because of O_EXCL: the descriptor exists only
// if the file did not, so nobody can hold a lock on it that the close would
// cancel.
//
// The directory is flushed, so the new name survives a power cut. If that
// fails, created is true and the error tells why.
func CreatePrivate(path string, mode fs.FileMode) (created bool, err error) {
	if mode == 0 {
		mode = 0o600
	}
	err = createExclusive(path, mode)
	switch {
	case errors.Is(err, fs.ErrExist):
		return false, nil
	case err != nil:
		return false, err
	}
	return true, SyncDir(filepath.Dir(path))
}

// creating is held from the creation of a file until its descriptor is closed.
// It is package state because what it guards is process state: POSIX locks
// belong to the process, so the close would also drop a lock that another
// goroutine has taken on the new file in between. Whoever calls CreatePrivate
// before opening the file can't get into that gap.
var creating sync.Mutex

func createByOpening(path string, mode fs.FileMode) error {
	creating.Lock()
	defer creating.Unlock()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, mode)
	if err != nil {
		return err
	}
	return f.Close()
}
