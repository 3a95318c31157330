package metrics_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/metrics"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// BenchmarkScrapedLoad is a load of eight readers and a writer, and one of 32 who write a row each,
// in periods of a second, as often as figures are gathered: left alone, beside 100 requests a second for a page that
// is always the same and as long, and beside as many scrapes. It tells by how much more time an
// operation takes than those left alone, in percent, and how much more of the processors: "requests-%"
// and "scrapes-%". The difference is what figures cost, the rest is HTTP and its client, which
// is in the process. "again-%" is what two periods that were left alone differ by.
func BenchmarkScrapedLoad(b *testing.B) {
	b.Run("mixed", func(b *testing.B) {
		besideScrapes(b, 9, func(ctx context.Context, db *holdfast.DB, k, i int) {
			if k == 0 {
				_, _ = db.ExecContext(ctx, "UPDATE orders SET name = ? WHERE id = 7", i)
				return
			}
			var id int
			_ = db.QueryRowContext(ctx, "SELECT id FROM orders WHERE id = ?", i%1000+1).Scan(&id)
		})
	})
	b.Run("writes", func(b *testing.B) {
		besideScrapes(b, 32, func(ctx context.Context, db *holdfast.DB, k, i int) {
			_, _ = db.ExecContext(ctx, "INSERT INTO orders(name) VALUES (?)", i)
		})
	})
}

func besideScrapes(b *testing.B, goroutines int, do func(ctx context.Context, db *holdfast.DB, k, i int)) {
	db := open(b, "shop.db")
	for range 1000 {
		exec(b, db, "INSERT INTO orders DEFAULT VALUES")
	}
	r := prometheus.NewRegistry()
	r.MustRegister(metrics.Prometheus(db))
	told := httptest.NewServer(metrics.Handler(r))
	defer told.Close()
	w := httptest.NewRecorder()
	metrics.Handler(r).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	page := w.Body.Bytes()
	same := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(page) }))
	defer same.Close()
	ctx, cancel := context.WithCancel(b.Context())
	var operations atomic.Int64
	var done sync.WaitGroup
	for k := range goroutines {
		done.Go(func() {
			for i := 1; ctx.Err() == nil; i++ {
				do(ctx, db, k, i)
				operations.Add(1)
			}
		})
	}
	var counted, scrapes [4]int64
	var took, cpu [4]time.Duration
	for b.Loop() {
		for k, server := range []*httptest.Server{nil, same, told, nil} {
			before, from, worked := operations.Load(), time.Now(), cpuTime()
			scrapes[k] += scrape(b, server, time.Second)
			counted[k] += operations.Load() - before
			took[k] += time.Since(from)
			cpu[k] += cpuTime() - worked
		}
	}
	cancel()
	done.Wait()
	tell := func(unit string, of func(k int) float64) {
		alone := (of(0) + of(3)) / 2
		b.ReportMetric(100*(of(1)/alone-1), "requests-"+unit)
		b.ReportMetric(100*(of(2)/alone-1), "scrapes-"+unit)
		b.ReportMetric(100*(of(3)/of(0)-1), "again-"+unit)
	}
	tell("time-%", func(k int) float64 { return took[k].Seconds() / float64(counted[k]) })
	tell("cpu-%", func(k int) float64 { return cpu[k].Seconds() / float64(counted[k]) })
	b.ReportMetric(float64(counted[0]+counted[3])/(took[0]+took[3]).Seconds(), "ops/s")
	b.ReportMetric(float64(scrapes[2])/took[2].Seconds(), "scrapes/s")
}

// scrape lets a period pass, with a request every 10 ms if there is a server, and
// returns how many there were.
func scrape(b *testing.B, server *httptest.Server, period time.Duration) (n int64) {
	end := time.NewTimer(period)
	defer end.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-end.C:
			return n
		case <-tick.C:
		}
		if server == nil {
			continue
		}
		request, _ := http.NewRequestWithContext(b.Context(), http.MethodGet, server.URL, nil)
		request.Header.Set("Accept-Encoding", "identity") // as curl asks
		answer, err := server.Client().Do(request)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		_ = answer.Body.Close()
		n++
	}
}

// TestManyScrapesGatherOnce counts how often the figures are read for 100 scrapes.
func TestManyScrapesGatherOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var gathered atomic.Int64
		h := metrics.Handler(prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
			gathered.Add(1)
			return prometheus.NewRegistry().Gather()
		}))
		for i := range 300 {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
			if w.Code != http.StatusOK || w.Header().Get("Content-Type") == "" {
				t.Fatal(i, w.Code, w.Header())
			}
			time.Sleep(10 * time.Millisecond) // of the bubble's clock
		}
		if n := gathered.Load(); n != 3 {
			t.Errorf("gathered %d times in 3 s", n)
		}
		for i := range 20 { // of forms beyond the bound each is made anew
			request := httptest.NewRequest(http.MethodGet, "/metrics", nil)
			request.Header.Set("Accept", "text/plain;q=0."+strings.Repeat("1", i+1))
			h.ServeHTTP(httptest.NewRecorder(), request)
			h.ServeHTTP(httptest.NewRecorder(), request)
		}
		if n := gathered.Load(); n != 3+7+2*13 {
			t.Errorf("gathered %d times", n)
		}
	})
}

// BenchmarkScrape is one scrape, of a program with 300 statements of which 50 have
// series.
func BenchmarkScrape(b *testing.B) {
	db := open(b, "shop.db")
	for i := range 300 {
		exec(b, db, "SELECT id AS c"+string(rune('a'+i%26))+string(rune('a'+i/26))+" FROM orders")
	}
	r := prometheus.NewRegistry()
	r.MustRegister(metrics.Prometheus(db))
	b.ReportAllocs()
	before := cpuTime()
	for b.Loop() {
		gather(b, r)
	}
	b.ReportMetric(float64(cpuTime()-before)/float64(b.N), "cpu-ns/op")
}

// TestScrapesPinNoSnapshot empties the log again and again beside scrapes that never stop:
// a snapshot of one would keep frames in it.
func TestScrapesPinNoSnapshot(t *testing.T) {
	t.Parallel()
	db := open(t, "shop.db")
	r := prometheus.NewRegistry()
	r.MustRegister(metrics.Prometheus(db))
	p := metrics.OpenTelemetry(db)
	ctx, stop := context.WithCancel(t.Context())
	var scraping sync.WaitGroup
	var scrapes atomic.Int64
	for range 2 {
		scraping.Go(func() {
			for ctx.Err() == nil {
				if _, err := r.Gather(); err != nil {
					t.Error(err)
				}
				if _, err := p.Produce(ctx); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
				scrapes.Add(1)
			}
		})
	}
	for i := range 50 {
		for range 10 {
			exec(t, db, "INSERT INTO orders DEFAULT VALUES")
		}
		c, err := db.Checkpoint(t.Context(), holdfast.CheckpointTruncate)
		if err != nil || c.CopiedFrames != c.LogFrames || c.PinnedBy != nil || c.BytesAfter != 0 {
			t.Fatalf("round %d, after %d scrapes: %+v, %v", i, scrapes.Load(), c, err)
		}
	}
	stop()
	scraping.Wait()
	if s := db.Stats(); s.WAL.IncompleteInARow != 0 || s.WAL.Pins != 0 || scrapes.Load() == 0 {
		t.Errorf("%+v after %d scrapes", s.WAL, scrapes.Load())
	}
}

// BenchmarkAnswer is one answer to somebody who scrapes, by HTTP and with the client: what
// 100 a second cost besides the one in a second that gathers (BenchmarkScrape). On a
// machine with other work look at cpu-ns/op, which is the process's time on processors.
func BenchmarkAnswer(b *testing.B) {
	db := open(b, "shop.db")
	for i := range 300 {
		exec(b, db, "SELECT id AS c"+string(rune('a'+i%26))+string(rune('a'+i/26))+" FROM orders")
	}
	r := prometheus.NewRegistry()
	r.MustRegister(metrics.Prometheus(db))
	server := httptest.NewServer(metrics.Handler(r))
	defer server.Close()
	bytes, before := int64(0), cpuTime()
	for b.Loop() {
		request, _ := http.NewRequestWithContext(b.Context(), http.MethodGet, server.URL, nil)
		request.Header.Set("Accept-Encoding", "identity")
		answer, err := server.Client().Do(request)
		if err != nil {
			b.Fatal(err)
		}
		bytes, _ = io.Copy(io.Discard, answer.Body)
		_ = answer.Body.Close()
	}
	b.ReportMetric(float64(cpuTime()-before)/float64(b.N), "cpu-ns/op")
	b.ReportMetric(float64(bytes), "page-bytes")
}
