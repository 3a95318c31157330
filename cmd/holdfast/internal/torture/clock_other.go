//go:build !linux

package torture

import "time"

// now reads the only clock that all processes share here. Somebody may set it.
func now() int64 { return time.Now().UnixNano() }
