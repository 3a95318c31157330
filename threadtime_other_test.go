//go:build !linux && !windows

package holdfast_test

import "time"

var start = time.Now()

func threadTime() time.Duration { return time.Since(start) }

func processTime() time.Duration { return time.Since(start) }
