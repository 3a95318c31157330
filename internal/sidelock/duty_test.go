package sidelock

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"testing"
)

func take(t testing.TB, l *Lock, d Duty, want bool) {
	t.Helper()
	if got, err := l.TryTake(d); got != want || err != nil {
		t.Errorf("duty %d: %t, %v; want %t", d, got, err, want)
	}
}

func TestDuties(t *testing.T) {
	t.Parallel()
	a, b := twoLocks(t, lockPath(t))
	if _, ok := b.TakenBy(Migration); ok {
		t.Error("somebody has a duty that was never taken")
	}
	take(t, a, Migration, true)
	take(t, a, Migration, false) // another goroutine of the same process
	take(t, b, Migration, false)
	take(t, b, Maintenance, true) // it has nothing to do with the other
	if pid, ok := b.TakenBy(Migration); pid != os.Getpid() || !ok {
		t.Errorf("taken by %d, %t", pid, ok)
	}
	// Neither the queue nor the claims are in its way.
	acquire(t, b)
	if ok, err := a.TryAcquire(); ok || err != nil {
		t.Errorf("the turn: %t, %v", ok, err)
	}
	for place := range Claims {
		if ok, err := a.Claim(place); !ok || err != nil {
			t.Errorf("place %d: %t, %v", place, ok, err)
		}
	}
	if err := a.Return(Migration); err != nil {
		t.Error(err)
	}
	if err := a.Return(Migration); !errors.Is(err, ErrInUse) {
		t.Errorf("returned twice: %v", err)
	}
	take(t, b, Migration, true)
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	take(t, a, Migration, true)
	take(t, a, Maintenance, true)
	if _, err := b.TryTake(Migration); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if _, err := a.TryTake(duties); err == nil {
		t.Error("there is no such duty, and it was taken")
	}
}

func TestDutyIsWaitedFor(t *testing.T) {
	t.Parallel()
	a, b := twoLocks(t, lockPath(t))
	take(t, a, Migration, true)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Take(ctx, Migration); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}
	taken := make(chan error, 1)
	go func() {
		_, err := b.Take(t.Context(), Migration)
		taken <- err
	}()
	if err := a.Return(Migration); err != nil {
		t.Error(err)
	}
	if err := <-taken; err != nil {
		t.Error(err)
	}
	take(t, a, Migration, false)
}

// The kernel ends the duty of a process that is killed.
func TestDutyEndsWithItsProcess(t *testing.T) {
	t.Parallel()
	path := lockPath(t)
	l := open(t, path)
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"=duty", childLock+"="+path)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	take(t, l, Migration, false)
	if pid, ok := l.TakenBy(Migration); pid != cmd.Process.Pid || !ok {
		t.Errorf("taken by %d, %t; the child is %d and said %q", pid, ok, cmd.Process.Pid, said)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	take(t, l, Migration, true)
}
