package backup_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/backup"
)

// Opening a database beside SQLite and closing it again drops the locks of this
// process, so no name leads there: neither that of an archive, nor that of a
// manifest, nor a link.
func TestWhatIsOpenHereIsNotRead(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("closing a handle drops the locks of no other there")
	}
	t.Parallel()
	db, err := holdfast.Open(t.Context(), filepath.Join(t.TempDir(), "app.db"))
	must(t, err)
	defer func() { must(t, db.Close()) }()
	_, err = db.ExecContext(t.Context(), "CREATE TABLE t(a)")
	must(t, err)
	live := db.Path()
	for name, path := range map[string]string{"the database": live, "its log": live + "-wal"} {
		if _, err := backup.Verify(t.Context(), backup.Packed(path, nil), nil); !errors.Is(err, backup.ErrOpenHere) {
			t.Errorf("%s as an archive: %v", name, err)
		}
		copied := filepath.Join(t.TempDir(), "copy.db")
		must(t, os.WriteFile(copied, nil, 0o600))
		must(t, os.Symlink(path, copied+backup.ManifestSuffix))
		if _, err := backup.Verify(t.Context(), backup.File(copied), nil); !errors.Is(err, backup.ErrOpenHere) {
			t.Errorf("%s as a manifest: %v", name, err)
		}
	}
}
