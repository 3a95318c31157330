package sidelock

import (
	"errors"
	"testing"
	"time"
)

// eager makes a Lock believe that this process comes back for the turn at once.
func eager(l *Lock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gap = 0
}

func TestTurnIsKeptForWhoComesBack(t *testing.T) {
	l := open(t, lockPath(t))
	acquire(t, l)
	release(t, l)
	if s := stateOf(l); s != idle {
		t.Fatalf("state %d after the first Release: nobody knows yet whether this process comes back", s)
	}
	for range 100 { // each soon after the other, so that the usual gap shrinks
		acquire(t, l)
		release(t, l)
		if stateOf(l) == kept {
			return
		}
	}
	t.Error("the turn was never kept")
}

// Whoever keeps the turn without using it loses it, although nothing is called.
func TestUnusedTurnIsGivenBack(t *testing.T) {
	a, b := twoLocks(t, lockPath(t))
	for range 20 {
		acquire(t, a)
		eager(a) // after Acquire, which has noted how long this round took
		release(t, a)
		acquire(t, b)
		if s := stateOf(a); s != idle {
			t.Fatalf("state %d, while another has the turn", s)
		}
		release(t, b)
		awaitState(b, idle)
	}
	if a.gap != graceAlone {
		t.Errorf("a usual gap of %v after a turn was kept in vain", a.gap)
	}
}

// However busy its holder is, the turn goes on if somebody waits.
func TestBusyHolderLetsOthersIn(t *testing.T) {
	a, b := twoLocks(t, lockPath(t))
	acquire(t, a)
	done := make(chan error)
	go func() {
		for range 20 {
			if _, err := b.Acquire(t.Context()); err != nil {
				done <- err
				return
			}
			if err := b.Release(); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	kepts := 0
	for {
		eager(a)
		release(t, a)
		if stateOf(a) == kept {
			kepts++
		}
		acquire(t, a)
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
			if kepts == 0 {
				t.Error("the turn was never kept")
			}
			return
		default:
		}
	}
}

// A quantum that is over is the end only if somebody waits.
func TestQuantumEndsForOthersOnly(t *testing.T) {
	a, b := twoLocks(t, lockPath(t))
	turnEnds := func(waiting bool) bool {
		eager(a)
		acquire(t, a)
		a.mu.Lock()
		a.began = time.Now().Add(-quantum)
		a.mu.Unlock()
		if waiting {
			if ok, err := b.file.tryLock(next, 1); !ok || err != nil {
				t.Fatal(ok, err)
			}
		}
		release(t, a)
		return stateOf(a) == idle
	}
	if turnEnds(false) {
		t.Error("the turn was given back, and nobody waited")
	}
	if !turnEnds(true) {
		t.Error("the turn was kept although somebody waited")
	}
}

func TestCloseGivesUpAKeptTurn(t *testing.T) {
	a, b := twoLocks(t, lockPath(t))
	eager(a)
	acquire(t, a)
	release(t, a)
	if s := stateOf(a); s != kept {
		t.Fatalf("state %d", s)
	}
	if pid, ok := a.Holder(); !ok {
		t.Errorf("Holder = %d, %v while the turn is kept", pid, ok)
	}
	if err := a.Release(); !errors.Is(err, ErrInUse) {
		t.Errorf("second Release: %v", err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if ok, err := b.file.tryLock(turn, places); !ok || err != nil {
		t.Errorf("after Close: %v, %v", ok, err)
	}
}
