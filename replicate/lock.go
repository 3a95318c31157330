package replicate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"
	"github.com/holdfastdb/holdfast"
)

// stateLock keeps a second replication of the same database away, in this process or
// another: two of them would remove each other's files.
type stateLock struct{ file *flock.Flock }

func lockState(dir, path string) (*stateLock, error) {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	f := flock.New(filepath.Join(dir, "holdfast.lock"), flock.SetPermissions(0o600))
	free, err := f.TryLock()
	if err != nil {
		return nil, err
	}
	if !free {
		return nil, fmt.Errorf("%w: %s is being replicated already, by another process or by this one; end that replication first", holdfast.ErrBusy, path)
	}
	return &stateLock{f}, nil
}

func (l *stateLock) release() error { return l.file.Close() }

// beside refuses a target that Litestream would mix up with what it keeps beside the database.
func (t target) beside(path string) error {
	if t.dir == "" {
		return nil
	}
	dir, base := filepath.Split(path)
	state := filepath.Join(dir, "."+base+"-litestream")
	if rel, err := filepath.Rel(state, t.dir); err == nil && (rel == "." || rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))) {
		return fmt.Errorf("%w: the target %s is where the replication keeps its own state: name another directory", holdfast.ErrRefused, t.dir)
	}
	return nil
}
