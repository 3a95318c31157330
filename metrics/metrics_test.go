package metrics_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/metrics"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// canary is a value that nothing may tell.
const canary = "canary-8231"

// open opens a database with a table and closes it after the test.
func open(t testing.TB, name string, change ...func(*holdfast.Config)) *holdfast.DB {
	t.Helper()
	cfg := holdfast.Config{}
	cfg.Database.Path = filepath.Join(t.TempDir(), name)
	for _, c := range change {
		c(&cfg)
	}
	db, err := holdfast.OpenConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		var verdict string
		if err := db.QueryRowContext(context.Background(), "PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
			t.Errorf("integrity_check: %s, %v", verdict, err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	exec(t, db, "CREATE TABLE orders(id INTEGER PRIMARY KEY, name TEXT UNIQUE)")
	return db
}

func exec(t testing.TB, db *holdfast.DB, sql string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

// work runs a few statements of which the numbers are known.
func work(t testing.TB, db *holdfast.DB) {
	t.Helper()
	for i := range 10 {
		exec(t, db, "INSERT INTO orders(name) VALUES ('"+canary+"' || ?)", i)
	}
	for range 5 {
		var n int
		if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM orders WHERE name <> '"+canary+"'").Scan(&n); err != nil || n != 10 {
			t.Fatal(n, err)
		}
	}
	if _, err := db.ExecContext(t.Context(), "INSERT INTO orders(name) VALUES (?)", canary+"0"); err == nil {
		t.Fatal("a name stands twice")
	}
}

func gather(t testing.TB, from prometheus.Gatherer) map[string]*dto.MetricFamily {
	t.Helper()
	list, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	families := map[string]*dto.MetricFamily{}
	for _, f := range list {
		families[f.GetName()] = f
	}
	return families
}

// with returns the metric of a family that has a label.
func with(f *dto.MetricFamily, name, value string) *dto.Metric {
	for _, m := range f.GetMetric() {
		for _, l := range m.GetLabel() {
			if l.GetName() == name && l.GetValue() == value {
				return m
			}
		}
	}
	return nil
}

func TestPrometheusTellsEveryFigure(t *testing.T) {
	t.Parallel()
	db := open(t, "shop.db")
	work(t, db)
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(metrics.Prometheus(db), metrics.Prometheus(open(t, "shop.db"), metrics.Name("other-shop")))
	families := gather(t, r)
	for _, f := range db.Stats().Figures() {
		if f.Unknown {
			if families[metrics.FigureName(f)] != nil {
				t.Errorf("%s is told, and nobody knows it", f.Name)
			}
			continue
		}
		if name := metrics.FigureName(f); families[name] == nil || with(families[name], "database", "shop") == nil || with(families[name], "database", "other-shop") == nil {
			t.Errorf("%s (%s) is not told of both", name, f.Name)
		}
	}
	problems, err := testutil.GatherAndLint(r)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v: %v", err, problems)
	}
	server := httptest.NewServer(promhttp.HandlerFor(r, promhttp.HandlerOpts{}))
	defer server.Close()
	for _, accept := range []string{"text/plain", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"} {
		request, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
		request.Header.Set("Accept", accept)
		answer, err := server.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Fatal(answer.Status, err)
		}
		_ = answer.Body.Close()
		if bytes.Contains(body, []byte(canary)) || bytes.Contains(body, []byte(filepath.Dir(db.Path()))) {
			t.Errorf("%s tells a value or a path:\n%s", accept, body)
		}
		if !bytes.Contains(body, []byte("holdfast_build_info")) {
			t.Errorf("%s has no figures:\n%s", accept, body)
		}
	}
}

func TestPrometheusTellsStatements(t *testing.T) {
	t.Parallel()
	db := open(t, "shop.db")
	work(t, db)
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(metrics.Prometheus(db))
	families := gather(t, r)
	for summary, want := range map[string][2]float64{"SELECT orders": {5, 5}, "CREATE orders": {1, 0}} {
		calls, rows := with(families["holdfast_statement_calls_total"], "summary", summary), with(families["holdfast_statement_rows_total"], "summary", summary)
		if calls.GetCounter().GetValue() != want[0] || rows.GetCounter().GetValue() != want[1] {
			t.Errorf("%s: %v, %v", summary, calls, rows)
		}
	}
	m := with(families["holdfast_statement_duration_seconds"], "summary", "SELECT orders")
	h := m.GetHistogram()
	var native int64
	last := int64(0)
	for _, d := range h.GetPositiveDelta() {
		last += d
		native += last
	}
	if h.GetSchema() != 5 || native != 5 || h.GetSampleCount() != 5 {
		t.Errorf("native: schema %d, %d of %d", h.GetSchema(), native, h.GetSampleCount())
	}
	buckets := h.GetBucket()
	if len(buckets) != 10 || buckets[9].GetUpperBound() != 16 || buckets[9].GetCumulativeCount() != 5 {
		t.Errorf("classic: %v", buckets)
	}
	if e := with(families["holdfast_errors_total"], "kind", "SQLITE_CONSTRAINT_UNIQUE"); e.GetCounter().GetValue() != 1 {
		t.Errorf("errors: %v", families["holdfast_errors_total"])
	}
}

// TestStatementSeriesAreBounded runs 300 statements. Their sum must be told, in no
// more series than were asked for.
func TestStatementSeriesAreBounded(t *testing.T) {
	t.Parallel()
	db := open(t, "shop.db")
	for i := range 300 {
		exec(t, db, fmt.Sprintf("SELECT id AS c%d FROM orders", i))
	}
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(metrics.Prometheus(db, metrics.Top(7)))
	family := gather(t, r)["holdfast_statement_calls_total"]
	sum := 0.0
	for _, m := range family.GetMetric() {
		sum += m.GetCounter().GetValue()
	}
	if len(family.GetMetric()) != 8 || sum != 301 {
		t.Errorf("%d series of %v calls", len(family.GetMetric()), sum)
	}
}

// TestScrapesTakeNoReader has the only open reader taken: whoever wants one opens a
// second, and the most that were in use at once is counted.
func TestScrapesTakeNoReader(t *testing.T) {
	t.Parallel()
	db := open(t, "shop.db", func(c *holdfast.Config) { c.ConnectionPool.MaxConnections = 2; c.ConnectionPool.MinConnections = 1 })
	work(t, db)
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(metrics.Prometheus(db))
	p := metrics.OpenTelemetry(db)
	rows, err := db.QueryContext(t.Context(), "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT i FROM n")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	before := db.Stats()
	if before.Readers.MaxInUse != 1 || before.Readers.Open != 1 || before.Readers.InUse != 1 {
		t.Fatalf("%+v", before.Readers)
	}
	for range 200 {
		gather(t, r)
		if _, err := p.Produce(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	after := db.Stats()
	if after.Readers != before.Readers || after.ConnectionsCreated != before.ConnectionsCreated ||
		after.Writer.Groups != before.Writer.Groups || after.Writer.Waits != before.Writer.Waits ||
		after.SuccessfulOperations != before.SuccessfulOperations {
		t.Errorf("scrapes cost something:\n%+v\n%+v", before, after)
	}
	if _, err := db.Queries(t.Context()); err != nil { // that does want a reader, so the test sees one
		t.Fatal(err)
	}
	if again := db.Stats(); again.Readers.MaxInUse != 2 {
		t.Errorf("who takes a reader isn't seen: %+v", again.Readers)
	}
}

func TestNothingIsToldOfStatementsThatAreNotCounted(t *testing.T) {
	t.Parallel()
	db := open(t, "shop.db", func(c *holdfast.Config) { c.Telemetry.Enabled = holdfast.Off })
	work(t, db)
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(metrics.Prometheus(db))
	families := gather(t, r)
	if families["holdfast_statement_calls_total"] != nil || families["holdfast_writer_groups_total"] == nil {
		t.Error("statements are told, or nothing is")
	}
}

func TestSummary(t *testing.T) {
	t.Parallel()
	for statement, want := range map[string]string{
		"SELECT * FROM orders WHERE id = ?":                                "SELECT orders",
		"select a from main.orders o join items i on i.o = o.id":           "SELECT orders items",
		"INSERT OR REPLACE INTO \"my orders\"(a) VALUES (?)":               "INSERT my orders",
		"INSERT INTO t(a) VALUES (?) ON CONFLICT DO UPDATE SET a = ?":      "INSERT t",
		"UPDATE OR IGNORE orders SET a = ?":                                "UPDATE orders",
		"DELETE FROM orders":                                               "DELETE orders",
		"WITH x(a) AS (SELECT ? FROM t) INSERT INTO u SELECT a FROM x":     "INSERT t u",
		"CREATE TABLE IF NOT EXISTS t(a)":                                  "CREATE t",
		"SELECT (SELECT max(a) FROM (SELECT a FROM [t 1])) FROM `t 2`, t3": "SELECT t 1 t 2",
		"PRAGMA optimize":  "PRAGMA",
		"BEGIN IMMEDIATE":  "BEGIN",
		"":                 "OTHER",
		"FROM ?":           "OTHER",
		"SELECT ? FROM 'x": "SELECT",
	} {
		operation, summary := metrics.Summary(statement)
		if summary != want || operation != strings.Fields(want)[0] {
			t.Errorf("%s: %s, %s", statement, operation, summary)
		}
	}
}

func FuzzSummary(f *testing.F) {
	f.Add("WITH x(a) AS (SELECT ? FROM t) INSERT INTO u SELECT a FROM x")
	f.Add("SELECT * FROM \"")
	f.Fuzz(func(t *testing.T, s string) {
		operation, summary := metrics.Summary(s)
		if !strings.HasPrefix(summary, operation) || operation == "" {
			t.Error(operation, summary)
		}
	})
}
