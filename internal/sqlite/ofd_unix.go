//go:build unix

package sqlite

import (
	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// ofdLocking switches open file description locks on (1) or asks for the
// setting (-1). It answers 1 for on, 0 for off, -1 where there are none and -2
// once a lock was taken and the setting is fixed.
func ofdLocking(onoff int32) int32 {
	return withTLS(func(tls *libc.TLS) int32 {
		return sqlite3.Xmodernc_ofd_locking(tls, onoff)
	})
}
