package holdfast_test

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
)

const insertEntry = "INSERT INTO entry(worker, seq, body) VALUES (?, ?, ?)"

// benchmarkWrites shares b.N writes out to some goroutines, and reports how
// many of them shared a COMMIT.
func benchmarkWrites(b *testing.B, goroutines int, write func(db *holdfast.DB, worker, seq int64) error) {
	for _, sync := range []string{"FULL", "NORMAL"} {
		b.Run(sync, func(b *testing.B) {
			db, err := holdfast.Open(b.Context(), b.TempDir()+"/app.db", holdfast.WithSynchronous(sync))
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			if _, err := db.Exec("CREATE TABLE entry(id INTEGER PRIMARY KEY, worker INTEGER, seq INTEGER, body TEXT)"); err != nil {
				b.Fatal(err)
			}
			writeAll(b, db, goroutines, write)
		})
	}
}

func writeAll(b *testing.B, db *holdfast.DB, goroutines int, write func(db *holdfast.DB, worker, seq int64) error) {
	var next atomic.Int64
	var all sync.WaitGroup
	before := db.Stats().Writer
	b.ReportAllocs()
	b.ResetTimer()
	for w := range goroutines {
		all.Go(func() {
			for seq := next.Add(1); seq <= int64(b.N); seq = next.Add(1) {
				if err := write(db, int64(w), seq); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	b.StopTimer()
	after := db.Stats().Writer
	if n := after.Groups - before.Groups; n > 0 {
		b.ReportMetric(float64(after.Units-before.Units)/float64(n), "units/commit")
	}
}

const entryBody = "forty bytes of text, as a note could be."

func execEntry(db *holdfast.DB, worker, seq int64) error {
	_, err := db.ExecContext(context.Background(), insertEntry, worker, seq, entryBody)
	return err
}

func txEntry(db *holdfast.DB, worker, seq int64) error {
	tx, err := db.BeginTx(context.Background(), nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(context.Background(), insertEntry, worker, seq, entryBody); err != nil {
		return err
	}
	return tx.Commit()
}

func batchEntry(db *holdfast.DB, worker, seq int64) error {
	_, err := db.Batch(context.Background(), []holdfast.Statement{{SQL: insertEntry, Args: []any{worker, seq, entryBody}}})
	return err
}

func BenchmarkExec1(b *testing.B)   { benchmarkWrites(b, 1, execEntry) }
func BenchmarkExec32(b *testing.B)  { benchmarkWrites(b, 32, execEntry) }
func BenchmarkBatch32(b *testing.B) { benchmarkWrites(b, 32, batchEntry) }
func BenchmarkTx32(b *testing.B)    { benchmarkWrites(b, 32, txEntry) }

// BenchmarkDurable is what writes cost whose upload takes 5 ms, and how many of
// them share one.
func BenchmarkDurable(b *testing.B) {
	for _, goroutines := range []int{1, 32, 256} {
		b.Run(strconv.Itoa(goroutines), func(b *testing.B) {
			target := newTarget(b)
			db, err := holdfast.Open(b.Context(), b.TempDir()+"/app.db", target.durable)
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			if _, err := db.Exec("CREATE TABLE entry(id INTEGER PRIMARY KEY, worker INTEGER, seq INTEGER, body TEXT)"); err != nil {
				b.Fatal(err)
			}
			var uploads atomic.Int64
			target.uploads(func(context.Context) error {
				uploads.Add(1)
				<-time.After(5 * time.Millisecond)
				return nil
			})
			writeAll(b, db, goroutines, execEntry)
			target.uploads(nil)
			b.ReportMetric(float64(b.N)/float64(uploads.Load()), "writes/upload")
		})
	}
}
