package torture

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

func stopHolders() Scenario {
	return Scenario{
		Name: "stop-holders",
		About: "SIGSTOP of a process in its write transaction: writers elsewhere get an error that names it, within their budget; " +
			"after SIGCONT all goes on",
		Tier:  Quick,
		Needs: []Need{Signals},
		Run:   runStopHolders,
	}
}

// stopBudget is the wait budget of those who wait for a stopped process, and
// stopMargin how much later the answer may be here, on a busy machine.
const (
	stopBudget = 600 * time.Millisecond
	stopMargin = 1500 * time.Millisecond
)

// runStopHolders does it with one process that is stopped for certain while it
// holds the lock, and then with several that are stopped wherever they are.
func runStopHolders(ctx context.Context, t *Trial) error {
	for n := range t.Rounds(3, 30, 200) {
		h := &holding{t: t, path: filepath.Join(t.Dir, fmt.Sprintf("hold%d.db", n)), seed: t.Rand.Uint64()}
		if err := h.stopOne(ctx); err != nil {
			return err
		}
	}
	for n := range t.Rounds(2, 8, 80) {
		if err := stopAnybody(ctx, t, filepath.Join(t.Dir, fmt.Sprintf("any%d.db", n))); err != nil {
			return err
		}
	}
	return nil
}

const holderWriter, waiterWriter = 100, 0

func (h *holding) stopOne(ctx context.Context) error {
	if err := create(ctx, h.path); err != nil {
		return err
	}
	waiter, err := h.t.Child(ctx, "write-when-told", writeConfig{Path: h.path, Seed: h.seed, FirstWriter: waiterWriter, Budget: stopBudget}, nil)
	if err != nil {
		return err
	}
	if _, err := waiter.Expect(ctx, "open"); err != nil {
		return err
	}
	holder, err := h.hold(ctx, holderWriter)
	if err != nil {
		return err
	}
	if err := holder.Stop(); err != nil {
		return err
	}
	for range 2 {
		if err := h.refused(ctx, waiter, holder); err != nil {
			return errors.Join(err, holder.Continue())
		}
	}
	if err := holder.Continue(); err != nil {
		return err
	}
	holder.Say("commit")
	committed, err := holder.Next(ctx)
	if err == nil {
		_, err = h.ledger.Line(committed.Text)
	}
	if err != nil {
		return err
	}
	if h.ledger.Fate(holderWriter, 1) != acked {
		return fmt.Errorf("the holder could not commit after it was stopped: %s", committed.Text)
	}
	if err := h.granted(ctx, waiter); err != nil {
		return err
	}
	if err := errors.Join(waiter.Finish(ctx), holder.Finish(ctx)); err != nil {
		return err
	}
	return h.t.verify(ctx, &h.ledger, h.seed, h.path, h.t.Rand.IntN(2) == 0)
}

// refused has the waiter write while the holder is stopped.
func (h *holding) refused(ctx context.Context, waiter, holder *Child) error {
	start := time.Now()
	waiter.Say("write")
	for range 2 { // begun, and rolled back
		l, err := waiter.Next(ctx)
		if err == nil {
			_, err = h.ledger.Line(l.Text)
		}
		if err != nil {
			return err
		}
	}
	l, err := waiter.Expect(ctx, "error")
	if err != nil {
		return err
	}
	took := l.At.Sub(start)
	h.t.Count("stopped_holders_met", 1)
	h.t.Most("answer_longest_microseconds", took.Microseconds())
	switch {
	case took > stopBudget+stopMargin:
		return fmt.Errorf("a writer with a budget of %s was answered after %s while the holder was stopped", stopBudget, took)
	case !strings.HasPrefix(l.Text, "busy=true"):
		return fmt.Errorf("a writer behind a stopped holder got something else than ErrBusy: %s", l.Text)
	case runtime.GOOS == "linux" && !strings.Contains(l.Text, fmt.Sprintf("holder=%d ", holder.PID)):
		return fmt.Errorf("the error does not name process %d, which is stopped and holds the lock: %s", holder.PID, l.Text)
	}
	return nil
}

// granted has the waiter write, which must succeed.
func (h *holding) granted(ctx context.Context, waiter *Child) error {
	waiter.Say("write")
	var l Line
	var err error
	for range 2 {
		if l, err = waiter.Next(ctx); err == nil {
			_, err = h.ledger.Line(l.Text)
		}
		if err != nil {
			return err
		}
	}
	if !strings.HasPrefix(l.Text, lineAck+" ") {
		return fmt.Errorf("the lock is free, and a writer got: %s", l.Text)
	}
	return nil
}

// stopAnybody stops processes of a load in turn, in a transaction or in the queue
// for the lock, each for less than the others' budget: they must all wait and
// none may fail.
func stopAnybody(ctx context.Context, t *Trial, path string) error {
	g := &generation{t: t, path: path, seed: t.Rand.Uint64(), synchronous: "FULL"}
	if err := create(ctx, path); err != nil {
		return err
	}
	for p := range 4 {
		s := &slot{g: g, hit: make(chan struct{}, 1), config: writeConfig{
			Path: path, Seed: g.seed, FirstWriter: p * maxGoroutines, Goroutines: 4, Readers: 1, Synchronous: g.synchronous, Sabotage: t.Sabotage,
		}}
		g.slots = append(g.slots, s)
		if err := s.start(ctx); err != nil {
			return err
		}
	}
	// Past two seconds the others give up the fair lock and go on without.
	longest := t.Rounds(180, 2500, 2500)
	for range 12 {
		s := g.slots[t.Rand.IntN(len(g.slots))]
		if err := sleep(ctx, time.Duration(t.Rand.IntN(50))*time.Millisecond); err != nil {
			return err
		}
		if err := s.child.Stop(); err != nil {
			return err
		}
		err := sleep(ctx, time.Duration(20+t.Rand.IntN(longest))*time.Millisecond)
		if err := errors.Join(err, s.child.Continue()); err != nil {
			return err
		}
		t.Count("stops", 1)
	}
	if err := errors.Join(g.every((*slot).kill), g.failure()); err != nil {
		return err
	}
	return t.verify(ctx, &g.ledger, g.seed, path, t.Rand.IntN(2) == 0)
}
