package checkpoint

import (
	"context"
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/internal/busy"
)

// The readers of others can't be held back. Those that begin when all is copied are in
// nobody's way, so it is enough to wait for the ones before them, for twice as long
// as a wait may take.
func TestForeignReadersAreWaitedFor(t *testing.T) {
	t.Parallel()
	for _, last := range []time.Duration{foreignWait / 4, foreignWait * 5 / 4} {
		foreignReader(t, last)
	}
}

// foreignReader reads until the writer has been held for so long.
func foreignReader(t *testing.T, last time.Duration) {
	b := newBench(t, nil)
	c, err := b.open()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	begin := func() {
		if err := c.Exec("BEGIN; SELECT count(*) FROM t"); err != nil {
			t.Fatal(err)
		}
	}
	begin()
	b.fill(int(2 * b.cfg.Limit / 4096))
	for tries := 1; ; tries++ {
		b.settle()
		holds := b.Stats().ReaderHolds
		b.now = b.now.Add(2 * longPause)
		b.Round(b.now)
		for b.Stats().ReaderHolds == holds && b.underWay() {
			<-time.After(100 * time.Microsecond)
		}
		<-time.After(last) // in which nothing else can end the reader
		if err := c.Exec("COMMIT"); err != nil {
			t.Fatal(err)
		}
		b.settle()
		if b.Stats().Truncations > 0 {
			return
		}
		if tries == 10 { // one may be late on a busy machine
			t.Fatalf("%+v", b.Stats())
		}
		begin()
		b.fill(1)
	}
}

// TestForeignReadersThatOverlap is a measurement: how long a log becomes whose limit
// is 16 MiB while three readers of other processes, of 30 ms each, overlap.
//
//	HOLDFAST_OVERLAP=8s go test -count=1 -run TestForeignReadersThatOverlap -v ./internal/maintain/checkpoint
func TestForeignReadersThatOverlap(t *testing.T) {
	long, err := time.ParseDuration(os.Getenv("HOLDFAST_OVERLAP"))
	if err != nil {
		t.Skip("needs HOLDFAST_OVERLAP")
	}
	for _, synchronous := range []string{"FULL", "NORMAL"} {
		b := newBench(t, func(c *Config) { c.Limit = 16 << 20 })
		b.write("PRAGMA synchronous=" + synchronous)
		ctx, cancel := context.WithTimeout(t.Context(), long)
		var all sync.WaitGroup
		for range 3 {
			c, err := b.open()
			if err != nil {
				t.Fatal(err)
			}
			all.Go(func() {
				for ctx.Err() == nil {
					err := errors.Join(c.Exec("BEGIN; SELECT count(*) FROM t"), busy.Sleep(context.Background(), 30*time.Millisecond), c.Exec("COMMIT"))
					if err != nil {
						t.Error(err)
						break
					}
				}
				c.Close()
			})
		}
		writes, peak, longest := 0, int64(0), time.Duration(0)
		for round := time.Now(); ctx.Err() == nil; writes++ {
			start := time.Now()
			b.fill(1)
			longest, peak = max(longest, time.Since(start)), max(peak, b.size())
			if time.Since(round) > time.Second { // as the watch does
				round = time.Now()
				b.Round(round)
			}
		}
		cancel()
		all.Wait()
		b.settle()
		t.Logf("%s: %d writes, the longest of %s, log of up to %d MiB, %+v", synchronous, writes, longest, peak>>20, b.Stats())
	}
}
