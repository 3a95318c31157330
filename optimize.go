package holdfast

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast/internal/busy"
	"github.com/holdfastdb/holdfast/internal/control"
	"github.com/holdfastdb/holdfast/internal/dbfile"
	"github.com/holdfastdb/holdfast/internal/locks"
	"github.com/holdfastdb/holdfast/internal/maintain/memory"
	"github.com/holdfastdb/holdfast/internal/maintain/planner"
	"github.com/holdfastdb/holdfast/internal/maintain/space"
	"github.com/holdfastdb/holdfast/internal/sidelock"
	"github.com/holdfastdb/holdfast/internal/sqlite"
	"github.com/holdfastdb/holdfast/internal/writer"
)

// OptimizeOption changes one Optimize.
type OptimizeOption func(*optimizing)

// optimizing is what one Optimize was asked for.
type optimizing struct {
	dry         bool
	spaceOnly   bool
	scan, step  time.Duration
	sizes       time.Duration
	vacuum      bool
	incremental bool
}

// WithoutChanges makes Optimize say what it would do and write nothing.
func WithoutChanges() OptimizeOption { return func(o *optimizing) { o.dry = true } }

// WithoutStatistics leaves the statistics alone, so that nothing is counted.
func WithoutStatistics() OptimizeOption { return func(o *optimizing) { o.spaceOnly = true } }

// WithScanTime is the longest that Optimize may take to count the keys of one
// index. That long it keeps the log from being begun anew. An index that takes
// longer keeps the statistics it has. Rests while others write are not counted
// (maintenance.yield). Default: 2 s.
func WithScanTime(d time.Duration) OptimizeOption { return func(o *optimizing) { o.scan = d } }

// WithStep is the longest that one step of giving pages back should hold the
// writer. A busy database gets a quarter of it. Default: 10 ms.
func WithStep(d time.Duration) OptimizeOption { return func(o *optimizing) { o.step = d } }

// WithTableSizes reads the whole file, for at most d, and reports what each table
// and index takes. Default: nothing is read.
func WithTableSizes(d time.Duration) OptimizeOption { return func(o *optimizing) { o.sizes = d } }

// WithVacuum builds the file anew with VACUUM, if there is room for that. Nobody
// else can write meanwhile: other writes wait for up to busy_timeout and then fail
// with ErrBusy. OptimizeReport.Vacuum has an estimate, also without changes.
func WithVacuum() OptimizeOption { return func(o *optimizing) { o.vacuum = true } }

// WithIncrementalVacuum is WithVacuum for a file that has no
// auto_vacuum=INCREMENTAL, and gives it that: afterwards free pages can be given
// back in steps.
func WithIncrementalVacuum() OptimizeOption {
	return func(o *optimizing) { o.vacuum, o.incremental = true, true }
}

// OptimizeReport is what an Optimize has done, or would do.
type OptimizeReport struct {
	DryRun     bool             `json:"dry_run"`
	Seconds    float64          `json:"duration_seconds"`
	Statistics StatisticsReport `json:"statistics"`
	Space      SpaceReport      `json:"space"`
	Vacuum     *VacuumReport    `json:"vacuum,omitempty"`
	Sizes      *SizesReport     `json:"sizes,omitempty"`
}

// StatisticsReport is about what the query planner knows.
type StatisticsReport struct {
	Indexes             int               `json:"indexes"`    // that were counted
	Statements          int               `json:"statements"` // known ones whose plans were compared
	Tables              []TableStatistics `json:"tables"`     // whose statistics were missing or far from the truth
	Left                []string          `json:"left"`       // indexes that were left alone, and why
	LongestWriteSeconds float64           `json:"longest_write_seconds"`
}

// TableStatistics is a table whose statistics were missing or far from the truth.
type TableStatistics struct {
	Table   string            `json:"table"`
	Outcome string            `json:"outcome"` // "kept", "reverted" because a plan became worse, "proposed" without changes
	Changes []StatisticChange `json:"changes"`
	Plans   []PlanChange      `json:"plans"` // of known statements that got another plan
}

// StatisticChange is a row of sqlite_stat1. Its numbers are rows of the index, and
// rows for each key of one column, of two, and so on; "" is no row.
type StatisticChange struct {
	Index  string `json:"index"` // "" for the table itself
	Before string `json:"before"`
	After  string `json:"after"`
	Why    string `json:"why"` // "" if it was near the truth and was only brought up to date
}

// PlanChange is a statement that got another plan. Steps are instructions of
// SQLite's virtual machine for a few executions with values from the tables, at
// most 500,000 each, and 0 if it could not be run: because it writes, or because a
// parameter is not compared with a column.
type PlanChange struct {
	Statement   string   `json:"statement"` // without literals
	Before      []string `json:"before"`    // lines of EXPLAIN QUERY PLAN
	After       []string `json:"after"`
	StepsBefore int      `json:"steps_before"`
	StepsAfter  int      `json:"steps_after"`
	Verdict     string   `json:"verdict"` // "better", "same", "worse"
}

// SpaceReport is about free pages.
type SpaceReport struct {
	AutoVacuum           string  `json:"auto_vacuum"` // "NONE", "FULL", "INCREMENTAL"
	BytesBefore          int64   `json:"bytes_before"`
	BytesAfter           int64   `json:"bytes_after"` // of the file once a checkpoint has copied the log
	FreeBytesBefore      int64   `json:"free_bytes_before"`
	FreeBytesAfter       int64   `json:"free_bytes_after"`
	PagesReleased        int64   `json:"pages_released"`
	Steps                int     `json:"steps"`
	BusySteps            int     `json:"busy_steps"`             // of them, while others wrote or waited
	LongestStepSeconds   float64 `json:"longest_step_seconds"`   // that others waited for a step's work
	LongestCommitSeconds float64 `json:"longest_commit_seconds"` // the same with the COMMIT, of which others may have been part
	StepsOverBudget      int     `json:"steps_over_budget"`      // whose work took more than twice the budget
	Next                 string  `json:"next"`                   // what to do about free pages that stay, or ""
}

// VacuumReport is about a full VACUUM. Bytes free are 0 where nobody knows.
type VacuumReport struct {
	Done             bool    `json:"done"`
	EstimatedSeconds float64 `json:"estimated_seconds"`
	EstimatedBytes   int64   `json:"estimated_bytes"` // of the file afterwards
	TookSeconds      float64 `json:"took_seconds"`
	NeedsBytes       int64   `json:"needs_bytes"` // on the file system of the database
	FreeBytes        int64   `json:"free_bytes"`
	TempDirectory    string  `json:"temp_directory"`
	TempNeedsBytes   int64   `json:"temp_needs_bytes"` // there, besides
	TempFreeBytes    int64   `json:"temp_free_bytes"`
	Refused          string  `json:"refused"` // why it can't be done, or ""
}

// SizesReport is where the space of the file is.
type SizesReport struct {
	Partial bool        `json:"partial"` // time ran out before the end of the file
	Tables  []TableSize `json:"tables"`
}

// TableSize is what one table or index takes.
type TableSize struct {
	Name          string  `json:"name"`
	Table         string  `json:"table"` // the table that it is an index of, or ""
	Bytes         int64   `json:"bytes"`
	UnusedBytes   int64   `json:"unused_bytes"`  // gaps in its pages
	Fragmentation float64 `json:"fragmentation"` // part of its leaf pages that don't follow the one before, 0 to 1
}

// Optimize makes the statistics of the query planner true and gives free pages back
// to the file system, and says what it did and what that brought.
//
// It counts the keys of every index through a connection that only reads; what is
// far from the rows of sqlite_stat1 is written. Where a statement that this or
// another Holdfast process has run gets a worse plan from that, the statistics of
// its tables are put back before anybody uses them. The writer is held for a few
// rows at a time, never while something is counted.
//
// Free pages are given back in steps, if the file has auto_vacuum=INCREMENTAL as
// new files of Holdfast have. Steps get short and rare while others write, so a
// gigabyte may take an hour then.
//
// Optimize blocks until it is done or ctx ends; what was done by then stays, and is
// in the report beside the error. While another Optimize of this process works on
// the database it fails with ErrBusy. A handle that only reads gets ErrReadOnly,
// except with WithoutChanges.
func (db *DB) Optimize(ctx context.Context, opts ...OptimizeOption) (OptimizeReport, error) {
	o := optimizing{scan: defaultScan}
	for _, opt := range opts {
		opt(&o)
	}
	if err := db.needsFile("optimize"); err != nil {
		return OptimizeReport{}, err
	}
	d := db.h.d
	if db.h.ReadOnly() && !o.dry || d.cfg.Limits.UntrustedSQL {
		return OptimizeReport{}, newError("optimize", ErrReadOnly, sqlite.ResultReadOnly, "the handle only reads", "open the database for writing, or ask WithoutChanges")
	}
	r, err := d.optimize(ctx, o)
	if errors.Is(err, space.ErrNoRoom) {
		return r, newError("optimize", ErrDiskFull, sqlite.ResultFull, err.Error(), "make room there, or set SQLITE_TMPDIR to a directory with room if it is the temporary one")
	}
	if errors.Is(err, context.Canceled) && ctx.Err() == nil { // it was Close
		err = writer.ErrClosed
	}
	if err != nil && !errors.Is(err, ErrBusy) {
		err = d.fail("optimize", "", locks.Site{}, nil, err)
	}
	return r, err
}

const defaultScan = 2 * time.Second

func (d *database) optimize(ctx context.Context, o optimizing) (r OptimizeReport, err error) {
	ctx, done, err := d.optimizer.begin(ctx)
	if err != nil {
		return r, err
	}
	defer done()
	if !o.dry {
		giveBack, err := d.takeMaintenance(ctx)
		if err != nil {
			return r, err
		}
		defer giveBack()
	}
	start := time.Now()
	r = OptimizeReport{DryRun: o.dry, Statistics: StatisticsReport{Tables: []TableStatistics{}, Left: []string{}}}
	defer func() { r.Seconds = time.Since(start).Seconds() }()
	if !o.spaceOnly {
		if r.Statistics, err = d.mendStatistics(ctx, planner.Options{DryRun: o.dry, ScanTime: o.scan}); err != nil {
			return r, err
		}
	}
	if o.vacuum {
		r.Vacuum = new(VacuumReport)
		if err = d.vacuum(ctx, o, r.Vacuum); err != nil {
			return r, err
		}
	}
	if r.Space, err = d.releaseSpace(ctx, o, 0); err != nil {
		return r, err
	}
	if o.sizes > 0 {
		r.Sizes, err = d.sizes(ctx, o.sizes)
	}
	return r, err
}

// optimizer lets one Optimize work at a time, and none after the last Close.
type optimizer struct {
	mu     sync.Mutex    // guards the rest
	ended  chan struct{} // closed when the one that works has ended; nil if none does
	cancel context.CancelFunc
	over   bool
	lull   space.Lull
	tried  map[string]planner.Table // put back before; belongs to the one that works
}

// note remembers what the background has no reason to try again.
func (o *optimizer) note(t planner.Table) {
	switch t.Outcome {
	case planner.Reverted:
		if o.tried == nil {
			o.tried = make(map[string]planner.Table)
		}
		o.tried[t.Name] = t
	case planner.Kept:
		delete(o.tried, t.Name)
	}
}

func (o *optimizer) begin(ctx context.Context) (_ context.Context, done func(), err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.over:
		return nil, nil, writer.ErrClosed
	case o.ended != nil:
		return nil, nil, newError("optimize", ErrBusy, sqlite.ResultBusy, "another Optimize works on this database", "wait for it to end")
	}
	ctx, o.cancel = context.WithCancel(ctx)
	o.ended = make(chan struct{})
	return ctx, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.cancel()
		close(o.ended)
		o.ended = nil
	}, nil
}

// stop ends what works and waits for that.
func (o *optimizer) stop() {
	o.mu.Lock()
	o.over = true
	ended := o.ended
	if ended != nil {
		o.cancel()
	}
	o.mu.Unlock()
	if ended != nil {
		<-ended
	}
}

// takeMaintenance waits, for busy_timeout at most, until no other process looks
// after the database.
func (d *database) takeMaintenance(ctx context.Context) (giveBack func(), err error) {
	if d.turn == nil {
		return func() {}, nil
	}
	limited, cancel := context.WithTimeout(ctx, d.cfg.Database.BusyTimeout)
	defer cancel()
	waited, err := d.turn.Take(limited, sidelock.Maintenance)
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		e := newError("optimize", ErrBusy, sqlite.ResultBusy, "a maintenance task, or another process, looks after this database", "try again when it is done")
		e.Waited = waited
		if pid, ok := d.turn.TakenBy(sidelock.Maintenance); ok {
			e.Holder = &Holder{Kind: foreignKind, PID: pid}
			e.text += fmt.Sprintf(" (pid %d)", pid)
		}
		return nil, e
	}
	if err != nil {
		return nil, err
	}
	return func() { _ = d.turn.Return(sidelock.Maintenance) }, nil // else it ends with the process
}

// company is how long a step waits for a write whose COMMIT it can share.
const company = 20 * time.Millisecond

// write has a unit done behind everybody else's; with follow in a group that
// somebody else has begun, if somebody soon does.
func (d *database) write(ctx context.Context, u writer.Unit, follow bool) (err error) {
	u.Priority = writer.Low
	if follow {
		u.Follow = true
		limited, cancel := context.WithTimeout(ctx, company)
		err = d.writer.Do(limited, u)
		cancel()
		u.Follow = false
	}
	if !follow || errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		err = d.writer.Do(ctx, u)
	}
	if err == nil {
		d.optimizer.lull.Own()
	}
	return err
}

func (d *database) openReading(ctx context.Context) (*sqlite.Conn, error) {
	c, err := d.connectAs(ctx, reading, memory.Check)
	if err != nil {
		return nil, err
	}
	h := new(busy.Handler)
	h.Arm(ctx, d.cfg.Database.BusyTimeout, nil)
	c.SetBusyHandler(h.Busy)
	return c, nil
}

// plannerConfig has a Write only if there is a writer.
func (d *database) plannerConfig() planner.Config {
	cfg := planner.Config{Open: d.openReading, Statements: d.knownStatements}
	if d.writer != nil {
		cfg.Write = func(ctx context.Context, sql string, run func(*sqlite.Conn) error) error {
			return d.write(ctx, writer.Unit{Run: run, SQL: sql}, false)
		}
	}
	return cfg
}

// knownStatements are those of this process, from memory, and what others tell.
func (d *database) knownStatements(ctx context.Context) (texts []string) {
	d.mu.Lock()
	for e := range d.engines {
		texts = append(texts, e.Texts()...)
	}
	d.mu.Unlock()
	if d.memory != nil {
		return texts
	}
	answers, _ := control.Ask(ctx, d.path, control.RequestStatements)
	for _, a := range answers {
		if a.PID == os.Getpid() {
			continue
		}
		for _, s := range a.Statements {
			texts = append(texts, s.Text)
		}
	}
	return texts
}

func (d *database) mendStatistics(ctx context.Context, o planner.Options) (StatisticsReport, error) {
	ctx, end, err := d.pacer.Begin(ctx)
	if err != nil {
		return StatisticsReport{Tables: []TableStatistics{}, Left: []string{}}, err
	}
	defer end()
	r, err := planner.Run(ctx, d.plannerConfig(), o)
	out := StatisticsReport{
		Indexes: r.Indexes, Statements: r.Statements, Tables: []TableStatistics{}, Left: append([]string{}, r.Left...),
		LongestWriteSeconds: r.Longest.Seconds(),
	}
	for _, t := range r.Tables {
		table := TableStatistics{Table: t.Name, Outcome: string(t.Outcome), Changes: []StatisticChange{}, Plans: []PlanChange{}}
		for _, c := range t.Changes {
			table.Changes = append(table.Changes, StatisticChange(c))
		}
		for _, p := range t.Plans {
			table.Plans = append(table.Plans, PlanChange{p.Statement, p.Before, p.After, p.StepsBefore, p.StepsAfter, string(p.Verdict)})
		}
		out.Tables = append(out.Tables, table)
		d.optimizer.note(t)
		d.noteStatistics(t)
	}
	return out, err
}

func (d *database) noteStatistics(t planner.Table) {
	switch t.Outcome {
	case planner.Kept:
		d.counters.StatisticsMended.Add(1)
		d.log.Info("holdfast: the statistics of a table were mended", "path", d.path, "table", t.Name, "plans", len(t.Plans))
	case planner.Reverted:
		d.counters.StatisticsReverted.Add(1)
		worse := ""
		for _, p := range t.Plans {
			if p.Verdict == planner.Worse {
				worse = p.Statement
			}
		}
		d.log.Warn("holdfast: true statistics make a plan worse, so the old ones were put back", "path", d.path, "table", t.Name, "statement", worse,
			"next", "rewrite the statement or give it an index; holdfast optimize --dry-run shows the statistics")
	}
}

// hold runs a function on the write connection while nobody else writes.
func (d *database) hold(ctx context.Context, sql string, run func(*sqlite.Conn) error) (err error) {
	h, err := d.writer.Hold(ctx, writer.Request{Priority: writer.Low, SQL: sql})
	if err != nil {
		return err
	}
	defer func() { h.Release(err) }()
	defer h.Conn().InterruptAfter(ctx)()
	if err = run(h.Conn()); err == nil {
		err = d.fence()
	}
	return err
}

func (d *database) spaceConfig() space.Config {
	cfg := space.Config{Open: d.openReading, Room: func(dir string) (free, total int64) {
		s, _ := dbfile.SpaceOf(dir)
		return s.Free, s.Total
	}}
	if d.writer != nil {
		cfg.Hold, cfg.Quiet = d.hold, d.quiet
		cfg.Write = func(ctx context.Context, sql string, run func(*sqlite.Conn) error) error {
			return d.write(ctx, writer.Unit{Run: run, SQL: sql, Atomic: true}, !d.quiet()) // each page is a state of its own
		}
	}
	return cfg
}

// copyLog copies the log, because a file gets shorter only with the end of a
// checkpoint. Where that can't be reached now, the next one does.
func (d *database) copyLog(ctx context.Context) error {
	switch {
	case d.replication != nil:
		_, _ = d.replication.Checkpoint(ctx, CheckpointPassive)
	case d.checkpoints != nil:
		_, _ = d.checkpoints.Checkpoint(ctx, sqlite.CheckpointPassive, writer.Request{Budget: orNever(d.cfg.Database.BusyTimeout)})
	}
	return ctx.Err()
}

// releaseSpace gives free pages back until leave of them remain.
func (d *database) releaseSpace(ctx context.Context, o optimizing, leave int64) (out SpaceReport, err error) {
	cfg := d.spaceConfig()
	var r space.Released
	if o.dry {
		r.Before, err = space.Look(ctx, cfg)
		r.After = r.Before
	} else {
		r, err = space.Release(ctx, cfg, o.step, leave)
	}
	if r.Pages > 0 {
		err = errors.Join(err, d.copyLog(ctx))
		d.counters.AddRelease(r.Pages, int64(r.Steps), r.LongestStep)
	}
	out = SpaceReport{
		AutoVacuum: [...]string{"NONE", "FULL", "INCREMENTAL"}[min(max(r.Before.AutoVacuum, 0), 2)], BytesBefore: r.Before.Bytes(r.Before.Pages), BytesAfter: r.After.Bytes(r.After.Pages),
		FreeBytesBefore: r.Before.Bytes(r.Before.Free), FreeBytesAfter: r.After.Bytes(r.After.Free), PagesReleased: r.Pages,
		Steps: r.Steps, BusySteps: r.BusySteps, LongestStepSeconds: r.LongestStep.Seconds(), LongestCommitSeconds: r.LongestCommit.Seconds(), StepsOverBudget: r.OverBudget,
	}
	switch {
	case r.After.Free == 0:
	case r.Before.AutoVacuum == space.AutoVacuumIncremental && o.dry:
		out.Next = "Optimize gives them back"
	case r.Before.AutoVacuum == space.AutoVacuumNone && r.After.Free > r.After.Pages/10:
		out.Next = "pages of a file with auto_vacuum=NONE can't be given back in steps: WithIncrementalVacuum (holdfast optimize --incremental) makes it INCREMENTAL, by one VACUUM"
	}
	return out, err
}

func (d *database) vacuum(ctx context.Context, o optimizing, r *VacuumReport) error {
	cfg := d.spaceConfig()
	e, err := space.Plan(ctx, cfg, d.path, d.profile.journalMode == "wal")
	if err != nil {
		return err
	}
	*r = VacuumReport{
		EstimatedSeconds: e.Duration.Seconds(), EstimatedBytes: e.Bytes, NeedsBytes: e.VolumeNeeds, FreeBytes: e.Volume.Free,
		TempDirectory: e.Temp.Dir, TempNeedsBytes: e.TempNeeds, TempFreeBytes: e.Temp.Free,
	}
	if err := e.Fits(); err != nil {
		r.Refused = err.Error()
		if o.dry {
			return nil
		}
		return err
	}
	if o.dry {
		return nil
	}
	cfg.Checkpoint = d.copyLog
	d.log.Info("holdfast: VACUUM begins, and nobody else can write until it ends", "path", d.path, "bytes", e.Bytes, "estimated", e.Duration.Round(time.Millisecond))
	took, err := space.Vacuum(ctx, cfg, o.incremental)
	r.Done, r.TookSeconds = err == nil, took.Seconds()
	if err == nil {
		d.log.Info("holdfast: VACUUM has ended", "path", d.path, "took", took.Round(time.Millisecond))
	}
	return err
}

func (d *database) sizes(ctx context.Context, within time.Duration) (*SizesReport, error) {
	limited, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	list, partial, err := space.Sizes(limited, space.Config{Open: func(context.Context) (*sqlite.Conn, error) { return d.openReading(ctx) }})
	if err == nil {
		err = ctx.Err()
	}
	r := &SizesReport{Partial: partial, Tables: []TableSize{}}
	for _, s := range list {
		t := TableSize{Name: s.Name, Table: s.Table, Bytes: s.Bytes, UnusedBytes: s.Unused}
		if s.Leaves > 1 {
			t.Fragmentation = float64(s.Jumps) / float64(s.Leaves-1)
		}
		r.Tables = append(r.Tables, t)
	}
	return r, err
}

// Free pages are given back in the background when they are a tenth of the file and
// a mebibyte; a twentieth of what is in use is left for what is written next.
const (
	worthShare = 10
	worthBytes = 1 << 20
	leaveShare = 20
)

// optimizeTask is Optimize's work on the statistics, for who runs it in the
// background.
func (d *database) optimizeTask(ctx context.Context) (result string, err error) {
	ctx, done, err := d.optimizer.begin(ctx)
	if err != nil {
		return "", err
	}
	defer done()
	r, err := d.mendStatistics(ctx, planner.Options{ScanTime: defaultScan, Tried: d.optimizer.tried})
	kept, reverted := 0, 0
	for _, t := range r.Tables {
		switch t.Outcome {
		case string(planner.Kept):
			kept++
		case string(planner.Reverted):
			reverted++
		}
	}
	return fmt.Sprintf("%d indexes counted, %d tables mended, %d put back", r.Indexes, kept, reverted), err
}

// vacuumTask gives free pages back if there are many.
func (d *database) vacuumTask(ctx context.Context) (result string, err error) {
	ctx, done, err := d.optimizer.begin(ctx)
	if err != nil {
		return "", err
	}
	defer done()
	s, err := space.Look(ctx, d.spaceConfig())
	switch {
	case err != nil:
		return "", err
	case s.AutoVacuum != space.AutoVacuumIncremental:
		return "nothing: the file has no auto_vacuum=INCREMENTAL", nil
	case s.Bytes(s.Free) < worthBytes || s.Free < s.Pages/worthShare:
		return "nothing: few pages are free", nil
	}
	r, err := d.releaseSpace(ctx, optimizing{}, (s.Pages-s.Free)/leaveShare)
	return fmt.Sprintf("%d pages given back in %d steps, the longest of %s", r.PagesReleased, r.Steps,
		time.Duration(r.LongestStepSeconds*float64(time.Second)).Round(10*time.Microsecond)), err
}

// VolumeStats is about the volume that the database lies on, as of the last second.
type VolumeStats struct {
	Free  int64 `json:"free" figure:"gauge,By" doc:"room on the volume of the database that an ordinary user may still write"`
	Total int64 `json:"total" figure:"gauge,By" doc:"size of the volume of the database"`
	// FullInSeconds follows the last 24 hours of the history. It is nil if the room
	// doesn't become less, if that is not known, and before there is an hour on record.
	FullInSeconds *float64  `json:"full_in_seconds" figure:"gauge,s" doc:"until the volume is full, if it goes on as in the last 24 hours"`
	IO            *VolumeIO `json:"io"` // nil where the system doesn't tell: it is Linux that does, of a block device
}

// VolumeIO is what the device of a volume has done since it was first looked at, for
// all programs together.
type VolumeIO struct {
	ReadBytes    int64   `json:"read_bytes" figure:"counter,By" doc:"read from the device of the volume, by all programs"`
	WrittenBytes int64   `json:"written_bytes" figure:"counter,By" doc:"written to the device of the volume, by all programs"`
	Reads        int64   `json:"reads" figure:"counter" doc:"requests to read"`
	Writes       int64   `json:"writes" figure:"counter" doc:"requests to write"`
	BusySeconds  float64 `json:"busy_seconds" figure:"counter,s" doc:"time in which the device had something to do"`
}

func (d *database) volumeStats() *VolumeStats {
	now := time.Now()
	v, ok := d.seen.volume.Look(now)
	if !ok {
		return nil
	}
	s := &VolumeStats{Free: v.Free, Total: v.Total}
	if io := v.IO; io != nil {
		s.IO = &VolumeIO{ReadBytes: io.ReadBytes, WrittenBytes: io.WrittenBytes, Reads: io.Reads, Writes: io.Writes, BusySeconds: io.Busy.Seconds()}
	}
	if d.history != nil {
		if full := d.history.Full(); !full.IsZero() {
			left := max(full.Sub(now).Seconds(), 0)
			s.FullInSeconds = &left
		}
	}
	return s
}

// pauseFor is how long the writer is waited for between two of its groups.
const pauseFor = 100 * time.Millisecond

// pause holds the writer, and readers for at most that long.
func (d *database) pause(ctx context.Context, readers time.Duration) (resume func()) {
	limited, cancel := context.WithTimeout(ctx, pauseFor)
	defer cancel()
	held, _ := d.writer.Hold(limited, writer.Request{Priority: writer.High, SQL: "PRAGMA wal_checkpoint", Budget: time.Minute})
	letGo := func() {}
	if readers > 0 {
		letGo, _ = d.pool.Hold(ctx, readers)
	}
	return func() {
		letGo()
		if held != nil {
			held.Release(nil)
		}
	}
}
