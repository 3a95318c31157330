package schedule

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Config is what a Scheduler needs to know. The zero value of each field but
// Tasks is fine.
type Config struct {
	Tasks   []Task
	Windows Windows
	// Delay is how long after New the first task may run: a process that ends
	// before that has no work with maintenance.
	Delay time.Duration
	// Jitter is the most that is added at random, once for all, to the delay, to
	// the beginning of a window and to what is between two runs, so that many
	// programs of one host don't begin at once.
	Jitter time.Duration

	// Load is asked whether the database is quiet. MaxWrites a second are.
	Load      func() Load
	MaxWrites int

	// Claim takes what one process at a time has of all that share the file, or
	// says why not: who has it. Unclaim gives it back. Nil: there is no other.
	Claim   func() (taken string, err error)
	Unclaim func() error
	// Last and Note keep when a task last ended well, for all processes and the
	// next ones. Note is called with the claim only. Nil: it is forgotten.
	Last func(task string) time.Time
	Note func(task string, at time.Time)

	// OnRun is told of each run that has ended or was skipped for a new reason.
	OnRun func(Run)
	// OnLate is told, once each time, of a task that has waited for a whole
	// interval longer than it should.
	OnLate func(task string, since time.Time, why string)

	// Now is the clock of the calendar; nil is time.Now. Timers are Go's.
	Now func() time.Time
}

const (
	// longestLook is how long the clock on the wall is not looked at. The timers
	// of a machine that sleeps stand still, so no timer may be set for the day.
	longestLook = 30 * time.Second
	// pendingLook is how often a task that is due is tried while it waits for
	// quiet, and how often load is looked for while one runs.
	pendingLook = time.Second
	// retryAfter is when a task is tried again that was interrupted or left to
	// another process; one that failed waits twice as long each time.
	retryAfter = time.Minute
	// patience is how many looks in a row must find load to interrupt a run. A task
	// that asks for quiet between its steps only waits during that time.
	patience = 10
)

// Why a run ended early, in context.Cause and in Run.Why.
var (
	errLoad    = errors.New("the database is busy")
	errWindow  = errors.New("the window is over")
	errPaused  = errors.New("paused")
	errClosed  = errors.New("the database is being closed")
	errRemoved = errors.New("it is no longer wanted")
)

// ErrNoTask is returned by Run for a task that is not there.
var ErrNoTask = errors.New("there is no such task")

// ErrTaken is returned by Add for a name that another task has.
var ErrTaken = errors.New("another task has this name")

// ErrClosed is returned after Close.
var ErrClosed = errors.New("the scheduler is closed")

// Scheduler runs tasks when they are due. It is safe for concurrent use.
type Scheduler struct {
	cfg    Config
	jitter time.Duration
	meter  meter

	slot chan struct{} // whoever is in it runs tasks
	ctx  context.Context
	end  context.CancelCauseFunc

	mu      sync.Mutex // guards the rest
	timer   *time.Timer
	closed  bool
	paused  string // why; "" if not
	started time.Time
	looked  time.Time               // the last look at the clock
	running *state                  // the task
	cut     context.CancelCauseFunc // of the run that the clock began
	tasks   []*state
	totals  Totals
}

// state is what is known of a task.
type state struct {
	Task
	last    time.Time // by this process; Config.Last may know a later one
	since   time.Time // when it was found due, until it has run
	retry   time.Time // not before
	waiting string    // for what, at the last try
	failed  int       // in a row
	warned  bool      // of its being late
	history

	added time.Time // by Add; zero if it was there from the beginning
	ctx   context.Context
	end   context.CancelCauseFunc // when it is removed
}

// New returns a Scheduler that has begun. The caller must Close it.
func New(cfg Config) *Scheduler {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.OnRun == nil {
		cfg.OnRun = func(Run) {}
	}
	if cfg.OnLate == nil {
		cfg.OnLate = func(string, time.Time, string) {}
	}
	s := &Scheduler{cfg: cfg, slot: make(chan struct{}, 1), meter: meter{load: cfg.Load, maxWrites: float64(cfg.MaxWrites)}}
	if cfg.Jitter > 0 {
		s.jitter = rand.N(cfg.Jitter)
	}
	s.ctx, s.end = context.WithCancelCause(context.Background())
	s.started = s.now()
	s.looked = s.started
	for _, t := range cfg.Tasks {
		s.tasks = append(s.tasks, &state{Task: t, ctx: s.ctx})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.arm()
	return s
}

// now is without the monotonic clock, which stands still while the machine sleeps.
func (s *Scheduler) now() time.Time { return s.cfg.Now().Round(0) }

// Close ends the run that is under way and lets none begin. It waits until ctx
// ends for the run to end. A second Close does nothing.
func (s *Scheduler) Close(ctx context.Context) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	if s.timer != nil {
		s.timer.Stop()
	}
	task := ""
	if s.running != nil {
		task = s.running.Name
	}
	s.mu.Unlock()
	s.end(errClosed)
	select {
	case s.slot <- struct{}{}: // for ever
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the maintenance task %s has not ended: %w", task, ctx.Err())
	}
}

// Pause lets no task begin by the clock until Resume, and ends the one that the
// clock has begun. It waits for that, and for one that Run was asked for: when it
// returns without an error, none runs. ctx ends the wait, not the pause.
func (s *Scheduler) Pause(ctx context.Context, reason string) error {
	if reason == "" {
		reason = "no reason given"
	}
	s.mu.Lock()
	s.paused = reason
	cut := s.cut
	s.mu.Unlock()
	if cut != nil {
		cut(errPaused)
	}
	select {
	case s.slot <- struct{}{}:
		s.leave()
		return nil
	case <-s.ctx.Done():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Resume ends a pause.
func (s *Scheduler) Resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paused = ""
	s.arm()
}

// Paused returns the reason of a pause, or "".
func (s *Scheduler) Paused() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.paused
}

// Quiet reports whether nobody would notice a short step on the write path:
// nobody waits, and few write. A task that lasts asks it between two steps.
func (s *Scheduler) Quiet() bool {
	calm, _ := s.meter.quiet()
	return calm
}

// Run runs a task now, at any hour, under load and in a pause. It waits for a
// task that runs already, until ctx ends, but for no other process: what one is
// doing is skipped. The error is the task's own, or ctx's, ErrNoTask or ErrClosed.
func (s *Scheduler) Run(ctx context.Context, task string) (Run, error) {
	t := s.find(task)
	if t == nil {
		return Run{}, ErrNoTask
	}
	if err := ctx.Err(); err != nil {
		return Run{}, err
	}
	select {
	case s.slot <- struct{}{}:
	case <-s.ctx.Done():
		return Run{}, ErrClosed
	case <-ctx.Done():
		return Run{}, ctx.Err()
	}
	defer s.leave()
	if s.ctx.Err() != nil {
		return Run{}, ErrClosed
	}
	run, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(t.ctx, func() { cancel(context.Cause(t.ctx)) })()
	r := s.claimed(run, t, true)
	s.record(t, &r)
	return r, r.Err
}

// Add has one more task run. Its delay begins now. remove ends a run of it that is
// under way and waits for its end, until ctx ends; it has no effect after Close. A
// task must not remove itself.
func (s *Scheduler) Add(t Task) (remove func(ctx context.Context) error, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return nil, ErrClosed
	case slices.ContainsFunc(s.tasks, func(o *state) bool { return o.Name == t.Name }):
		return nil, ErrTaken
	}
	added := &state{Task: t, added: s.now()}
	added.ctx, added.end = context.WithCancelCause(s.ctx)
	s.tasks = append(s.tasks, added)
	s.arm()
	return func(ctx context.Context) error { return s.remove(ctx, added) }, nil
}

func (s *Scheduler) remove(ctx context.Context, t *state) error {
	s.mu.Lock()
	s.tasks = slices.DeleteFunc(slices.Clone(s.tasks), func(o *state) bool { return o == t })
	t.end(errRemoved) // in one step with the look: perform begins nothing after it
	runs := s.running == t
	s.mu.Unlock()
	if !runs {
		return nil
	}
	select {
	case s.slot <- struct{}{}:
		s.leave()
		return nil
	case <-s.ctx.Done():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Scheduler) find(task string) *state {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.tasks {
		if t.Name == task {
			return t
		}
	}
	return nil
}

// leave gives the slot back, and sets the timer for what is due now.
func (s *Scheduler) leave() {
	<-s.slot
	s.mu.Lock()
	defer s.mu.Unlock()
	s.arm()
}

// arm sets the timer, if anything runs by the clock. Called with s.mu held.
func (s *Scheduler) arm() {
	switch {
	case s.closed, !slices.ContainsFunc(s.tasks, func(t *state) bool { return t.Every > 0 }):
	case s.timer == nil:
		s.timer = time.AfterFunc(s.untilNext(), s.look)
	default:
		s.timer.Reset(s.untilNext())
	}
}

// untilNext is how long nothing is to be done. Called with s.mu held.
func (s *Scheduler) untilNext() time.Duration {
	if s.paused != "" {
		return longestLook
	}
	now, next := s.now(), longestLook
	for _, t := range s.tasks {
		if t.Every > 0 {
			next = min(next, max(s.from(t, now).Sub(now), time.Millisecond))
		}
	}
	return next
}
