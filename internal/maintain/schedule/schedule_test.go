package schedule

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// inBubble runs a test in a bubble with a scheduler, which it closes.
func inBubble(t *testing.T, test func(t *testing.T, start func(Config) *Scheduler)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		test(t, func(cfg Config) *Scheduler {
			s := New(cfg)
			t.Cleanup(func() {
				if err := s.Close(context.Background()); err != nil {
					t.Error(err)
				}
			})
			return s
		})
	})
}

// pass lets time pass, and all that it brings be done.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// notes are what processes tell each other.
type notes struct {
	mu sync.Mutex
	m  map[string]time.Time
}

func (n *notes) last(task string) time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.m[task]
}

func (n *notes) note(task string, at time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.m == nil {
		n.m = map[string]time.Time{}
	}
	n.m[task] = at
}

// counting is a task that counts its runs.
func counting(name string, every time.Duration, runs *atomic.Int64) Task {
	return Task{Name: name, Every: every, Run: func(context.Context) (string, error) { runs.Add(1); return "counted", nil }}
}

func TestIntervals(t *testing.T) {
	inBubble(t, func(t *testing.T, start func(Config) *Scheduler) {
		var hourly, daily, never atomic.Int64
		s := start(Config{Delay: time.Minute, Tasks: []Task{
			counting("hourly", time.Hour, &hourly), counting("daily", 24*time.Hour, &daily), counting("never", -1, &never),
		}})
		pass(59 * time.Second)
		if hourly.Load()+daily.Load() > 0 {
			t.Error("a task ran before the delay was over")
		}
		pass(2 * time.Second)
		if hourly.Load() != 1 || daily.Load() != 1 {
			t.Errorf("after the delay: %d and %d runs, want 1 and 1", hourly.Load(), daily.Load())
		}
		pass(48 * time.Hour)
		if hourly.Load() < 48 || hourly.Load() > 49 || daily.Load() != 3 || never.Load() != 0 {
			t.Errorf("after two days: %d hourly, %d daily, %d of the one without an interval", hourly.Load(), daily.Load(), never.Load())
		}
		runs := s.Runs()
		if len(runs) != kept+3 {
			t.Errorf("%d runs are remembered, want %d and 3", len(runs), kept)
		}
		for i, r := range runs {
			if r.Outcome != Done || r.Result != "counted" || r.Started.IsZero() || i > 0 && r.Started.After(runs[i-1].Started) {
				t.Errorf("run %d: %+v", i, r)
			}
		}
		if n := s.Totals(); n.Done != hourly.Load()+daily.Load() || n.Failed+n.Skipped+n.Interrupted != 0 {
			t.Errorf("totals %+v", n)
		}
		next := s.Next()
		if len(next) != 3 || next[0].Last.IsZero() || !next[0].At.After(time.Now()) || !next[2].At.IsZero() {
			t.Errorf("next %+v", next)
		}
	})
}

// Programs that were started together don't begin together.
func TestJitter(t *testing.T) {
	inBubble(t, func(t *testing.T, start func(Config) *Scheduler) {
		const programs = 100
		var begun [programs]time.Duration
		began := time.Now()
		for i := range programs {
			start(Config{Delay: time.Minute, Jitter: 10 * time.Minute, Windows: Windows{}, Tasks: []Task{
				{Name: "t", Every: time.Hour, Run: func(context.Context) (string, error) {
					begun[i] = time.Since(began)
					return "", nil
				}},
			}})
		}
		pass(11 * time.Minute)
		perMinute := map[int]int{}
		for i, d := range begun {
			if d < time.Minute || d > 11*time.Minute {
				t.Errorf("program %d began after %s", i, d)
			}
			perMinute[int(d/time.Minute)]++
		}
		for minute, n := range perMinute { // 10 expected; 35 is eight standard deviations away
			if n > 35 {
				t.Errorf("%d of %d began in minute %d", n, programs, minute)
			}
		}
	})
}

func TestWindowsBoundRuns(t *testing.T) {
	inBubble(t, func(t *testing.T, start func(Config) *Scheduler) {
		// The bubble begins at midnight UTC, 1 January 2000.
		w := mustParse(t, "02:00-05:00", "UTC")
		var began, ended []string
		start(Config{Windows: w, Jitter: time.Minute, Tasks: []Task{
			{Name: "long", Every: time.Hour, Run: func(ctx context.Context) (string, error) {
				began = append(began, time.Now().UTC().Format("15"))
				<-ctx.Done()
				ended = append(ended, time.Now().UTC().Format("15:04")+" "+context.Cause(ctx).Error())
				return "", ctx.Err()
			}},
		}})
		pass(30 * time.Hour)
		if want := []string{"02", "02"}; !slices.Equal(began, want) {
			t.Errorf("began %q, want %q", began, want)
		}
		if want := []string{"05:00 the window is over", "05:00 the window is over"}; !slices.Equal(ended, want) {
			t.Errorf("ended %q, want %q", ended, want)
		}
	})
}

// A machine that sleeps stops the timers and not the calendar.
func TestSleepingMachine(t *testing.T) {
	inBubble(t, func(t *testing.T, start func(Config) *Scheduler) {
		var asleep atomic.Int64
		var runs atomic.Int64
		start(Config{
			Tasks: []Task{counting("t", 24*time.Hour, &runs)},
			Now:   func() time.Time { return time.Now().Add(time.Duration(asleep.Load())) },
		})
		pass(time.Hour)
		asleep.Store(int64(30 * time.Hour))
		pass(longestLook + time.Second)
		if runs.Load() != 2 {
			t.Errorf("%d runs half a minute after the machine woke up, want the second", runs.Load())
		}
	})
}

func TestWindowThatWasSleptThrough(t *testing.T) {
	inBubble(t, func(t *testing.T, start func(Config) *Scheduler) {
		var asleep atomic.Int64
		var runs atomic.Int64
		s := start(Config{
			Windows: mustParse(t, "02:00-05:00", "UTC"), Tasks: []Task{counting("t", 24*time.Hour, &runs)},
			Now: func() time.Time { return time.Now().Add(time.Duration(asleep.Load())) },
		})
		pass(time.Hour)
		asleep.Store(int64(30 * time.Hour)) // from 01:00 to 07:00 on the next day
		pass(longestLook + time.Second)
		if r := s.Runs(); len(r) != 1 || r[0].Outcome != Skipped || !strings.Contains(r[0].Why, "window passed") {
			t.Errorf("nothing says that the window was missed: %+v", r)
		}
		pass(20 * time.Hour)
		if runs.Load() != 1 {
			t.Errorf("%d runs in the next window, want 1", runs.Load())
		}
	})
}

func TestClockThatIsSetBack(t *testing.T) {
	inBubble(t, func(t *testing.T, start func(Config) *Scheduler) {
		var off atomic.Int64
		off.Store(int64(50 * 365 * 24 * time.Hour)) // the machine started with a wrong clock
		var runs atomic.Int64
		var noted notes
		start(Config{
			Tasks: []Task{counting("t", time.Hour, &runs)}, Delay: time.Minute,
			Now:  func() time.Time { return time.Now().Add(time.Duration(off.Load())) },
			Last: noted.last, Note: noted.note,
		})
		pass(2 * time.Minute)
		off.Store(0)
		before := runs.Load()
		pass(3 * time.Hour)
		if runs.Load() < before+2 {
			t.Errorf("%d runs in three hours after the clock was set right", runs.Load()-before)
		}
	})
}

func TestLastRunsOfOtherProcesses(t *testing.T) {
	inBubble(t, func(t *testing.T, start func(Config) *Scheduler) {
		var noted notes
		noted.note("t", time.Now().Add(-20*time.Hour))
		var runs atomic.Int64
		start(Config{
			Tasks: []Task{counting("t", 24*time.Hour, &runs)}, Delay: time.Minute,
			Last: noted.last, Note: noted.note,
		})
		pass(3*time.Hour + 59*time.Minute)
		if runs.Load() != 0 {
			t.Error("it ran although an earlier process did it 23 hours ago")
		}
		pass(2 * time.Minute)
		if runs.Load() != 1 || time.Since(noted.last("t")) > 2*time.Minute {
			t.Errorf("%d runs, noted at %s", runs.Load(), noted.last("t"))
		}
		noted.note("t", time.Now().Add(20*time.Hour)) // by another process, whose clock is ahead
		pass(24 * time.Hour)
		noted.note("t", time.Now())
		pass(23 * time.Hour)
		if runs.Load() != 1 {
			t.Errorf("%d runs although another process does it every day", runs.Load())
		}
	})
}

// Of several processes one at a time runs a task, and the others see that it was done.
func TestOneProcessAtATime(t *testing.T) {
	inBubble(t, func(t *testing.T, start func(Config) *Scheduler) {
		const processes, otherProcess = 5, "another process does it"
		claim := make(chan struct{}, 1)
		var noted notes
		var inside, together, runs atomic.Int64
		var all []*Scheduler
		for range processes {
			all = append(all, start(Config{
				Claim: func() (string, error) {
					select {
					case claim <- struct{}{}:
						return "", nil
					default:
						return otherProcess, nil
					}
				},
				Unclaim: func() error { <-claim; return nil },
				Last:    noted.last,
				Note:    noted.note,
				Tasks: []Task{{Name: "t", Every: 24 * time.Hour, Run: func(context.Context) (string, error) {
					together.Store(max(together.Load(), inside.Add(1)))
					time.Sleep(10 * time.Minute)
					inside.Add(-1)
					runs.Add(1)
					return "", nil
				}}},
			}))
		}
		pass(72 * time.Hour)
		if together.Load() != 1 || runs.Load() != 3 {
			t.Errorf("%d runs in three days, up to %d at once; want 3, one at a time", runs.Load(), together.Load())
		}
		var left int
		for _, s := range all {
			for _, r := range s.Runs() {
				if r.Outcome == Skipped && r.Why == otherProcess {
					left++
				}
			}
		}
		if left == 0 {
			t.Error("no process has noted that another one does it")
		}
	})
}

func TestBusyDatabaseIsLeftAlone(t *testing.T) {
	inBubble(t, func(t *testing.T, start func(Config) *Scheduler) {
		var writes atomic.Int64
		var busy atomic.Bool
		busy.Store(true)
		var runs atomic.Int64
		var late []string
		s := start(Config{
			Load: func() Load {
				l := Load{Writes: writes.Add(200)} // at every look, one second apart
				if !busy.Load() {
					l.Writes = writes.Add(-200)
				}
				return l
			},
			MaxWrites: 100, Delay: time.Minute,
			Tasks:  []Task{counting("t", 24*time.Hour, &runs)},
			OnLate: func(task string, since time.Time, why string) { late = append(late, task+": "+why) },
		})
		pass(10*time.Hour + time.Minute)
		if runs.Load() != 0 {
			t.Errorf("%d runs under load", runs.Load())
		}
		skips := s.Runs()
		if len(skips) != 1 || skips[0].Outcome != Skipped || skips[0].Why != errLoad.Error() || skips[0].Times < 30_000 {
			t.Errorf("runs of the task: %+v", skips)
		}
		busy.Store(false)
		pass(5 * time.Second)
		if runs.Load() != 1 {
			t.Error("it did not run within seconds after the load was over")
		}
		busy.Store(true)
		pass(49 * time.Hour)
		if runs.Load() != 2 || len(late) != 1 || late[0] != "t: the database is busy" {
			t.Errorf("always under load: %d runs in all, late %q", runs.Load(), late)
		}
	})
}

func TestLoadInterruptsARun(t *testing.T) {
	inBubble(t, func(t *testing.T, start func(Config) *Scheduler) {
		var queued atomic.Int64
		var took []time.Duration
		start(Config{
			Load: func() Load { return Load{Queued: int(queued.Load())} },
			Tasks: []Task{{Name: "t", Every: time.Hour, Run: func(ctx context.Context) (string, error) {
				began := time.Now()
				for range 3 {
					time.Sleep(4 * time.Second)
					if ctx.Err() != nil {
						t.Error("it was interrupted without load")
					}
				}
				queued.Store(1)
				<-ctx.Done()
				queued.Store(0)
				took = append(took, time.Since(began))
				if !errors.Is(context.Cause(ctx), errLoad) {
					t.Errorf("interrupted by %v", context.Cause(ctx))
				}
				if len(took) == 2 {
					return "done at last", nil
				}
				return "", ctx.Err()
			}}},
		})
		pass(3 * time.Minute)
		if len(took) != 2 || took[0] < 20*time.Second || took[0] > 25*time.Second {
			t.Errorf("runs took %s; want two of 12 s and 10 of load", took)
		}
	})
}

func TestFailuresAreTriedAgainLessOften(t *testing.T) {
	inBubble(t, func(t *testing.T, start func(Config) *Scheduler) {
		var mu sync.Mutex // guards attempts
		var attempts []time.Duration
		began := time.Now()
		var events []Run
		start(Config{OnRun: func(r Run) { events = append(events, r) }, Tasks: []Task{
			{Name: "t", Every: 24 * time.Hour, Run: func(context.Context) (string, error) {
				mu.Lock()
				defer mu.Unlock()
				attempts = append(attempts, time.Since(began).Round(time.Minute))
				return "", errors.New("disk full")
			}},
		}})
		pass(31 * time.Minute)
		mu.Lock()
		if want := []time.Duration{0, 2 * time.Minute, 6 * time.Minute, 14 * time.Minute, 30 * time.Minute}; !slices.Equal(attempts, want) {
			t.Errorf("attempts after %s, want %s", attempts, want)
		}
		mu.Unlock()
		pass(72 * time.Hour) // in the end once in an interval
		mu.Lock()
		defer mu.Unlock()
		if n := len(attempts); n < 11 || n > 14 {
			t.Errorf("%d attempts in three days: %s", n, attempts)
		}
		if len(events) != len(attempts) || events[0].Outcome != Failed || events[0].Err.Error() != "disk full" {
			t.Errorf("events %+v", events)
		}
	})
}

func TestPause(t *testing.T) {
	inBubble(t, func(t *testing.T, start func(Config) *Scheduler) {
		var runs, cut int
		s := start(Config{Tasks: []Task{{Name: "t", Every: time.Hour, Run: func(ctx context.Context) (string, error) {
			runs++
			select {
			case <-ctx.Done():
				time.Sleep(3 * time.Second) // a step that has to be finished
				cut++
				return "", ctx.Err()
			case <-time.After(30 * time.Minute):
				return "", nil
			}
		}}}})
		pass(time.Minute)
		if err := s.Pause(t.Context(), "backup"); err != nil {
			t.Fatal(err)
		}
		if runs != 1 || cut != 1 {
			t.Errorf("Pause has returned: %d begun, %d ended", runs, cut)
		}
		pass(5 * time.Hour)
		if runs != 1 || s.Paused() != "backup" || s.Next()[0].Waiting != "paused: backup" {
			t.Errorf("%d runs in a pause for %q, next %+v", runs, s.Paused(), s.Next())
		}
		if r := s.Runs()[0]; r.Outcome != Interrupted || r.Why != "paused" {
			t.Errorf("the run that was cut: %+v", r)
		}
		if r, err := s.Run(t.Context(), "t"); err != nil || r.Outcome != Done || !r.Asked || r.Took != 30*time.Minute {
			t.Errorf("asked for in a pause: %+v, %v", r, err)
		}
		s.Resume()
		pass(61 * time.Minute)
		if runs != 3 || s.Paused() != "" {
			t.Errorf("%d runs after Resume", runs)
		}
	})
}

// A task that was asked for is not ended by a pause, but waited for.
func TestPauseWaitsForRun(t *testing.T) {
	inBubble(t, func(t *testing.T, start func(Config) *Scheduler) {
		began := make(chan struct{})
		var ended atomic.Bool
		s := start(Config{Tasks: []Task{{Name: "t", Run: func(ctx context.Context) (string, error) {
			close(began)
			pass(time.Minute)
			ended.Store(true)
			return "", ctx.Err()
		}}}})
		done := make(chan error, 1)
		go func() { _, err := s.Run(t.Context(), "t"); done <- err }()
		<-began
		if err := s.Pause(t.Context(), "backup"); err != nil || !ended.Load() {
			t.Errorf("Pause: %v, and the task has ended: %t", err, ended.Load())
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestPauseThatIsGivenUp(t *testing.T) {
	inBubble(t, func(t *testing.T, start func(Config) *Scheduler) {
		s := start(Config{Tasks: []Task{{Name: "deaf", Every: time.Hour, Run: func(context.Context) (string, error) {
			time.Sleep(time.Hour)
			return "", nil
		}}}})
		pass(time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Pause(ctx, ""); !errors.Is(err, context.DeadlineExceeded) || s.Paused() == "" {
			t.Errorf("Pause: %v, paused %q", err, s.Paused())
		}
	})
}

func TestRunWaitsForTheOther(t *testing.T) {
	inBubble(t, func(t *testing.T, start func(Config) *Scheduler) {
		var inside atomic.Int64
		run := func(context.Context) (string, error) {
			if inside.Add(1) > 1 {
				t.Error("two tasks at once")
			}
			time.Sleep(time.Minute)
			inside.Add(-1)
			return "", nil
		}
		s := start(Config{Tasks: []Task{{Name: "a", Every: time.Hour, Run: run}, {Name: "b", Run: run}}})
		pass(time.Second)
		began := time.Now()
		if _, err := s.Run(t.Context(), "b"); err != nil || time.Since(began) < 110*time.Second {
			t.Errorf("Run: %v after %s, want both tasks' minutes", err, time.Since(began))
		}
		if _, err := s.Run(t.Context(), "c"); !errors.Is(err, ErrNoTask) {
			t.Errorf("Run of no task: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.Run(ctx, "b"); !errors.Is(err, context.Canceled) {
			t.Errorf("Run with a context that has ended: %v", err)
		}
	})
}

func TestCloseEndsARun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := make(chan struct{})
		s := New(Config{Tasks: []Task{{Name: "t", Every: time.Hour, Run: func(ctx context.Context) (string, error) {
			close(began)
			<-ctx.Done()
			return "", ctx.Err()
		}}}})
		<-began
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if r := s.Runs()[0]; r.Outcome != Interrupted || r.Why != errClosed.Error() {
			t.Errorf("the run: %+v", r)
		}
		if _, err := s.Run(t.Context(), "t"); !errors.Is(err, ErrClosed) {
			t.Errorf("Run after Close: %v", err)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Errorf("a second Close: %v", err)
		}
		s.Resume()
	})
}

func TestCloseIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := make(chan struct{})
		s := New(Config{Tasks: []Task{{Name: "deaf", Every: time.Hour, Run: func(context.Context) (string, error) {
			close(began)
			time.Sleep(time.Minute)
			return "", nil
		}}}})
		<-began
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Close(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "deaf") {
			t.Errorf("Close: %v", err)
		}
		pass(time.Minute)
	})
}

// Without a task that runs by the clock there is no timer.
func TestNothingByTheClock(t *testing.T) {
	inBubble(t, func(t *testing.T, start func(Config) *Scheduler) {
		var runs atomic.Int64
		s := start(Config{Tasks: []Task{counting("t", -1, &runs)}})
		if _, err := s.Run(t.Context(), "t"); err != nil || s.timer != nil {
			t.Errorf("Run: %v; the timer is %v", err, s.timer)
		}
		s.Resume()
		pass(24 * time.Hour)
		if runs.Load() != 1 || s.timer != nil {
			t.Errorf("%d runs", runs.Load())
		}
	})
}

func TestClaimThatFails(t *testing.T) {
	inBubble(t, func(t *testing.T, start func(Config) *Scheduler) {
		broken := errors.New("no locks here")
		var runs atomic.Int64
		s := start(Config{Claim: func() (string, error) { return "", broken }, Tasks: []Task{counting("t", time.Hour, &runs)}})
		pass(time.Minute)
		if r := s.Runs(); runs.Load() != 0 || len(r) == 0 || r[0].Outcome != Failed || !errors.Is(r[0].Err, broken) {
			t.Errorf("%d runs, %+v", runs.Load(), r)
		}
		if _, err := s.Run(t.Context(), "t"); !errors.Is(err, broken) {
			t.Errorf("Run: %v", err)
		}
	})
}
