package torture

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

func crowd() Scenario {
	return Scenario{
		Name:     "crowd",
		About:    "8 processes of 8 goroutines write one database at once, others read it: nobody gets an error, everybody gets through",
		Tier:     Quick,
		Sabotage: []string{LostIdempotency, NoLocks},
		Run:      runCrowd,
	}
}

// runCrowd lets everybody make the same number of writes and ends when the last
// has.
func runCrowd(ctx context.Context, t *Trial) error {
	const processes = 8
	for n := range t.Rounds(1, 10, 50) {
		g := &generation{t: t, path: filepath.Join(t.Dir, fmt.Sprintf("%d.db", n)), seed: t.Rand.Uint64(), synchronous: "FULL"}
		if err := create(ctx, g.path); err != nil {
			return err
		}
		limit := t.Rounds(50, 100, 400)
		for p := range processes {
			g.slots = append(g.slots, &slot{g: g, config: writeConfig{
				Path: g.path, Seed: g.seed, FirstWriter: p * maxGoroutines, Goroutines: maxGoroutines, Readers: 1,
				Limit: uint64(limit), Checkpoints: p == 0, Sabotage: t.Sabotage,
			}})
		}
		start := time.Now()
		err := g.every(func(s *slot) error {
			if err := s.start(ctx); err != nil {
				return err
			}
			return s.ended(ctx)
		})
		t.Most("longest_run_microseconds", time.Since(start).Microseconds())
		if err := errors.Join(err, g.failure()); err != nil {
			return err
		}
		if want := int64(limit) * processes * maxGoroutines; g.ledger.Acked() != want {
			return fmt.Errorf("%d writes were acknowledged instead of %d; the first errors: %q", g.ledger.Acked(), want, g.ledger.Said)
		}
		if err := t.verify(ctx, &g.ledger, g.seed, g.path, t.Rand.IntN(2) == 0); err != nil {
			return err
		}
	}
	return nil
}

// ended waits until the process has ended by itself.
func (s *slot) ended(ctx context.Context) error {
	select {
	case <-s.child.Done():
		return s.child.Kill() // it is dead: Kill tells how it ended
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
