package metrics

import (
	"math"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/history"
	"github.com/holdfastdb/holdfast/queries"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Prometheus returns a collector of one database, to be registered at a
// prometheus.Registry; several databases are several collectors with different names. Each
// series has the label "database".
//
// A collector does not keep the database open; after its Close the last figures are
// told. It is safe for concurrent use and starts no goroutine. What database/sql counts of
// its own pool, the go_sql_ series, is collectors.NewDBStatsCollector(db.DB, name).
func Prometheus(db *holdfast.DB, options ...Option) prometheus.Collector {
	s := newSource(db, options)
	c := &collector{source: s, distributions: map[string]*prometheus.Desc{}}
	// A constant label, because two collectors with the same descriptions are one to a registry.
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, sentence(help), labels, prometheus.Labels{"database": s.name})
	}
	for _, f := range s.figures() {
		c.figures = append(c.figures, desc(figureName(f), f.Help))
	}
	for _, f := range statementFigures {
		c.statements = append(c.statements, desc(statementName(f), f.help, statementLabels...))
	}
	for _, d := range distributions() {
		labels := []string{d.key}
		if d.key == "" {
			labels = nil
		}
		c.distributions[d.name] = desc(d.prometheus(), d.help, labels...)
	}
	c.duration = desc(durationName, durationHelp, statementLabels...)
	c.errors = desc(errorsName, errorsHelp, "kind")
	c.build = desc(buildName, buildHelp, "version", "sqlite_version", "go_version")
	return c
}

type collector struct {
	*source
	figures, statements     []*prometheus.Desc
	distributions           map[string]*prometheus.Desc // by history.Histogram's names
	duration, errors, build *prometheus.Desc
}

// statementLabels are the labels of what is told of statements. Those of all others
// have the query_id "".
var statementLabels = []string{"query_id", "operation", "summary"}

const (
	durationName = "holdfast_statement_duration_seconds"
	errorsName   = "holdfast_errors_total"
	buildName    = "holdfast_build_info"
)

const (
	errorsHelp = "calls of all statements that returned an error, by its kind"
	buildHelp  = "1; the versions are in its labels"
)

// Describe is of prometheus.Collector.
func (c *collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range c.figures {
		to <- d
	}
	for _, d := range c.statements {
		to <- d
	}
	for _, d := range c.distributions {
		to <- d
	}
	to <- c.duration
	to <- c.errors
	to <- c.build
}

// Collect is of prometheus.Collector.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	for i, f := range c.source.figures() {
		if f.Unknown {
			continue
		}
		kind := prometheus.GaugeValue
		if f.Kind == history.Counter {
			kind = prometheus.CounterValue
		}
		to <- prometheus.MustNewConstMetric(c.figures[i], kind, f.Value)
	}
	for _, h := range c.db.Histograms() {
		if d := c.distributions[h.Name]; d != nil {
			to <- newHistogram(d, h, labelsOf(h)...)
		}
	}
	all, errors := c.look()
	for i := range all {
		s := &all[i]
		labels := []string{s.id, s.operation, s.summary}
		for k, d := range c.statements {
			to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, s.counts.figures[k], labels...)
		}
		to <- newHistogram(c.duration, history.Histogram{Unit: "s", Counts: s.duration}, labels...)
	}
	for _, kind := range errorKinds(errors) {
		to <- prometheus.MustNewConstMetric(c.errors, prometheus.CounterValue, float64(errors[kind]), kind)
	}
	to <- prometheus.MustNewConstMetric(c.build, prometheus.GaugeValue, 1, version(), holdfast.Engine().Version, runtime.Version())
}

// version is that of the library in the program.
func version() string {
	const library = "github.com/holdfastdb/holdfast"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, m := range append(info.Deps, &info.Main) {
		if m.Path == library {
			return m.Version
		}
	}
	return ""
}

// figureName is what Prometheus calls a figure: with the unit at its end, and
// _total after that of a counter.
func figureName(f history.Figure) string {
	name := "holdfast_" + strings.ReplaceAll(f.Name, ".", "_")
	unit := map[string]string{"s": "_seconds", "By": "_bytes"}[f.Unit]
	if f.Time {
		unit = "_timestamp_seconds"
	}
	if !strings.HasSuffix(name, unit) {
		name += unit
	}
	if f.Kind == history.Counter {
		name += "_total"
	}
	return name
}

func statementName(f statementFigure) string { return "holdfast_statement_" + f.name + "_total" }

// sentence makes a help text of what a figure is.
func sentence(help string) string { return strings.ToUpper(help[:1]) + help[1:] + "." }

func labelsOf(h history.Histogram) []string {
	if h.Key == "" {
		return nil
	}
	return []string{h.Value}
}

// The classic buckets end where buckets of the library do, so that they are exact: those
// of durations at 61 us, 244 us, 1 ms, 3.9 ms, 16 ms, 63 ms, 250 ms, 1 s, 4 s and 16 s, those
// of plain numbers at powers of two from 1 to 512.
type exponents struct{ least, most, step int }

func boundsOf(unit string) exponents {
	if unit == "s" {
		return exponents{-14, 4, 2}
	}
	return exponents{0, 9, 1}
}

// histogram is one metric with native and classic buckets: whoever scrapes takes
// those that it knows.
type histogram struct {
	prometheus.Metric // the native one
	classic           []*dto.Bucket
}

func newHistogram(desc *prometheus.Desc, of history.Histogram, labels ...string) prometheus.Metric {
	h, bounds := of.Counts, boundsOf(of.Unit)
	native := make(map[int]int64)
	perOctave := 1 << queries.Scale
	var classic []*dto.Bucket
	for e := bounds.least; e <= bounds.most; e += bounds.step {
		bound, none := math.Exp2(float64(e)), uint64(0)
		classic = append(classic, &dto.Bucket{UpperBound: &bound, CumulativeCount: &none})
	}
	for bucket, n := range h.Buckets() {
		native[bucket+1] = int64(n) // Prometheus counts from the bucket that ends at 1
		for i, c := range classic {
			if bucket < (bounds.least+i*bounds.step)*perOctave {
				*c.CumulativeCount += n
			}
		}
	}
	return histogram{prometheus.MustNewConstNativeHistogram(desc, h.Count(), h.Sum().Seconds(),
		native, nil, 0, queries.Scale, 0, time.Time{}, labels...), classic}
}

// Write is of prometheus.Metric.
func (h histogram) Write(to *dto.Metric) error {
	err := h.Metric.Write(to)
	to.Histogram.Bucket = h.classic
	return err
}
