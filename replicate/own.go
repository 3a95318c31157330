package replicate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/replicate/lease"
	"github.com/holdfastdb/holdfast/replicate/objects"
)

const epochs = "epoch-"

// Epoch is the target of one epoch of a database that is replicated with a lease.
func Epoch(target string, epoch int64) string {
	name := fmt.Sprintf("%s%08d", epochs, epoch)
	if base, query, has := strings.Cut(target, "?"); strings.Contains(target, "://") {
		base = strings.TrimSuffix(base, "/") + "/" + name
		if has {
			base += "?" + query
		}
		return base
	}
	return filepath.Join(target, name)
}

// Newest is the target of the newest epoch, up to this one, that has anything, and which
// it is; 0 if none has. An owner that ended before its first upload has left none.
func Newest(ctx context.Context, target string, epoch int64) (string, int64, error) {
	for ; epoch > 0; epoch-- {
		_, err := openTimeline(ctx, Epoch(target, epoch))
		switch {
		case err == nil:
			return Epoch(target, epoch), epoch, nil
		case errors.Is(err, ErrNoSuchTime) && errors.Is(err, fs.ErrNotExist): // and not one that lacks its beginning
		default:
			return "", 0, err
		}
	}
	return "", 0, nil
}

// ownership is written beside the database: which epochs it has all of.
type ownership struct {
	Schema string  `json:"schema"`
	File   string  `json:"file"` // which one it is
	Epochs []owned `json:"epochs"`
}

type owned struct {
	Epoch   int64  `json:"epoch"`
	Session string `json:"session"`
}

const (
	ownershipSchema = "holdfast.replicate.epoch/v1"
	ownershipName   = "holdfast-epoch.json"
)

func stateDir(path string) string {
	dir, base := filepath.Split(path)
	return filepath.Join(dir, "."+base+"-litestream")
}

// Owns writes down that the database at path has all that was acknowledged in an
// epoch, so that it may begin the next. It is for who has just restored it.
func Owns(path string, epoch int64, session string) error {
	if err := os.MkdirAll(stateDir(path), 0o700); err != nil {
		return err
	}
	return writeOwnership(path, []owned{{epoch, session}})
}

func writeOwnership(path string, epochs []owned) error {
	text, err := json.Marshal(ownership{ownershipSchema, identity(path), epochs})
	if err != nil {
		return err
	}
	return replaceFile(filepath.Join(stateDir(path), ownershipName), func(f *os.File) error { _, err := f.Write(text); return err })
}

// Has tells whether the database has all of the epoch that a manifest names.
func Has(path string, m lease.Manifest) bool {
	var o ownership
	text, err := os.ReadFile(filepath.Join(stateDir(path), ownershipName))
	if err != nil || json.Unmarshal(text, &o) != nil || o.Schema != ownershipSchema {
		return false
	}
	return o.File == identity(path) && slices.Contains(o.Epochs, owned{m.Epoch, m.Session})
}

// own takes the next epoch, if this file has all of the one before, and returns its target.
func (r *Replication) own(ctx context.Context) (target, error) {
	p, err := lease.Open(ctx, r.config.Target, lease.Options{TTL: r.config.Lease, Address: r.config.Address, Logger: r.log})
	if errors.Is(err, objects.ErrURL) {
		err = fmt.Errorf("%w: replication.lease: %w", holdfast.ErrRefused, err)
	}
	if err != nil {
		return target{}, err
	}
	t, err := r.take(ctx, p)
	if err != nil {
		return t, errors.Join(err, p.Close())
	}
	r.place = p
	return t, nil
}

func (r *Replication) take(ctx context.Context, p *lease.Place) (target, error) {
	reach, cancel := context.WithTimeout(ctx, reachIn)
	defer cancel()
	if err := p.Prove(reach); err != nil {
		return target{}, err
	}
	last, err := p.Read(reach)
	if err == nil && last.Epoch == 0 {
		err = r.nothingThere(reach, p)
	}
	if err != nil {
		return target{}, err
	}
	// The owner before may have had a longer lease, which is waited for.
	limited, cancel := context.WithTimeout(ctx, reachIn+time.Duration(last.TTL*float64(time.Second)))
	defer cancel()
	from, err := p.Free(limited)
	if err != nil {
		return target{}, err
	}
	// Written down before: a process that is killed between the two must find its epoch to be its own.
	session := lease.NewSession()
	has := []owned{{from.Epoch + 1, session}}
	switch {
	case from.Epoch == 0 || r.config.TakeOver.Enabled():
	case Has(r.path, from.Manifest):
		has = append(has, owned{from.Epoch, from.Session})
	default:
		return target{}, fmt.Errorf("%w: epoch %d at %s was %s's, and nothing shows that this file has all of it: bring it here with holdfast standby; "+
			"or, if what that epoch has is to be dropped, go on with take_over", holdfast.ErrRefused, from.Epoch, r.target.name, from.Node)
	}
	t, err := parseTarget(Epoch(r.config.Target, from.Epoch+1))
	if err == nil {
		err = writeOwnership(r.path, has)
	}
	if err != nil {
		return target{}, err
	}
	if r.lease, err = p.Take(limited, from, session); errors.Is(err, objects.ErrChanged) {
		if now, e := p.Read(limited); e == nil {
			err = &lease.HeldError{State: now}
		}
	}
	return t, err
}

// nothingThere refuses to begin with epoch 1 where there are others: with each start the epoch would come closer
// to an old one, and that would be found for the newest.
func (r *Replication) nothingThere(ctx context.Context, p *lease.Place) error {
	there, err := p.Others(ctx, epochs)
	if err == nil && there {
		err = fmt.Errorf("%w: %s has epochs, and the manifest that says which is the newest is gone: put it back, or name a new target; "+
			"holdfast restore brings back what an epoch has", holdfast.ErrRefused, r.target.name)
	}
	return err
}

// Fenced is nil while writes may be acknowledged, and without a lease. Else it is a
// holdfast.ErrFenced.
func (r *Replication) Fenced() error {
	switch {
	case r.lease == nil:
		return nil
	case r.leaving.Load():
		return errLeft
	}
	return r.lease.Err()
}

var errLeft = fmt.Errorf("%w: this machine was asked to hand the database over (holdfast failover demote)", holdfast.ErrFenced)

// Lease is the epoch that this replication owns; 0 without a lease.
func (r *Replication) Epoch() int64 {
	if r.lease == nil {
		return 0
	}
	return r.lease.Epoch()
}

// lost and asked are the lease's, and nil without one.
func (r *Replication) lost() <-chan struct{} {
	if r.lease == nil {
		return nil
	}
	return r.lease.Done()
}

func (r *Replication) asked() <-chan struct{} {
	if r.lease == nil {
		return nil
	}
	return r.lease.Asked()
}

// guard ends everything when the lease is lost, also an upload that stands still.
func (r *Replication) guard() {
	select {
	case <-r.lost():
		r.end(r.lease.Err())
		r.engine.client.end(r.lease.Err()) // Litestream holds a lock while it asks, so stop alone would wait
		r.stop()
	case <-r.ended:
	case <-r.close:
	}
}

// leave hands the database over: no write is acknowledged from here on, what was is
// shipped, and then nobody has to wait for the lease.
func (r *Replication) leave(ctx context.Context) {
	r.leaving.Store(true)
	for failures := 1; ; failures++ {
		err := r.ship(ctx)
		if err == nil {
			break
		}
		if permanent(err) || !r.rest(pause(failures, shortPause)) {
			return
		}
	}
	r.end(errLeft)
	r.release(ctx)
}

// release lets others take over at once.
func (r *Replication) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, max(r.config.Lease, time.Second))
	defer cancel()
	if err := r.lease.Release(ctx); err != nil {
		r.log.Warn("holdfast: the lease could not be given back; others wait until it has expired", "target", r.target.name, "error", err)
	}
}

// disown ends the lease after the last upload, which has succeeded or not.
func (r *Replication) disown(ctx context.Context, shipped bool) error {
	if r.place == nil {
		return nil
	}
	if shipped && r.lease.Err() == nil {
		r.release(ctx)
	}
	r.lease.Abandon()
	return r.place.Close()
}
