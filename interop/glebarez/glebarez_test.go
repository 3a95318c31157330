package glebarez

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/glebarez/sqlite"
	"go.uber.org/goleak"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type note struct {
	ID        uint
	Title     string `gorm:"uniqueIndex;not null"`
	Body      *string
	Pinned    bool
	Blob      []byte
	Due       time.Time  `gorm:"type:datetime"`
	DoneAt    *time.Time `gorm:"type:timestamp"`
	CreatedAt time.Time
	Lines     []line `gorm:"constraint:OnDelete:CASCADE"`
}

type line struct {
	ID     uint
	NoteID uint `gorm:"not null"`
	Text   string
}

var (
	utcMoment   = time.Date(2024, time.February, 29, 23, 59, 58, 123456789, time.UTC)
	zonedMoment = time.Date(2031, time.July, 1, 4, 5, 6, 700000000, time.FixedZone("", 5*3600+45*60))
	errUndo     = errors.New("undo this")
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func openNotes(t *testing.T) *gorm.DB {
	t.Helper()
	g, err := gorm.Open(&sqlite.Dialector{Conn: open(t)}, &gorm.Config{Logger: logger.Discard, TranslateError: true})
	must(t, err)
	must(t, g.AutoMigrate(&note{}, &line{}))
	return g.WithContext(t.Context())
}

func titles(t *testing.T, g *gorm.DB) string {
	t.Helper()
	var all []string
	must(t, g.Model(&note{}).Order("id").Pluck("title", &all).Error)
	return strings.Join(all, ",")
}

func TestGlebarez(t *testing.T) {
	t.Parallel()
	t.Run("CRUD", testCRUD)
	t.Run("Transactions", testTransactions)
	t.Run("Migrations", testMigrations)
	t.Run("Values", testValues)
	t.Run("Violations", testViolations)
	t.Run("Contention", testContention)
}

func testCRUD(t *testing.T) {
	t.Parallel()
	g := openNotes(t)
	must(t, g.Create(&[]note{{Title: "a", Lines: []line{{Text: "x"}, {Text: "y"}}}, {Title: "b"}, {Title: "c"}}).Error)
	var changed []note
	must(t, g.Model(&changed).Clauses(clause.Returning{}).Where("title > ?", "a").Update("pinned", true).Error)
	if len(changed) != 2 || !changed[0].Pinned {
		t.Errorf("rows returned by the update: %+v", changed)
	}
	upsert := g.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "title"}}, DoUpdates: clause.Assignments(map[string]any{"pinned": false})})
	must(t, upsert.Create(&note{Title: "b"}).Error)
	var a note
	must(t, g.Preload("Lines").First(&a, "title = ?", "a").Error)
	if len(a.Lines) != 2 {
		t.Errorf("lines of a: %+v", a.Lines)
	}
	must(t, g.Delete(&a).Error)
	var n int64
	must(t, g.Model(&line{}).Count(&n).Error)
	if n != 0 || titles(t, g) != "b,c" {
		t.Errorf("after the delete: %d lines, notes %s", n, titles(t, g))
	}
	if err := g.First(&a, "title = ?", "gone").Error; !errors.Is(err, gorm.ErrRecordNotFound) {
		t.Errorf("a missing note: %v", err)
	}
}

func testTransactions(t *testing.T) {
	t.Parallel()
	g := openNotes(t)
	must(t, g.Transaction(func(tx *gorm.DB) error {
		must(t, tx.Create(&note{Title: "outer"}).Error)
		if err := tx.Transaction(func(tx2 *gorm.DB) error {
			must(t, tx2.Create(&note{Title: "nested, undone"}).Error)
			return errUndo
		}); !errors.Is(err, errUndo) {
			t.Errorf("nested: %v", err)
		}
		return tx.Transaction(func(tx2 *gorm.DB) error { return tx2.Create(&note{Title: "nested"}).Error })
	}))
	if err := g.Transaction(func(tx *gorm.DB) error {
		must(t, tx.Create(&note{Title: "undone"}).Error)
		return errUndo
	}); !errors.Is(err, errUndo) {
		t.Errorf("undone: %v", err)
	}
	if got := titles(t, g); got != "outer,nested" {
		t.Errorf("notes: %s", got)
	}
}

type wideNote struct {
	ID    uint
	Title string `gorm:"size:300;uniqueIndex;not null"`
	Stars int    `gorm:"not null;default:3"`
}

func (wideNote) TableName() string { return "notes" }

func testMigrations(t *testing.T) {
	t.Parallel()
	g := openNotes(t)
	must(t, g.Create(&note{Title: "a", Lines: []line{{Text: "x"}}}).Error)
	must(t, g.AutoMigrate(&wideNote{}))
	must(t, g.Migrator().AlterColumn(&wideNote{}, "Title"))
	var got wideNote
	must(t, g.First(&got).Error)
	var n int64
	must(t, g.Model(&line{}).Count(&n).Error)
	if got.Stars != 3 || n != 1 {
		t.Errorf("after the rebuild: %+v, %d lines", got, n)
	}
	must(t, g.Migrator().DropTable(&note{}, &line{}))
	if g.Migrator().HasTable(&note{}) {
		t.Error("notes is still there")
	}
}

func testValues(t *testing.T) {
	t.Parallel()
	g := openNotes(t)
	body := ""
	must(t, g.Create(&note{Title: "full", Body: &body, Pinned: true, Blob: []byte{0, 255}, Due: zonedMoment, DoneAt: &utcMoment}).Error)
	must(t, g.Create(&note{Title: "nulls"}).Error)
	var full, nulls note
	must(t, g.First(&full, "title = ?", "full").Error)
	must(t, g.First(&nulls, "title = ?", "nulls").Error)
	if *full.Body != "" || !full.Pinned || string(full.Blob) != "\x00\xff" {
		t.Errorf("values: %+v", full)
	}
	if !full.Due.Equal(zonedMoment) || !full.DoneAt.Equal(utcMoment) {
		t.Errorf("times: %v, %v", full.Due, full.DoneAt)
	}
	if nulls.Body != nil || nulls.Pinned || nulls.Blob != nil || nulls.DoneAt != nil || !nulls.Due.IsZero() {
		t.Errorf("NULLs: %+v", nulls)
	}
}

// testViolations goes by the message: this dialect translates only errors of
// its own driver's type, which no other driver can make.
func testViolations(t *testing.T) {
	t.Parallel()
	g := openNotes(t)
	must(t, g.Create(&note{Title: "a"}).Error)
	violates := func(err error, text string, translated error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), text) && !errors.Is(err, translated) {
			t.Errorf("got %v, want %q", err, text)
		}
	}
	violates(g.Create(&note{Title: "a"}).Error, "UNIQUE constraint failed: notes.title", gorm.ErrDuplicatedKey)
	violates(g.Create(&line{NoteID: 99}).Error, "FOREIGN KEY constraint failed", gorm.ErrForeignKeyViolated)
}

func testContention(t *testing.T) {
	t.Parallel()
	const contenders, turns = 32, 10
	g := openNotes(t)
	must(t, g.Create(&note{Title: "counter", Body: new("0")}).Error)
	var acknowledged atomic.Int64
	var wg sync.WaitGroup
	for worker := range contenders {
		wg.Go(func() {
			for turn := range turns {
				if err := g.Transaction(func(tx *gorm.DB) error { return countUp(tx, worker*turns+turn) }, &sql.TxOptions{}); err != nil {
					t.Errorf("worker %d, turn %d: %v", worker, turn, err)
					continue
				}
				acknowledged.Add(1)
			}
		})
	}
	wg.Wait()
	var counter note
	var n int64
	must(t, g.First(&counter, 1).Error)
	must(t, g.WithContext(context.Background()).Model(&note{}).Where("id > 1").Count(&n).Error)
	if want := int64(contenders * turns); acknowledged.Load() != want || n != want || *counter.Body != strconv.FormatInt(want, 10) {
		t.Errorf("acknowledged %d, rows %d, counter %s, want %d each", acknowledged.Load(), n, *counter.Body, want)
	}
}

func countUp(tx *gorm.DB, serial int) error {
	var counter note
	if err := tx.First(&counter, 1).Error; err != nil {
		return err
	}
	n, err := strconv.Atoi(*counter.Body)
	if err != nil {
		return err
	}
	if err := tx.Model(&counter).Update("body", strconv.Itoa(n+1)).Error; err != nil {
		return err
	}
	return tx.Create(&note{Title: "turn " + strconv.Itoa(serial)}).Error
}
