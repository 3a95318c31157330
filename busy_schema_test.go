package holdfast_test

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// A statement on a table that another process has made since is not wrong, only
// early: with the file locked, whether the table is there can't be known.
func TestNewTableInALockedFile(t *testing.T) {
	t.Parallel()
	var cfg holdfast.Config
	cfg.Database.Path = filepath.Join(t.TempDir(), "app.db")
	cfg.Database.EnableWALMode = holdfast.Off
	cfg.Database.BusyTimeout = 20 * time.Millisecond
	db, err := holdfast.OpenConfig(ctx(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	must(t, db, "CREATE TABLE old(a)")
	if n := number(t, db, "SELECT count(*) FROM old"); n != 0 {
		t.Fatal(n)
	}
	other, err := sqlite.Open(cfg.Database.Path, sqlite.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := other.Exec("CREATE TABLE new(a); BEGIN EXCLUSIVE; INSERT INTO new VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	for row, err := range db.Rows(ctx(), "SELECT a FROM new") {
		if row != nil || !errors.Is(err, holdfast.ErrBusy) {
			t.Errorf("Rows: %v", err)
		}
	}
	if rows, err := db.Query("SELECT a FROM new"); !errors.Is(err, holdfast.ErrBusy) {
		t.Errorf("Query: %v", err)
		if err == nil {
			_ = rows.Close()
		}
	}
	if _, err := db.Exec("INSERT INTO new VALUES (2)"); !errors.Is(err, holdfast.ErrBusy) {
		t.Errorf("Exec: %v", err)
	}
	if err := other.Exec("COMMIT"); err != nil {
		t.Fatal(err)
	}
	must(t, db, "INSERT INTO new VALUES (2)")
	if n := number(t, db, "SELECT count(*) FROM new"); n != 2 {
		t.Errorf("%d rows", n)
	}
	check(t, db)
}
