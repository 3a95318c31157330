package plan_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/holdfastdb/holdfast/internal/sqlite"
	"github.com/holdfastdb/holdfast/plan"
)

var update = flag.Bool("update", false, "write the files that tests compare with")

// shop is what the golden queries are about.
const shop = `
CREATE TABLE customer(id INTEGER PRIMARY KEY, name TEXT, city TEXT);
CREATE TABLE orders(id INTEGER PRIMARY KEY, customer INTEGER, day INTEGER, status TEXT);
CREATE INDEX orders_customer ON orders(customer);
CREATE INDEX orders_day ON orders(day, customer);
CREATE TABLE stock(place, item, amount, PRIMARY KEY (place, item)) WITHOUT ROWID;
CREATE TABLE note(customer, text, done);
CREATE INDEX note_open ON note(customer) WHERE done = 0;
CREATE INDEX note_lower ON note(lower(text));
CREATE TABLE skipped(kind, number, rest);
CREATE INDEX skipped_kind ON skipped(kind, number);
CREATE TABLE account(id INTEGER PRIMARY KEY, email TEXT UNIQUE NOT NULL, hits INTEGER);
CREATE TABLE old(id INTEGER PRIMARY KEY, name TEXT, city TEXT);
CREATE VIEW busy AS SELECT customer, count(*) AS n FROM orders GROUP BY customer;
CREATE VIRTUAL TABLE page USING fts5(title, body);
CREATE VIRTUAL TABLE area USING rtree(id, low, high);
CREATE TRIGGER gone AFTER DELETE ON customer BEGIN DELETE FROM orders WHERE customer = old.id; END;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60)
	INSERT INTO customer SELECT i, 'name ' || i, 'city ' || i % 7 FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 600)
	INSERT INTO orders SELECT i, i % 60 + 1, i * 7 % 50, 'name ' || i % 90 FROM n;
INSERT INTO stock SELECT city, id, id * 3 FROM customer;
INSERT INTO note SELECT id, name, id % 2 FROM customer;
INSERT INTO skipped SELECT id % 2, id, id FROM orders;
INSERT INTO account SELECT id, name, 0 FROM customer;
INSERT INTO page SELECT name, city FROM customer;
INSERT INTO area SELECT id, id, id + 2 FROM customer;
ANALYZE skipped;
`

// questions are statements with a plan worth knowing. args are bound in order.
var questions = []struct {
	name, sql string
	args      []int64
}{
	{"key", "SELECT * FROM customer WHERE id = ?", []int64{7}},
	{"key range", "SELECT name FROM customer WHERE id > ? AND id < ?", []int64{3, 9}},
	{"scan", "SELECT * FROM orders WHERE status = 'name 3'", nil},
	{"scan with limit", "SELECT * FROM orders LIMIT 3", nil},
	{"index", "SELECT * FROM orders WHERE customer = ?", []int64{5}},
	{"index range", "SELECT * FROM orders WHERE day = 3 AND customer > 7", nil},
	{"row values", "SELECT * FROM stock WHERE (place, item) > ('city 3', 5)", nil},
	{"covering index", "SELECT customer FROM orders WHERE day = 3", nil},
	{"covering scan", "SELECT count(customer) FROM orders", nil},
	{"index order", "SELECT * FROM orders ORDER BY customer", nil},
	{"unique", "SELECT hits FROM account WHERE email = 'name 4'", nil},
	{"partial index", "SELECT text FROM note WHERE customer = 4 AND done = 0", nil},
	{"expression index", "SELECT customer FROM note WHERE lower(text) = 'name 4'", nil},
	{"without rowid", "SELECT amount FROM stock WHERE place = 'city 3' AND item > 5", nil},
	{"skip-scan", "SELECT rest FROM skipped WHERE number = 9", nil},
	{"join", "SELECT c.name, o.day FROM orders o JOIN customer c ON c.id = o.customer", nil},
	{"join without index", "SELECT count(*) FROM customer c JOIN orders o ON o.status = c.name", nil},
	{"cross join", "SELECT count(*) FROM customer CROSS JOIN note", nil},
	{"left join", "SELECT c.name, o.id FROM customer c LEFT JOIN orders o ON o.customer = c.id", nil},
	{"right join", "SELECT c.name, o.id FROM orders o RIGHT JOIN customer c ON c.id = o.customer", nil},
	{"full join", "SELECT c.name, n.text FROM customer c FULL JOIN note n ON n.text = c.name", nil},
	{"natural join", "SELECT * FROM orders NATURAL JOIN (SELECT customer, max(day) AS last FROM orders GROUP BY customer)", nil},
	{"subquery", "SELECT name FROM customer WHERE id = (SELECT max(customer) FROM orders)", nil},
	{"correlated subquery", "SELECT name, (SELECT count(*) FROM orders o WHERE o.customer = c.id) FROM customer c", nil},
	{"exists", "SELECT name FROM customer c WHERE EXISTS (SELECT 1 FROM note n WHERE n.text = c.name)", nil},
	{"not exists", "SELECT name FROM customer c WHERE NOT EXISTS (SELECT 1 FROM orders o WHERE o.customer = c.id)", nil},
	{"in list", "SELECT * FROM orders WHERE customer IN (1, 2, 3)", nil},
	{"in subquery", "SELECT * FROM orders WHERE status IN (SELECT name FROM customer)", nil},
	{"in by rowid", "SELECT * FROM orders WHERE customer NOT IN (SELECT id FROM customer)", nil},
	{"in by index", "SELECT * FROM note WHERE text IN (SELECT email FROM account)", nil},
	{"correlated in", "SELECT id FROM orders o WHERE status IN (SELECT name FROM customer c WHERE c.id > o.customer)", nil},
	{"cte", "WITH x AS MATERIALIZED (SELECT * FROM orders WHERE day = 1) SELECT a.id, b.id FROM x a JOIN x b ON a.status = b.status", nil},
	{"cte read once", "WITH x AS MATERIALIZED (SELECT day, count(*) AS n FROM orders GROUP BY day) SELECT * FROM x WHERE n > 3", nil},
	{"recursive", "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 9) SELECT i FROM n", nil},
	{"recursive join", "WITH RECURSIVE n(i) AS (SELECT 1 UNION SELECT o.day FROM n JOIN orders o ON o.customer = n.i) SELECT i FROM n", nil},
	{"window", "SELECT id, rank() OVER (PARTITION BY status ORDER BY day) FROM orders", nil},
	{"window by index", "SELECT customer, row_number() OVER (PARTITION BY customer) FROM orders", nil},
	{"match", "SELECT title FROM page WHERE page MATCH 'city'", nil},
	{"full-text scan", "SELECT title FROM page", nil},
	{"full-text by rowid", "SELECT title FROM page WHERE rowid = 3", nil},
	{"json", "SELECT o.id FROM orders o, json_each('[1,2,3]') j WHERE o.customer = j.value", nil},
	{"rtree", "SELECT id FROM area WHERE low > 5 AND high < 20", nil},
	{"pragma", "SELECT name FROM pragma_table_info('orders')", nil},
	{"order by", "SELECT * FROM orders ORDER BY status", nil},
	{"order by a last term", "SELECT * FROM orders ORDER BY day, customer, status", nil},
	{"order by last terms", "SELECT * FROM orders ORDER BY customer, status, day", nil},
	{"group by", "SELECT status, count(*) FROM orders GROUP BY status", nil},
	{"distinct", "SELECT DISTINCT status FROM orders", nil},
	{"distinct aggregate", "SELECT count(DISTINCT status) FROM orders", nil},
	{"ordered aggregate", "SELECT group_concat(status ORDER BY day) FROM orders", nil},
	{"union", "SELECT customer FROM orders UNION SELECT id FROM customer", nil},
	{"union all", "SELECT customer FROM orders UNION ALL SELECT id FROM customer", nil},
	{"ordered union all", "SELECT status FROM orders UNION ALL SELECT name FROM customer ORDER BY 1", nil},
	{"except", "SELECT customer FROM orders EXCEPT SELECT id FROM customer", nil},
	{"intersect", "SELECT customer FROM orders INTERSECT SELECT id FROM customer", nil},
	{"or by two indexes", "SELECT * FROM orders WHERE customer = 3 OR day = 4", nil},
	{"min by index", "SELECT min(customer) FROM orders", nil},
	{"max of a column", "SELECT max(status) FROM orders", nil},
	{"max of rowid", "SELECT max(id) FROM orders", nil},
	{"max of key", "SELECT max(place) FROM stock", nil},
	{"max in a group", "SELECT max(customer) FROM orders WHERE day = 3", nil},
	{"view", "SELECT * FROM busy WHERE n > 5", nil},
	{"view twice", "SELECT x.customer FROM busy x JOIN busy y ON x.customer = y.n", nil},
	{"values", "VALUES (1), (2), (3)", nil},
	{"values joined", "SELECT o.id FROM (VALUES (1), (2)) v JOIN orders o ON o.id = v.column1", nil},
	{"constant", "SELECT 1", nil},
	{"update", "UPDATE orders SET status = 'x' WHERE customer = 4", nil},
	{"update returning", "UPDATE orders SET status = 'x' WHERE status = 'name 4' RETURNING id", nil},
	{"update from", "UPDATE orders SET status = c.name FROM customer c WHERE c.id = orders.customer", nil},
	{"delete", "DELETE FROM note WHERE text = 'name 4'", nil},
	{"delete with trigger", "DELETE FROM customer WHERE id = 3", nil},
	{"insert select", "INSERT INTO old SELECT id, status, day FROM orders WHERE day = 5", nil},
	{"insert whole table", "INSERT INTO old SELECT * FROM customer", nil},
	{"insert values", "INSERT INTO old(name) VALUES ('a'), ('b')", nil},
	{"upsert", "INSERT INTO account(email, hits) VALUES ('name 4', (SELECT count(*) FROM note)) ON CONFLICT(email) DO UPDATE SET hits = hits + 1", nil},
}

func open(t testing.TB) *sqlite.Conn {
	t.Helper()
	c, err := sqlite.Open(filepath.Join(t.TempDir(), "shop.db"), sqlite.OpenReadWrite|sqlite.OpenCreate)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if got, err := c.QueryText("PRAGMA integrity_check"); err != nil || got != "ok" {
			t.Errorf("integrity_check: %s, %v", got, err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := c.Exec(shop); err != nil {
		t.Fatal(err)
	}
	return c
}

func explain(t testing.TB, c *sqlite.Conn, sql string) *plan.Plan {
	t.Helper()
	s, _, err := c.Prepare("EXPLAIN QUERY PLAN " + sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	defer s.Finalize()
	var rows []plan.Row
	for {
		more, err := s.Step()
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		if !more {
			return plan.Parse(rows)
		}
		rows = append(rows, plan.Row{ID: int(s.ColumnInt64(0)), Parent: int(s.ColumnInt64(1)), Detail: s.ColumnText(3)})
	}
}

// facts of the shop, as somebody else's statistics might have them.
var facts = plan.Facts{Tables: []plan.Table{
	{Name: "customer", Rows: 60},
	{Name: "orders", Rows: 600_000, Indexes: []plan.Index{
		{Name: "orders_customer", Columns: 1, PerKey: []int64{10}},
		{Name: "orders_day", Columns: 2, PerKey: []int64{12_000, 30}},
	}},
	{Name: "account", Indexes: []plan.Index{{Name: "sqlite_autoindex_account_1", Columns: 1, Unique: true}}},
	{Name: "note"},
	{Name: "page", Module: "fts5"},
	{Name: "area", Module: "rtree"},
}}

func TestGolden(t *testing.T) {
	t.Parallel()
	c := open(t)
	var b strings.Builder
	for _, q := range questions {
		p := explain(t, c, q.sql)
		p.Know(q.sql, facts)
		fmt.Fprintf(&b, "== %s\n%s\n", q.name, q.sql)
		for _, l := range p.Lines(false) {
			s := l.Step
			fmt.Fprintf(&b, "%s%s\n", l.Lead, s.Detail)
			for _, language := range []plan.Language{plan.English, plan.German} {
				fmt.Fprintf(&b, "%s%s\n", l.Indent, s.Sentence(language))
				if a, text := s.Remark(language); a != plan.None {
					fmt.Fprintf(&b, "%s%s: %s\n", l.Indent, a.In(language), text)
				}
			}
			if s.Kind == plan.Unknown {
				t.Errorf("%s: SQLite has a text that is not known here: %q", q.name, s.Detail)
			}
		}
		b.WriteString("\n")
	}
	const file = "testdata/plans.txt"
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got, wanted := strings.Split(b.String(), "\n"), strings.Split(string(want), "\n")
	for n := range max(len(got), len(wanted)) {
		if n >= len(got) || n >= len(wanted) || got[n] != wanted[n] {
			t.Fatalf("line %d of %s differs; go test . -update writes it\n got %q\nwant %q", n+1, file, got[min(n, len(got)-1)], wanted[min(n, len(wanted)-1)])
		}
	}
}

// counters are what the engine counts while a statement runs.
type counters struct{ scanned, sorted, indexed int }

func measure(t *testing.T, c *sqlite.Conn, sql string, args []int64) (n counters) {
	t.Helper()
	if err := c.Exec("SAVEPOINT probe"); err != nil {
		t.Fatal(err)
	}
	s, _, err := c.Prepare(sql)
	if err != nil {
		t.Fatal(err)
	}
	for i, a := range args {
		if err := s.BindInt64(i+1, a); err != nil {
			t.Fatal(err)
		}
	}
	for more := true; more; {
		if more, err = s.Step(); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	n = counters{
		scanned: s.Status(sqlite.StmtStatusFullScanStep, false),
		sorted:  s.Status(sqlite.StmtStatusSort, false),
		indexed: s.Status(sqlite.StmtStatusAutoIndex, false),
	}
	if err := s.Finalize(); err != nil {
		t.Fatal(err)
	}
	if err := c.Exec("ROLLBACK TO probe; RELEASE probe"); err != nil {
		t.Fatal(err)
	}
	return n
}

// What the sentences say is held against what the engine counts: it steps from row to
// row of a whole table exactly where a sentence says so, sorts where one says so, and
// fills an automatic index where one says so. What is read for such an index, or for a Bloom
// filter, counts there and not as a scan.
func TestSentencesAreTrue(t *testing.T) {
	t.Parallel()
	c := open(t)
	for _, q := range questions {
		p := explain(t, c, q.sql)
		p.Know(q.sql, facts)
		n := measure(t, c, q.sql, q.args)
		var scans, mayScan, sorts, builds bool
		for _, s := range p.All() {
			text := s.Sentence(plan.English)
			scan := strings.Contains(text, "row by row, without an index") || strings.Contains(text, "oes through index") ||
				strings.Contains(text, "into a Bloom filter") || strings.Contains(text, "once more, for its rows")
			scans = scans || scan
			mayScan = mayScan || s.Source == plan.FromResult || s.Source == plan.FromValues || strings.Contains(text, "smallest or largest")
			sorts = sorts || strings.Contains(text, "orts ")
			builds = builds || strings.Contains(text, "uilds a temporary index")
		}
		if counted := q.name == "upsert"; counted { // count(*) is one instruction
			scans = n.scanned > 0
		}
		if scans && n.scanned == 0 || !scans && !mayScan && n.scanned > 0 {
			t.Errorf("%s: %d steps of full scans, but the sentences say %v: %s", q.name, n.scanned, scans, q.sql)
		}
		if sorts != (n.sorted > 0) {
			t.Errorf("%s: %d sorts, but the sentences say %v: %s", q.name, n.sorted, sorts, q.sql)
		}
		if builds != (n.indexed > 0) {
			t.Errorf("%s: %d rows in automatic indexes, but the sentences say %v: %s", q.name, n.indexed, builds, q.sql)
		}
	}
}

// A subquery that is said to run once runs once, and one that is said to run for each
// row does.
func TestSubqueriesRunAsOftenAsTheySay(t *testing.T) {
	t.Parallel()
	c := open(t)
	ran := 0
	err := c.CreateFunction("tick", 1, false, func([]sqlite.Value) (any, error) { ran++; return int64(1), nil })
	if err != nil {
		t.Fatal(err)
	}
	for sql, want := range map[string]struct {
		runs     int
		sentence string
	}{
		"SELECT id, (SELECT tick(1)) FROM customer":                                                           {1, "Runs subquery 1 at most once and keeps what it gives."},
		"SELECT id, (SELECT tick(c.id)) FROM customer c":                                                      {60, "Runs subquery 1 anew for each row that asks for it."},
		"SELECT id FROM customer WHERE city IN (SELECT tick(1))":                                              {1, "Makes the list of IN (subquery 1), at most once in a run."},
		"SELECT id FROM customer c WHERE city IN (SELECT tick(c.id))":                                         {60, "Makes the list of IN (subquery 1) anew for each row that asks for it."},
		"WITH x AS MATERIALIZED (SELECT tick(1) AS a FROM account) SELECT count(*) FROM x, x y":               {60, "Makes all rows of x and keeps them in a temporary table."},
		"SELECT a FROM (SELECT tick(1) AS a, count(*) FROM orders GROUP BY customer) LIMIT 2":                 {2, "Makes the rows of (subquery-1) one by one, as they are asked for."},
		"SELECT id FROM customer c WHERE EXISTS (SELECT 1 FROM orders o WHERE o.customer = c.id AND tick(1))": {60, "the first match is enough (EXISTS)"},
	} {
		ran = 0
		measure(t, c, sql, nil)
		if ran != want.runs {
			t.Errorf("%d runs, want %d: %s", ran, want.runs, sql)
		}
		said := slices.ContainsFunc(explain(t, c, sql).All(), func(s *plan.Step) bool { return strings.Contains(s.Sentence(plan.English), want.sentence) })
		if !said {
			t.Errorf("nothing says %q: %s", want.sentence, sql)
		}
	}
}
