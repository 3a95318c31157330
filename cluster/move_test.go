package cluster_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/cluster"
	"github.com/holdfastdb/holdfast/cluster/internal/faults"
	"github.com/holdfastdb/holdfast/rowhash"
	"modernc.org/sqlite"
)

// a file with all that JSON could damage.
const moved = `CREATE TABLE v(id INTEGER PRIMARY KEY AUTOINCREMENT, any, b BLOB, at DATETIME, flag BOOLEAN, r REAL);
INSERT INTO v(any, b, at, flag, r) VALUES (1, x'00ff', '2026-11-28 01:02:03', 1, 2), (1.0, x'', '2026-11-28T01:02:03Z', 0, 0.1), ('1', NULL, 17, 7, 9e999),
 (x'31', 'text', 'never', NULL, NULL), (CAST(x'ff' AS TEXT), 1.5, NULL, 'yes', 1e300), ('a' || char(0) || 'b', 0, 0, 0, -0.0), (9223372036854775807, NULL, NULL, NULL, 9223372036854775807),
 (4611686018427387904.0, NULL, NULL, NULL, 1e21), ('x''00''', 'true', 'null', '[1]', 5);
CREATE TABLE w(a TEXT, b COLLATE NOCASE, n, PRIMARY KEY(b, a)) WITHOUT ROWID;
WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 300) INSERT INTO w SELECT 'k' || i, CAST(x'00ff' AS BLOB), i FROM n;
CREATE INDEX w_n ON w(n) WHERE n > 5;
CREATE VIEW odd AS SELECT n FROM w WHERE n % 2;
CREATE TRIGGER w_added AFTER INSERT ON w BEGIN INSERT INTO v(any) VALUES (new.n); END;
CREATE VIRTUAL TABLE f USING fts5(t);
INSERT INTO f VALUES ('the quick brown fox'), ('jumps over');
ANALYZE;`

func fileWith(t *testing.T, statements string) *holdfast.DB {
	t.Helper()
	db, err := holdfast.Open(t.Context(), filepath.Join(t.TempDir(), "app.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if r, err := db.Verify(context.Background(), holdfast.VerifyFull); err != nil || !r.OK {
			t.Errorf("%+v, %v", r, err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := db.Exec(statements); err != nil {
		t.Fatal(err)
	}
	return db
}

func TestMoveThereAndBack(t *testing.T) {
	thereAndBack(t, open(t, faults.New(t, 3), ""))
}

func thereAndBack(t *testing.T, db *holdfast.DB) {
	file := fileWith(t, moved)
	write := []holdfast.Statement{{SQL: "INSERT INTO w VALUES ('keyed', 'once', 1)"}}
	if _, err := file.Batch(t.Context(), write, holdfast.IdempotencyKey("k")); err != nil {
		t.Fatal(err)
	}
	scratch, dir := t.TempDir(), t.TempDir()
	var steps []string
	o := cluster.MoveOptions{Scratch: scratch, Progress: func(step, table string, _ int64) {
		if table == "" {
			steps = append(steps, step)
		}
	}}
	in, err := cluster.Import(t.Context(), db, file, o)
	if err != nil {
		t.Fatal(err)
	}
	if in.Rows < 9+300+2 || len(in.Differences) != 0 || in.Bytes == 0 || len(in.SHA256) != 64 || in.From != file.Path() || !strings.HasPrefix(in.To, "rqlite://") {
		t.Errorf("%+v", in)
	}
	if again, err := db.Batch(t.Context(), write, holdfast.IdempotencyKey("k")); err != nil || !again.Repeated {
		t.Errorf("the key was not moved: %+v, %v", again, err)
	}
	out := filepath.Join(dir, "back.db")
	o = cluster.MoveOptions{}
	exported, err := cluster.Export(t.Context(), db, out, o)
	if err != nil {
		t.Fatal(err)
	}
	if d := rowhash.Compare(in.Tables, exported.Tables); len(d) > 0 || exported.Rows != in.Rows {
		t.Errorf("%v, %d rows", d, exported.Rows)
	}
	if info, err := os.Stat(out); err != nil || info.Mode().Perm() != 0o600 && os.PathSeparator == '/' {
		t.Error(info, err)
	}
	for _, d := range []string{dir, scratch} {
		if left, err := os.ReadDir(d); err != nil || len(left) > 1 || len(left) == 1 && left[0].Name() != "back.db" {
			t.Errorf("%s has %v (%v)", d, left, err)
		}
	}
	back, err := holdfast.Open(t.Context(), out)
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	var n int
	if err := back.QueryRow("SELECT count(*) FROM f WHERE f MATCH 'fox'").Scan(&n); err != nil || n != 1 {
		t.Errorf("%d, %v", n, err)
	}
	if want := []string{"copy", "load", "hash the cluster", "hash the file"}; !slices.Equal(steps, want) {
		t.Errorf("%q", steps)
	}
	if _, err := cluster.Export(t.Context(), db, out, o); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over another: %v", err)
	}
	// What is there stays until somebody says that it may go.
	if _, err := cluster.Import(t.Context(), db, file, o); !errors.Is(err, holdfast.ErrRefused) || !strings.Contains(err.Error(), "is not empty: it has f") {
		t.Errorf("into what is not empty: %v", err)
	}
	run(t, file, "DELETE FROM v WHERE id = 1")
	o.Replace = true
	if again, err := cluster.Import(t.Context(), db, file, o); err != nil || again.Rows != in.Rows-1 {
		t.Errorf("%+v, %v", again, err)
	}
}

func TestMovingNamesWhatDiffers(t *testing.T) {
	c := faults.New(t, 1)
	db, file := open(t, c, ""), fileWith(t, "CREATE TABLE a(x); INSERT INTO a VALUES (1), (2); CREATE TABLE b(y); INSERT INTO b VALUES (3)")
	// Somebody writes to the cluster as soon as it is loaded, an equal value of another type.
	meddle := func(step, table string, _ int64) {
		if step == "hash the cluster" && table == "" {
			run(t, db, "UPDATE a SET x = 2.0 WHERE x = 2")
		}
	}
	report, err := cluster.Import(t.Context(), db, file, cluster.MoveOptions{Progress: meddle})
	if !errors.Is(err, cluster.ErrDiffers) || len(report.Differences) != 1 || report.Differences[0].Name != "a" || !strings.Contains(err.Error(), "table a has 2 rows in both, and not the same values") {
		t.Errorf("%v, %+v", err, report)
	}
	// Somebody writes to the file after its copy was made.
	late := func(step, _ string, _ int64) {
		if step == "load" {
			run(t, file, "INSERT INTO b VALUES (4)")
		}
	}
	report, err = cluster.Import(t.Context(), db, file, cluster.MoveOptions{Replace: true, Progress: late})
	if !errors.Is(err, cluster.ErrDiffers) || len(report.Differences) != 1 || !strings.Contains(err.Error(), "table b has 2 rows in the first and 1 in the second") {
		t.Errorf("%v, %+v", err, report)
	}
	dir := t.TempDir()
	report, err = cluster.Export(t.Context(), db, filepath.Join(dir, "out.db"), cluster.MoveOptions{Progress: func(step, table string, n int64) {
		if step == "hash the cluster" && table == "" {
			run(t, db, "DELETE FROM a")
		}
	}})
	if left, e := os.ReadDir(dir); !errors.Is(err, cluster.ErrDiffers) || len(report.Differences) != 1 || len(left) != 0 || e != nil {
		t.Errorf("%v, %+v, %v, %v", err, report, left, e)
	}
}

func TestMovingTakesAFileAndACluster(t *testing.T) {
	db, file := open(t, faults.New(t, 1), ""), fileWith(t, "CREATE TABLE a(x)")
	for _, err := range []error{
		second(cluster.Import(t.Context(), file, file, cluster.MoveOptions{})),
		second(cluster.Import(t.Context(), db, db, cluster.MoveOptions{})),
		second(cluster.Export(t.Context(), file, filepath.Join(t.TempDir(), "x.db"), cluster.MoveOptions{})),
	} {
		if !errors.Is(err, holdfast.ErrRefused) || !strings.Contains(err.Error(), "; ") {
			t.Error(err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// registered makes a function and a collation that only a program of its own has.
var registered = sync.OnceValue(func() error {
	return errors.Join(
		sqlite.RegisterDeterministicScalarFunction("own_function", 1, func(_ *sqlite.FunctionContext, args []driver.Value) (driver.Value, error) { return args[0], nil }),
		sqlite.RegisterCollationUtf8("own_collation", strings.Compare))
})

// A schema with what only the program that made it has is refused before anything is sent.
func TestObstacles(t *testing.T) {
	if err := registered(); err != nil {
		t.Fatal(err)
	}
	c := faults.New(t, 1)
	db := open(t, c, "")
	for i, test := range []struct{ statements, want string }{
		{"CREATE TABLE t(a, CHECK (own_function(a) > 0))", "table t: "},
		{"CREATE TABLE t(a); CREATE VIEW v AS SELECT own_function(a) FROM t", "view v: "},
		{"CREATE TABLE t(a); CREATE TRIGGER i AFTER INSERT ON t BEGIN SELECT own_function(new.a); END", "table t: "},
		{"CREATE TABLE t(a); CREATE TRIGGER u AFTER UPDATE OF a ON t BEGIN SELECT own_function(new.a); END", "table t: "},
		{"CREATE TABLE t(a, b AS (a) STORED); CREATE INDEX i ON t(own_function(a))", "index i: "},
		{"CREATE TABLE t(a); CREATE INDEX i ON t(a) WHERE own_function(a)", "index i: "},
		{"CREATE TABLE t(a, b AS (own_function(a)))", "table t: "},
		{"CREATE TABLE t(a TEXT COLLATE own_collation); CREATE INDEX i ON t(a)", "table t: "},
		{"CREATE TABLE t(a, b AS (a), c NUMERIC(10, 2) DEFAULT (abs(5)) REFERENCES t(a), CHECK (lower(a) = a AND (a IN ('(', 'x') OR CAST(a AS VARCHAR(10)) > '')), PRIMARY KEY(a)); CREATE INDEX i ON t(c, (a || 'x')) WHERE (c IS NOT NULL); CREATE VIEW own_function AS SELECT '(own_function(1)' AS x", ""},
	} {
		path := filepath.Join(t.TempDir(), fmt.Sprintf("own%d.db", i))
		foreign, err := sql.Open("sqlite", path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := foreign.Exec(test.statements); err != nil {
			t.Fatalf("%s: %v", test.statements, err)
		}
		if err := foreign.Close(); err != nil {
			t.Fatal(err)
		}
		file, err := holdfast.Open(t.Context(), path, holdfast.WithReadOnly())
		if err != nil {
			t.Fatal(err)
		}
		got, err := cluster.Obstacles(t.Context(), db, file)
		if err != nil || (test.want == "") != (len(got) == 0) || test.want != "" && !strings.Contains(got[0], test.want) {
			t.Errorf("%s: %q, %v", test.statements, got, err)
		}
		if test.want != "" {
			if _, err := cluster.Import(t.Context(), db, file, cluster.MoveOptions{}); !errors.Is(err, holdfast.ErrRefused) || !strings.Contains(err.Error(), "own_") {
				t.Errorf("%v", err)
			}
		}
		if err := file.Close(); err != nil {
			t.Error(err)
		}
	}
	var n int
	if err := db.QueryRow("SELECT count(*) FROM sqlite_schema").Scan(&n); err != nil || n != 0 {
		t.Errorf("%d objects are in the cluster, %v", n, err)
	}
}

func TestRealMoveThereAndBack(t *testing.T) { thereAndBack(t, startReal(t).open("")) }

// A million rows, of the kinds that programs have, go into a cluster and come back.
func TestRealMoveOfAMillionRows(t *testing.T) {
	if testing.Short() {
		t.Skip("a million rows")
	}
	db := startReal(t).open("")
	file := fileWith(t, `CREATE TABLE customers(id INTEGER PRIMARY KEY, name TEXT NOT NULL, since DATETIME, photo BLOB);
CREATE TABLE orders(id INTEGER PRIMARY KEY, customer INTEGER REFERENCES customers(id), item TEXT, amount REAL, note);
WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
 INSERT INTO customers SELECT i, 'customer ' || i, datetime(i * 10000, 'unixepoch'), randomblob(i % 50) FROM n;
WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 900000)
 INSERT INTO orders SELECT i, 1 + i % 100000, 'item ' || (i % 997), i % 7 * 0.5, CASE i % 4 WHEN 0 THEN NULL WHEN 1 THEN i WHEN 2 THEN i * 1.0 ELSE 'note ' || i END FROM n;
CREATE INDEX orders_customer ON orders(customer);`)
	in, err := cluster.Import(t.Context(), db, file, cluster.MoveOptions{})
	if err != nil || in.Rows != 1_000_000 {
		t.Fatal(in.Rows, err)
	}
	t.Logf("in: %d rows, %d bytes, %.1f s", in.Rows, in.Bytes, in.DurationSeconds)
	out, err := cluster.Export(t.Context(), db, filepath.Join(t.TempDir(), "back.db"), cluster.MoveOptions{})
	if err != nil || out.Rows != in.Rows {
		t.Fatal(out.Rows, err)
	}
	t.Logf("out: %d rows, %d bytes, %.1f s", out.Rows, out.Bytes, out.DurationSeconds)
	here, err := rowhash.Database(t.Context(), file, nil)
	if err != nil || len(rowhash.Compare(here, out.Tables)) > 0 {
		t.Error(err, rowhash.Compare(here, out.Tables))
	}
	for _, table := range out.Tables {
		t.Logf("%s: %d rows, %s", table.Name, table.Rows, table.Hash)
	}
}
