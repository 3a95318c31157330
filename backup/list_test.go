package backup_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/backup"
)

func TestListAndPrune(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db, err := holdfast.Open(t.Context(), filepath.Join(t.TempDir(), "my-app.sqlite"))
	must(t, err)
	defer db.Close()
	var made []backup.Info
	for range 4 {
		info, err := backup.Create(t.Context(), db, dir, nil, nil)
		must(t, err)
		made = append(made, info)
	}
	must(t, os.Remove(made[0].Destination+backup.ManifestSuffix)) // not verified any more
	for _, name := range []string{"other.db", "other-20260101T000000.000Z.db", "my-app-20260101T000000.000Z.db.tar.gz", "my-app-notime.db"} {
		must(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
	}
	entries, err := backup.List(dir)
	must(t, err)
	if len(entries) != 5 || entries[0].Path != made[3].Destination || !entries[0].Verified || entries[3].Verified || entries[4].Verified {
		t.Errorf("%+v", entries)
	}
	if name := backup.DatabaseName(db.Path()); name != "my-app" || entries[0].Database != name {
		t.Errorf("%q, %+v", name, entries[0])
	}
	if removed, err := backup.Prune(dir, filepath.Join(dir, "my-app.db"), backup.Retention{Last: 1}); len(removed) != 0 || err != nil {
		t.Errorf("of another database of that name: %+v, %v", removed, err)
	}
	removed, err := backup.Prune(dir, db.Path(), backup.Retention{Last: 2})
	must(t, err)
	if len(removed) != 1 || removed[0].Path != made[1].Destination {
		t.Errorf("%+v", removed)
	}
	files, err := os.ReadDir(dir)
	must(t, err)
	if len(files) != 2*2+1+4 {
		t.Errorf("%v", files)
	}
	removed, err = backup.Prune(dir, db.Path(), backup.Retention{})
	if len(removed) != 0 || err != nil {
		t.Errorf("%+v, %v", removed, err)
	}
}

// What this process has open as a database is not read beside SQLite.
func TestBackupThatIsOpenHere(t *testing.T) {
	t.Parallel()
	source := newBackup(t)
	info, err := backup.Verify(t.Context(), backup.File(source), nil)
	if err != nil || info.Rows["t"] != 700 {
		t.Fatalf("%+v, %v", info, err)
	}
	db, err := holdfast.Open(t.Context(), source)
	must(t, err)
	_, err = backup.Verify(t.Context(), backup.File(source), nil)
	if isWindows := os.PathSeparator == '\\'; !isWindows && !errors.Is(err, backup.ErrOpenHere) {
		t.Error(err)
	}
	_, err = db.Exec("DELETE FROM t")
	must(t, err)
	must(t, db.Close())
	if _, err := backup.Verify(t.Context(), backup.File(source), nil); !errors.Is(err, backup.ErrDamaged) || !errors.Is(err, holdfast.ErrCorrupt) {
		t.Error(err)
	}
}

// A clock that was wrong once must not cost each backup that is made since.
func TestPruneAfterAWrongClock(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db, err := holdfast.Open(t.Context(), filepath.Join(t.TempDir(), "app.db"))
	must(t, err)
	defer db.Close()
	future := filepath.Join(dir, holdfast.BackupName(db.Path(), time.Now().AddDate(10, 0, 0)))
	_, err = db.Backup(t.Context(), future)
	must(t, err)
	var made []backup.Info
	for range 2 {
		info, err := backup.Create(t.Context(), db, dir, nil, nil)
		must(t, err)
		made = append(made, info)
	}
	removed, err := backup.Prune(dir, db.Path(), backup.Retention{Last: 1})
	if err != nil || len(removed) != 1 || removed[0].Path != made[0].Destination {
		t.Errorf("%+v, %v", removed, err)
	}
}
