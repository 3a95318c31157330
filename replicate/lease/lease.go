package lease

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/replicate/objects"
)

// Lease is the right to acknowledge writes in one epoch. It is renewed until Release, or
// until it is lost, which is for good. Its methods may be called by several goroutines at
// once.
type Lease struct {
	place   *Place
	epoch   int64
	session string
	ttl     time.Duration
	done    chan struct{} // closed when err is set
	asked   chan struct{} // closed when the owner is asked to leave
	stop    context.CancelFunc
	renews  sync.WaitGroup

	mu       sync.Mutex // guards the rest
	manifest Manifest
	version  string
	renewed  time.Duration // when the last renewal that succeeded was sent
	err      error
	leaving  bool
}

func newLease(p *Place, m Manifest, version string, sent time.Duration) *Lease {
	ctx, stop := context.WithCancel(context.Background())
	l := &Lease{
		place: p, epoch: m.Epoch, session: m.Session, ttl: p.o.TTL, done: make(chan struct{}), asked: make(chan struct{}), stop: stop,
		manifest: m, version: version, renewed: sent,
	}
	l.renews.Go(func() { l.renew(ctx) })
	return l
}

// Epoch is the one that is owned, from 1.
func (l *Lease) Epoch() int64 { return l.epoch }

// Session is the name of this ownership.
func (l *Lease) Session() string { return l.session }

// Done is closed when the lease is lost; Err says why.
func (l *Lease) Done() <-chan struct{} { return l.done }

// Asked is closed when the owner is asked to leave: to stop, to ship what is left, and to Release.
func (l *Lease) Asked() <-chan struct{} { return l.asked }

// lasts is how long an owner trusts its lease after the last renewal. The rest of the
// TTL is for clocks that run a tenth apart.
func (l *Lease) lasts() time.Duration { return l.ttl * 9 / 10 }

// Err is nil as long as nobody else can have the lease, by this machine's clock. Else it
// is a holdfast.ErrFenced, for good. It asks nobody.
func (l *Lease) Err() error {
	now := l.place.o.Clock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil && now-l.renewed >= l.lasts() {
		l.fence(fmt.Sprintf("the lease at %s could not be renewed for %s", l.place.Path(), (now - l.renewed).Round(time.Millisecond)))
	}
	return l.err
}

// fence ends it. Called with mu held.
func (l *Lease) fence(why string) {
	if l.err != nil {
		return
	}
	l.err = fmt.Errorf("%w: %s: another machine may have taken over; close this database, and begin again as a standby", holdfast.ErrFenced, why)
	close(l.done)
	l.place.o.Logger.Error("holdfast: the lease is lost", "manifest", l.place.Path(), "epoch", l.epoch, "reason", why)
}

// Confirm reads the manifest: nil says that when it was read this session owned it.
// Whatever was uploaded before is found by whoever takes over. It is
// holdfast.ErrFenced when the lease is lost; any other error says nothing, and may be tried again.
func (l *Lease) Confirm(ctx context.Context) error {
	if err := l.Err(); err != nil {
		return err
	}
	s, err := l.place.Read(ctx)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.judge(s)
	return l.err
}

// judge looks whether a manifest is still this session's. Called with mu held.
func (l *Lease) judge(s State) {
	switch {
	case s.Session != l.session || s.Epoch != l.epoch:
		l.fence(fmt.Sprintf("%s has epoch %d now", s.Node, s.Epoch))
	case s.Leave && !l.leaving:
		l.leaving = true
		close(l.asked)
	}
}

// renew renews every third of the TTL, and more often after a failure.
func (l *Lease) renew(ctx context.Context) {
	for pause := l.ttl / 3; ; {
		if Rest(ctx, pause) != nil || l.Err() != nil {
			return
		}
		pause = l.ttl / 3
		limited, cancel := context.WithTimeout(ctx, l.ttl/3)
		err := l.renewOnce(limited)
		cancel()
		if err != nil && ctx.Err() == nil {
			l.place.o.Logger.Warn("holdfast: the lease can't be renewed", "manifest", l.place.Path(), "error", err)
			pause = l.ttl / 12
		}
		if l.Err() != nil {
			return
		}
	}
}

func (l *Lease) renewOnce(ctx context.Context) error {
	l.mu.Lock()
	l.manifest.Renewals++
	l.manifest.Renewed = time.Now().UTC()
	m, from := l.manifest, l.version
	l.mu.Unlock()
	sent := l.place.o.Clock()
	version, err := l.place.write(ctx, m, from)
	if err != nil {
		// It may have arrived all the same, or an earlier one has, or somebody asks to leave.
		s, e := l.place.Read(ctx)
		if e != nil {
			return errors.Join(err, e)
		}
		return l.after(s, m, sent, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.version, l.renewed = version, sent
	return nil
}

// after takes what was read when a renewal has failed.
func (l *Lease) after(s State, m Manifest, sent time.Duration, err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.judge(s)
	if s.Session != l.session || s.Epoch != l.epoch {
		return nil // fence has told it
	}
	l.version, l.manifest.Leave = s.version, s.Leave
	if s.Renewals >= m.Renewals {
		l.renewed = sent
		return nil
	}
	return err // the next one follows what is there
}

// Release ends the lease so that nobody has to wait for the TTL. Everything that was
// acknowledged must be at the target. An error says that they will.
func (l *Lease) Release(ctx context.Context) error {
	l.Abandon()
	l.mu.Lock()
	m, version := l.manifest, l.version
	l.mu.Unlock()
	m.Renewals++
	m.Renewed, m.Released = time.Now().UTC(), true
	for {
		_, err := l.place.write(ctx, m, version)
		if !errors.Is(err, objects.ErrChanged) {
			return err
		}
		s, e := l.place.Read(ctx)
		if e != nil || s.Session != l.session || s.Epoch != l.epoch {
			return errors.Join(err, e)
		}
		version = s.version
	}
}

// Abandon ends the lease without a word: the TTL has to pass. Nothing is acknowledged any
// more, and no goroutine is left.
func (l *Lease) Abandon() {
	l.stop()
	l.renews.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = fmt.Errorf("%w: this machine has given the lease up", holdfast.ErrFenced)
		close(l.done)
	}
}
