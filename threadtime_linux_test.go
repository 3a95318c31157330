package holdfast_test

import (
	"time"

	"golang.org/x/sys/unix"
)

// threadTime is the processor time of the thread that calls it. That of getrusage is
// brought up to date by the kernel's tick only, every few milliseconds.
func threadTime() time.Duration {
	return clock(unix.CLOCK_THREAD_CPUTIME_ID)
}

// processTime is that of the whole process.
func processTime() time.Duration { return clock(unix.CLOCK_PROCESS_CPUTIME_ID) }

func clock(id int32) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(id, &ts); err != nil {
		panic(err)
	}
	return time.Duration(ts.Nano())
}
