//go:build unix && !linux && !aix

package sidelock

import "golang.org/x/sys/unix"

// POSIX locks belong to the process and are dropped when it closes any
// descriptor of the file. That is safe here because nothing but Open ever
// opens a lock file, once per path, and nothing but Close closes it; its name
// is no SQLite file's.
const (
	cmdSetlk = unix.F_SETLK
	cmdGetlk = unix.F_GETLK
)
