package holdfast_test

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
)

// family is a table that another refers to with ON DELETE CASCADE.
const family = `CREATE TABLE parent(id INTEGER PRIMARY KEY, name TEXT);
	CREATE TABLE child(id INTEGER PRIMARY KEY, parent_id INTEGER NOT NULL REFERENCES parent(id) ON DELETE CASCADE, toy TEXT);
	INSERT INTO parent VALUES (1, 'ada'), (2, 'bob');
	INSERT INTO child VALUES (1, 1, 'ball'), (2, 1, 'kite'), (3, 2, 'top')`

// rebuildParent is what tools do to a table that ALTER TABLE can't change.
const rebuildParent = `CREATE TABLE parent_new(id INTEGER PRIMARY KEY, name TEXT NOT NULL, rank INTEGER NOT NULL DEFAULT 1);
	INSERT INTO parent_new(id, name) SELECT id, name FROM parent;
	DROP TABLE parent;
	ALTER TABLE parent_new RENAME TO parent`

func openFamily(t *testing.T, opts ...holdfast.Option) *holdfast.DB {
	t.Helper()
	db := open(t, opts...)
	must(t, db, family)
	return db
}

func migrate(t *testing.T, db *holdfast.DB, fn func(*sql.DB) error, opts ...holdfast.MigrateOption) holdfast.MigrateReport {
	t.Helper()
	r, err := holdfast.Migrate(t.Context(), db, fn, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// texts runs statements one after the other.
func texts(statements ...string) func(*sql.DB) error {
	return func(db *sql.DB) error {
		for _, s := range statements {
			if _, err := db.Exec(s); err != nil {
				return err
			}
		}
		return nil
	}
}

// hasRank tells whether rebuildParent was run.
func hasRank(t *testing.T, db querier) bool {
	t.Helper()
	return number(t, db, "SELECT count(*) FROM pragma_table_info('parent') WHERE name = 'rank'") == 1
}

func backups(t *testing.T, db *holdfast.DB) []string {
	t.Helper()
	files, err := filepath.Glob(db.Path() + "-before-migration-*")
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestMigrateLeavesTheChildren(t *testing.T) {
	t.Parallel()
	for name, fn := range map[string]func(*sql.DB) error{
		"alone":         texts(rebuildParent),
		"transaction":   texts("PRAGMA foreign_keys=OFF", "BEGIN; "+rebuildParent+"; COMMIT", "PRAGMA foreign_keys=ON"),
		"as one text":   texts("PRAGMA foreign_keys=OFF; BEGIN; " + rebuildParent + "; COMMIT; PRAGMA foreign_keys=ON"),
		"pragma inside": texts("BEGIN; PRAGMA foreign_keys=OFF; " + rebuildParent + "; PRAGMA foreign_keys=ON; COMMIT"),
		"BeginTx": func(db *sql.DB) error {
			tx, err := db.BeginTx(t.Context(), nil)
			if err != nil {
				return err
			}
			if _, err := tx.Exec(rebuildParent); err != nil {
				return errors.Join(err, tx.Rollback())
			}
			return tx.Commit()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := openFamily(t)
			r := migrate(t, db, fn)
			if !hasRank(t, db) {
				t.Error("the table was not rebuilt")
			}
			if got := text(t, db, "SELECT group_concat(toy) FROM child"); got != "ball,kite,top" {
				t.Errorf("children: %s", got)
			}
			if got := number(t, db, "PRAGMA foreign_keys"); got != 1 {
				t.Errorf("foreign_keys is %d afterwards", got)
			}
			want := []holdfast.TableRows{{Name: "child", Before: 3, After: 3}, {Name: "parent", Before: 2, After: 2}}
			if !r.Changed || !r.Counted || !slices.Equal(r.Tables, want) || r.Added != nil || r.Removed != nil || r.Violations != 0 {
				t.Errorf("%+v", r)
			}
		})
	}
}

// The same without Migrate, so that it is known what the tests above are worth.
func TestRebuildWithoutMigrateLosesTheChildren(t *testing.T) {
	t.Parallel()
	db := openFamily(t)
	must(t, db, "BEGIN; PRAGMA foreign_keys=OFF; "+rebuildParent+"; COMMIT")
	if n := number(t, db, "SELECT count(*) FROM child"); n != 0 {
		t.Errorf("%d children are left: foreign keys were off inside a transaction?", n)
	}
}

func TestMigrateBackup(t *testing.T) {
	t.Parallel()
	db := openFamily(t)
	r := migrate(t, db, texts(rebuildParent, "DELETE FROM child"))
	if files := backups(t, db); len(files) != 1 || files[0] != r.Backup || r.NoBackup != "" {
		t.Fatalf("%v; %+v", files, r)
	}
	info, err := os.Stat(r.Backup)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() != r.BackupBytes || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("%d bytes of %d, mode %v", info.Size(), r.BackupBytes, info.Mode())
	}
	old := openAt(t, r.Backup)
	if hasRank(t, old) || number(t, old, "SELECT count(*) FROM child") != 3 {
		t.Error("the backup is not the state of before")
	}
	if files := backups(t, db); len(files) < 2 { // it is open, with its own files
		t.Errorf("files: %v", files)
	}
}

func TestMigrateKeepsSomeBackups(t *testing.T) {
	t.Parallel()
	db := openFamily(t)
	stranger := db.Path() + "-before-migration-of-the-office"
	if err := os.WriteFile(stranger, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var made []string
	for range 4 {
		made = append(made, migrate(t, db, texts("INSERT INTO parent(name) VALUES ('x')"), holdfast.MigrateBackups(2)).Backup)
	}
	if got, want := backups(t, db), append(made[2:], stranger); !slices.Equal(got, want) {
		t.Errorf("left: %v, want %v", got, want)
	}
	dir := t.TempDir()
	r := migrate(t, db, texts("INSERT INTO parent(name) VALUES ('x')"), holdfast.MigrateBackupDir(dir))
	if filepath.Dir(r.Backup) != dir {
		t.Errorf("backup %s", r.Backup)
	}
	r = migrate(t, db, texts("INSERT INTO parent(name) VALUES ('x')"), holdfast.MigrateBackups(0))
	if r.Backup != "" || r.NoBackup != "none was asked for" || !r.Changed {
		t.Errorf("%+v", r)
	}
}

func TestMigrateWithNothingToDo(t *testing.T) {
	t.Parallel()
	db := openFamily(t)
	for name, fn := range map[string]func(*sql.DB) error{
		"reads": func(db *sql.DB) error {
			var n int
			return db.QueryRow("SELECT count(*) FROM parent").Scan(&n)
		},
		"what is there": texts("CREATE TABLE IF NOT EXISTS parent(id); BEGIN; DROP TABLE IF EXISTS missing; COMMIT"),
		"no row":        texts("UPDATE parent SET name = 'x' WHERE id = 99"),
	} {
		r := migrate(t, db, fn)
		if r.Changed || r.Backup != "" || r.NoBackup != "nothing has changed" || r.Tables != nil {
			t.Errorf("%s: %+v", name, r)
		}
	}
	for _, s := range []string{"PRAGMA user_version=7", "PRAGMA application_id=7", "CREATE INDEX i ON parent(name)"} {
		if r := migrate(t, db, texts(s)); !r.Changed || r.Backup == "" {
			t.Errorf("%s: %+v", s, r)
		}
	}
}

func TestMigrateOfAnEmptyDatabase(t *testing.T) {
	t.Parallel()
	db := open(t)
	r := migrate(t, db, texts("CREATE TABLE a(x); CREATE INDEX i ON a(x); CREATE VIEW v AS SELECT 1"))
	if !r.Changed || r.NoBackup != "the database was empty" || !slices.Equal(r.Added, []string{"index i", "table a", "view v"}) ||
		!slices.Equal(r.Tables, []holdfast.TableRows{{Name: "a", Before: -1, After: 0}}) {
		t.Errorf("%+v", r)
	}
	r = migrate(t, db, texts("DROP TABLE a"))
	if !slices.Equal(r.Removed, []string{"index i", "table a"}) {
		t.Errorf("%+v", r)
	}
	memory, err := holdfast.Open(t.Context(), ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	must(t, memory, family)
	if r := migrate(t, memory, texts(rebuildParent)); r.NoBackup != "the database is in memory" || !r.Changed {
		t.Errorf("%+v", r)
	}
}

func TestMigrateIsAllOrNothing(t *testing.T) {
	t.Parallel()
	db := openFamily(t, holdfast.WithBusyTimeout(50*time.Millisecond))
	boom := errors.New("boom")
	half := texts("BEGIN; "+rebuildParent+"; COMMIT", "INSERT INTO child VALUES (9, 1, 'x')")
	if _, err := holdfast.Migrate(t.Context(), db, func(tool *sql.DB) error { return errors.Join(half(tool), boom) }); !errors.Is(err, boom) {
		t.Errorf("the function's error: %v", err)
	}
	func() {
		defer func() {
			if v := recover(); v != "boom" {
				t.Errorf("recovered %v", v)
			}
		}()
		_, _ = holdfast.Migrate(t.Context(), db, func(tool *sql.DB) error { _ = half(tool); panic("boom") })
	}()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = holdfast.Migrate(t.Context(), db, func(tool *sql.DB) error { _ = half(tool); runtime.Goexit(); return nil })
	}()
	<-ended
	forgetful, remember := context.WithCancel(t.Context())
	defer remember()
	_, err := holdfast.Migrate(t.Context(), db, func(tool *sql.DB) error {
		_, err := tool.BeginTx(forgetful, nil)
		return errors.Join(err, half(tool))
	})
	if !errors.Is(err, holdfast.ErrBusy) {
		t.Errorf("a write beside a transaction: %v", err)
	}
	_, err = holdfast.Migrate(t.Context(), db, func(tool *sql.DB) error {
		tx, err := tool.BeginTx(forgetful, nil)
		if err == nil {
			_, err = tx.Exec(rebuildParent)
		}
		return err
	})
	if !errors.Is(err, holdfast.ErrRefused) || !strings.Contains(err.Error(), "migrate_test.go") {
		t.Errorf("a transaction left open: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := holdfast.Migrate(ctx, db, func(tool *sql.DB) error { err := half(tool); cancel(); return err }); !errors.Is(err, context.Canceled) {
		t.Errorf("its context has ended: %v", err)
	}
	if hasRank(t, db) || number(t, db, "SELECT count(*) FROM child") != 3 {
		t.Error("something of it is there")
	}
	if files := backups(t, db); files != nil {
		t.Errorf("left over: %v", files)
	}
	migrate(t, db, half)
}

func TestMigrateForeignKeys(t *testing.T) {
	t.Parallel()
	db := openFamily(t)
	_, err := holdfast.Migrate(t.Context(), db, texts("DELETE FROM parent WHERE id = 2"))
	var e *holdfast.Error
	if !errors.As(err, &e) || e.ExtendedCode != 787 || !strings.Contains(err.Error(), "row 3 of child refers to a missing one of parent") {
		t.Errorf("an orphan was made: %v", err)
	}
	if n := number(t, db, "SELECT count(*) FROM parent"); n != 2 {
		t.Errorf("%d parents", n)
	}
	r := migrate(t, db, texts("DELETE FROM parent WHERE id = 2"), holdfast.MigrateUnchecked())
	if r.Violations != 0 {
		t.Errorf("%+v", r)
	}
	// One that was there before is told, and keeps nobody from anything, also when
	// the table of its parent is rebuilt.
	if r := migrate(t, db, texts(rebuildParent)); r.Violations != 1 {
		t.Errorf("%+v", r)
	}
	_, err = holdfast.Migrate(t.Context(), db, texts("DELETE FROM parent"))
	if !errors.As(err, &e) || !strings.Contains(err.Error(), "2 foreign keys lead nowhere") {
		t.Errorf("two orphans more: %v", err)
	}
	_, err = holdfast.Migrate(t.Context(), db, texts("CREATE TABLE wrong(a, p REFERENCES parent(name)); INSERT INTO wrong VALUES (1, 'ada')"))
	if !errors.As(err, &e) || !strings.Contains(err.Error(), "mismatch") {
		t.Errorf("a key that can't refer to anything: %v", err)
	}
	must(t, db, "DELETE FROM child") // so that checks at the end find nothing
}

// What would leave the transaction, or not be rolled back with it, is refused,
// and the migration can go on.
func TestMigrateRefuses(t *testing.T) {
	t.Parallel()
	db := openFamily(t)
	migrate(t, db, func(tool *sql.DB) error {
		for _, s := range []string{"VACUUM", "ATTACH 'other.db' AS other", "PRAGMA wal_checkpoint", "SAVEPOINT holdfast_unit", "PRAGMA journal_mode=OFF"} {
			if _, err := tool.Exec(s); !errors.Is(err, holdfast.ErrRefused) {
				t.Errorf("%s: %v", s, err)
			}
		}
		for _, s := range []string{"COMMIT", "ROLLBACK", "END", "RELEASE x", "ROLLBACK TO x"} {
			if _, err := tool.Exec(s); err == nil {
				t.Errorf("%s ended a transaction that is not the tool's", s)
			}
		}
		return texts("PRAGMA synchronous=NORMAL", "PRAGMA journal_mode=DELETE", "PRAGMA busy_timeout=9", rebuildParent)(tool)
	})
	if !hasRank(t, db) || text(t, db, "PRAGMA journal_mode") != "wal" {
		t.Error("it was not committed")
	}
	if _, err := holdfast.Migrate(t.Context(), openAt(t, filepath.Join(t.TempDir(), "b.db")), func(*sql.DB) error {
		_, err := db.Exec("VACUUM") // another database
		return err
	}); err != nil {
		t.Error(err)
	}
}

// A tool's transactions are its own: what it rolls back is gone, what it commits
// stays, and savepoints are inside of them.
func TestMigrateTransactions(t *testing.T) {
	t.Parallel()
	db := openFamily(t)
	var after *sql.DB
	migrate(t, db, func(tool *sql.DB) error {
		after = tool
		tx, err := tool.Begin()
		if err != nil {
			return err
		}
		must(t, tx, "UPDATE parent SET name = 'undone'")
		// Others may read beside it, and see it.
		if got := text(t, tool, "SELECT name FROM parent WHERE id = 1"); got != "undone" {
			t.Errorf("beside the transaction: %s", got)
		}
		if err := tx.Rollback(); err != nil {
			return err
		}
		must(t, tool, "SAVEPOINT a; INSERT INTO parent(name) VALUES ('cy'); SAVEPOINT b; DELETE FROM parent; ROLLBACK TO b; RELEASE a")
		if _, err := tool.Exec("BEGIN; DELETE FROM parent; INSERT INTO nowhere VALUES (1); COMMIT"); err == nil {
			t.Error("there is no such table")
		}
		tx, err = tool.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
		if err != nil {
			return err
		}
		if _, err := tx.Exec("DELETE FROM parent"); !errors.Is(err, holdfast.ErrReadOnlyTx) {
			t.Errorf("a write in a read-only transaction: %v", err)
		}
		if err := tx.Commit(); err != nil {
			return err
		}
		// Rows that nobody closes are in nobody's way.
		rows, err := tool.Query("SELECT * FROM child")
		if err != nil || !rows.Next() {
			t.Error(err)
		}
		return texts(rebuildParent)(tool)
	})
	if got := text(t, db, "SELECT group_concat(name) FROM parent"); got != "ada,bob,cy" {
		t.Errorf("parents: %s", got)
	}
	if _, err := after.Exec("DELETE FROM parent"); err == nil {
		t.Error("the function's database works after the migration")
	}
}

// The end of Migrate's context ends a statement that has none, and is its error.
func TestMigrateEndsWithItsContext(t *testing.T) {
	t.Parallel()
	db := openFamily(t)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := holdfast.Migrate(ctx, db, func(tool *sql.DB) error {
		must(t, tool, "CREATE TABLE big(a)")
		time.AfterFunc(10*time.Millisecond, cancel)
		_, err := tool.Exec("INSERT INTO big WITH RECURSIVE g(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM g) SELECT n FROM g")
		return err
	})
	if !errors.Is(err, context.Canceled) || number(t, db, "SELECT count(*) FROM sqlite_schema WHERE name = 'big'") != 0 {
		t.Errorf("%v", err)
	}
}

// While a migration runs, readers see the state of before, and writers wait for
// it and learn for whom.
func TestMigrateAndTheOthers(t *testing.T) {
	t.Parallel()
	db := openFamily(t)
	var written chan error
	migrate(t, db, func(tool *sql.DB) error {
		must(t, tool, rebuildParent)
		if hasRank(t, db) {
			t.Error("a reader sees half of a migration")
		}
		if _, err := db.Exec("DELETE FROM child"); !errors.Is(err, holdfast.ErrSelfDeadlock) {
			t.Errorf("a write past the migration: %v", err)
		}
		locked, err := db.Locks(t.Context())
		if err != nil || len(locked.Holders) == 0 || locked.Holders[0].Kind != "migration" || !strings.Contains(locked.Holders[0].CallSite, "migrate_test.go") {
			t.Errorf("%+v, %v", locked, err)
		}
		short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		go func() {
			_, _ = db.ExecContext(short, "DELETE FROM child")
		}()
		if _, err := holdfast.Migrate(t.Context(), db, texts("SELECT 1")); !errors.Is(err, holdfast.ErrSelfDeadlock) {
			t.Errorf("one inside another: %v", err)
		}
		second := make(chan error)
		go func() {
			_, err := holdfast.Migrate(t.Context(), db, texts("SELECT 1"), holdfast.MigrateWait(time.Millisecond))
			second <- err
		}()
		if err := <-second; !errors.Is(err, holdfast.ErrBusy) || !strings.Contains(err.Error(), "this process") {
			t.Errorf("two at once: %v", err)
		}
		written = make(chan error, 1)
		go func() {
			_, err := db.ExecContext(t.Context(), "INSERT INTO parent(name) VALUES ('new')")
			written <- err
		}()
		<-short.Done()
		return nil
	})
	if err := <-written; err != nil {
		t.Errorf("a writer that has waited: %v", err)
	}
	if n := number(t, db, "SELECT rank FROM parent WHERE name = 'new'"); n != 1 || number(t, db, "SELECT count(*) FROM child") != 3 {
		t.Errorf("rank %d", n)
	}
}

func TestMigrateEndsWithTheDatabase(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	db, err := holdfast.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	must(t, db, family)
	_, err = holdfast.Migrate(t.Context(), db, func(tool *sql.DB) error {
		must(t, tool, rebuildParent)
		return db.Close()
	})
	if !errors.Is(err, holdfast.ErrClosed) {
		t.Errorf("%v", err)
	}
	if again := openAt(t, path); hasRank(t, again) {
		t.Error("it was committed after Close")
	}
}

func TestMigrateWithoutALog(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	cfg := holdfast.Config{}
	cfg.Database.Path = path
	cfg.Database.EnableWALMode = holdfast.Off
	cfg.Database.BusyTimeout = time.Second
	// Its part of a budget that all tests share may be so small that a transaction spills:
	// then nobody may read, and the query below was busy.
	cfg.Database.CacheSize = 1000
	db, err := holdfast.OpenConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	must(t, db, family)
	boom := errors.New("boom")
	if _, err := holdfast.Migrate(t.Context(), db, func(tool *sql.DB) error { return errors.Join(texts(rebuildParent)(tool), boom) }); !errors.Is(err, boom) {
		t.Error(err)
	}
	if files := backups(t, db); files != nil {
		t.Errorf("left over: %v", files)
	}
	// COMMIT waits for who reads, and leaves no copy if that is in vain.
	var rows *sql.Rows
	_, err = holdfast.Migrate(t.Context(), db, func(tool *sql.DB) error {
		must(t, tool, rebuildParent)
		rows, err = db.Query("WITH RECURSIVE g(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM g) SELECT n FROM g, child")
		if err == nil {
			rows.Next()
		}
		return err
	})
	if !errors.Is(err, holdfast.ErrBusy) || backups(t, db) != nil || hasRank(t, db) {
		t.Fatalf("%v; left over: %v", err, backups(t, db))
	}
	if rows == nil {
		t.Fatal("nobody read, so COMMIT waited for nobody")
	}
	_ = rows.Close()
	migrate(t, db, func(tool *sql.DB) error {
		must(t, tool, "UPDATE parent SET name = 'eve' WHERE id = 1")
		rows, err = db.Query("WITH RECURSIVE g(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM g) SELECT n FROM g, child")
		if err == nil {
			rows.Next()
			time.AfterFunc(20*time.Millisecond, func() { _ = rows.Close() })
		}
		return err
	}, holdfast.MigrateBackups(0))
	r := migrate(t, db, texts(rebuildParent, "DELETE FROM child WHERE id = 3"))
	want := []holdfast.TableRows{{Name: "child", Before: 3, After: 2}, {Name: "parent", Before: 2, After: 2}}
	if !slices.Equal(r.Tables, want) || r.Backup == "" || !r.Counted {
		t.Errorf("%+v", r)
	}
	check(t, db)
	if old := openAt(t, r.Backup); hasRank(t, old) || number(t, old, "SELECT count(*) FROM child") != 3 {
		t.Error("the backup is not the state of before")
	}
	if _, err := holdfast.Migrate(t.Context(), db, texts("DELETE FROM parent")); err == nil {
		t.Error("orphans were committed")
	}
}

func TestMigrateReadOnly(t *testing.T) {
	t.Parallel()
	db := openFamily(t)
	reader := openAt(t, db.Path(), holdfast.WithReadOnly())
	if _, err := holdfast.Migrate(t.Context(), reader, texts("SELECT 1")); !errors.Is(err, holdfast.ErrReadOnly) {
		t.Errorf("%v", err)
	}
}

// migrator is the job of one process; see TestMigrator.
type migrator struct {
	Path string
	Stop bool // in the middle, until it is killed
}

const migratorVariable = "HOLDFAST_TEST_MIGRATOR"

// TestMigrator is what the processes run; by itself it does nothing. It applies a
// migration that must be applied once: each adds one to every rank.
func TestMigrator(t *testing.T) {
	var job migrator
	if err := json.Unmarshal([]byte(os.Getenv(migratorVariable)), &job); err != nil {
		t.Skip("run by other tests only")
	}
	db, err := holdfast.Open(t.Context(), job.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	in := bufio.NewReader(os.Stdin)
	fmt.Println("ready")
	if _, err := in.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	r, err := holdfast.Migrate(t.Context(), db, func(tool *sql.DB) error {
		if number(t, tool, "PRAGMA user_version") == 1 {
			return nil
		}
		must(t, tool, rebuildParent)
		must(t, tool, "UPDATE parent SET rank = rank + 1")
		if job.Stop {
			// More than fits the page cache, so that some of it is in the log.
			must(t, tool, "CREATE TABLE large AS WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM r WHERE i < 20000) SELECT randomblob(1000) FROM r")
			fmt.Println("inside")
			_, err := in.ReadString('\n')
			return err
		}
		must(t, tool, "PRAGMA user_version=1")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("changed", r.Changed)
}

// startMigrator starts a process, which waits.
func startMigrator(ctx context.Context, t *testing.T, job migrator) *process {
	t.Helper()
	return startProcess(ctx, t, "TestMigrator", migratorVariable, job)
}

func TestThreeProcessesMigrateOnce(t *testing.T) {
	t.Parallel()
	db := openFamily(t)
	path := db.Path()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	var all []*process
	for range 3 {
		all = append(all, startMigrator(t.Context(), t, migrator{Path: path}))
	}
	for _, p := range all {
		p.begin(t)
	}
	changed := 0
	for _, p := range all {
		for p.out.Scan() {
			if p.out.Text() == "changed true" {
				changed++
			}
		}
		if err := p.finish(); err != nil {
			t.Error(err)
		}
	}
	again := openAt(t, path)
	if changed != 1 || number(t, again, "SELECT sum(rank) FROM parent") != 4 || number(t, again, "SELECT count(*) FROM child") != 3 {
		t.Errorf("%d have applied it, ranks %s", changed, text(t, again, "SELECT group_concat(rank) FROM parent"))
	}
}

func TestMigrateIsKilled(t *testing.T) {
	t.Parallel()
	db := openFamily(t)
	p := startMigrator(t.Context(), t, migrator{Path: db.Path(), Stop: true})
	p.begin(t)
	p.waitFor(t, "inside")
	// Who comes meanwhile learns who is at it.
	_, err := holdfast.Migrate(t.Context(), db, texts(rebuildParent), holdfast.MigrateWait(time.Millisecond))
	var e *holdfast.Error
	if !errors.Is(err, holdfast.ErrBusy) || !errors.As(err, &e) || runtime.GOOS == "linux" && (e.Holder == nil || e.Holder.PID != p.cmd.Process.Pid) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := holdfast.Migrate(ctx, db, texts(rebuildParent)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("its context has ended: %v", err)
	}
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.cmd.Wait() // it was killed
	check(t, db)
	if hasRank(t, db) || number(t, db, "SELECT count(*) FROM child") != 3 || number(t, db, "SELECT count(*) FROM sqlite_schema WHERE name = 'large'") != 0 {
		t.Error("something of the migration is there")
	}
	if r := migrate(t, db, texts(rebuildParent, "PRAGMA user_version=1")); !r.Changed || r.Backup == "" || !hasRank(t, db) {
		t.Errorf("%+v", r)
	}
}
