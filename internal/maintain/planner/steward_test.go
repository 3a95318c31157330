package planner

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/internal/sqlite"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a database with a writer and a steward.
type bench struct {
	t      *testing.T
	path   string
	w      *sqlite.Conn
	known  []string
	writes int
}

func newBench(t *testing.T, schema string) *bench {
	t.Helper()
	b := &bench{t: t, path: filepath.Join(t.TempDir(), "app.db")}
	b.w = b.conn()
	t.Cleanup(func() {
		if got, err := b.w.QueryText("PRAGMA integrity_check"); got != "ok" {
			t.Errorf("integrity_check: %s %v", got, err)
		}
		b.w.Close()
	})
	b.do("PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; " + schema)
	return b
}

func (b *bench) conn() *sqlite.Conn {
	b.t.Helper()
	c, err := sqlite.Open(b.path, sqlite.OpenReadWrite|sqlite.OpenCreate)
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

func (b *bench) do(sql string) {
	b.t.Helper()
	if err := b.w.Exec(sql); err != nil {
		b.t.Fatalf("%s: %v", sql, err)
	}
}

func (b *bench) config() Config {
	return Config{
		Open: func(context.Context) (*sqlite.Conn, error) {
			c := b.conn()
			return c, c.Exec("PRAGMA query_only=1")
		},
		Write: func(_ context.Context, _ string, run func(*sqlite.Conn) error) error {
			b.writes++
			if err := b.w.Exec("BEGIN IMMEDIATE"); err != nil {
				return err
			}
			if err := run(b.w); err != nil {
				return errors.Join(err, b.w.Exec("ROLLBACK"))
			}
			return b.w.Exec("COMMIT")
		},
		Statements: func(context.Context) []string { return b.known },
	}
}

func (b *bench) run(o Options) Report {
	b.t.Helper()
	r, err := Run(b.t.Context(), b.config(), o)
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

func (b *bench) stat(idx string) string {
	b.t.Helper()
	return b.ask("SELECT stat FROM sqlite_stat1 WHERE idx = '" + idx + "'")
}

func (b *bench) ask(sql string) (answer string) {
	b.t.Helper()
	var list []string
	err := rows(b.w, sql, func(s *sqlite.Stmt) { list = append(list, s.ColumnText(0)) })
	if err != nil {
		b.t.Fatal(err)
	}
	return strings.Join(list, "; ")
}

func (b *bench) plan(c *sqlite.Conn, sql string) string {
	b.t.Helper()
	p, err := explain(c, sql)
	if err != nil {
		b.t.Fatal(err)
	}
	return strings.Join(p, "; ")
}

// fill makes n rows whose columns are expressions over n.
func fill(table string, n int, columns string) string {
	return fmt.Sprintf("WITH RECURSIVE g(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM g WHERE n < %d) INSERT INTO %s SELECT %s FROM g;", n, table, columns)
}

const orders = "CREATE TABLE orders(id INTEGER PRIMARY KEY, status INT, customer INT, pad TEXT); " +
	"CREATE INDEX by_status ON orders(status); CREATE INDEX by_customer ON orders(customer);"

// What PRAGMA optimize leaves: it has seen the first 400 rows of each key.
func TestPoisonedStatisticsAreMended(t *testing.T) {
	b := newBench(t, orders+fill("orders", 20_000, "n, n%2, n%2000, 'some text'"))
	b.do("PRAGMA analysis_limit=400; ANALYZE; PRAGMA analysis_limit=0")
	if got := b.stat("by_status"); got != "20000 401" {
		t.Fatalf("the limited ANALYZE says %s: the poison is not what it was", got)
	}
	b.do("UPDATE sqlite_stat1 SET stat = '20000 500' WHERE idx = 'by_customer'") // and one that is old
	b.known = []string{
		"SELECT * FROM orders WHERE status = ? AND customer = ?", "UPDATE orders SET pad = 'x' WHERE status = 1 AND customer = 7",
		"SELECT broken FROM nowhere", "PRAGMA query_only=0",
	}
	reader := b.conn()
	defer reader.Close()
	if got := b.plan(reader, b.known[0]); !strings.Contains(got, "by_status") {
		t.Fatalf("the poison does no harm: %s", got)
	}
	r := b.run(Options{})
	if len(r.Tables) != 1 || r.Tables[0].Outcome != Kept || r.Statements != 2 || len(r.Tables[0].Plans) != 2 {
		t.Fatalf("report %+v", r)
	}
	if a, c := b.stat("by_status"), b.stat("by_customer"); a != "20000 10000" || c != "20000 10" {
		t.Errorf("statistics %s, %s", a, c)
	}
	for _, p := range r.Tables[0].Plans {
		read := strings.HasPrefix(p.Statement, "SELECT")
		if read && (p.Verdict != Better || p.StepsBefore < 20*p.StepsAfter || p.StepsAfter == 0) || !read && p.Verdict != Same {
			t.Errorf("plan %+v", p)
		}
	}
	// A connection that was open all the time, and the writer, have heard of it.
	for name, c := range map[string]*sqlite.Conn{"reader": reader, "writer": b.w} {
		if _, err := c.QueryInt64("SELECT count(*) FROM orders WHERE id = 1"); err != nil {
			t.Fatal(err)
		}
		if got := b.plan(c, b.known[0]); !strings.Contains(got, "by_customer") {
			t.Errorf("the %s still plans %s", name, got)
		}
	}
	writes := b.writes
	if r := b.run(Options{}); len(r.Tables) != 0 || b.writes != writes {
		t.Errorf("a second run changes something: %+v", r)
	}
}

func TestADryRunWritesNothing(t *testing.T) {
	b := newBench(t, orders+fill("orders", 5000, "n, n%2, n%500, 'some text'"))
	before := b.ask("PRAGMA data_version") + b.ask("SELECT group_concat(name) FROM sqlite_schema")
	r := b.run(Options{DryRun: true})
	if len(r.Tables) != 1 || r.Tables[0].Outcome != Proposed || b.writes != 0 {
		t.Fatalf("report %+v, %d writes", r, b.writes)
	}
	want := []Change{
		{Index: "by_customer", After: "5000 10", Why: "there are no statistics"},
		{Index: "by_status", After: "5000 2500", Why: "there are no statistics"},
	}
	if !reflect.DeepEqual(r.Tables[0].Changes, want) {
		t.Errorf("changes %+v", r.Tables[0].Changes)
	}
	if now := b.ask("PRAGMA data_version") + b.ask("SELECT group_concat(name) FROM sqlite_schema"); now != before {
		t.Errorf("the dry run changed the database: %s, before %s", now, before)
	}
}

// The average of a skewed column is true and misleads: half of the rows share one
// value, the others are alone with theirs.
func TestAWorsePlanIsReverted(t *testing.T) {
	b := newBench(t, "CREATE TABLE events(id INTEGER PRIMARY KEY, tenant INT, kind INT, pad TEXT); "+
		"CREATE INDEX by_tenant ON events(tenant); CREATE INDEX by_kind ON events(kind); CREATE TABLE other(a); "+
		fill("events", 10_000, "n, iif(n%2, 0, n), n%100, 'some text'")+fill("other", 500, "n"))
	b.do("ANALYZE; DELETE FROM sqlite_stat4 WHERE idx = 'by_tenant'; UPDATE sqlite_stat1 SET stat = '10000 5000' WHERE idx = 'by_tenant'; DELETE FROM sqlite_stat1 WHERE tbl = 'other'")
	dump := "SELECT tbl || idx || stat FROM sqlite_stat1 WHERE tbl <> 'other' UNION ALL SELECT idx || neq || nlt || ndlt || hex(sample) FROM sqlite_stat4 ORDER BY 1"
	before := b.ask(dump)
	b.known = []string{"SELECT pad FROM events WHERE tenant = 0 AND kind = ?"}
	r := b.run(Options{})
	if len(r.Tables) != 2 || r.Tables[0].Name != "events" || r.Tables[0].Outcome != Reverted || len(r.Tables[0].Plans) != 1 {
		t.Fatalf("report %+v", r)
	}
	if p := r.Tables[0].Plans[0]; p.Verdict != Worse || p.StepsAfter < 20*p.StepsBefore || !strings.Contains(p.Before[0], "by_kind") || !strings.Contains(p.After[0], "by_tenant") {
		t.Errorf("plan %+v", p)
	}
	if now := b.ask(dump); now != before {
		t.Errorf("statistics are %s\nwere %s", now, before)
	}
	if r.Tables[1].Name != "other" || r.Tables[1].Outcome != Kept {
		t.Errorf("a table that nothing speaks against: %+v", r.Tables[1])
	}
	fresh := b.conn()
	defer fresh.Close()
	if got := b.plan(fresh, b.known[0]); !strings.Contains(got, "by_kind") {
		t.Errorf("after the return the plan is %s", got)
	}

	// The next round knows, as long as the table is about the same.
	tried := map[string]Table{"events": r.Tables[0]}
	version := b.ask("SELECT schema_version FROM pragma_schema_version")
	if r := b.run(Options{Tried: tried}); len(r.Tables) != 0 || r.Writes != 0 || len(r.Left) != 1 || !strings.HasPrefix(r.Left[0], "events: ") {
		t.Errorf("tried again: %+v", r)
	}
	if now := b.ask("SELECT schema_version FROM pragma_schema_version"); now != version {
		t.Errorf("schema_version is %s after %s", now, version)
	}
	b.do("DELETE FROM events WHERE id > 100")
	if r := b.run(Options{Tried: tried}); len(r.Tables) != 1 {
		t.Errorf("another table by now, and not tried: %+v", r)
	}
}

// A change of the schema by somebody else makes the connection that should know the
// old statistics read the new ones: then nothing can be compared, or kept.
func TestASchemaThatChangesMeanwhile(t *testing.T) {
	b := newBench(t, orders+fill("orders", 5000, "n, n%2, n%500, 'some text'"))
	b.do("ANALYZE; DELETE FROM sqlite_stat4; UPDATE sqlite_stat1 SET stat = '5000 21' WHERE idx = 'by_status'; UPDATE sqlite_stat1 SET stat = '5000 100' WHERE idx = 'by_customer'")
	b.known = []string{"SELECT * FROM orders WHERE status = ? AND customer = ?"}
	cfg := b.config()
	open, opened := cfg.Open, 0
	cfg.Open = func(ctx context.Context) (*sqlite.Conn, error) {
		if opened++; opened == 3 { // for the new statistics, after one to count and one for the old
			b.do("CREATE TABLE meanwhile(a)")
		}
		return open(ctx)
	}
	r, err := Run(t.Context(), cfg, Options{})
	if err != nil || len(r.Tables) != 0 || len(r.Left) != 1 || !strings.Contains(r.Left[0], "orders: the schema was changed") {
		t.Errorf("%v, report %+v", err, r)
	}
	if got := b.stat("by_status"); got != "5000 21" {
		t.Errorf("%s was kept unseen", got)
	}
	if r := b.run(Options{}); len(r.Tables) != 1 || r.Tables[0].Outcome != Kept {
		t.Errorf("the next time: %+v", r)
	}
}

// One statement may take long in a single step; the end of the context ends it.
func TestACountThatTakesLongIsEnded(t *testing.T) {
	b := newBench(t, "CREATE TABLE big(a); "+fill("big", 20_000, "zeroblob(900)"))
	c := b.conn()
	defer c.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	count := "SELECT 0"
	for range 30 { // too few for the progress handler
		count += " + (SELECT count(*) FROM big)"
	}
	if n, ok := steps(ctx, c, count, nil); ok {
		t.Errorf("%d steps after the end", n)
	}
}

// A list of thousands of values asks the table for one, and reads the text once.
func TestSamplesOfALongList(t *testing.T) {
	b := newBench(t, orders+fill("orders", 100, "n, n%2, n%20, 'some text'"))
	m := meter{now: b.w}
	text := "SELECT * FROM orders WHERE status = ? AND id NOT IN (?" + strings.Repeat(",?", 3000) + ")"
	n := testing.AllocsPerRun(1, func() {
		if values := m.samples(text, 3002); len(values) != len(places) || len(values[0]) != 3002 {
			t.Errorf("%d values", len(values))
		}
	})
	if n > 1000 {
		t.Errorf("%.0f allocations", n)
	}
}

// When the context ends between writing and comparing, nothing is kept.
func TestACancelledComparisonIsPutBack(t *testing.T) {
	b := newBench(t, orders+fill("orders", 5000, "n, n%2, n%500, 'some text'"))
	ctx, cancel := context.WithCancel(t.Context())
	cfg := b.config()
	write := cfg.Write
	cfg.Write = func(c context.Context, sql string, run func(*sqlite.Conn) error) error {
		err := write(c, sql, run)
		if b.writes == 2 { // the rows are there
			cancel()
		}
		return err
	}
	b.known = []string{"SELECT 1 FROM orders WHERE status = 1"}
	r, err := Run(ctx, cfg, Options{})
	if !errors.Is(err, context.Canceled) || len(r.Tables) != 1 || r.Tables[0].Outcome != Reverted {
		t.Fatalf("%v, report %+v", err, r)
	}
	if got := b.ask("SELECT count(*) FROM sqlite_stat1"); got != "0" {
		t.Errorf("%s rows of statistics", got)
	}
}

// What is counted agrees with what a full ANALYZE writes.
func TestCountsLikeAnalyze(t *testing.T) {
	b := newBench(t, `CREATE TABLE "odd ""name"(a TEXT COLLATE NOCASE, "b, c" REAL, d, UNIQUE(a, d));
		CREATE INDEX "x (y" ON "odd ""name"(a COLLATE BINARY DESC, "b, c");
		CREATE INDEX part ON "odd ""name"(d, a) WHERE d > 50 AND "b, c" IS NOT ')';
		CREATE INDEX expr ON "odd ""name"(lower(a) /* , */ DESC, d % 10 );
		CREATE TABLE clustered(x, y, z, PRIMARY KEY(x, y)) WITHOUT ROWID; CREATE INDEX by_z ON clustered(z);
		CREATE TABLE plain(a); CREATE TABLE empty(a UNIQUE); CREATE VIRTUAL TABLE f USING fts5(t);
		CREATE TABLE nearly(a); CREATE INDEX nearly_unique ON nearly(a);`+
		fill(`"odd ""name"`, 1000, "iif(n%3, 'Name' || n%7, upper('name' || n)), iif(n%5, n%20, NULL), iif(n%4, n, NULL)")+
		fill("clustered", 1000, "n%10, n, n%3")+fill("plain", 300, "n")+fill("nearly", 1000, "min(n, 950)"))
	b.do("INSERT INTO f VALUES ('a text')")
	b.run(Options{})
	const dump = "SELECT tbl || '.' || ifnull(idx, '-') || ' ' || stat FROM sqlite_stat1 WHERE tbl NOT LIKE 'f\\_%' ESCAPE '\\' ORDER BY 1"
	got := strings.ReplaceAll(b.ask(dump), "; ", "\n")
	b.do("ANALYZE")
	if want := strings.ReplaceAll(b.ask(dump), "; ", "\n"); got != want {
		t.Errorf("counted:\n%s\nANALYZE:\n%s", got, want)
	}
}

func TestWhatIsLeftAlone(t *testing.T) {
	b := newBench(t, orders+fill("orders", 2000, "n, n%2, n%200, 'some text'"))
	b.do("ANALYZE; UPDATE sqlite_stat1 SET stat = '9 9 noskipscan' WHERE idx = 'by_status'; UPDATE sqlite_stat1 SET stat = '2000 17' WHERE idx = 'by_customer'; " +
		"INSERT INTO sqlite_stat1 VALUES ('gone', 'by_gone', '5 5'), ('orders', 'by_nobody', '5 5')")
	r := b.run(Options{})
	if len(r.Left) != 1 || !strings.HasPrefix(r.Left[0], "orders.by_status: ") {
		t.Errorf("left alone: %v", r.Left)
	}
	if got := b.ask("SELECT idx || ' ' || stat FROM sqlite_stat1 ORDER BY 1"); got != "by_customer 2000 17; by_status 9 9 noskipscan" {
		t.Errorf("statistics %s", got)
	}
	if len(r.Tables) != 2 || r.Tables[1].Name != "gone" {
		t.Errorf("report %+v", r)
	}
	if runtime.GOOS == "windows" {
		return // its clock may stand still for as long as it takes to count
	}
	b.do("UPDATE sqlite_stat1 SET stat = '9 9'")
	if r := b.run(Options{ScanTime: time.Nanosecond}); len(r.Tables) != 0 || len(r.Left) != 2 || !strings.Contains(r.Left[0], "1ns") {
		t.Errorf("without time to count: %+v", r)
	}
}

// Nothing that somebody has written into sqlite_stat1 is more than wrong.
func TestOddStatistics(t *testing.T) {
	b := newBench(t, orders+fill("orders", 1000, "n, n%2, n%500, 'some text'")+"ANALYZE;")
	for _, stat := range []string{"''", "' '", "'1'", "'-5 -5'", "'99999999999999999999 1'", "x'00ff'", "NULL", "5", "'1000 0'", "'1000 500 1'"} {
		b.do("UPDATE sqlite_stat1 SET stat = " + stat + " WHERE idx = 'by_status'")
		r := b.run(Options{})
		if got := b.stat("by_status"); got != "1000 500" && len(r.Left) != 1 {
			t.Errorf("%s stays as %q: %+v", stat, got, r)
		}
	}
}

func TestCompared(t *testing.T) {
	for sql, want := range map[string]string{
		"SELECT 1 FROM t WHERE a = ? AND T.b<=? OR ? > c":                      ".a t.b .c",
		`SELECT 1 FROM t WHERE "a b" IS NOT ? LIMIT ? OFFSET ?`:                ".a b 100 0",
		"SELECT 1 FROM t WHERE a BETWEEN ? AND ? AND b NOT IN (?, ?) -- ? = ?": ".a .a .b .b",
		"SELECT 1 FROM t WHERE x LIKE ? AND '?' = y AND f(?)":                  ".x .",
		"SELECT 1 FROM t WHERE a = :a":                                         "",
	} {
		var got []string
		for _, o := range compared(sql) {
			if o.count {
				got = append(got, fmt.Sprint(o.n))
				continue
			}
			got = append(got, o.table+"."+o.column)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", sql, got, want)
		}
	}
}
