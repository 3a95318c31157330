//go:build !linux

package locks

import "context"

// Foreign tells which other process has the lock that keeps this one from
// writing. Only Linux tells.
func Foreign(_ context.Context, _, _ string) (p Process, ok bool) { return Process{}, false }

// ForeignReader tells which other process reads in the log. Only Linux tells.
func ForeignReader(_ context.Context, _, _ string, _ []int) (p Process, ok bool) {
	return Process{}, false
}

// Describe tells what the system tells of a process: here nothing.
func Describe(pid int, lock string) Process { return Process{PID: pid, Lock: lock} }
