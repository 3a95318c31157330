package holdfast

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/internal/dbfile"
	"github.com/holdfastdb/holdfast/internal/locks"
	"github.com/holdfastdb/holdfast/internal/maintain/checkpoint"
	"github.com/holdfastdb/holdfast/internal/maintain/memory"
	"github.com/holdfastdb/holdfast/internal/maintain/schedule"
	"github.com/holdfastdb/holdfast/internal/sidelock"
	"github.com/holdfastdb/holdfast/internal/sqlite"
	"github.com/holdfastdb/holdfast/internal/stats"
	"github.com/holdfastdb/holdfast/internal/writer"
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
//
// That of a back end that is no file has no tasks, and can be given none.
type Maintenance struct{ d *database }

// Maintenance returns the background work of the database.
func (db *DB) Maintenance() Maintenance {
	if db.remote != nil {
		return Maintenance{}
	}
	return Maintenance{db.h.d}
}

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
	if m.d == nil {
		return []MaintenanceRun{}
	}
	runs := m.d.care.Runs()
	list := make([]MaintenanceRun, 0, len(runs))
	for _, r := range runs {
		list = append(list, maintenanceRun(r))
	}
	return list
}

// Next returns when each task runs.
func (m Maintenance) Next() []MaintenanceNext {
	if m.d == nil {
		return []MaintenanceNext{}
	}
	tasks := m.d.care.Next()
	list := make([]MaintenanceNext, 0, len(tasks))
	for _, n := range tasks {
		list = append(list, MaintenanceNext(n))
	}
	return list
}

// Pause lets no task begin by the clock until Resume, and ends the one that the
// clock has begun; it waits for one that Run was asked for. When it returns nil,
// none runs in this process; an end of ctx ends the wait for that, not the pause.
// The reason is for people.
func (m Maintenance) Pause(ctx context.Context, reason string) error {
	if m.d == nil {
		return unsupported("maintain")
	}
	m.d.log.Info("holdfast: maintenance is paused", "path", m.d.path, "reason", reason)
	return m.d.care.Pause(ctx, reason)
}

// Resume ends a pause. Without one it does nothing.
func (m Maintenance) Resume() {
	if m.d == nil {
		return
	}
	if m.d.care.Paused() != "" {
		m.d.log.Info("holdfast: maintenance goes on", "path", m.d.path)
	}
	m.d.care.Resume()
}

// CheckpointRun is one checkpoint that this process has made.
type CheckpointRun struct {
	At           time.Time      `json:"at"`
	Seconds      float64        `json:"seconds"`
	Mode         CheckpointMode `json:"mode"`          // that was asked for; "" if the database has made it by itself
	LogFrames    int            `json:"log_frames"`    // pages that the log had
	CopiedFrames int            `json:"copied_frames"` // of them that are in the database
	Busy         bool           `json:"busy"`          // it was kept from copying all that there was
	Times        int            `json:"times"`         // in a row that were kept from copying more; the rest is about the last of them
	Since        time.Time      `json:"since"`         // when the first of them was
	Error        string         `json:"error,omitempty"`
}

// Checkpoints returns the last checkpoints, up to 64, the newest first.
func (m Maintenance) Checkpoints() []CheckpointRun {
	list := []CheckpointRun{}
	if m.d == nil || m.d.checkpoints == nil {
		return list
	}
	for _, e := range m.d.checkpoints.Log() {
		r := CheckpointRun{e.At.UTC(), e.Took.Seconds(), CheckpointMode(e.Mode), e.Frames, e.Copied, e.Busy, e.Times, e.Since.UTC(), ""}
		if e.Err != nil {
			r.Error = e.Err.Error()
		}
		list = append(list, r)
	}
	return list
}

// Paused returns the reason of a pause, or "".
func (m Maintenance) Paused() string {
	if m.d == nil {
		return ""
	}
	return m.d.care.Paused()
}

// Run runs a task now, at any hour, under load and in a pause. It waits for a
// task that this process is running, until ctx ends. What another process is
// doing is skipped: the outcome says so, and the error is nil. A name that is no
// task is ErrRefused.
func (m Maintenance) Run(ctx context.Context, task string) (MaintenanceRun, error) {
	if m.d == nil {
		return MaintenanceRun{}, unsupported("maintain")
	}
	r, err := m.d.care.Run(ctx, task)
	if errors.Is(err, schedule.ErrNoTask) {
		return MaintenanceRun{}, newError("maintain", ErrRefused, sqlite.ResultMisuse,
			fmt.Sprintf("%q is no task of this database", task), "ask DB.Maintenance().Next() for the tasks there are")
	}
	return maintenanceRun(r), m.d.fail("maintain", "", locks.Site{}, nil, err)
}

// MaintenanceTask is work that a program has done for its database as the database
// does its own: by one clock, never beside another task, in one process at a time.
type MaintenanceTask struct {
	Name  string        // short, without blanks; no other task of the database has it
	Every time.Duration // from the end of one run to the next; not above 0: only by Run
	// Run is DB.Maintenance's to call, never twice at once. It must end soon after ctx
	// has, and says in a few words what came of it, "nothing ..." if there was nothing
	// to do. A run that failed is logged and tried again after 2, 4, 8 minutes, at most
	// after Every.
	Run func(ctx context.Context) (result string, err error)
	// AnyTime: it keeps to no window and runs under load.
	AnyTime bool
	// Last tells when it was last done well, by any process; Run has to note that, where
	// others find it. Must not block, nor call Maintenance. Nil: only this process knows.
	Last func() time.Time
}

// Add has a task run from now on, also where maintenance.enabled is false, the
// first time half a minute later. remove ends it and waits for a run of it, until ctx
// ends; a task must not remove itself. Close of the database ends all tasks. A name
// that is taken is ErrRefused, a database that is closed ErrClosed.
func (m Maintenance) Add(t MaintenanceTask) (remove func(ctx context.Context) error, err error) {
	if m.d == nil {
		return nil, unsupported("maintain")
	}
	if t.Last == nil {
		t.Last = func() time.Time { return time.Time{} }
	}
	remove, err = m.d.care.Add(schedule.Task(t))
	switch {
	case errors.Is(err, schedule.ErrTaken):
		err = newError("maintain", ErrRefused, sqlite.ResultMisuse, fmt.Sprintf("this database has a task named %q", t.Name), "remove that one first, or take another name")
	case err != nil:
		err = errHandleClosed("maintain")
	}
	return remove, err
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
	Done        int64   `json:"done" figure:"counter" doc:"runs of tasks that ended well"`
	Failed      int64   `json:"failed" figure:"counter" doc:"runs that failed"`
	Interrupted int64   `json:"interrupted" figure:"counter" doc:"runs that were interrupted"`
	Skipped     int64   `json:"skipped" figure:"counter" doc:"runs that were left out; reasons in a row count once"`
	Seconds     float64 `json:"seconds" figure:"counter,s" doc:"time that runs took"`
	Paused      bool    `json:"paused" figure:"gauge" doc:"1 if maintenance is paused"`
	// Rests are those between pieces of work, of all that lasts, because others wrote;
	// see maintenance.yield.
	Rests         int64   `json:"rests" figure:"counter" doc:"rests between pieces of work, because others wrote"`
	RestedSeconds float64 `json:"rested_seconds" figure:"counter,s" doc:"time of these rests"`
	PieceSeconds  float64 `json:"piece_seconds" figure:"counter,s" doc:"time that was worked before these rests"`
}

func (d *database) maintenanceStats() MaintenanceStats {
	n, r := d.care.Totals(), d.pacer.Stats()
	return MaintenanceStats{
		Done: n.Done, Failed: n.Failed, Interrupted: n.Interrupted, Skipped: n.Skipped,
		Seconds: n.Took.Seconds(), Paused: d.care.Paused() != "",
		Rests: r.Rests, RestedSeconds: r.Rested.Seconds(), PieceSeconds: r.Worked.Seconds(),
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

// CheckpointMode is how far a checkpoint goes; see
// https://www.sqlite.org/c3ref/wal_checkpoint_v2.html.
type CheckpointMode string

// The modes. All but the first hold the writer until they are done.
const (
	CheckpointPassive  CheckpointMode = "PASSIVE"  // copies what it can without waiting for anybody
	CheckpointFull     CheckpointMode = "FULL"     // copies all, and waits for readers of older states
	CheckpointRestart  CheckpointMode = "RESTART"  // and waits until nobody reads in the log, so that the next write begins it anew
	CheckpointTruncate CheckpointMode = "TRUNCATE" // and cuts the file to nothing
)

// CheckpointResult is what a checkpoint has achieved. It has reached the end of the
// log if LogFrames and CopiedFrames are equal; SQLite's own "busy" says nothing of
// the kind.
type CheckpointResult struct {
	Mode            CheckpointMode `json:"mode"`
	LogFrames       int            `json:"log_frames"`       // pages that the log had
	CopiedFrames    int            `json:"copied_frames"`    // of them that are in the database now
	BytesBefore     int64          `json:"bytes_before"`     // of the log on the disk
	BytesAfter      int64          `json:"bytes_after"`      // the same
	PinnedBy        *LockHolder    `json:"pinned_by"`        // who kept the rest from being copied; nil if all is, or nobody was found
	DurationSeconds float64        `json:"duration_seconds"` // waits included
}

// Checkpoint copies the write-ahead log into the database. Nobody has to call it:
// the database does it by itself, off the write path, unless maintenance.enabled is
// false. It is for a moment that the program knows to be good, and before copying
// files.
//
// PASSIVE waits for nobody but another checkpoint, and, while others write, until 75
// ms after the one before it (maintenance.yield). The others wait for the writer,
// hold it, and wait for readers, all within database.busy_timeout: after that the
// error is an ErrBusy that names who is in the way, and so does the result, which
// tells in any case what was achieved. ctx ends the waits and the work at once. A log
// that Litestream or somebody else was given (maintenance.checkpoints) is copied by
// PASSIVE only; the others give ErrRefused. One that this process replicates
// (replication.target) is the replication's, which makes the checkpoint. On a handle that only reads it is
// ErrReadOnly. A database without a log has nothing to do. It is safe for concurrent
// use: checkpoints take turns.
func (db *DB) Checkpoint(ctx context.Context, mode CheckpointMode) (CheckpointResult, error) {
	out := CheckpointResult{Mode: mode}
	if err := db.needsFile("checkpoint"); err != nil {
		return out, err
	}
	d := db.h.d
	site := locks.Here(1, locks.Deep)
	engine, err := mode.engine()
	switch {
	case err != nil:
		return out, err
	case ctx.Err() != nil:
		return out, ctx.Err()
	case db.h.ReadOnly():
		return out, newError("checkpoint", ErrReadOnly, sqlite.ResultReadOnly, "the database is open read-only", "open the database without WithReadOnly")
	case d.checkpoints == nil:
		return out, nil
	case d.replication != nil && !db.h.closed.Load(): // else the room says so
		return d.replicationCheckpoint(ctx, mode)
	}
	if mode == CheckpointPassive { // those in a row are like one that lasts
		end, err := d.pacer.Apart(ctx)
		if err != nil {
			return out, err
		}
		defer end()
	}
	sql := "PRAGMA wal_checkpoint(" + string(mode) + ")"
	r, err := d.checkpoints.Checkpoint(ctx, engine, writer.Request{Site: site, SQL: sql, Budget: orNever(d.cfg.Database.BusyTimeout)})
	out.LogFrames, out.CopiedFrames = r.Frames, r.Copied
	out.BytesBefore, out.BytesAfter = r.Before, r.After
	out.DurationSeconds = r.Took.Seconds()
	var stopped *checkpoint.BusyError
	switch {
	case errors.As(err, &stopped):
		out.PinnedBy = d.pinHolder(stopped.Pin, time.Now())
		e := newError("checkpoint", ErrBusy, sqlite.ResultBusy, "database is locked (5) (SQLITE_BUSY): "+stopped.Error()+pinText(stopped.Pin), pinAdvice(stopped.Pin))
		e.SQL, e.Waited, e.Holder = sql, stopped.Waited, publicPin(stopped.Pin)
		return out, e
	case r.Pin != nil && r.Pin.Kind != checkpoint.ByOverlap:
		out.PinnedBy = d.pinHolder(*r.Pin, time.Now())
	}
	return out, d.fail("checkpoint", sql, site, nil, err)
}

// excludeCheckpoints is before PRAGMA wal_checkpoint.
func (d *database) excludeCheckpoints(ctx context.Context) (over func(), err error) {
	if d.replication != nil {
		return nil, newError("exec", ErrRefused, sqlite.ResultMisuse, "the write-ahead log is the replication's to copy and to begin anew", "call DB.Checkpoint, which asks it")
	}
	return d.checkpoints.Exclude(ctx)
}

// replicationCheckpoint has the replication checkpoint.
func (d *database) replicationCheckpoint(ctx context.Context, mode CheckpointMode) (CheckpointResult, error) {
	d.pool.Cool()
	out, err := d.replication.Checkpoint(ctx, mode)
	out.Mode = mode
	if err == nil || err == ctx.Err() {
		return out, err
	}
	return out, notReplicated("checkpoint", nil, "the replication of "+d.path+" made no checkpoint of mode "+string(mode), "DB.Stats().Replication tells how it is", err)
}

// orNever is a budget for the rooms, to which 0 is their own default.
func orNever(d time.Duration) time.Duration {
	if d <= 0 {
		return -1
	}
	return d
}

func (m CheckpointMode) engine() (sqlite.CheckpointMode, error) {
	switch m {
	case CheckpointPassive:
		return sqlite.CheckpointPassive, nil
	case CheckpointFull:
		return sqlite.CheckpointFull, nil
	case CheckpointRestart:
		return sqlite.CheckpointRestart, nil
	case CheckpointTruncate:
		return sqlite.CheckpointTruncate, nil
	}
	return 0, newError("checkpoint", ErrInvalid, sqlite.ResultMisuse, fmt.Sprintf("there is no checkpoint mode %q", string(m)), "use PASSIVE, FULL, RESTART or TRUNCATE")
}

// owners are the values of maintenance.checkpoints. Package-level because it is a
// table, and never written to.
var owners = []string{"AUTO", "OWN", "EXTERNAL"} // as the constants of package checkpoint

// watchLog makes the room that looks after the log. It opens and starts nothing.
func (d *database) watchLog() {
	if d.writer == nil || d.profile.journalMode != "wal" {
		return
	}
	owner := checkpoint.Owner(slices.Index(owners, d.cfg.Maintenance.Checkpoints))
	if d.replicated() {
		owner = checkpoint.External
	}
	wal, shm, _, _, _ := dbfile.Sidecars(d.path)
	d.checkpoints = checkpoint.New(checkpoint.Config{
		Open:   func(ctx context.Context) (*sqlite.Conn, error) { return d.connectAs(ctx, writing, memory.Maintenance) },
		Fence:  d.mayWrite,
		Pool:   d.pool,
		Writer: d.writer,
		Times:  d.seen.times,
		Size: func() int64 {
			info, err := os.Stat(wal) // not Identify: see dbfile.SameFile
			if err != nil {
				return 0
			}
			return info.Size()
		},
		Readers: d.readers,
		Foreign: func(ctx context.Context, slots []int) (locks.Process, bool) {
			if d.memory != nil {
				return locks.Process{}, false
			}
			if p, ok := locks.ForeignReader(ctx, d.path, shm, slots); ok {
				return p, true
			}
			return locks.Foreign(ctx, d.path, shm)
		},
		Litestream: d.litestream,
		OnEvent:    d.reportLog,
		Owner:      owner,
		Limit:      max(d.cfg.Maintenance.WALLimit, 0),
		Keep:       d.cfg.Database.JournalSizeLimit < 0,
	})
}

// litestream tells whether Litestream's directory lies beside the database: that of
// its versions before 0.4 has no dot.
func (d *database) litestream() bool {
	dir, base := filepath.Split(d.path)
	for _, name := range []string{"." + base + "-litestream", base + "-litestream"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.IsDir() {
			return true
		}
	}
	return false
}

// readers are all leases of the process on the file, the oldest first: those of a
// handle for SQL from outside are in a database of their own.
func (d *database) readers() []locks.Lease {
	all := d.registry.Snapshot()
	opened.mu.Lock()
	confined := opened.m[confinedID{d.id}]
	opened.mu.Unlock()
	if confined != nil {
		all = append(all, confined.registry.Snapshot()...)
		slices.SortFunc(all, func(a, b locks.Lease) int { return a.Since.Compare(b.Since) })
	}
	return all
}

// autocheckpoint is how many frames in the log make a commit copy them to the
// database where nothing is done in the background: SQLite's own default, 4 MB of
// pages of 4 KB.
const autocheckpoint = 1000

// checkpointItself replaces SQLite's automatic checkpoint. What a commit leaves in
// the log is copied off the write path; only without maintenance, and of an attached
// database, the commit does it as in SQLite, after asking the idle readers for the
// snapshots they keep, which would be in its way.
func (d *database) checkpointItself(c *sqlite.Conn) error {
	if err := c.WALAutocheckpoint(0); err != nil {
		return err
	}
	m := d.cfg.Maintenance
	c.SetWALHook(func(schema string, frames int) {
		main := schema == "main"
		switch {
		case main && m.Enabled.Enabled():
			if d.checkpoints != nil { // else it is being opened
				d.checkpoints.Committed(frames)
			}
		case frames < autocheckpoint || main && (m.Checkpoints == "EXTERNAL" || d.replicated()):
		default:
			d.pool.Cool()
			_, _, _ = c.WALCheckpoint(schema, sqlite.CheckpointPassive) // as in SQLite: the commit is done, and the next one tries again
		}
	})
	return nil
}

// tendLog is what the watch does for the log.
func (d *database) tendLog(now time.Time) {
	if d.checkpoints != nil && d.cfg.Maintenance.Enabled.Enabled() {
		d.checkpoints.Round(now)
	}
}

// reportLog tells what became of the log.
func (d *database) reportLog(e checkpoint.Event) {
	about := []any{"path", d.path, "bytes", e.Bytes, "limit", d.cfg.Maintenance.WALLimit, "frames", e.Frames, "copied", e.Copied, "for", e.Stood.Round(time.Millisecond)}
	switch e.Kind {
	case checkpoint.Failed:
		d.suspect("checkpoint", "", e.Err)
		d.log.Error("holdfast: a checkpoint failed", "path", d.path, "bytes", e.Bytes, "error", e.Err,
			"next", "look at the volume of the database; what was committed is in the log, which grows until a checkpoint succeeds")
	case checkpoint.Emptied:
		d.log.Info("holdfast: the log can be emptied again", about...)
	case checkpoint.HandedOver:
		next := "see whether Litestream runs; if it no longer replicates this database, remove its directory beside it or set maintenance.checkpoints to OWN"
		if d.replication != nil {
			next = "DB.Stats().Replication tells what keeps the replication from emptying it; holdfast locks tells who reads in it"
		}
		d.log.Warn("holdfast: the log is above maintenance.wal_limit, and who was given it does not empty it", append(about, "next", next)...)
	case checkpoint.Stands:
		msg := "holdfast: the log can't be emptied"
		if e.Over {
			msg = "holdfast: the log is above maintenance.wal_limit and can't be emptied"
		}
		about = append(about, "pinned_by", e.Pin.Kind, "age", time.Since(e.Pin.Since).Round(time.Millisecond))
		if l := e.Pin.Lease; l.Site.Known() {
			about = append(about, "caller", l.Site.String(), "sql", stats.Fingerprint(l.Last))
		}
		if p := e.Pin.Process; p.PID != 0 {
			about = append(about, "pid", p.PID, "program", p.Program, "state", p.State, "lock", p.Lock)
		}
		d.log.Warn(msg, append(about, "next", pinAdvice(e.Pin))...)
	}
}

func pinAdvice(p checkpoint.Pin) string {
	switch p.Kind {
	case checkpoint.ByProcess:
		if p.Process.State == "stopped" {
			return fmt.Sprintf("it is stopped and keeps its snapshot until it goes on (kill -CONT %d) or ends", p.Process.PID)
		}
		return "let that process end its read transaction"
	case checkpoint.ByStatement:
		return "wait for it, or give it a deadline"
	case checkpoint.ByOverlap:
		return "let readers end, or find out with DB.Locks who they are"
	}
	return "end that transaction or close those rows; connection_pool.max_lease_age does it by itself"
}

// pinText is who is in the way, for an error.
func pinText(p checkpoint.Pin) string {
	switch {
	case p.Kind == checkpoint.ByProcess:
		return fmt.Sprintf(": process %d (%s, %s) has %s", p.Process.PID, p.Process.Program, p.Process.State, p.Process.Lock)
	case p.Lease.Site.Known():
		return fmt.Sprintf(": %s begun at %s, %s ago, running %s", p.Kind, p.Lease.Site, time.Since(p.Since).Round(time.Millisecond), stats.Fingerprint(p.Lease.Last))
	}
	return ": " + p.Kind
}

func publicPin(p checkpoint.Pin) *Holder {
	return &Holder{
		Kind: p.Kind, CallSite: callSite(p.Lease.Site), SQL: stats.Fingerprint(p.Lease.Last), Since: p.Since,
		PID: p.Process.PID, Program: p.Process.Program, State: p.Process.State, Lock: p.Process.Lock,
	}
}

// pinHolder is a Pin as DB.Locks shows holders.
func (d *database) pinHolder(p checkpoint.Pin, now time.Time) *LockHolder {
	h := d.readHolder(p.Lease, now)
	h.Kind, h.Since, h.HeldSeconds = p.Kind, p.Since, now.Sub(p.Since).Seconds()
	if p.Process.PID != 0 {
		h.Lock, h.PID, h.Program, h.State = p.Process.Lock, p.Process.PID, p.Process.Program, p.Process.State
	}
	return &h
}

// WALStats is about the write-ahead log and its checkpoints.
type WALStats struct {
	Frames             int     `json:"frames" figure:"gauge" doc:"frames in the log, as of the last commit"`
	CopiedFrames       int     `json:"copied_frames" figure:"gauge" doc:"of them in the database at the last checkpoint"`
	LimitBytes         int64   `json:"limit_bytes" figure:"gauge,By" doc:"maintenance.wal_limit; 0 is none"`
	HandedOver         bool    `json:"handed_over" figure:"gauge" doc:"1 if somebody else checkpoints"`
	Checkpoints        int64   `json:"checkpoints" figure:"counter" doc:"checkpoints of all modes"`
	FramesCopied       int64   `json:"frames_copied" figure:"counter" doc:"frames copied by them"`
	Restarts           int64   `json:"restarts" figure:"counter" doc:"times that the log was begun anew"`
	Truncations        int64   `json:"truncations" figure:"counter" doc:"times that the log was cut to nothing"`
	ReaderHolds        int64   `json:"reader_holds" figure:"counter" doc:"times that new reads waited for a moment, because the log was above its limit"`
	Pins               int64   `json:"pins" figure:"counter" doc:"reports of somebody who keeps the log from being emptied"`
	OverLimit          int64   `json:"over_limit" figure:"counter" doc:"times that the log came above its limit and could not be emptied at once"`
	Incomplete         int64   `json:"checkpoints_incomplete" figure:"counter" doc:"checkpoints that copied nothing although there was something to copy"`
	IncompleteInARow   int64   `json:"checkpoints_incomplete_in_a_row" figure:"gauge" doc:"how many of the last checkpoints, without one between, copied nothing of what was left"`
	LongestHoldSeconds float64 `json:"longest_hold_seconds" figure:"gauge,s" doc:"the longest that the writer was held for the end of a checkpoint"`
}

func (d *database) walStats() WALStats {
	if d.checkpoints == nil {
		return WALStats{}
	}
	c := d.checkpoints.Stats()
	return WALStats{
		Frames: c.Frames, CopiedFrames: c.Copied, LimitBytes: max(d.cfg.Maintenance.WALLimit, 0), HandedOver: c.HandedOver,
		Checkpoints: c.Checkpoints, FramesCopied: c.FramesCopied, Restarts: c.Restarts, Truncations: c.Truncations,
		ReaderHolds: c.ReaderHolds, Pins: c.Pins, OverLimit: c.OverLimit, LongestHoldSeconds: c.LongestHold.Seconds(),
		Incomplete: c.Incomplete, IncompleteInARow: c.InARow,
	}
}

// reportPin adds what the checkpoints know to the report of the log.
func (d *database) reportPin(r *WALReport, now time.Time) {
	r.LimitBytes = max(d.cfg.Maintenance.WALLimit, 0)
	if d.checkpoints == nil {
		return
	}
	c := d.checkpoints.Stats()
	r.Frames, r.CopiedFrames, r.HandedOver = c.Frames, c.Copied, c.HandedOver
	if c.Pin == nil {
		return
	}
	r.PinnedPID, r.PinnedProgram = c.Pin.Process.PID, c.Pin.Process.Program
	if r.PinnedBy == "" {
		r.PinnedSeconds = now.Sub(c.Pin.Since).Seconds()
	}
}
