package torture

import (
	"context"
	"errors"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"sync"
	"time"
)

// Trial is one run of one scenario.
type Trial struct {
	Scenario string
	Tier     Tier
	Seed     uint64
	Rand     *rand.Rand    // all choices come from it; for the goroutine of Run alone
	Dir      string        // scratch, on disk; removed when the trial has passed
	Sabotage string        // the mode, or ""
	Duration time.Duration // what --duration asks for, or 0

	childArgs []string
	progress  func(*Trial)

	mu       sync.Mutex
	figures  map[string]int64
	children map[*Child]struct{}
}

func newTrial(s Scenario, o Options, seed uint64, dir string) *Trial {
	return &Trial{
		Scenario: s.Name, Tier: o.Tier, Seed: seed, Rand: newRand(s.Name, seed), Dir: dir,
		Sabotage: o.Sabotage, Duration: o.Duration, childArgs: o.ChildArgs, progress: o.Progress,
		figures: map[string]int64{}, children: map[*Child]struct{}{},
	}
}

// newRand makes the choices of a scenario depend on its own seed only, so that
// one scenario more or less changes nothing for the others.
func newRand(name string, seed uint64) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name))
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}

// Rounds is how often to do it in the trial's tier.
func (t *Trial) Rounds(quick, ci, soak int) int { return [...]int{quick, ci, soak}[t.Tier] }

// Count adds n to a figure of the report, such as "kills", "acked", "lost". A
// unit ends the name: "slowest_microseconds".
func (t *Trial) Count(name string, n int64) {
	t.mu.Lock()
	t.figures[name] += n
	t.mu.Unlock()
	t.progress(t)
}

// Figure sets a figure of the report.
func (t *Trial) Figure(name string, v int64) {
	t.mu.Lock()
	t.figures[name] = v
	t.mu.Unlock()
	t.progress(t)
}

// Most raises a figure of the report to v if it is lower.
func (t *Trial) Most(name string, v int64) {
	t.mu.Lock()
	t.figures[name] = max(t.figures[name], v)
	t.mu.Unlock()
	t.progress(t)
}

// Figures returns what was counted so far.
func (t *Trial) Figures() map[string]int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.figures)
}

// endChildren kills what is still running, and waits for it.
func (t *Trial) endChildren() error {
	t.mu.Lock()
	left := make([]*Child, 0, len(t.children))
	for c := range t.children {
		left = append(left, c)
	}
	t.mu.Unlock()
	var errs []error
	for _, c := range left {
		errs = append(errs, c.Kill())
	}
	return errors.Join(errs...)
}

// sleep waits for d, or for the end of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
