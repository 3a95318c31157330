package schedule

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A task that is added later gets its delay, keeps to no window and waits for no
// quiet if it says so, and asks its own notes.
func TestAdd(t *testing.T) {
	inBubble(t, func(t *testing.T, start func(Config) *Scheduler) {
		busy := func() Load { return Load{Queued: 1} }
		s := start(Config{Delay: time.Minute, Load: busy, Windows: mustParse(t, "02:00-03:00", "UTC")}) // bubbles begin at midnight
		pass(time.Hour)
		var runs atomic.Int64
		added := counting("t", time.Hour, &runs)
		added.AnyTime = true
		var last atomic.Int64 // seconds
		added.Last = func() time.Time { return time.Unix(last.Load(), 0) }
		remove, err := s.Add(added)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Add(added); !errors.Is(err, ErrTaken) {
			t.Errorf("a second one of the name: %v", err)
		}
		pass(50 * time.Second)
		if runs.Load() != 0 {
			t.Error("it had no delay")
		}
		pass(11 * time.Second)
		if runs.Load() != 1 {
			t.Errorf("%d runs after its delay", runs.Load())
		}
		pass(time.Hour)
		if runs.Load() != 2 {
			t.Errorf("%d runs after an hour", runs.Load())
		}
		last.Store(time.Now().Add(30 * time.Minute).Unix()) // by another process
		pass(time.Hour)
		if runs.Load() != 2 {
			t.Errorf("%d runs, one more than is due", runs.Load())
		}
		if err := remove(t.Context()); err != nil {
			t.Error(err)
		}
		pass(24 * time.Hour)
		if runs.Load() != 2 || len(s.Next()) != 0 {
			t.Errorf("%d runs, %v after it was removed", runs.Load(), s.Next())
		}
		if _, err := s.Add(added); err != nil {
			t.Errorf("its name is not free again: %v", err)
		}
	})
}

func TestRemoveEndsARun(t *testing.T) {
	inBubble(t, func(t *testing.T, start func(Config) *Scheduler) {
		s := start(Config{})
		began, ended := make(chan struct{}), false
		remove, err := s.Add(Task{Name: "t", Every: time.Hour, Run: func(ctx context.Context) (string, error) {
			close(began)
			<-ctx.Done()
			time.Sleep(time.Second)
			ended = true
			return "", ctx.Err()
		}})
		if err != nil {
			t.Fatal(err)
		}
		<-began
		if err := remove(t.Context()); err != nil || !ended {
			t.Errorf("%v, ended %v", err, ended)
		}
		if n := s.Totals(); n.Interrupted != 1 || n.Done+n.Failed > 0 {
			t.Errorf("%+v", n)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{})
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := s.Add(Task{Name: "t"}); !errors.Is(err, ErrClosed) {
			t.Errorf("Add after Close: %v", err)
		}
	})
}
