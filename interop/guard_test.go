package interop

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"testing/fstest"
	"time"

	"github.com/golang-migrate/migrate/v4"
	"github.com/golang-migrate/migrate/v4/database/sqlite"
	"github.com/holdfastdb/holdfast"
	"github.com/pressly/goose/v3"
	gormsqlite "gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// The tests here put real tools inside holdfast.Migrate. Each of them rebuilds a
// table that another refers to with ON DELETE CASCADE, in a way that deletes the
// other's rows where foreign keys are on; counts how often it was applied; and can
// stop in the middle, to be killed there.

// guarded is a tool, and what a test has to know of it.
type guarded struct {
	before func(ctx context.Context, db *sql.DB) error // makes the tables, with an owner and three pets
	up     func(ctx context.Context, db *sql.DB, inside func()) error
}

// guardedTools are the tools by name. up calls inside when the table was rebuilt
// and nothing is finished yet.
var guardedTools = map[string]guarded{
	"goose":          {ownersAndPets, gooseUp},
	"goose in Go":    {ownersAndPets, gooseGoUp},
	"golang-migrate": {ownersAndPets, migrateUp},
	"GORM":           {gormBefore, gormUp},
}

// applied counts how often a migration was applied; a second time would show.
const (
	appliedTable = "CREATE TABLE applied (n INTEGER NOT NULL); INSERT INTO applied VALUES (0)"
	appliedOnce  = "UPDATE applied SET n = n + 1"
)

func ownersAndPets(ctx context.Context, db *sql.DB) error {
	_, err := db.ExecContext(ctx, appliedTable+`;
CREATE TABLE owners (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE pets (id INTEGER PRIMARY KEY, owner_id INTEGER NOT NULL REFERENCES owners (id) ON DELETE CASCADE, name TEXT);
INSERT INTO owners (name) VALUES ('Ann'), ('Bob');
INSERT INTO pets (owner_id, name) VALUES (1, 'Rex'), (1, 'Tom'), (2, 'Kit');`)
	return err
}

// rebuildOwners is what SQLite's own page says, with the pragma where most put it,
// inside the transaction, where it does nothing.
const rebuildOwners = `PRAGMA foreign_keys = OFF;
CREATE TABLE owners_new (id INTEGER PRIMARY KEY, name TEXT NOT NULL, level INTEGER NOT NULL DEFAULT 1);
INSERT INTO owners_new (id, name) SELECT id, name FROM owners;
DROP TABLE owners;
ALTER TABLE owners_new RENAME TO owners;
` + appliedOnce + `;
PRAGMA foreign_keys = ON;
`

func gooseUp(ctx context.Context, db *sql.DB, inside func()) error {
	p, err := goose.NewProvider(goose.DialectSQLite3, db, fstest.MapFS{
		"00001_rebuild.sql": {Data: []byte("-- +goose Up\n" + rebuildOwners)},
	}, goose.WithDisableGlobalRegistry(true), goose.WithGoMigrations(
		goose.NewGoMigration(2, &goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error { inside(); return nil }}, nil),
		goose.NewGoMigration(3, &goose.GoFunc{RunDB: func(ctx context.Context, db *sql.DB) error {
			_, err := db.ExecContext(ctx, "UPDATE owners SET level = level + 1")
			return err
		}}, nil),
	))
	if err != nil {
		return err
	}
	_, err = p.Up(ctx)
	return err
}

// gooseGoUp rebuilds the table with RebuildTable.
func gooseGoUp(ctx context.Context, db *sql.DB, inside func()) error {
	p, err := goose.NewProvider(goose.DialectSQLite3, db, nil, goose.WithDisableGlobalRegistry(true), goose.WithGoMigrations(
		goose.NewGoMigration(1, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
			err := holdfast.RebuildTable(ctx, tx, "owners", holdfast.TableRebuild{
				Create:  "CREATE TABLE owners (id INTEGER PRIMARY KEY, name TEXT NOT NULL, level INTEGER NOT NULL)",
				Columns: map[string]string{"level": "2"},
			})
			if err == nil {
				_, err = tx.ExecContext(ctx, appliedOnce)
			}
			inside()
			return err
		}}, nil),
	))
	if err != nil {
		return err
	}
	_, err = p.Up(ctx)
	return err
}

func migrateUp(_ context.Context, db *sql.DB, inside func()) error {
	files := fstest.MapFS{
		"1_rebuild.up.sql": {Data: []byte(rebuildOwners)},
		// Its own transaction, in one text.
		"2_level.up.sql": {Data: []byte("UPDATE owners SET level = level + 1;")},
	}
	m, err := newMigrate(db, files, sqlite.Config{})
	if err != nil {
		return err
	}
	if err := m.Steps(1); err != nil && !errors.Is(err, os.ErrNotExist) {
		var short migrate.ErrShortLimit // nothing left to do
		if !errors.As(err, &short) {
			return err
		}
	}
	inside()
	if err := m.Up(); err != nil && !errors.Is(err, migrate.ErrNoChange) {
		return err
	}
	// golang-migrate closes the database that it was given; Migrate goes on.
	sourceErr, databaseErr := m.Close()
	return errors.Join(sourceErr, databaseErr)
}

// The models of GORM, before and after.
type guardOwner struct {
	ID   uint
	Name string
	Pets []guardPet `gorm:"foreignKey:OwnerID;constraint:OnDelete:CASCADE"`
}

func (guardOwner) TableName() string { return "owners" }

type guardPet struct {
	ID      uint
	OwnerID uint `gorm:"not null"`
	Name    string
}

func (guardPet) TableName() string { return "pets" }

type guardOwnerV2 struct {
	ID    uint
	Name  string `gorm:"not null;check:name_is_there,name <> ''"`
	Level int    `gorm:"not null;default:2"`
}

func (guardOwnerV2) TableName() string { return "owners" }

func gormOn(db *sql.DB) (*gorm.DB, error) {
	return gorm.Open(gormsqlite.New(gormsqlite.Config{Conn: db}), &gorm.Config{Logger: logger.Discard})
}

func gormBefore(ctx context.Context, db *sql.DB) error {
	g, err := gormOn(db)
	if err != nil {
		return err
	}
	if err := g.WithContext(ctx).AutoMigrate(&guardOwner{}, &guardPet{}); err != nil {
		return err
	}
	if err := g.Exec(appliedTable).Error; err != nil {
		return err
	}
	return g.Create(&[]guardOwner{
		{Name: "Ann", Pets: []guardPet{{Name: "Rex"}, {Name: "Tom"}}}, {Name: "Bob", Pets: []guardPet{{Name: "Kit"}}},
	}).Error
}

// gormUp adds a constraint, for which GORM rebuilds the table with foreign keys on.
func gormUp(ctx context.Context, db *sql.DB, inside func()) error {
	g, err := gormOn(db)
	if err != nil {
		return err
	}
	g = g.WithContext(ctx)
	had := g.Migrator().HasColumn(&guardOwnerV2{}, "Level")
	if err := g.AutoMigrate(&guardOwnerV2{}); err != nil {
		return err
	}
	inside()
	if had {
		return nil
	}
	return g.Exec(appliedOnce).Error
}

// guardJob is what one process does; it comes through the environment.
type guardJob struct {
	Path, Tool string
	Stop       bool // in the middle, until it is killed
}

const guardVariable = "HOLDFAST_INTEROP_GUARD"

// run migrates as a program does at its start.
func (j guardJob) run(ctx context.Context) (r holdfast.MigrateReport, err error) {
	db, err := holdfast.Open(ctx, j.Path)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return holdfast.Migrate(ctx, db, func(db *sql.DB) error {
		return guardedTools[j.Tool].up(ctx, db, func() {
			if j.Stop {
				fmt.Println("inside")
				_, _ = io.Copy(io.Discard, os.Stdin) // until it is killed
			}
		})
	})
}

// TestGuardedProcess is what the processes run; by itself it does nothing.
func TestGuardedProcess(t *testing.T) {
	var job guardJob
	if err := json.Unmarshal([]byte(os.Getenv(guardVariable)), &job); err != nil {
		t.Skip("run by TestGuarded only")
	}
	fmt.Println("ready")
	if !job.Stop {
		_, err := bufio.NewReader(os.Stdin).ReadString('\n')
		must(t, err)
	}
	r, err := job.run(t.Context())
	must(t, err)
	fmt.Println("changed", r.Changed)
}

// guardProcess is a process at its job.
type guardProcess struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

func startGuarded(t *testing.T, job guardJob) *guardProcess {
	t.Helper()
	text, err := json.Marshal(job)
	must(t, err)
	p := &guardProcess{cmd: exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestGuardedProcess$", "-test.v")}
	p.cmd.Env = append(os.Environ(), guardVariable+"="+string(text))
	p.cmd.Stderr = os.Stderr
	p.cmd.WaitDelay = 10 * time.Second
	out, err := p.cmd.StdoutPipe()
	must(t, err)
	p.out = bufio.NewScanner(out)
	p.in, err = p.cmd.StdinPipe()
	must(t, err)
	must(t, p.cmd.Start())
	if line := p.until("ready"); line == "" {
		t.Fatal("the process has not started")
	}
	return p
}

// until reads lines up to one that is among the wanted.
func (p *guardProcess) until(wanted ...string) string {
	for p.out.Scan() {
		for _, w := range wanted {
			if p.out.Text() == w {
				return w
			}
		}
	}
	return ""
}

func TestGuarded(t *testing.T) {
	t.Parallel()
	if bare() {
		t.Skip("it is about holdfast.Migrate")
	}
	for name, tool := range guardedTools {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			t.Run("Once", func(t *testing.T) { testGuardedOnce(t, name, tool) })
			t.Run("ThreeProcesses", func(t *testing.T) { testGuardedProcesses(t, name, tool) })
			t.Run("Killed", func(t *testing.T) { testGuardedKilled(t, name, tool) })
		})
	}
}

// What the tests of TestGuarded are worth: without Migrate the rows are gone.
func TestUnguarded(t *testing.T) {
	t.Parallel()
	for name, tool := range guardedTools {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := open(t)
			must(t, tool.before(t.Context(), db))
			pets := column(t, db, "SELECT count(*) FROM pets")
			err := tool.up(t.Context(), db, func() { pets = column(t, db, "SELECT count(*) FROM pets") })
			if name == "goose in Go" {
				if !errors.Is(err, holdfast.ErrRefused) {
					t.Errorf("RebuildTable outside of Migrate: %v", err)
				}
				return
			}
			equal(t, "pets", pets, "0")
		})
	}
}

// prepared is a database as it is before the migration.
func (g guarded) prepared(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "app.db")
	db, err := holdfast.Open(t.Context(), path)
	must(t, err)
	must(t, g.before(t.Context(), db.DB))
	must(t, db.Close())
	t.Cleanup(func() { checkFile(t, path) })
	return path
}

// state tells what is in the database, by the stock driver.
func state(t *testing.T, path string) string {
	t.Helper()
	db := openBare(t, path)
	defer db.Close()
	level := column(t, db, "SELECT count(*) FROM pragma_table_info('owners') WHERE name = 'level'")
	return fmt.Sprintf("pets %s, level %s, applied %s", column(t, db, "SELECT name FROM pets ORDER BY id"), level, column(t, db, "SELECT n FROM applied"))
}

const (
	oldState = "pets Rex,Tom,Kit, level 0, applied 0"
	newState = "pets Rex,Tom,Kit, level 1, applied 1"
)

func testGuardedOnce(t *testing.T, name string, g guarded) {
	path := g.prepared(t)
	equal(t, "before", state(t, path), oldState)
	r, err := guardJob{Path: path, Tool: name}.run(t.Context())
	must(t, err)
	equal(t, "changed", r.Changed, true)
	equal(t, "after", state(t, path), newState)
	equal(t, "backup", state(t, r.Backup), oldState)
	db := openBare(t, path)
	equal(t, "levels", column(t, db, "SELECT level FROM owners"), "2,2")
	must(t, db.Close())
	// The next start finds nothing to do, and makes no backup.
	r, err = guardJob{Path: path, Tool: name}.run(t.Context())
	must(t, err)
	equal(t, "changed again", []any{r.Changed, r.Backup}, []any{false, ""})
	equal(t, "after the second start", state(t, path), newState)
}

func testGuardedProcesses(t *testing.T, name string, g guarded) {
	path := g.prepared(t)
	var all []*guardProcess
	for range 3 {
		all = append(all, startGuarded(t, guardJob{Path: path, Tool: name}))
	}
	for _, p := range all {
		_, err := io.WriteString(p.in, "\n")
		must(t, err)
	}
	changed := 0
	for _, p := range all {
		switch p.until("changed true", "changed false") {
		case "changed true":
			changed++
		case "":
			t.Error("a process has failed")
		}
		p.until()
		must(t, p.cmd.Wait())
	}
	equal(t, "processes that have applied it", changed, 1)
	equal(t, "after", state(t, path), newState)
}

func testGuardedKilled(t *testing.T, name string, g guarded) {
	path := g.prepared(t)
	p := startGuarded(t, guardJob{Path: path, Tool: name, Stop: true})
	if p.until("inside") == "" {
		t.Fatal("it did not come to the middle")
	}
	must(t, p.cmd.Process.Kill())
	_ = p.cmd.Wait() // it was killed
	equal(t, "after the kill", state(t, path), oldState)
	r, err := guardJob{Path: path, Tool: name}.run(t.Context())
	must(t, err)
	equal(t, "changed by the next start", r.Changed, true)
	equal(t, "after the next start", state(t, path), newState)
}
