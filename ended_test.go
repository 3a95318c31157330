package holdfast_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/holdfastdb/holdfast"
)

// Whoever has begun a transaction of a *sql.Tx ends it. A text that did it instead left
// the session with a transaction that belonged to nobody, and a write that was committed
// inside of an Update that had failed.
func TestATextDoesNotEndATransactionOfMethods(t *testing.T) {
	t.Parallel()
	pinned := func(run func(*sql.Conn, *sql.TxOptions, func(*sql.Tx) error) error, o *sql.TxOptions) func(*holdfast.DB, func(*sql.Tx) error) error {
		return func(db *holdfast.DB, fn func(*sql.Tx) error) error {
			c, err := db.Conn(ctx())
			if err != nil {
				return err
			}
			defer c.Close()
			if _, err := c.ExecContext(ctx(), "PRAGMA cache_size=50"); err != nil {
				return err
			}
			return run(c, o, fn)
		}
	}
	type beginner interface {
		BeginTx(context.Context, *sql.TxOptions) (*sql.Tx, error)
	}
	byMethods := func(db beginner, o *sql.TxOptions, fn func(*sql.Tx) error) error {
		tx, err := db.BeginTx(ctx(), o)
		if err != nil {
			return err
		}
		if err := fn(tx); err != nil {
			return errors.Join(err, tx.Rollback())
		}
		return tx.Commit()
	}
	onConn := func(c *sql.Conn, o *sql.TxOptions, fn func(*sql.Tx) error) error { return byMethods(c, o, fn) }
	for name, one := range map[string]struct {
		run    func(*holdfast.DB, func(*sql.Tx) error) error
		writes bool
	}{
		"Update": {func(db *holdfast.DB, fn func(*sql.Tx) error) error { return db.Update(ctx(), fn) }, true},
		"Update, optimistic": {func(db *holdfast.DB, fn func(*sql.Tx) error) error {
			return db.Update(ctx(), fn, holdfast.Optimistic())
		}, true},
		"BeginTx":                      {func(db *holdfast.DB, fn func(*sql.Tx) error) error { return byMethods(db, nil, fn) }, true},
		"BeginTx in a session apart":   {pinned(onConn, nil), true},
		"View":                         {func(db *holdfast.DB, fn func(*sql.Tx) error) error { return db.View(ctx(), fn) }, false},
		"read-only in a session apart": {pinned(onConn, &sql.TxOptions{ReadOnly: true}), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := open(t)
			db.SetMaxOpenConns(2)
			must(t, db, "CREATE TABLE t(a)")
			write := func(tx *sql.Tx) {
				t.Helper()
				if _, err := tx.Exec("INSERT INTO t VALUES (1)"); (err == nil) != one.writes || !one.writes && !errors.Is(err, holdfast.ErrReadOnlyTx) {
					t.Errorf("INSERT: %v", err)
				}
			}
			want := int64(0)
			for _, text := range []string{
				"COMMIT", "END", "ROLLBACK", "/* all of it */ commit transaction", "COMMIT; BEGIN IMMEDIATE", "ROLLBACK; BEGIN; INSERT INTO t VALUES (2)",
				"SELECT 1; COMMIT; BEGIN IMMEDIATE; INSERT INTO t VALUES (2)", "END; SAVEPOINT a; INSERT INTO t VALUES (2)",
			} {
				failed := errors.New("failed on purpose")
				for _, end := range []error{nil, failed} {
					err := one.run(db, func(tx *sql.Tx) error {
						write(tx)
						if _, err := tx.Exec(text); !errors.Is(err, holdfast.ErrRefused) {
							t.Errorf("%s: %v", text, err)
						}
						s, err := tx.Prepare("COMMIT")
						if err != nil {
							t.Error(err)
							return end
						}
						if _, err := s.Exec(); !errors.Is(err, holdfast.ErrRefused) {
							t.Errorf("prepared: %v", err)
						}
						write(tx)
						return end
					})
					if !errors.Is(err, end) {
						t.Errorf("%s: %v", text, err)
					}
					if end == nil && one.writes {
						want += 2
					}
					if n := number(t, db, "SELECT count(*) FROM t"); n != want {
						t.Fatalf("%s: %d rows, want %d", text, n, want)
					}
				}
				if err := db.Update(ctx(), func(tx *sql.Tx) error { return nil }); err != nil {
					t.Errorf("the next Update, after %s: %v", text, err)
				}
			}
		})
	}
}

// So it is in the savepoints that transactions are inside of a Migrate.
func TestATextDoesNotEndATransactionOfAMigration(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db, "CREATE TABLE t(a)")
	migrate(t, db, func(tool *sql.DB) error {
		for _, text := range []string{"COMMIT", "ROLLBACK", "END; BEGIN"} {
			tx, err := tool.Begin()
			if err != nil {
				return err
			}
			must(t, tx, "INSERT INTO t VALUES (1)")
			if _, err := tx.Exec(text); !errors.Is(err, holdfast.ErrRefused) {
				t.Errorf("%s: %v", text, err)
			}
			if err := tx.Commit(); err != nil {
				t.Errorf("%s: %v", text, err)
			}
		}
		return nil
	})
	if n := number(t, db, "SELECT count(*) FROM t"); n != 3 {
		t.Errorf("%d rows", n)
	}
}

// What savepoints leave open ends with the transaction, also in a shared COMMIT.
func TestSavepointsLeftOpen(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db, "CREATE TABLE t(a)")
	for i := range 20 {
		err := db.Update(ctx(), func(tx *sql.Tx) error {
			for _, s := range []string{"SAVEPOINT a", "INSERT INTO t VALUES (1)", "SAVEPOINT b", "INSERT INTO t VALUES (2)", "ROLLBACK TO b"} {
				must(t, tx, s)
			}
			for _, s := range []string{"RELEASE holdfast_unit", `ROLLBACK TO "Holdfast_Unit"`, "SAVEPOINT [HOLDFAST_UNIT]"} {
				if _, err := tx.Exec(s); !errors.Is(err, holdfast.ErrRefused) {
					t.Errorf("%s: %v", s, err)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if n := number(t, db, "SELECT count(*) FROM t"); n != int64(i+1) {
			t.Fatalf("%d rows after %d", n, i+1)
		}
	}
}
