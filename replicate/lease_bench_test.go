package replicate

import (
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
)

// BenchmarkLeased is DURABLE with 16 writers and a directory on the same disk, without a lease and with one: there
// each round reads the manifest, too.
func BenchmarkLeased(b *testing.B) {
	for _, c := range []struct {
		name  string
		lease time.Duration
	}{{"none", 0}, {"lease", 10 * time.Second}} {
		b.Run(c.name, func(b *testing.B) {
			dir := b.TempDir()
			db := openDB(b, filepath.Join(dir, "app.db"), to(filepath.Join(dir, "replica"), func(r *holdfast.ReplicationConfig) {
				r.Mode, r.Lease = Durable, c.lease
			}))
			write(b, db, "CREATE TABLE t(n INTEGER PRIMARY KEY, v BLOB)")
			const writers = 16
			took := make([][]time.Duration, writers)
			var next atomic.Int64
			var all sync.WaitGroup
			b.ResetTimer()
			for w := range writers {
				all.Go(func() {
					for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
						begun := time.Now()
						if _, err := db.Exec("INSERT INTO t VALUES (?, randomblob(100))", n); err != nil {
							b.Error(err)
							return
						}
						took[w] = append(took[w], time.Since(begun))
					}
				})
			}
			all.Wait()
			b.StopTimer()
			sorted := slices.Sorted(slices.Values(slices.Concat(took...)))
			if len(sorted) == 0 {
				return
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
			b.ReportMetric(float64(sorted[len(sorted)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(sorted[len(sorted)*99/100].Microseconds())/1000, "p99-ms")
		})
	}
}
