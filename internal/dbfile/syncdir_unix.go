//go:build unix

package dbfile

import (
	"errors"
	"os"
	"syscall"
)

// SyncDir makes the names in the directory dir durable: files created, renamed
// or removed there before the call are so after a power cut too. It waits for
// the disk. File systems that can't flush a directory are not an error.
func SyncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}
