package salvage_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/backup/salvage"
	"github.com/holdfastdb/holdfast/internal/maintain/copy"
	"github.com/holdfastdb/holdfast/internal/sqlite"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// make writes a database by SQL and returns its path. Its log is in it.
func makeDB(t testing.TB, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "app.db")
	c, err := sqlite.Open(path, sqlite.OpenReadWrite|sqlite.OpenCreate)
	must(t, err)
	must(t, c.Exec(script))
	must(t, c.Close())
	return path
}

// rows is a script that fills table t with so many rows of some 200 bytes.
func rows(n int) string {
	return fmt.Sprintf("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%d) INSERT INTO t SELECT i, 'name '||i, i%%97, randomblob(150) FROM n;", n)
}

const tableT = "CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, group_no INT, data BLOB);"

func run(t testing.TB, path string, o salvage.Options) (string, salvage.Report) {
	t.Helper()
	dst := filepath.Join(t.TempDir(), "out.db")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := salvage.Run(ctx, path, dst, o)
	must(t, err)
	problems, err := copy.CheckFile(t.Context(), dst, copy.Integrity, nil)
	if must(t, err); len(problems) > 0 {
		t.Fatalf("integrity_check of the new database: %s", problems)
	}
	return dst, r
}

// query returns the rows of a query, fields joined by "|".
func query(t testing.TB, path, sql string) []string {
	t.Helper()
	c, err := copy.OpenFile(path)
	must(t, err)
	defer c.Close()
	out, err := ask(c, sql)
	must(t, err)
	return out
}

func ask(c *sqlite.Conn, sql string) (out []string, err error) {
	s, _, err := c.Prepare(sql)
	if err != nil {
		return nil, err
	}
	defer s.Finalize()
	for {
		row, err := s.Step()
		if err != nil || !row {
			return out, err
		}
		var fields []string
		for i := range s.ColumnCount() {
			fields = append(fields, s.ColumnText(i))
		}
		out = append(out, strings.Join(fields, "|"))
	}
}

func number(t testing.TB, path, sql string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(query(t, path, sql)[0], 10, 64)
	must(t, err)
	return n
}

// pages returns the numbers of the pages of a tree, by kind: "leaf", "internal" or "overflow".
func pages(t testing.TB, path, name, kind string) []int64 {
	t.Helper()
	var out []int64
	for _, n := range query(t, path, fmt.Sprintf("SELECT pageno FROM dbstat WHERE name='%s' AND pagetype='%s' ORDER BY path", name, kind)) {
		i, err := strconv.ParseInt(n, 10, 64)
		must(t, err)
		out = append(out, i)
	}
	return out
}

// overwrite puts noise over a page.
func overwrite(t testing.TB, path string, page int64) {
	t.Helper()
	noise := make([]byte, 4096)
	r := rand.New(rand.NewPCG(1, uint64(page)))
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	noise[0] = 0x77 // no kind of page
	patch(t, path, (page-1)*4096, noise)
}

func patch(t testing.TB, path string, at int64, b []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	_, err = f.WriteAt(b, at)
	must(t, errors.Join(err, f.Close()))
}

func tableOf(t testing.TB, r salvage.Report, name string) salvage.Table {
	t.Helper()
	for _, one := range r.Tables {
		if one.Name == name {
			return one
		}
	}
	t.Fatalf("the report has no table %s: %+v", name, r)
	return salvage.Table{}
}

// What is not damaged comes back as it was, whatever a schema can have.
func TestWhole(t *testing.T) {
	t.Parallel()
	for _, encoding := range []string{"UTF-8", "UTF-16le", "UTF-16be"} {
		for _, vacuum := range []string{"NONE", "FULL", "INCREMENTAL"} {
			t.Run(encoding+" "+vacuum, func(t *testing.T) {
				t.Parallel()
				path := makeDB(t, "PRAGMA page_size=1024; PRAGMA encoding='"+encoding+"'; PRAGMA auto_vacuum="+vacuum+";"+everything)
				dst, r := run(t, path, salvage.Options{})
				if r.Verdict != "whole" || r.RowsLost != 0 || !r.Verified {
					t.Errorf("report: %+v", r)
				}
				same(t, path, dst)
				for _, pragma := range []string{"page_size", "encoding", "auto_vacuum", "user_version", "application_id"} {
					if a, b := query(t, path, "PRAGMA "+pragma), query(t, dst, "PRAGMA "+pragma); a[0] != b[0] {
						t.Errorf("%s: %s became %s", pragma, a, b)
					}
				}
			})
		}
	}
}

const everything = `
PRAGMA user_version=42; PRAGMA application_id=-7;
CREATE TABLE plain(a, b TEXT, c REAL, d BLOB, e INTEGER DEFAULT 5);
INSERT INTO plain VALUES(1,'one',1.0,x'00ff',NULL),(-1,'Grüße 🦀',1e300,zeroblob(5000),9223372036854775807),(x'', '', -0.0, x'', -9223372036854775808);
INSERT INTO plain(rowid,a) VALUES(-5,'negative'),(9223372036854775807,'last');
CREATE TABLE "odd ""name"" [x]"("select" INTEGER PRIMARY KEY, "a b" TEXT, "ünï" UNIQUE, rowid, oid);
INSERT INTO "odd ""name"" [x]" VALUES(7,'seven',1,2,3),(8,'eight',4,5,6);
CREATE TABLE auto(id INTEGER PRIMARY KEY AUTOINCREMENT, v); INSERT INTO auto(v) VALUES('a'),('b'),('c'); DELETE FROM auto WHERE id=3;
CREATE TABLE gen(a INT, b AS (a*2), c AS (a+1) STORED, d TEXT); INSERT INTO gen(a,d) VALUES(3,'x'),(4,'y');
CREATE TABLE strict_t(id INTEGER PRIMARY KEY, n INT NOT NULL, a ANY, CHECK(n>0)) STRICT; INSERT INTO strict_t VALUES(1,2,'any'),(2,3,4.5);
CREATE TABLE wr(k TEXT, n INT, v BLOB, PRIMARY KEY(n DESC, k)) WITHOUT ROWID; INSERT INTO wr VALUES('a',1,x'01'),('b',2,zeroblob(3000)),('c',1,NULL);
CREATE TABLE later(a); INSERT INTO later VALUES(1); ALTER TABLE later ADD COLUMN b DEFAULT 'added'; INSERT INTO later VALUES(2,'own');
CREATE TABLE parent(id INTEGER PRIMARY KEY); CREATE TABLE child(p REFERENCES parent(id)); INSERT INTO child VALUES(99);
CREATE TABLE log(t); CREATE TRIGGER trg AFTER INSERT ON plain BEGIN INSERT INTO log VALUES(new.a); END;
CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, group_no INT, data BLOB);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<2000) INSERT INTO t SELECT i, 'name '||i, i%97, randomblob(150) FROM n;
DELETE FROM t WHERE id%3=0;
CREATE INDEX t_group ON t(group_no, name); CREATE UNIQUE INDEX t_part ON t(name) WHERE id>100; CREATE INDEX t_expr ON t(lower(name));
CREATE VIEW vw AS SELECT id FROM t; CREATE TRIGGER vw_ins INSTEAD OF INSERT ON vw BEGIN SELECT 1; END;
CREATE VIRTUAL TABLE docs USING fts5(title, body); INSERT INTO docs VALUES('first','the quick brown fox'),('second','jumps over');
CREATE VIRTUAL TABLE box USING rtree(id, x0, x1); INSERT INTO box VALUES(1,0,10),(2,5,6);
ANALYZE;`

// same compares schemas and contents.
func same(t *testing.T, a, b string) {
	t.Helper()
	const schema = "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_autoindex%' ORDER BY type, name"
	equal(t, "schema", query(t, a, schema), query(t, b, schema))
	for _, name := range query(t, a, "SELECT name FROM sqlite_schema WHERE type='table'") {
		quoted := `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
		sql := "SELECT * FROM " + quoted + " ORDER BY 1, 2"
		if name == "plain" {
			sql = "SELECT rowid, typeof(a), typeof(c), * FROM plain ORDER BY rowid"
		} else if len(query(t, a, "SELECT 1 FROM pragma_table_info('"+strings.ReplaceAll(name, "'", "''")+"') WHERE cid=1")) == 0 {
			sql = "SELECT * FROM " + quoted + " ORDER BY 1"
		}
		equal(t, name, query(t, a, sql), query(t, b, sql))
	}
	equal(t, "search", query(t, a, "SELECT title FROM docs WHERE docs MATCH 'fox'"), query(t, b, "SELECT title FROM docs WHERE docs MATCH 'fox'"))
}

func equal(t *testing.T, what string, a, b []string) {
	t.Helper()
	if len(a) != len(b) {
		t.Errorf("%s: %d rows became %d: %.300q and %.300q", what, len(a), len(b), a, b)
		return
	}
	for i := range a {
		if a[i] != b[i] {
			t.Errorf("%s: %q became %q", what, a[i], b[i])
		}
	}
}

func TestDestinationIsLeftAlone(t *testing.T) {
	t.Parallel()
	path := makeDB(t, tableT)
	if _, err := salvage.Run(t.Context(), path, path, salvage.Options{}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over the damaged one: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dst := filepath.Join(t.TempDir(), "out.db")
	if _, err := salvage.Run(ctx, path, dst, salvage.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if left, err := os.ReadDir(filepath.Dir(dst)); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
	if _, err := salvage.Run(t.Context(), path+"-not-there", dst, salvage.Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
}
