package torture

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"time"
)

func killWriters() Scenario {
	return Scenario{
		Name:     "kill-writers",
		About:    "kill -9 of processes that write, read and checkpoint one database, at random moments; then the ledger is compared",
		Tier:     Quick,
		Sabotage: []string{EarlyAck, LostIdempotency},
		Run:      runKillWriters,
	}
}

func runKillWriters(ctx context.Context, t *Trial) error {
	for n := range t.Rounds(4, 100, 1000) {
		g := &generation{t: t, seed: t.Rand.Uint64(), path: filepath.Join(t.Dir, fmt.Sprintf("g%d.db", n))}
		if err := g.run(ctx); err != nil {
			return fmt.Errorf("generation %d: %w", n, err)
		}
	}
	return nil
}

// generation is one database whose processes are killed.
type generation struct {
	t      *Trial
	seed   uint64
	path   string
	ledger Ledger

	mu  sync.Mutex
	err error
}

func (g *generation) line(l Line) {
	if _, err := g.ledger.Line(l.Text); err != nil {
		g.mu.Lock()
		g.err = err
		g.mu.Unlock()
	}
}

func (g *generation) run(ctx context.Context) error {
	if err := create(ctx, g.path); err != nil {
		return err
	}
	const processes, goroutines = 4, 4
	var children []*Child
	for p := range processes {
		c, err := g.t.Child(ctx, "write", writeConfig{
			Path: g.path, Seed: g.seed, FirstWriter: p * goroutines, Goroutines: goroutines, Readers: 1, Checkpoints: p == 0, Sabotage: g.t.Sabotage,
		}, g.line)
		if err != nil {
			return err
		}
		children = append(children, c)
	}
	for _, c := range children {
		if err := sleep(ctx, time.Duration(20+g.t.Rand.IntN(120))*time.Millisecond); err != nil {
			return err
		}
		if err := c.Kill(); err != nil {
			return err
		}
		g.t.Count("kills", 1)
	}
	if g.err != nil {
		return g.err
	}
	rows, err := readEntries(ctx, g.path)
	if err != nil {
		return err
	}
	f := g.ledger.compare(g.seed, rows)
	f.count(g.t)
	g.t.Count("acked", g.ledger.Acked())
	return f.err()
}
