// Package standby lets another machine take over a database that is replicated with a
// lease: it follows, waits until the owner is silent or has ended, takes the next
// epoch, and brings the database here. See package lease for the protocol.
package standby

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/backup"
	"github.com/holdfastdb/holdfast/replicate"
	"github.com/holdfastdb/holdfast/replicate/lease"
	"github.com/holdfastdb/holdfast/replicate/objects"
)

// Config says what is waited for. Target and Path are needed.
type Config struct {
	Target  string        // of the replication, without an epoch
	Path    string        // where the database is to be; what is there is replaced, and kept beside
	TTL     time.Duration // of the lease while the database is brought here; 0: lease.DefaultTTL
	Node    string        // "": the host's name
	Address string        // where clients reach this machine

	// Cold follows nothing: everything is fetched when it is needed.
	Cold bool
	// Begin ends at once if nobody has ever owned the database.
	Begin  bool
	Logger *slog.Logger // nil: none
	// Looked is told of each look at the manifest, and how far the copy is. May be nil;
	// must return soon.
	Looked func(lease.State, replicate.Point)
}

// Promotion is what has happened.
type Promotion struct {
	Schema      string         `json:"schema"` // "holdfast.standby/v1"
	Database    string         `json:"database"`
	Epoch       int64          `json:"epoch"`       // that was taken; the next start begins the one after it
	From        int64          `json:"from_epoch"`  // whose state it is; 0: of the file that was here
	Transaction string         `json:"transaction"` // "" if the file that was here has it all
	Before      lease.Manifest `json:"before"`      // as its last owner has left it
	Own         bool           `json:"own_file"`    // the file that was here was the owner's, and has it all
	Took        float64        `json:"took_seconds"`
}

// Run returns when the database at Path has everything that was acknowledged, no other machine may
// acknowledge any more, and the lease is free: open it with replication.lease now, which begins the next
// epoch. Another standby may be faster at that; then Open fails with lease.ErrHeld, and Run is
// called again. It waits until ctx ends.
func Run(ctx context.Context, c Config) (Promotion, error) {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	path, err := filepath.Abs(c.Path)
	if err != nil {
		return Promotion{}, err
	}
	c.Path = path
	p, err := lease.Open(ctx, c.Target, lease.Options{TTL: c.TTL, Node: c.Node, Address: c.Address, Logger: c.Logger})
	if errors.Is(err, objects.ErrURL) {
		err = fmt.Errorf("%w: %w", holdfast.ErrRefused, err)
	}
	if err != nil {
		return Promotion{}, err
	}
	s := &standby{c: c, place: p, follower: newFollowing(c)}
	out, err := s.run(ctx)
	return out, errors.Join(err, s.follower.close(), p.Close())
}

type standby struct {
	c        Config
	place    *lease.Place
	follower *following
	warned   time.Time
}

func (s *standby) run(ctx context.Context) (Promotion, error) {
	for w := s.place.Watch(); ; {
		pause := 500 * time.Millisecond
		state, free, left, err := s.look(ctx, w)
		switch {
		case ctx.Err() != nil:
			return Promotion{}, context.Cause(ctx)
		case errors.Is(err, holdfast.ErrRefused):
			return Promotion{}, err
		case err != nil:
			s.warn("the manifest can't be read", err)
		case state.Epoch == 0 && s.c.Begin:
			return Promotion{Schema: schema, Database: s.c.Path}, nil
		case free && state.Epoch > 0:
			out, err := s.promote(ctx, state)
			if errors.Is(err, errNothing) {
				s.warn("it can't be taken over", err)
				pause = time.Second
				break
			}
			if !errors.Is(err, objects.ErrChanged) && !errors.Is(err, holdfast.ErrFenced) {
				return out, err
			}
			s.c.Logger.Info("holdfast: another machine was faster, or the owner is back", "manifest", s.place.Path())
			continue
		default:
			s.follower.see(state.Manifest)
			pause = max(min(left, time.Duration(state.TTL*float64(time.Second))/6), 10*time.Millisecond)
			if state.Epoch == 0 {
				pause = time.Second
			}
		}
		if err := lease.Rest(ctx, pause); err != nil {
			return Promotion{}, err
		}
	}
}

const (
	schema    = "holdfast.standby/v1"
	callLimit = 10 * time.Second
)

// look waits for half a lease: a connection that has gone silent must not hold up a takeover.
func (s *standby) look(ctx context.Context, w *lease.Watch) (lease.State, bool, time.Duration, error) {
	limit := s.c.TTL / 2
	if s.c.TTL <= 0 {
		limit = lease.DefaultTTL / 2
	}
	limited, cancel := context.WithTimeout(ctx, max(limit, time.Second))
	defer cancel()
	state, free, left, err := w.Look(limited)
	if err == nil && s.c.Looked != nil {
		s.c.Looked(state, s.follower.position())
	}
	return state, free, left, err
}

func (s *standby) warn(what string, err error) {
	if time.Since(s.warned) > time.Minute {
		s.warned = time.Now()
		s.c.Logger.Warn("holdfast: standby: "+what, "manifest", s.place.Path(), "error", err)
	}
}

// errNothing: an owner that has never shipped anything has all there is.
var errNothing = errors.New("no epoch has anything, so there is nothing to take over: start the last owner again, or begin elsewhere with take_over")

// promote takes the next epoch, and looks only then at what the old one has.
func (s *standby) promote(ctx context.Context, from lease.State) (Promotion, error) {
	begun := time.Now()
	out := Promotion{Schema: schema, Database: s.c.Path, Before: from.Manifest}
	limited, cancel := context.WithTimeout(ctx, callLimit)
	err := s.place.Prove(limited)
	out.Own = replicate.Has(s.c.Path, from.Manifest)
	if err == nil && !out.Own { // there is never less than that later
		if _, out.From, err = replicate.Newest(limited, s.c.Target, from.Epoch); err == nil && out.From == 0 {
			err = errNothing
		}
	}
	cancel()
	if err != nil {
		return out, err
	}
	l, err := s.place.Take(ctx, from, lease.NewSession())
	if err != nil {
		return out, err
	}
	out.Epoch = l.Epoch()
	s.c.Logger.Info("holdfast: this machine takes over", "manifest", s.place.Path(), "epoch", out.Epoch, "from", from.Node)
	// Nobody may have it for good whose lease is lost meanwhile.
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	watching := make(chan struct{})
	defer func() { l.Abandon(); <-watching }()
	go func() {
		defer close(watching)
		<-l.Done()
		stop(l.Err())
	}()
	if !out.Own {
		if err := s.bring(ctx, from, &out); err != nil {
			if lost := l.Err(); lost != nil { // what it has failed by may be the end of ctx alone
				return out, errors.Join(lost, err)
			}
			return out, errors.Join(err, s.release(ctx, l)) // the next one tries
		}
	}
	if err := l.Err(); err != nil {
		return out, err
	}
	if err := replicate.Owns(s.c.Path, l.Epoch(), l.Session()); err != nil {
		return out, err
	}
	out.Took = time.Since(begun).Seconds()
	return out, s.release(ctx, l)
}

func (s *standby) release(ctx context.Context, l *lease.Lease) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callLimit)
	defer cancel()
	return l.Release(ctx)
}

// bring restores the newest epoch that has anything: from the copy that was followed, or from the
// target.
func (s *standby) bring(ctx context.Context, from lease.State, out *Promotion) error {
	target, epoch, err := replicate.Newest(ctx, s.c.Target, from.Epoch)
	if err == nil && epoch == 0 {
		err = errNothing
	}
	if err != nil {
		return err
	}
	out.From = epoch
	if f := s.follower.end(epoch); f != nil {
		at, err := f.Complete(ctx)
		if err == nil {
			_, err = backup.Restore(ctx, f, s.c.Path, backup.RestoreOptions{})
		}
		if err == nil || ctx.Err() != nil || errors.Is(err, holdfast.ErrBusy) {
			out.Transaction = at.Transaction
			return err
		}
		s.c.Logger.Warn("holdfast: the copy that was followed can't be used, so all of it is fetched", "epoch", epoch, "error", err)
	}
	src := replicate.Source(target, replicate.At{})
	_, err = backup.Restore(ctx, src, s.c.Path, backup.RestoreOptions{})
	out.Transaction = src.Found().Transaction
	return err
}

// following keeps a copy of what the owner ships, in a goroutine of its own.
type following struct {
	c    Config
	stop context.CancelFunc
	loop sync.WaitGroup
	kick chan struct{}

	mu    sync.Mutex // guards the rest
	epoch int64      // of the owner
	has   int64      // that is followed
	at    replicate.Point
	f     *replicate.Follower // of the goroutine, while it runs
}

const followEvery = time.Second

func newFollowing(c Config) *following {
	ctx, stop := context.WithCancel(context.Background())
	w := &following{c: c, stop: stop, kick: make(chan struct{}, 1)}
	if !c.Cold {
		w.loop.Go(func() { w.run(ctx) })
	}
	return w
}

// see tells it what the manifest says.
func (w *following) see(m lease.Manifest) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.epoch != m.Epoch {
		w.epoch = m.Epoch
		select {
		case w.kick <- struct{}{}:
		default:
		}
	}
}

func (w *following) position() replicate.Point {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at
}

func (w *following) run(ctx context.Context) {
	var warned time.Time
	ticker := time.NewTicker(followEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-w.kick:
		}
		if err := w.follow(ctx); err != nil && ctx.Err() == nil && time.Since(warned) > time.Minute {
			warned = time.Now()
			w.c.Logger.Warn("holdfast: the replica can't be followed; what is missing is fetched later", "error", err)
		}
	}
}

func (w *following) follow(ctx context.Context) error {
	w.mu.Lock()
	epoch, has, f := w.epoch, w.has, w.f
	w.mu.Unlock()
	if epoch == 0 {
		return nil
	}
	if f == nil || has != epoch {
		target, newest, err := replicate.Newest(ctx, w.c.Target, epoch)
		if err != nil || newest == 0 {
			return err
		}
		if newest != has || f == nil {
			if f != nil {
				if err := f.Close(); err != nil && !errors.Is(err, fs.ErrNotExist) {
					return err
				}
			}
			if err := os.MkdirAll(filepath.Dir(w.c.Path), 0o700); err != nil {
				return err
			}
			f = replicate.Follow(target, w.c.Path+"-holdfast.standby")
			w.mu.Lock()
			w.f, w.has, w.at = f, newest, replicate.Point{}
			w.mu.Unlock()
		}
	}
	at, err := f.Update(ctx)
	w.mu.Lock()
	w.at = at
	w.mu.Unlock()
	return err
}

// end stops it, and returns the copy if it is of that epoch.
func (w *following) end(epoch int64) *replicate.Follower {
	w.stop()
	w.loop.Wait()
	if w.has != epoch {
		return nil
	}
	return w.f
}

func (w *following) close() error {
	w.stop()
	w.loop.Wait()
	if w.f == nil {
		return nil
	}
	return w.f.Close()
}
