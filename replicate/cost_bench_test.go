package replicate

import (
	"math/rand/v2"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/holdfastdb/holdfast"
)

// BenchmarkCost is what replication costs those who write, 32 at a time: W4 is a row for each Exec, W5
// nine reads to a write, as in bench. The disks of database and target are the same one here.
func BenchmarkCost(b *testing.B) {
	for _, w := range []struct {
		name  string
		reads int
	}{{"W4", 0}, {"W5", 90}} {
		for _, mode := range []string{"alone", Async, Durable} {
			b.Run(w.name+"/"+mode, func(b *testing.B) {
				dir := b.TempDir()
				option := func(*holdfast.Config) {}
				if mode != "alone" {
					option = to(filepath.Join(dir, "replica"), func(c *holdfast.ReplicationConfig) { c.Mode = mode })
				}
				db := openDB(b, filepath.Join(dir, "app.db"), option)
				write(b, db, "CREATE TABLE t(n INTEGER PRIMARY KEY, k TEXT, v BLOB)")
				write(b, db, "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM r WHERE i<20000) INSERT INTO t SELECT i, hex(i), randomblob(100) FROM r")
				var next atomic.Int64
				next.Store(20000)
				b.SetParallelism(16) // for each of two CPUs
				b.ResetTimer()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if rand.IntN(100) < w.reads {
							var k string
							if err := db.QueryRow("SELECT k FROM t WHERE n = ?", 1+rand.IntN(20000)).Scan(&k); err != nil {
								b.Error(err)
							}
							continue
						}
						if _, err := db.Exec("INSERT INTO t VALUES (?, 'key', randomblob(100))", next.Add(1)); err != nil {
							b.Error(err)
						}
					}
				})
				b.StopTimer()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
			})
		}
	}
}
