package sidelock

import "golang.org/x/sys/unix"

// Open file description locks belong to the descriptor, not the process: no
// close elsewhere in the process drops them, and two Locks of one path exclude
// each other.
const (
	cmdSetlk = unix.F_OFD_SETLK
	cmdGetlk = unix.F_OFD_GETLK
)
