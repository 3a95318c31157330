package writer

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfastdb/holdfast/internal/stats"
)

// target is what uploads go to: an upload takes in what was committed before it
// began, and has it when it ends well.
type target struct {
	mu        sync.Mutex // guards the rest
	committed int
	safe      int
	calls     int

	trip func(ctx context.Context, call int) error // nil arrives at once
}

func (g *target) commit() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.committed++
	return g.committed
}

func (g *target) await(ctx context.Context) error {
	g.mu.Lock()
	g.calls++
	call, taken := g.calls, g.committed
	g.mu.Unlock()
	if g.trip != nil {
		if err := g.trip(ctx, call); err != nil {
			return err
		}
	}
	g.mu.Lock()
	g.safe = max(g.safe, taken)
	g.mu.Unlock()
	return nil
}

func (g *target) has(n int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.safe >= n
}

func takes(d time.Duration) func(context.Context, int) error {
	return func(ctx context.Context, _ int) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func uploadsTo(g *target, limit time.Duration) *uploads {
	return newUploads(Config{Await: g.await, AwaitLimit: limit, Counters: new(stats.Counters)})
}

// Whoever is told that all is well has it at the target, and a hundred who come
// together share two uploads at most: the one that the first of them found
// nobody waiting for, and the next.
func TestUploadsAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &target{trip: takes(time.Second)}
		u := uploadsTo(g, time.Minute)
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				n := g.commit()
				if err := u.wait(t.Context()); err != nil || !g.has(n) {
					t.Errorf("%d: %v, at the target: %t", n, err, g.has(n))
				}
			})
		}
		all.Wait()
		if g.calls > 2 {
			t.Errorf("%d uploads for 100 who came together", g.calls)
		}
		if n := u.counters.UploadWaits.Load(); n != 100 || u.counters.UploadWaited() < 100*time.Second {
			t.Errorf("%d waits, %v", n, u.counters.UploadWaited())
		}
	})
}

// A context, and the limit, end the wait of those they belong to.
func TestUploadWaitEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &target{}
		g.trip = func(ctx context.Context, call int) error {
			if call > 2 {
				return nil
			}
			return takes(time.Minute)(ctx, call)
		}
		u := uploadsTo(g, 10*time.Second)
		var all sync.WaitGroup
		start := time.Now()
		expect := func(ctx context.Context, want error, after time.Duration) {
			all.Go(func() {
				g.commit()
				err := u.wait(ctx)
				var upload *UploadError
				if !errors.Is(err, want) || !errors.Is(err, ErrOutcomeUnknown) || !errors.As(err, &upload) || time.Since(start) != after {
					t.Errorf("after %v: %v", time.Since(start), err)
				}
			})
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		over, end := context.WithCancel(t.Context())
		end()
		expect(short, context.DeadlineExceeded, time.Second)
		expect(over, context.Canceled, 0)
		synctest.Wait()
		expect(t.Context(), errUploadLate, 10*time.Second) // not of its own upload's limit, which began later
		all.Wait()
		if n := u.counters.UnknownOutcomes.Load(); n != 3 {
			t.Errorf("%d unknown outcomes", n)
		}
		time.Sleep(10 * time.Second) // the upload that the last of them shared has its limit, too
		g.commit()
		if err := u.wait(t.Context()); err != nil || !g.has(4) {
			t.Errorf("the next one: %v", err)
		}
	})
}

// One that fails says so to those who shared it, and the next is a new try.
func TestUploadFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("no route to host")
		g := &target{}
		g.trip = func(_ context.Context, call int) error {
			time.Sleep(time.Second)
			if call == 1 {
				return broken
			}
			return nil
		}
		u := uploadsTo(g, 0)
		var all sync.WaitGroup
		all.Go(func() {
			g.commit()
			if err := u.wait(t.Context()); !errors.Is(err, broken) {
				t.Error(err)
			}
		})
		synctest.Wait()
		all.Go(func() {
			n := g.commit()
			if err := u.wait(t.Context()); err != nil || !g.has(n) {
				t.Error(err)
			}
		})
		all.Wait()
	})
}

// Close waits for who waits, and answers who comes late by what is left; one
// that hears nothing holds nobody.
func TestLastUpload(t *testing.T) {
	for _, c := range []struct {
		name  string
		trip  func(context.Context, int) error
		last  error
		early error // of who waited before
		took  time.Duration
	}{
		{"in time", takes(time.Second), nil, nil, time.Second},
		{"too slow", takes(time.Hour), nil, context.Canceled, 5 * time.Second},
		{"in vain", takes(time.Second), errors.New("nobody there"), nil, time.Second},
		{"deaf", func(context.Context, int) error { time.Sleep(time.Hour); return nil }, nil, nil, 6 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := &target{trip: c.trip}
				u := uploadsTo(g, 0)
				var all sync.WaitGroup
				all.Go(func() {
					g.commit()
					if err := u.wait(t.Context()); !errors.Is(err, c.early) {
						t.Errorf("before: %v", err)
					}
				})
				synctest.Wait()
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				start := time.Now()
				all.Go(func() {
					err := u.close(ctx, func(context.Context) error { return c.last })
					if !errors.Is(err, c.last) || time.Since(start) != c.took {
						t.Errorf("close: %v after %v", err, time.Since(start))
					}
				})
				synctest.Wait()
				g.commit()
				if err := u.wait(t.Context()); !errors.Is(err, c.last) {
					t.Errorf("during: %v", err)
				}
				all.Wait()
				if err := u.wait(t.Context()); !errors.Is(err, c.last) {
					t.Errorf("after: %v", err)
				}
				time.Sleep(time.Hour) // until the deaf one is through, too
			})
		})
	}
}
