package metrics_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/XSAM/otelsql"
	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/metrics"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/semconv/v1.43.0/dbconv"
	"go.opentelemetry.io/otel/trace"
)

func produced(t *testing.T, db *holdfast.DB) map[string]metricdata.Metrics {
	t.Helper()
	reader := metric.NewManualReader(metric.WithProducer(metrics.OpenTelemetry(db)))
	provider := metric.NewMeterProvider(metric.WithReader(reader))
	t.Cleanup(func() { _ = provider.Shutdown(context.Background()) })
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	got := map[string]metricdata.Metrics{}
	for _, scope := range all.ScopeMetrics {
		if scope.Scope.Name != metrics.Scope || scope.Scope.SchemaURL != semconv.SchemaURL {
			t.Errorf("scope %+v", scope.Scope)
		}
		for _, m := range scope.Metrics {
			got[m.Name] = m
		}
	}
	return got
}

func TestOpenTelemetryNames(t *testing.T) {
	t.Parallel()
	db := open(t, "shop.db")
	work(t, db)
	got := produced(t, db)
	for _, f := range db.Stats().Figures() {
		if m, ok := got["sqlite."+f.Name]; ok == f.Unknown || ok && m.Description != f.Help {
			t.Errorf("sqlite.%s is told: %v, and unknown: %v", f.Name, ok, f.Unknown)
		}
	}
	conventional := map[string]string{
		dbconv.ClientOperationDuration{}.Name():         dbconv.ClientOperationDuration{}.Unit(),
		dbconv.ClientConnectionCount{}.Name():           dbconv.ClientConnectionCount{}.Unit(),
		dbconv.ClientConnectionMax{}.Name():             dbconv.ClientConnectionMax{}.Unit(),
		dbconv.ClientConnectionPendingRequests{}.Name(): dbconv.ClientConnectionPendingRequests{}.Unit(),
		dbconv.ClientConnectionTimeouts{}.Name():        dbconv.ClientConnectionTimeouts{}.Unit(),
		dbconv.ClientConnectionWaitTime{}.Name():        dbconv.ClientConnectionWaitTime{}.Unit(),
		dbconv.ClientConnectionUseTime{}.Name():         dbconv.ClientConnectionUseTime{}.Unit(),
		dbconv.ClientConnectionCreateTime{}.Name():      dbconv.ClientConnectionCreateTime{}.Unit(),
	}
	for name, m := range got {
		unit, known := conventional[name]
		if known && m.Unit != unit {
			t.Errorf("%s has the unit %s", name, m.Unit)
		}
		if !known && !strings.HasPrefix(name, "sqlite.") {
			t.Errorf("%s is no name of the conventions and not ours", name)
		}
		delete(conventional, name)
	}
	for name := range conventional {
		t.Errorf("%s is not told", name)
	}
}

func TestOpenTelemetryOperations(t *testing.T) {
	t.Parallel()
	db := open(t, "shop.db")
	work(t, db)
	got := produced(t, db)
	histogram := got["db.client.operation.duration"].Data.(metricdata.ExponentialHistogram[float64])
	found := false
	for _, p := range histogram.DataPoints {
		system, _ := p.Attributes.Value(semconv.DBSystemNameKey)
		namespace, _ := p.Attributes.Value(semconv.DBNamespaceKey)
		if system.AsString() != dbconvSQLite || namespace.AsString() != "shop" {
			t.Errorf("%v", p.Attributes.ToSlice())
		}
		operation, _ := p.Attributes.Value(semconv.DBOperationNameKey)
		summary, _ := p.Attributes.Value(semconv.DBQuerySummaryKey)
		if summary.AsString() != "SELECT orders" {
			continue
		}
		found = true
		sum := uint64(0)
		for _, n := range p.PositiveBucket.Counts {
			sum += n
		}
		most, _ := p.Max.Value()
		if operation.AsString() != "SELECT" || p.Count != 5 || sum != 5 || p.Scale != 5 || most <= 0 || p.Sum < most {
			t.Errorf("%+v", p)
		}
	}
	if !found {
		t.Errorf("%+v", histogram)
	}
	pools := map[string]int64{}
	for _, p := range got["db.client.connection.count"].Data.(metricdata.Sum[int64]).DataPoints {
		pool, _ := p.Attributes.Value(semconv.DBClientConnectionPoolNameKey)
		state, _ := p.Attributes.Value(semconv.DBClientConnectionStateKey)
		pools[pool.AsString()+" "+state.AsString()] = p.Value
	}
	if len(pools) != 4 || pools["shop/write idle"] != 1 || pools["shop/read idle"] < 1 || pools["shop/read used"] != 0 {
		t.Errorf("%v", pools)
	}
}

var dbconvSQLite = semconv.DBSystemNameSQLite.Value.AsString()

// traced is the database behind otelsql, as docs/guide/metrics.md has it.
func traced(t *testing.T, db *holdfast.DB) (*sql.DB, *tracetest.SpanRecorder) {
	t.Helper()
	spans := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	t.Cleanup(func() { _ = provider.Shutdown(context.Background()) })
	pool := otelsql.OpenDB(metrics.Connector(db), append(metrics.TraceOptions(db), otelsql.WithTracerProvider(provider))...)
	t.Cleanup(func() {
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
	})
	return pool, spans
}

func attributesOf(s sdktrace.ReadOnlySpan) map[attribute.Key]string {
	all := map[attribute.Key]string{}
	for _, a := range s.Attributes() {
		all[a.Key] = a.Value.String()
	}
	return all
}

// named returns the last span of a name.
func named(t *testing.T, spans *tracetest.SpanRecorder, name string) sdktrace.ReadOnlySpan {
	t.Helper()
	var last sdktrace.ReadOnlySpan
	var names []string
	for _, s := range spans.Ended() {
		names = append(names, s.Name())
		if s.Name() == name {
			last = s
		}
	}
	if last == nil {
		t.Fatalf("no span %q: %q", name, names)
	}
	return last
}

func TestTracesThroughOtelsql(t *testing.T) {
	t.Parallel()
	db := open(t, "shop.db")
	pool, spans := traced(t, db)
	ctx := t.Context()
	if _, err := pool.ExecContext(ctx, "INSERT INTO orders(name) VALUES (?), ('"+canary+"')", canary+"1"); err != nil {
		t.Fatal(err)
	}
	rows, err := pool.QueryContext(ctx, "SELECT name FROM orders WHERE name <> ?", "x")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for rows.Next() {
		n++
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil || n != 2 {
		t.Fatal(n, err)
	}
	for _, name := range []string{"INSERT orders", "SELECT orders"} {
		s := named(t, spans, name)
		a := attributesOf(s)
		if s.SpanKind() != trace.SpanKindClient || a[semconv.DBSystemNameKey] != dbconvSQLite || a[semconv.DBNamespaceKey] != "shop" ||
			a[semconv.DBQuerySummaryKey] != name || a[semconv.DBOperationNameKey] != strings.Fields(name)[0] {
			t.Errorf("%s: %v", name, a)
		}
	}
	// Errors stay what they are, and the span has the code.
	_, err = pool.ExecContext(ctx, "INSERT INTO orders(name) VALUES (?)", canary+"1")
	var told *holdfast.Error
	if !errors.As(err, &told) || told.ExtendedCode != 2067 {
		t.Errorf("%v can't be asked", err)
	}
	s := named(t, spans, "INSERT orders")
	if a := attributesOf(s); s.Status().Code != codes.Error || a[semconv.DBResponseStatusCodeKey] != "2067" {
		t.Errorf("%v, %v", s.Status(), a)
	}
	for _, s := range spans.Ended() {
		for k, v := range attributesOf(s) {
			if strings.Contains(v, canary) {
				t.Errorf("%s tells a value: %s=%s", s.Name(), k, v)
			}
		}
		if strings.Contains(s.Status().Description, canary) || strings.Contains(s.Name(), canary) {
			t.Errorf("%s: %s", s.Name(), s.Status().Description)
		}
	}
}

func TestTransactionsThroughOtelsql(t *testing.T) {
	t.Parallel()
	db := open(t, "shop.db")
	pool, spans := traced(t, db)
	tx, err := pool.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecContext(t.Context(), "INSERT INTO orders(name) VALUES ('a')"); err != nil {
		t.Fatal(err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := pool.QueryRowContext(t.Context(), "SELECT count(*) FROM orders").Scan(&n); err != nil || n != 0 {
		t.Fatal(n, err)
	}
	for _, name := range []string{"BEGIN", "INSERT orders", "ROLLBACK"} {
		named(t, spans, name)
	}
	// A read-only transaction is one to the database, too.
	tx, err = pool.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecContext(t.Context(), "INSERT INTO orders(name) VALUES ('b')"); !errors.Is(err, holdfast.ErrReadOnlyTx) {
		t.Errorf("a read-only transaction writes: %v", err)
	}
	_ = tx.Rollback()
	// A context that ends.
	ctx, cancel := context.WithCancel(t.Context())
	rows, err := pool.QueryContext(ctx, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT i FROM n")
	if err != nil {
		t.Fatal(err)
	}
	rows.Next()
	cancel()
	for rows.Next() {
	}
	if !errors.Is(rows.Err(), context.Canceled) {
		t.Errorf("after cancel: %v", rows.Err())
	}
	_ = rows.Close()
	if in := db.Stats().Readers.InUse; in != 0 {
		t.Errorf("%d readers in use", in)
	}
}
