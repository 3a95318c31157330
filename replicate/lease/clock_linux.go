package lease

import (
	"time"

	"golang.org/x/sys/unix"
)

// begun is for systems that have no such clock.
var begun = time.Now()

// running is a clock that nobody sets, and that goes on while the machine sleeps: an owner
// that wakes up must not take its lease for fresh.
func running() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &t) != nil {
		return time.Since(begun)
	}
	return time.Duration(t.Nano())
}
