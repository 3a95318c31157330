//go:build !windows

package dbfile

// SameFile reports whether the file id at name is the one at sidecar, which
// SQLite makes and deletes as it likes: nothing here may be in its way.
func SameFile(_ string, id ID, sidecar string) bool {
	other, _, err := Identify(sidecar)
	return err == nil && other == id
}
