package lease

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/replicate/objects"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var errAway = errors.New("the store is away")

// store is an object in memory, with the failures of one that is far away.
type store struct {
	mu      sync.Mutex // guards the rest
	text    []byte
	version int
	away    bool
	loses   int // answers to writes
	writes  int
}

func (s *store) set(f func(*store)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}

func (s *store) Read(context.Context) ([]byte, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.away:
		return nil, "", errAway
	case s.version == 0:
		return nil, "", fs.ErrNotExist
	}
	return s.text, strconv.Itoa(s.version), nil
}

func (s *store) Write(_ context.Context, text []byte, version string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return "", errAway
	}
	if s.version == 0 && version != "" || s.version != 0 && version != strconv.Itoa(s.version) {
		return "", objects.ErrChanged
	}
	s.version++
	s.writes++
	s.text = append([]byte(nil), text...)
	if s.loses > 0 {
		s.loses--
		return "", errAway
	}
	return strconv.Itoa(s.version), nil
}

func (s *store) Others(context.Context, string) (bool, error) { return false, nil }
func (s *store) Prove(context.Context) error                  { return nil }
func (s *store) Path() string                                 { return "memory" }
func (s *store) Close() error                                 { return nil }

// machineAt is a machine whose clock runs at a speed of its own, in hundredths.
func machineAt(s *store, name string, speed int64, shows time.Duration) *Place {
	begun := time.Now()
	return at(s, Options{TTL: 3 * time.Second, Node: name, Clock: func() time.Duration {
		return shows + time.Since(begun)*time.Duration(speed)/100
	}})
}

func take(t *testing.T, p *Place) *Lease {
	t.Helper()
	s, err := p.Free(t.Context())
	must(t, err)
	l, err := p.Take(t.Context(), s, NewSession())
	must(t, err)
	t.Cleanup(l.Abandon)
	return l
}

// expired waits until a watcher may take over.
func expired(t *testing.T, p *Place) State {
	t.Helper()
	for w := p.Watch(); ; {
		s, free, left, err := w.Look(t.Context())
		must(t, err)
		if free {
			return s
		}
		must(t, Rest(t.Context(), min(left, 250*time.Millisecond)))
	}
}

// An owner that renews keeps its lease. One that can't has stopped by itself before another takes over, with
// clocks that run a tenth apart and show anything; when it is back, it is told at once.
func TestOwnerStopsBeforeTheNext(t *testing.T) {
	for _, speed := range []int64{91, 100, 110} {
		for _, shows := range []time.Duration{-time.Hour, 0, time.Hour} {
			synctest.Test(t, func(t *testing.T) {
				s := &store{}
				a, b := machineAt(s, "a", speed, shows), machineAt(s, "b", 100, 0)
				l := take(t, a)
				w := b.Watch()
				for range 100 {
					if _, free, _, err := w.Look(t.Context()); err != nil || free {
						t.Fatalf("free %t, %v", free, err)
					}
					must(t, Rest(t.Context(), time.Second/5))
				}
				must(t, l.Confirm(t.Context()))
				var held *HeldError
				if _, err := b.Free(t.Context()); !errors.Is(err, holdfast.ErrFenced) || !errors.As(err, &held) || held.State.Node != "a" {
					t.Error(err)
				}
				s.set(func(s *store) { s.away = true })
				begun := time.Now()
				<-l.Done()
				if took := time.Since(begun); took > 3*time.Second*100/time.Duration(speed) || !errors.Is(l.Err(), holdfast.ErrFenced) {
					t.Errorf("after %s: %v", took, l.Err())
				}
				s.set(func(s *store) { s.away = false })
				if err := l.Confirm(t.Context()); !errors.Is(err, holdfast.ErrFenced) {
					t.Errorf("one that stopped by itself: %v", err)
				}
				if next := take(t, b); next.Epoch() != 2 {
					t.Errorf("epoch %d", next.Epoch())
				}
			})
		}
	}
}

// At the moment that somebody else takes over, the owner by its own clock is none any more, whenever it
// was cut off.
func TestNoMomentHasTwoOwners(t *testing.T) {
	for _, speed := range []int64{91, 100, 110} {
		for cut := range 20 {
			synctest.Test(t, func(t *testing.T) {
				s := &store{}
				a, b := machineAt(s, "a", speed, 0), machineAt(s, "b", 100, 0)
				l := take(t, a)
				next := make(chan error)
				go func() {
					state := expired(t, b)
					if l.Err() == nil {
						t.Errorf("speed %d, cut %d: free while the owner trusts its lease", speed, cut)
					}
					n, err := b.Take(t.Context(), state, NewSession())
					if err == nil {
						n.Abandon()
					}
					next <- err
				}()
				must(t, Rest(t.Context(), time.Duration(cut)*237*time.Millisecond))
				l.stop() // no renewal any more: it is stopped
				must(t, <-next)
				if err := l.Confirm(t.Context()); !errors.Is(err, holdfast.ErrFenced) {
					t.Error(err)
				}
			})
		}
	}
}

// Answers that get lost, of renewals and of the first write, cost nobody the lease.
func TestLostAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{loses: 1}
		l := take(t, machineAt(s, "a", 100, 0))
		for range 30 {
			s.set(func(s *store) { s.loses = 1 })
			must(t, Rest(t.Context(), time.Second))
			must(t, l.Err())
			must(t, l.Confirm(t.Context()))
		}
		s.set(func(s *store) {
			if s.writes < 30 {
				t.Errorf("%d renewals", s.writes)
			}
		})
	})
}

// Of those who take what they have all read, one gets it.
func TestContenders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{}
		for epoch := range int64(20) {
			var all sync.WaitGroup
			got := make(chan *Lease, 8)
			from, err := machineAt(s, "reader", 100, 0).Free(t.Context())
			must(t, err)
			for i := range 8 {
				p := machineAt(s, fmt.Sprint(i), 100, 0)
				all.Go(func() {
					if l, err := p.Take(t.Context(), from, NewSession()); err == nil {
						got <- l
					} else if !errors.Is(err, objects.ErrChanged) {
						t.Error(err)
					}
				})
			}
			all.Wait()
			if len(got) != 1 {
				t.Fatalf("%d have the lease", len(got))
			}
			l := <-got
			if l.Epoch() != epoch+1 {
				t.Errorf("epoch %d, want %d", l.Epoch(), epoch+1)
			}
			must(t, l.Release(t.Context()))
			if err := l.Confirm(t.Context()); !errors.Is(err, holdfast.ErrFenced) {
				t.Error(err)
			}
		}
	})
}

// Who is asked to leave hears of it, keeps the lease until it is released, and then nobody waits. Who is
// deposed is not asked.
func TestLeaving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{}
		a, b := machineAt(s, "a", 100, 0), machineAt(s, "b", 100, 0)
		if _, err := b.Ask(t.Context()); !errors.Is(err, holdfast.ErrRefused) {
			t.Errorf("nobody to ask: %v", err)
		}
		l := take(t, a)
		_, err := b.Ask(t.Context())
		must(t, err)
		<-l.Asked()
		must(t, Rest(t.Context(), 10*time.Second))
		must(t, l.Err())
		must(t, l.Confirm(t.Context()))
		must(t, l.Release(t.Context()))
		_, free, _, err := b.Watch().Look(t.Context())
		if must(t, err); !free {
			t.Error("it was released")
		}
		l = take(t, a)
		state, err := b.Depose(t.Context())
		must(t, err)
		if err := l.Confirm(t.Context()); !errors.Is(err, holdfast.ErrFenced) || state.Epoch != 3 {
			t.Errorf("epoch %d, %v", state.Epoch, err)
		}
		if next := take(t, b); next.Epoch() != 4 {
			t.Errorf("epoch %d", next.Epoch())
		}
	})
}

// A file that is no manifest is left alone.
func TestNoManifest(t *testing.T) {
	s := &store{version: 1, text: []byte(`{"schema":"holdfast.lease/v9","epoch":7}`)}
	if _, err := machineAt(s, "a", 100, 0).Free(t.Context()); !errors.Is(err, holdfast.ErrRefused) {
		t.Error(err)
	}
}

// The clock of a machine goes on, and nobody sets it.
func TestRunning(t *testing.T) {
	before := running()
	if after := running(); after < before || before <= 0 {
		t.Error(before, after)
	}
}
