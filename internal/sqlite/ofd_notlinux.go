//go:build !linux

package sqlite

import "modernc.org/libc"

func lockSharedMemory(*libc.TLS) int32 { return 0 }
