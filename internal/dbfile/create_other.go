//go:build !linux

package dbfile

import "io/fs"

func createExclusive(path string, mode fs.FileMode) error { return createByOpening(path, mode) }
