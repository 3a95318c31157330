//go:build !unix

package dbfile

// SyncDir does nothing here: Windows gives no handle with which a directory
// could be flushed, and NTFS journals its names.
func SyncDir(dir string) error { return nil }
