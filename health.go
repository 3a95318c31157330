package holdfast

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfastdb/holdfast/internal/dbfile"
	"github.com/holdfastdb/holdfast/internal/locks"
	"github.com/holdfastdb/holdfast/internal/maintain/checkpoint"
	"github.com/holdfastdb/holdfast/internal/maintain/integrity"
	"github.com/holdfastdb/holdfast/internal/maintain/logbook"
	"github.com/holdfastdb/holdfast/internal/maintain/memory"
	"github.com/holdfastdb/holdfast/internal/maintain/pace"
	"github.com/holdfastdb/holdfast/internal/maintain/plans"
	"github.com/holdfastdb/holdfast/internal/maintain/schedule"
	"github.com/holdfastdb/holdfast/internal/sidelock"
	"github.com/holdfastdb/holdfast/internal/sqlite"
	"github.com/holdfastdb/holdfast/internal/stats"
	recording "github.com/holdfastdb/holdfast/internal/stats/history"
	"github.com/holdfastdb/holdfast/queries"
)

// Health is how a database is, as far as that can be told at once.
// docs/operator/health.md explains every key and every finding.
type Health struct {
	Status             string     `json:"status"` // "ok", "warning" or "critical": the worst finding
	DatabaseAccessible bool       `json:"database_accessible"`
	WALModeEnabled     bool       `json:"wal_mode_enabled"`
	FileSizeMB         float64    `json:"file_size_mb"` // MiB, without the log
	PageCount          int64      `json:"page_count"`   // 0 if not accessible
	PageSize           int64      `json:"page_size"`
	IntegrityCheck     string     `json:"integrity_check"` // "ok" or "failed", by the last Verify of this process; "unknown" without one
	ThreadingInfo      EngineInfo `json:"threading_info"`
	ConnectionStats    Stats      `json:"connection_stats"`
	Look

	Findings     []Finding     `json:"findings"` // the worst first
	File         FileHealth    `json:"file"`
	WAL          LogHealth     `json:"wal"`
	Volume       VolumeHealth  `json:"volume"`
	Writer       WriterHealth  `json:"writer"`
	OldestReader *LeaseHealth  `json:"oldest_reader"` // nil if nobody keeps one
	Reliability  Reliability   `json:"reliability"`
	LastVerified *VerifyReport `json:"last_verified"` // nil if this process has not verified it
	Backup       BackupStatus  `json:"backup"`

	Cluster *ClusterHealth `json:"cluster,omitempty"` // nil of a file
}

// Look is when a database was looked at.
type Look struct {
	LastCheck   time.Time `json:"last_check"`
	TookSeconds float64   `json:"took_seconds"`
}

// BackupStatus is what is on record about the backups of a database, those of other
// processes and of earlier ones too: package backup and the command write it down, in
// DATABASE-holdfast.backups.
type BackupStatus struct {
	LastBackup   time.Time     `json:"last_backup,omitzero" figure:"gauge,s" doc:"time of the newest state of which there is a verified backup; 0 if none is on record"`
	LastVerified time.Time     `json:"last_verified,omitzero" figure:"gauge,s" doc:"when a backup was last restored and checked; 0 if none is on record"`
	Places       []BackupPlace `json:"places" figure:"-"`
}

// BackupPlace is what is on record about the backups at one place. Counts are since
// the record was begun.
type BackupPlace struct {
	Destination  string     `json:"destination"`
	EverySeconds float64    `json:"every_seconds"` // 0 if no schedule is on record
	DrillSeconds float64    `json:"drill_every_seconds"`
	Backups      BackupDeed `json:"backups"`
	Drills       BackupDeed `json:"drills"` // restores of a backup, for a check
}

// BackupDeed is what became of backups, or of drills.
type BackupDeed struct {
	At       time.Time `json:"at,omitzero"` // the last success; of a backup the time of its state
	Path     string    `json:"path"`        // of the backup
	Bytes    int64     `json:"bytes"`
	Due      time.Time `json:"due,omitzero"` // without another success it is late from then on; zero if none is promised
	Done     int64     `json:"done"`
	Failures int64     `json:"failures"`
	FailedAt time.Time `json:"failed_at,omitzero"` // the last try, if it failed
	Error    string    `json:"error"`
}

// Finding is one thing that was noticed, in the same shape as doctor's.
type Finding struct {
	ID       string `json:"id"`       // stable, such as "log-pinned"
	Severity string `json:"severity"` // "info", "warning" or "critical"
	Summary  string `json:"summary"`  // what, in one sentence
	Evidence string `json:"evidence"` // what was seen
	Fix      string `json:"fix"`      // a command, or what to do
}

// FileHealth is what the file says of itself.
type FileHealth struct {
	Path          string `json:"path"`
	Bytes         int64  `json:"bytes"`
	Fenced        bool   `json:"fenced"`
	JournalMode   string `json:"journal_mode"` // lower case; "" if not accessible
	FreePages     int64  `json:"free_pages"`
	AutoVacuum    string `json:"auto_vacuum"` // "none", "full" or "incremental"
	SchemaVersion int64  `json:"schema_version"`
	UserVersion   int64  `json:"user_version"`
	ApplicationID int64  `json:"application_id"`
	Statistics    bool   `json:"statistics"` // the planner has some

	// The kind of file system that it was on when somebody looked first, such as "ext4",
	// and whether it is "local", "memory", "network" or "bridged"; "" and "unknown" where
	// the system doesn't tell.
	FileSystem      string `json:"file_system"`
	FileSystemClass string `json:"file_system_class"`
}

// LogHealth is about the write-ahead log.
type LogHealth struct {
	Bytes        int64 `json:"bytes"`
	Frames       int   `json:"frames"`        // since it was begun anew
	CopiedFrames int   `json:"copied_frames"` // of these, into the database
	// The last frame that readers of each slot see, -1 where there never was one; whether there
	// is one now tells package locks. Null if it is not known.
	ReadMarks []int64 `json:"read_marks"`
}

// VolumeHealth is the disk that the database is on; both are -1 where the system
// doesn't tell.
type VolumeHealth struct {
	FreeBytes  int64 `json:"free_bytes"`
	TotalBytes int64 `json:"total_bytes"`
}

// WriterHealth is who has the writer.
type WriterHealth struct {
	Holder *LeaseHealth `json:"holder"` // nil if it is free
	Queued int          `json:"queued"`
}

// LeaseHealth is who has a connection, and since when.
type LeaseHealth struct {
	Kind        string    `json:"kind"`
	CallSite    string    `json:"call_site"` // "" if it is not known
	Since       time.Time `json:"since"`
	HeldSeconds float64   `json:"held_seconds"`
}

// Reliability is rates from 0 to 1, of all that was counted since the database was
// opened. Where nothing was counted they are 1.
type Reliability struct {
	// Of statements and transactions, those that did not fail, for whatever reason:
	// a violated constraint counts as a failure.
	SuccessRate float64 `json:"success_rate"`
	// Of conflicts over locks and of waits for a reader, those that did not end in
	// ErrBusy.
	LockConflictResolution float64 `json:"lock_conflict_resolution_rate"`
	// Of leases of a reader, those that found one open and free.
	PoolEfficiency float64 `json:"connection_pool_efficiency"`
	// Of calls of Health, those that could read the database.
	HealthCheckAvailability float64 `json:"health_check_availability"`
}

// VerifyLevel is how closely Verify looks.
type VerifyLevel int

const (
	// VerifyQuick reads all pages and rows (PRAGMA quick_check).
	VerifyQuick VerifyLevel = iota
	// VerifyFull also compares indexes with their tables (PRAGMA integrity_check)
	// and looks for rows that refer to missing ones (PRAGMA foreign_key_check).
	VerifyFull
)

// String returns "quick" or "full".
func (l VerifyLevel) String() string {
	if l == VerifyFull {
		return "full"
	}
	return "quick"
}

// MarshalText makes JSON carry the name.
func (l VerifyLevel) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (l *VerifyLevel) UnmarshalText(text []byte) error {
	switch string(text) {
	case "quick":
		*l = VerifyQuick
	case "full":
		*l = VerifyFull
	default:
		return fmt.Errorf("%q is no level: quick or full", text)
	}
	return nil
}

// VerifyReport is what Verify has found.
type VerifyReport struct {
	OK              bool        `json:"ok"`
	Level           VerifyLevel `json:"level"`
	Problems        []string    `json:"problems"` // 100 at most
	Orphans         int         `json:"orphans"`  // of the problems, rows that refer to missing ones; the others are damage
	Pages           int64       `json:"pages"`
	DurationSeconds float64     `json:"duration_seconds"`
	OnCopy          bool        `json:"on_copy"`
	InPlaceReason   string      `json:"in_place_reason"` // why it was not on a copy; "" if it was
	PinnedSeconds   float64     `json:"pinned_seconds"`  // how long the log could not be emptied
	Finished        time.Time   `json:"finished_at"`
}

// VerifyOption changes one Verify.
type VerifyOption func(*verifyOptions)

type verifyOptions integrity.Request

// VerifyInPlace checks the database itself and makes no copy. The log can't be
// emptied all that time, and a database without one can't be committed to.
func VerifyInPlace() VerifyOption { return func(o *verifyOptions) { o.InPlace = true } }

// VerifyDirectory makes the copy in another directory than the database's.
func VerifyDirectory(dir string) VerifyOption {
	return func(o *verifyOptions) { o.Directory = dir }
}

// VerifyProgress has f told how far the verification is: pages done of the stage
// "copy" and then of the stage "check". It is called on the goroutine of Verify, some
// hundred times a second, and should return soon.
func VerifyProgress(f func(stage string, done, total int)) VerifyOption {
	return func(o *verifyOptions) { o.Progress = f }
}

// Verify reads the whole database and says whether it is well. Damage is in the
// report and no error: an error says that there is no report, because ctx ended,
// the file could not be read, or the handle was closed.
//
// It reads a copy, so that the log of the database can be emptied as soon as that is
// made; a copy takes a second or two for each GB, as much space as the database, and
// is gone when Verify returns. Where there is no space, or nothing may be created
// beside the database, it reads the database itself and says so. Writers go on all
// the time, but for those of a database without a log, which wait while it is copied.
// While this process writes, Verify works in short pieces with rests between them and
// takes 17 times as long or more, unless maintenance.yield is off.
// Others that call Verify wait for the first.
//
// The report stays with the process: Health tells it until the next, and is critical
// after damage was found.
func (db *DB) Verify(ctx context.Context, level VerifyLevel, opts ...VerifyOption) (VerifyReport, error) {
	if err := db.needsFile("verify"); err != nil {
		return VerifyReport{}, err
	}
	if db.h.closed.Load() {
		return VerifyReport{}, errHandleClosed("verify")
	}
	o := verifyOptions{Full: level == VerifyFull}
	for _, set := range opts {
		set(&o)
	}
	return db.h.d.verify(ctx, integrity.Request(o))
}

func (d *database) verify(ctx context.Context, r integrity.Request) (VerifyReport, error) {
	ctx, end, err := d.pacer.Begin(ctx)
	if err != nil {
		return VerifyReport{}, err
	}
	defer end()
	verdict, err := d.health.verifier.Run(ctx, r)
	if err != nil {
		return VerifyReport{}, d.fail("verify", "", locks.Site{}, nil, err)
	}
	report := verifyReport(&verdict)
	switch {
	case len(verdict.Problems) > 0:
		d.log.Error("holdfast: the database is damaged", "path", d.path, "level", report.Level.String(), "problems", len(verdict.Problems),
			"first", report.Problems[0], "next", "stop writing, keep the file with its -wal and -shm, and restore a checked backup")
	case report.Orphans > 0:
		d.log.Warn("holdfast: rows refer to missing ones", "path", d.path, "rows", report.Orphans, "first", report.Problems[0],
			"next", "PRAGMA foreign_key_check lists them: delete them, or add what they refer to")
	}
	d.condemn("verify", verdict.Problems)
	if verdict.Full && len(verdict.Problems) == 0 {
		d.health.failures.Absolve(verdict.At)
		if d.quarantine != nil {
			d.quarantine.Absolve(verdict.At.Add(-verdict.Duration))
		}
	}
	return *report, nil
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

func verifyReport(v *integrity.Verdict) *VerifyReport {
	if v == nil {
		return nil
	}
	r := &VerifyReport{
		OK: len(v.Problems)+len(v.Orphans) == 0, Problems: append(append([]string{}, v.Problems...), v.Orphans...), Orphans: len(v.Orphans), Pages: int64(v.Pages),
		DurationSeconds: v.Duration.Seconds(), OnCopy: v.OnCopy, InPlaceReason: v.InPlace, PinnedSeconds: v.Pinned.Seconds(), Finished: v.At.UTC(),
	}
	if v.Full {
		r.Level = VerifyFull
	}
	return r
}

// upkeep is what looks after a database.
type upkeep struct {
	checkpoints *checkpoint.Checkpointer // nil without a writer or a log
	care        *schedule.Scheduler
	replication Replication // nil without a target
	pacer       *pace.Pacer
	health      health
	quarantine  *integrity.Quarantine // nil without a file that this process writes
	optimizer   optimizer
	caches      pageCaches
	plans       plans.Watcher
	history     *recording.Keeper // nil if none is kept
	seen        lookout
}

// lookout is what is seen by looking every so often.
type lookout struct {
	idle    atomic.Int64 // ns: of the transaction that has been left alone longest
	drifts  atomic.Int64 // connections of the pool with other settings
	journal atomic.Bool  // the file is in another journal mode than at Open
	volume  dbfile.Volume
	times   *stats.Times // nil if nothing is counted
}

// health is what Health and Verify keep of a database.
type health struct {
	observer *integrity.Observer
	verifier *integrity.Verifier
	failures integrity.FailureLog
	engine   func() EngineInfo
	fs       func() dbfile.FS
	book     *logbook.File // nil of a database in memory

	checks, accessible, busy atomic.Int64
}

// careFor sets up what Health and Verify need; nothing is opened before they are
// asked.
func (d *database) careFor() {
	if d.cfg.Maintenance.Yield.Enabled() {
		d.pacer = pace.New(pace.Config{Busy: d.othersWrite, Log: d.logShare})
	}
	h := &d.health
	open := func(as memory.Role) func(context.Context) (*sqlite.Conn, error) {
		return func(ctx context.Context) (*sqlite.Conn, error) { return d.connectAs(ctx, reading, as) }
	}
	h.engine = sync.OnceValue(Engine)
	h.fs = sync.OnceValue(func() dbfile.FS {
		fs, _ := dbfile.FileSystem(d.path) // unknown is an answer
		return fs
	})
	if d.memory == nil {
		alive := func(name string) bool { database, sidecar := openHere(name); return database || sidecar }
		h.book = &logbook.File{Path: d.path + logbook.Suffix, Alive: alive}
	}
	h.observer = integrity.NewObserver(open(memory.Maintenance))
	h.verifier = integrity.NewVerifier(integrity.Config{
		Open: open(memory.Check), Path: d.path, Unchanging: d.name.Immutable, Budget: max(d.cfg.Database.BusyTimeout, 0),
		Free: freeBytes,
	})
}

// quiet tells whether nobody has written for a while, waits or reads much.
func (d *database) quiet() bool {
	readers := d.pool.Stats()
	return d.optimizer.lull.Lasts(d.counters.GroupedUnits.Load(), time.Now()) && d.writer.Queued() == 0 &&
		readers.Waiting == 0 && 2*readers.InUse <= readers.Max
}

// othersWrite tells whether somebody has written within a second, or waits. Before
// the first write of this process nobody has: a command that makes a backup and
// writes nothing needs not find that out first.
func (d *database) othersWrite() bool {
	if d.pool.Stats().Waiting > 0 {
		return true
	}
	units := d.counters.GroupedUnits.Load()
	return units > 0 && !d.optimizer.lull.Lasts(units, time.Now()) || d.writer != nil && d.writer.Queued() > 0
}

// logShare is how much of the size that is too large the log has. Where it may have
// any, that is the default. Without a log whoever reads is in the way of every commit.
func (d *database) logShare() float64 {
	if d.checkpoints == nil {
		return 1
	}
	limit := d.cfg.Maintenance.WALLimit
	if limit <= 0 {
		limit = 64 << 20
	}
	return float64(d.checkpoints.Stats().Bytes) / float64(limit)
}

func (h *health) close(ctx context.Context) error {
	if h.observer == nil {
		return nil
	}
	return errors.Join(h.verifier.Close(ctx), h.observer.Close(ctx))
}

// note counts and remembers errors that say something of the database.
func (h *health) note(e *Error) {
	if errors.Is(e, ErrBusy) {
		h.busy.Add(1)
	}
	h.failures.Note(e.Op, sqlite.ResultCode(e.ExtendedCode))
}

// How long Health waits for what others do to the file: a process that recovers its
// log, or commits without one, which with its flushes takes some 10 ms. firstLook is
// less than AskHealth waits.
const (
	lookBound = 2 * time.Millisecond
	firstLook = 100 * time.Millisecond
)

// Health tells how the database is. It takes some 20 us of a processor, whatever the
// size: it reads page 1, the schema when that has changed, and counters, by a
// connection of its own, which the first call opens. Where another process keeps
// readers out it waits for 2 ms, and returns what was seen in the second before
// (LastCheck says when); if nothing was, it waits for 100 ms. It keeps no snapshot, and
// never waits for the writer or for a reader, so it answers also when these are stuck, the handle is fenced, or the file is gone: that
// is in the answer. An error says that ctx has ended or the handle was closed.
//
// It reads nothing of the content: IntegrityCheck is what the last Verify has found.
func (db *DB) Health(ctx context.Context) (Health, error) {
	switch {
	case db.remote != nil && !db.remote.closed.Load():
		return db.remote.Health(ctx)
	case db.remote != nil || db.h.closed.Load():
		return Health{}, errHandleClosed("health")
	}
	return db.h.d.examine(ctx)
}

func (d *database) examine(ctx context.Context) (Health, error) {
	if err := ctx.Err(); err != nil {
		return Health{}, err
	}
	start := time.Now()
	v := d.vitals(ctx, start)
	switch {
	case ctx.Err() != nil:
		return Health{}, ctx.Err()
	case errors.Is(v.NotSeen, integrity.ErrClosed):
		return Health{}, errHandleClosed("health")
	}
	h := Health{
		Status: "ok", DatabaseAccessible: v.NotSeen == nil && v.Fenced == nil, WALModeEnabled: v.Seen.JournalMode == "wal",
		PageCount: v.Seen.Pages, PageSize: v.Seen.PageSize, IntegrityCheck: "unknown", ThreadingInfo: d.health.engine(),
		ConnectionStats: d.allStats(), Look: Look{LastCheck: start.UTC()}, Findings: []Finding{}, LastVerified: verifyReport(v.Verified),
		File: FileHealth{
			Path: v.Path, Fenced: v.Fenced != nil || d.outbid() != nil || d.isDamaged() && !v.WriteOn, JournalMode: v.Seen.JournalMode, FreePages: v.Seen.FreePages,
			SchemaVersion: v.Seen.SchemaVersion, UserVersion: v.Seen.UserVersion, ApplicationID: v.Seen.ApplicationID, Statistics: v.Seen.Statistics,
		},
		WAL:    LogHealth{v.LogBytes, v.Seen.LogFrames, v.Seen.CopiedFrames, nil},
		Volume: VolumeHealth{v.Free, v.Volume},
		Writer: WriterHealth{lease(v.Holder, start), v.Queued}, OldestReader: lease(v.Reader, start),
	}
	if v.Seen.LogKnown {
		h.WAL.ReadMarks = v.Seen.ReadMarks[:]
	}
	fs := d.health.fs()
	h.File.FileSystem, h.File.FileSystemClass = fs.Type, fs.Class.String()
	if d.memory != nil {
		h.File.Path = "" // as DB.Path
	}
	if v.NotSeen == nil {
		h.LastCheck = v.Seen.At.UTC()
		h.File.AutoVacuum = [...]string{"none", "full", "incremental"}[min(max(v.Seen.AutoVacuum, 0), 2)]
	}
	if info, err := os.Stat(d.path); err == nil {
		h.File.Bytes = info.Size()
		h.FileSizeMB = math.Round(float64(info.Size())/(1<<20)*100) / 100
	}
	if h.LastVerified != nil {
		h.IntegrityCheck = map[bool]string{true: "ok", false: "failed"}[h.LastVerified.OK]
	}
	for _, f := range integrity.Judge(v) {
		h.Findings = append(h.Findings, Finding(f))
	}
	if len(h.Findings) > 0 && h.Findings[0].Severity != integrity.Info {
		h.Status = h.Findings[0].Severity
	}
	h.Backup = h.ConnectionStats.Backup
	h.Reliability = d.reliability(h.DatabaseAccessible, h.ConnectionStats)
	h.TookSeconds = time.Since(start).Seconds()
	return h, nil
}

// backups is what is on record.
func (d *database) backups() (out BackupStatus, book logbook.Book, err error) {
	out.Places = []BackupPlace{}
	if d.health.book == nil {
		return out, book, nil
	}
	book, err = d.health.book.Read()
	out.LastBackup, out.LastVerified = book.Last()
	for _, p := range book.Places {
		out.Places = append(out.Places, BackupPlace{p.Destination, p.Every, p.DrillEvery, BackupDeed(p.Backup), BackupDeed(p.Drill)})
	}
	return out, book, err
}

// lease is nil for nobody.
func lease(h integrity.Holding, now time.Time) *LeaseHealth {
	if h.Kind == "" {
		return nil
	}
	return &LeaseHealth{Kind: h.Kind, CallSite: h.Site, Since: now.Add(-h.Age).UTC(), HeldSeconds: h.Age.Seconds()}
}

// vitals looks at the file, and at who has what.
func (d *database) vitals(ctx context.Context, now time.Time) integrity.Vitals {
	v := integrity.Vitals{
		Path: d.path, WantsWAL: d.cfg.Database.EnableWALMode.Enabled() && !d.name.Immutable,
		Free: -1, Volume: -1, Failures: d.health.failures.Failures(), Verified: d.health.verifier.Last(), Bugs: d.health.engine().KnownBugs,
	}
	v.LogLimit, v.LogKey = max(d.cfg.Database.JournalSizeLimit, 0), "database.journal_size_limit"
	if limit := d.cfg.Maintenance.WALLimit; limit > 0 && d.checkpoints != nil && d.cfg.Maintenance.Enabled.Enabled() { // else it is ignored
		v.LogLimit, v.LogKey = limit, "maintenance.wal_limit"
	}
	if err := d.fence(); d.fenced.Load() {
		v.Fenced = err
	}
	v.Seen, v.NotSeen = d.health.observer.Look(ctx, integrity.Patience{Known: lookBound, Unknown: firstLook})
	if v.NotSeen != nil {
		d.suspect("health", "", v.NotSeen)
	}
	if d.quarantine != nil {
		v.Damage, v.WriteOn = d.quarantine.Found(), d.cfg.Writer.WriteWhenDamaged
	}
	v.UnderWay = d.health.observer.UnderWay()
	wal, _, _, _, _ := dbfile.Sidecars(d.path)
	if info, err := os.Stat(wal); err == nil { // not Identify: see dbfile.SameFile
		v.LogBytes = info.Size()
	}
	if s, err := dbfile.SpaceOf(filepath.Dir(d.path)); err == nil {
		v.Free, v.Volume = s.Free, s.Total
	}
	if d.writer != nil {
		h := d.writer.Holder()
		v.Queued = d.writer.Queued()
		v.Holder = integrity.Holding{
			Kind: h.Kind, Site: callSite(h.Site), Age: now.Sub(h.Since),
			Slow: orDefault(d.cfg.Writer.SlowHolder, time.Second), Late: max(d.cfg.Database.BusyTimeout, 0),
		}
	}
	for _, l := range d.registry.Snapshot() { // the oldest first
		if l.Kind == locks.Rows || l.Kind == locks.ReadTx {
			v.Reader = integrity.Holding{
				Kind: string(l.Kind), Site: callSite(l.Site), Age: now.Sub(l.Since),
				Slow: orDefault(d.cfg.ConnectionPool.LeakThreshold, time.Minute),
			}
			break
		}
	}
	v.Copy.Elsewhere, _ = d.durableElsewhere()
	if d.replication != nil {
		r := d.replication.Stats()
		v.Copy = integrity.Shipping{
			Target: r.Target, Durable: d.cfg.Replication.Mode == "DURABLE", Limit: max(d.cfg.Replication.LagLimit, 0), Pending: r.PendingBytes,
			Lag: time.Duration(r.LagSeconds * float64(time.Second)), Uploaded: r.LastUpload, Error: r.LastError,
		}
	}
	p := d.pool.Stats()
	v.Readers = integrity.Crowd{InUse: p.InUse, Max: p.Max, Waiting: p.Waiting}
	v.Backups.Now = now
	_, v.Backups.Book, v.Backups.Err = d.backups()
	if b := d.cfg.Backup; b.Destination != "" && (b.Every > 0 || b.DrillEvery > 0) && d.memory == nil {
		v.Backups.Wanted = logbook.Name(b.Destination)
	}
	return v
}

// durableElsewhere is another process that acknowledges its writes after their
// upload, while this one, which writes to the same file, doesn't.
func (d *database) durableElsewhere() (pid int, ok bool) {
	if d.turn == nil || d.writer == nil {
		return 0, false
	}
	if pid, ok = d.turn.TakenBy(sidelock.Durable); !ok || pid == os.Getpid() {
		return 0, false
	}
	return pid, true
}

// noteReplication says what a writer beside a durable replication doesn't get. It
// is not refused: a repair by hand must be possible beside the service, and what
// it writes is shipped as well, only later than it is acknowledged.
func (d *database) noteReplication() {
	if pid, ok := d.durableElsewhere(); ok {
		d.log.Warn("holdfast: another process replicates this database and acknowledges its writes after their upload; those of this one are acknowledged after their COMMIT",
			"path", d.path, "pid", pid, "next", "let that process write what must survive the loss of the machine")
	}
}

// orDefault is d, or what it stands for where it is turned off.
func orDefault(d, otherwise time.Duration) time.Duration {
	if d <= 0 {
		return otherwise
	}
	return d
}

func (d *database) reliability(accessible bool, s Stats) Reliability {
	h := &d.health
	checks := h.checks.Add(1)
	if accessible {
		h.accessible.Add(1)
	}
	leases := d.pool.Stats()
	return Reliability{
		SuccessRate:             rate(s.FailedOperations, s.SuccessfulOperations+s.FailedOperations),
		LockConflictResolution:  rate(h.busy.Load(), s.LockConflicts+s.Readers.Waits),
		PoolEfficiency:          rate(leases.Waits+leases.Created, leases.Leases),
		HealthCheckAvailability: rate(checks-h.accessible.Load(), checks),
	}
}

// rate is the part of all that is not among the bad.
func rate(bad, all int64) float64 {
	if all <= 0 {
		return 1
	}
	return max(0, 1-float64(bad)/float64(all))
}

// Queries returns what the statements have cost that this process has run on the
// database, over all its handles, since it was opened or ResetQueries was called;
// those that took longest in all come first. See package queries. Plans that are
// not known yet are looked up before, for 50 ms at most. It is ErrRefused where
// telemetry.enabled is false.
//
// Counted are the statements of QueryContext, ExecContext, prepared statements,
// Rows and Batch, in transactions and outside, each statement of a text by itself,
// also those that fail or are canceled. One that can't be compiled is not,
// because nobody knows what it is; BEGIN and COMMIT are where a program writes
// them as SQL. Statements that Update runs again are calls of their own; what is
// repeated out of sight is one call.
func (db *DB) Queries(ctx context.Context) (queries.Report, error) {
	if err := db.needsFile("queries"); err != nil {
		return queries.Report{}, err
	}
	return db.h.d.reportQueries(ctx)
}

// ResetQueries sets what Queries counts to zero.
func (db *DB) ResetQueries() {
	if db.remote == nil {
		db.h.d.plans.Reset()
	}
}

func (d *database) countQueries() {
	d.plans = plans.Watcher{
		Pool: d.pool, Writes: d.counters.GroupedUnits.Load,
		Failed: func(err error) {
			d.log.Debug("holdfast: plans could not be looked at", "path", d.path, "error", d.fail("explain", "", locks.Site{}, nil, err))
		},
	}
	if t := d.cfg.Telemetry; t.Enabled.Enabled() {
		d.plans.Queries = stats.NewQueries(stats.QueriesConfig{
			Bound: t.MaxStatements, Values: t.SampleValues, Code: func(code int) string { return sqlite.ResultCode(code).String() },
		})
	}
}

func (d *database) reportQueries(ctx context.Context) (queries.Report, error) {
	if err := ctx.Err(); err != nil {
		return queries.Report{}, err
	}
	return refused(d.plans.Report(ctx))
}
