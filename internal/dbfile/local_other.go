//go:build !linux

package dbfile

// local knows nothing here: one call of [FileSystem] tells everything.
func local(string) bool { return false }
