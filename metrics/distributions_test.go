package metrics_test

import (
	"slices"
	"testing"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/history"
	"github.com/holdfastdb/holdfast/metrics"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

func TestEveryDistributionIsTold(t *testing.T) {
	t.Parallel()
	db := open(t, "shop.db")
	work(t, db)
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(metrics.Prometheus(db))
	families := gather(t, r)
	got := produced(t, db)
	pools := map[string]uint64{}
	for _, name := range []string{"db.client.connection.wait_time", "db.client.connection.use_time", "db.client.connection.create_time"} {
		for _, p := range got[name].Data.(metricdata.ExponentialHistogram[float64]).DataPoints {
			pool, _ := p.Attributes.Value(attribute.Key("db.client.connection.pool.name"))
			pools[name+" "+pool.AsString()] = p.Count
		}
	}
	s := db.Stats()
	seen := map[string]bool{}
	for _, h := range db.Histograms() {
		seen[h.Name] = true
		name := metrics.FigureName(figureOf(h.Name, h.Unit))
		family := families[name]
		if family == nil {
			t.Errorf("%s is not told as %s", h.Name, name)
			continue
		}
		m := family.GetMetric()[0]
		if h.Key != "" {
			m = with(family, h.Key, h.Value)
		}
		if m == nil || m.GetHistogram().GetSampleCount() != h.Counts.Count() {
			t.Errorf("%s %s: %v, want %d", name, h.Value, m, h.Counts.Count())
		}
		if h.Name == "writer.group_units" {
			if n := m.GetHistogram().GetSampleCount(); n != uint64(s.Writer.Groups) || m.GetHistogram().GetSampleSum() != float64(s.Writer.Units) {
				t.Errorf("%d groups of %v units, want %d of %d", n, m.GetHistogram().GetSampleSum(), s.Writer.Groups, s.Writer.Units)
			}
			if first := m.GetHistogram().GetBucket()[0]; first.GetUpperBound() != 1 || first.GetCumulativeCount() != uint64(s.Writer.Groups) {
				t.Errorf("of one unit: %v", first)
			}
		}
	}
	for name := range seen {
		if !slices.Contains(metrics.Told(), name) {
			t.Errorf("%s is in no list", name)
		}
	}
	for _, name := range metrics.Told() {
		if !seen[name] {
			t.Errorf("%s is told, and not counted", name)
		}
	}
	if n := pools["db.client.connection.wait_time shop/write"]; n != uint64(s.Writer.Waits) || pools["db.client.connection.create_time shop/write"] != 1 {
		t.Errorf("%v, want %d waits", pools, s.Writer.Waits)
	}
	for pool, n := range pools {
		if n == 0 && pool != "db.client.connection.use_time shop/read" && pool != "db.client.connection.wait_time shop/read" {
			t.Errorf("%s is empty", pool)
		}
	}
}

// Rows are a sum: how they are distributed over calls is not counted, and a histogram of one
// bucket would tell quantiles that are none.
func TestReturnedRows(t *testing.T) {
	t.Parallel()
	db := open(t, "shop.db")
	work(t, db)
	got := produced(t, db)
	rows := map[string]float64{}
	for _, p := range got["sqlite.query.rows"].Data.(metricdata.Sum[float64]).DataPoints {
		summary, _ := p.Attributes.Value(attribute.Key("db.query.summary"))
		rows[summary.AsString()] = p.Value
	}
	if _, told := got["db.client.response.returned_rows"]; told || rows["SELECT orders"] != 5 || rows["INSERT orders"] != 0 {
		t.Errorf("%v", rows)
	}
}

// Without telemetry there are no distributions, and the rest is told.
func TestDistributionsOfADatabaseWithoutTelemetry(t *testing.T) {
	t.Parallel()
	db := open(t, "shop.db", func(c *holdfast.Config) { c.Telemetry.Enabled = holdfast.Off })
	work(t, db)
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(metrics.Prometheus(db))
	families := gather(t, r)
	if families["holdfast_connection_wait_seconds"] != nil || families["holdfast_writer_groups_total"] == nil {
		t.Errorf("%d families", len(families))
	}
	for name := range produced(t, db) {
		if name == "db.client.connection.wait_time" {
			t.Errorf("%s is told", name)
		}
	}
}

func figureOf(name, unit string) history.Figure { return history.Figure{Name: name, Unit: unit} }
