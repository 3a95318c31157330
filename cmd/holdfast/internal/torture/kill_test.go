package torture

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
)

// A process that can't be started, because the run was interrupted, ends the
// scenario by an error and not the harness by a panic.
func TestInterruptedBetweenTwoLives(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	if err := create(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	g := &generation{t: newTrial(killWriters(), *options(t), 1, t.TempDir()), path: path}
	for range 2 {
		g.slots = append(g.slots, &slot{g: g, hit: make(chan struct{}, 1), config: writeConfig{Path: path, Goroutines: 1}})
	}
	ctx, interrupt := context.WithCancel(t.Context())
	lived := g.slots[0]
	if err := errors.Join(lived.start(ctx), lived.kill()); err != nil {
		t.Fatal(err)
	}
	interrupt()
	if err := g.every(func(s *slot) error { return s.start(ctx) }); !errors.Is(err, context.Canceled) {
		t.Errorf("started after the interrupt: %v", err)
	}
	if err := g.every((*slot).kill); err != nil {
		t.Error(err)
	}
}
