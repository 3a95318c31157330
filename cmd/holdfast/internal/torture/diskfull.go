package torture

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"
)

func diskFull() Scenario {
	return Scenario{
		Name: "disk-full",
		About: "a small volume fills up while processes write, checkpoint and recover, and gets space again: what is there is what was acknowledged, " +
			"and everything goes on",
		Tier:     Quick,
		Needs:    []Need{Linux, Root, TmpfsVolumes},
		Sabotage: []string{EarlyAck, LostIdempotency},
		Run:      runDiskFull,
	}
}

func runDiskFull(ctx context.Context, t *Trial) error {
	for n := range t.Rounds(2, 25, 250) {
		f := &filling{accessing: accessing{generation: generation{t: t, seed: t.Rand.Uint64(), synchronous: "FULL"}}, name: fmt.Sprintf("full%d", n)}
		if err := f.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return nil
}

// filling is a database on a volume that is too small.
type filling struct {
	accessing
	name   string
	volume *volume
	size   int64
	full   atomic.Int64 // errors that said so
}

func (f *filling) run(ctx context.Context) (err error) {
	f.size = 1<<20 + f.t.Rand.Int64N(1<<20)
	if f.volume, err = newVolume(ctx, f.t, f.name, f.size, true); err != nil {
		return err
	}
	f.path = filepath.Join(f.volume.path, "app.db")
	for p := range 2 {
		f.slots = append(f.slots, &slot{g: &f.generation, hit: make(chan struct{}, 1), prefix: f.volume.inside(), config: writeConfig{
			Path: f.path, Seed: f.seed, FirstWriter: p * maxGoroutines, Goroutines: 3, Readers: p, Checkpoints: p == 0, Sabotage: f.t.Sabotage,
		}})
	}
	if err := f.begin(ctx, true); err != nil {
		return err
	}
	for range 3 {
		if err := errors.Join(f.fill(ctx), f.recoverFull(ctx), f.free(ctx)); err != nil {
			return err
		}
	}
	if err := errors.Join(f.end(), f.failure()); err != nil {
		return err
	}
	copies := filepath.Join(f.t.Dir, f.name, "copy")
	if err := copyFiles(f.volume.outside(""), copies); err != nil {
		return err
	}
	f.ledger.Said = nil
	return errors.Join(
		f.t.verify(ctx, &f.ledger, f.seed, filepath.Join(copies, "app.db"), f.t.Rand.IntN(2) == 0),
		f.volume.close(ctx))
}

// begin starts the processes; the first time, one of them makes the table first.
func (f *filling) begin(ctx context.Context, create bool) error {
	for i, s := range f.slots {
		c := lifeConfig{writeConfig: s.config, Create: create && i == 0}
		c.Begun, c.Repeat = f.ledger.resume(f.seed, s.config.FirstWriter, s.config.Goroutines)
		opened := make(chan struct{}, 1)
		child, err := f.t.ChildUnder(ctx, s.prefix, "live", c, func(l Line) {
			if l.Text == "open" {
				opened <- struct{}{}
			}
			if strings.Contains(l.Text, "disk full") || strings.Contains(l.Text, "database or disk is full") {
				f.full.Add(1)
			}
			s.line(l)
		})
		if err != nil {
			return err
		}
		s.child = child
		if create {
			select {
			case <-opened:
			case <-s.child.Done():
				return errors.Join(errors.New("a process ended early"), s.child.Kill())
			}
		}
	}
	return nil
}

// fill waits until the volume is full and has been for a while.
func (f *filling) fill(ctx context.Context) error {
	limited, cancel := context.WithTimeoutCause(ctx, 20*time.Second, errors.New("the volume does not fill up"))
	defer cancel()
	for before := f.full.Load(); f.full.Load() < before+20; {
		if err := sleep(limited, time.Millisecond); err != nil {
			return fmt.Errorf("%w; the errors of the writes: %q", err, f.ledger.Said)
		}
	}
	f.t.Count("filled", 1)
	return nil
}

// recoverFull kills the processes on the full volume and starts others, which have
// to recover there. They may fail, with an error.
func (f *filling) recoverFull(ctx context.Context) error {
	if err := errors.Join(f.end(), f.begin(ctx, false)); err != nil {
		return err
	}
	if err := sleep(ctx, time.Duration(f.t.Rand.IntN(100))*time.Millisecond); err != nil {
		return err
	}
	f.t.Count("recovered_full", 1)
	return f.end()
}

// end kills the processes. That one has given up already is no failure if it says
// that the volume is full.
func (f *filling) end() error {
	return f.every(func(s *slot) error {
		f.t.Count("kills", 1)
		if err := s.child.Kill(); err != nil && !strings.Contains(err.Error(), "full") {
			return err
		}
		return nil
	})
}

// free gives the volume more space, and demands that the processes write again. What the
// log had may take all of that when it is copied into the file; then there is more.
func (f *filling) free(ctx context.Context) error {
	for again := 0; ; again++ {
		f.size += 1<<20 + f.t.Rand.Int64N(1<<20)
		if err := f.volume.ask(ctx, fmt.Sprintf("size %d", f.size)); err != nil {
			return err
		}
		full := f.full.Load()
		if err := f.begin(ctx, false); err != nil {
			return err
		}
		err := f.progress(ctx)
		if err == nil {
			return nil
		}
		if err = fmt.Errorf("%w; %d writes found the volume full, and what writes said is %q", err, f.full.Load()-full, f.ledger.Said); again == 4 || f.full.Load() == full {
			return err
		}
		f.t.Count("full_again", 1)
		if err := f.end(); err != nil {
			return err
		}
	}
}
