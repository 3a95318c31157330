package sidelock

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestNoDescriptorLeaks(t *testing.T) {
	path := lockPath(t)
	before := openFiles(t)
	for range 20 {
		a, b := open(t, path), open(t, path)
		acquire(t, a)
		if got := openFiles(t); got != before+2 {
			t.Fatalf("%d descriptors for two Locks", got-before)
		}
		// A wait makes a timer descriptor.
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		if _, err := b.Acquire(ctx); err == nil {
			t.Fatal("the turn was had twice")
		}
		cancel()
		if err := errors.Join(a.Close(), b.Close()); err != nil {
			t.Fatal(err)
		}
		if _, err := Open("/nowhere/app.db" + Suffix); err == nil {
			t.Fatal("opened in a directory that doesn't exist")
		}
	}
	if after := openFiles(t); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

// A lone process writes its note once, not with every transaction.
func TestLoneHolderLeavesTheFileClean(t *testing.T) {
	path := lockPath(t)
	l := open(t, path)
	acquire(t, l)
	release(t, l)
	long := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, long, long); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		acquire(t, l)
		release(t, l)
	}
	st, err := os.Stat(path)
	if err != nil || !st.ModTime().Equal(long) {
		t.Errorf("the file was written at %v, %v", st.ModTime(), err)
	}
}

// Out of descriptors, a pause is coarser but still one.
func TestPauseWithoutTimerDescriptor(t *testing.T) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none := unix.Rlimit{Cur: 0, Max: limit.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
	var p pauser
	start := time.Now()
	p.pause(time.Millisecond)
	if p.timer != nil || time.Since(start) < time.Millisecond {
		t.Errorf("paused for %v", time.Since(start))
	}
	if err := p.close(); err != nil {
		t.Error(err)
	}
}

// A wait costs little CPU, however long it is.
func TestWaitIsNoBusyLoop(t *testing.T) {
	a, b := twoLocks(t, lockPath(t))
	acquire(t, a)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	before := cpuTime(t)
	waited, err := b.Acquire(ctx)
	if err == nil {
		t.Fatal("the turn was had twice")
	}
	used := cpuTime(t) - before
	t.Logf("waited %v with %v of CPU", waited, used)
	if used > waited/5 {
		t.Errorf("a wait of %v used %v of CPU", waited, used)
	}
}

func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var use unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &use); err != nil {
		t.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}
