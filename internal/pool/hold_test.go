package pool

import (
	"context"
	"errors"
	"testing"
	"time"
)

// What Hold keeps waiting goes on in its order once it is over, with the readers
// that came back or new ones.
func TestHold(t *testing.T) {
	t.Parallel()
	s := newSource(t, Config{Max: 2, Wait: time.Minute})
	ctx := context.Background()
	out, err := s.Get(ctx)
	if err != nil {
		t.Fatal(err)
	}
	held := make(chan bool)
	var release func()
	go func() {
		var idle bool
		release, idle = s.Hold(ctx, time.Hour)
		held <- idle
	}()
	for !s.holding() {
		<-time.After(time.Millisecond)
	}
	got := make(chan *Reader)
	for range 3 {
		go func() {
			r, err := s.Get(ctx)
			if err != nil {
				t.Error(err)
			}
			got <- r
		}()
	}
	for s.Stats().Waiting < 3 {
		<-time.After(time.Millisecond)
	}
	s.Put(out, true)
	if !<-held {
		t.Error("all readers are back and it does not say so")
	}
	if st := s.Stats(); st.InUse != 0 || st.Waiting != 3 {
		t.Errorf("%+v", st)
	}
	release()
	a, b := <-got, <-got
	s.Put(a, true)
	s.Put(<-got, true)
	s.Put(b, true)
}

func (s *source) holding() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hold.on
}

// A goroutine that keeps a reader gets its second, or it would wait for itself.
func TestHoldLetsPassWhoKeepsAReader(t *testing.T) {
	t.Parallel()
	s := newSource(t, Config{Max: 2, Wait: time.Minute})
	ctx := context.Background()
	s.ExpectHold(true)
	r, err := s.Get(ctx)
	if err != nil {
		t.Fatal(err)
	}
	s.Keep(r)
	release, idle := s.Hold(ctx, time.Millisecond)
	if idle {
		t.Error("a reader is kept")
	}
	second, err := s.Get(ctx)
	if err != nil {
		t.Fatal(err)
	}
	s.Put(second, true)
	other := make(chan error)
	short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	go func() {
		_, err := s.Get(short)
		other <- err
	}()
	if err := <-other; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("another one: %v", err)
	}
	s.Put(r, true)
	release()
	s.ExpectHold(false)
	if release, idle := s.Hold(ctx, time.Hour); !idle {
		t.Error("nobody has a reader")
	} else {
		release()
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	third, err := s.Get(ctx)
	if err != nil {
		t.Fatal(err)
	}
	release, idle = s.Hold(ended, time.Hour)
	if idle {
		t.Error("a reader is out")
	}
	release()
	s.Put(third, true)
}

// Close ends the waits that a hold has caused.
func TestCloseDuringHold(t *testing.T) {
	t.Parallel()
	s := newSource(t, Config{Max: 1, Wait: time.Minute})
	release, _ := s.Hold(context.Background(), time.Hour)
	got := make(chan error)
	go func() {
		_, err := s.Get(context.Background())
		got <- err
	}()
	for s.Stats().Waiting < 1 {
		<-time.After(time.Millisecond)
	}
	if err := s.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if err := <-got; !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	release()
}
