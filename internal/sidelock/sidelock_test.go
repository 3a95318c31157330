package sidelock

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		os.Exit(child())
	}
	goleak.VerifyTestMain(m)
}

func lockPath(t testing.TB) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "app.db"+Suffix)
}

func open(t testing.TB, path string) *Lock {
	t.Helper()
	if !Supported() {
		t.Skip("no file locks on this platform")
	}
	l, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// twoLocks returns two Locks of one path that exclude each other.
func twoLocks(t testing.TB, path string) (a, b *Lock) {
	t.Helper()
	if runtime.GOOS != "linux" && runtime.GOOS != "windows" {
		t.Skip("two Locks in one process don't exclude each other here")
	}
	return open(t, path), open(t, path)
}

func acquire(t testing.TB, l *Lock) {
	t.Helper()
	if _, err := l.Acquire(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func stateOf(l *Lock) state {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state
}

func awaitState(l *Lock, s state) {
	for stateOf(l) != s {
		runtime.Gosched()
	}
}

func release(t testing.TB, l *Lock) {
	t.Helper()
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
}

func TestFreeLockCostsNoWait(t *testing.T) {
	l := open(t, lockPath(t))
	for range 3 {
		waited, err := l.Acquire(t.Context())
		if err != nil || rangesSplit && waited != 0 {
			t.Fatalf("Acquire = %v, %v; want 0, nil", waited, err)
		}
		release(t, l)
	}
}

func TestMisuseIsRefused(t *testing.T) {
	l := open(t, lockPath(t))
	if err := l.Release(); !errors.Is(err, ErrInUse) {
		t.Errorf("Release before Acquire: %v", err)
	}
	acquire(t, l)
	if _, err := l.Acquire(t.Context()); !errors.Is(err, ErrInUse) {
		t.Errorf("second Acquire: %v", err)
	}
	release(t, l)
	if err := l.Release(); !errors.Is(err, ErrInUse) {
		t.Errorf("second Release: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Acquire(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("Acquire after Close: %v", err)
	}
	if err := l.Release(); !errors.Is(err, ErrClosed) {
		t.Errorf("Release after Close: %v", err)
	}
	if err := l.Close(); !errors.Is(err, ErrClosed) {
		t.Errorf("second Close: %v", err)
	}
	if pid, ok := l.Holder(); ok {
		t.Errorf("Holder after Close: %d", pid)
	}
}

func TestCallsDuringAcquireAreRefused(t *testing.T) {
	a, b := twoLocks(t, lockPath(t))
	acquire(t, a)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := b.Acquire(ctx)
		done <- err
	}()
	awaitState(b, acquiring)
	if _, err := b.Acquire(t.Context()); !errors.Is(err, ErrInUse) {
		t.Errorf("Acquire during Acquire: %v", err)
	}
	if err := b.Release(); !errors.Is(err, ErrInUse) {
		t.Errorf("Release during Acquire: %v", err)
	}
	if err := b.Close(); !errors.Is(err, ErrInUse) {
		t.Errorf("Close during Acquire: %v", err)
	}
	if pid, ok := b.Holder(); !ok || pid != os.Getpid() {
		t.Errorf("Holder during Acquire = %d, %v", pid, ok)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled Acquire: %v", err)
	}
}

func TestEndedContextLeavesOneAttempt(t *testing.T) {
	a, b := twoLocks(t, lockPath(t))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.Acquire(ctx); err != nil {
		t.Fatalf("a free turn: %v", err)
	}
	if _, err := b.Acquire(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("a turn that is taken: %v", err)
	}
	release(t, a)
	acquire(t, b)
}

// A waiter that gives up must leave nothing behind, wherever in the queue it
// stands: the others still get their turn.
func TestCancelAtEveryPlace(t *testing.T) {
	path := lockPath(t)
	for place := int64(0); place < places; place++ {
		blocker, l := twoLocks(t, path)
		if ok, err := blocker.file.tryLock(place, 1); !ok || err != nil {
			t.Fatalf("blocking place %d: %v, %v", place, ok, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		waited, err := l.Acquire(ctx)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || waited == 0 {
			t.Errorf("place %d: Acquire = %v, %v", place, waited, err)
		}
		if err := blocker.file.unlock(place, 1); err != nil {
			t.Fatal(err)
		}
		if _, err := blocker.Acquire(t.Context()); err != nil {
			t.Fatalf("place %d: the cancelled waiter is in the way: %v", place, err)
		}
		release(t, blocker)
		for p := int64(0); p < places; p++ {
			if ok, err := blocker.file.tryLock(p, 1); !ok || err != nil {
				t.Fatalf("the waiter cancelled at place %d holds place %d: %v, %v", place, p, ok, err)
			}
		}
		if err := blocker.Close(); err != nil {
			t.Fatal(err)
		}
		acquire(t, l)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// The bound is far above the two milliseconds that Acquire promises, for the
// sake of overloaded machines; without the context the wait would have no end.
func TestWaitEndsWithContext(t *testing.T) {
	a, b := twoLocks(t, lockPath(t))
	acquire(t, a)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := b.Acquire(ctx)
	deadline, _ := ctx.Deadline()
	if late := time.Since(deadline); !errors.Is(err, context.DeadlineExceeded) || late > time.Second {
		t.Errorf("Acquire = %v, %v after the deadline", err, late)
	}
}

func TestCloseGivesUpTheTurn(t *testing.T) {
	a, b := twoLocks(t, lockPath(t))
	acquire(t, a)
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	acquire(t, b)
}

func TestHolder(t *testing.T) {
	a, b := twoLocks(t, lockPath(t))
	if pid, ok := b.Holder(); ok {
		t.Errorf("nobody holds, yet Holder = %d", pid)
	}
	acquire(t, a)
	for _, l := range []*Lock{a, b} {
		if pid, ok := l.Holder(); !ok || pid != os.Getpid() {
			t.Errorf("Holder = %d, %v; want %d", pid, ok, os.Getpid())
		}
	}
	release(t, a)
	if pid, ok := b.Holder(); ok {
		t.Errorf("after Release Holder = %d", pid)
	}
}

// A claim is one process's at a time, whatever the queue does, and ends with its
// Lock.
func TestClaims(t *testing.T) {
	t.Parallel()
	a, b := twoLocks(t, lockPath(t))
	claim := func(l *Lock, place int, want bool) {
		t.Helper()
		if got, err := l.Claim(place); got != want || err != nil {
			t.Errorf("place %d: %v, %v, want %v", place, got, err, want)
		}
	}
	acquire(t, a)
	for place := range Claims {
		claim(a, place, true)
		claim(b, place, false)
	}
	release(t, a)
	claim(b, 0, false)
	if got, err := b.Claim(Claims); got || err == nil {
		t.Errorf("a place that isn't there: %v, %v", got, err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	claim(b, 0, true)
	if _, err := a.Claim(0); err != ErrClosed {
		t.Errorf("a closed Lock: %v", err)
	}
	acquire(t, b)
	release(t, b)
}

func TestRecord(t *testing.T) {
	for _, pid := range []int{1, 4194304, 1<<31 - 1} {
		if got, ok := parseRecord(newRecord(pid)); !ok || got != pid {
			t.Errorf("pid %d reads as %d, %v", pid, got, ok)
		}
	}
	for _, bad := range []string{"", "pid ", "pid 0", "pid -3", "pid x", "something other"} {
		var record [recordSize]byte
		copy(record[:], bad)
		if got, ok := parseRecord(record); ok {
			t.Errorf("%q reads as %d", bad, got)
		}
	}
}

func TestOpenRefusesOtherNames(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"app.db", "app.db-wal", "app.db-shm", "app.db-holdfast.lock2"} {
		path := filepath.Join(dir, name)
		if l, err := Open(path); err == nil {
			l.Close()
			t.Errorf("%s was opened", name)
		}
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("%s was created", name)
		}
	}
}

func TestFreeAcquireDoesNotAllocate(t *testing.T) {
	l := open(t, lockPath(t))
	ctx := t.Context()
	allocs := testing.AllocsPerRun(100, func() {
		if _, err := l.Acquire(ctx); err != nil {
			t.Fatal(err)
		}
		if err := l.Release(); err != nil {
			t.Fatal(err)
		}
	})
	if allocs != 0 && runtime.GOOS == "linux" {
		t.Errorf("%v allocations a turn", allocs)
	}
}

func BenchmarkFree(b *testing.B) {
	l := open(b, lockPath(b))
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := l.Acquire(ctx); err != nil {
			b.Fatal(err)
		}
		if err := l.Release(); err != nil {
			b.Fatal(err)
		}
	}
}
