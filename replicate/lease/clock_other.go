//go:build !linux

package lease

import "time"

var begun = time.Now()

// running is a clock that nobody sets. It may stand still while the machine sleeps; a DURABLE
// write is not acknowledged by it.
func running() time.Duration { return time.Since(begun) }
