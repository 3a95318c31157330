package torture

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

func strangers() Scenario {
	return Scenario{
		Name: "strangers",
		About: "Python's SQLite writes and the sqlite3 command checkpoints, vacuums, checks and locks the database that Holdfast's processes write, " +
			"and any of them is killed at any time",
		Tier:     Quick,
		Needs:    []Need{Python, SQLite3},
		Sabotage: []string{EarlyAck, LostIdempotency},
		Run:      runStrangers,
	}
}

// visits are what the sqlite3 command does. Each waits for locks for 5 s.
var visits = []struct{ name, sql string }{
	{"checkpoint", "PRAGMA wal_checkpoint(TRUNCATE)"},
	{"vacuum", "VACUUM"},
	{"integrity_check", "PRAGMA integrity_check"},
	{"write_lock", "BEGIN IMMEDIATE; SELECT count(*) FROM entry WHERE body LIKE '%x%'; COMMIT"},
	{"read", "BEGIN; SELECT count(*) FROM entry; SELECT count(*) FROM entry WHERE body LIKE '%x%'; COMMIT"},
	{"optimize", "PRAGMA optimize; ANALYZE"},
}

func runStrangers(ctx context.Context, t *Trial) error {
	for n := range t.Rounds(2, 20, 200) {
		g := &generation{t: t, path: filepath.Join(t.Dir, fmt.Sprintf("%d.db", n)), seed: t.Rand.Uint64(), synchronous: "FULL"}
		if err := g.withStrangers(ctx); err != nil {
			return fmt.Errorf("%s: %w", g.path, err)
		}
	}
	return nil
}

func (g *generation) withStrangers(ctx context.Context) error {
	if err := create(ctx, g.path); err != nil {
		return err
	}
	for p := range 4 {
		s := &slot{g: g, hit: make(chan struct{}, 1), config: writeConfig{
			Path: g.path, Seed: g.seed, FirstWriter: p * maxGoroutines, Goroutines: 3, Readers: p % 2, Checkpoints: p == 0, Sabotage: g.t.Sabotage,
		}}
		if p >= 2 {
			s.python, s.config.FirstWriter, s.config.Goroutines = true, firstPeer+p, 1
		}
		g.slots = append(g.slots, s)
		if err := s.start(ctx); err != nil {
			return err
		}
	}
	for range 24 {
		r := g.t.Rand
		if err := g.visit(ctx, r.IntN(len(visits)), r.IntN(3) == 0); err != nil {
			return err
		}
		if r.IntN(3) == 0 {
			s := g.slots[r.IntN(len(g.slots))]
			if err := errors.Join(s.kill(), s.start(ctx)); err != nil {
				return err
			}
		}
		if err := g.failure(); err != nil {
			return err
		}
	}
	if err := errors.Join(g.every((*slot).kill), g.failure()); err != nil {
		return err
	}
	return g.t.verify(ctx, &g.ledger, g.seed, g.path, g.t.Rand.IntN(2) == 0)
}

// visit has the sqlite3 command do something, and kills it in the middle if it is
// doomed.
func (g *generation) visit(ctx context.Context, n int, doomed bool) error {
	v := visits[n]
	limited, cancel := ctx, context.CancelFunc(func() {})
	if doomed {
		limited, cancel = context.WithTimeout(ctx, time.Duration(g.t.Rand.IntN(40))*time.Millisecond)
	}
	defer cancel()
	out, err := exec.CommandContext(limited, "sqlite3", "-batch", "-cmd", ".timeout 5000", g.path, v.sql).CombinedOutput()
	text := strings.TrimSpace(string(out))
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case limited.Err() != nil:
		g.t.Count("strangers_killed", 1)
		return nil
	case err != nil && (strings.Contains(text, "locked") || strings.Contains(text, "busy")):
		g.t.Count("strangers_busy", 1)
		return nil
	case err != nil:
		return fmt.Errorf("the sqlite3 command: %s: %w: %s", v.name, err, text)
	case v.name == "integrity_check" && text != "ok":
		return fmt.Errorf("the sqlite3 command finds: %s", text)
	}
	g.t.Count("strangers_"+v.name, 1)
	return nil
}
