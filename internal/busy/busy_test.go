package busy

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfastdb/holdfast/internal/sqlite"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestClassify(t *testing.T) {
	t.Parallel()
	for code, want := range map[sqlite.ResultCode]Action{
		sqlite.ResultBusy: Wait, sqlite.ResultBusyRecovery: Wait, sqlite.ResultBusyTimeout: Wait,
		sqlite.ResultBusySnapshot: Redo,
		sqlite.ResultLocked:       Blocked, sqlite.ResultLockedSharedCache: Blocked,
		sqlite.ResultReadOnly:  Resend,
		sqlite.ResultInterrupt: Cancelled,
		sqlite.ResultIOErr:     Broken, sqlite.ResultIOErrFsync: Broken, sqlite.ResultCorrupt: Broken,
		sqlite.ResultFull: Broken, sqlite.ResultCantOpen: Broken, sqlite.ResultNotADB: Broken, sqlite.ResultNoMem: Broken,
		sqlite.ResultConstraint: Report, sqlite.ResultConstraintUnique: Report, sqlite.ResultError: Report,
		sqlite.ResultReadOnlyDBMoved: Report, sqlite.ResultOK: Report, sqlite.ResultMisuse: Report,
	} {
		if got := Classify(code); got != want {
			t.Errorf("%v (%d): %d, want %d", code, code, got, want)
		}
	}
}

func TestCommitOutcomeUnknown(t *testing.T) {
	t.Parallel()
	c, err := sqlite.Open(filepath.Join(t.TempDir(), "app.db"), sqlite.OpenReadWrite|sqlite.OpenCreate)
	if err == nil {
		err = c.Exec("PRAGMA journal_mode=WAL; CREATE TABLE t(a)")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}()
	want := func(code sqlite.ResultCode, want bool) {
		t.Helper()
		if got := CommitOutcomeUnknown(c, fmt.Errorf("commit: %w", &sqlite.Error{Code: code})); got != want {
			t.Errorf("%v (%d): %v", code, code, got)
		}
	}
	for code, unknown := range map[sqlite.ResultCode]bool{
		sqlite.ResultIOErr: true, sqlite.ResultIOErrFsync: true, sqlite.ResultIOErrWrite: true, sqlite.ResultNoMem: true,
		sqlite.ResultBusy: false, sqlite.ResultConstraint: false, sqlite.ResultInterrupt: false,
	} {
		want(code, unknown)
	}
	want(sqlite.ResultFull, false) // the log ends where it did
	if err := c.Exec("BEGIN; INSERT INTO t VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	want(sqlite.ResultFull, true) // nobody knows what becomes of it
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	for _, c := range []struct {
		b    Backoff
		n    int
		want time.Duration
	}{
		{Backoff{Base: ms(10), Max: ms(100)}, 5, ms(10)},
		{Backoff{Base: ms(10), Max: ms(100), Exponential: true}, 0, ms(10)},
		{Backoff{Base: ms(10), Max: ms(100), Exponential: true}, 2, ms(40)},
		{Backoff{Base: ms(10), Max: ms(100), Exponential: true}, 4, ms(100)},
		{Backoff{Base: ms(10), Max: ms(100), Exponential: true}, 1 << 40, ms(100)},
		{Backoff{Base: ms(200), Max: ms(100)}, 0, ms(100)},
		{Backoff{}, 3, 0},
	} {
		if got := c.b.Delay(c.n); got != c.want {
			t.Errorf("%+v after %d: %v, want %v", c.b, c.n, got, c.want)
		}
		c.b.Jitter = true
		for range 100 {
			if got := c.b.Delay(c.n); got > c.want || got < c.want/2 {
				t.Fatalf("%+v after %d: %v, want within [%v, %v]", c.b, c.n, got, c.want/2, c.want)
			}
		}
	}
}

func TestHandlerEndsWithItsBudgetItsContextOrItsStop(t *testing.T) {
	t.Parallel()
	wait := func(h *Handler) time.Duration {
		start := time.Now()
		for n := 0; h.Busy(n); n++ {
		}
		return time.Since(start)
	}
	synctest.Test(t, func(t *testing.T) {
		var h Handler
		if took := wait(&h); took != 0 || h.Interrupted() {
			t.Errorf("the zero value waited %v", took)
		}
		h.Arm(t.Context(), 200*time.Millisecond, nil)
		if took := wait(&h); took != 200*time.Millisecond {
			t.Errorf("a budget of 200 ms took %v", took)
		}
		if waited, n := h.Waited(); waited != 200*time.Millisecond || n < 40 {
			t.Errorf("waited %v in %d calls", waited, n)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		h.Arm(ctx, time.Hour, nil)
		if took := wait(&h); took != 50*time.Millisecond || !h.Interrupted() {
			t.Errorf("a context of 50 ms took %v", took)
		}
		var stop atomic.Bool
		time.AfterFunc(30*time.Millisecond, func() { stop.Store(true) })
		h.Arm(t.Context(), time.Hour, &stop)
		if took := wait(&h); took < 30*time.Millisecond || took > 30*time.Millisecond+pollMax || !h.Interrupted() {
			t.Errorf("a stop after 30 ms took %v", took)
		}
		h.Disarm()
		if took := wait(&h); took != 0 || h.Interrupted() {
			t.Errorf("disarmed it waited %v", took)
		}
	})
}

func TestPoll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		never := func() bool { return false }
		start := time.Now()
		n, expired, err := Poll(t.Context(), 100*time.Millisecond, never)
		if took := time.Since(start); n < 20 || !expired || err != nil || took != 100*time.Millisecond {
			t.Errorf("%d attempts, %v, %v after %v", n, expired, err, took)
		}
		if n, expired, err := Poll(t.Context(), -time.Second, never); n != 1 || !expired || err != nil {
			t.Errorf("without a budget: %d attempts, %v, %v", n, expired, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		start = time.Now()
		if _, expired, err := Poll(ctx, time.Hour, never); expired || !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 10*time.Millisecond {
			t.Errorf("%v, %v after %v", expired, err, time.Since(start))
		}
		if n, expired, err := Poll(ctx, 0, func() bool { return true }); n != 1 || expired || err != nil {
			t.Errorf("an ended context prevents nothing that needs no wait: %d, %v, %v", n, expired, err)
		}
	})
}
