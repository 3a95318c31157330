package holdfast_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
)

// BenchmarkOpen opens an existing database in WAL mode that nobody else has
// open: Open alone, which proves the file and the settings with a connection,
// and Open with the first query or write. p50-us is the median without Close,
// which ns/op contains; the allocations are those of the part that is timed.
//
// Keep it short (-benchtime 200x): ext4 searches longer for an inode with each
// file that was deleted within the last seconds, and every Close deletes two.
func BenchmarkOpen(b *testing.B) {
	query := func(ctx context.Context, db *holdfast.DB) error {
		var n int
		return db.QueryRowContext(ctx, "SELECT count(*) FROM t").Scan(&n)
	}
	write := func(ctx context.Context, db *holdfast.DB) error {
		_, err := db.ExecContext(ctx, "UPDATE t SET a = a + 1")
		return err
	}
	for _, c := range []struct {
		name  string
		first func(context.Context, *holdfast.DB) error
	}{{"open", nil}, {"query", query}, {"write", write}} {
		b.Run(c.name, func(b *testing.B) {
			path := benchDatabase(b)
			timed(b, func() func() {
				db, err := holdfast.Open(ctx(), path)
				if err == nil && c.first != nil {
					err = c.first(ctx(), db)
				}
				if err != nil {
					b.Fatal(err)
				}
				return func() {
					if err := db.Close(); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}

// BenchmarkReader reads with one more reader than there were, next to a writer:
// what the first reads at once pay. Nothing else is timed.
func BenchmarkReader(b *testing.B) {
	const most = 32
	path := benchDatabase(b)
	var db *holdfast.DB
	var held []*sql.Tx
	restart := func() {
		for _, tx := range held {
			_ = tx.Rollback()
		}
		held = held[:0]
		if db != nil {
			db.Close()
		}
		var err error
		if db, err = holdfast.Open(ctx(), path, holdfast.WithReaders(most)); err == nil {
			_, err = db.ExecContext(ctx(), "UPDATE t SET a = a + 1") // and its first reader
		}
		if err != nil {
			b.Fatal(err)
		}
		held = append(held, readOne(b, db))
	}
	restart()
	timed(b, func() func() {
		held = append(held, readOne(b, db))
		return func() {
			if len(held) == most {
				restart()
			}
		}
	})
	restart()
	_ = held[0].Rollback()
	db.Close()
}

// readOne begins a transaction that keeps a reader, and reads.
func readOne(b *testing.B, db *holdfast.DB) *sql.Tx {
	b.Helper()
	tx, err := db.BeginTx(ctx(), &sql.TxOptions{ReadOnly: true})
	if err != nil {
		b.Fatal(err)
	}
	var a int
	if err := tx.QueryRowContext(ctx(), "SELECT a FROM t").Scan(&a); err != nil {
		b.Fatal(err)
	}
	return tx
}

func benchDatabase(b *testing.B) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "app.db")
	db, err := holdfast.Open(ctx(), path)
	if err != nil {
		b.Fatal(err)
	}
	for _, s := range []string{"CREATE TABLE t(a)", "INSERT INTO t VALUES(1)"} {
		if _, err := db.ExecContext(ctx(), s); err != nil {
			b.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		b.Fatal(err)
	}
	return path
}

// timed runs f and then, untimed, what it returned.
func timed(b *testing.B, f func() (after func())) {
	const rounds = 20
	var m0, m1 runtime.MemStats
	var allocs, bytes uint64
	for range rounds {
		runtime.ReadMemStats(&m0)
		after := f()
		runtime.ReadMemStats(&m1)
		allocs += m1.Mallocs - m0.Mallocs
		bytes += m1.TotalAlloc - m0.TotalAlloc
		after()
	}
	var took []time.Duration
	for b.Loop() {
		begin := time.Now()
		after := f()
		took = append(took, time.Since(begin))
		after()
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/1e3, "p50-us")
	b.ReportMetric(float64(took[len(took)/10].Nanoseconds())/1e3, "p10-us")
	b.ReportMetric(float64(allocs)/rounds, "allocs/open")
	b.ReportMetric(float64(bytes)/rounds, "B/open")
}
