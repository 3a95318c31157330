package torture

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/holdfastdb/holdfast"
)

func clockJumps() Scenario {
	return Scenario{
		Name: "clock-jumps",
		About: "processes whose monotonic clocks are a day apart share a database and are killed; the keys of writes carry a time " +
			"ten years ahead, as after a jump of the wall clock, and still count",
		Tier:  Quick,
		Needs: []Need{Linux, timeNamespaces},
		Run:   runClockJumps,
	}
}

// shifted is the command that runs a program with other clocks, by so many seconds.
// It leaves the wall clock alone: nothing can give a process one of its own.
func shifted(seconds int) []string {
	n := fmt.Sprint(seconds)
	return []string{"unshare", "-T", "--monotonic", n, "--boottime", n}
}

// timeNamespaces needs the right to shift the clocks of a process.
func timeNamespaces(ctx context.Context) string {
	prefix := shifted(1000)
	if exec.CommandContext(ctx, prefix[0], append(prefix[1:], "true")...).Run() != nil {
		return "needs time namespaces: root and unshare from util-linux"
	}
	return ""
}

// runClockJumps kills processes with different clocks in turn, and compares. What
// Holdfast waits for is timed by the monotonic clock of one process; this finds
// out whether a time ever passes from one to another. The wall clock decides about
// the age of idempotency keys only, and there it is the stored time that is moved.
func runClockJumps(ctx context.Context, t *Trial) error {
	for n := range t.Rounds(1, 10, 100) {
		g := &generation{t: t, path: filepath.Join(t.Dir, fmt.Sprintf("%d.db", n)), seed: t.Rand.Uint64(), synchronous: "FULL"}
		if err := create(ctx, g.path); err != nil {
			return err
		}
		for p, shift := range []int{0, 86_400, 30 * 365 * 86_400, -10} {
			s := &slot{g: g, hit: make(chan struct{}, 1), config: writeConfig{
				Path: g.path, Seed: g.seed, FirstWriter: p * maxGoroutines, Goroutines: 4, Readers: 1, Sabotage: t.Sabotage,
			}}
			if shift != 0 {
				s.prefix = shifted(shift)
			}
			g.slots = append(g.slots, s)
		}
		if err := g.underOtherClocks(ctx); err != nil {
			return err
		}
		if err := g.repeatAfterJump(ctx); err != nil {
			return err
		}
		if err := t.verify(ctx, &g.ledger, g.seed, g.path, t.Rand.IntN(2) == 0); err != nil {
			return err
		}
	}
	return nil
}

func (g *generation) underOtherClocks(ctx context.Context) error {
	if err := g.every(func(s *slot) error { return s.start(ctx) }); err != nil {
		return err
	}
	for range 8 {
		s := g.slots[g.t.Rand.IntN(len(g.slots))]
		err := s.killAt(ctx, moment{lineBegin, time.Duration(g.t.Rand.IntN(60)) * time.Millisecond})
		if err := errors.Join(err, s.start(ctx)); err != nil {
			return err
		}
	}
	err := sleep(ctx, 200*time.Millisecond)
	return errors.Join(err, g.every((*slot).kill), g.failure())
}

// repeatAfterJump moves the times of all keys ahead, and makes the writes that
// had them again: none may happen twice.
func (g *generation) repeatAfterJump(ctx context.Context) error {
	db, err := holdfast.Open(ctx, g.path)
	if err != nil {
		return err
	}
	const tenYears = 10 * 365 * 24 * time.Hour
	_, err = db.ExecContext(ctx, "UPDATE holdfast_idempotency SET created_at = created_at + ?", int64(tenYears))
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	err = g.every(func(s *slot) error {
		c := s.config
		c.Limit, c.Readers = 1, 0
		for i := range c.Goroutines {
			begun := g.ledger.Begun(c.FirstWriter + i)
			c.Begun = append(c.Begun, begun)
			for seq := uint64(1); seq <= begun; seq++ {
				if w := newWrite(g.seed, c.FirstWriter+i, seq); w.how == byKey && g.ledger.Fate(w.writer, seq) == acked {
					c.Repeat = append(c.Repeat, repeat{w.writer, seq})
				}
			}
		}
		g.t.Count("repeated", int64(len(c.Repeat)))
		var err error
		if s.child, err = g.t.Child(ctx, "write", c, s.line); err != nil {
			return err
		}
		return s.ended(ctx)
	})
	return errors.Join(err, g.failure())
}
