package sidelock

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// Dir is a directory for work that isn't done. Its owner holds a lock in it, so
// that what a killed owner has left can be told from what a live one needs.
type Dir struct {
	path  string
	owner *Lock
}

// abandoned is when a directory whose lock is free is left over, and not one whose
// owner is about to take it.
const abandoned = time.Minute

// NewDir makes a directory, private to the user, whose name begins with prefix, in
// base. It removes those in base that begin so and whose owners are dead, a minute
// after they were made at the earliest; where locks belong to the process (neither
// Linux nor Windows) it can't tell, and removes none. undo, if it is not nil, is
// called with each of them before, to take back what has left it.
func NewDir(base, prefix string, undo func(dir string)) (*Dir, error) {
	sweep(base, prefix, time.Now().Add(-abandoned), undo)
	path, err := os.MkdirTemp(base, prefix)
	if err != nil {
		return nil, err
	}
	d := &Dir{path: path}
	if d.owner, err = Open(d.lock()); err == nil {
		_, err = d.owner.Acquire(context.Background()) // nobody else knows the name
	}
	if err != nil {
		_ = os.RemoveAll(path) // nothing of value is in it yet
		return nil, err
	}
	return d, nil
}

// Path is the path of a name in the directory.
func (d *Dir) Path(name string) string { return filepath.Join(d.path, name) }

func (d *Dir) lock() string { return d.Path("owner" + Suffix) }

// Remove removes the directory and all that is in it. Every connection to a
// database in it must be closed before.
func (d *Dir) Remove() error { return errors.Join(d.owner.Close(), os.RemoveAll(d.path)) }

func sweep(base, prefix string, before time.Time, undo func(dir string)) {
	if runtime.GOOS != "linux" && runtime.GOOS != "windows" {
		return
	}
	entries, err := os.ReadDir(base)
	if err != nil {
		return
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), prefix) || !e.IsDir() {
			continue
		}
		if fi, err := e.Info(); err != nil || fi.ModTime().After(before) {
			continue
		}
		d := Dir{path: filepath.Join(base, e.Name())}
		if d.owner, err = Open(d.lock()); err != nil {
			continue // another user's
		}
		free, err := d.owner.TryAcquire()
		_ = d.owner.Close() // Windows removes no file that is open, and nobody takes up a directory that another made
		if free && err == nil {
			if undo != nil {
				undo(d.path)
			}
			_ = os.RemoveAll(d.path)
		}
	}
}
