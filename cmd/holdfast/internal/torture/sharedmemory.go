package torture

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

func scribbleOnTheShm() Scenario {
	return Scenario{
		Name: "scribble-on-the-shm",
		About: "bits of the header of the shared memory flip under processes that write, and then it is cut to nothing: they get errors or go on, " +
			"and nothing acknowledged is lost",
		Tier:  Quick,
		Needs: []Need{Signals},
		Run:   runScribbleOnTheShm,
	}
}

func runScribbleOnTheShm(ctx context.Context, t *Trial) error {
	for n := range t.Rounds(3, 30, 300) {
		s := &scribbling{accessing{generation: generation{
			t: t, path: filepath.Join(t.Dir, fmt.Sprintf("%d.db", n)), seed: t.Rand.Uint64(), synchronous: "FULL",
		}}}
		if err := s.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", s.path, err)
		}
	}
	return nil
}

// scribbling is a database whose shared memory is damaged.
type scribbling struct{ accessing }

func (c *scribbling) run(ctx context.Context) error {
	if err := create(ctx, c.path); err != nil {
		return err
	}
	for p := range 2 {
		s := &slot{g: &c.generation, hit: make(chan struct{}, 1), config: writeConfig{
			Path: c.path, Seed: c.seed, FirstWriter: p * maxGoroutines, Goroutines: 4, Readers: 1, Sabotage: c.t.Sabotage,
		}}
		c.slots = append(c.slots, s)
		if err := s.start(ctx); err != nil {
			return err
		}
	}
	if err := c.progress(ctx); err != nil {
		return err
	}
	for range 20 {
		if err := errors.Join(c.flip(), c.progress(ctx)); err != nil {
			return err
		}
	}
	return errors.Join(c.cut(ctx), c.failure())
}

// The header of the shared memory stands there twice, each time with a checksum.
// Whoever finds them different or wrong makes the shared memory anew from the log.
// What follows, the marks of the readers and the index, has none.
const shmHeaders = 96

// flip changes one bit of one of the two headers.
func (c *scribbling) flip() (err error) {
	f, err := os.OpenFile(c.path+"-shm", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	at := int64(c.t.Rand.IntN(shmHeaders))
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		return err
	}
	b[0] ^= 1 << c.t.Rand.IntN(8)
	_, err = f.WriteAt(b[:], at)
	c.t.Count("bits_flipped", 1)
	return err
}

// cut takes the memory away from under the processes. SQLite answers who touches
// it with an I/O error, or the system with SIGBUS; the next one makes it anew, and
// the log is whole.
func (c *scribbling) cut(ctx context.Context) error {
	if err := os.Truncate(c.path+"-shm", 0); err != nil {
		return err
	}
	err := c.every(func(s *slot) error {
		goesOn := time.NewTimer(200 * time.Millisecond)
		defer goesOn.Stop()
		select {
		case <-s.child.Done():
			c.t.Count("ended_by_the_cut", 1)
		case <-goesOn.C:
			c.t.Count("went_on_after_the_cut", 1)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		err := s.kill()
		if err != nil && (strings.Contains(err.Error(), "disk I/O error") || strings.Contains(err.Error(), "SIGBUS")) {
			return nil
		}
		return err
	})
	c.ledger.Said = nil
	return errors.Join(err, c.t.verify(ctx, &c.ledger, c.seed, c.path, c.t.Rand.IntN(2) == 0))
}
