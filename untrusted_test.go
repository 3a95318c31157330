package holdfast_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
)

func TestUntrustedSQLReadsAndNothingElse(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "app.db")
	own := openAt(t, path)
	must(t, own, "CREATE TABLE t(a, b)")
	must(t, own, "INSERT INTO t VALUES (1, 'x')")

	// Beside the handle that writes, which goes on.
	db := openAt(t, path, holdfast.WithUntrustedSQL())
	if got := text(t, db, "SELECT b FROM t WHERE a = ?", 1); got != "x" {
		t.Errorf("b = %q", got)
	}
	must(t, own, "INSERT INTO t VALUES (2, 'y')")
	if got := number(t, db, "SELECT count(*) FROM t"); got != 2 {
		t.Errorf("%d rows, want 2", got)
	}
	err := db.View(ctx, func(*sql.Tx) error { return nil })
	if err != nil {
		t.Errorf("View: %v", err)
	}
	for kind, statements := range map[error][]string{
		holdfast.ErrReadOnly: {
			"INSERT INTO t VALUES (3, 'z')", "DROP TABLE t", "CREATE TEMP TABLE u(a)", "CREATE VIEW v AS SELECT 1",
			"VACUUM", "VACUUM INTO 'copy.db'",
		},
		holdfast.ErrRefused: {
			"ATTACH 'other.db' AS o", "PRAGMA database_list", "PRAGMA user_version = 3",
			"PRAGMA writable_schema = 1", "PRAGMA journal_mode = off", "PRAGMA busy_timeout = 99", "PRAGMA data_version",
			"PRAGMA wal_checkpoint(TRUNCATE)", "SELECT load_extension('x')", "SELECT sqlite_log(1, 'x')",
			"PRAGMA query_only = ''", "PRAGMA synchronous = ''",
		},
		holdfast.ErrInvalid: {"SELECT 1; SELECT 2", "SELECT 1; DROP TABLE t", "COMMIT; DELETE FROM t"},
	} {
		for _, sql := range statements {
			if _, err := db.ExecContext(ctx, sql); !errors.Is(err, kind) {
				t.Errorf("Exec %s: %v, want %v", sql, err, kind)
			}
			rows, err := db.QueryContext(ctx, sql)
			if err == nil {
				rows.Close()
			}
			if !errors.Is(err, kind) {
				t.Errorf("Query %s: %v, want %v", sql, err, kind)
			}
			for _, err := range db.Rows(ctx, sql) {
				if err == nil {
					t.Errorf("Rows %s has run", sql)
				}
			}
		}
	}
	if got := number(t, own, "SELECT count(*) FROM t"); got != 2 {
		t.Errorf("%d rows at the end, want 2", got)
	}
	list, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range list {
		if !strings.HasPrefix(name, path) {
			t.Errorf("%s was made", name)
		}
	}
}

// A hostile statement takes the readers of its own handle, and no others.
func TestUntrustedSQLHasReadersOfItsOwn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	own := openAt(t, path, holdfast.WithReaders(1))
	must(t, own, "CREATE TABLE t(a)")
	db := openAt(t, path, holdfast.WithUntrustedSQL(), holdfast.WithReaders(1))

	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	conn, err := db.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	rows, err := conn.QueryContext(ctx, "WITH RECURSIVE n(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM n) SELECT x FROM n")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for rows.Next() {
		}
		ended <- rows.Err()
	}()
	if got := number(t, own, "SELECT count(*) FROM t"); got != 0 {
		t.Errorf("%d rows", got)
	}
	must(t, own, "INSERT INTO t VALUES (1)")
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the endless statement: %v", err)
	}
	rows.Close()
}

// Limits that are set stay as they are set.
func TestUntrustedSQLKeepsLimits(t *testing.T) {
	path := victim(t)
	cfg := holdfast.Config{}
	cfg.Database.Path = path
	cfg.Limits.UntrustedSQL = true
	cfg.Limits.ValueLength = 2_100_000
	db, err := holdfast.OpenConfig(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if got := number(t, db, "SELECT length(hex(zeroblob(1000000)))"); got != 2_000_000 {
		t.Errorf("length %d", got)
	}
	tight := openAt(t, victim(t), holdfast.WithUntrustedSQL())
	if _, err := tight.ExecContext(context.Background(), "SELECT length(hex(zeroblob(1000000)))"); err == nil {
		t.Error("2 MB passed where 1 MB is the most")
	}
}

func TestUntrustedFileIsCheckedFirst(t *testing.T) {
	path := victim(t)
	openAt(t, path, holdfast.WithUntrustedFile()).Close()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	copy(b[4096*5+3:], "\xff\xff\xff\xff") // the number of cells of a page
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	trusting, err := holdfast.Open(context.Background(), path, holdfast.WithReadOnly())
	if err != nil {
		t.Fatalf("without the option nothing looks there: %v", err)
	}
	trusting.Close()
	start := time.Now()
	if db, err := holdfast.Open(context.Background(), path, holdfast.WithUntrustedFile()); !errors.Is(err, holdfast.ErrCorrupt) {
		t.Errorf("Open of a damaged file: %v (%s)", err, time.Since(start))
		if err == nil {
			db.Close()
		}
	}
}

// Statements that write and come from outside must not reach below SQL.
func TestDefensive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	ctx := t.Context()
	for _, defensive := range []bool{false, true} {
		db, err := holdfast.OpenConfig(ctx, holdfast.Config{Database: holdfast.DatabaseConfig{Path: path}, Limits: holdfast.LimitsConfig{Defensive: defensive}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = db.Batch(ctx, []holdfast.Statement{{SQL: "SELECT 1"}, {SQL: "UPDATE sqlite_dbpage SET data = data WHERE pgno = 1"}})
		if refused := err != nil; refused != defensive {
			t.Errorf("defensive %v: %v", defensive, err)
		}
		if e, ok := errors.AsType[*holdfast.Error](err); ok != defensive || ok && e.Statement != 2 {
			t.Errorf("the error says %+v", e)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
