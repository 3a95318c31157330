package torture

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

func killWriters() Scenario {
	return Scenario{
		Name: "kill-writers",
		About: "kill -9 of up to 8 processes of up to 8 goroutines that write, read and checkpoint one database, some of them Python's, " +
			"at random moments, in a commit, a checkpoint, a recovery",
		Tier:     Quick,
		Sabotage: []string{EarlyAck, LostIdempotency, NoLocks},
		Run:      runKillWriters,
	}
}

// killsPerDatabase is how many processes die before all are dead and the database
// is compared with the ledger. More would find the same, and take longer to check.
const killsPerDatabase = 40

func runKillWriters(ctx context.Context, t *Trial) error {
	python := have(ctx, Python)
	for n := range t.Rounds(12, 250, 2500) {
		g := newGeneration(t, n, python)
		err := g.run(ctx)
		if err == nil {
			err = t.verify(ctx, &g.ledger, g.seed, g.path, t.Rand.IntN(2) == 0)
		}
		if err != nil {
			return fmt.Errorf("database %s, synchronous=%s, %d processes: %w", filepath.Base(g.path), g.synchronous, len(g.slots), err)
		}
		t.Count("databases", 1)
		if err := os.Remove(g.path); err != nil {
			return err
		}
	}
	return nil
}

// generation is one database whose processes are killed, and replaced, and killed.
type generation struct {
	t           *Trial
	path        string
	seed        uint64 // of the content
	synchronous string
	slots       []*slot
	ledger      Ledger

	mu  sync.Mutex
	err error
}

// slot is the place of a process. Who takes the place of a dead one goes on with
// its writers.
type slot struct {
	g      *generation
	config writeConfig // without what is known at the start only
	python bool
	prefix []string // of the child's command
	child  *Child

	want atomic.Pointer[string] // the first word of the line that is waited for
	hit  chan struct{}          // such a line has come
}

// moment is when a process is killed: some time after something.
type moment struct {
	after string // the first word of a line, "" for at once, or "start" for the start
	delay time.Duration
}

const maxGoroutines = 8

func newGeneration(t *Trial, n int, python bool) *generation {
	r := t.Rand
	g := &generation{
		t: t, path: filepath.Join(t.Dir, fmt.Sprintf("%d.db", n)), seed: r.Uint64(),
		synchronous: []string{"FULL", "FULL", "NORMAL"}[r.IntN(3)],
	}
	processes := 1 + r.IntN(8)
	checkpointer := r.IntN(processes)
	for p := range processes {
		s := &slot{g: g, hit: make(chan struct{}, 1), config: writeConfig{
			Path: g.path, Seed: g.seed, FirstWriter: p * maxGoroutines, Goroutines: 1 + r.IntN(maxGoroutines),
			Synchronous: g.synchronous, Readers: r.IntN(2), Sabotage: t.Sabotage,
		}}
		switch kind := r.IntN(8); {
		case p == checkpointer:
			s.config.Checkpoints, s.config.Tell = true, true
		case kind == 0: // only reads
			s.config.Goroutines, s.config.Readers = 0, 2
		case kind == 1 && python:
			s.python, s.config.FirstWriter, s.config.Goroutines = true, firstPeer+p, 1
		}
		g.slots = append(g.slots, s)
	}
	return g
}

// run kills until enough are dead, and then the rest.
func (g *generation) run(ctx context.Context) error {
	if err := create(ctx, g.path); err != nil {
		return err
	}
	if err := g.every(func(s *slot) error { return s.start(ctx) }); err != nil {
		return err
	}
	for killed := 0; killed < killsPerDatabase && g.failure() == nil; {
		n := g.replace(ctx)
		if n == 0 {
			break
		}
		killed += n
	}
	err := g.every(func(s *slot) error { return s.kill() })
	return errors.Join(g.failure(), err)
}

// every does the same to all slots at once.
func (g *generation) every(do func(*slot) error) error {
	errs := make([]error, len(g.slots))
	var all sync.WaitGroup
	for i, s := range g.slots {
		all.Go(func() { errs[i] = do(s) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// replace kills some of the processes at once, each at a moment of its own, and
// starts others in their places. Now and then it kills them all before it starts
// any, so that the next ones find nobody and have to recover. It returns how many
// it has killed.
func (g *generation) replace(ctx context.Context) int {
	r := g.t.Rand
	victims := make([]moment, len(g.slots))
	everybody, number := r.IntN(6) == 0, 1+r.IntN(len(g.slots))
	chosen := make([]bool, len(g.slots))
	for _, i := range r.Perm(len(g.slots))[:number] {
		chosen[i] = true
	}
	for i := range victims {
		victims[i] = drawMoment(g.t)
	}
	killed := 0
	for i := range chosen {
		if chosen[i] = chosen[i] || everybody; chosen[i] {
			killed++
		}
	}
	var dead sync.WaitGroup
	dead.Add(killed)
	err := g.every(func(s *slot) error {
		i := s.index()
		if !chosen[i] {
			return nil
		}
		err := s.killAt(ctx, victims[i])
		dead.Done()
		if err != nil {
			return err
		}
		if everybody {
			dead.Wait()
		}
		return s.start(ctx)
	})
	g.fail(err)
	return killed
}

func (s *slot) index() int {
	for i, other := range s.g.slots {
		if other == s {
			return i
		}
	}
	return -1
}

func drawMoment(t *Trial) moment {
	r := t.Rand
	short := time.Duration(r.IntN(3000)) * time.Microsecond
	switch r.IntN(4) {
	case 0:
		return moment{"", time.Duration(r.IntN(100)) * time.Millisecond}
	case 1:
		return moment{"start", time.Duration(r.IntN(30)) * time.Millisecond}
	case 2:
		return moment{"checkpoint", short}
	}
	return moment{lineBegin, short}
}

// start puts a process into the slot. What its predecessor wrote with a key and
// got no answer to, it writes again.
// If it can't be started, as at the end of ctx, the slot keeps the dead one.
func (s *slot) start(ctx context.Context) error {
	g, c := s.g, s.config
	var child *Child
	var err error
	if s.python {
		child, err = g.t.peer(ctx, c.Path, c.FirstWriter, g.ledger.Begun(c.FirstWriter), s.line)
	} else {
		c.Begun, c.Repeat = g.ledger.resume(g.seed, c.FirstWriter, c.Goroutines)
		g.t.Count("repeated", int64(len(c.Repeat)))
		child, err = g.t.ChildUnder(ctx, s.prefix, "write", c, s.line)
	}
	if err == nil {
		s.child = child
	}
	return err
}

// line takes what a process tells.
func (s *slot) line(l Line) {
	_, err := s.g.ledger.Line(l.Text)
	s.g.fail(err)
	if want := s.want.Load(); want != nil && strings.HasPrefix(l.Text, *want) {
		select {
		case s.hit <- struct{}{}:
		default:
		}
	}
}

// killAt kills the process at its moment, and counts it under what it was doing.
func (s *slot) killAt(ctx context.Context, m moment) error {
	figure := "kills_anywhere"
	switch {
	case m.after == "start":
		// A new one, so that it dies while it opens the database.
		if err := errors.Join(s.kill(), s.start(ctx)); err != nil {
			return err
		}
		figure = "kills_opening"
	case m.after == "checkpoint" && !s.config.Tell || m.after == lineBegin && s.config.Goroutines == 0:
		// It does no such thing.
	case m.after != "":
		s.want.Store(&m.after)
		patience := time.NewTimer(200 * time.Millisecond)
		select {
		case <-s.hit:
			figure = map[string]string{lineBegin: "kills_writing", "checkpoint": "kills_checkpointing"}[m.after]
		case <-patience.C:
		case <-s.child.Done():
		case <-ctx.Done():
		}
		patience.Stop()
		s.want.Store(nil)
	}
	if err := sleep(ctx, m.delay); err != nil {
		return err
	}
	s.g.t.Count(figure, 1)
	return s.kill()
}

func (s *slot) kill() error {
	select {
	case <-s.hit: // of this life
	default:
	}
	if s.child == nil { // it could never be started
		return nil
	}
	s.g.t.Count("kills", 1)
	return s.child.Kill()
}

func (g *generation) fail(err error) {
	if err == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err == nil {
		g.err = err
	}
}

func (g *generation) failure() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}
