package glebarez

import (
	"database/sql"
	"os"
	"path/filepath"
	"testing"

	"github.com/holdfastdb/holdfast"
)

// open gives the test a Holdfast database of its own, or one of this dialect's
// own driver with HOLDFAST_INTEROP_BARE=1, and checks the file in the end.
func open(t *testing.T) *sql.DB {
	t.Helper()
	path := filepath.Join(t.TempDir(), "app.db")
	var db *sql.DB
	closeDB := func() error { return db.Close() }
	if os.Getenv("HOLDFAST_INTEROP_BARE") == "1" {
		db = openBare(t, path)
	} else {
		held, err := holdfast.Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		db, closeDB = held.DB, held.Close
	}
	t.Cleanup(func() {
		if err := closeDB(); err != nil {
			t.Errorf("closing the handle: %v", err)
		}
		checkFile(t, path)
	})
	return db
}

func openBare(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(60000)&_pragma=journal_mode(WAL)&_pragma=foreign_keys(1)&_txlock=immediate&_time_format=sqlite")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1) // this driver is too old to wait as its settings say
	return db
}

func checkFile(t *testing.T, path string) {
	t.Helper()
	db := openBare(t, path)
	defer db.Close()
	var verdict string
	if err := db.QueryRow("PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
		t.Errorf("integrity_check: %s, %v", verdict, err)
	}
}
