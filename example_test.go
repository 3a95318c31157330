package holdfast_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/holdfastdb/holdfast"
)

// exampleDB opens a scratch database for an example.
func exampleDB() (*holdfast.DB, func()) {
	dir, err := os.MkdirTemp("", "holdfast-example-")
	if err != nil {
		panic(err)
	}
	db, err := holdfast.Open(context.Background(), filepath.Join(dir, "app.db"))
	if err != nil {
		panic(err)
	}
	if _, err := db.Exec("CREATE TABLE account(id INTEGER PRIMARY KEY, owner TEXT UNIQUE, cents INTEGER NOT NULL CHECK (cents >= 0))"); err != nil {
		panic(err)
	}
	return db, func() {
		if err := db.Close(); err != nil {
			fmt.Println(err)
		}
		if err := os.RemoveAll(dir); err != nil {
			fmt.Println(err)
		}
	}
}

func Example() {
	ctx := context.Background()
	db, err := holdfast.Open(ctx, ":memory:") // a file name, in a program
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, "CREATE TABLE greeting(text)"); err != nil {
		fmt.Println(err)
		return
	}
	if _, err := db.ExecContext(ctx, "INSERT INTO greeting VALUES (?)", "hello"); err != nil {
		fmt.Println(err)
		return
	}
	var text string
	if err := db.QueryRowContext(ctx, "SELECT text FROM greeting").Scan(&text); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(text)
	// Output: hello
}

func ExampleMigrate() {
	db, done := exampleDB()
	defer done()
	ctx := context.Background()
	_, err := db.Exec(`CREATE TABLE entry(id INTEGER PRIMARY KEY, account_id INTEGER REFERENCES account(id) ON DELETE CASCADE);
		INSERT INTO account(owner, cents) VALUES ('ada', 500); INSERT INTO entry(account_id) VALUES (1), (1)`)
	if err != nil {
		fmt.Println(err)
		return
	}
	// In a program the function calls goose, golang-migrate or GORM's AutoMigrate.
	upgrade := func(db *sql.DB) error {
		var version int
		if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil || version >= 1 {
			return err
		}
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		err = holdfast.RebuildTable(ctx, tx, "account", holdfast.TableRebuild{
			Create:  "CREATE TABLE account(id INTEGER PRIMARY KEY, owner TEXT NOT NULL, euros REAL NOT NULL) STRICT",
			Columns: map[string]string{"euros": "cents / 100.0"},
		})
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "PRAGMA user_version=1"); err != nil {
			return err
		}
		return tx.Commit()
	}
	for range 2 {
		report, err := holdfast.Migrate(ctx, db, upgrade)
		fmt.Println(report.Changed, report.Tables, report.NoBackup, err)
	}
	// Output:
	// true [{account 1 1} {entry 2 2}]  <nil>
	// false [] nothing has changed <nil>
}

func ExampleDB_Update() {
	db, done := exampleDB()
	defer done()
	ctx := context.Background()
	_, err := db.Exec("INSERT INTO account(owner, cents) VALUES ('ada', 500), ('bob', 0)")
	if err != nil {
		fmt.Println(err)
		return
	}
	err = db.Update(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "UPDATE account SET cents = cents - ? WHERE owner = ?", 200, "ada"); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "UPDATE account SET cents = cents + ? WHERE owner = ?", 200, "bob")
		return err
	})
	fmt.Println(err)
	var cents int
	err = db.QueryRow("SELECT cents FROM account WHERE owner = 'bob'").Scan(&cents)
	fmt.Println(cents, err)
	// Output:
	// <nil>
	// 200 <nil>
}

func ExampleDB_View() {
	db, done := exampleDB()
	defer done()
	err := db.View(context.Background(), func(tx *sql.Tx) error {
		_, err := tx.Exec("DELETE FROM account")
		return err
	})
	fmt.Println(errors.Is(err, holdfast.ErrReadOnlyTx))
	// Output: true
}

func ExampleDB_Batch() {
	db, done := exampleDB()
	defer done()
	r, err := db.Batch(context.Background(), []holdfast.Statement{
		{SQL: "INSERT INTO account(owner, cents) VALUES (?, ?)", Args: []any{"ada", 500}},
		{SQL: "INSERT INTO account(owner, cents) VALUES (?, ?)", Args: []any{"bob", 300}},
		{SQL: "UPDATE account SET cents = cents + 1"},
	})
	fmt.Println(r.Results, err)
	// Output: [{1 1} {2 1} {2 2}] <nil>
}

// A batch that decides by what it finds, and so needs no transaction that reads first: if the
// account holds too little, nothing of it happens. It works on every back end.
func ExampleExactly() {
	db, done := exampleDB()
	defer done()
	ctx := context.Background()
	if _, err := db.ExecContext(ctx, "INSERT INTO account VALUES (1, 'Ada', 100), (2, 'Grace', 0)"); err != nil {
		fmt.Println(err)
	}
	transfer := func(cents int) error {
		_, err := db.Batch(ctx, []holdfast.Statement{
			{SQL: "UPDATE account SET cents = cents + ? WHERE owner = 'Grace'", Args: []any{cents}},
			{SQL: "UPDATE account SET cents = cents - ?1 WHERE owner = 'Ada' AND cents >= ?1", Args: []any{cents}, Expect: holdfast.Exactly(1)},
		})
		return err
	}
	for range 2 {
		err := transfer(60)
		fmt.Println(holdfast.OutcomeOf(err), errors.Is(err, holdfast.ErrGuardFailed))
	}
	// Output:
	// committed false
	// rolled_back true
}

func ExampleIdempotencyKey() {
	db, done := exampleDB()
	defer done()
	order := []holdfast.Statement{{SQL: "INSERT INTO account(owner, cents) VALUES ('ada', 500)"}}
	// The second call might come from another process, after a crash.
	for range 2 {
		r, err := db.Batch(context.Background(), order, holdfast.IdempotencyKey("order-4711"))
		fmt.Println(r.Results, r.Repeated, err)
	}
	// Output:
	// [{1 1}] false <nil>
	// [{1 1}] true <nil>
}

func ExampleError() {
	db, done := exampleDB()
	defer done()
	_, err := db.Exec("INSERT INTO account(owner, cents) VALUES (?, ?)", "ada", -1)
	var e *holdfast.Error
	if errors.As(err, &e) {
		fmt.Println(e.Code, e.ExtendedCode, e.SQL)
	}
	// Output: 19 275 INSERT INTO account(owner, cents) VALUES (?)
}

func ExampleWithPriority() {
	db, done := exampleDB()
	defer done()
	// A background job queues behind everybody else's writes.
	ctx := holdfast.WithPriority(context.Background(), holdfast.Low)
	_, err := db.ExecContext(ctx, "DELETE FROM account WHERE cents = 0")
	fmt.Println(err)
	// Output: <nil>
}

func ExampleOpenConfig() {
	cfg := holdfast.Config{}
	cfg.Database.Path = ":memory:"
	cfg.Database.BusyTimeout = 2 * time.Second
	cfg.ConnectionPool.MaxConnections = 8
	db, err := holdfast.OpenConfig(context.Background(), cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	fmt.Println(db.Stats().Readers.Max)
	// Output: 8
}
