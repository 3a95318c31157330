package torture

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

func carelessOpens() Scenario {
	return Scenario{
		Name: "careless-opens",
		About: "processes that write open and close the database, its -wal and its -shm beside SQLite all the time, which drops POSIX locks, " +
			"while others write and the sqlite3 command comes and goes: nothing is lost where locks belong to open files",
		Tier:  Quick,
		Needs: []Need{Linux}, // the others have POSIX locks only
		Run:   runCarelessOpens,
	}
}

func runCarelessOpens(ctx context.Context, t *Trial) error {
	python, shell := have(ctx, Python), have(ctx, SQLite3)
	for n := range t.Rounds(3, 30, 300) {
		g := &generation{t: t, path: filepath.Join(t.Dir, fmt.Sprintf("%d.db", n)), seed: t.Rand.Uint64(), synchronous: []string{"FULL", "NORMAL"}[n%2]}
		if err := g.careless(ctx, python, shell); err != nil {
			return fmt.Errorf("%s: %w", g.path, err)
		}
	}
	return nil
}

func (g *generation) careless(ctx context.Context, python, shell bool) error {
	if err := create(ctx, g.path); err != nil {
		return err
	}
	for p := range 4 {
		s := &slot{g: g, hit: make(chan struct{}, 1), config: writeConfig{
			Path: g.path, Seed: g.seed, FirstWriter: p * maxGoroutines, Goroutines: 3, Readers: 1, Synchronous: g.synchronous,
			Careless: p < 2, Sabotage: g.t.Sabotage,
		}}
		if p == 3 && python {
			s.python, s.config.FirstWriter, s.config.Goroutines = true, firstPeer, 1
		}
		g.slots = append(g.slots, s)
		if err := s.start(ctx); err != nil {
			return err
		}
	}
	for range 10 {
		// The last to close removes the log. A visitor that sees no locks of the
		// others believes to be the last.
		if shell {
			if err := g.visit(ctx, g.t.Rand.IntN(len(visits)), false); err != nil {
				return err
			}
		}
		if err := sleep(ctx, time.Duration(g.t.Rand.IntN(40))*time.Millisecond); err != nil {
			return err
		}
	}
	if err := errors.Join(g.every((*slot).kill), g.failure()); err != nil {
		return err
	}
	return g.t.verify(ctx, &g.ledger, g.seed, g.path, g.t.Rand.IntN(2) == 0)
}

// beCareless does what a program must not do, until ctx ends: it looks into the files
// of the database with its own hands, and closes them.
func (w *writing) beCareless(ctx context.Context) error {
	for ctx.Err() == nil {
		for _, suffix := range []string{"", "-wal", "-shm"} {
			f, err := os.Open(w.Path + suffix)
			if err == nil {
				err = f.Close()
			}
			if err != nil && !os.IsNotExist(err) {
				return err
			}
		}
		if sleep(ctx, 100*time.Microsecond) != nil {
			return nil
		}
	}
	return nil
}
