package torture

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast"
)

func hostileSQL() Scenario {
	return Scenario{
		Name:  "hostile-sql",
		About: "statements made to outlive their deadline end within 500 ms of it (p99), and change nothing",
		Tier:  Quick,
		Run:   runHostileSQL,
	}
}

// overrunLimit is how far past its deadline 99 of 100 hostile statements may end.
const overrunLimit = 500 * time.Millisecond

func runHostileSQL(ctx context.Context, t *Trial) error {
	path := filepath.Join(t.Dir, "victim.db")
	before, err := createVictim(ctx, path)
	if err != nil {
		return err
	}
	db, err := holdfast.Open(ctx, path, holdfast.WithUntrustedSQL())
	if err != nil {
		return err
	}
	defer db.Close()
	var over []time.Duration
	slowest := ""
	for range t.Rounds(300, 3000, 30_000) {
		if err := ctx.Err(); err != nil {
			return err
		}
		sql := hostileStatement(t.Rand)
		deadline := time.Duration(1+t.Rand.IntN(60)) * time.Millisecond
		limited, cancel := context.WithTimeout(ctx, deadline)
		start := time.Now()
		err := exhaust(limited, db, sql)
		late := max(0, time.Since(start)-deadline)
		cancel()
		if len(over) == 0 || late > slices.Max(over) {
			slowest = sql
		}
		over = append(over, late)
		t.Count("statements", 1)
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			t.Count("statements_stopped", 1)
		case err != nil:
			t.Count("statements_refused", 1)
		default:
			t.Count("statements_done", 1)
		}
	}
	slices.Sort(over)
	p99 := over[len(over)*99/100]
	t.Figure("overrun_p99_microseconds", p99.Microseconds())
	t.Figure("overrun_longest_microseconds", over[len(over)-1].Microseconds())
	if after, err := digest(ctx, db); err != nil || after != before {
		return fmt.Errorf("the database was changed, from %q to %q (%w)", before, after, err)
	}
	if p99 > overrunLimit {
		return fmt.Errorf("hostile statements ended %s past their deadline (p99), not within %s; the slowest was %.300s", p99, overrunLimit, slowest)
	}
	return nil
}

func createVictim(ctx context.Context, path string) (before string, err error) {
	db, err := holdfast.Open(ctx, path)
	if err != nil {
		return "", err
	}
	defer db.Close()
	_, err = db.ExecContext(ctx, `CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT);
		WITH RECURSIVE n(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM n WHERE x < 1000) INSERT INTO t SELECT x, hex(randomblob(8)) FROM n;
		CREATE INDEX i ON t(b);
		CREATE TABLE large(x);
		WITH RECURSIVE n(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM n WHERE x < 20000) INSERT INTO large SELECT zeroblob(2100) FROM n;
		CREATE VIEW v AS SELECT x.a, y.b FROM t x, t y ORDER BY 2;
		CREATE VIRTUAL TABLE f USING fts5(text);
		INSERT INTO f SELECT 'w1 w2 w3 w' || a || ' wa wb wc wd we' FROM t`)
	if err != nil {
		return "", err
	}
	return digest(ctx, db)
}

// digest is what must not change.
func digest(ctx context.Context, db *holdfast.DB) (text string, err error) {
	err = db.QueryRowContext(ctx, "SELECT count(*) || ' ' || sum(a) || ' ' || max(b) || ' ' || (SELECT count(*) || max(rootpage) FROM sqlite_schema) FROM t").Scan(&text)
	return text, err
}

func exhaust(ctx context.Context, db *holdfast.DB, sql string) error {
	for _, err := range db.Rows(ctx, sql) {
		if err != nil {
			return err
		}
	}
	return nil
}

// hostileStatement puts a statement together: an expression that is dear, in a
// place where it is worked out often, over rows that never end.
func hostileStatement(r *rand.Rand) string {
	value := hostileValue(r, 2)
	source := hostileSource(r)
	switch r.IntN(15) {
	case 0:
		return "SELECT " + value + " FROM " + source
	case 1:
		return "SELECT count(*) FROM " + source + " WHERE " + value + " = a"
	case 2:
		return "SELECT " + value + " AS x FROM " + source + " ORDER BY x"
	case 3:
		return "SELECT count(DISTINCT " + value + ") FROM " + source
	case 4:
		return "SELECT " + value + " AS x, count(*) FROM " + source + " GROUP BY x HAVING count(*) < 0"
	case 5:
		return "SELECT length(group_concat(" + value + ")) FROM " + source
	case 6:
		return "SELECT length(json_group_array(" + value + ")) FROM " + source
	case 7:
		return "SELECT sum(length(" + value + ")) OVER (ORDER BY a ROWS BETWEEN 10000 PRECEDING AND CURRENT ROW) FROM " + source
	case 8:
		return "SELECT " + value + " FROM " + source + " UNION SELECT " + hostileValue(r, 1) + " FROM " + hostileSource(r)
	case 9:
		return "SELECT " + strings.Repeat(value+", ", 1+r.IntN(250)) + "1"
	case 10:
		return "SELECT a IN (SELECT " + value + " FROM " + source + ") FROM t"
	case 11:
		return "SELECT (SELECT max(" + value + ") FROM " + source + ") FROM t"
	case 12:
		return "SELECT a FROM " + source + " WHERE EXISTS (SELECT 1 FROM t z WHERE " + value + " IS NULL) LIMIT 1 OFFSET 1000000000"
	case 13: // each count is one instruction
		return "SELECT " + strings.Repeat("(SELECT count(*) FROM large) + ", r.IntN(90)) + "(SELECT count(*) FROM large)"
	}
	return "WITH RECURSIVE n(a, x) AS (SELECT 1, " + value + " UNION ALL SELECT a + 1, " + value + " || x FROM n) SELECT sum(length(x)) FROM n"
}

// hostileSource is where the rows come from; it has a column a.
func hostileSource(r *rand.Rand) string {
	return []string{
		"(WITH RECURSIVE m(a) AS (VALUES (1) UNION ALL SELECT a + 1 FROM m) SELECT a FROM m)",
		"(WITH RECURSIVE m(a) AS (VALUES (1) UNION SELECT a + 1 FROM m) SELECT a FROM m)",
		"t, (SELECT b AS y FROM t), (SELECT b AS z FROM t)",
		"v, (SELECT b AS y FROM t)",
		"(SELECT key AS a FROM json_each('[' || replace(hex(zeroblob(20000)), '00', '1,') || '1]')), (SELECT b AS y FROM t)",
		"(SELECT f.rowid AS a FROM f, t, t u WHERE f MATCH 'w* NOT wz')",
		"(SELECT a FROM t ORDER BY random()), (SELECT b AS y FROM t ORDER BY random())",
		"(SELECT cid AS a FROM pragma_table_info('t'), pragma_function_list, pragma_function_list)",
		"t",
	}[r.IntN(9)]
}

// hostileValue is an expression that takes time or memory.
func hostileValue(r *rand.Rand, depth int) string {
	size := []int{10, 1000, 30_000, 400_000, 900_000, 100_000_000}[r.IntN(6)]
	blob := fmt.Sprintf("zeroblob(%d)", size)
	text := fmt.Sprintf("hex(zeroblob(%d))", size/2)
	if depth > 0 && r.IntN(3) == 0 {
		text = hostileValue(r, depth-1)
	}
	small := 1 + r.IntN(300)
	switch r.IntN(18) {
	case 0:
		return "hex(" + blob + ")"
	case 1:
		return fmt.Sprintf("randomblob(%d)", size)
	case 2:
		return fmt.Sprintf("replace(%s, '0', %s)", text, text)
	case 3:
		return fmt.Sprintf("replace(%s, hex(zeroblob(%d)) || '1', '')", text, small)
	case 4:
		return fmt.Sprintf("instr(%s, zeroblob(%d) || x'01')", blob, r.IntN(size))
	case 5:
		return fmt.Sprintf("trim(%s, hex(zeroblob(%d)))", text, small)
	case 6:
		return text + " LIKE '" + strings.Repeat("%0_", small) + "1'"
	case 7:
		return text + " GLOB '*" + strings.Repeat("[0-9]?*", small) + "x'"
	case 8:
		return fmt.Sprintf("printf('%%*d', %d, 1)", size)
	case 9:
		return fmt.Sprintf("format('%%.*c', %d, 'x')", size)
	case 10:
		return "json_set('[' || replace(" + text + ", '0', '1,') || '1]'" + strings.Repeat(", '$[#-1]', 7", 1+r.IntN(49)) + ")"
	case 11:
		return "json_array_length('[' || replace(" + text + ", '0', '[],') || '1]')"
	case 12:
		return "json_valid(replace(" + text + ", '0', '['))"
	case 13:
		return "quote(" + blob + ") || upper(" + text + ")"
	case 14:
		return "unhex(" + text + ") || substr(" + text + ", -5)"
	case 15:
		return "strftime('" + strings.Repeat("%Y-%f", small) + "', a)"
	case 16:
		return strings.Repeat("(", 80) + text + strings.Repeat(" || 'x')", 80)
	}
	return "CASE" + strings.Repeat(" WHEN a * 7 = -1 THEN 1", small) + " ELSE " + text + " END"
}
