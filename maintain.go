package holdfast

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/internal/locks"
	"github.com/holdfastdb/holdfast/internal/maintain/integrity"
	"github.com/holdfastdb/holdfast/internal/maintain/schedule"
	"github.com/holdfastdb/holdfast/internal/sidelock"
	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// Maintenance is what is done for a database in the background: which task runs
// when, and what came of it. All handles of the process share it. Its methods may
// be called by several goroutines at once, and after Close, when nothing runs.
//
// A task begins when its interval is over (the section maintenance of the
// configuration), in one of the windows, while few write and nobody waits, and
// never beside another task: neither in this process nor in another one that has
// the file. One that is still waiting for quiet after a whole interval, and at
// least an hour, runs under load. The lock file carries the times of the last
// runs from one process to the next; a process that lives for less than half a
// minute leaves all to others.
type Maintenance struct{ d *database }

// Maintenance returns the background work of the database.
func (db *DB) Maintenance() Maintenance { return Maintenance{db.h.d} }

// MaintenanceRun is one run of a task, or why there was none.
type MaintenanceRun struct {
	Task    string    `json:"task"`    // "optimize", "vacuum", "verify"
	Outcome string    `json:"outcome"` // "done", "failed", "interrupted" (it is tried again soon) or "skipped"
	Started time.Time `json:"started"`
	Seconds float64   `json:"seconds"`
	Result  string    `json:"result"` // in a few words; begins with "nothing" if there was nothing to do
	Error   string    `json:"error,omitempty"`
	Why     string    `json:"why,omitempty"` // it was interrupted or skipped
	Asked   bool      `json:"asked"`         // by Run, not by the clock
	Times   int       `json:"times"`         // in a row; more than 1 only for what was skipped for the same reason
}

// MaintenanceNext is when a task runs.
type MaintenanceNext struct {
	Task    string    `json:"task"`
	Last    time.Time `json:"last"`    // its last run that ended well, by any process; zero if none is on record
	At      time.Time `json:"at"`      // not before; zero if it only runs when it is asked for
	Waiting string    `json:"waiting"` // for what it has waited when it was last tried
}

// Runs returns the last runs, up to 16 of each task, the newest first.
func (m Maintenance) Runs() []MaintenanceRun {
	runs := m.d.care.Runs()
	list := make([]MaintenanceRun, 0, len(runs))
	for _, r := range runs {
		list = append(list, maintenanceRun(r))
	}
	return list
}

// Next returns when each task runs.
func (m Maintenance) Next() []MaintenanceNext {
	tasks := m.d.care.Next()
	list := make([]MaintenanceNext, 0, len(tasks))
	for _, n := range tasks {
		list = append(list, MaintenanceNext(n))
	}
	return list
}

// Pause lets no task begin by the clock until Resume, and ends the one that is
// under way. When it returns nil, none runs in this process; an end of ctx ends
// the wait for that, not the pause. The reason is for people.
func (m Maintenance) Pause(ctx context.Context, reason string) error {
	m.d.log.Info("holdfast: maintenance is paused", "path", m.d.path, "reason", reason)
	return m.d.care.Pause(ctx, reason)
}

// Resume ends a pause. Without one it does nothing.
func (m Maintenance) Resume() {
	if m.d.care.Paused() != "" {
		m.d.log.Info("holdfast: maintenance goes on", "path", m.d.path)
	}
	m.d.care.Resume()
}

// Paused returns the reason of a pause, or "".
func (m Maintenance) Paused() string { return m.d.care.Paused() }

// Run runs a task now, at any hour, under load and in a pause. It waits for a
// task that this process is running, until ctx ends. What another process is
// doing is skipped: the outcome says so, and the error is nil. A name that is no
// task is ErrRefused.
func (m Maintenance) Run(ctx context.Context, task string) (MaintenanceRun, error) {
	r, err := m.d.care.Run(ctx, task)
	if errors.Is(err, schedule.ErrNoTask) {
		return MaintenanceRun{}, newError("maintain", ErrRefused, sqlite.ResultMisuse,
			fmt.Sprintf("%q is no task of this database", task), "ask DB.Maintenance().Next() for the tasks there are")
	}
	return maintenanceRun(r), m.d.fail("maintain", "", locks.Site{}, nil, err)
}

func maintenanceRun(r schedule.Run) MaintenanceRun {
	run := MaintenanceRun{
		Task: r.Task, Outcome: string(r.Outcome), Started: r.Started, Seconds: r.Took.Seconds(),
		Result: r.Result, Why: r.Why, Asked: r.Asked, Times: r.Times,
	}
	if r.Err != nil {
		run.Error = translate("maintain", "", locks.Site{}, nil, r.Err).Error()
	}
	return run
}

// MaintenanceStats counts the runs of all tasks.
type MaintenanceStats struct {
	Done        int64   `json:"done"`
	Failed      int64   `json:"failed"`
	Interrupted int64   `json:"interrupted"`
	Skipped     int64   `json:"skipped"` // reasons in a row count once
	Seconds     float64 `json:"seconds"`
	Paused      bool    `json:"paused"` // now
}

func (d *database) maintenanceStats() MaintenanceStats {
	n := d.care.Totals()
	return MaintenanceStats{
		Done: n.Done, Failed: n.Failed, Interrupted: n.Interrupted, Skipped: n.Skipped,
		Seconds: n.Took.Seconds(), Paused: d.care.Paused() != "",
	}
}

// tasks are what the database is maintained by: one that lasts, and that this
// process writes.
func (d *database) tasks() []schedule.Task {
	if d.writer == nil || d.memory != nil {
		return nil
	}
	c := d.cfg.Maintenance
	return []schedule.Task{
		{Name: "optimize", Every: c.OptimizeInterval, Run: d.optimizeTask},
		{Name: "vacuum", Every: c.VacuumInterval, Run: d.vacuumTask},
		{Name: "verify", Every: c.VerifyInterval, Run: d.verifyTask},
	}
}

// verifyTask reads everything and checks it. Damage is no failure of the task,
// which would repeat it soon: verify has logged it, and Health tells it.
func (d *database) verifyTask(ctx context.Context) (result string, err error) {
	r, err := d.verify(ctx, integrity.Request{})
	switch {
	case err != nil:
		return "", err
	case !r.OK:
		return fmt.Sprintf("%d problems in %d pages", len(r.Problems), r.Pages), nil
	}
	return fmt.Sprintf("%d pages are well", r.Pages), nil
}

// maintenanceDelay is how long after Open the first task may run. Most commands
// have ended by then; a program that lives for minutes gets its turn.
const maintenanceDelay = 30 * time.Second

// startMaintenance begins to run tasks by the clock, if it is on.
func (d *database) startMaintenance(tasks []schedule.Task) {
	c := d.cfg.Maintenance
	if !c.Enabled.Enabled() {
		for i := range tasks {
			tasks[i].Every = 0
		}
	}
	windows, _ := schedule.ParseWindows(c.Windows, c.TimeZone) // Validate has read them
	cfg := schedule.Config{
		Tasks: tasks, Windows: windows, Delay: maintenanceDelay, Jitter: c.Jitter,
		Load: d.load, MaxWrites: c.QuietWrites, OnRun: d.reportRun, OnLate: d.reportLate,
	}
	if d.turn != nil {
		cfg.Claim, cfg.Unclaim = d.claimMaintenance, func() error { return d.turn.Return(sidelock.Maintenance) }
		cfg.Last, cfg.Note = d.turn.Time, d.noteMaintenance
	}
	d.care = schedule.New(cfg)
}

// load is what the database is doing. Of other processes only the turn is seen: one
// that writes much has it at most looks.
func (d *database) load() schedule.Load {
	p := d.pool.Stats()
	l := schedule.Load{Waiting: p.Waiting, Waits: p.Waits + d.counters.QueueWaits.Load(), Writes: d.counters.GroupedUnits.Load()}
	if d.writer != nil {
		l.Queued = d.writer.Queued()
	}
	if d.turn != nil {
		if pid, ok := d.turn.Holder(); ok && pid != os.Getpid() {
			l.Queued++
		}
	}
	return l
}

// claimMaintenance takes the duty, unless another process has it or the schema is
// being changed.
func (d *database) claimMaintenance() (taken string, err error) {
	if _, ok := d.turn.TakenBy(sidelock.Migration); ok {
		return "a migration is under way", nil
	}
	ok, err := d.turn.TryTake(sidelock.Maintenance)
	if ok || err != nil {
		return "", err
	}
	if pid, ok := d.turn.TakenBy(sidelock.Maintenance); ok && pid == os.Getpid() {
		return "the program does it", nil // by DB.Optimize
	}
	return "another process does it", nil
}

func (d *database) noteMaintenance(task string, at time.Time) {
	if err := d.turn.SetTime(task, at); err != nil {
		d.log.Debug("holdfast: a maintenance run could not be noted for the next process", "path", d.path, "task", task, "error", err)
	}
}

func (d *database) reportRun(r schedule.Run) {
	args := []any{"path", d.path, "task", r.Task, "took", r.Took.Round(time.Millisecond)}
	switch {
	case r.Outcome == schedule.Failed:
		d.log.Warn("holdfast: a maintenance task failed", append(args, "error", d.fail("maintain", "", locks.Site{}, nil, r.Err),
			"next", "it is tried again, later each time; DB.Maintenance().Run runs it at once")...)
	case r.Outcome == schedule.Done && !strings.HasPrefix(r.Result, "nothing"): // which vacuum says every hour
		d.log.Info("holdfast: maintained", append(args, "result", r.Result)...)
	default:
		d.log.Debug("holdfast: maintenance", append(args, "outcome", string(r.Outcome), "why", r.Why)...)
	}
}

func (d *database) reportLate(task string, since time.Time, why string) {
	d.log.Warn("holdfast: a maintenance task has waited for long and now runs under load", "path", d.path, "task", task,
		"since", since.UTC().Format(time.RFC3339), "why", why,
		"next", "raise maintenance.quiet_writes, set maintenance.windows to quieter hours, or lengthen its interval")
}
