package memory_test

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
)

var (
	memoryLoad  = flag.Duration("memory.load", 0, "how long TestMemoryLoad loads a database with 16 connections; 0: not at all")
	memoryEqual = flag.Bool("memory.equal", false, "with equal parts of the budget for all of them")
)

// TestMemoryLoad is a measurement: the memory of a process and the hit rate of its page
// caches under a mixed load on 260 MB, by 15 readers and the writer with 64 MiB. It stands
// here because this program has the library in it and little else, as whose memory it counts: that of
// all the library's tests has 4 MiB more of itself in memory.
//
//	go test -run TestMemoryLoad -timeout 15m -v ./internal/maintain/memory -memory.load 10m
//	go test -run TestMemoryLoad -timeout 15m -v ./internal/maintain/memory -memory.load 10m -memory.equal
func TestMemoryLoad(t *testing.T) {
	if *memoryLoad == 0 {
		t.Skip("needs -memory.load")
	}
	const rows, budget = 64_000, 64 << 20
	cfg := holdfast.Config{Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	cfg.Database.Path = filepath.Join(t.TempDir(), "app.db")
	cfg.Database.MemoryBudget, cfg.Database.Synchronous = budget, "NORMAL"
	cfg.ConnectionPool.MaxConnections = 15
	if *memoryEqual {
		cfg.Maintenance.MemoryByNeed = holdfast.Off
	}
	db, err := holdfast.OpenConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	must := func(query string, args ...any) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), query, args...); err != nil {
			t.Fatal(err)
		}
	}
	must("CREATE TABLE t(a INTEGER PRIMARY KEY, g INTEGER, b TEXT)")
	for from := 0; from < rows; from += 4000 {
		must("WITH RECURSIVE n(i) AS (SELECT ?+1 UNION ALL SELECT i+1 FROM n WHERE i<?+4000) INSERT INTO t SELECT i, i%97, hex(randomblob(1900)) FROM n", from, from)
	}
	must("CREATE INDEX tg ON t(g, a)")

	ctx, cancel := context.WithTimeout(t.Context(), *memoryLoad)
	defer cancel()
	var all sync.WaitGroup
	var done atomic.Int64
	for g := range 24 {
		all.Go(func() { memoryWorker(ctx, t, db, g, rows, &done) })
	}
	all.Go(func() { memoryWriter(ctx, t, db, rows) })
	var most, last int64
	start := time.Now()
	for i, tick := 0, time.NewTicker(time.Second); ctx.Err() == nil; i++ {
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
		last = residentBytes(t)
		most = max(most, last)
		s := db.Stats().Memory
		if s.Granted > budget {
			t.Errorf("%d granted", s.Granted)
		}
		if i%30 == 29 {
			hits, misses, cached := hitsAndMisses(s)
			t.Logf("%5.0fs: resident %3d MiB, cached %2d MiB in %2d, hit rate %.4f, %d operations, %d resizes",
				time.Since(start).Seconds(), last>>20, cached>>20, len(s.Connections), float64(hits)/float64(hits+misses), done.Load(), s.Resizes)
		}
	}
	all.Wait()
	hits, misses, _ := hitsAndMisses(db.Stats().Memory)
	t.Logf("most resident %d MiB, hit rate %.4f (%d hits, %d misses), %d operations", most>>20, float64(hits)/float64(hits+misses), hits, misses, done.Load())
	if most > budget+32<<20 {
		t.Errorf("%d bytes resident", most)
	}
	var verdict string
	if err := db.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&verdict); verdict != "ok" {
		t.Errorf("integrity_check: %s, %v", verdict, err)
	}
}

// memoryWorker reads. Three in four come and go, five seconds in twenty; one in eight scans.
// Rows that are read by key are the more likely the lower.
func memoryWorker(ctx context.Context, t *testing.T, db *holdfast.DB, g, rows int, done *atomic.Int64) {
	rnd := rand.New(rand.NewPCG(uint64(g), 42))
	zipf := rand.NewZipf(rnd, 1.05, 200, uint64(rows-1))
	tick := time.NewTicker(4 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if g%4 != 0 && now.Unix()%20/5 != int64(g%4) {
				continue
			}
		}
		var err error
		switch op := rnd.IntN(1000); {
		case g%8 == 7 && op < 100:
			_, err = number64(ctx, db, "SELECT sum(length(b)) FROM t WHERE a BETWEEN ?1 AND ?1 + 4000", rnd.IntN(rows))
		case op < 5:
			_, err = number64(ctx, db, "SELECT max(length(b)) FROM (SELECT b FROM t WHERE g = ? ORDER BY b LIMIT 20)", rnd.IntN(97))
		default:
			for range 4 {
				if _, err = number64(ctx, db, "SELECT length(b) FROM t WHERE a = ?", 1+zipf.Uint64()); err != nil {
					break
				}
			}
		}
		if err != nil && ctx.Err() == nil {
			t.Error(err)
			return
		}
		done.Add(1)
	}
}

// memoryWriter writes for ten seconds in a minute. Each commit empties the caches of all
// readers.
func memoryWriter(ctx context.Context, t *testing.T, db *holdfast.DB, rows int) {
	rnd := rand.New(rand.NewPCG(1, 43))
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if now.Unix()%60 >= 10 {
				continue
			}
		}
		if _, err := db.ExecContext(ctx, "UPDATE t SET g = (g + 1) % 97 WHERE a BETWEEN ?1 AND ?1 + 3", rnd.IntN(rows)); err != nil && ctx.Err() == nil {
			t.Error(err)
			return
		}
	}
}

func number64(ctx context.Context, db *holdfast.DB, query string, args ...any) (n int64, err error) {
	var v *int64
	err = db.QueryRowContext(ctx, query, args...).Scan(&v)
	if v != nil {
		n = *v
	}
	return n, err
}

func hitsAndMisses(s holdfast.MemoryStats) (hits, misses, cached int64) {
	for _, c := range s.Connections {
		hits, misses, cached = hits+c.Hits, misses+c.Misses, cached+c.CacheBytes
	}
	return hits, misses, cached
}

// residentBytes is VmRSS of this process, the pages of the program included.
func residentBytes(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
		if f := strings.Fields(s.Text()); len(f) == 3 && f[0] == "VmRSS:" {
			n, err := strconv.ParseInt(f[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n << 10
		}
	}
	t.Fatal(fmt.Errorf("no VmRSS in %d bytes", len(text)))
	return 0
}
