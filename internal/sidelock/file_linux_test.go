package sidelock

import (
	"context"
	"errors"
	"os"
	"runtime"
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
	var first timer // makes the runtime open its poller
	first.sleep(time.Microsecond)
	if err := first.close(); err != nil {
		t.Fatal(err)
	}
	before := openFiles(t)
	for range 20 {
		a, b := open(t, path), open(t, path)
		acquire(t, a)
		if got := openFiles(t); got != before+2 {
			t.Fatalf("%d descriptors for two Locks", got-before)
		}
		// Keeping makes a timer, and a wait one for hints.
		eager(a)
		release(t, a)
		acquire(t, a)
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
	var p timer
	start := time.Now()
	p.sleep(time.Millisecond)
	if p.file != nil || time.Since(start) < time.Millisecond {
		t.Errorf("paused for %v", time.Since(start))
	}
	if err := p.close(); err != nil {
		t.Error(err)
	}
}

// A waiter finds out by itself what nobody tells it: a process that was killed
// gives no hint, nor does an older Holdfast.
func TestTurnIsFoundWithoutHint(t *testing.T) {
	for _, unavailable := range []bool{false, true} { // true: nor can the waiter have any
		for range 10 {
			a, b := twoLocks(t, lockPath(t))
			b.queue.hints.unavailable = unavailable
			before := openFiles(t)
			if ok, err := a.file.tryLock(turn, 1); !ok || err != nil {
				t.Fatal(ok, err)
			}
			done := make(chan error)
			go func() {
				_, err := b.Acquire(t.Context())
				done <- err
			}()
			for openFiles(t) == before { // the descriptor by which it waits
				runtime.Gosched()
			}
			if err := a.file.unlock(turn, 1); err != nil {
				t.Fatal(err)
			}
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			if hinted := b.queue.hints.file != nil; hinted == unavailable {
				t.Errorf("a descriptor for hints: %v", hinted)
			}
			if err := errors.Join(a.Close(), b.Close()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// The hints come from the calls that a change of turn consists of.
func TestHints(t *testing.T) {
	a, b := twoLocks(t, lockPath(t))
	for name, c := range map[string]struct {
		event uint32
		call  func()
	}{
		"given back": {givenBack, func() { acquire(t, a); release(t, a) }},
		"passed on": {passedOn, func() {
			a.file.record = newRecord(1)
			acquire(t, a)
			a.file.record = newRecord(2)
			release(t, a)
			acquire(t, a)
			release(t, a)
		}},
	} {
		if !b.queue.hints.expect(b.file, c.event) {
			t.Skip("no inotify here")
		}
		c.call()
		n, err := b.queue.hints.file.Read(b.queue.hints.found[:])
		if err != nil || n == 0 {
			t.Errorf("%s: %d bytes, %v", name, n, err)
		}
		b.queue.hints.rest(b.file)
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
