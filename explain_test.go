package holdfast_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/plan"
)

func explained(t *testing.T) *holdfast.DB {
	t.Helper()
	db := openAt(t, filepath.Join(t.TempDir(), "shop.db"))
	must(t, db, `CREATE TABLE customer(id INTEGER PRIMARY KEY, email TEXT UNIQUE NOT NULL, city TEXT);
		CREATE TABLE orders(id INTEGER PRIMARY KEY, customer INTEGER, status TEXT);
		CREATE INDEX orders_customer ON orders(customer, status);
		CREATE VIRTUAL TABLE "full text" USING fts5(body);
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400) INSERT INTO customer SELECT i, 'm' || i, 'c' || i % 9 FROM n;
		INSERT INTO orders SELECT id, id % 40, city FROM customer;
		ANALYZE`)
	return db
}

// Nothing that is explained runs, whatever it is.
func TestExplainRunsNothing(t *testing.T) {
	t.Parallel()
	db := explained(t)
	before := fingerprintOf(t, db)
	for _, sql := range []string{
		"DELETE FROM customer", "DELETE FROM customer WHERE id > ? RETURNING id", "UPDATE orders SET status = 1", "INSERT INTO orders DEFAULT VALUES",
		"DROP TABLE orders", "CREATE TABLE new(a)", "CREATE TEMP TABLE new(a)", "VACUUM", "PRAGMA user_version = 7", "PRAGMA foreign_keys = off", "PRAGMA journal_mode = delete",
		"PRAGMA query_only = 0", "BEGIN", "COMMIT", "ATTACH 'beside.db' AS b", "ANALYZE", "REINDEX", "DETACH main",
	} {
		if _, err := db.Explain(t.Context(), sql); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
	if after := fingerprintOf(t, db); after != before {
		t.Errorf("something ran:\n%s\n%s", before, after)
	}
	x, err := db.Explain(t.Context(), "DELETE FROM customer WHERE id > :id")
	if err != nil || x.ReadOnly || x.Parameters != 1 || x.Unbound != 1 || len(x.Steps) != 1 {
		t.Errorf("%+v, %v", x, err)
	}
}

// fingerprintOf is what a statement that ran would have changed.
func fingerprintOf(t *testing.T, db *holdfast.DB) string {
	t.Helper()
	var s string
	err := db.QueryRow(`SELECT (SELECT count(*) FROM customer) || ' ' || (SELECT count(*) FROM orders) || ' ' || (SELECT group_concat(sql) FROM sqlite_schema)
		|| ' ' || (SELECT user_version FROM pragma_user_version) || (SELECT foreign_keys FROM pragma_foreign_keys)
		|| (SELECT query_only FROM pragma_query_only) || (SELECT group_concat(name) FROM pragma_database_list WHERE name <> 'temp')`).Scan(&s)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The plan has what the statistics know, and counts when it is run.
func TestExplainAndMeasure(t *testing.T) {
	t.Parallel()
	db := explained(t)
	for _, c := range []struct {
		sql      string
		args     []any
		says     string
		rows     int64
		scanned  bool
		sorted   bool
		complete bool
	}{
		{"SELECT * FROM customer c WHERE c.id = ?", []any{7}, "Finds rows of c (customer) by rowid, the key of the table itself; at most one row for each value.", 1, false, false, true},
		{"SELECT id FROM customer WHERE email = ?", []any{"m9"}, "at most one row for each value", 1, false, false, true},
		{"SELECT id FROM orders WHERE customer = ?", []any{3}, "about 10 rows for each look-up by sqlite_stat1", 10, false, false, true},
		{"SELECT city FROM customer ORDER BY city", nil, "it has about 400 rows by sqlite_stat1", 400, true, true, true},
		{`SELECT rowid FROM "full text" WHERE body MATCH 'x'`, nil, "Asks the full-text index of full text", 0, false, false, true},
		{"SELECT name FROM pragma_table_info('orders')", nil, "Asks the virtual table pragma_table_info", 3, false, false, true},
	} {
		x, err := db.Explain(t.Context(), c.sql, c.args...)
		if err != nil {
			t.Fatal(err)
		}
		var said []string
		for _, s := range x.All() {
			said = append(said, s.Sentence(plan.English))
		}
		if !strings.Contains(strings.Join(said, " "), c.says) || !x.ReadOnly || x.Unbound != 0 {
			t.Errorf("%s: %q", c.sql, said)
		}
		for range 2 { // counters begin anew
			m, err := db.Measure(t.Context(), c.sql, c.args...)
			if err != nil || m.Rows != c.rows || m.FullScanSteps > 0 != c.scanned || m.Sorts > 0 != c.sorted || !m.Complete || m.Steps == 0 || m.Sorts > 1 {
				t.Errorf("%s: %+v, %v", c.sql, m, err)
			}
		}
	}
}

// A Bloom filter spares the look-ups of what is not there, and lets pass what is.
func TestMeasureBloomFilter(t *testing.T) {
	t.Parallel()
	db := explained(t)
	for _, c := range []struct {
		sql             string
		skipped, passed bool
	}{
		{"SELECT count(*) FROM orders o JOIN customer c ON c.city = o.status", false, true},
		{"SELECT count(*) FROM orders o JOIN customer c ON c.city = o.status || 'x'", true, false},
	} {
		m, err := db.Measure(t.Context(), c.sql)
		if err != nil || m.AutoIndexRows == 0 || m.FilterSkipped > 100 != c.skipped || m.FilterPassed > 100 != c.passed {
			t.Errorf("%s: %+v, %v", c.sql, m, err)
		}
	}
}

// The values that are known may change the plan.
func TestExplainWithArguments(t *testing.T) {
	t.Parallel()
	db := explained(t)
	must(t, db, "CREATE INDEX by_city ON customer(city COLLATE NOCASE)")
	const sql = "SELECT id FROM customer WHERE city LIKE ?"
	for _, c := range []struct {
		args []any
		kind plan.Kind
	}{{nil, plan.Scan}, {[]any{"%x"}, plan.Scan}, {[]any{"c1%"}, plan.Search}} {
		x, err := db.Explain(t.Context(), sql, c.args...)
		if err != nil || len(x.Steps) != 1 || x.Steps[0].Kind != c.kind || x.Unbound != 1-len(c.args) {
			t.Errorf("%v: %+v, %v", c.args, x.Plan.Steps, err)
		}
	}
}

// A reader that has been idle learns of a new index, and of what others have counted,
// before it explains: EXPLAIN itself doesn't look whether the schema has changed.
func TestExplainIsUpToDate(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	db, other := openAt(t, path), openAt(t, path)
	must(t, db, "CREATE TABLE t(a, b)")
	const sql = "SELECT b FROM t WHERE a = 1"
	for n, want := range []plan.Kind{plan.Scan, plan.Search, plan.Scan} {
		x, err := db.Explain(t.Context(), sql)
		if err != nil || len(x.Steps) != 1 || x.Steps[0].Kind != want {
			t.Errorf("%d: %+v, %v", n, x.Plan, err)
		}
		must(t, other, []string{"CREATE INDEX t_a ON t(a)", "DROP INDEX t_a", "SELECT 1"}[n])
	}
}

// sqlite_stat4 knows rare values from common ones, if the value is known.
func TestExplainKnowsRareValues(t *testing.T) {
	t.Parallel()
	db := openAt(t, filepath.Join(t.TempDir(), "jobs.db"))
	must(t, db, `CREATE TABLE job(state TEXT, a, b, c); CREATE INDEX job_state ON job(state);
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) INSERT INTO job SELECT iif(i % 500, 'done', 'open'), i, i, i FROM n; ANALYZE`)
	for value, kind := range map[string]plan.Kind{"open": plan.Search, "done": plan.Scan} {
		x, err := db.Explain(t.Context(), "SELECT * FROM job WHERE state = ?", value)
		if err != nil || len(x.Steps) != 1 || x.Steps[0].Kind != kind {
			t.Errorf("%s: %+v, %v", value, x.Steps[0].Detail, err)
		}
	}
}

func TestMeasureOnlyReads(t *testing.T) {
	t.Parallel()
	db := explained(t)
	before := fingerprintOf(t, db)
	for _, sql := range []string{"DELETE FROM customer", "INSERT INTO orders DEFAULT VALUES RETURNING id", "PRAGMA user_version = 3", "BEGIN", "ATTACH 'x.db' AS x", "PRAGMA foreign_keys = 0"} {
		if _, err := db.Measure(t.Context(), sql); !errors.Is(err, holdfast.ErrRefused) {
			t.Errorf("%s: %v", sql, err)
		}
	}
	for _, sql := range []string{"SELECT 1; SELECT 2", "SELECT ?", "", "-- nothing"} {
		if _, err := db.Measure(t.Context(), sql); !errors.Is(err, holdfast.ErrInvalid) {
			t.Errorf("%q: %v", sql, err)
		}
	}
	if after := fingerprintOf(t, db); after != before {
		t.Errorf("something ran:\n%s\n%s", before, after)
	}
}

// A query that has to be ended says what it has counted, and leaves its reader usable.
func TestMeasureEndsWithItsContext(t *testing.T) {
	t.Parallel()
	db := explained(t)
	const endless = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c"
	ctx := &countdown{Context: t.Context()}
	ctx.left.Store(100)
	m, err := db.Measure(ctx, endless)
	if !errors.Is(err, context.Canceled) || m.Complete || m.Steps == 0 {
		t.Errorf("%+v, %v", m, err)
	}
	if m, err := db.Measure(t.Context(), "SELECT 1"); err != nil || m.Rows != 1 {
		t.Errorf("afterwards: %+v, %v", m, err)
	}
}

// A query that is measured for too long ends as one whose rows are held for too long.
func TestMeasureIsEvicted(t *testing.T) {
	t.Parallel()
	cfg := holdfast.Config{}
	cfg.Database.Path = filepath.Join(t.TempDir(), "a.db")
	cfg.ConnectionPool.MaxLeaseAge = 20 * time.Millisecond
	db, err := holdfast.OpenConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	m, err := db.Measure(t.Context(), "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c")
	if !errors.Is(err, holdfast.ErrEvicted) || m.Complete || !strings.Contains(err.Error(), "explain_test.go") {
		t.Errorf("%+v, %v", m, err)
	}
	if s := db.Stats(); s.Evictions != 1 {
		t.Errorf("%d evictions", s.Evictions)
	}
}

// countdown ends when it has been asked so many times: the engine asks every thousand
// instructions.
type countdown struct {
	context.Context
	left atomic.Int64
}

func (c *countdown) Err() error {
	if c.left.Add(-1) < 0 {
		return context.Canceled
	}
	return c.Context.Err()
}

// Explaining tells what may not be asked of SQL from outside.
func TestExplainConfined(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	db := openAt(t, path)
	must(t, db, "CREATE TABLE t(a); INSERT INTO t VALUES (1), (2)")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	cfg := holdfast.Config{}
	cfg.Database.Path, cfg.Database.ReadOnly, cfg.Limits.UntrustedSQL = path, true, true
	confined, err := holdfast.OpenConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer confined.Close()
	x, err := confined.Explain(t.Context(), "SELECT * FROM t WHERE a = 1")
	if err != nil || len(x.Steps) != 1 || x.Steps[0].Of != "t" {
		t.Errorf("%+v, %v", x, err)
	}
	if _, err := confined.Explain(t.Context(), "DELETE FROM t"); err == nil {
		t.Error("a DELETE from outside was explained")
	}
	if m, err := confined.Measure(t.Context(), "SELECT * FROM t"); err != nil || m.Rows != 2 {
		t.Errorf("%+v, %v", m, err)
	}
}
