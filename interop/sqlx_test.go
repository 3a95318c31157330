package interop

import (
	"context"
	"database/sql"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
)

// openSQLX names the driver sqlite3 because sqlx chooses the form of its
// placeholders by that name and knows no other one for SQLite.
func openSQLX(t *testing.T) *sqlx.DB {
	t.Helper()
	db := sqlx.NewDb(open(t), "sqlite3")
	_, err := db.ExecContext(t.Context(), `
		CREATE TABLE people (
			id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, note TEXT, born DATE, seen DATETIME, left_at TIMESTAMP,
			active BOOLEAN NOT NULL DEFAULT 0, score REAL, photo BLOB, tags TEXT NOT NULL DEFAULT '[]'
		); -- several statements in one text
		CREATE INDEX people_by_note ON people (note);`)
	must(t, err)
	return db
}

type sqlxPerson struct {
	ID     int64           `db:"id"`
	Name   string          `db:"name"`
	Note   sql.NullString  `db:"note"`
	Born   sql.NullTime    `db:"born"`
	Seen   *time.Time      `db:"seen"`
	LeftAt sql.NullTime    `db:"left_at"`
	Active bool            `db:"active"`
	Score  sql.NullFloat64 `db:"score"`
	Photo  []byte          `db:"photo"`
	Tags   string          `db:"tags"`
}

const insertSQLXPerson = `INSERT INTO people (name, note, born, seen, left_at, active, score, photo, tags)
	VALUES (:name, :note, :born, :seen, :left_at, :active, :score, :photo, :tags)`

func TestSQLX(t *testing.T) {
	t.Parallel()
	t.Run("CRUD", testSQLXCRUD)
	t.Run("Transactions", testSQLXTransactions)
	t.Run("Values", testSQLXValues)
	t.Run("Prepared", testSQLXPrepared)
	t.Run("Upsert", testSQLXUpsert)
	t.Run("Returning", testSQLXReturning)
	t.Run("JSON", testSQLXJSON)
	t.Run("WritesWhileIterating", testSQLXWritesWhileIterating)
	t.Run("TextualTransactions", testSQLXTextualTransactions)
	t.Run("Attach", testSQLXAttach)
	t.Run("Contention", testSQLXContention)
}

func testSQLXCRUD(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := openSQLX(t)

	res, err := db.NamedExecContext(ctx, insertSQLXPerson, sqlxPerson{Name: "Ann", Tags: "[]"})
	must(t, err)
	id, err := res.LastInsertId()
	must(t, err)
	res, err = db.NamedExecContext(ctx, insertSQLXPerson, []sqlxPerson{{Name: "Bob", Tags: "[]"}, {Name: "Cy", Tags: "[]"}})
	must(t, err)
	n, err := res.RowsAffected()
	must(t, err)
	equal(t, "rows of a named batch", n, int64(2))

	var ann sqlxPerson
	must(t, db.GetContext(ctx, &ann, "SELECT * FROM people WHERE id = ?", id))
	equal(t, "name", ann.Name, "Ann")

	query, args, err := sqlx.In("SELECT * FROM people WHERE name IN (?) ORDER BY name", []string{"Cy", "Bob", "Nobody"})
	must(t, err)
	var list []sqlxPerson
	must(t, db.SelectContext(ctx, &list, db.Rebind(query), args...))
	equal(t, "people found by IN", len(list), 2)

	row := map[string]any{}
	must(t, db.QueryRowxContext(ctx, "SELECT id, name, note, score FROM people WHERE id = ?", id).MapScan(row))
	equal(t, "row as a map", row, map[string]any{"id": id, "name": "Ann", "note": nil, "score": nil})

	res = db.MustExecContext(ctx, "UPDATE people SET active = 1 WHERE name <> ?", "Ann")
	n, err = res.RowsAffected()
	must(t, err)
	equal(t, "rows updated", n, int64(2))
	db.MustExecContext(ctx, "DELETE FROM people WHERE active")
	equal(t, "who is left", column(t, db.DB, "SELECT name FROM people"), "Ann")
	equal(t, "a row that is gone", db.GetContext(ctx, &ann, "SELECT * FROM people WHERE name = ?", "Bob"), sql.ErrNoRows)
}

func testSQLXTransactions(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := openSQLX(t)

	tx := db.MustBeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelSerializable})
	_, err := tx.NamedExecContext(ctx, insertSQLXPerson, sqlxPerson{Name: "Kept", Tags: "[]"})
	must(t, err)
	tx.MustExecContext(ctx, "SAVEPOINT a")
	tx.MustExecContext(ctx, "INSERT INTO people (name) VALUES ('dropped with a')")
	tx.MustExecContext(ctx, "SAVEPOINT b")
	tx.MustExecContext(ctx, "INSERT INTO people (name) VALUES ('dropped with b')")
	tx.MustExecContext(ctx, "ROLLBACK TO b")
	tx.MustExecContext(ctx, "RELEASE b")
	equal(t, "people seen inside", column(t, tx.Tx, "SELECT count(*) FROM people"), "2")
	tx.MustExecContext(ctx, "ROLLBACK TO a")
	tx.MustExecContext(ctx, "RELEASE a")
	must(t, tx.Commit())

	tx = db.MustBeginTx(ctx, nil)
	tx.MustExecContext(ctx, "DELETE FROM people")
	must(t, tx.Rollback())
	equal(t, "a second Rollback", tx.Rollback(), sql.ErrTxDone)

	ro, err := db.BeginTxx(ctx, &sql.TxOptions{ReadOnly: true})
	must(t, err)
	var name string
	must(t, ro.GetContext(ctx, &name, "SELECT name FROM people"))
	must(t, ro.Commit())
	equal(t, "who is left", name, "Kept")
}

func testSQLXValues(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := openSQLX(t)
	day := time.Date(1999, time.December, 31, 0, 0, 0, 0, time.UTC)
	in := sqlxPerson{
		Name: "Full", Note: sql.NullString{String: "n", Valid: true}, Born: sql.NullTime{Time: day, Valid: true},
		Seen: &zonedMoment, LeftAt: sql.NullTime{Time: utcMoment, Valid: true}, Active: true,
		Score: sql.NullFloat64{Float64: 0.1, Valid: true}, Photo: []byte("\x00\xff"), Tags: "[]",
	}
	_, err := db.NamedExecContext(ctx, insertSQLXPerson, in)
	must(t, err)
	_, err = db.NamedExecContext(ctx, insertSQLXPerson, sqlxPerson{Name: "Nulls", Tags: "[]"})
	must(t, err)

	var out sqlxPerson
	must(t, db.GetContext(ctx, &out, "SELECT * FROM people WHERE name = 'Full'"))
	sameInstant(t, "born", out.Born.Time, day)
	sameInstant(t, "seen", *out.Seen, zonedMoment)
	sameInstant(t, "left_at", out.LeftAt.Time, utcMoment)
	equal(t, "active", out.Active, true)
	equal(t, "score", out.Score.Float64, 0.1)
	equal(t, "photo", out.Photo, []byte("\x00\xff"))
	equal(t, "seen, read by SQLite", column(t, db.DB, "SELECT unixepoch(seen) FROM people WHERE seen IS NOT NULL"),
		strconv.FormatInt(zonedMoment.Unix(), 10))
	var found int
	must(t, db.GetContext(ctx, &found, "SELECT count(*) FROM people WHERE seen = ?", zonedMoment))
	equal(t, "rows found by their time", found, 1)

	must(t, db.GetContext(ctx, &out, "SELECT * FROM people WHERE name = 'Nulls'"))
	equal(t, "NULLs", []bool{out.Note.Valid, out.Born.Valid, out.Seen != nil, out.LeftAt.Valid, out.Score.Valid, out.Photo != nil},
		[]bool{false, false, false, false, false, false})

	rows, err := db.QueryxContext(ctx, "SELECT id, name, born, score, photo FROM people WHERE name = 'Full'")
	must(t, err)
	defer rows.Close()
	types, err := rows.ColumnTypes()
	must(t, err)
	var names []string
	for _, ct := range types {
		names = append(names, ct.DatabaseTypeName())
	}
	equal(t, "column types", names, []string{"INTEGER", "TEXT", "DATE", "REAL", "BLOB"})
}

func testSQLXPrepared(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := openSQLX(t)
	insert, err := db.PrepareNamedContext(ctx, "INSERT INTO people (name) VALUES (:name)")
	must(t, err)
	defer insert.Close()
	all, err := db.PreparexContext(ctx, "SELECT * FROM people ORDER BY id")
	must(t, err)
	defer all.Close()

	_, err = insert.ExecContext(ctx, map[string]any{"name": "Ann"})
	must(t, err)
	before := map[string]any{}
	must(t, all.QueryRowxContext(ctx).MapScan(before))
	db.MustExecContext(ctx, "ALTER TABLE people ADD COLUMN height INTEGER DEFAULT 170")
	after := map[string]any{}
	must(t, all.QueryRowxContext(ctx).MapScan(after))
	equal(t, "columns after ALTER TABLE", len(after), len(before)+1)
	equal(t, "the new column", after["height"], any(int64(170)))
	_, err = insert.ExecContext(ctx, map[string]any{"name": "Bob"})
	must(t, err)

	tx := db.MustBeginTx(ctx, nil)
	_, err = tx.NamedStmtContext(ctx, insert).ExecContext(ctx, map[string]any{"name": "Cy"})
	must(t, err)
	must(t, tx.Commit())
	equal(t, "names", column(t, db.DB, "SELECT name FROM people"), "Ann,Bob,Cy")

	_, err = db.PreparexContext(ctx, "SELECT name FROM nowhere")
	if err == nil || !strings.Contains(err.Error(), "no such table: nowhere") {
		t.Errorf("preparing a query of a missing table: %v", err)
	}
}

func testSQLXUpsert(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := openSQLX(t)
	upsert := `INSERT INTO people (name, score) VALUES (:name, :score)
		ON CONFLICT (name) DO UPDATE SET score = people.score + excluded.score`
	for range 3 {
		res, err := db.NamedExecContext(ctx, upsert, map[string]any{"name": "Ann", "score": 1.5})
		must(t, err)
		n, err := res.RowsAffected()
		must(t, err)
		equal(t, "rows of an upsert", n, int64(1))
	}
	equal(t, "score", column(t, db.DB, "SELECT score FROM people"), "4.5")
	_, err := db.ExecContext(ctx, "INSERT INTO people (name) VALUES ('Ann')")
	if err == nil || !strings.Contains(err.Error(), "UNIQUE constraint failed: people.name") {
		t.Errorf("a second Ann: %v", err)
	}
	_, err = db.ExecContext(ctx, "INSERT INTO people (name) VALUES (NULL)")
	if err == nil || !strings.Contains(err.Error(), "NOT NULL constraint failed: people.name") {
		t.Errorf("a person without name: %v", err)
	}
}

func testSQLXReturning(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := openSQLX(t)
	var ids []int64
	must(t, db.SelectContext(ctx, &ids, "INSERT INTO people (name) VALUES ('Ann'), ('Bob'), ('Cy') RETURNING id"))
	equal(t, "ids", ids, []int64{1, 2, 3})

	// A Get reads one row; the statement has to have written all of them.
	var first string
	must(t, db.GetContext(ctx, &first, "UPDATE people SET active = 1 RETURNING name"))
	equal(t, "people made active", column(t, db.DB, "SELECT count(*) FROM people WHERE active"), "3")
	must(t, db.GetContext(ctx, &first, "DELETE FROM people WHERE name = ? RETURNING name", "Bob"))
	equal(t, "who was deleted", first, "Bob")
	err := db.GetContext(ctx, &first, "DELETE FROM people WHERE name = ? RETURNING name", "Bob")
	equal(t, "deleting it again", err, sql.ErrNoRows)
}

func testSQLXJSON(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := openSQLX(t)
	for _, name := range []string{"Ann", "Bob", "Cy"} {
		db.MustExecContext(ctx, "INSERT INTO people (name, tags) VALUES (?, json_array(?, lower(?)))", name, "all", name)
	}
	var names []string
	must(t, db.SelectContext(ctx, &names, "SELECT name FROM people WHERE name IN (SELECT value FROM json_each(?)) ORDER BY 1", `["Cy","Ann"]`))
	equal(t, "people of a JSON list", names, []string{"Ann", "Cy"})
	must(t, db.SelectContext(ctx, &names, "SELECT name FROM people, json_each(people.tags) WHERE json_each.value = ?", "bob"))
	equal(t, "people by tag", names, []string{"Bob"})
}

// testSQLXWritesWhileIterating reads with one statement and writes with
// another before the first one is done, on the pool and in a transaction.
func testSQLXWritesWhileIterating(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := openSQLX(t)
	db.MustExecContext(ctx, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 500) INSERT INTO people (name) SELECT 'p' || i FROM n")

	bump := func(read interface {
		QueryxContext(context.Context, string, ...any) (*sqlx.Rows, error)
	}, write sqlx.ExecerContext,
	) {
		rows, err := read.QueryxContext(ctx, "SELECT id FROM people ORDER BY id")
		must(t, err)
		defer rows.Close()
		for rows.Next() {
			var id int64
			must(t, rows.Scan(&id))
			_, err := write.ExecContext(ctx, "UPDATE people SET score = coalesce(score, 0) + 1 WHERE id = ?", id)
			must(t, err)
		}
		must(t, rows.Err())
	}
	bump(db, db)
	tx := db.MustBeginTx(ctx, nil)
	bump(tx, tx)
	must(t, tx.Commit())
	equal(t, "scores", column(t, db.DB, "SELECT min(score) || '-' || max(score) || '-' || count(*) FROM people"), "2.0-2.0-500")
}

// testSQLXTextualTransactions writes BEGIN and COMMIT by hand on a pool of one,
// with a statement in between that fails. The failure undoes that statement
// alone: what follows still belongs to the transaction.
func testSQLXTextualTransactions(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := openSQLX(t)
	db.SetMaxOpenConns(1)
	run := func(end string) {
		db.MustExecContext(ctx, "BEGIN")
		db.MustExecContext(ctx, "INSERT INTO people (name) VALUES ('before')")
		if _, err := db.ExecContext(ctx, "INSERT INTO people (name) VALUES ('before')"); err == nil {
			t.Error("the same name twice was accepted")
		}
		db.MustExecContext(ctx, "INSERT INTO people (name) VALUES ('after')")
		if _, err := db.ExecContext(ctx, end); err != nil {
			t.Errorf("%s: %v", end, err)
		}
	}
	run("ROLLBACK")
	equal(t, "people after ROLLBACK", column(t, db.DB, "SELECT name FROM people ORDER BY id"), "")
	db.MustExecContext(ctx, "DELETE FROM people")
	run("COMMIT")
	equal(t, "people after COMMIT", column(t, db.DB, "SELECT name FROM people ORDER BY id"), "before,after")
}

func testSQLXAttach(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := openSQLX(t)
	conn, err := db.Connx(ctx)
	must(t, err)
	defer conn.Close()

	_, err = conn.ExecContext(ctx, "ATTACH DATABASE ? AS archive", t.TempDir()+"/archive.db")
	must(t, err)
	_, err = conn.ExecContext(ctx, "CREATE TABLE archive.people (id INTEGER PRIMARY KEY, name TEXT)")
	must(t, err)
	_, err = conn.ExecContext(ctx, "INSERT INTO main.people (name) VALUES ('Ann'), ('Bob')")
	must(t, err)
	tx, err := conn.BeginTxx(ctx, nil)
	must(t, err)
	tx.MustExecContext(ctx, "INSERT INTO archive.people SELECT id, name FROM main.people WHERE name = 'Bob'")
	tx.MustExecContext(ctx, "DELETE FROM main.people WHERE name = 'Bob'")
	must(t, tx.Commit())
	var where []string
	must(t, conn.SelectContext(ctx, &where, `SELECT 'main.' || name FROM main.people UNION ALL SELECT 'archive.' || name FROM archive.people`))
	equal(t, "who is where", where, []string{"main.Ann", "archive.Bob"})
	_, err = conn.ExecContext(ctx, "DETACH DATABASE archive")
	must(t, err)
}

func testSQLXContention(t *testing.T) {
	t.Parallel()
	db := openSQLX(t)
	db.MustExecContext(t.Context(), ledgerSchema)
	contend(t, db.DB, func(ctx context.Context, worker, turn int) error {
		tx, err := db.BeginTxx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		var n int
		if err := tx.GetContext(ctx, &n, "SELECT n FROM counters WHERE id = 1"); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "UPDATE counters SET n = ? WHERE id = 1", n+1); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO ledger VALUES (?, ?)", worker, turn); err != nil {
			return err
		}
		return tx.Commit()
	})
}
