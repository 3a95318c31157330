package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Names in the directory of a backup that isn't done. Such directories begin with
// PartialDirs.
const (
	PartialDirs = ".holdfast-partial-"
	CopyName    = "copy.db"

	writtenName = "manifest.json"
)

// Publish gives the copy in dir the name that its manifest says, and puts the
// manifest beside it. The manifest goes first, and only where none is, so that it
// belongs to this copy: whatever happens in between, no copy has a manifest that
// isn't its own. An existing file is an error that answers to fs.ErrExist.
func Publish(dir string, m Manifest, syncDir func(dir string) error) error {
	written, name := filepath.Join(dir, writtenName), m.Destination+Suffix
	text := m.Encode()
	if err := write(written, text); err != nil {
		return err
	}
	err := os.Link(written, name)
	if err != nil && !errors.Is(err, fs.ErrExist) { // a file system without hard links
		err = write(name, text)
	}
	if err != nil {
		return fmt.Errorf("%w; it belongs to no backup or to another: remove it, or name another file", err)
	}
	if _, e := os.Lstat(m.Destination); !errors.Is(e, fs.ErrNotExist) {
		err = &fs.PathError{Op: "create", Path: m.Destination, Err: fs.ErrExist}
	} else {
		err = os.Rename(filepath.Join(dir, CopyName), m.Destination)
	}
	if err != nil {
		return errors.Join(err, os.Remove(name))
	}
	return syncDir(filepath.Dir(m.Destination))
}

func write(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Sync(), f.Close())
}

// Undo takes back what the dead owner of dir may have published: a manifest whose
// copy is still in dir.
func Undo(dir string) {
	text, err := os.ReadFile(filepath.Join(dir, writtenName))
	if err != nil {
		return
	}
	m, err := Decode(text)
	if err != nil {
		return
	}
	if _, err := os.Lstat(filepath.Join(dir, CopyName)); err != nil {
		return
	}
	name := m.Destination + Suffix
	if published, err := os.ReadFile(name); err == nil && bytes.Equal(published, text) {
		_ = os.Remove(name) // the next one tries again
	}
}
