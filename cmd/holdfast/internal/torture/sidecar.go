package torture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/holdfastdb/holdfast"
)

func takeTheLog() Scenario {
	return Scenario{
		Name: "take-the-log",
		About: "the -wal or the -shm is removed, renamed or replaced while processes write: within 1 s nobody gets an acknowledgement any more, " +
			"and the last process to end brings what was acknowledged into the file",
		Tier:  Quick,
		Needs: []Need{Signals}, // other systems refuse to move an open file
		Run:   runTakeTheLog,
	}
}

// takings are the ways in which a file beside the database can get lost to those
// who have it open.
var takings = []struct {
	name string
	do   func(file string) error
}{
	{"remove", os.Remove},
	{"rename", func(file string) error { return os.Rename(file, file+".old") }},
	{"replace", func(file string) error {
		return errors.Join(os.WriteFile(file+".new", nil, 0o600), os.Rename(file+".new", file))
	}},
}

func runTakeTheLog(ctx context.Context, t *Trial) error {
	for n := range t.Rounds(1, 12, 120) {
		for _, suffix := range []string{"-wal", "-shm"} {
			for i, way := range takings {
				r := &robbing{moving: moving{generation: generation{
					t: t, path: filepath.Join(t.Dir, fmt.Sprintf("%d%s-%d.db", n, suffix, i)), seed: t.Rand.Uint64(), synchronous: "FULL",
				}}}
				if err := r.run(ctx, suffix, way.do); err != nil {
					return fmt.Errorf("%s %s%s: %w", way.name, r.path, suffix, err)
				}
				t.Count("taken", 1)
			}
		}
	}
	return nil
}

// robbing is a database whose log is taken.
type robbing struct{ moving }

func (r *robbing) run(ctx context.Context, suffix string, take func(string) error) error {
	if err := create(ctx, r.path); err != nil {
		return err
	}
	if err := r.underLoad(ctx, func() error { return take(r.path + suffix) }); err != nil {
		return err
	}
	err := r.every(func(s *slot) error { return s.ended(ctx) })
	return errors.Join(r.failure(), err, r.judge(ctx))
}

func (r *robbing) judge(ctx context.Context) error {
	errs := r.noticed()
	r.ledger.Said = nil
	return errors.Join(append(errs, r.t.verify(ctx, &r.ledger, r.seed, r.path, r.t.Rand.IntN(2) == 0))...)
}

func damageTheLog() Scenario {
	return Scenario{
		Name: "damage-the-log",
		About: "the -wal that killed processes left is cut, bit-flipped, removed or taken from another database: " +
			"SQLite can't notice, and what is there then is a beginning of what was written, never half a write",
		Tier: Quick,
		Run:  runDamageTheLog,
	}
}

// runDamageTheLog kills a process and opens the database with its log damaged in
// many ways, each time beginning with the same two files.
func runDamageTheLog(ctx context.Context, t *Trial) error {
	for n := range t.Rounds(3, 40, 400) {
		d := &damaging{generation: generation{t: t, path: filepath.Join(t.Dir, fmt.Sprintf("%d.db", n)), seed: t.Rand.Uint64(), synchronous: "FULL"}}
		if err := d.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", d.path, err)
		}
	}
	if t.Figures()["damaged_cut"] == 0 {
		return errors.New("every log was too long to be damaged")
	}
	return nil
}

// damaging is a database of killed processes.
type damaging struct {
	generation
	main, log []byte
	tries     int
}

func (d *damaging) run(ctx context.Context) error {
	if err := create(ctx, d.path); err != nil {
		return err
	}
	s := &slot{g: &d.generation, hit: make(chan struct{}, 1), config: writeConfig{Path: d.path, Seed: d.seed, Goroutines: 4, Sabotage: d.t.Sabotage}}
	if err := s.start(ctx); err != nil {
		return err
	}
	if err := d.writes(ctx, int64(30+d.t.Rand.IntN(70))); err != nil {
		return err
	}
	if err := errors.Join(s.kill(), d.failure()); err != nil {
		return err
	}
	var errs [2]error
	d.main, errs[0] = os.ReadFile(d.path)
	d.log, errs[1] = os.ReadFile(d.path + "-wal")
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	if len(d.log) > 900*4120 {
		return nil // part of it may be in the file already, and then it must not be cut
	}
	return errors.Join(d.whole(ctx), d.cutOff(ctx), d.flipped(ctx), d.without(ctx), d.mispaired(ctx))
}

// writes waits for so many acknowledgements: counted in time, the log of a quick
// disk would be too long.
func (d *damaging) writes(ctx context.Context, n int64) error {
	limited, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("the process does not write"))
	defer cancel()
	for d.ledger.Acked() < n {
		if err := sleep(limited, time.Millisecond); err != nil {
			return errors.Join(err, d.failure())
		}
	}
	return nil
}

// open reads the database with another log, nil for none.
func (d *damaging) open(ctx context.Context, log []byte) (*findings, []entry, error) {
	d.tries++
	path := filepath.Join(d.t.Dir, fmt.Sprintf("damaged-%d.db", d.tries))
	if err := os.WriteFile(path, d.main, 0o600); err != nil {
		return nil, nil, err
	}
	if log != nil {
		if err := os.WriteFile(path+"-wal", log, 0o600); err != nil {
			return nil, nil, err
		}
	}
	rows, err := readEntries(ctx, path)
	if err != nil {
		return nil, nil, err
	}
	f := d.ledger.compare(d.seed, rows)
	return f, rows, os.Remove(path)
}

// prefix demands that what is there is a beginning.
func (d *damaging) prefix(ctx context.Context, what string, log []byte) error {
	f, rows, err := d.open(ctx, log)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	d.t.Count("damaged_"+what, 1)
	d.t.Count("writes_gone_unnoticed", f.lost)
	f.lost = 0
	if n := d.ledger.holes(rows); n > 0 {
		err = fmt.Errorf("%d acknowledged writes are missing before others of the same writer", n)
	}
	if err := errors.Join(err, f.err()); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// whole is the control: nothing is missing while nothing is damaged.
func (d *damaging) whole(ctx context.Context) error {
	f, _, err := d.open(ctx, d.log)
	if err != nil {
		return err
	}
	f.count(d.t)
	d.t.Count("acked", d.ledger.Acked())
	return f.err()
}

func (d *damaging) cutOff(ctx context.Context) error {
	var errs []error
	for range 8 {
		errs = append(errs, d.prefix(ctx, "cut", d.log[:d.t.Rand.IntN(len(d.log))]))
	}
	return errors.Join(errs...)
}

func (d *damaging) flipped(ctx context.Context) error {
	var errs []error
	for range 8 {
		log := bytes.Clone(d.log)
		log[d.t.Rand.IntN(len(log))] ^= 1 << d.t.Rand.IntN(8)
		errs = append(errs, d.prefix(ctx, "flipped", log))
	}
	return errors.Join(errs...)
}

func (d *damaging) without(ctx context.Context) error { return d.prefix(ctx, "removed", nil) }

// mispaired puts the log beside another database, as a restore does that leaves it
// there. SQLite takes it for that database's own: it can't be told from it, and
// the writes of the old one rise again. It must not bring Holdfast down.
func (d *damaging) mispaired(ctx context.Context) error {
	other := filepath.Join(d.t.Dir, "other.db")
	if err := create(ctx, other); err != nil {
		return err
	}
	if err := os.WriteFile(other+"-wal", d.log, 0o600); err != nil {
		return err
	}
	rows, err := readEntries(ctx, other)
	d.t.Count("damaged_mispaired", 1)
	switch {
	case err == nil && len(rows) > 0:
		d.t.Count("mispaired_unnoticed", 1)
	case err != nil && !errors.Is(err, holdfast.ErrCorrupt) && !errors.Is(err, errNotIntact):
		return fmt.Errorf("a foreign log: %w", err)
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(other + suffix); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	return nil
}
