//go:build !unix

package metrics_test

import "time"

// cpuTime isn't told without a requirement.
func cpuTime() time.Duration { return 0 }
