//go:build !linux

package holdfast_test

import (
	"errors"
	"testing"
)

// lockTable is empty where the kernel shows none.
type lockTable []string

func tableOf(*testing.T, int, string) lockTable { return nil }

func posixWriteLock(string, int64) error { return errors.ErrUnsupported } // SQLite takes it itself
