package interop

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	"github.com/uptrace/bun/migrate"
)

type bunTask struct {
	bun.BaseModel `bun:"table:tasks"`

	ID      int64          `bun:",pk,autoincrement"`
	Title   string         `bun:",unique,notnull"`
	Note    *string        `bun:"note"`
	Done    bool           `bun:",notnull"`
	Data    []byte         `bun:"data"`
	Labels  []string       `bun:"labels"`
	Meta    map[string]any `bun:"meta"`
	Day     time.Time      `bun:"type:date,nullzero"`
	Due     time.Time      `bun:"type:datetime,nullzero"`
	EndedAt bun.NullTime   `bun:"type:timestamp"`
	Steps   []*bunStep     `bun:"rel:has-many,join:id=task_id"`
}

type bunStep struct {
	bun.BaseModel `bun:"table:steps"`

	ID     int64 `bun:",pk,autoincrement"`
	TaskID int64 `bun:",notnull"`
	Text   string
}

func openBun(t *testing.T) *bun.DB {
	t.Helper()
	db := bun.NewDB(open(t), sqlitedialect.New())
	_, err := db.NewCreateTable().Model((*bunTask)(nil)).Exec(t.Context())
	must(t, err)
	_, err = db.NewCreateTable().Model((*bunStep)(nil)).
		ForeignKey("(task_id) REFERENCES tasks (id) ON DELETE CASCADE").Exec(t.Context())
	must(t, err)
	return db
}

func addBunTask(ctx context.Context, db bun.IDB, title string) error {
	_, err := db.NewInsert().Model(&bunTask{Title: title}).Exec(ctx)
	return err
}

func TestBun(t *testing.T) {
	t.Parallel()
	t.Run("CRUD", testBunCRUD)
	t.Run("Transactions", testBunTransactions)
	t.Run("Migrations", testBunMigrations)
	t.Run("Values", testBunValues)
	t.Run("JSON", testBunJSON)
	t.Run("Prepared", testBunPrepared)
	t.Run("Upsert", testBunUpsert)
	t.Run("Violations", testBunViolations)
	t.Run("Attach", testBunAttach)
	t.Run("ReadsBesideATransaction", testBunReadsBesideATransaction)
	t.Run("Contention", testBunContention)
}

func testBunCRUD(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := openBun(t)
	tasks := []bunTask{{Title: "a"}, {Title: "b"}, {Title: "c"}}
	res, err := db.NewInsert().Model(&tasks).Exec(ctx)
	must(t, err)
	n, err := res.RowsAffected()
	must(t, err)
	equal(t, "rows inserted", n, int64(3))
	equal(t, "ids", []int64{tasks[0].ID, tasks[1].ID, tasks[2].ID}, []int64{1, 2, 3})
	_, err = db.NewInsert().Model(&[]bunStep{{TaskID: 1, Text: "x"}, {TaskID: 1, Text: "y"}}).Exec(ctx)
	must(t, err)

	var a bunTask
	must(t, db.NewSelect().Model(&a).Relation("Steps").Where("title = ?", "a").Scan(ctx))
	equal(t, "steps of a", len(a.Steps), 2)

	var titles []string
	_, err = db.NewUpdate().Model((*bunTask)(nil)).Set("done = ?", true).Where("id > ?", 1).Returning("title").Exec(ctx, &titles)
	must(t, err)
	equal(t, "titles returned by the update", titles, []string{"b", "c"})

	var page []bunTask
	total, err := db.NewSelect().Model(&page).Order("id DESC").Limit(2).ScanAndCount(ctx)
	must(t, err)
	equal(t, "page", []any{total, len(page), page[0].Title, page[0].Done}, []any{int64(3), 2, "c", true})
	exists, err := db.NewSelect().Model((*bunTask)(nil)).Where("title = ?", "zzz").Exists(ctx)
	must(t, err)
	equal(t, "exists", exists, false)

	_, err = db.NewDelete().Model(&a).WherePK().Exec(ctx)
	must(t, err)
	equal(t, "steps after their task went", column(t, db.DB, "SELECT count(*) FROM steps"), "0")
	err = db.NewSelect().Model(&a).WherePK().Scan(ctx)
	equal(t, "a missing task", err, sql.ErrNoRows)
}

func testBunTransactions(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := openBun(t)
	must(t, db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		must(t, addBunTask(ctx, tx, "outer"))
		err := tx.RunInTx(ctx, nil, func(ctx context.Context, sp bun.Tx) error {
			must(t, addBunTask(ctx, sp, "nested, undone"))
			return errUndo
		})
		equal(t, "nested error", err, errUndo)
		return tx.RunInTx(ctx, nil, func(ctx context.Context, sp bun.Tx) error {
			must(t, addBunTask(ctx, sp, "nested, kept"))
			return sp.RunInTx(ctx, nil, func(ctx context.Context, sp2 bun.Tx) error { return addBunTask(ctx, sp2, "nested twice") })
		})
	}))
	err := db.RunInTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead}, func(ctx context.Context, tx bun.Tx) error {
		must(t, addBunTask(ctx, tx, "undone"))
		return errUndo
	})
	equal(t, "a function's error", err, errUndo)

	tx, err := db.BeginTx(ctx, nil)
	must(t, err)
	sp, err := tx.BeginTx(ctx, nil)
	must(t, err)
	must(t, addBunTask(ctx, sp, "undone by hand"))
	must(t, sp.Rollback())
	must(t, addBunTask(ctx, tx, "by hand"))
	must(t, tx.Commit())
	equal(t, "titles", column(t, db.DB, "SELECT title FROM tasks ORDER BY id"), "outer,nested, kept,nested twice,by hand")
}

func testBunMigrations(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := bun.NewDB(open(t), sqlitedialect.New())
	migrations := migrate.NewMigrations()
	must(t, migrations.Discover(fstest.MapFS{
		"20240101000000_init.tx.up.sql":   {Data: []byte("CREATE TABLE colors (id INTEGER PRIMARY KEY, name TEXT);\nINSERT INTO colors (name) VALUES ('red');\n--bun:split\nCREATE INDEX colors_by_name ON colors (name);\n")},
		"20240101000000_init.tx.down.sql": {Data: []byte("DROP TABLE colors;\n")},
		"20240102000000_more.up.sql":      {Data: []byte("ALTER TABLE colors ADD COLUMN hex TEXT;\n")},
		"20240102000000_more.down.sql":    {Data: []byte("ALTER TABLE colors DROP COLUMN hex;\n")},
	}))
	migrations.Add(migrate.Migration{
		Name: "20240103000000",
		Up: func(ctx context.Context, m *migrate.Migrator, _ *migrate.Migration) error {
			_, err := m.DB().ExecContext(ctx, "UPDATE colors SET hex = '#f00'")
			return err
		},
		Down: func(ctx context.Context, m *migrate.Migrator, _ *migrate.Migration) error {
			_, err := m.DB().ExecContext(ctx, "UPDATE colors SET hex = NULL")
			return err
		},
	})
	m := migrate.NewMigrator(db, migrations)
	must(t, m.Init(ctx))
	must(t, m.Lock(ctx))
	if err := m.Lock(ctx); err == nil {
		t.Error("a second lock of the migrations succeeded")
	}
	group, err := m.Migrate(ctx)
	must(t, err)
	equal(t, "migrations applied", len(group.Migrations), 3)
	equal(t, "colors", column(t, db.DB, "SELECT name || hex FROM colors"), "red#f00")
	applied, err := m.AppliedMigrations(ctx)
	must(t, err)
	equal(t, "migrations recorded", len(applied), 3)
	if since := time.Since(applied[0].MigratedAt).Abs(); since > time.Hour {
		t.Errorf("migrated_at is %v away from now: %v", since, applied[0].MigratedAt)
	}
	_, err = m.Rollback(ctx)
	must(t, err)
	must(t, m.Unlock(ctx))
	equal(t, "tables after the rollback", column(t, db.DB, "SELECT count(*) FROM sqlite_schema WHERE name = 'colors'"), "0")
}

func testBunValues(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := openBun(t)
	note := ""
	in := bunTask{
		Title: "it's \"full\"", Note: &note, Done: true, Data: []byte{0, 39, 255}, Labels: []string{"x", "y"},
		Meta: map[string]any{"k": []any{1.5, nil, "v"}}, Day: time.Date(2000, 2, 29, 0, 0, 0, 0, time.UTC),
		Due: zonedMoment, EndedAt: bun.NullTime{Time: utcMoment.Truncate(time.Microsecond)}, // bun writes microseconds
	}
	_, err := db.NewInsert().Model(&in).Exec(ctx)
	must(t, err)
	must(t, addBunTask(ctx, db, "nulls"))

	var out bunTask
	must(t, db.NewSelect().Model(&out).Where("id = ?", in.ID).Scan(ctx))
	equal(t, "title", out.Title, in.Title)
	equal(t, "note", *out.Note, "")
	equal(t, "done", out.Done, true)
	equal(t, "data", out.Data, in.Data)
	equal(t, "labels", out.Labels, in.Labels)
	equal(t, "meta", out.Meta, in.Meta)
	sameInstant(t, "day", out.Day, in.Day)
	sameInstant(t, "due", out.Due, zonedMoment)
	sameInstant(t, "ended_at", out.EndedAt.Time, in.EndedAt.Time)
	equal(t, "due, read by SQLite", column(t, db.DB, "SELECT unixepoch(due) FROM tasks WHERE due IS NOT NULL"),
		strconv.FormatInt(zonedMoment.Unix(), 10))

	var nulls bunTask
	must(t, db.NewSelect().Model(&nulls).Where("title = ?", "nulls").Scan(ctx))
	equal(t, "NULLs", []bool{nulls.Note != nil, nulls.Done, nulls.Data != nil, nulls.Labels != nil, !nulls.Due.IsZero(), !nulls.EndedAt.IsZero()},
		[]bool{false, false, false, false, false, false})

	var row map[string]any
	must(t, db.NewSelect().Model((*bunTask)(nil)).Column("id", "done", "note").ColumnExpr("1.5 AS f").Where("id = ?", in.ID).Scan(ctx, &row))
	equal(t, "row as a map", []any{row["id"], row["note"], row["f"]}, []any{in.ID, "", 1.5})
	var stamp string
	must(t, db.NewSelect().ColumnExpr("CURRENT_TIMESTAMP").Scan(ctx, &stamp))
	equal(t, "length of CURRENT_TIMESTAMP as text", len(stamp), len("2006-01-02 15:04:05"))
}

func testBunJSON(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := openBun(t)
	_, err := db.NewInsert().Model(&[]bunTask{{Title: "a", Labels: []string{"go", "sql"}}, {Title: "b", Labels: []string{"sql"}}}).Exec(ctx)
	must(t, err)
	var titles []string
	must(t, db.NewSelect().Model((*bunTask)(nil)).Column("title").
		Where("EXISTS (SELECT 1 FROM json_each(labels) WHERE value = ?)", "go").Scan(ctx, &titles))
	equal(t, "labelled go", titles, []string{"a"})
	must(t, db.NewSelect().ColumnExpr("value").TableExpr("json_each(?)", `["p","q"]`).Scan(ctx, &titles))
	equal(t, "members", titles, []string{"p", "q"})
}

func testBunPrepared(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := openBun(t)
	insert, err := db.PrepareContext(ctx, "INSERT INTO steps (task_id, text) VALUES (?, ?)")
	must(t, err)
	defer insert.Close()
	must(t, addBunTask(ctx, db, "a"))
	_, err = insert.ExecContext(ctx, 1, "before")
	must(t, err)
	_, err = db.NewAddColumn().Model((*bunStep)(nil)).ColumnExpr("weight INTEGER DEFAULT 3").Exec(ctx)
	must(t, err)
	_, err = insert.ExecContext(ctx, 1, "after")
	must(t, err)
	equal(t, "steps", column(t, db.DB, "SELECT text || weight FROM steps ORDER BY id"), "before3,after3")
	_, err = db.NewDropColumn().Model((*bunStep)(nil)).Column("weight").Exec(ctx)
	must(t, err)
	_, err = insert.ExecContext(ctx, 1, "at last")
	must(t, err)
}

func testBunUpsert(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := openBun(t)
	for i := range 3 {
		_, err := db.NewInsert().Model(&bunTask{Title: "a", Data: []byte(strconv.Itoa(i))}).
			On("CONFLICT (title) DO UPDATE").Set("data = EXCLUDED.data").Exec(ctx)
		must(t, err)
	}
	_, err := db.NewInsert().Model(&bunTask{Title: "a", Data: []byte("ignored")}).Ignore().Exec(ctx)
	if err != nil && !errors.Is(err, sql.ErrNoRows) { // bun tells an ignored row by its missing RETURNING
		t.Fatal(err)
	}
	equal(t, "tasks", column(t, db.DB, "SELECT id || title || data FROM tasks"), "1a2")
}

func testBunViolations(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := openBun(t)
	must(t, addBunTask(ctx, db, "a"))
	contains := func(what string, err error, text string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: got %v, want %q in it", what, err, text)
		}
	}
	contains("same title", addBunTask(ctx, db, "a"), "UNIQUE constraint failed: tasks.title")
	_, err := db.NewInsert().Model(&bunStep{TaskID: 99}).Exec(ctx)
	contains("no such task", err, "FOREIGN KEY constraint failed")
	_, err = db.NewInsert().Model(&[]bunStep{{TaskID: 1}, {TaskID: 99}}).Exec(ctx)
	contains("no such task in a batch", err, "FOREIGN KEY constraint failed")
	equal(t, "steps", column(t, db.DB, "SELECT count(*) FROM steps"), "0")
	contains("no such table", db.NewSelect().TableExpr("nowhere").ColumnExpr("1").Scan(ctx, new(int)), "no such table: nowhere")
}

func testBunAttach(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := openBun(t)
	must(t, addBunTask(ctx, db, "a"))
	conn, err := db.Conn(ctx)
	must(t, err)
	defer conn.Close()
	_, err = conn.ExecContext(ctx, "ATTACH DATABASE ? AS archive", filepath.Join(t.TempDir(), "archive.db"))
	must(t, err)
	_, err = conn.NewCreateTable().Model((*bunTask)(nil)).ModelTableExpr("archive.tasks").Exec(ctx)
	must(t, err)
	must(t, conn.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO archive.tasks SELECT * FROM main.tasks; DELETE FROM main.tasks;")
		return err
	}))
	n, err := conn.NewSelect().Model((*bunTask)(nil)).ModelTableExpr("archive.tasks AS bun_task").Count(ctx)
	must(t, err)
	equal(t, "tasks in the archive", n, int64(1))
	equal(t, "tasks left", column(t, db.DB, "SELECT count(*) FROM tasks"), "0")
}

// testBunReadsBesideATransaction reads on the pool while the same goroutine
// holds a transaction that has written: the read neither waits nor sees it.
func testBunReadsBesideATransaction(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := openBun(t)
	must(t, db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		must(t, addBunTask(ctx, tx, "a"))
		n, err := db.NewSelect().Model((*bunTask)(nil)).Count(ctx)
		must(t, err)
		equal(t, "tasks seen on the pool", n, int64(0))
		n, err = tx.NewSelect().Model((*bunTask)(nil)).Count(ctx)
		must(t, err)
		equal(t, "tasks seen in the transaction", n, int64(1))
		return nil
	}))
}

func testBunContention(t *testing.T) {
	t.Parallel()
	db := openBun(t)
	_, err := db.ExecContext(t.Context(), ledgerSchema)
	must(t, err)
	contend(t, db.DB, func(ctx context.Context, worker, turn int) error {
		return db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
			var n int
			if err := tx.NewSelect().Table("counters").Column("n").Where("id = 1").Scan(ctx, &n); err != nil {
				return err
			}
			if _, err := tx.NewUpdate().Table("counters").Set("n = ?", n+1).Where("id = 1").Exec(ctx); err != nil {
				return err
			}
			_, err := tx.NewRaw("INSERT INTO ledger VALUES (?, ?)", worker, turn).Exec(ctx)
			return err
		})
	})
}
