package torture

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

func slowSync() Scenario {
	return Scenario{
		Name: "slow-sync",
		About: "the disk takes up to 100 ms for each sync while 8 goroutines of 3 processes write, and processes are killed: " +
			"nobody gets an error, and nothing is lost",
		Tier:     Quick,
		Sabotage: []string{EarlyAck}, // a dozen kills repeat too few writes to tell a lost key every time
		Run:      runSlowSync,
	}
}

func runSlowSync(ctx context.Context, t *Trial) error {
	for n := range t.Rounds(2, 20, 200) {
		g := &generation{t: t, path: filepath.Join(t.Dir, fmt.Sprintf("%d.db", n)), seed: t.Rand.Uint64(), synchronous: "FULL"}
		if err := g.slowly(ctx); err != nil {
			return fmt.Errorf("%s: %w", g.path, err)
		}
	}
	return nil
}

func (g *generation) slowly(ctx context.Context) error {
	if err := create(ctx, g.path); err != nil {
		return err
	}
	r := g.t.Rand
	for p := range 3 {
		s := &slot{g: g, hit: make(chan struct{}, 1), config: writeConfig{
			Path: g.path, Seed: g.seed, FirstWriter: p * maxGoroutines, Goroutines: maxGoroutines, Readers: 1, Checkpoints: p == 0,
			SyncDelay: time.Duration(5+r.IntN(96)) * time.Millisecond, Sabotage: g.t.Sabotage,
		}}
		g.slots = append(g.slots, s)
		if err := s.start(ctx); err != nil {
			return err
		}
	}
	for range 3 {
		if err := sleep(ctx, time.Duration(100+r.IntN(500))*time.Millisecond); err != nil {
			return err
		}
		s := g.slots[r.IntN(len(g.slots))]
		if err := errors.Join(s.kill(), s.start(ctx), g.failure()); err != nil {
			return err
		}
	}
	if err := errors.Join(g.every((*slot).kill), g.failure()); err != nil {
		return err
	}
	return g.t.verify(ctx, &g.ledger, g.seed, g.path, r.IntN(2) == 0)
}
