package stats

import (
	"strings"
	"testing"
)

func TestFingerprint(t *testing.T) {
	t.Parallel()
	cases := []struct{ in, want string }{
		{"", ""},
		{"  \n\t ", ""},
		{"SELECT 1", "SELECT ?"},
		{"select  *\nfrom t -- secret\nwhere a='x''y' and b = 1.5e-3", "select * from t where a = ? and b = ?"},
		{"INSERT INTO t(a,b) VALUES (1,'two',X'03'),(4,5,6)", "INSERT INTO t(a, b) VALUES (?), (?)"},
		{"SELECT * FROM t WHERE id IN (1, 2, 3)", "SELECT * FROM t WHERE id IN (?)"},
		{"SELECT * FROM t WHERE id IN (?,?,?)", "SELECT * FROM t WHERE id IN (?)"},
		{"SELECT ?12, :name, @n, $x", "SELECT ?, :name, @n, $x"},
		{`SELECT t."a""b", [c d], ` + "`e`" + ` FROM "t"`, `SELECT t."a""b", [c d], ` + "`e`" + ` FROM "t"`},
		// In double quotes: where no value can be, it is a name.
		{`SELECT "t" . "a" FROM "t" AS "u" JOIN "v" ON "u"."a" = "v"."b"`, `SELECT "t"."a" FROM "t" AS "u" JOIN "v" ON "u"."a" = "v"."b"`},
		{`INSERT OR IGNORE INTO "t" AS "u" ("a", "b") VALUES ("x", "y")`, `INSERT OR IGNORE INTO "t" AS "u"("a", "b") VALUES ("?", "?")`},
		{`INSERT INTO s."t"("a") SELECT "x", "y"`, `INSERT INTO s."t"("a") SELECT "?", "?"`},
		{`INSERT INTO t WITH c AS (SELECT "x", "y") SELECT "z"`, `INSERT INTO t WITH c AS (SELECT "?", "?") SELECT "?"`},
		{`UPDATE "t" SET "a" = "x", "b" = (1, "y"), "c" = f("z", "w") WHERE "d" = 1 LIMIT 1, "2"`, `UPDATE "t" SET "a" = "?", "b" = (?, "?"), "c" = f("?", "?") WHERE "?" = ? LIMIT ?, "?"`},
		{`CREATE TABLE IF NOT EXISTS "t" (a REFERENCES "p" ON DELETE SET NULL, "b" DEFAULT "x")`, `CREATE TABLE IF NOT EXISTS "t"(a REFERENCES "p" ON DELETE SET NULL, "b" DEFAULT "?")`},
		{`SELECT * FROM t WHERE a = "x" OR a IN ("y", "z") OR a IS DISTINCT FROM "v"`, `SELECT * FROM t WHERE a = "?" OR a IN ("?", "?") OR a IS DISTINCT FROM "?"`},
		{`VACUUM main INTO "x"`, `VACUUM main INTO "?"`},
		{`ATTACH "x" AS "y"`, `ATTACH "?" AS "y"`},
		{`SELECT "unterminated`, `SELECT "?"`},
		{`UPDATE t SET a = 1; SELECT 1, "x"`, `UPDATE t SET a = ?; SELECT ?, "?"`},
		{"SELECT /* 'secret */ a", "SELECT a"},
		{"SELECT 'unterminated", "SELECT ?"},
		{"SELECT a<=1", "SELECT a <= ?"},
		{"SELECT a=-1, a = - 1, j->>'$.a'||'b'", "SELECT a = - ?, a = - ?, j ->> ? || ?"},
		{"SELECT 1 / *", "SELECT ? / *"},
		{"SELECT 1 - -1", "SELECT ? - - ?"},
		{"SELECT count(*), t.*, (-1)", "SELECT count(*), t.*, (- ?)"},
	}
	for _, c := range cases {
		if got := Fingerprint(c.in); got != c.want {
			t.Errorf("Fingerprint(%q)\n got %q\nwant %q", c.in, got, c.want)
		}
	}
	if got := Fingerprint("SELECT " + strings.Repeat("columnname + ", 1000)); len(got) > maxFingerprint+3 {
		t.Errorf("fingerprint has %d bytes", len(got))
	}
}

func FuzzFingerprint(f *testing.F) {
	for _, s := range []string{"SELECT 1", "insert into t values('a',2)", "--", "/*", "'", "x'", "1e+", "?,?", "a.b", "0x1F", ".5", "#1", "((((", `insert into "t"("a")values("b",1,2)`, `update "t" set "a"="b","c"=("d","e")from "f"`, `"a"/**/.b`, `)))"a"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		once := Fingerprint(sql)
		if len(sql) > maxFingerprint/3 {
			return // may have been cut, hence not a fixed point
		}
		if twice := Fingerprint(once); twice != once {
			t.Errorf("not idempotent:\n %q\n %q", once, twice)
		}
	})
}
