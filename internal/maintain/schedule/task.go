package schedule

import (
	"context"
	"time"
)

// Task is one kind of maintenance.
type Task struct {
	// Name is short, ASCII and without blanks: "optimize".
	Name string
	// Every is the time from the end of one run to the next. Not above 0: it runs
	// only when it is asked for.
	Every time.Duration
	// Run does the work and says what came of it, in a few words for people, the
	// first of them "nothing" if there was nothing to do. Soon after ctx has ended, of
	// which context.Cause says why, it returns an error, unless it was done by then,
	// and leaves nothing half done. It may be called again at once, but never while
	// it or another task runs.
	Run func(ctx context.Context) (result string, err error)
	// AnyTime: it keeps to no window and doesn't wait for quiet.
	AnyTime bool
	// Last tells when it last ended well, for all processes, in place of Config.Last:
	// then Run has to note it. It must not block; nil leaves it to Config.
	Last func() time.Time
}

// Outcome is how a run ended.
type Outcome string

const (
	Done        Outcome = "done"
	Failed      Outcome = "failed"
	Interrupted Outcome = "interrupted" // ended early, and tried again soon
	Skipped     Outcome = "skipped"     // didn't begin
)

// Run is one run of a task, or why there was none.
type Run struct {
	Task    string
	Outcome Outcome
	Started time.Time
	Took    time.Duration
	Result  string // what Task.Run said
	Err     error  // what it failed with
	Why     string // it was interrupted or skipped
	Asked   bool   // by Scheduler.Run, not by the clock
	Times   int    // as often in a row; more than 1 only for what was skipped
}

// Next is when a task runs.
type Next struct {
	Task    string
	Last    time.Time // its last run that ended well, by any process; zero if there is none on record
	At      time.Time // not before; zero: only when it is asked for
	Waiting string    // for what, if it would be time
}
