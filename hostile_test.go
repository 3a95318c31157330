package holdfast_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
)

// hostile is SQL that is meant to outlive its deadline. Each is one statement
// that compiles on a small database, unless a limit stops it.
var hostile = []struct{ name, sql string }{
	{"hex of zeroblob", "SELECT length(hex(zeroblob(4e8)))"},
	{"endless recursion", "WITH RECURSIVE n(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"},
	{"endless recursion without duplicates", "WITH RECURSIVE n(x) AS (VALUES (1) UNION SELECT x + 1 FROM n) SELECT max(x) FROM n"},
	{"doubling recursion", "WITH RECURSIVE n(x) AS (VALUES ('x') UNION ALL SELECT x || x FROM n) SELECT sum(length(x)) FROM n"},
	{"recursion of large rows", "WITH RECURSIVE n(x) AS (SELECT randomblob(900000) UNION ALL SELECT randomblob(900000) FROM n) SELECT sum(length(x)) FROM n"},
	{"queue of large rows", "WITH RECURSIVE n(x) AS (SELECT hex(zeroblob(400000)) UNION ALL SELECT n.x FROM n, t) SELECT count(*) FROM n"},
	{"count of a large table", "SELECT count(*) FROM large"},
	{"counts of a large table", "SELECT " + strings.TrimSuffix(strings.Repeat("(SELECT count(*) FROM large)+", 90), "+")},
	{"view that counts", "SELECT n FROM counts"},
	{"cross join", "SELECT count(*) FROM t a, t b, t c, t d"},
	{"cross join of views", "SELECT count(*) FROM v a, v b, v c"},
	{"left joins", "SELECT count(*) FROM t a LEFT JOIN t b ON a.b <> b.b LEFT JOIN t c ON c.b <> b.b LEFT JOIN t d ON d.b <> c.b"},
	{"sort of a product", "SELECT a.b, b.b, c.b FROM t a, t b, t c ORDER BY 3, 2, 1"},
	{"sort of large keys", "SELECT length(x) FROM (SELECT hex(zeroblob(400000)) || b.b AS x FROM t a, t b ORDER BY x)"},
	{"distinct of a product", "SELECT count(*) FROM (SELECT DISTINCT a.b, b.b, c.b FROM t a, t b, t c)"},
	{"group of a product", "SELECT a.b, count(DISTINCT b.b || c.b) FROM t a, t b, t c GROUP BY a.b"},
	{"union of products", "SELECT a.b, b.b FROM t a, t b UNION SELECT b.b, a.b FROM t a, t b UNION SELECT a.b || b.b, 1 FROM t a, t b"},
	{"except of products", "SELECT a.b || b.b FROM t a, t b EXCEPT SELECT b.b || a.b FROM t a, t b"},
	{"window over a product", "SELECT sum(a.a) OVER (ORDER BY b.b ROWS BETWEEN 100000 PRECEDING AND 100000 FOLLOWING) FROM t a, t b"},
	{"window of texts", "SELECT length(group_concat(a.b) OVER (ORDER BY b.b ROWS BETWEEN 50000 PRECEDING AND CURRENT ROW)) FROM t a, t b"},
	{"group_concat", "SELECT length(group_concat(a.b || b.b || c.b)) FROM t a, t b, t c"},
	{"string_agg sorted", "SELECT length(string_agg(a.b || b.b, ',' ORDER BY b.b DESC)) FROM t a, t b, t c"},
	{"json_group_array", "SELECT length(json_group_array(a.b || b.b)) FROM t a, t b, t c"},
	{"printf width", "SELECT length(printf('%*d', 1000000000, 1))"},
	{"printf precision", "SELECT length(printf('%.*f', 100000000, 1.5))"},
	{"printf repeated", "SELECT length(printf('%.*c', 900000000, 'x'))"},
	{"replace", "SELECT length(replace(hex(zeroblob(400000)), '0', hex(zeroblob(400000))))"},
	{"replace of a near miss", "SELECT length(replace(hex(zeroblob(400000)), hex(zeroblob(200000)) || '1', ''))"},
	{"replace in replace", "SELECT length(replace(replace(replace(replace(hex(zeroblob(300)), '0', hex(zeroblob(300))), '0', hex(zeroblob(300))), '0', 'ab'), 'a', 'ba'))"},
	{"instr of a near miss", "SELECT instr(zeroblob(900000), zeroblob(400000) || x'01')"},
	{"instr in a loop", "SELECT sum(instr(zeroblob(30000), zeroblob(8000) || x'01')) FROM t a, t b"},
	{"replace in a loop", "SELECT sum(length(replace(hex(zeroblob(15000)), hex(zeroblob(4000)) || '1', ''))) FROM t a, t b"},
	{"trim in a loop", "SELECT sum(length(trim(hex(zeroblob(15000)), replace(hex(zeroblob(2000)), '00', 'x') || '0'))) FROM t a, t b"},
	{"instr of a huge near miss", "SELECT instr(zeroblob(400000000), zeroblob(200000000) || x'01')"},
	{"trim", "SELECT length(trim(hex(zeroblob(400000)), replace(hex(zeroblob(200000)), '00', 'x') || '0'))"},
	{"like of a near miss", "SELECT hex(zeroblob(400000)) LIKE '%' || replace(hex(zeroblob(400)), '0', '0') || '1'"},
	{"like of wildcards", "SELECT hex(zeroblob(400000)) LIKE '" + strings.Repeat("%_", 400) + "1'"},
	{"like in a loop", "SELECT count(*) FROM t a, t b WHERE hex(zeroblob(200000)) || a.b || b.b LIKE '%" + strings.Repeat("0_%", 50) + "1'"},
	{"glob of wildcards", "SELECT hex(zeroblob(400000)) GLOB '" + strings.Repeat("*?", 400) + "1'"},
	{"glob in a loop", "SELECT count(*) FROM t a, t b WHERE hex(zeroblob(200000)) || a.b GLOB '*" + strings.Repeat("0?*", 50) + "x'"},
	{"columns of like", "SELECT count(*) FROM t a, t b WHERE " + strings.TrimSuffix(strings.Repeat("hex(zeroblob(400000)) LIKE '%"+strings.Repeat("0_", 80)+"1' OR ", 80), " OR ")},
	{"glob of sets", "SELECT hex(zeroblob(400000)) GLOB '*" + strings.Repeat("[0-9]*", 100) + "x'"},
	{"randomblob", "SELECT length(randomblob(900000000))"},
	{"randomblob in a loop", "SELECT count(randomblob(900000)) FROM t a, t b, t c WHERE length(randomblob(900000)) > 1"},
	{"quote", "SELECT length(quote(zeroblob(400000000)))"},
	{"many columns of hex", "SELECT " + strings.TrimSuffix(strings.Repeat("hex(zeroblob(400000)),", 190), ",")},
	{"many columns of random", "SELECT " + strings.TrimSuffix(strings.Repeat("randomblob(900000),", 190), ",")},
	{"many columns of JSON", "SELECT " + strings.TrimSuffix(strings.Repeat("json_set(j,'$[1]',random()),", 190), ",") + " FROM (SELECT '[' || replace(hex(zeroblob(100000)), '00', '1,') || '1]' AS j)"},
	{"many columns of like", "SELECT " + strings.TrimSuffix(strings.Repeat("x LIKE '%_%_%_%_1%',", 190), ",") + " FROM (SELECT hex(randomblob(400000)) AS x)"},
	{"sum of calls", "SELECT " + strings.TrimSuffix(strings.Repeat("length(hex(randomblob(400000)))+", 90), "+")},
	{"concat of columns", "SELECT " + strings.TrimSuffix(strings.Repeat("x||x,", 190), ",") + " FROM (SELECT hex(zeroblob(200000)) AS x)"},
	{"JSON tree", "SELECT count(*) FROM json_tree('[' || replace(hex(zeroblob(200000)), '00', '[1,2],') || '1]') a, t b, t c"},
	{"JSON each in each", "SELECT count(*) FROM json_each('[' || replace(hex(zeroblob(100000)), '00', '1,') || '1]') a, json_each('[' || replace(hex(zeroblob(100000)), '00', '1,') || '1]') b"},
	{"JSON patch", "SELECT length(json_patch(j, j)) FROM (SELECT '{' || group_concat('\"k' || a.a || '_' || b.a || '\":1') || '}' AS j FROM t a, t b WHERE b.a < 40)"},
	{"JSON set of many paths", "SELECT length(json_set(j" + strings.Repeat(", '$[#-1]', 7", 49) + ")) FROM (SELECT '[' || replace(hex(zeroblob(400000)), '00', '1,') || '1]' AS j)"},
	{"JSON path of many steps", "SELECT json_extract(j, '$" + strings.Repeat("[0]", 900) + "') FROM t a, t b, (SELECT '" + strings.Repeat("[", 900) + strings.Repeat("]", 900) + "' AS j)"},
	{"JSON group array", "SELECT length(json_group_array(hex(zeroblob(400000)))) FROM t a, t b, t c"},
	{"JSON group object", "SELECT length(json_group_object(a.a || '_' || b.a, 1)) FROM t a, t b, t c"},
	{"deep JSON", "SELECT json_valid(replace(hex(zeroblob(200000)), '0', '['))"},
	{"deep expression", "SELECT " + strings.Repeat("(", 90) + "a.a" + strings.Repeat(")+1", 90) + " FROM t a, t b, t c"},
	{"deep subqueries", "SELECT " + strings.Repeat("(SELECT max(a) + ", 40) + "1" + strings.Repeat(" FROM t)", 40) + " FROM t, t b"},
	{"long IN", "SELECT count(*) FROM t a, t b, t c WHERE a.a IN (1" + strings.Repeat(",2", 40000) + ")"},
	{"long OR", "SELECT count(*) FROM t a, t b, t c WHERE " + strings.TrimSuffix(strings.Repeat("a.a+b.a=c.a OR ", 90), "OR ")},
	{"long CASE", "SELECT sum(CASE" + strings.Repeat(" WHEN a.a*b.a=-1 THEN 1", 900) + " END) FROM t a, t b, t c"},
	{"many joins", "SELECT count(*) FROM " + joins(60) + " WHERE t0.a + t59.a = -1"},
	{"many joins with conditions", "SELECT count(*) FROM " + joins(30) + " WHERE " + conditions(30)},
	{"subselects of subselects", doubling(9)},
	{"compound", "SELECT 1" + strings.Repeat(" UNION SELECT a.a * b.a FROM t a, t b", 40)},
	{"correlated subqueries", "SELECT count((SELECT max(b.a) FROM t b, t c WHERE b.a + c.a > a.a)) FROM t a, t d"},
	{"EXISTS in NOT EXISTS", "SELECT count(*) FROM t a, t d WHERE NOT EXISTS (SELECT 1 FROM t b, t c WHERE b.a * c.a = -a.a)"},
	{"full-text of everything", "SELECT count(*) FROM f a, f b, f c WHERE a.text MATCH 'w*' AND b.text MATCH 'w* NOT zzz' AND c.text MATCH 'w1* OR w2*' AND a.rowid + b.rowid = -c.rowid"},
	{"full-text query of terms", "SELECT count(*) FROM f WHERE f MATCH '" + strings.TrimSuffix(strings.Repeat("w* OR ", 200), "OR ") + "'"},
	{"full-text snippet", "SELECT length(snippet(f, 0, hex(zeroblob(5000)), hex(zeroblob(5000)), '', 60)) FROM f, t WHERE f MATCH 'w*'"},
	{"full-text NEAR", "SELECT count(*) FROM f, t a, t b WHERE f MATCH 'NEAR(w1 w2 w3 w4 w5, 1000)' AND a.a + b.a = -1"},
	{"date arithmetic", "SELECT count(date('now', '+' || a.a || ' days', '+1 month', 'start of month')) FROM t a, t b, t c"},
	{"strftime", "SELECT length(strftime('" + strings.Repeat("%Y-%m-%d %H:%M:%f ", 1000) + "')) FROM t a, t b"},
	{"integrity check in a join", "SELECT count(*) FROM t a, t b, pragma_integrity_check() c"},
	{"table list in a join", "SELECT count(*) FROM pragma_table_list a, pragma_table_list b, pragma_function_list c, pragma_function_list d, pragma_function_list e"},
	{"geopoly", "SELECT sum(geopoly_area(geopoly_regular(0, 0, a.a, 1000))) FROM t a, t b, t c"},
	{"geopoly of a comb", "SELECT geopoly_overlap(p, p) FROM " + comb},
	{"geopoly within a comb", "SELECT geopoly_within(p, p) FROM " + comb},
	{"columns of geopoly", "SELECT " + strings.TrimSuffix(strings.Repeat("geopoly_svg(p),", 190), ",") + " FROM " + comb},
	{"columns of dates", "SELECT " + strings.TrimSuffix(strings.Repeat("date('now', x, x, x),", 190), ",") + " FROM (SELECT hex(zeroblob(400000)) AS x)"},
	{"JSON of control characters", "SELECT json_array(x" + strings.Repeat(", x", 59) + ") FROM (SELECT CAST(zeroblob(999000) AS TEXT) AS x)"},
	{"full-text query of 600 kB", "SELECT count(*) FROM f WHERE f MATCH replace(hex(zeroblob(200000)), '00', 'w1 ')"},
	{"full-text query of many terms", "SELECT count(*) FROM f WHERE f MATCH replace(hex(zeroblob(2700)), '00', 'w1 ')"},
	{"full-text phrase", "SELECT count(*) FROM f WHERE f MATCH '\"' || replace(hex(zeroblob(2700)), '00', 'w1 ') || '\"'"},
	{"row values", "SELECT count(*) FROM t a, t b WHERE (a.a, b.a, a.b, b.b) IN (SELECT c.a, d.a, c.b, d.b FROM t c, t d)"},
	{"explained", "EXPLAIN SELECT count(*) FROM " + joins(60) + " WHERE " + conditions(60)},
	{"limit behind a product", "SELECT a.a FROM t a, t b, t c LIMIT 1 OFFSET 100000000"},
	{"percentile of a product", "SELECT a.b, ntile(1000) OVER (PARTITION BY a.b ORDER BY b.b) FROM t a, t b"},
}

// comb is a polygon of which each edge is beside all others: 720 kB of text.
const comb = "(SELECT '[[0,0],' || replace(hex(zeroblob(60000)), '00', '[9,0],[0,1],') || '[0,9],[0,0]]' AS p)"

func joins(n int) string {
	tables := make([]string, n)
	for i := range tables {
		tables[i] = fmt.Sprintf("t t%d", i)
	}
	return strings.Join(tables, ", ")
}

func conditions(n int) string {
	terms := make([]string, n-1)
	for i := range terms {
		terms[i] = fmt.Sprintf("(t%d.a > t%d.a OR t%d.b < t%d.b)", i, i+1, i+1, i)
	}
	return strings.Join(terms, " AND ")
}

// doubling is a query whose compiled form doubles with each of n steps.
func doubling(n int) string {
	var b strings.Builder
	b.WriteString("WITH c0 AS (SELECT a FROM t)")
	last := "c0"
	for i := range n {
		name := "c" + string(rune('A'+i))
		b.WriteString(", " + name + " AS (SELECT x.a FROM " + last + " x, " + last + " y)")
		last = name
	}
	return b.String() + " SELECT count(*) FROM " + last
}

// victim is a file with a thousand rows, a full-text index, and a table whose
// pages take longer to count than the deadline of a hostile statement.
func victim(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "victim.db")
	db, err := holdfast.Open(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	must(t, db, "CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT)")
	must(t, db, "WITH RECURSIVE n(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM n WHERE x < 1000) INSERT INTO t SELECT x, hex(randomblob(8)) FROM n")
	must(t, db, "CREATE TABLE large(x)")
	must(t, db, "WITH RECURSIVE n(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM n WHERE x <= 20000) INSERT INTO large SELECT zeroblob(2100) FROM n")
	must(t, db, "CREATE VIEW counts AS SELECT "+strings.TrimSuffix(strings.Repeat("(SELECT count(*) FROM large)+", 90), "+")+" AS n")
	must(t, db, "CREATE VIEW v AS SELECT a.a AS x, b.b AS y FROM t a, t b ORDER BY 2")
	must(t, db, "CREATE VIRTUAL TABLE f USING fts5(text)")
	must(t, db, "INSERT INTO f SELECT 'w1 w2 w3 w4 w5 w' || a || ' wa wb wc wd we wf wg wh' FROM t")
	return path
}

// The gate is the time of the thread, which a busy machine doesn't stretch; where
// there is no such clock it is the wall's.
func TestHostileSQLEndsAtItsDeadline(t *testing.T) {
	if raceEnabled {
		t.Skip("the engine is ten times slower under the race detector, and the bound is a time")
	}
	db := openAt(t, victim(t), holdfast.WithUntrustedSQL())
	const deadline, most = 50 * time.Millisecond, 500 * time.Millisecond
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	stopped := 0
	for _, h := range hostile {
		ctx, cancel := context.WithTimeout(context.Background(), deadline)
		start := threadTime()
		n, err := drainAll(ctx, db, h.sql)
		over := threadTime() - start - deadline
		cancel()
		t.Logf("%-36s %8.1f ms past its deadline, %d rows, %v", h.name, float64(over.Microseconds())/1000, n, short(err))
		if over > most {
			t.Errorf("%s: ended %s past its deadline", h.name, over)
		}
		if errors.Is(err, holdfast.ErrRefused) {
			t.Errorf("%s: refused, so it tests nothing: %v", h.name, err)
		}
		if errors.Is(err, context.DeadlineExceeded) {
			stopped++
		}
	}
	if stopped < 40 {
		t.Errorf("only %d of %d statements came to their deadline", stopped, len(hostile))
	}
}

func short(err error) string {
	if err == nil {
		return "no error"
	}
	return err.Error()[:min(len(err.Error()), 100)]
}

func drainAll(ctx context.Context, db *holdfast.DB, sql string) (n int, err error) {
	rows, err := db.QueryContext(ctx, sql)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		n++
	}
	return n, rows.Err()
}
