//go:build !unix

package sqlite

// ofdLocking answers that there are no open file description locks: the
// Windows build of SQLite has none of the Unix locking code.
func ofdLocking(int32) int32 { return -1 }
