package metrics

import (
	"context"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/history"
	"github.com/holdfastdb/holdfast/queries"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/semconv/v1.43.0/dbconv"
)

// OpenTelemetry returns a producer of one database, to be given to a reader:
//
//	metric.NewPeriodicReader(exporter, metric.WithProducer(metrics.OpenTelemetry(db)))
//
// It is a producer and not a set of instruments of a MeterProvider, because the
// library has counted durations already, and an instrument takes single measurements
// only. All it tells is cumulative, whatever the reader's temporality.
//
// What has a name in the semantic conventions (1.43.0) has that one:
// db.client.operation.duration and db.client.connection.*, with the pools NAME/read and
// NAME/write. All else begins with "sqlite.". It is safe for concurrent use, starts no
// goroutine, and need not be closed.
func OpenTelemetry(db *holdfast.DB, options ...Option) metric.Producer {
	return &producer{source: newSource(db, options), opened: time.Now()}
}

type producer struct {
	*source
	opened time.Time
}

// Scope is the name of the instrumentation scope of what OpenTelemetry's producer
// tells.
const Scope = "github.com/holdfastdb/holdfast/metrics"

// Produce is of metric.Producer.
func (p *producer) Produce(ctx context.Context) ([]metricdata.ScopeMetrics, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	stats := p.db.Stats()
	all := p.connections(stats)
	for _, f := range append(stats.Figures(), p.more(stats)...) {
		if !f.Unknown {
			all = append(all, p.figure(f))
		}
	}
	all = append(all, p.histograms()...)
	all = append(all, p.statementMetrics()...)
	return []metricdata.ScopeMetrics{{
		Scope:   instrumentation.Scope{Name: Scope, Version: version(), SchemaURL: semconv.SchemaURL},
		Metrics: all,
	}}, nil
}

// base are the attributes that everything has.
func (s *source) base(more ...attribute.KeyValue) attribute.Set {
	return attribute.NewSet(append(more, semconv.DBSystemNameSQLite, semconv.DBNamespace(s.name))...)
}

func (p *producer) figure(f history.Figure) metricdata.Metrics {
	points := []metricdata.DataPoint[float64]{{Attributes: p.base(), StartTime: p.opened, Time: time.Now(), Value: f.Value}}
	m := metricdata.Metrics{Name: "sqlite." + f.Name, Description: f.Help, Unit: f.Unit}
	if f.Unit == "" {
		m.Unit = "1"
	}
	if f.Kind == history.Counter {
		m.Data = metricdata.Sum[float64]{DataPoints: points, Temporality: metricdata.CumulativeTemporality, IsMonotonic: true}
	} else {
		m.Data = metricdata.Gauge[float64]{DataPoints: points}
	}
	return m
}

// connections are the pools. The writer is a pool of one connection.
func (p *producer) connections(s holdfast.Stats) []metricdata.Metrics {
	writing := int64(0)
	if l, err := p.db.Locks(context.Background()); err == nil {
		for _, h := range l.Holders {
			if h.Lock == "WAL_WRITE" || h.Lock == "RESERVED" {
				writing = 1
			}
		}
	}
	now := time.Now()
	var count dbconv.ClientConnectionCountObservable
	var most dbconv.ClientConnectionMaxObservable
	var pending dbconv.ClientConnectionPendingRequestsObservable
	var timeouts dbconv.ClientConnectionTimeoutsObservable
	point := func(pool string, v int64, more ...attribute.KeyValue) metricdata.DataPoint[int64] {
		name := count.AttrClientConnectionPoolName(p.name + "/" + pool)
		return metricdata.DataPoint[int64]{Attributes: p.base(append(more, name)...), StartTime: p.opened, Time: now, Value: v}
	}
	idle, used := count.AttrClientConnectionState(dbconv.ClientConnectionStateIdle), count.AttrClientConnectionState(dbconv.ClientConnectionStateUsed)
	sum := func(name, help, unit string, points ...metricdata.DataPoint[int64]) metricdata.Metrics {
		return metricdata.Metrics{
			Name: name, Description: help, Unit: unit,
			Data: metricdata.Sum[int64]{DataPoints: points, Temporality: metricdata.CumulativeTemporality},
		}
	}
	r, w := s.Readers, s.Writer
	return []metricdata.Metrics{
		sum(count.Name(), count.Description(), count.Unit(),
			point("read", int64(r.InUse), used), point("read", int64(max(r.Open-r.InUse, 0)), idle),
			point("write", writing, used), point("write", 1-writing, idle)),
		sum(most.Name(), most.Description(), most.Unit(), point("read", int64(r.Max)), point("write", 1)),
		sum(pending.Name(), pending.Description(), pending.Unit(), point("read", int64(r.Waiting)), point("write", int64(w.Queued))),
		{
			Name: timeouts.Name(), Description: timeouts.Description(), Unit: timeouts.Unit(),
			Data: metricdata.Sum[int64]{DataPoints: []metricdata.DataPoint[int64]{point("read", r.Timeouts)}, Temporality: metricdata.CumulativeTemporality, IsMonotonic: true},
		},
	}
}

// histograms are the distributions.
func (p *producer) histograms() (all []metricdata.Metrics) {
	told, now := p.db.Histograms(), time.Now()
	for _, d := range distributions() {
		var points []metricdata.ExponentialHistogramDataPoint[float64]
		for _, h := range told {
			if h.Name == d.name {
				points = append(points, exponential(h.Counts, p.base(d.attributes(p.name, h)...), p.opened, now))
			}
		}
		unit := d.unit
		if unit == "" {
			unit = "1"
		}
		if points != nil {
			all = append(all, metricdata.Metrics{
				Name: d.otel, Description: d.help, Unit: unit,
				Data: metricdata.ExponentialHistogram[float64]{DataPoints: points, Temporality: metricdata.CumulativeTemporality},
			})
		}
	}
	return all
}

// QueryID is the attribute with the ID of a statement in DB.Queries; "" for all
// statements that are told together.
const QueryID = attribute.Key("sqlite.query.id")

func (p *producer) statementMetrics() (all []metricdata.Metrics) {
	told, failures := p.look()
	if len(told) == 0 {
		return nil
	}
	now := time.Now()
	var duration dbconv.ClientOperationDuration
	var durations []metricdata.ExponentialHistogramDataPoint[float64]
	sums := make([][]metricdata.DataPoint[float64], len(statementFigures))
	for i := range told {
		s := &told[i]
		set := p.base(semconv.DBOperationName(s.operation), semconv.DBQuerySummary(s.summary), QueryID.String(s.id))
		durations = append(durations, exponential(s.duration, set, p.opened, now))
		for k := range sums {
			sums[k] = append(sums[k], metricdata.DataPoint[float64]{Attributes: set, StartTime: p.opened, Time: now, Value: s.figures[k]})
		}
	}
	all = append(all, metricdata.Metrics{
		Name: duration.Name(), Description: duration.Description(), Unit: duration.Unit(),
		Data: metricdata.ExponentialHistogram[float64]{DataPoints: durations, Temporality: metricdata.CumulativeTemporality},
	})
	add := func(name, unit, help string, points []metricdata.DataPoint[float64]) {
		if unit == "" {
			unit = "1"
		}
		all = append(all, metricdata.Metrics{
			Name: name, Description: help, Unit: unit,
			Data: metricdata.Sum[float64]{DataPoints: points, Temporality: metricdata.CumulativeTemporality, IsMonotonic: true},
		})
	}
	for k, f := range statementFigures {
		add("sqlite.query."+f.name, f.unit, f.help, sums[k])
	}
	var points []metricdata.DataPoint[float64]
	for _, kind := range errorKinds(failures) {
		points = append(points, metricdata.DataPoint[float64]{
			Attributes: p.base(semconv.ErrorTypeKey.String(kind)), StartTime: p.opened, Time: now, Value: float64(failures[kind]),
		})
	}
	if points != nil {
		add("sqlite.errors", "", errorsHelp, points)
	}
	return all
}

// exponential is the library's histogram: its buckets are those of this scale.
func exponential(h *queries.Histogram, set attribute.Set, from, to time.Time) metricdata.ExponentialHistogramDataPoint[float64] {
	p := metricdata.ExponentialHistogramDataPoint[float64]{
		Attributes: set, StartTime: from, Time: to, Count: h.Count(), Sum: h.Sum().Seconds(), Scale: queries.Scale,
	}
	if h.Count() > 0 {
		p.Max = metricdata.NewExtrema(h.Max().Seconds())
	}
	b := &p.PositiveBucket
	for bucket, n := range h.Buckets() {
		if b.Counts == nil {
			b.Offset = int32(bucket)
		}
		for int(b.Offset)+len(b.Counts) < bucket {
			b.Counts = append(b.Counts, 0)
		}
		b.Counts = append(b.Counts, n)
	}
	return p
}
