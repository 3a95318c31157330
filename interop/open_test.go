package interop

import (
	"context"
	"database/sql"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfastdb/holdfast"
	_ "modernc.org/sqlite"
)

// open gives the test a Holdfast database of its own, or one of the stock
// driver if bare. At cleanup the handle is closed and the stock driver, which
// knows nothing of Holdfast, checks the file.
func open(t *testing.T) *sql.DB {
	t.Helper()
	path := filepath.Join(t.TempDir(), "app.db")
	var db *sql.DB
	closeDB := func() error { return db.Close() }
	if bare() {
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

// bare tells whether the tests run on the stock driver, to compare.
func bare() bool { return os.Getenv("HOLDFAST_INTEROP_BARE") == "1" }

// openBare opens path with the stock driver, set up as carefully as its
// settings allow.
func openBare(t *testing.T, path string) *sql.DB {
	t.Helper()
	settings := url.Values{
		"_pragma":      {"busy_timeout(60000)", "journal_mode(WAL)", "foreign_keys(1)"},
		"_txlock":      {"immediate"},
		"_time_format": {"sqlite"},
	}
	db, err := sql.Open("sqlite", "file:"+path+"?"+settings.Encode())
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// checkFile holds the closed database against SQLite's own checks.
func checkFile(t *testing.T, path string) {
	t.Helper()
	db := openBare(t, path)
	defer db.Close()
	if got := column(t, db, "PRAGMA integrity_check"); got != "ok" {
		t.Errorf("integrity_check: %s", got)
	}
	if got := column(t, db, "SELECT count(*) FROM pragma_foreign_key_check"); got != "0" {
		t.Errorf("foreign_key_check: %s rows violate a foreign key", got)
	}
	if got := column(t, db, "PRAGMA journal_mode"); got != "wal" {
		t.Errorf("journal_mode is %s, want wal", got)
	}
}

// column joins the first column of a query's rows.
func column(t *testing.T, db querier, query string, args ...any) string {
	t.Helper()
	rows, err := db.QueryContext(context.Background(), query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	var values []string
	for rows.Next() {
		var v sql.NullString
		if err := rows.Scan(&v); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		values = append(values, v.String)
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return strings.Join(values, ",")
}

// querier is what *sql.DB, *sql.Conn and *sql.Tx have in common for reading.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}
