package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// wakeTerminal wakes whoever writes to f, if it is a terminal. At Ctrl-C Linux throws
// away what the terminal has not shown yet and wakes nobody who waits for room there.
// The signal would, but of several threads another one may get it: then the writer
// sleeps although there is room, and never asks whether it was cancelled. Setting the
// mode that the terminal has is what wakes it, and it can't come before the flush, which
// holds the lock that both calls take (drivers/tty/n_tty.c: isig, n_tty_set_termios).
// In the background it is left alone: setting a mode there stops the process.
func wakeTerminal(f *os.File) {
	fd := int(f.Fd())
	if group, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP); err != nil || group != unix.Getpgrp() {
		return
	}
	if mode, err := unix.IoctlGetTermios(fd, unix.TCGETS); err == nil {
		_ = unix.IoctlSetTermios(fd, unix.TCSETS, mode)
	}
}
