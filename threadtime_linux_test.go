package holdfast_test

import (
	"time"

	"golang.org/x/sys/unix"
)

// threadTime is the processor time of the thread that calls it. That of getrusage is
// brought up to date by the kernel's tick only, every few milliseconds.
func threadTime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		panic(err)
	}
	return time.Duration(ts.Nano())
}
