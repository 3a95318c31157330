package interop

import (
	"database/sql"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/golang-migrate/migrate/v4"
	"github.com/golang-migrate/migrate/v4/database/sqlite"
	"github.com/golang-migrate/migrate/v4/source/iofs"
)

var migrateFiles = fstest.MapFS{
	"1_init.up.sql": {Data: []byte(`
CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT NOT NULL UNIQUE); -- several statements
CREATE TABLE posts (id INTEGER PRIMARY KEY, user_id INTEGER REFERENCES users (id), title TEXT);
INSERT INTO users (email) VALUES ('ann@example.org'), ('bob;@example.org');
`)},
	"1_init.down.sql": {Data: []byte("DROP TABLE posts; DROP TABLE users;")},
	"2_trigger.up.sql": {Data: []byte(`
ALTER TABLE users ADD COLUMN posts INTEGER NOT NULL DEFAULT 0;
CREATE TRIGGER posts_counted AFTER INSERT ON posts BEGIN
  UPDATE users SET posts = posts + 1 WHERE id = new.user_id;
END;
INSERT INTO posts (user_id, title) VALUES (1, 'one'), (1, 'two');
`)},
	"2_trigger.down.sql": {Data: []byte("DROP TRIGGER posts_counted; DELETE FROM posts; ALTER TABLE users DROP COLUMN posts;")},
}

// newMigrate does not close what it returns: Close of golang-migrate closes
// the *sql.DB it was given.
func newMigrate(db *sql.DB, files fstest.MapFS, config sqlite.Config) (*migrate.Migrate, error) {
	source, err := iofs.New(files, ".")
	if err != nil {
		return nil, err
	}
	target, err := sqlite.WithInstance(db, &config)
	if err != nil {
		return nil, err
	}
	return migrate.NewWithInstance("iofs", source, "sqlite", target)
}

func TestMigrate(t *testing.T) {
	t.Parallel()
	t.Run("UpAndDown", testMigrateUpAndDown)
	t.Run("Dirty", testMigrateDirty)
	t.Run("NoTransaction", testMigrateNoTransaction)
	t.Run("DropAndClose", testMigrateDropAndClose)
	t.Run("WhileWriting", testMigrateWhileWriting)
}

func testMigrateUpAndDown(t *testing.T) {
	t.Parallel()
	db := open(t)
	m, err := newMigrate(db, migrateFiles, sqlite.Config{})
	must(t, err)
	_, _, err = m.Version()
	equal(t, "version at first", err, migrate.ErrNilVersion)
	must(t, m.Up())
	equal(t, "posts of each user", column(t, db, "SELECT email || '=' || posts FROM users ORDER BY id"), "ann@example.org=2,bob;@example.org=0")
	version, dirty, err := m.Version()
	must(t, err)
	equal(t, "version", []any{version, dirty}, []any{uint(2), false})
	equal(t, "up again", m.Up(), migrate.ErrNoChange)
	must(t, m.Steps(-1))
	equal(t, "columns", column(t, db, "SELECT name FROM pragma_table_info('users') ORDER BY cid"), "id,email")
	must(t, m.Migrate(2))
	must(t, m.Down())
	equal(t, "tables left", column(t, db, "SELECT name FROM sqlite_schema WHERE type = 'table'"), "schema_migrations")
}

func testMigrateDirty(t *testing.T) {
	t.Parallel()
	db := open(t)
	m, err := newMigrate(db, fstest.MapFS{
		"1_good.up.sql": {Data: []byte("CREATE TABLE good (v);")},
		"2_bad.up.sql":  {Data: []byte("CREATE TABLE half (v); INSERT INTO nowhere VALUES (1);")},
	}, sqlite.Config{})
	must(t, err)
	err = m.Up()
	if err == nil || !strings.Contains(err.Error(), "no such table: nowhere") {
		t.Errorf("a bad migration: %v", err)
	}
	equal(t, "tables", column(t, db, "SELECT name FROM sqlite_schema WHERE name IN ('good', 'half')"), "good")
	version, dirty, err := m.Version()
	must(t, err)
	equal(t, "version", []any{version, dirty}, []any{uint(2), true})
	var isDirty migrate.ErrDirty
	if err := m.Up(); !errors.As(err, &isDirty) {
		t.Errorf("up on a dirty database: %v", err)
	}
	must(t, m.Force(1))
}

// testMigrateNoTransaction runs a migration that brings its own transaction
// and pragmas in one text.
func testMigrateNoTransaction(t *testing.T) {
	t.Parallel()
	db := open(t)
	m, err := newMigrate(db, fstest.MapFS{
		"1_own.up.sql": {Data: []byte(`
PRAGMA foreign_keys = OFF;
BEGIN IMMEDIATE;
CREATE TABLE a (id INTEGER PRIMARY KEY);
INSERT INTO a VALUES (1), (2);
COMMIT;
PRAGMA foreign_keys = ON;
VACUUM;`)},
		"1_own.down.sql": {Data: []byte("DROP TABLE a;")},
	}, sqlite.Config{NoTxWrap: true, MigrationsTable: "versions"})
	must(t, err)
	must(t, m.Up())
	equal(t, "rows", column(t, db, "SELECT count(*) FROM a"), "2")
	equal(t, "foreign_keys", column(t, db, "PRAGMA foreign_keys"), "1")
	must(t, m.Down())
}

func testMigrateDropAndClose(t *testing.T) {
	t.Parallel()
	db := open(t)
	m, err := newMigrate(db, fstest.MapFS{"1_one.up.sql": {Data: []byte("CREATE TABLE one (v); CREATE TABLE two (v);")}}, sqlite.Config{})
	must(t, err)
	must(t, m.Up())
	must(t, m.Drop())
	equal(t, "tables left", column(t, db, "SELECT count(*) FROM sqlite_schema WHERE type = 'table'"), "0")
	sourceErr, databaseErr := m.Close()
	must(t, sourceErr)
	must(t, databaseErr)
	if err := db.PingContext(t.Context()); err == nil {
		t.Error("the handle answers after golang-migrate closed it")
	}
}

func testMigrateWhileWriting(t *testing.T) {
	t.Parallel()
	db := open(t)
	_, err := db.ExecContext(t.Context(), ledgerSchema)
	must(t, err)
	m, err := newMigrate(db, migrateFiles, sqlite.Config{})
	must(t, err)
	var migrating sync.WaitGroup
	defer migrating.Wait()
	migrating.Go(func() {
		for range 5 {
			if err := errors.Join(m.Up(), m.Down()); err != nil {
				t.Errorf("up and down: %v", err)
			}
		}
	})
	contend(t, db, ledgerTurn(db))
	migrating.Wait()
}
