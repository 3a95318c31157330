package interop

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/pressly/goose/v3"
)

// gooseFiles are migrations of all kinds: in a transaction, outside of one,
// with a trigger that holds semicolons, and one that rebuilds a table.
var gooseFiles = fstest.MapFS{
	"00001_init.sql": {Data: []byte(`-- +goose Up
CREATE TABLE owners (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE pets (id INTEGER PRIMARY KEY, owner_id INTEGER NOT NULL REFERENCES owners (id) ON DELETE CASCADE, name TEXT);
INSERT INTO owners (name) VALUES ('Ann');
INSERT INTO pets (owner_id, name) VALUES (1, 'Rex');
-- +goose Down
DROP TABLE pets;
DROP TABLE owners;
`)},
	"00002_trigger.sql": {Data: []byte(`-- +goose Up
CREATE TABLE log (line TEXT);
-- +goose StatementBegin
CREATE TRIGGER pets_logged AFTER INSERT ON pets BEGIN
  INSERT INTO log VALUES ('new ' || new.name);
  INSERT INTO log VALUES ('owner ' || new.owner_id);
END;
-- +goose StatementEnd
-- +goose Down
DROP TRIGGER pets_logged;
DROP TABLE log;
`)},
	"00003_rebuild.sql": {Data: []byte(`-- +goose NO TRANSACTION
-- +goose Up
PRAGMA foreign_keys = OFF;
BEGIN;
CREATE TABLE owners_new (id INTEGER PRIMARY KEY, name TEXT NOT NULL, rank INTEGER NOT NULL DEFAULT 1);
INSERT INTO owners_new (id, name) SELECT id, name FROM owners;
DROP TABLE owners;
ALTER TABLE owners_new RENAME TO owners;
COMMIT;
PRAGMA foreign_keys = ON;
VACUUM;
-- +goose Down
ALTER TABLE owners DROP COLUMN rank;
`)},
}

// gooseSteps are migrations written in Go, one in a transaction and one on the pool.
func gooseSteps() []*goose.Migration {
	return []*goose.Migration{
		goose.NewGoMigration(4,
			&goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
				var rank int
				if err := tx.QueryRowContext(ctx, "SELECT rank FROM owners").Scan(&rank); err != nil {
					return err
				}
				_, err := tx.ExecContext(ctx, "INSERT INTO owners (name, rank) VALUES ('Bob', ?)", rank+1)
				return err
			}},
			&goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
				_, err := tx.ExecContext(ctx, "DELETE FROM owners WHERE name = 'Bob'")
				return err
			}}),
		goose.NewGoMigration(5,
			&goose.GoFunc{RunDB: func(ctx context.Context, db *sql.DB) error {
				_, err := db.ExecContext(ctx, "INSERT INTO pets (owner_id, name) SELECT id, 'Tom' FROM owners WHERE name = 'Bob'")
				return err
			}},
			&goose.GoFunc{RunDB: func(ctx context.Context, db *sql.DB) error {
				_, err := db.ExecContext(ctx, "DELETE FROM pets WHERE name = 'Tom'")
				return err
			}}),
	}
}

func newGoose(t *testing.T, db *sql.DB, files fstest.MapFS, steps ...*goose.Migration) *goose.Provider {
	t.Helper()
	p, err := goose.NewProvider(goose.DialectSQLite3, db, files, goose.WithGoMigrations(steps...), goose.WithDisableGlobalRegistry(true))
	must(t, err)
	return p
}

func TestGoose(t *testing.T) {
	t.Parallel()
	t.Run("UpAndDown", testGooseUpAndDown)
	t.Run("FailureLeavesNothing", testGooseFailureLeavesNothing)
	t.Run("ManyAtOnce", testGooseManyAtOnce)
}

func testGooseUpAndDown(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := open(t)
	p := newGoose(t, db, gooseFiles, gooseSteps()...)
	pending, err := p.HasPending(ctx)
	must(t, err)
	equal(t, "pending at first", pending, true)

	results, err := p.Up(ctx)
	must(t, err)
	equal(t, "migrations applied", len(results), 5)
	equal(t, "owners", column(t, db, "SELECT name || rank FROM owners ORDER BY id"), "Ann1,Bob2")
	equal(t, "pets", column(t, db, "SELECT name FROM pets ORDER BY id"), "Rex,Tom")
	equal(t, "log", column(t, db, "SELECT line FROM log"), "new Tom,owner 2")
	equal(t, "foreign_keys", column(t, db, "PRAGMA foreign_keys"), "1")
	status, err := p.Status(ctx)
	must(t, err)
	for _, s := range status {
		if s.State != goose.StateApplied || s.AppliedAt.IsZero() {
			t.Errorf("migration %d: %s at %v", s.Source.Version, s.State, s.AppliedAt)
		}
	}

	_, err = p.DownTo(ctx, 2)
	must(t, err)
	version, err := p.GetDBVersion(ctx)
	must(t, err)
	equal(t, "version", version, int64(2))
	equal(t, "pets after four went down", column(t, db, "SELECT name FROM pets"), "Rex")
	_, err = p.UpByOne(ctx)
	must(t, err)
	_, err = p.DownTo(ctx, 0)
	must(t, err)
	equal(t, "tables left", column(t, db, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"), "goose_db_version")
}

func testGooseFailureLeavesNothing(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := open(t)
	p := newGoose(t, db, fstest.MapFS{
		"00001_good.sql": {Data: []byte("-- +goose Up\nCREATE TABLE good (v);\n")},
		"00002_bad.sql":  {Data: []byte("-- +goose Up\nCREATE TABLE half (v);\nINSERT INTO nowhere VALUES (1);\n")},
	})
	_, err := p.Up(ctx)
	var partial *goose.PartialError
	if !errors.As(err, &partial) || !strings.Contains(err.Error(), "no such table: nowhere") {
		t.Errorf("a bad migration: %v", err)
	}
	equal(t, "tables", column(t, db, "SELECT name FROM sqlite_schema WHERE name IN ('good', 'half')"), "good")
	version, err := p.GetDBVersion(ctx)
	must(t, err)
	equal(t, "version", version, int64(1))
	_, err = newGoose(t, db, fstest.MapFS{
		"00001_good.sql": {Data: []byte("-- +goose Up\nCREATE TABLE good (v);\n")},
		"00002_bad.sql":  {Data: []byte("-- +goose Up\nCREATE TABLE half (v);\n")},
	}).Up(ctx)
	must(t, err)
}

// testGooseManyAtOnce migrates one database with several providers while
// writers use it. goose takes no lock by itself, so the providers take turns;
// the writers do not.
func testGooseManyAtOnce(t *testing.T) {
	t.Parallel()
	db := open(t)
	_, err := db.ExecContext(t.Context(), ledgerSchema)
	must(t, err)
	var turn sync.Mutex
	var migrating sync.WaitGroup
	defer migrating.Wait()
	for range 4 {
		migrating.Go(func() {
			turn.Lock()
			defer turn.Unlock()
			p, err := goose.NewProvider(goose.DialectSQLite3, db, gooseFiles, goose.WithGoMigrations(gooseSteps()...), goose.WithDisableGlobalRegistry(true))
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := p.Up(t.Context()); err != nil {
				t.Errorf("up: %v", err)
			}
			if _, err := p.DownTo(t.Context(), 3); err != nil {
				t.Errorf("down: %v", err)
			}
		})
	}
	contend(t, db, ledgerTurn(db))
	migrating.Wait()
	equal(t, "owners", column(t, db, "SELECT name FROM owners"), "Ann")
}
