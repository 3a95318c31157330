package replicate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/gofrs/flock"
	"github.com/holdfastdb/holdfast"
)

// stateLock keeps a second replication of the same database away, in this process or
// another: two of them would remove each other's files.
type stateLock struct {
	file *flock.Flock
	made string // the directory, if it was not there before
}

func lockState(dir, path string) (*stateLock, error) {
	l := &stateLock{made: dir}
	if err := os.Mkdir(dir, 0o700); errors.Is(err, fs.ErrExist) {
		l.made = ""
	} else if err != nil {
		return nil, err
	}
	l.file = flock.New(filepath.Join(dir, "holdfast.lock"), flock.SetPermissions(0o600))
	free, err := l.file.TryLock()
	if err != nil {
		return nil, err
	}
	if !free {
		return nil, fmt.Errorf("%w: %s is being replicated already, by another process or by this one; end that replication first", holdfast.ErrBusy, path)
	}
	return l, nil
}

func (l *stateLock) release() error { return l.file.Close() }

// undo releases it after a replication that did not begin. A directory that was not there
// goes again: it tells everybody to leave the log alone.
func (l *stateLock) undo() error {
	if l.made != "" && runtime.GOOS != "windows" { // where an open file can't be removed
		_ = os.Remove(l.file.Path())
	}
	err := l.release()
	if l.made != "" {
		_ = os.Remove(filepath.Join(l.made, ownershipName))
		_ = os.Remove(l.file.Path())
		_ = os.Remove(l.made)
	}
	return err
}

// beside refuses a target that Litestream would mix up with what it keeps beside the database.
func (t target) beside(path string) error {
	if t.dir == "" {
		return nil
	}
	state := stateDir(path)
	if rel, err := filepath.Rel(state, t.dir); err == nil && (rel == "." || rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))) {
		return fmt.Errorf("%w: the target %s is where the replication keeps its own state: name another directory", holdfast.ErrRefused, t.dir)
	}
	return nil
}
