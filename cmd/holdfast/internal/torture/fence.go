package torture

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast"
)

func moveUnderLoad() Scenario {
	return Scenario{
		Name: "move-under-load",
		About: "the database is unlinked, renamed or replaced while processes write: within 1 s nobody gets an acknowledgement any more, " +
			"what was acknowledged is in the old file, and the new one is intact",
		Tier:     Quick,
		Needs:    []Need{Signals}, // other systems refuse to move an open file
		Sabotage: []string{SwallowCommitError},
		Run:      runMoveUnderLoad,
	}
}

// fenceLimit is how long after the move a write may still be acknowledged.
const fenceLimit = time.Second

// moves are the ways in which a file can get lost to those who have it open.
var moves = []struct {
	name string
	do   func(m *moving) error
}{
	{"unlink", func(m *moving) error { return os.Remove(m.path) }},
	{"rename", func(m *moving) error { return os.Rename(m.path, m.old()) }},
	{"replace", func(m *moving) error {
		// A second name keeps the old file, so that it can be looked at.
		return errors.Join(os.Link(m.path, m.old()), os.Rename(m.fresh(), m.path))
	}},
	{"rename, then another takes the name", func(m *moving) error {
		return errors.Join(os.Rename(m.path, m.old()), os.Rename(m.fresh(), m.path))
	}},
}

func runMoveUnderLoad(ctx context.Context, t *Trial) error {
	for n := range t.Rounds(2, 25, 250) {
		for i, way := range moves {
			m := &moving{generation: generation{
				t: t, path: filepath.Join(t.Dir, fmt.Sprintf("%d-%d.db", n, i)), seed: t.Rand.Uint64(), synchronous: "FULL",
			}}
			if err := m.run(ctx, way.do); err != nil {
				return fmt.Errorf("%s %s: %w", way.name, m.path, err)
			}
			t.Count("moves", 1)
		}
	}
	return nil
}

// moving is a database whose file is moved.
type moving struct {
	generation

	watch   sync.Mutex
	moved   time.Time      // when
	fenced  map[*slot]bool // who has noticed
	late    int            // acknowledgements of writes begun after that, or too late
	begun   map[string]bool
	longest time.Duration // until somebody noticed
	dying   bool          // they are killed before they all have
}

func (m *moving) old() string   { return m.path + ".old" }
func (m *moving) fresh() string { return m.path + ".fresh" }

const freshRows = 57

func (m *moving) run(ctx context.Context, move func(*moving) error) error {
	if err := errors.Join(create(ctx, m.path), m.createFresh(ctx)); err != nil {
		return err
	}
	if err := m.underLoad(ctx, func() error { return move(m) }); err != nil {
		return err
	}
	// Some die soon after the move. The others end by themselves when they are told
	// that they are fenced, and close what they have.
	m.dying = m.t.Rand.IntN(2) == 0
	death := time.Duration(m.t.Rand.IntN(60)) * time.Millisecond
	err := m.every(func(s *slot) error {
		limit := time.NewTimer(fenceLimit + 2*time.Second)
		defer limit.Stop()
		select {
		case <-s.child.Done():
			return s.child.Kill()
		case <-limit.C:
			return errors.Join(fmt.Errorf("a process still writes %s after the move", fenceLimit+2*time.Second), s.child.Kill())
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-after(m.dying, death):
			return s.child.Kill()
		}
	})
	return errors.Join(m.failure(), err, m.judge(ctx))
}

// underLoad starts processes and moves the file, or what is beside it, while they
// write.
func (m *moving) underLoad(ctx context.Context, move func() error) error {
	m.fenced, m.begun = map[*slot]bool{}, map[string]bool{}
	for p := range 1 + m.t.Rand.IntN(4) {
		s := &slot{g: &m.generation, config: writeConfig{
			Path: m.path, Seed: m.seed, FirstWriter: p * maxGoroutines, Goroutines: 1 + m.t.Rand.IntN(maxGoroutines), Sabotage: m.t.Sabotage,
		}}
		m.slots = append(m.slots, s)
		if err := m.start(ctx, s); err != nil {
			return err
		}
	}
	if err := sleep(ctx, time.Duration(50+m.t.Rand.IntN(150))*time.Millisecond); err != nil {
		return err
	}
	m.watch.Lock()
	defer m.watch.Unlock()
	err := move()
	m.moved = time.Now()
	return err
}

// start starts a process and waits until it has the database open: one that came
// after the move would open the file that took the name, with the log of the old
// one beside it.
func (m *moving) start(ctx context.Context, s *slot) (err error) {
	opened := make(chan struct{}, 1)
	s.child, err = m.t.Child(ctx, "write", s.config, func(l Line) {
		if l.Text == "open" {
			opened <- struct{}{}
		}
		m.heard(s, l)
	})
	if err != nil {
		return err
	}
	select {
	case <-opened:
		return nil
	case <-s.child.Done():
		return errors.Join(errors.New("a process ended early"), s.child.Kill())
	}
}

// after is time.After, or never.
func after(really bool, d time.Duration) <-chan time.Time {
	if !really {
		return nil
	}
	return time.After(d)
}

// heard takes what a process tells. Between its goroutines lines may overtake each
// other, so an acknowledgement is late only if its write was begun after the
// process had told that it is fenced.
func (m *moving) heard(s *slot, l Line) {
	s.line(l)
	m.watch.Lock()
	defer m.watch.Unlock()
	word, write, _ := strings.Cut(l.Text, " ")
	switch {
	case word == "fenced" && !m.fenced[s]:
		m.fenced[s] = true
		m.longest = max(m.longest, l.At.Sub(m.moved))
	case word == lineBegin && m.fenced[s]:
		m.begun[write] = true
	case word != lineAck:
	case m.begun[write], !m.moved.IsZero() && l.At.Sub(m.moved) > fenceLimit:
		m.late++
	}
}

// noticed judges what the processes were told, and when.
func (m *moving) noticed() (errs []error) {
	m.t.Most("fenced_longest_microseconds", m.longest.Microseconds())
	m.t.Count("late_acknowledgements", int64(m.late))
	if m.late > 0 {
		errs = append(errs, fmt.Errorf("%d acknowledgements after the fence", m.late))
	}
	for _, s := range m.slots {
		if !m.fenced[s] && !m.dying {
			errs = append(errs, fmt.Errorf("process %d was not told that its file is gone; what it was told: %q", s.child.PID, m.ledger.Said))
		}
	}
	return errs
}

func (m *moving) judge(ctx context.Context) error {
	m.t.Count("acked", m.ledger.Acked())
	errs := m.noticed()
	// The log belongs to the file that has gone.
	for _, suffix := range []string{"-wal", "-shm"} {
		if err := os.Rename(m.path+suffix, m.old()+suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	if _, err := os.Stat(m.old()); err == nil {
		errs = append(errs, m.compareOld(ctx))
	}
	if _, err := os.Stat(m.path); err == nil {
		errs = append(errs, m.checkFresh(ctx))
	}
	return errors.Join(errs...)
}

// compareOld holds the old file against the ledger. What was told to be fenced may
// be there: the fence is looked at again after the commit.
func (m *moving) compareOld(ctx context.Context) error {
	rows, err := readEntries(ctx, m.old())
	if err != nil {
		return fmt.Errorf("the old file: %w", err)
	}
	f := m.ledger.compare(m.seed, rows)
	f.count(m.t)
	if err := f.err(); err != nil {
		return fmt.Errorf("the old file: %w", err)
	}
	return nil
}

// createFresh makes the file that takes the name.
func (m *moving) createFresh(ctx context.Context) error {
	db, err := holdfast.Open(ctx, m.fresh())
	if err != nil {
		return err
	}
	err = db.Update(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `CREATE TABLE fresh(a)`)
		for range freshRows {
			if err == nil {
				_, err = tx.ExecContext(ctx, `INSERT INTO fresh VALUES (randomblob(500))`)
			}
		}
		return err
	})
	return errors.Join(err, db.Close())
}

func (m *moving) checkFresh(ctx context.Context) (err error) {
	db, err := holdfast.Open(ctx, m.path)
	if err != nil {
		return fmt.Errorf("the new file: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	n := 0
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM fresh").Scan(&n); err != nil || n != freshRows {
		return fmt.Errorf("the new file has %d of %d rows: %w", n, freshRows, err)
	}
	return integrity(ctx, db)
}
