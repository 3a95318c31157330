package interop

import (
	"context"
	"database/sql"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/interop/sqlcshape"
)

func openSQLC(t *testing.T) (*sql.DB, *sqlcshape.Queries) {
	t.Helper()
	db := open(t)
	_, err := db.ExecContext(t.Context(), sqlcshape.Schema)
	must(t, err)
	return db, sqlcshape.New(db)
}

func newAuthor(name string) sqlcshape.CreateAuthorParams {
	return sqlcshape.CreateAuthorParams{Name: name, Born: utcMoment, Tags: `["a","b"]`}
}

func TestSQLC(t *testing.T) {
	t.Parallel()
	t.Run("CRUD", testSQLCCRUD)
	t.Run("Transactions", testSQLCTransactions)
	t.Run("Values", testSQLCValues)
	t.Run("Prepared", testSQLCPrepared)
	t.Run("Upsert", testSQLCUpsert)
	t.Run("UniqueViolation", testSQLCUniqueViolation)
	t.Run("Contention", testSQLCContention)
}

func testSQLCCRUD(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, q := openSQLC(t)

	ann, err := q.CreateAuthor(ctx, newAuthor("Ann"))
	must(t, err)
	bob, err := q.CreateAuthor(ctx, newAuthor("Bob"))
	must(t, err)
	equal(t, "second id", bob.ID, ann.ID+1)

	got, err := q.GetAuthor(ctx, ann.ID)
	must(t, err)
	equal(t, "name", got.Name, "Ann")
	sameInstant(t, "born", got.Born, utcMoment)

	n, err := q.RenameAuthor(ctx, sqlcshape.RenameAuthorParams{Name: "Anna", ID: ann.ID})
	must(t, err)
	equal(t, "rows renamed", n, int64(1))
	n, err = q.RenameAuthor(ctx, sqlcshape.RenameAuthorParams{Name: "Nobody", ID: 999})
	must(t, err)
	equal(t, "rows renamed with an unknown id", n, int64(0))

	list, err := q.ListAuthors(ctx)
	must(t, err)
	equal(t, "authors", len(list), 2)
	equal(t, "first author", list[0].Name, "Anna")

	must(t, q.DeleteAuthor(ctx, bob.ID))
	_, err = q.GetAuthor(ctx, bob.ID)
	equal(t, "a deleted author", err, sql.ErrNoRows)
}

func testSQLCTransactions(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db, q := openSQLC(t)

	tx, err := db.BeginTx(ctx, nil)
	must(t, err)
	_, err = q.WithTx(tx).CreateAuthor(ctx, newAuthor("Kept"))
	must(t, err)
	_, err = tx.ExecContext(ctx, "SAVEPOINT inner_one")
	must(t, err)
	_, err = q.WithTx(tx).CreateAuthor(ctx, newAuthor("Dropped"))
	must(t, err)
	_, err = tx.ExecContext(ctx, "ROLLBACK TO inner_one")
	must(t, err)
	_, err = tx.ExecContext(ctx, "RELEASE inner_one")
	must(t, err)
	must(t, tx.Commit())

	tx, err = db.BeginTx(ctx, nil)
	must(t, err)
	_, err = q.WithTx(tx).CreateAuthor(ctx, newAuthor("Undone"))
	must(t, err)
	inside, err := q.WithTx(tx).ListAuthors(ctx)
	must(t, err)
	equal(t, "authors seen inside", len(inside), 2)
	outside, err := q.ListAuthors(ctx)
	must(t, err)
	equal(t, "authors seen outside", len(outside), 1)
	must(t, tx.Rollback())

	equal(t, "names", column(t, db, "SELECT name FROM authors"), "Kept")
}

func testSQLCValues(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db, q := openSQLC(t)

	full, err := q.CreateAuthor(ctx, sqlcshape.CreateAuthorParams{
		Name:   "Full",
		Bio:    sql.NullString{String: "wrote \x00 things", Valid: true},
		Born:   zonedMoment,
		Died:   sql.NullTime{Time: utcMoment, Valid: true},
		Active: true,
		Photo:  []byte{0, 1, 2, 255},
		Tags:   `["x","y","x"]`,
	})
	must(t, err)
	got, err := q.GetAuthor(ctx, full.ID)
	must(t, err)
	equal(t, "bio", got.Bio.String, "wrote \x00 things")
	sameInstant(t, "born", got.Born, zonedMoment)
	_, offset := got.Born.Zone()
	equal(t, "offset of born", offset, 5*3600+45*60)
	sameInstant(t, "died", got.Died.Time, utcMoment)
	equal(t, "active", got.Active, true)
	equal(t, "photo", got.Photo, []byte{0, 1, 2, 255})
	equal(t, "born, read by SQLite", column(t, db, "SELECT unixepoch(born) FROM authors"), strconv.FormatInt(zonedMoment.Unix(), 10))

	bare, err := q.CreateAuthor(ctx, sqlcshape.CreateAuthorParams{Name: "Bare", Born: time.Time{}, Photo: []byte{}, Tags: "[]"})
	must(t, err)
	equal(t, "NULL bio", bare.Bio.Valid, false)
	equal(t, "NULL died", bare.Died.Valid, false)
	equal(t, "zero born", bare.Born.IsZero(), true)
	equal(t, "active", bare.Active, false)
	equal(t, "empty photo", len(bare.Photo), 0)
	equal(t, "empty photo is no NULL", column(t, db, "SELECT typeof(photo) FROM authors WHERE name = 'Bare'"), "blob")

	tags, err := q.ListTags(ctx, full.ID)
	must(t, err)
	equal(t, "tags", strings.Join(tags, ","), "x,y")
}

func testSQLCPrepared(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db, plain := openSQLC(t)
	q, err := sqlcshape.Prepare(ctx, db)
	must(t, err)
	defer func() { must(t, q.Close()) }()

	ann, err := q.CreateAuthor(ctx, newAuthor("Ann"))
	must(t, err)
	_, err = db.ExecContext(ctx, "ALTER TABLE authors ADD COLUMN rank INTEGER NOT NULL DEFAULT 7; CREATE INDEX authors_by_rank ON authors (rank);")
	must(t, err)
	got, err := q.GetAuthor(ctx, ann.ID)
	must(t, err)
	equal(t, "name after the schema changed", got.Name, "Ann")

	tx, err := db.BeginTx(ctx, nil)
	must(t, err)
	_, err = q.WithTx(tx).CreateAuthor(ctx, newAuthor("Bob"))
	must(t, err)
	must(t, tx.Commit())
	list, err := plain.ListAuthors(ctx)
	must(t, err)
	equal(t, "authors", len(list), 2)
}

func testSQLCUpsert(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db, q := openSQLC(t)
	for range 3 {
		must(t, q.CountVisit(ctx, "/home"))
	}
	must(t, q.CountVisit(ctx, "/about"))
	equal(t, "visits", column(t, db, "SELECT page || '=' || n FROM visits ORDER BY page"), "/about=1,/home=3")
}

func testSQLCUniqueViolation(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, q := openSQLC(t)
	_, err := q.CreateAuthor(ctx, newAuthor("Ann"))
	must(t, err)
	_, err = q.CreateAuthor(ctx, newAuthor("Ann"))
	if err == nil || !strings.Contains(err.Error(), "UNIQUE constraint failed: authors.name") {
		t.Errorf("a second Ann: %v", err)
	}
	_, err = q.CreateAuthor(ctx, newAuthor("Bob"))
	must(t, err)
}

func testSQLCContention(t *testing.T) {
	t.Parallel()
	db, q := openSQLC(t)
	_, err := db.ExecContext(t.Context(), ledgerSchema)
	must(t, err)
	contend(t, db, func(ctx context.Context, worker, turn int) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		qtx := q.WithTx(tx)
		n, err := qtx.GetCounter(ctx)
		if err != nil {
			return err
		}
		if err := qtx.SetCounter(ctx, n+1); err != nil {
			return err
		}
		if err := qtx.AddToLedger(ctx, sqlcshape.AddToLedgerParams{Worker: int64(worker), Turn: int64(turn)}); err != nil {
			return err
		}
		return tx.Commit()
	})
}
