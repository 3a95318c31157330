package replicate

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/backup"
)

// ran replicates what do does with a database, in one run of a program.
func ran(t testing.TB, path, target string, do func(*holdfast.DB), set ...func(*holdfast.ReplicationConfig)) error {
	t.Helper()
	db, err := holdfast.Open(t.Context(), path, to(target, set...))
	if err != nil {
		return err
	}
	do(db)
	check(t, db.DB)
	return db.Close()
}

func takeOver(c *holdfast.ReplicationConfig) { c.TakeOver = holdfast.On }

func rows(t testing.TB, first, last int64) func(*holdfast.DB) {
	return func(db *holdfast.DB) {
		write(t, db, "CREATE TABLE IF NOT EXISTS t(n INTEGER PRIMARY KEY)")
		for n := first; n <= last; n++ {
			write(t, db, "INSERT INTO t VALUES (?)", n)
		}
	}
}

func wantHistory(t testing.TB, what string, err error) {
	t.Helper()
	var history *HistoryError
	if !errors.As(err, &history) || !errors.Is(err, holdfast.ErrRefused) {
		t.Errorf("%s: %v", what, err)
	}
}

// A target with a history that nothing here shows to be the database's own is refused,
// and taken over only when that is asked for; both histories stay what they were.
func TestAnotherHistoryIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	target := filepath.Join(dir, "replica")
	a, b := filepath.Join(dir, "a.db"), filepath.Join(dir, "b.db")
	state := func(path string) string {
		return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"-litestream")
	}
	must(t, ran(t, a, target, rows(t, 0, 9)))

	wantHistory(t, "another database", ran(t, b, target, rows(t, 100, 109)))
	if _, err := os.Stat(state(b)); err == nil {
		t.Error("a refused replication left a directory that says the log is somebody else's")
	}

	// The state lost, stale, and that of another database.
	kept := filepath.Join(dir, "kept")
	must(t, os.CopyFS(kept, os.DirFS(state(a))))
	must(t, ran(t, a, target, rows(t, 10, 19)))
	later := filepath.Join(dir, "later")
	must(t, os.Rename(state(a), later))
	wantHistory(t, "lost state", ran(t, a, target, rows(t, 20, 29)))
	must(t, os.Rename(kept, state(a)))
	wantHistory(t, "stale state", ran(t, a, target, rows(t, 20, 29)))
	must(t, os.RemoveAll(state(a)))
	must(t, ran(t, b, filepath.Join(dir, "b"), rows(t, 100, 109)))
	must(t, os.CopyFS(state(a), os.DirFS(state(b))))
	wantHistory(t, "another's state", ran(t, a, target, rows(t, 20, 29)))

	before, err := List(t.Context(), target, false)
	must(t, err)
	must(t, ran(t, a, target, rows(t, 20, 29), takeOver))
	s, _ := restored(t, target, At{})
	wantNumbers(t, s, 0, 29)
	s, _ = restored(t, target, At{Transaction: before.Latest.Transaction})
	wantNumbers(t, s, 0, 19)

	// Once taken over it is its own.
	must(t, ran(t, a, target, rows(t, 30, 39)))
	s, _ = restored(t, target, At{})
	wantNumbers(t, s, 0, 39)
}

// A database that was restored to an earlier state goes on under its target without
// a blend: each state of both is restored as it was.
func TestRestoredDatabaseGoesOn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, target := filepath.Join(dir, "app.db"), filepath.Join(dir, "replica")
	must(t, ran(t, path, target, rows(t, 0, 9)))
	early, err := List(t.Context(), target, false)
	must(t, err)
	must(t, ran(t, path, target, rows(t, 10, 49)))
	late, err := List(t.Context(), target, false)
	must(t, err)
	_, err = backup.Restore(t.Context(), Source(target, At{Transaction: early.Latest.Transaction}), path, backup.RestoreOptions{})
	must(t, err)
	// As many transactions as there were, of the same size and with the same pages: only
	// the values differ.
	must(t, ran(t, path, target, func(db *holdfast.DB) {
		for n := range int64(40) {
			write(t, db, "INSERT INTO t VALUES (?)", 1000+n)
		}
	}))
	s, _ := restored(t, target, At{})
	if got := numbers(t, s, "SELECT count(*) FROM t WHERE n BETWEEN 10 AND 999"); got[0] != 0 {
		t.Errorf("%d rows of the other history", got[0])
	}
	if got := numbers(t, s, "SELECT count(*) FROM t"); got[0] != 50 {
		t.Errorf("%d rows", got[0])
	}
	s, _ = restored(t, target, At{Transaction: late.Latest.Transaction})
	wantNumbers(t, s, 0, 49)
	s, _ = restored(t, target, At{Transaction: early.Latest.Transaction})
	wantNumbers(t, s, 0, 9)
}

// A target that was emptied, or another one, gets everything from the beginning.
func TestNewTarget(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, target := filepath.Join(dir, "app.db"), filepath.Join(dir, "replica")
	must(t, ran(t, path, target, rows(t, 0, 9)))
	must(t, os.RemoveAll(target))
	must(t, ran(t, path, target, rows(t, 10, 19)))
	s, _ := restored(t, target, At{})
	wantNumbers(t, s, 0, 19)
	second := filepath.Join(dir, "second")
	must(t, ran(t, path, second, rows(t, 20, 29)))
	s, _ = restored(t, second, At{})
	wantNumbers(t, s, 0, 29)
	s, _ = restored(t, target, At{})
	wantNumbers(t, s, 0, 19)
	wantHistory(t, "back to the first", ran(t, path, target, rows(t, 30, 39)))
}

// What is put at the target by somebody else is noticed, and nothing is acknowledged
// from then on.
func TestSomebodyElseWritesToTheTarget(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	target := filepath.Join(dir, "replica")
	var all []*Replication
	var dbs []*holdfast.DB
	for _, name := range []string{"a.db", "b.db"} {
		db := openDB(t, filepath.Join(dir, name))
		write(t, db, "CREATE TABLE t(n INTEGER PRIMARY KEY)")
		r, err := Open(t.Context(), db.Path(), Config{Target: target, TakeOver: holdfast.On, Interval: time.Hour}, nil)
		must(t, err)
		await(t, r)
		all, dbs = append(all, r), append(dbs, db)
	}
	for n := range int64(5) { // the second one is ahead
		write(t, dbs[1], "INSERT INTO t VALUES (?)", n)
		await(t, all[1])
	}
	write(t, dbs[0], "INSERT INTO t VALUES (1)")
	itr, err := all[0].engine.client.LTXFiles(t.Context(), 0, 0, false) // as the tidying does twice a minute
	must(t, err)
	must(t, itr.Close())
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := all[0].Await(ctx); !errors.Is(err, ErrForeign) {
		t.Errorf("acknowledged beside another one: %v", err)
	}
	<-all[0].Ended()
	if err := all[0].Close(t.Context()); !errors.Is(err, ErrForeign) {
		t.Error(err)
	}
	must(t, all[1].Close(t.Context()))
}

// State that somebody removes while the database is replicated is made again.
func TestStateIsLostMeanwhile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	target := filepath.Join(dir, "replica")
	db := openDB(t, filepath.Join(dir, "app.db"), to(target, func(c *holdfast.ReplicationConfig) { c.Mode = Durable }))
	rows(t, 0, 9)(db)
	for n := range int64(3) {
		must(t, os.RemoveAll(filepath.Join(dir, ".app.db-litestream")))
		rows(t, 10+10*n, 19+10*n)(db)
	}
	s, _ := restored(t, target, At{})
	wantNumbers(t, s, 0, 39)
}

// A kill while one state beside the database is put in the place of another leaves
// one that shows whose the target is.
func TestKilledBetweenTwoStates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, target := filepath.Join(dir, "app.db"), filepath.Join(dir, "replica")
	state := filepath.Join(dir, ".app.db-litestream", "ltx")
	must(t, ran(t, path, target, rows(t, 0, 9)))
	must(t, os.CopyFS(state+"-next.tmp", os.DirFS(state))) // not complete
	must(t, ran(t, path, target, rows(t, 10, 19)))
	must(t, os.Rename(state, state+"-next")) // complete, and the one before is removed
	must(t, ran(t, path, target, rows(t, 20, 29)))
	if _, err := os.Stat(state + "-next"); err == nil {
		t.Error("it was not put in place")
	}
	s, _ := restored(t, target, At{})
	wantNumbers(t, s, 0, 29)
}

// content is every row of every table, but for Litestream's.
func content(t testing.TB, db *sql.DB) string {
	t.Helper()
	var out bytes.Buffer
	names, err := db.Query("SELECT name FROM sqlite_schema WHERE type='table' AND name NOT LIKE '\\_litestream%' ESCAPE '\\' AND name NOT LIKE 'sqlite%' ORDER BY name")
	must(t, err)
	defer names.Close()
	var tables []string
	for names.Next() {
		var name string
		must(t, names.Scan(&name))
		tables = append(tables, name)
	}
	must(t, names.Err())
	for _, name := range tables {
		rows, err := db.Query("SELECT * FROM \"" + name + "\"")
		must(t, err)
		columns, err := rows.Columns()
		must(t, err)
		for rows.Next() {
			values := make([]any, len(columns))
			for i := range values {
				values[i] = new(any)
			}
			must(t, rows.Scan(values...))
			fmt.Fprint(&out, name)
			for _, v := range values {
				fmt.Fprintf(&out, "|%v", *v.(*any))
			}
			fmt.Fprintln(&out)
		}
		must(t, rows.Err())
		_ = rows.Close()
	}
	return out.String()
}

// Databases of all kinds come back as they were, after VACUUM and changes of the schema too.
func TestKindsOfDatabases(t *testing.T) {
	t.Parallel()
	fill := "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM r WHERE i<2000) "
	for name, kind := range map[string]struct {
		set   func(*holdfast.Config)
		texts []string
	}{
		"empty":          {func(*holdfast.Config) {}, nil},
		"pages of 512":   {func(c *holdfast.Config) { c.Database.PageSize = 512 }, []string{"CREATE TABLE t(a, b)", fill + "INSERT INTO t SELECT i, hex(randomblob(300)) FROM r"}},
		"pages of 64KiB": {func(c *holdfast.Config) { c.Database.PageSize = 65536 }, []string{"CREATE TABLE t(a, b)", fill + "INSERT INTO t SELECT i, hex(randomblob(300)) FROM r"}},
		"vacuum": {func(*holdfast.Config) {}, []string{
			"CREATE TABLE t(a, b)", fill + "INSERT INTO t SELECT i, randomblob(900) FROM r", "DELETE FROM t WHERE a % 3", "VACUUM", "INSERT INTO t VALUES (-1, 2)",
		}},
		"auto_vacuum": {func(c *holdfast.Config) { c.Database.AutoVacuum = "FULL" }, []string{
			"CREATE TABLE t(a, b)", fill + "INSERT INTO t SELECT i, randomblob(900) FROM r", "DELETE FROM t WHERE a > 100", "INSERT INTO t VALUES (-1, 2)",
		}},
		"schema": {func(*holdfast.Config) {}, []string{
			"CREATE TABLE t(a, b)", fill + "INSERT INTO t SELECT i, i FROM r", "CREATE INDEX i ON t(b)", "ALTER TABLE t ADD COLUMN c DEFAULT 7",
			"CREATE TABLE u AS SELECT * FROM t", "DROP TABLE t", "CREATE VIEW v AS SELECT a FROM u", "ALTER TABLE u RENAME TO t",
		}},
		"without rowid, full text": {func(*holdfast.Config) {}, []string{
			"CREATE TABLE w(a TEXT PRIMARY KEY, b) WITHOUT ROWID", fill + "INSERT INTO w SELECT hex(i), i FROM r",
			"CREATE VIRTUAL TABLE f USING fts5(x)", fill + "INSERT INTO f SELECT 'word' || i || ' and more' FROM r", "INSERT INTO f(f) VALUES ('optimize')",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path, target := filepath.Join(dir, "app.db"), filepath.Join(dir, "replica")
			db := openDB(t, path, kind.set, to(target, func(c *holdfast.ReplicationConfig) { c.Interval = 20 * time.Millisecond }))
			for _, text := range kind.texts {
				write(t, db, text)
			}
			want := content(t, db.DB)
			var size int
			must(t, db.QueryRow("PRAGMA page_size").Scan(&size))
			for db.Stats().Replication.LagSeconds > 0 {
				<-time.After(time.Millisecond)
			}
			s, _ := restored(t, target, At{})
			if got := content(t, s); got != want || size == 0 {
				t.Errorf("%d bytes of rows, want %d", len(got), len(want))
			}
			var got int
			must(t, s.QueryRow("PRAGMA page_size").Scan(&got))
			if got != size {
				t.Errorf("pages of %d, want %d", got, size)
			}
			if name == "without rowid, full text" {
				if n := numbers(t, s, "SELECT count(*) FROM f WHERE f MATCH 'word77'"); n[0] != 1 {
					t.Error(n)
				}
			}
		})
	}
}

// When uploads have been merged, a restore to a time is to the end of the last step before
// it: never later.
func TestStepsAfterMerging(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	target := filepath.Join(dir, "replica")
	db := openDB(t, filepath.Join(dir, "app.db"))
	write(t, db, "CREATE TABLE t(n INTEGER PRIMARY KEY)")
	r, err := Open(t.Context(), db.Path(), Config{Target: target, ExactFor: time.Nanosecond, Interval: time.Hour}, nil)
	must(t, err)
	await(t, r)
	const steps, each = 5, 10
	var begun, acked []time.Time
	for n := range int64(steps * each) {
		begun = append(begun, time.Now())
		write(t, db, "INSERT INTO t VALUES (?)", n)
		await(t, r)
		acked = append(acked, time.Now())
		if n%each == each-1 {
			_, err := r.engine.db.Compact(t.Context(), 1) // as it does every half a minute
			must(t, err)
		}
	}
	must(t, r.Close(t.Context()))
	l, err := List(t.Context(), target, true)
	must(t, err)
	if len(l.Points) > steps+4 {
		t.Errorf("%d steps are left of %d: %+v", len(l.Points), steps, l.Points)
	}
	for i, at := range acked {
		if i < each {
			continue
		}
		at = at.Add(time.Millisecond)
		s, report := restored(t, target, At{Time: at})
		got := int64(len(numbers(t, s, "SELECT n FROM t")))
		wantNumbers(t, s, 0, got-1)
		least := int64(i+1) / each * each
		if got < least || begun[got-1].After(at) || report.RestoredTo.After(at) {
			t.Errorf("%d rows after %d: at least %d", got, i+1, least)
		}
	}
}
