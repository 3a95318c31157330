package interop

import (
	"context"
	"database/sql"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"xorm.io/xorm"
	"xorm.io/xorm/core"
	"xorm.io/xorm/log"
	"xorm.io/xorm/migrate"
	"xorm.io/xorm/schemas"
)

type xormItem struct {
	ID      int64  `xorm:"'id' pk autoincr"`
	Code    string `xorm:"varchar(40) notnull unique"`
	Note    *string
	OK      bool `xorm:"'ok' notnull default false"`
	Price   float64
	Data    []byte    `xorm:"blob"`
	Labels  []string  `xorm:"json"`
	Day     time.Time `xorm:"date"`
	Due     time.Time `xorm:"datetime"`
	EndedAt *time.Time
	Made    time.Time `xorm:"created"`
	Version int       `xorm:"version"`
}

func (xormItem) TableName() string { return "items" }

func xormOver(t *testing.T, db *sql.DB) *xorm.Engine {
	t.Helper()
	engine, err := xorm.NewEngineWithDB("sqlite", "app.db", core.FromDB(db))
	must(t, err)
	engine.SetLogLevel(log.LOG_OFF)
	engine.SetDefaultContext(t.Context())
	return engine
}

func openXorm(t *testing.T) *xorm.Engine {
	t.Helper()
	engine := xormOver(t, open(t))
	must(t, engine.Sync(new(xormItem)))
	return engine
}

func TestXorm(t *testing.T) {
	t.Parallel()
	t.Run("CRUD", testXormCRUD)
	t.Run("Transactions", testXormTransactions)
	t.Run("Sync", testXormSync)
	t.Run("Migrations", testXormMigrations)
	t.Run("Values", testXormValues)
	t.Run("RawQueries", testXormRawQueries)
	t.Run("Prepared", testXormPrepared)
	t.Run("UniqueViolation", testXormUniqueViolation)
	t.Run("AttachThroughThePool", testXormAttachThroughThePool)
	t.Run("Contention", testXormContention)
}

func testXormCRUD(t *testing.T) {
	t.Parallel()
	x := openXorm(t)
	one := xormItem{Code: "a", Price: 1}
	_, err := x.Insert(&one)
	must(t, err)
	equal(t, "id", one.ID, int64(1))
	n, err := x.Insert(&[]xormItem{{Code: "b", Price: 2}, {Code: "c", Price: 3}})
	must(t, err)
	equal(t, "rows inserted", n, int64(2))

	var got xormItem
	has, err := x.Where("code = ?", "b").Get(&got)
	must(t, err)
	equal(t, "found b", []any{has, got.ID, got.Price}, []any{true, int64(2), 2.0})
	got.Price = 20
	n, err = x.ID(got.ID).Update(&got)
	must(t, err)
	equal(t, "rows updated by version", n, int64(1))
	got.Version = 7
	n, err = x.ID(got.ID).Update(&got)
	must(t, err)
	equal(t, "rows updated by a stale version", n, int64(0))

	sum, err := x.Sum(new(xormItem), "price")
	must(t, err)
	equal(t, "sum of prices", sum, 24.0)
	var codes []string
	must(t, x.Iterate(new(xormItem), func(_ int, bean any) error {
		codes = append(codes, bean.(*xormItem).Code)
		_, err := x.Exec("UPDATE items SET note = ? WHERE id = ?", "seen", bean.(*xormItem).ID)
		return err
	}))
	equal(t, "codes", codes, []string{"a", "b", "c"})
	n, err = x.Where("note = ?", "seen").Delete(new(xormItem))
	must(t, err)
	equal(t, "rows deleted", n, int64(3))
	empty, err := x.IsTableEmpty(new(xormItem))
	must(t, err)
	equal(t, "table empty", empty, true)
}

func testXormTransactions(t *testing.T) {
	t.Parallel()
	x := openXorm(t)
	_, err := x.Transaction(func(s *xorm.Session) (any, error) {
		_, err := s.Insert(&xormItem{Code: "kept"})
		return nil, err
	})
	must(t, err)
	_, err = x.Transaction(func(s *xorm.Session) (any, error) {
		_, err := s.Insert(&xormItem{Code: "undone"})
		must(t, err)
		return nil, errUndo
	})
	equal(t, "a function's error", err, errUndo)

	s := x.NewSession()
	defer s.Close()
	must(t, s.BeginTx(&sql.TxOptions{Isolation: sql.LevelSerializable}))
	for _, step := range []string{
		"SAVEPOINT a", "INSERT INTO items (code) VALUES ('undone with a')", "SAVEPOINT b",
		"INSERT INTO items (code) VALUES ('undone with b')", "ROLLBACK TO b", "RELEASE b", "ROLLBACK TO a", "RELEASE a",
	} {
		_, err := s.Exec(step)
		must(t, err)
	}
	_, err = s.Insert(&xormItem{Code: "by hand"})
	must(t, err)
	must(t, s.Commit())
	must(t, s.Begin())
	_, err = s.Insert(&xormItem{Code: "rolled back"})
	must(t, err)
	must(t, s.Rollback())
	var codes []string
	must(t, x.Table("items").Cols("code").Asc("id").Find(&codes))
	equal(t, "codes", codes, []string{"kept", "by hand"})
}

// xormItemV2 has a column and an index that items lacks.
type xormItemV2 struct {
	ID    int64  `xorm:"'id' pk autoincr"`
	Code  string `xorm:"varchar(40) notnull unique"`
	Color string `xorm:"varchar(10) notnull default 'red' index"`
}

func (xormItemV2) TableName() string { return "items" }

func testXormSync(t *testing.T) {
	t.Parallel()
	x := openXorm(t)
	_, err := x.Insert(&xormItem{Code: "a"})
	must(t, err)
	must(t, x.Sync(new(xormItemV2)))
	must(t, x.Sync(new(xormItemV2)))
	var got xormItemV2
	_, err = x.ID(1).Get(&got)
	must(t, err)
	equal(t, "the new column", got.Color, "red")
	tables, err := x.DBMetas()
	must(t, err)
	equal(t, "tables", []any{len(tables), tables[0].Name}, []any{1, "items"})
	equal(t, "type of due", tables[0].GetColumn("due").SQLType.Name, schemas.DateTime)
	indexed := false
	for _, index := range tables[0].Indexes {
		indexed = indexed || strings.Contains(strings.Join(index.Cols, ","), "color")
	}
	equal(t, "color is indexed", indexed, true)
	must(t, x.DropTables(new(xormItem)))
	exist, err := x.IsTableExist(new(xormItem))
	must(t, err)
	equal(t, "items exist", exist, false)
}

func testXormMigrations(t *testing.T) {
	t.Parallel()
	x := openXorm(t)
	run := func(text string) migrate.MigrateFunc {
		return func(x *xorm.Engine) error { _, err := x.Exec(text); return err }
	}
	m := migrate.New(x, migrate.DefaultOptions, []*migrate.Migration{
		{ID: "1", Migrate: run("CREATE TABLE extras (id INTEGER PRIMARY KEY, v TEXT)"), Rollback: migrate.RollbackFunc(run("DROP TABLE extras"))},
		{ID: "2", Migrate: run("ALTER TABLE extras ADD COLUMN w TEXT"), Rollback: migrate.RollbackFunc(run("ALTER TABLE extras DROP COLUMN w"))},
	})
	columns := func() string {
		return column(t, x.DB().DB, "SELECT name FROM pragma_table_info('extras') ORDER BY cid")
	}
	must(t, m.Migrate())
	equal(t, "columns, up", columns(), "id,v,w")
	must(t, m.RollbackLast())
	equal(t, "columns, one down", columns(), "id,v")
	must(t, m.RollbackLast())
	equal(t, "columns, both down", columns(), "")
}

func testXormValues(t *testing.T) {
	t.Parallel()
	x := openXorm(t)
	note, ended := "", utcMoment
	in := xormItem{
		Code: "full", Note: &note, OK: true, Price: 0.1, Data: []byte{0, 255}, Labels: []string{"x", "y"},
		Day: time.Date(2020, time.February, 29, 0, 0, 0, 0, time.Local), Due: zonedMoment, EndedAt: &ended,
	}
	_, err := x.Insert(&in)
	must(t, err)
	_, err = x.Insert(&xormItem{Code: "nulls"})
	must(t, err)

	var out xormItem
	_, err = x.ID(in.ID).Get(&out)
	must(t, err)
	equal(t, "values", []any{*out.Note, out.OK, out.Price, string(out.Data), strings.Join(out.Labels, "")}, []any{"", true, 0.1, "\x00\xff", "xy"})
	equal(t, "day", out.Day.Format(time.DateOnly), "2020-02-29")
	sameInstant(t, "due", out.Due, zonedMoment.Truncate(time.Second)) // xorm writes seconds
	sameInstant(t, "ended_at", *out.EndedAt, utcMoment.Truncate(time.Second))
	equal(t, "due, read by SQLite", column(t, x.DB().DB, "SELECT unixepoch(due) FROM items WHERE code = 'full'"),
		strconv.FormatInt(zonedMoment.Unix(), 10))

	var nulls xormItem
	_, err = x.Where("code = ?", "nulls").Get(&nulls)
	must(t, err)
	equal(t, "NULLs", []bool{nulls.Note != nil, nulls.OK, len(nulls.Data) > 0, nulls.Labels != nil, nulls.EndedAt != nil},
		[]bool{false, false, false, false, false})
}

func testXormRawQueries(t *testing.T) {
	t.Parallel()
	x := openXorm(t)
	var id int64
	has, err := x.SQL("INSERT INTO items (code, price) VALUES (?, ?), ('b', 2.5) RETURNING id", "a", 1.5).Get(&id)
	must(t, err)
	equal(t, "first id returned", []any{has, id}, []any{true, int64(1)})
	rows, err := x.QueryString("SELECT code, price, note FROM items ORDER BY id")
	must(t, err)
	equal(t, "rows as text", []any{len(rows), rows[1]["code"], rows[1]["price"]}, []any{2, "b", "2.5"})
	values, err := x.QueryInterface("SELECT id, code, price FROM items WHERE id = ?", 2)
	must(t, err)
	equal(t, "row as values", values[0], map[string]any{"id": int64(2), "code": "b", "price": 2.5})
	var found []string
	must(t, x.SQL("SELECT code FROM items WHERE code IN (SELECT value FROM json_each(?))", `["b","z"]`).Find(&found))
	equal(t, "in a JSON list", found, []string{"b"})

	for range 3 {
		_, err := x.Exec("INSERT INTO items (code, price) VALUES (?, 1) ON CONFLICT (code) DO UPDATE SET price = price + excluded.price", "up")
		must(t, err)
	}
	equal(t, "price after three upserts", column(t, x.DB().DB, "SELECT price FROM items WHERE code = 'up'"), "3")
	results, err := x.Import(strings.NewReader("CREATE TABLE imported (v TEXT);\nINSERT INTO imported VALUES ('x'), ('y');\n"))
	must(t, err)
	affected, err := results[1].RowsAffected()
	must(t, err)
	equal(t, "rows imported", affected, int64(2))
	var dump strings.Builder
	must(t, x.DumpAll(&dump, schemas.SQLITE))
	if !strings.Contains(dump.String(), "imported") {
		t.Errorf("no table imported in the dump: %s", dump.String())
	}
}

func testXormPrepared(t *testing.T) {
	t.Parallel()
	x := openXorm(t)
	s := x.NewSession()
	defer s.Close()
	for i := range 5 {
		_, err := s.Prepare().Exec("INSERT INTO items (code, price) VALUES (?, ?)", strconv.Itoa(i), i)
		must(t, err)
		if i == 2 {
			_, err := x.Exec("ALTER TABLE items ADD COLUMN extra TEXT DEFAULT 'e'")
			must(t, err)
		}
	}
	equal(t, "items", column(t, x.DB().DB, "SELECT count(*) || min(extra) FROM items"), "5e")
}

func testXormUniqueViolation(t *testing.T) {
	t.Parallel()
	x := openXorm(t)
	_, err := x.Insert(&xormItem{Code: "a"})
	must(t, err)
	_, err = x.Insert(&[]xormItem{{Code: "b"}, {Code: "a"}})
	if err == nil || !strings.Contains(err.Error(), "UNIQUE constraint failed: items.code") {
		t.Errorf("same code: %v", err)
	}
	equal(t, "items", column(t, x.DB().DB, "SELECT code FROM items"), "a")
}

// testXormAttachThroughThePool attaches a file the way one does with a client
// that offers no connection of its own: on a pool of one.
func testXormAttachThroughThePool(t *testing.T) {
	t.Parallel()
	x := openXorm(t)
	x.SetMaxOpenConns(1)
	_, err := x.Insert(&xormItem{Code: "a"})
	must(t, err)
	_, err = x.Exec("ATTACH DATABASE ? AS archive", filepath.Join(t.TempDir(), "archive.db"))
	must(t, err)
	_, err = x.Exec("CREATE TABLE archive.items AS SELECT * FROM main.items")
	must(t, err)
	_, err = x.Transaction(func(s *xorm.Session) (any, error) {
		_, err := s.Exec("INSERT INTO archive.items (id, code) VALUES (2, 'b')")
		return nil, err
	})
	must(t, err)
	n, err := x.Table("archive.items").Count()
	must(t, err)
	equal(t, "items in the archive", n, int64(2))
	_, err = x.Exec("DETACH DATABASE archive")
	must(t, err)
}

func testXormContention(t *testing.T) {
	t.Parallel()
	x := openXorm(t)
	_, err := x.Exec(ledgerSchema)
	must(t, err)
	contend(t, x.DB().DB, func(ctx context.Context, worker, turn int) error {
		s := x.NewSession().Context(ctx)
		defer s.Close()
		if err := s.Begin(); err != nil {
			return err
		}
		var n int
		if _, err := s.SQL("SELECT n FROM counters WHERE id = ?", 1).Get(&n); err != nil {
			return err
		}
		if _, err := s.Exec("UPDATE counters SET n = ? WHERE id = ?", n+1, 1); err != nil {
			return err
		}
		if _, err := s.Exec("INSERT INTO ledger VALUES (?, ?)", worker, turn); err != nil {
			return err
		}
		return s.Commit()
	})
}
