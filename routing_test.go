package holdfast_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
)

func ctx() context.Context { return context.Background() }

// series is a SELECT of expr for value = 1 to n.
func series(n int, expr string) string {
	return fmt.Sprintf("WITH RECURSIVE s(value) AS (SELECT 1 UNION ALL SELECT value+1 FROM s WHERE value < %d) SELECT %s FROM s", n, expr)
}

// conn checks out one session.
func conn(t *testing.T, db *holdfast.DB) *sql.Conn {
	t.Helper()
	c, err := db.Conn(ctx())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestReturningThroughQuery(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db, "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT)")
	// One row is read, all are written.
	if id := number(t, db, "INSERT INTO t(a) VALUES ('x'), ('y'), ('z') RETURNING id"); id != 1 {
		t.Errorf("first id is %d", id)
	}
	if n := number(t, db, "SELECT count(*) FROM t"); n != 3 {
		t.Errorf("%d rows, want 3", n)
	}
	rows, err := db.Query("DELETE FROM t WHERE id > ? RETURNING a", 1)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		got = append(got, s)
	}
	if err := rows.Err(); err != nil || len(got) != 2 {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestCTEThatWrites(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db, "CREATE TABLE t(a)")
	r := must(t, db, "WITH v(x) AS (VALUES (1),(2)) INSERT INTO t SELECT x FROM v")
	if n, _ := r.RowsAffected(); n != 2 {
		t.Errorf("RowsAffected = %d", n)
	}
	if n := number(t, db, "WITH v(x) AS (SELECT a FROM t) SELECT sum(x) FROM v"); n != 3 {
		t.Errorf("sum = %d", n)
	}
}

func TestPragmaThatReads(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db, "CREATE TABLE t(a INTEGER, b TEXT)")
	for query, want := range map[string]string{
		"PRAGMA foreign_keys": "1", "PRAGMA synchronous": "2", "PRAGMA journal_mode": "wal", "PRAGMA busy_timeout": "30000",
		"PRAGMA journal_mode=WAL": "wal", "PRAGMA user_version": "0", "PRAGMA trusted_schema": "0", "PRAGMA auto_vacuum": "2",
	} {
		if got := text(t, db, query); got != want {
			t.Errorf("%s = %s, want %s", query, got, want)
		}
	}
	if n := number(t, db, "SELECT count(*) FROM pragma_table_info('t')"); n != 2 {
		t.Errorf("table_info has %d rows", n)
	}
	if created := db.Stats().ConnectionsCreated; created > 2 {
		t.Errorf("%d connections for reading pragmas", created)
	}
}

func TestPragmaThatSetsPinsTheSession(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db, "CREATE TABLE p(id INTEGER PRIMARY KEY)")
	must(t, db, "CREATE TABLE c(p REFERENCES p(id))")
	a, b := conn(t, db), conn(t, db)
	must(t, a, "PRAGMA foreign_keys=OFF")
	must(t, a, "INSERT INTO c VALUES (42)")
	if got := text(t, a, "PRAGMA foreign_keys"); got != "0" {
		t.Errorf("the session that set it reads %s", got)
	}
	if got := text(t, b, "PRAGMA foreign_keys"); got != "1" {
		t.Errorf("another session reads %s", got)
	}
	if _, err := b.ExecContext(ctx(), "INSERT INTO c VALUES (43)"); !strings.Contains(fmt.Sprint(err), "FOREIGN KEY constraint failed") {
		t.Errorf("another session: %v", err)
	}
	tx, err := a.BeginTx(ctx(), nil)
	if err != nil {
		t.Fatal(err)
	}
	must(t, tx, "INSERT INTO c VALUES (44)")
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	must(t, a, "PRAGMA foreign_keys=ON") // back to what everybody has
	if _, err := a.ExecContext(ctx(), "INSERT INTO c VALUES (45)"); err == nil {
		t.Error("foreign keys are still off")
	}
	must(t, a, "PRAGMA foreign_keys=''") // sets, too, where PRAGMA foreign_keys asks
	if got, others := text(t, a, "PRAGMA foreign_keys"), text(t, b, "PRAGMA foreign_keys"); got != "0" || others != "1" {
		t.Errorf("set to an empty value: the session reads %s and another one %s", got, others)
	}
	must(t, db, "DELETE FROM c")
}

func TestPragmaThatEndangersIsRefused(t *testing.T) {
	t.Parallel()
	db := open(t)
	for _, q := range []string{"PRAGMA journal_mode=OFF", "PRAGMA journal_mode = MEMORY", "PRAGMA synchronous=OFF", "PRAGMA synchronous=0"} {
		if _, err := db.Exec(q); !errors.Is(err, holdfast.ErrRefused) {
			t.Errorf("%s: %v", q, err)
		}
	}
	must(t, db, "PRAGMA user_version = 7")
	if n := number(t, db, "PRAGMA user_version"); n != 7 {
		t.Errorf("user_version = %d", n)
	}
}

func TestAttachPins(t *testing.T) {
	t.Parallel()
	db := open(t)
	other := filepath.Join(t.TempDir(), "other.db")
	must(t, db, "CREATE TABLE t(a)")
	c := conn(t, db)
	must(t, c, "ATTACH ? AS other", other)
	must(t, c, "CREATE TABLE other.x(a)")
	must(t, c, "INSERT INTO other.x VALUES (1)")
	tx, err := c.BeginTx(ctx(), nil)
	if err != nil {
		t.Fatal(err)
	}
	must(t, tx, "INSERT INTO other.x VALUES (2)")
	must(t, tx, "INSERT INTO t SELECT a FROM other.x")
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if n := number(t, c, "SELECT count(*) FROM other.x"); n != 2 {
		t.Errorf("%d rows in the attached database", n)
	}
	if n := number(t, db, "SELECT count(*) FROM t"); n != 2 {
		t.Errorf("%d rows in main", n)
	}
	if _, err := db.Exec("INSERT INTO other.x VALUES (3)"); err == nil {
		t.Error("another session sees the attached database")
	}
	must(t, c, "DETACH other")
	if _, err := c.ExecContext(ctx(), "INSERT INTO other.x VALUES (3)"); err == nil {
		t.Error("still attached")
	}
}

func TestSidecarsAreNoDatabases(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db, "CREATE TABLE t(a)")
	link := filepath.Join(t.TempDir(), "innocent.db")
	symlink(t, db.Path()+"-shm", link)
	c := conn(t, db)
	for _, name := range []string{db.Path() + "-shm", db.Path() + "-wal", link} {
		for _, query := range []string{"ATTACH ? AS x", "VACUUM INTO ?"} {
			if _, err := c.ExecContext(ctx(), query, name); !errors.Is(err, holdfast.ErrRefused) {
				t.Errorf("%s %s: %v", query, name, err)
			}
			literal := strings.Replace(query, "?", "'"+name+"'", 1)
			if _, err := c.ExecContext(ctx(), literal); !errors.Is(err, holdfast.ErrRefused) {
				t.Errorf("%s: %v", literal, err)
			}
		}
	}
}

func TestTempTables(t *testing.T) {
	t.Parallel()
	db := open(t)
	c := conn(t, db)
	must(t, c, "CREATE TEMP TABLE scratch(a)")
	must(t, c, "INSERT INTO scratch VALUES (1), (2)")
	if n := number(t, c, "SELECT count(*) FROM scratch"); n != 2 {
		t.Errorf("%d rows", n)
	}
	if _, err := db.Exec("INSERT INTO scratch VALUES (3)"); err == nil {
		t.Error("another session sees the TEMP table")
	}
	must(t, c, "DROP TABLE scratch")

	// Created inside a transaction it stays with the session, not the writer.
	tx, err := c.BeginTx(ctx(), nil)
	if err != nil {
		t.Fatal(err)
	}
	must(t, tx, "CREATE TEMP TABLE inner_scratch(a)")
	must(t, tx, "INSERT INTO inner_scratch VALUES (1)")
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if n := number(t, c, "SELECT count(*) FROM inner_scratch"); n != 1 {
		t.Errorf("%d rows", n)
	}
	if _, err := db.Exec("INSERT INTO inner_scratch VALUES (3)"); err == nil {
		t.Error("the writer kept the TEMP table")
	}
	must(t, db, "CREATE TABLE t(a)") // the writer still works
}

func TestTextualTransactions(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db, "CREATE TABLE t(a)")
	c := conn(t, db)
	must(t, c, "BEGIN")
	must(t, c, "INSERT INTO t VALUES (1)")
	if n := number(t, c, "SELECT count(*) FROM t"); n != 1 {
		t.Errorf("inside: %d", n)
	}
	if n := number(t, db, "SELECT count(*) FROM t"); n != 0 {
		t.Errorf("outside: %d", n)
	}
	must(t, c, "COMMIT")
	must(t, c, "BEGIN IMMEDIATE")
	must(t, c, "INSERT INTO t VALUES (2)")
	must(t, c, "ROLLBACK")
	must(t, db, "BEGIN; INSERT INTO t VALUES (3); INSERT INTO t VALUES (4); COMMIT;")
	if n := number(t, db, "SELECT count(*) FROM t"); n != 3 {
		t.Errorf("%d rows, want 3", n)
	}
	if _, err := c.ExecContext(ctx(), "COMMIT"); err == nil || !strings.Contains(err.Error(), "no transaction is active") {
		t.Errorf("COMMIT without BEGIN: %v", err)
	}
	// A text that fails half way leaves no transaction behind.
	if _, err := db.Exec("BEGIN; INSERT INTO t VALUES (5); INSERT INTO nowhere VALUES (1); COMMIT"); err == nil {
		t.Error("no error")
	}
	must(t, db, "INSERT INTO t VALUES (6)")
	if n := number(t, db, "SELECT count(*) FROM t"); n != 4 {
		t.Errorf("%d rows, want 4", n)
	}
}

// TestTextualTransactionThroughThePool: an error in it must not end it behind
// the program's back, or what follows would commit by itself.
func TestTextualTransactionThroughThePool(t *testing.T) {
	t.Parallel()
	db := open(t)
	db.SetMaxOpenConns(1)
	must(t, db, "CREATE TABLE t(a UNIQUE)")
	must(t, db, "BEGIN")
	must(t, db, "INSERT INTO t VALUES (1)")
	if _, err := db.Exec("INSERT INTO t VALUES (1)"); err == nil {
		t.Error("no error")
	}
	must(t, db, "INSERT INTO t VALUES (2)")
	must(t, db, "ROLLBACK")
	if n := number(t, db, "SELECT count(*) FROM t"); n != 0 {
		t.Errorf("%d rows after ROLLBACK", n)
	}
	_, err := db.Exec("ROLLBACK")
	if err == nil || err.Error() != "SQL logic error: cannot rollback - no transaction is active (1)" {
		t.Errorf("got %v", err)
	}
}

func TestTextsWithoutAStatement(t *testing.T) {
	t.Parallel()
	db := open(t)
	for _, query := range []string{"", "  \n", ";", "-- nothing", "/* nothing */"} {
		must(t, db, query)
		if err := db.QueryRow(query).Scan(new(int)); !errors.Is(err, sql.ErrNoRows) {
			t.Errorf("%q: %v", query, err)
		}
	}
	s, err := db.Prepare("-- nothing")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Exec(); err != nil {
		t.Error(err)
	}
}

func TestSavepoints(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db, "CREATE TABLE t(a)")
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	must(t, tx, "INSERT INTO t VALUES (1)")
	must(t, tx, "SAVEPOINT one")
	must(t, tx, "INSERT INTO t VALUES (2)")
	must(t, tx, "SAVEPOINT two")
	must(t, tx, "INSERT INTO t VALUES (3)")
	must(t, tx, "ROLLBACK TO two")
	must(t, tx, "RELEASE one")
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if n := number(t, db, "SELECT sum(a) FROM t"); n != 3 {
		t.Errorf("sum = %d, want 3", n)
	}
	// Outside a transaction SAVEPOINT opens one and its RELEASE commits it.
	c := conn(t, db)
	must(t, c, "SAVEPOINT outer")
	must(t, c, "INSERT INTO t VALUES (10)")
	must(t, c, "RELEASE outer")
	if n := number(t, db, "SELECT sum(a) FROM t"); n != 13 {
		t.Errorf("sum = %d, want 13", n)
	}
}

func TestSeveralStatementsInOneExec(t *testing.T) {
	t.Parallel()
	db := open(t)
	r := must(t, db, `CREATE TABLE t(id INTEGER PRIMARY KEY, a); -- a comment; with a semicolon
		INSERT INTO t(a) VALUES ('one;two');
		/* between */ INSERT INTO t(a) VALUES ('three'), ('four');  `)
	if n, _ := r.RowsAffected(); n != 2 {
		t.Errorf("RowsAffected of the last statement = %d", n)
	}
	if id, _ := r.LastInsertId(); id != 3 {
		t.Errorf("LastInsertId = %d", id)
	}
	must(t, db, "-- nothing but a comment")
	if _, err := db.Query("SELECT 1; DROP TABLE t"); !errors.Is(err, holdfast.ErrInvalid) {
		t.Errorf("two statements in Query: %v", err)
	}
	if n := number(t, db, "SELECT count(*) FROM t; -- a comment may follow"); n != 3 {
		t.Errorf("%d rows", n)
	}
}

func TestCountersOfTheSession(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db, "CREATE TABLE t(id INTEGER PRIMARY KEY, a)")
	a, b := conn(t, db), conn(t, db)
	must(t, a, "INSERT INTO t VALUES (100, 1), (101, 1)")
	must(t, b, "INSERT INTO t VALUES (200, 1)")
	if id := number(t, a, "SELECT last_insert_rowid()"); id != 101 {
		t.Errorf("a: last_insert_rowid() = %d", id)
	}
	if n := number(t, a, "SELECT changes()"); n != 2 {
		t.Errorf("a: changes() = %d", n)
	}
	if id := number(t, b, "SELECT last_insert_rowid()"); id != 200 {
		t.Errorf("b: last_insert_rowid() = %d", id)
	}
	if n := number(t, a, "SELECT total_changes()"); n != 2 {
		t.Errorf("a: total_changes() = %d", n)
	}
	r := must(t, a, "INSERT INTO t SELECT 300, last_insert_rowid()")
	if id, _ := r.LastInsertId(); id != 300 {
		t.Errorf("LastInsertId = %d", id)
	}
	if v := number(t, db, "SELECT a FROM t WHERE id = 300"); v != 101 {
		t.Errorf("last_insert_rowid() inside a write = %d, want the session's own 101", v)
	}
	r = must(t, b, "UPDATE t SET a = 2 WHERE id > 1000")
	if n, _ := r.RowsAffected(); n != 0 {
		t.Errorf("RowsAffected = %d", n)
	}
	if n := number(t, b, "SELECT changes()"); n != 0 {
		t.Errorf("changes() = %d", n)
	}
}

func TestVacuum(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db, "CREATE TABLE t(a)")
	must(t, db, "INSERT INTO t "+series(200, "randomblob(1000)"))
	must(t, db, "DELETE FROM t")
	must(t, db, "VACUUM")
	rows, err := db.Query("VACUUM") // as golang-migrate does, and never closes the rows
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	must(t, db, "INSERT INTO t VALUES (1)")
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec("VACUUM"); !errors.Is(err, holdfast.ErrRefused) {
		t.Errorf("VACUUM in a transaction: %v", err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	var busyFlag, logFrames, copied int
	if err := db.QueryRow("PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busyFlag, &logFrames, &copied); err != nil || busyFlag != 0 {
		t.Errorf("checkpoint: %d %d %d %v", busyFlag, logFrames, copied, err)
	}
	out := filepath.Join(t.TempDir(), "copy.db")
	must(t, db, "VACUUM INTO ?", out)
	if n := number(t, openAt(t, out), "SELECT count(*) FROM t"); n != 1 {
		t.Errorf("the copy has %d rows", n)
	}
}

func TestRowsLeftOpenAcrossAWrite(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db, "CREATE TABLE t(a)")
	must(t, db, "INSERT INTO t "+series(1000, "value"))
	rows, err := db.Query("SELECT a FROM t ORDER BY a")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	rows.Next()
	must(t, db, "UPDATE t SET a = a + 1000000")
	must(t, db, "CREATE TABLE u(a)")
	n, last := 1, 0
	for rows.Next() {
		n++
		if err := rows.Scan(&last); err != nil {
			t.Fatal(err)
		}
	}
	if n != 1000 || last != 1000 {
		t.Errorf("the open result has %d rows, last %d: it left its snapshot", n, last)
	}
}

func TestWriteWhileIterating(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db, "CREATE TABLE t(id INTEGER PRIMARY KEY, a)")
	must(t, db, "INSERT INTO t(a) "+series(500, "0"))
	rows, err := db.Query("SELECT id FROM t")
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		var id int
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		must(t, db, "UPDATE t SET a = a + 1 WHERE id = ?", id)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if n := number(t, db, "SELECT sum(a) FROM t"); n != 500 {
		t.Errorf("sum = %d", n)
	}
	// The same inside one transaction, on one connection.
	err = db.Update(ctx(), func(tx *sql.Tx) error {
		rows, err := tx.Query("SELECT id FROM t")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id int
			if err := rows.Scan(&id); err != nil {
				return err
			}
			if _, err := tx.Exec("UPDATE t SET a = a + 1 WHERE id = ?", id); err != nil {
				return err
			}
		}
		return rows.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := number(t, db, "SELECT sum(a) FROM t"); n != 1000 {
		t.Errorf("sum = %d", n)
	}
}

func TestPreparedStatementsOutliveSchemaChanges(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db, "CREATE TABLE t(id INTEGER PRIMARY KEY, a)")
	all, err := db.Prepare("SELECT * FROM t WHERE id = ?")
	if err != nil {
		t.Fatal(err)
	}
	defer all.Close()
	insert, err := db.Prepare("INSERT INTO t(a) VALUES (?)")
	if err != nil {
		t.Fatal(err)
	}
	defer insert.Close()
	columns := func() int {
		t.Helper()
		rows, err := all.Query(1)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		names, err := rows.Columns()
		if err != nil || !rows.Next() {
			t.Fatal(err, rows.Err())
		}
		return len(names)
	}
	if _, err := insert.Exec(1); err != nil {
		t.Fatal(err)
	}
	if n := columns(); n != 2 {
		t.Errorf("%d columns", n)
	}
	must(t, db, "ALTER TABLE t ADD COLUMN b DEFAULT 5")
	if n := columns(); n != 3 {
		t.Errorf("%d columns after ALTER", n)
	}
	must(t, db, "DROP TABLE t")
	if _, err := insert.Exec(1); err == nil {
		t.Error("no error without the table")
	}
	must(t, db, "CREATE TABLE t(id INTEGER PRIMARY KEY, a)")
	if _, err := insert.Exec(1); err != nil {
		t.Error(err)
	}
	if _, err := db.Prepare("SELECT * FROM nowhere"); err == nil || !strings.Contains(err.Error(), "SQL logic error: no such table: nowhere") {
		t.Errorf("prepare of a missing table: %v", err)
	}
}

func TestReadOnlyTransactionRefusesWrites(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db, "CREATE TABLE t(a)")
	err := db.View(ctx(), func(tx *sql.Tx) error {
		_, err := tx.Exec("INSERT INTO t VALUES (1)")
		return err
	})
	if !errors.Is(err, holdfast.ErrReadOnlyTx) || !strings.Contains(err.Error(), "routing_test.go:") {
		t.Errorf("got %v", err)
	}
	var e *holdfast.Error
	if !errors.As(err, &e) || e.Code != 8 || e.SQL != "INSERT INTO t VALUES (?)" {
		t.Errorf("got %#v", e)
	}
	err = db.View(ctx(), func(tx *sql.Tx) error {
		before := number(t, tx, "SELECT count(*) FROM t")
		must(t, db, "INSERT INTO t VALUES (1)")
		if after := number(t, tx, "SELECT count(*) FROM t"); after != before {
			t.Errorf("the snapshot moved from %d to %d", before, after)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestOptimisticTransactions(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db, "CREATE TABLE t(a)")
	must(t, db, "INSERT INTO t VALUES (1)")
	groups := db.Stats().Writer.Groups

	read, err := db.BeginTx(ctx(), &sql.TxOptions{Isolation: sql.LevelSnapshot})
	if err != nil {
		t.Fatal(err)
	}
	number(t, read, "SELECT a FROM t")
	if err := read.Commit(); err != nil {
		t.Fatal(err)
	}
	if n := db.Stats().Writer.Groups; n != groups {
		t.Errorf("a transaction that only read took the writer")
	}

	clean, err := db.BeginTx(ctx(), &sql.TxOptions{Isolation: sql.LevelSnapshot})
	if err != nil {
		t.Fatal(err)
	}
	n := number(t, clean, "SELECT a FROM t")
	must(t, clean, "UPDATE t SET a = ?", n+1)
	if err := clean.Commit(); err != nil {
		t.Fatal(err)
	}

	stale, err := db.BeginTx(ctx(), &sql.TxOptions{Isolation: sql.LevelSnapshot})
	if err != nil {
		t.Fatal(err)
	}
	number(t, stale, "SELECT a FROM t")
	must(t, db, "UPDATE t SET a = a + 1")
	if _, err := stale.Exec("UPDATE t SET a = 0"); !errors.Is(err, holdfast.ErrConflict) {
		t.Errorf("a stale snapshot wrote: %v", err)
	}
	_ = stale.Rollback()

	runs := 0
	err = db.Update(ctx(), func(tx *sql.Tx) error {
		runs++
		n := number(t, tx, "SELECT a FROM t")
		if runs == 1 {
			must(t, db, "UPDATE t SET a = a + 1")
		}
		_, err := tx.Exec("UPDATE t SET a = ?", n+10)
		return err
	}, holdfast.Optimistic())
	if err != nil || runs != 2 {
		t.Errorf("runs = %d, %v", runs, err)
	}
	if n := number(t, db, "SELECT a FROM t"); n != 14 {
		t.Errorf("a = %d, want 14", n)
	}
}

func TestTimes(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db, "CREATE TABLE t(d DATETIME, s TIMESTAMP, n TEXT)")
	zone := time.FixedZone("", 2*3600)
	in := time.Date(2026, 11, 22, 21, 30, 15, 123456789, zone)
	must(t, db, "INSERT INTO t VALUES (?, ?, ?)", in, in.UTC(), in)
	var d, s time.Time
	var n string
	if err := db.QueryRow("SELECT d, s, n FROM t").Scan(&d, &s, &n); err != nil {
		t.Fatal(err)
	}
	if !d.Equal(in) || !s.Equal(in) {
		t.Errorf("got %v and %v", d, s)
	}
	if _, off := d.Zone(); off != 2*3600 {
		t.Errorf("the zone is lost: %v", d)
	}
	if got := text(t, db, "SELECT strftime('%Y-%m-%d %H:%M:%S', d) FROM t"); got != "2026-11-22 19:30:15" {
		t.Errorf("SQLite reads %s", got)
	}
}
