package metrics_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/XSAM/otelsql"
	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/metrics"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// exampleDB is a database in memory with one order in it.
func exampleDB() *holdfast.DB {
	db, err := holdfast.Open(context.Background(), ":memory:")
	if err == nil {
		_, err = db.Exec("CREATE TABLE orders(id INTEGER PRIMARY KEY)")
	}
	if err == nil {
		_, err = db.Exec("INSERT INTO orders DEFAULT VALUES")
	}
	if err != nil {
		log.Fatal(err)
	}
	return db
}

func ExamplePrometheus() {
	db := exampleDB()
	defer db.Close()
	http := http.NewServeMux()

	registry := prometheus.NewRegistry()
	registry.MustRegister(
		metrics.Prometheus(db),
		collectors.NewDBStatsCollector(db.DB, "orders"), // go_sql_*: database/sql's own pool
	)
	http.Handle("/metrics", metrics.Handler(registry)) // promhttp.HandlerFor, but gathers once a second at most

	server := httptest.NewServer(http)
	defer server.Close()
	answer, err := server.Client().Get(server.URL + "/metrics")
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		log.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "holdfast_writer_units_total") || strings.HasPrefix(line, "holdfast_writer_group_units_count") {
			fmt.Print(line)
		}
	}
	// Output:
	// holdfast_writer_group_units_count{database="memory"} 2
	// holdfast_writer_units_total{database="memory"} 2
}

// reading is an exporter that keeps what it gets.
type reading struct{ told metricdata.ResourceMetrics }

func (r *reading) Temporality(metric.InstrumentKind) metricdata.Temporality {
	return metricdata.CumulativeTemporality
}

func (r *reading) Aggregation(k metric.InstrumentKind) metric.Aggregation {
	return metric.DefaultAggregationSelector(k)
}

func (r *reading) Export(_ context.Context, m *metricdata.ResourceMetrics) error {
	r.told = *m
	return nil
}

func (r *reading) ForceFlush(context.Context) error { return nil }
func (r *reading) Shutdown(context.Context) error   { return nil }

func ExampleOpenTelemetry() {
	db := exampleDB()
	defer db.Close()
	exporter := new(reading)

	reader := metric.NewPeriodicReader(exporter, metric.WithProducer(metrics.OpenTelemetry(db)))
	provider := metric.NewMeterProvider(metric.WithReader(reader))

	if err := provider.Shutdown(context.Background()); err != nil { // tells what there is
		log.Fatal(err)
	}
	for _, scope := range exporter.told.ScopeMetrics {
		for _, m := range scope.Metrics {
			if strings.HasPrefix(m.Name, "db.client.connection") {
				fmt.Println(m.Name)
			}
		}
	}
	// Output:
	// db.client.connection.count
	// db.client.connection.max
	// db.client.connection.pending_requests
	// db.client.connection.timeouts
	// db.client.connection.wait_time
	// db.client.connection.use_time
	// db.client.connection.create_time
}

func ExampleTraceOptions() {
	db := exampleDB()
	defer db.Close()
	spans := tracetest.NewSpanRecorder()
	provider := trace.NewTracerProvider(trace.WithSpanProcessor(spans))

	pool := otelsql.OpenDB(metrics.Connector(db), append(metrics.TraceOptions(db), otelsql.WithTracerProvider(provider))...)

	if _, err := pool.Exec("INSERT INTO orders DEFAULT VALUES"); err != nil {
		log.Fatal(err)
	}
	if err := pool.Close(); err != nil {
		log.Fatal(err)
	}
	for _, s := range spans.Ended() {
		fmt.Println(s.Name())
	}
	// Output:
	// INSERT orders
}

// TestTheGuideShowsWhatRuns looks for each piece of Go in the guide among the examples.
func TestTheGuideShowsWhatRuns(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile(filepath.Join("..", "docs", "guide", "metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	examples, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	have, pieces := bare(string(examples)), 0
	for _, rest := range strings.Split(string(guide), "```go\n")[1:] {
		piece, _, closed := strings.Cut(rest, "```")
		pieces++
		if !closed || !strings.Contains(have, bare(piece)) {
			t.Errorf("no example has\n%s", piece)
		}
	}
	if pieces < 3 {
		t.Errorf("only %d pieces", pieces)
	}
}

// bare is code without its indentation.
func bare(code string) string {
	var b strings.Builder
	for line := range strings.Lines(code) {
		if line = strings.TrimSpace(line); line != "" {
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}
