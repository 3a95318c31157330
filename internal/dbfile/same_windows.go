package dbfile

import (
	"path/filepath"
	"strings"
)

// SameFile reports whether the file id at name is the one at sidecar, which
// SQLite makes and deletes as it likes. It goes by the names: to ask Windows for
// the identity takes a handle, and a file can't be deleted while there is one.
// With one here, the COMMIT of another database's first transaction failed with
// SQLITE_IOERR_DELETE_NOENT or its next with SQLITE_CANTOPEN. (That a hard link
// goes unnoticed does no harm: closing a handle drops no locks of others.)
func SameFile(name string, _ ID, sidecar string) bool {
	if absolute, err := filepath.Abs(name); err == nil {
		name = absolute
	}
	if resolved, err := filepath.EvalSymlinks(name); err == nil {
		name = resolved
	}
	return strings.EqualFold(name, sidecar)
}
