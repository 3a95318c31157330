package daemon

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// monotonic is the time of a reload, by which systemd knows the answer to its own.
func monotonic() []string {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) != nil {
		return nil
	}
	return []string{fmt.Sprintf("MONOTONIC_USEC=%d", t.Nano()/1000)}
}
