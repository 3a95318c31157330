package interop

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"
)

// gormAuthor and gormBook cover the kinds of columns that GORM writes.
type gormAuthor struct {
	ID        uint
	Name      string `gorm:"uniqueIndex;not null"`
	Nick      *string
	Active    bool
	Photo     []byte
	Tags      string    `gorm:"default:'[]'"`
	Born      time.Time `gorm:"type:date"`
	Seen      sql.NullTime
	LeftAt    *time.Time `gorm:"type:timestamp"`
	CreatedAt time.Time
	DeletedAt gorm.DeletedAt
	Books     []gormBook `gorm:"foreignKey:AuthorID;constraint:OnDelete:CASCADE"`
}

func (gormAuthor) TableName() string { return "authors" }

type gormBook struct {
	ID       uint
	Title    string
	AuthorID uint `gorm:"not null"`
}

func (gormBook) TableName() string { return "books" }

func gormOver(t *testing.T, db *sql.DB, config gorm.Config) *gorm.DB {
	t.Helper()
	config.Logger = logger.Discard
	g, err := gorm.Open(sqlite.New(sqlite.Config{Conn: db}), &config)
	must(t, err)
	return g.WithContext(t.Context())
}

func openGORM(t *testing.T, config gorm.Config) *gorm.DB {
	t.Helper()
	g := gormOver(t, open(t), config)
	must(t, g.AutoMigrate(&gormAuthor{}, &gormBook{}))
	return g
}

func TestGORM(t *testing.T) {
	t.Parallel()
	t.Run("CRUD", testGORMCRUD)
	t.Run("Transactions", testGORMTransactions)
	t.Run("Migrations", testGORMMigrations)
	t.Run("Constraints", testGORMConstraints)
	t.Run("Values", testGORMValues)
	t.Run("Returning", testGORMReturning)
	t.Run("JSON", testGORMJSON)
	t.Run("Prepared", testGORMPrepared)
	t.Run("Upsert", testGORMUpsert)
	t.Run("TranslatedErrors", testGORMTranslatedErrors)
	t.Run("Attach", testGORMAttach)
	t.Run("Contention", testGORMContention)
	t.Run("ContentionPrepared", testGORMContentionPrepared)
}

func testGORMCRUD(t *testing.T) {
	t.Parallel()
	g := openGORM(t, gorm.Config{})

	ann := gormAuthor{Name: "Ann", Books: []gormBook{{Title: "One"}, {Title: "Two"}}}
	must(t, g.Create(&ann).Error)
	batch := []gormAuthor{{Name: "Bob"}, {Name: "Cy"}, {Name: "Di"}}
	made := g.CreateInBatches(&batch, 2)
	must(t, made.Error)
	equal(t, "rows of the batch", made.RowsAffected, int64(3))
	for i, author := range batch {
		equal(t, "id of "+author.Name, author.ID, ann.ID+1+uint(i))
	}

	var got gormAuthor
	must(t, g.Preload("Books").First(&got, "name = ?", "Ann").Error)
	equal(t, "books of Ann", len(got.Books), 2)
	updated := g.Model(&gormAuthor{}).Where("name <> ?", "Ann").Updates(map[string]any{"active": true})
	must(t, updated.Error)
	equal(t, "rows updated", updated.RowsAffected, int64(3))

	must(t, g.Delete(&gormAuthor{}, "name = ?", "Bob").Error)
	var n int64
	must(t, g.Model(&gormAuthor{}).Count(&n).Error)
	equal(t, "authors after a soft delete", n, int64(3))
	must(t, g.Unscoped().Delete(&got).Error)
	must(t, g.Model(&gormBook{}).Count(&n).Error)
	equal(t, "books after their author went", n, int64(0))
	equal(t, "a missing author", g.First(&got, "name = ?", "Nobody").Error, gorm.ErrRecordNotFound)

	var seen []string
	rows, err := g.Model(&gormAuthor{}).Order("name").Rows()
	must(t, err)
	defer rows.Close()
	for rows.Next() {
		var author gormAuthor
		must(t, g.ScanRows(rows, &author))
		must(t, g.Model(&author).Update("nick", author.Name[:1]).Error)
		seen = append(seen, author.Name)
	}
	must(t, rows.Err())
	equal(t, "authors updated while iterating", seen, []string{"Cy", "Di"})
}

func testGORMTransactions(t *testing.T) {
	t.Parallel()
	g := openGORM(t, gorm.Config{})
	create := func(tx *gorm.DB, name string) error { return tx.Create(&gormAuthor{Name: name}).Error }

	must(t, g.Transaction(func(tx *gorm.DB) error {
		must(t, create(tx, "outer"))
		err := tx.Transaction(func(tx2 *gorm.DB) error {
			must(t, create(tx2, "nested, undone"))
			return errUndo
		})
		equal(t, "nested error", err, errUndo)
		must(t, tx.Transaction(func(tx2 *gorm.DB) error {
			must(t, create(tx2, "nested, kept"))
			return tx2.Transaction(func(tx3 *gorm.DB) error { return create(tx3, "nested twice") })
		}))
		return nil
	}))
	equal(t, "a function's error", g.Transaction(func(tx *gorm.DB) error {
		must(t, create(tx, "undone"))
		return errUndo
	}), errUndo)

	tx := g.Begin(&sql.TxOptions{Isolation: sql.LevelSerializable})
	must(t, create(tx, "by hand"))
	must(t, tx.SavePoint("sp").Error)
	must(t, create(tx, "after the savepoint"))
	must(t, tx.RollbackTo("sp").Error)
	must(t, tx.Commit().Error)

	func() {
		defer func() { equal(t, "a panic", recover(), any("boom")) }()
		_ = g.Transaction(func(tx *gorm.DB) error {
			must(t, create(tx, "panicked"))
			panic("boom")
		})
	}()

	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	err := g.WithContext(cancelled).Transaction(func(tx *gorm.DB) error { return create(tx, "cancelled") })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled transaction: %v", err)
	}
	var names []string
	must(t, g.Model(&gormAuthor{}).Order("id").Pluck("name", &names).Error)
	equal(t, "names", names, []string{"outer", "nested, kept", "nested twice", "by hand"})
}

// gormAuthorV2 is authors after a migration: one column more, and one of
// another type, for which GORM rebuilds the table.
type gormAuthorV2 struct {
	ID     uint
	Name   string `gorm:"size:200;uniqueIndex;not null"`
	Rank   int    `gorm:"not null;default:5"`
	Active string
}

func (gormAuthorV2) TableName() string { return "authors" }

type gormGrade struct {
	ID    uint
	Grade int `gorm:"check:grade_is_positive,grade > 0"`
}

func (gormGrade) TableName() string { return "grades" }

func testGORMMigrations(t *testing.T) {
	t.Parallel()
	db := open(t)
	g := gormOver(t, db, gorm.Config{})
	must(t, g.AutoMigrate(&gormAuthor{}, &gormBook{}))
	must(t, g.Create(&gormAuthor{Name: "Ann", Books: []gormBook{{Title: "One"}}}).Error)

	// Up. GORM switches foreign keys off on the pool, then rebuilds the table
	// in a transaction. Were they still on there, the books would be deleted.
	must(t, g.AutoMigrate(&gormAuthorV2{}))
	m := g.Migrator()
	must(t, m.AlterColumn(&gormAuthorV2{}, "Active"))
	equal(t, "has rank", m.HasColumn(&gormAuthorV2{}, "rank"), true)
	equal(t, "books after the rebuild", column(t, db, "SELECT count(*) FROM books"), "1")
	types, err := m.ColumnTypes(&gormAuthorV2{})
	must(t, err)
	equal(t, "type of active", typeOf(types, "active"), "text")

	// Down again. DropColumn of this GORM leaves foreign keys on, on any
	// driver, so it is tried on a table that nothing refers to.
	must(t, m.RenameColumn(&gormAuthorV2{}, "rank", "level"))
	equal(t, "has rank", m.HasColumn(&gormAuthorV2{}, "rank"), false)
	must(t, m.DropColumn(&gormBook{}, "Title"))
	equal(t, "has title", m.HasColumn(&gormBook{}, "Title"), false)
	equal(t, "books after that", column(t, db, "SELECT count(*) FROM books"), "1")
	equal(t, "foreign_keys", column(t, db, "PRAGMA foreign_keys"), "1")
	must(t, m.DropTable(&gormAuthor{}, &gormBook{}))
	equal(t, "tables", column(t, db, "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"), "0")
}

func testGORMConstraints(t *testing.T) {
	t.Parallel()
	g := gormOver(t, open(t), gorm.Config{})
	must(t, g.Exec("CREATE TABLE grades (id integer PRIMARY KEY, grade integer)").Error)
	must(t, g.AutoMigrate(&gormGrade{}))
	m := g.Migrator()
	equal(t, "has the check", m.HasConstraint(&gormGrade{}, "grade_is_positive"), true)
	err := g.Create(&gormGrade{Grade: -1}).Error
	if err == nil || !strings.Contains(err.Error(), "CHECK constraint failed") {
		t.Errorf("a negative grade: %v", err)
	}
	must(t, m.DropConstraint(&gormGrade{}, "grade_is_positive"))
	must(t, g.Create(&gormGrade{Grade: -1}).Error)
}

func typeOf(types []gorm.ColumnType, name string) string {
	for _, ct := range types {
		if ct.Name() == name {
			return ct.DatabaseTypeName()
		}
	}
	return ""
}

func testGORMValues(t *testing.T) {
	t.Parallel()
	g := openGORM(t, gorm.Config{})
	nick := ""
	in := gormAuthor{
		Name: "Full", Nick: &nick, Active: true, Photo: []byte{0, 255}, Born: time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC),
		Seen: sql.NullTime{Time: zonedMoment, Valid: true}, LeftAt: &utcMoment,
	}
	must(t, g.Create(&in).Error)
	must(t, g.Create(&gormAuthor{Name: "Nulls"}).Error)

	var out gormAuthor
	must(t, g.First(&out, in.ID).Error)
	equal(t, "nick", *out.Nick, "")
	equal(t, "active", out.Active, true)
	equal(t, "photo", out.Photo, []byte{0, 255})
	sameInstant(t, "born", out.Born, in.Born)
	sameInstant(t, "seen", out.Seen.Time, zonedMoment)
	sameInstant(t, "left_at", *out.LeftAt, utcMoment)
	sameInstant(t, "created_at", out.CreatedAt, in.CreatedAt)

	var nulls gormAuthor
	must(t, g.First(&nulls, "name = ?", "Nulls").Error)
	equal(t, "NULLs", []bool{nulls.Nick != nil, nulls.Active, nulls.Photo != nil, nulls.Seen.Valid, nulls.LeftAt != nil},
		[]bool{false, false, false, false, false})
	equal(t, "zero born", nulls.Born.IsZero(), true)

	var n int64
	must(t, g.Model(&gormAuthor{}).Where("left_at = ? AND seen > ?", utcMoment, utcMoment).Count(&n).Error)
	equal(t, "rows found by their times", n, int64(1))
	row := map[string]any{}
	must(t, g.Model(&gormAuthor{}).Select("name", "active", "left_at").Where("name = ?", "Full").Take(&row).Error)
	equal(t, "name in a map", row["name"], any("Full"))
	left, _ := row["left_at"].(*time.Time)
	if left == nil {
		t.Fatalf("left_at in a map: %T", row["left_at"])
	}
	sameInstant(t, "left_at in a map", *left, utcMoment)
	raw := map[string]any{}
	must(t, g.Table("authors").Select("id", "name", "photo").Where("name = ?", "Full").Take(&raw).Error)
	equal(t, "untyped map", []any{raw["id"], raw["name"], raw["photo"]}, []any{int64(in.ID), "Full", []byte{0, 255}})
	equal(t, "seen, read by SQLite", column(t, sqlDB(t, g), "SELECT unixepoch(seen) FROM authors WHERE seen IS NOT NULL"),
		strconv.FormatInt(zonedMoment.Unix(), 10))
}

func sqlDB(t *testing.T, g *gorm.DB) *sql.DB {
	t.Helper()
	db, err := g.DB()
	must(t, err)
	return db
}

func testGORMReturning(t *testing.T) {
	t.Parallel()
	g := openGORM(t, gorm.Config{})
	must(t, g.Create(&[]gormAuthor{{Name: "Ann"}, {Name: "Bob"}, {Name: "Cy"}}).Error)

	var updated []gormAuthor
	res := g.Model(&updated).Clauses(clause.Returning{}).Where("name < ?", "Cy").Update("active", true)
	must(t, res.Error)
	equal(t, "rows updated", res.RowsAffected, int64(2))
	equal(t, "rows returned", []any{len(updated), updated[0].Name, updated[1].Active}, []any{2, "Ann", true})

	var deleted []gormAuthor
	must(t, g.Unscoped().Clauses(clause.Returning{Columns: []clause.Column{{Name: "name"}}}).Where("active = ?", true).Delete(&deleted).Error)
	equal(t, "rows deleted", []any{len(deleted), deleted[1].Name}, []any{2, "Bob"})

	var id uint
	must(t, g.Raw("INSERT INTO authors (name) VALUES (?) RETURNING id", "Di").Scan(&id).Error)
	equal(t, "id", id, uint(4))
}

func testGORMJSON(t *testing.T) {
	t.Parallel()
	g := openGORM(t, gorm.Config{})
	must(t, g.Create(&[]gormAuthor{{Name: "Ann", Tags: `["go","sql"]`}, {Name: "Bob", Tags: `["sql"]`}, {Name: "Cy"}}).Error)
	var names []string
	must(t, g.Model(&gormAuthor{}).Where("EXISTS (SELECT 1 FROM json_each(authors.tags) WHERE value = ?)", "go").Pluck("name", &names).Error)
	equal(t, "tagged go", names, []string{"Ann"})
	must(t, g.Model(&gormAuthor{}).Where("name IN (SELECT value FROM json_each(?))", `["Cy","Bob"]`).Order("name").Pluck("name", &names).Error)
	equal(t, "in a JSON list", names, []string{"Bob", "Cy"})
}

func testGORMPrepared(t *testing.T) {
	t.Parallel()
	g := openGORM(t, gorm.Config{PrepareStmt: true})
	find := func() (authors []gormAuthor, err error) {
		err = g.Order("id").Find(&authors).Error
		return authors, err
	}
	must(t, g.Create(&gormAuthor{Name: "Ann"}).Error)
	_, err := find()
	must(t, err)

	must(t, g.AutoMigrate(&gormAuthorV2{}))
	must(t, g.Create(&gormAuthor{Name: "Bob"}).Error)
	authors, err := find()
	must(t, err)
	equal(t, "authors after the schema changed", len(authors), 2)
	rows := []map[string]any{}
	must(t, g.Raw("SELECT * FROM authors").Scan(&rows).Error)
	equal(t, "the new column", rows[1]["rank"], any(int64(5)))

	must(t, g.Transaction(func(tx *gorm.DB) error {
		must(t, tx.Create(&gormAuthor{Name: "Cy"}).Error)
		return tx.Transaction(func(tx2 *gorm.DB) error { return tx2.Create(&gormAuthor{Name: "Di"}).Error })
	}))
	if err := g.Exec("INSERT INTO nowhere VALUES (?)", 1).Error; err == nil {
		t.Error("an INSERT into a missing table succeeded")
	}
	authors, err = find()
	must(t, err)
	equal(t, "authors", len(authors), 4)
}

func testGORMUpsert(t *testing.T) {
	t.Parallel()
	g := openGORM(t, gorm.Config{})
	upsert := g.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "name"}}, DoUpdates: clause.AssignmentColumns([]string{"tags"})})
	must(t, upsert.Create(&gormAuthor{Name: "Ann", Tags: "[1]"}).Error)
	must(t, upsert.Create(&[]gormAuthor{{Name: "Ann", Tags: "[2]"}, {Name: "Bob", Tags: "[3]"}}).Error)
	ignored := g.Clauses(clause.OnConflict{DoNothing: true}).Create(&gormAuthor{Name: "Bob", Tags: "[4]"})
	must(t, ignored.Error)
	equal(t, "rows of DO NOTHING", ignored.RowsAffected, int64(0))

	var got gormAuthor
	must(t, g.Where(gormAuthor{Name: "Cy"}).Attrs(gormAuthor{Tags: "[5]"}).FirstOrCreate(&got).Error)
	got.Tags = "[6]"
	must(t, g.Save(&got).Error)
	equal(t, "authors", column(t, sqlDB(t, g), "SELECT name || tags FROM authors ORDER BY name"), "Ann[2],Bob[3],Cy[6]")
}

func testGORMTranslatedErrors(t *testing.T) {
	t.Parallel()
	if bare() {
		t.Skip("GORM reads the exported field ExtendedCode, which the stock driver's error has not")
	}
	g := openGORM(t, gorm.Config{TranslateError: true})
	must(t, g.Create(&gormAuthor{ID: 1, Name: "Ann"}).Error)
	translated := func(what string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%s: got %v (%T), want %v", what, err, err, want)
		}
	}
	translated("same name", g.Create(&gormAuthor{Name: "Ann"}).Error, gorm.ErrDuplicatedKey)
	translated("same id", g.Create(&gormAuthor{ID: 1, Name: "Bob"}).Error, gorm.ErrDuplicatedKey)
	translated("no such author", g.Create(&gormBook{Title: "Lost", AuthorID: 99}).Error, gorm.ErrForeignKeyViolated)
	translated("same name in a transaction", g.Transaction(func(tx *gorm.DB) error {
		must(t, tx.Create(&gormAuthor{Name: "Cy"}).Error)
		return tx.Create(&gormAuthor{Name: "Ann"}).Error
	}), gorm.ErrDuplicatedKey)
	equal(t, "authors", column(t, sqlDB(t, g), "SELECT name FROM authors"), "Ann")
}

func testGORMAttach(t *testing.T) {
	t.Parallel()
	g := openGORM(t, gorm.Config{})
	must(t, g.Create(&gormAuthor{Name: "Ann"}).Error)
	must(t, g.Connection(func(conn *gorm.DB) error {
		must(t, conn.Exec("ATTACH DATABASE ? AS archive", filepath.Join(t.TempDir(), "archive.db")).Error)
		must(t, conn.Exec("CREATE TABLE archive.notes (id INTEGER PRIMARY KEY, title TEXT, author_id INTEGER)").Error)
		must(t, conn.Transaction(func(tx *gorm.DB) error {
			return tx.Table("archive.notes").Create(map[string]any{"title": "Old", "author_id": 1}).Error
		}))
		var titles []string
		must(t, conn.Table("archive.notes AS n").Joins("JOIN authors AS a ON a.id = n.author_id").Pluck("n.title || ' by ' || a.name", &titles).Error)
		equal(t, "joined over both files", titles, []string{"Old by Ann"})
		return conn.Exec("DETACH DATABASE archive").Error
	}))
}

// gormTurn is one turn of contend: read the counter, write it, add to the ledger.
func gormTurn(g *gorm.DB) func(ctx context.Context, worker, turn int) error {
	return func(ctx context.Context, worker, turn int) error {
		return g.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
			var n int
			if err := tx.Table("counters").Select("n").Where("id = ?", 1).Take(&n).Error; err != nil {
				return err
			}
			if err := tx.Table("counters").Where("id = ?", 1).Update("n", n+1).Error; err != nil {
				return err
			}
			return tx.Table("ledger").Create(map[string]any{"worker": worker, "turn": turn}).Error
		})
	}
}

func testGORMContention(t *testing.T) {
	t.Parallel()
	g := openGORM(t, gorm.Config{})
	must(t, g.Exec(ledgerSchema).Error)
	contend(t, sqlDB(t, g), gormTurn(g))
}

func testGORMContentionPrepared(t *testing.T) {
	t.Parallel()
	db := open(t)
	_, err := db.ExecContext(t.Context(), ledgerSchema)
	must(t, err)
	contend(t, db, gormTurn(gormOver(t, db, gorm.Config{PrepareStmt: true})))
}
