package daemon

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/holdfastdb/holdfast/metrics"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// seriesOf are the series of a database: those of the handle that writes under its
// name, those of the one for SQL from outside that reads under "NAME/reads".
func seriesOf(d *database) []prometheus.Collector {
	return []prometheus.Collector{
		metrics.Prometheus(d.DB, metrics.Name(d.Name)),
		metrics.Prometheus(d.Reader, metrics.Name(d.Name+"/reads")),
	}
}

// traffic counts requests.
type traffic struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	under    prometheus.Gauge
	refused  prometheus.Counter
	ended    prometheus.Counter

	arrivals arrivals
}

func newTraffic(r *prometheus.Registry, most func() int) *traffic {
	t := &traffic{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdfast_http_requests_total", Help: "Requests that were answered, by route and status.",
		}, []string{"route", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "holdfast_http_request_seconds", Help: "Time from the header of a request to the end of its answer.",
			Buckets: prometheus.ExponentialBuckets(0.000256, 4, 9),
		}, []string{"route"}),
		under: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "holdfast_http_requests_under_way", Help: "Requests to databases that are worked on.",
		}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "holdfast_http_requests_refused_total", Help: "Requests that were answered 503 because serve.max_requests were under way.",
		}),
		ended: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "holdfast_http_slow_clients_ended_total", Help: "Connections that kept the daemon waiting, and were ended to make room for others.",
		}),
	}
	t.arrivals.most, t.arrivals.ended = most, t.ended.Inc
	r.MustRegister(t.requests, t.seconds, t.under, t.refused, t.ended, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return t
}

// count stands before the handler of a route.
func (t *traffic) count(route string, next http.Handler) http.Handler {
	seconds := t.seconds.WithLabelValues(route)
	fine := t.requests.WithLabelValues(route, "200")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		s := &status{ResponseWriter: w, code: http.StatusOK}
		if r.ContentLength != 0 {
			s.arrival = t.arrivals.of(w, r.Body)
			r.Body = s.arrival
		}
		ended := false
		defer func() {
			if s.arrival != nil && !s.written {
				s.arrival.answered(s.Header())
			}
			seconds.Observe(time.Since(start).Seconds())
			if !ended { // it panics, and is answered further out
				s.code = http.StatusInternalServerError
			}
			if s.code == http.StatusOK {
				fine.Inc()
			} else {
				t.requests.WithLabelValues(route, strconv.Itoa(s.code)).Inc()
			}
		}()
		next.ServeHTTP(s, r)
		ended = true
	})
}

// status notes the status of an answer.
type status struct {
	http.ResponseWriter
	code    int
	written bool     // the header is
	arrival *arrival // of the request's body; nil if it has none
}

func (s *status) WriteHeader(code int) {
	if code >= 200 && !s.written { // others say that more is to come
		s.written = true
		if s.arrival != nil {
			s.arrival.answered(s.Header())
		}
	}
	s.code = code
	s.ResponseWriter.WriteHeader(code)
}

func (s *status) Write(p []byte) (int, error) {
	if !s.written {
		s.WriteHeader(http.StatusOK)
	}
	return s.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (s *status) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// Flush is for handlers that stream and ask for an http.Flusher.
func (s *status) Flush() { _ = http.NewResponseController(s.ResponseWriter).Flush() }

// unready are the findings of Health with which nothing can be acknowledged, or read.
var unready = []string{"fenced", "corrupt", "unreadable"}

// look says whether a database answers: nil, or why not.
func (d *database) look(ctx context.Context) error {
	h, err := d.DB.Health(ctx)
	if err != nil {
		return err
	}
	for _, f := range h.Findings {
		if slices.Contains(unready, f.ID) {
			return errors.New(f.Summary)
		}
	}
	if !h.DatabaseAccessible {
		return errNotAccessible
	}
	return nil
}
