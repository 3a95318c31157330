package holdfast_test

import (
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/holdfastdb/holdfast"
)

// rebuilt runs one RebuildTable in a migration of its own.
func rebuilt(t *testing.T, db *holdfast.DB, table string, r holdfast.TableRebuild) error {
	t.Helper()
	_, err := holdfast.Migrate(t.Context(), db, func(tool *sql.DB) error {
		tx, err := tool.BeginTx(t.Context(), nil)
		if err != nil {
			return err
		}
		if err := holdfast.RebuildTable(t.Context(), tx, table, r); err != nil {
			return errors.Join(err, tx.Rollback())
		}
		return tx.Commit()
	}, holdfast.MigrateBackups(0))
	return err
}

// garden has everything that hangs on a table.
const garden = `
	CREATE TABLE bed(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, left_of INTEGER REFERENCES bed(id), area INTEGER);
	CREATE TABLE plant(id INTEGER PRIMARY KEY, bed_id INTEGER REFERENCES bed ON DELETE CASCADE, kind TEXT);
	CREATE TABLE log(line TEXT);
	CREATE INDEX bed_name ON bed(name);
	CREATE UNIQUE INDEX bed_large ON bed(area) WHERE area > 10;
	CREATE TRIGGER bed_new AFTER INSERT ON bed BEGIN INSERT INTO log VALUES ('bed ' || new.name); END;
	CREATE TRIGGER plant_new AFTER INSERT ON plant BEGIN INSERT INTO log SELECT kind || ' in ' || name FROM bed, (SELECT new.kind AS kind) WHERE bed.id = new.bed_id; END;
	CREATE VIEW planted AS SELECT bed.name, plant.kind FROM bed JOIN plant ON bed_id = bed.id;
	INSERT INTO bed VALUES (1, 'roses', NULL, 4), (2, 'herbs', 1, 40), (9, 'gone', 2, 1);
	DELETE FROM bed WHERE id = 9;
	INSERT INTO plant VALUES (1, 1, 'rose'), (2, 2, 'mint');
	DELETE FROM log`

const newBed = `CREATE TABLE bed(
	id INTEGER PRIMARY KEY AUTOINCREMENT, title TEXT NOT NULL, name TEXT AS (lower(title)), left_of INTEGER REFERENCES bed(id), area REAL NOT NULL DEFAULT 2) STRICT`

func TestRebuildTable(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db, garden)
	// The third column is generated, and has an index.
	if err := rebuilt(t, db, "BED", holdfast.TableRebuild{Create: newBed, Columns: map[string]string{"Title": "upper(name)"}}); err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]string{
		"SELECT group_concat(id || title || name || area) FROM bed":                                       "1ROSESroses4.0,2HERBSherbs40.0",
		"SELECT group_concat(kind) FROM plant":                                                            "rose,mint",
		"SELECT group_concat(name || kind) FROM planted":                                                  "rosesrose,herbsmint",
		"SELECT group_concat(name) FROM (SELECT name FROM sqlite_schema WHERE type='index' ORDER BY 1)":   "bed_large,bed_name",
		"SELECT group_concat(name) FROM (SELECT name FROM sqlite_schema WHERE type='trigger' ORDER BY 1)": "bed_new,plant_new",
		"SELECT count(*) FROM log":                                                                        "0",
		"SELECT count(*) FROM sqlite_schema WHERE sql LIKE '%holdfast_old%'":                              "0",
		"SELECT count(*) FROM sqlite_sequence":                                                            "1",
		"SELECT strict FROM pragma_table_list('bed')":                                                     "1",
		"PRAGMA legacy_alter_table":                                                                       "0",
		"SELECT \"table\" FROM pragma_foreign_key_list('plant')":                                          "bed",
		"SELECT \"table\" FROM pragma_foreign_key_list('bed')":                                            "bed",
	} {
		if got := text(t, db, query); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	// Numbers of deleted rows are not given again, and the triggers work.
	must(t, db, "INSERT INTO bed(title) VALUES ('Peas')")
	must(t, db, "INSERT INTO plant(bed_id, kind) VALUES (10, 'pea')")
	if got := text(t, db, "SELECT group_concat(line) FROM log"); got != "bed peas,pea in peas" {
		t.Errorf("log: %s", got)
	}
	must(t, db, "DELETE FROM bed WHERE id = 10")
	if n := number(t, db, "SELECT count(*) FROM plant"); n != 2 {
		t.Errorf("%d plants: ON DELETE CASCADE does not work any more", n)
	}
}

func TestRebuildTableKeepsRowids(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db, "CREATE TABLE n(v, rowid); INSERT INTO n(_rowid_, v, rowid) VALUES (7, 'seven', 'x'), (3, 'three', 'y')")
	if err := rebuilt(t, db, "n", holdfast.TableRebuild{Create: "CREATE TABLE n(rowid TEXT, v TEXT COLLATE NOCASE)"}); err != nil {
		t.Fatal(err)
	}
	if got := text(t, db, "SELECT group_concat(_rowid_ || v || rowid) FROM n"); got != "3threey,7sevenx" {
		t.Error(got)
	}
	if err := rebuilt(t, db, "n", holdfast.TableRebuild{Create: "CREATE TABLE n(v TEXT PRIMARY KEY, rowid TEXT) WITHOUT ROWID"}); err != nil {
		t.Fatal(err)
	}
	if err := rebuilt(t, db, "n", holdfast.TableRebuild{Create: "CREATE TABLE n(id INTEGER PRIMARY KEY AUTOINCREMENT, v TEXT)"}); err != nil {
		t.Fatal(err)
	}
	must(t, db, "DELETE FROM n")
	if err := rebuilt(t, db, "n", holdfast.TableRebuild{Create: "CREATE TABLE n(id INTEGER PRIMARY KEY AUTOINCREMENT, v TEXT, w TEXT)"}); err != nil {
		t.Fatal(err)
	}
	if got := number(t, db, "INSERT INTO n(v) VALUES ('x') RETURNING id"); got != 3 {
		t.Errorf("id %d: the sequence of an empty table is lost", got)
	}
	if err := rebuilt(t, db, "n", holdfast.TableRebuild{Create: "CREATE TABLE n(id INTEGER PRIMARY KEY, v TEXT)"}); err != nil {
		t.Fatal(err)
	}
	if n := number(t, db, "SELECT count(*) FROM sqlite_sequence"); n != 0 {
		t.Error("a table without AUTOINCREMENT has a sequence")
	}
}

// The new table may spell its name in another way.
func TestRebuildTableInAnotherCase(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db, "CREATE TABLE plain(v); INSERT INTO plain(rowid, v) VALUES (7, 'a'), (3, 'b')")
	must(t, db, "CREATE TABLE counted(id INTEGER PRIMARY KEY AUTOINCREMENT, v); INSERT INTO counted(v) VALUES (1), (2), (3); DELETE FROM counted WHERE id = 3")
	for table, create := range map[string]string{
		"plain": "CREATE TABLE Plain(v TEXT)", "counted": "CREATE TABLE COUNTED(id INTEGER PRIMARY KEY AUTOINCREMENT, v TEXT)",
	} {
		if err := rebuilt(t, db, table, holdfast.TableRebuild{Create: create}); err != nil {
			t.Fatal(err)
		}
	}
	if got := text(t, db, "SELECT group_concat(rowid || v) FROM plain"); got != "3b,7a" {
		t.Errorf("rowids: %s", got)
	}
	if id := number(t, db, "INSERT INTO counted(v) VALUES (4) RETURNING id"); id != 4 {
		t.Errorf("the number %d is given again", id)
	}
	if n := number(t, db, "SELECT count(*) FROM sqlite_sequence"); n != 1 {
		t.Errorf("%d sequences", n)
	}
}

func TestRebuildTableThatCantBe(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db, garden+"; CREATE VIRTUAL TABLE words USING fts5(word)")
	for what, test := range map[string]struct {
		table string
		r     holdfast.TableRebuild
		says  string
	}{
		"no such table":  {"nothing", holdfast.TableRebuild{Create: newBed}, "there is no table nothing"},
		"a view":         {"planted", holdfast.TableRebuild{Create: newBed}, "it is a view"},
		"virtual":        {"words", holdfast.TableRebuild{Create: newBed}, "it is a virtual"},
		"another name":   {"bed", holdfast.TableRebuild{Create: "CREATE TABLE beds(id)"}, "give it that name"},
		"no such column": {"bed", holdfast.TableRebuild{Create: newBed, Columns: map[string]string{"x": "1"}}, "no column x"},
		"generated":      {"bed", holdfast.TableRebuild{Create: newBed, Columns: map[string]string{"name": "1"}}, "generated"},
		"nothing in it":  {"bed", holdfast.TableRebuild{Create: "CREATE TABLE bed(a PRIMARY KEY, b) WITHOUT ROWID"}, "takes nothing"},
		"index":          {"bed", holdfast.TableRebuild{Create: "CREATE TABLE bed(id INTEGER PRIMARY KEY, area)"}, "bed_name can't be made again"},
		"view":           {"bed", holdfast.TableRebuild{Create: "CREATE TABLE bed(id INTEGER PRIMARY KEY, area)", Without: []string{"bed_name", "bed_new"}}, "view planted"},
		"trigger":        {"bed", holdfast.TableRebuild{Create: "CREATE TABLE bed(id INTEGER PRIMARY KEY, area)", Without: []string{"bed_name"}}, "trigger"},
		"no such index":  {"bed", holdfast.TableRebuild{Create: newBed, Columns: map[string]string{"title": "name"}, Without: []string{"x"}}, "no index or trigger x"},
		"a constraint":   {"bed", holdfast.TableRebuild{Create: "CREATE TABLE bed(id INTEGER PRIMARY KEY, name TEXT CHECK (name <> 'herbs'), area)"}, "CHECK constraint failed"},
		"no SQL":         {"bed", holdfast.TableRebuild{Create: "CREATE TABEL bed(id)"}, "syntax error"},
	} {
		err := rebuilt(t, db, test.table, test.r)
		if err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v", what, err)
		}
		if !errors.Is(err, holdfast.ErrInvalid) && what != "a constraint" && what != "no SQL" {
			t.Errorf("%s: %v is no ErrInvalid", what, err)
		}
	}
	// An error that the function ignores leaves the table as it was, too.
	_, err := holdfast.Migrate(t.Context(), db, func(tool *sql.DB) error {
		tx, err := tool.Begin()
		if err != nil {
			return err
		}
		if err := holdfast.RebuildTable(t.Context(), tx, "bed", holdfast.TableRebuild{Create: "CREATE TABLE bed(id INTEGER PRIMARY KEY, area)"}); err == nil {
			t.Error("no error")
		}
		return tx.Commit()
	})
	if err != nil || text(t, db, "SELECT group_concat(name || kind) FROM planted") != "rosesrose,herbsmint" {
		t.Errorf("%v", err)
	}
	err = db.Update(t.Context(), func(tx *sql.Tx) error {
		return holdfast.RebuildTable(t.Context(), tx, "bed", holdfast.TableRebuild{Create: newBed})
	})
	if !errors.Is(err, holdfast.ErrRefused) {
		t.Errorf("outside of a migration: %v", err)
	}
}
