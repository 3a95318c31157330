package holdfast_test

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	waiterVariable    = "HOLDFAST_TEST_WAITER"
	waitersPerProcess = 4
)

// now is the same in all processes, and in ns.
func now() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(err)
	}
	return ts.Nano()
}

// TestWaiters is what a process of waiters runs; by itself it does nothing. For
// each line of standard input it begins four writes, says so when they wait for
// another process, and then when each was answered.
func TestWaiters(t *testing.T) {
	path := os.Getenv(waiterVariable)
	if path == "" {
		t.Skip("run by TestKilledHolder only")
	}
	db := openAt(t, path)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		answered := make([]int64, waitersPerProcess)
		var all sync.WaitGroup
		for i := range answered {
			all.Go(func() {
				must(t, db, "INSERT INTO t VALUES ('waiter')")
				answered[i] = now()
			})
		}
		until(t, "the others' lock", func() bool {
			r := locksOf(t, db)
			return r.Queued == waitersPerProcess-1 && len(r.Holders) > 0 && r.Holders[0].Kind == "another process"
		})
		fmt.Println("\nwaiting")
		all.Wait()
		for _, at := range answered {
			fmt.Println("answered", at)
		}
	}
}

// A holder that is killed frees the database at once for those who wait in two
// other processes, whether they still wait for its turn or have lost patience
// with it. What it had not committed is gone.
func TestKilledHolder(t *testing.T) {
	t.Parallel()
	const processes = 2
	kills, slow := 56, 4
	if testing.Short() {
		kills, slow = 6, 1
	}
	path := filepath.Join(t.TempDir(), "app.db")
	db := openAt(t, path)
	must(t, db, "CREATE TABLE t(who)")
	var waiters []*child
	for range processes {
		waiters = append(waiters, startChild(t, "TestWaiters", waiterVariable, path))
	}
	var waits []time.Duration
	for n := range kills {
		holder := startChild(t, "TestLockHolder", lockHolderVariable, path)
		holder.line("held")
		for _, w := range waiters {
			w.say("write")
		}
		for _, w := range waiters {
			w.line("waiting")
		}
		if n < slow {
			<-time.After(2500 * time.Millisecond) // more than writer.turnPatience: they go on without a turn
		}
		killed := now()
		if err := holder.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for _, w := range waiters {
			for range waitersPerProcess {
				var at int64
				if _, err := fmt.Sscan(w.line("answered"), &at); err != nil {
					t.Fatal(err)
				}
				waits = append(waits, time.Duration(at-killed))
			}
		}
		_ = holder.cmd.Wait()
	}
	for _, w := range waiters {
		w.end()
	}
	slices.Sort(waits)
	at := func(part float64) time.Duration {
		return waits[int(part*float64(len(waits)-1))].Round(10 * time.Microsecond)
	}
	t.Logf("%d waiters after %d kills: median %v, p90 %v, p99 %v, longest %v", len(waits), kills, at(.5), at(.9), at(.99), at(1))
	if n := number(t, db, "SELECT count(*) FROM t WHERE who = 'waiter'"); n != int64(len(waits)) || n != number(t, db, "SELECT count(*) FROM t") {
		t.Errorf("%d rows, but %d writes were acknowledged", n, len(waits))
	}
}
