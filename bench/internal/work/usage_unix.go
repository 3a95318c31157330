//go:build unix

package work

import (
	"syscall"
	"time"
)

// used is what this process has used so far.
func used() usage {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return usage{}
	}
	return usage{user: time.Duration(u.Utime.Nano()), system: time.Duration(u.Stime.Nano()), faults: int64(u.Minflt)}
}
