package holdfast

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfastdb/holdfast/history"
	"github.com/holdfastdb/holdfast/internal/control"
	"github.com/holdfastdb/holdfast/internal/dbfile"
	"github.com/holdfastdb/holdfast/internal/locks"
	"github.com/holdfastdb/holdfast/internal/maintain/memory"
	"github.com/holdfastdb/holdfast/internal/pool"
	"github.com/holdfastdb/holdfast/internal/session"
	"github.com/holdfastdb/holdfast/internal/sidelock"
	"github.com/holdfastdb/holdfast/internal/sidelock/memfile"
	"github.com/holdfastdb/holdfast/internal/sqlite"
	"github.com/holdfastdb/holdfast/internal/stats"
	"github.com/holdfastdb/holdfast/internal/writer"
	"github.com/holdfastdb/holdfast/queries"
)

// database is one file that this process has open, however many handles lead
// to it. It owns the writer, the readers and one timer, the watch.
type database struct {
	cfg    Config // complete
	name   dbfile.Name
	path   string // absolute, links resolved
	id     dbfile.ID
	memory *memfile.File // of a database in memory
	log    *slog.Logger

	pool     *pool.Pool
	writer   *writer.Writer // nil when read-only
	turn     *sidelock.Lock // nil without a lock file
	registry locks.Registry
	counters stats.Counters
	profile  profile
	fenced   atomic.Bool
	logFiles dbfile.LogFiles
	foreign  foreign
	control  *control.Server // nil without a socket
	ran      stats.Statements
	upkeep

	first   *sqlite.Conn // opened by open, taken by the writer's or the pool's first use
	engines map[*session.Engine]struct{}
	mu      sync.Mutex // guards first and engines

	handles int           // guarded by opened.mu
	settled chan struct{} // the same; non-nil while it is being opened or closed
	watch   watch
}

// opened is every file that the process has open, by device and inode. It is
// package-level because what it prevents is: two writers of one file in one
// process would know nothing of each other, and closing one's descriptors
// would drop the other's locks (https://www.sqlite.org/howtocorrupt.html,
// section 2.2). Marks and waits are here because one goroutine may be inside
// functions given to several databases, and pages because memory is the process's.
var opened = struct {
	mu    sync.Mutex // guards m
	m     map[any]*database
	marks atomic.Uint32
	waits writer.Graph
	pages memory.Budget // of all page caches
}{m: make(map[any]*database), pages: memory.Budget{System: memory.System}}

// nextMark returns a mark that no call which is under way has: the same comes
// again after four billion others.
func nextMark() locks.Mark {
	for {
		if m := opened.marks.Add(1); m != 0 {
			return locks.Mark(m)
		}
	}
}

// acquire returns the database that the configuration names, opening it if this
// is the first handle, and whether the handle may only read.
func acquire(ctx context.Context, cfg Config) (d *database, readOnly bool, err error) {
	name, err := dbfile.ParseName(cfg.Database.Path)
	if err != nil {
		return nil, false, err
	}
	confined := cfg.Limits.UntrustedSQL
	cfg.Database.ReadOnly = cfg.Database.ReadOnly || name.ReadOnly || confined && !name.Memory
	for {
		if err := ctx.Err(); err != nil {
			return nil, false, err
		}
		d = &database{cfg: cfg, name: name, log: cfg.Logger, profile: profile{probe: sqlite.ProbeOf(ctx)}}
		if d.log == nil {
			d.log = slog.New(slog.DiscardHandler)
		}
		first, wait, err := d.register()
		switch {
		case err != nil:
			return nil, false, err
		case wait != nil: // another goroutine opens or closes it: look again afterwards
			select {
			case <-wait:
			case <-ctx.Done():
			}
		case first == d:
			return d, cfg.Database.ReadOnly || confined, d.begin(ctx)
		default:
			return first, cfg.Database.ReadOnly || confined, nil
		}
	}
}

// register finds the database that d leads to: another handle's, which is then
// shared; d itself, which the caller has to begin; or one that is being opened
// or closed right now, and then a channel to wait on.
func (d *database) register() (shared *database, wait <-chan struct{}, err error) {
	opened.mu.Lock()
	defer opened.mu.Unlock()
	if err := d.locate(); err != nil {
		return nil, nil, err
	}
	if err := refuseSidecar(d); err != nil {
		return nil, nil, err
	}
	old, ok := opened.m[d.key()]
	switch {
	case !ok:
		d.handles, d.settled = 1, make(chan struct{})
		opened.m[d.key()] = d
		return d, nil, nil
	case old.settled != nil:
		return nil, old.settled, nil
	}
	diff := old.cfg.conflicts(d.cfg)
	if d.cfg.Database.ReadOnly { // a handle that only reads can share any database
		diff = slices.DeleteFunc(diff, func(key string) bool { return key == "database.read_only" })
	}
	if len(diff) > 0 {
		return nil, nil, newError("open", ErrRefused, sqlite.ResultMisuse,
			fmt.Sprintf("%s is open in this process with another %s", d.path, strings.Join(diff, ", ")),
			"open it with the same settings, or share the handle")
	}
	if d.profile.probe != old.profile.probe {
		return nil, nil, newError("open", ErrRefused, sqlite.ResultMisuse, d.path+" is open in this process without this test's disk", "open it through the same disk, or close it first")
	}
	old.handles++
	return old, nil, nil
}

// begin opens a database that has just been registered.
func (d *database) begin(ctx context.Context) error {
	begun := false
	defer func() { // also when a replicator panics: others wait for d to be settled
		if !begun {
			_ = d.close(ctx) // the error that matters is the one of open
		}
		d.settle(begun)
	}()
	if err := d.open(ctx); err != nil {
		return err
	}
	d.startWatch()
	d.startControl()
	d.startHistory()
	d.startMaintenance(d.tasks())
	begun = true
	return nil
}

// settle lets those go on who wait for d to be opened or closed.
func (d *database) settle(stays bool) {
	opened.mu.Lock()
	defer opened.mu.Unlock()
	if !stays {
		delete(opened.m, d.key())
	}
	close(d.settled)
	d.settled = nil
}

// refuseSidecar refuses to open the log, shared memory or lock file of a
// database that this process has open, under any name: closing it again would
// drop the locks of the database. Called with opened.mu held.
func refuseSidecar(d *database) error {
	if d.name.Memory {
		return nil
	}
	if owner := sidecarOf(d.path, d.id); owner != "" {
		return newError("open", ErrRefused, sqlite.ResultMisuse,
			d.path+" belongs to the open database "+owner, "open the database itself")
	}
	return nil
}

// sidecarOf returns the open database that the file at name is a sidecar of, or "".
// Called with opened.mu held.
func sidecarOf(name string, file dbfile.ID) string {
	for _, o := range opened.m {
		wal, shm, journal, lock, _ := dbfile.Sidecars(o.path)
		for _, sidecar := range []string{wal, shm, journal, lock} {
			if dbfile.SameFile(name, file, sidecar) {
				return o.path
			}
		}
	}
	return ""
}

// openHere tells whether name leads, also through a link, to an open database or
// to a sidecar of one.
func openHere(name string) (database, sidecar bool) {
	id, _, err := dbfile.Identify(name)
	if err != nil {
		return false, false
	}
	opened.mu.Lock()
	defer opened.mu.Unlock()
	_, database = opened.m[id]
	if _, confined := opened.m[confinedID{id}]; confined {
		database = true
	}
	return database, sidecarOf(name, id) != ""
}

func isSidecar(name string) bool {
	_, sidecar := openHere(name)
	return sidecar
}

// release gives one handle back and closes the database with the last.
func (d *database) release() error {
	opened.mu.Lock()
	d.handles--
	last := d.handles == 0
	if last {
		d.settled = make(chan struct{})
	}
	opened.mu.Unlock()
	if !last {
		return nil
	}
	defer d.settle(false)
	d.watch.stop()
	d.optimizer.stop()
	if d.control != nil {
		d.control.Close()
	}
	if d.history != nil {
		d.history.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeWait)
	defer cancel()
	err := d.care.Close(ctx) // while it can still end what it has begun
	// Whoever still has rows or a transaction loses them: their connections
	// must be closed, or the file stays open behind the caller's back.
	d.registry.EvictOlder(time.Now(), 0)
	return errors.Join(err, d.close(ctx))
}

// closeWait is how long Close waits for statements that are still running.
const closeWait = 10 * time.Second

func (d *database) close(ctx context.Context) error {
	var errs []error
	if first := d.takeFirst(); first != nil {
		errs = append(errs, first.Close())
	}
	if d.quarantine != nil {
		d.quarantine.Close()
	}
	errs = append(errs, d.unfinished(d.health.close(ctx)))
	if d.checkpoints != nil { // its connection must not be the last: see bringIn
		errs = append(errs, d.checkpoints.Close())
	}
	if d.pool != nil {
		errs = append(errs, d.unfinished(d.pool.Close(ctx)))
	}
	if d.writer != nil { // last of ours: it checkpoints and removes the log
		errs = append(errs, d.unfinished(d.writer.Close(ctx)))
	}
	errs = append(errs, d.stopReplication())
	if d.turn != nil {
		errs = append(errs, d.turn.Close())
	}
	if d.memory != nil {
		errs = append(errs, d.memory.Remove())
	}
	d.caches.leave()
	return errors.Join(errs...)
}

// locate finds the file, or creates it empty and private, and learns its
// identity. Everything here is done by stat.
func (d *database) locate() error {
	if d.name.Memory {
		return nil
	}
	path, err := dbfile.Resolve(d.name.Path)
	if err != nil {
		return err
	}
	d.path = path
	if d.cfg.Database.EnableWALMode.Enabled() {
		if err := d.checkFileSystem(); err != nil {
			return err
		}
	}
	id, info, err := dbfile.Identify(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return d.create()
	case err != nil:
		return err
	}
	if !info.IsRegular() {
		return fmt.Errorf("%s is no regular file: %w", path, dbfile.ErrNotRegular)
	}
	if !d.cfg.Database.AllowHardLinks {
		if err := dbfile.CheckLinks(info, path); err != nil {
			return err
		}
	}
	if d.cfg.Database.ReadOnly {
		err = dbfile.Readable(path)
	} else {
		err = dbfile.Writable(path)
	}
	d.id = id
	return err
}

// checkFileSystem refuses file systems that WAL mode does not work on.
func (d *database) checkFileSystem() error {
	if d.cfg.Database.AllowNetworkFilesystem || d.name.Immutable || d.memory != nil {
		return nil
	}
	return dbfile.CheckWAL(d.path)
}

func (d *database) create() error {
	if d.cfg.Database.ReadOnly || d.name.MustExist {
		err := &fs.PathError{Op: "open", Path: d.path, Err: fs.ErrNotExist}
		if hint := dbfile.Hint(d.name.Path); hint != "" {
			return fmt.Errorf("%w (%s)", err, hint)
		}
		return err
	}
	if err := dbfile.Writable(d.path); err != nil {
		return err
	}
	if _, err := dbfile.CreatePrivate(d.path, d.cfg.Database.fileMode()); err != nil {
		return err
	}
	var err error
	d.id, _, err = dbfile.Identify(d.path)
	return err
}

// open proves the file with a first connection and sets up the rooms.
func (d *database) open(ctx context.Context) error {
	if err := checkEngine(d.cfg.Limits.AllowUnsafe); err != nil {
		return err
	}
	if d.name.Memory {
		if d.cfg.Database.ReadOnly {
			return newError("open", ErrRefused, sqlite.ResultMisuse, "a database in memory begins empty, so there is nothing to read", "open it without read_only")
		}
		m, err := memfile.New()
		if err != nil {
			return err
		}
		opened.mu.Lock() // sidecarOf looks at d already
		d.memory, d.path = m, m.Path
		opened.mu.Unlock()
	}
	d.profile = newProfile(d.cfg, d.memory != nil, d.profile.probe)
	d.joinBudget()
	first, err := d.connectFirst(ctx)
	if err != nil {
		return err
	}
	d.first = first
	if d.memory == nil {
		d.seen.volume.Dir = filepath.Dir(d.path)
	}
	if d.profile.journalMode, err = first.QueryText("PRAGMA journal_mode"); err != nil {
		return err
	}
	if d.profile.journalMode == "wal" && !d.cfg.Database.EnableWALMode.Enabled() { // it was before; else locate has looked
		if err := d.checkFileSystem(); err != nil {
			return err
		}
	}
	if d.profile.journalMode == "wal" && d.memory == nil && !d.name.Immutable && runtime.GOOS != "windows" { // which refuses to take an open file
		wal, shm, _, _, _ := dbfile.Sidecars(d.path)
		d.logFiles.Watch(wal, shm)
	}
	// The directory is not flushed here, which cost 3 ms of the 3.8 that Open took:
	// SQLite does it with the first flush of log or journal, before any acknowledgement.
	d.openLockFile()
	d.buildRooms()
	d.watchLog()
	return d.startReplication(ctx)
}

func (d *database) buildRooms() {
	c := d.cfg
	if c.Telemetry.Enabled.Enabled() {
		d.seen.times = new(stats.Times)
	}
	d.careFor()
	d.guardAgainstDamage()
	d.pool = pool.New(pool.Config{
		Open:       func(ctx context.Context) (*sqlite.Conn, error) { return d.take(ctx, reading) },
		Check:      d.proveAgain,
		Min:        c.ConnectionPool.MinConnections,
		Max:        c.ConnectionPool.MaxConnections,
		Lifetime:   c.ConnectionPool.ConnectionLifetime,
		IdleTime:   c.ConnectionPool.IdleTimeout,
		CheckEvery: c.ConnectionPool.HealthCheckInterval,
		Wait:       c.Database.ConnectionTimeout,
		// The writer knows nothing of a confined pool, so nothing is kept warm there
		// that would be in the way of its checkpoints.
		Warm:    d.profile.journalMode == "wal" && !d.name.Immutable && !c.Limits.UntrustedSQL,
		OnClose: d.connClosed,
		Times:   d.seen.times,
	})
	d.countQueries()
	if c.Database.ReadOnly {
		return
	}
	w := writer.Config{
		Open:         func(ctx context.Context) (*sqlite.Conn, error) { return d.take(ctx, writing) },
		Fence:        d.mayWrite,
		Counters:     &d.counters,
		Times:        d.seen.times,
		Graph:        &opened.waits,
		Name:         d.path,
		Budget:       max(c.Database.BusyTimeout, 0),
		MaxGroup:     c.Writer.MaxGroup,
		MaxGroupTime: c.Writer.MaxGroupDuration,
		JoinBelow:    c.Writer.JoinThreshold,
		QueueLimit:   c.Writer.QueueLimit,
		Await:        d.awaitUploads(), AwaitLimit: c.Replication.UploadTimeout,
		OnConnClose: d.connClosed,
		OnInversion: d.reportInversion,
	}
	if d.turn != nil && c.Writer.FairLock.Enabled() {
		w.Turn = d.turn
	}
	d.writer = writer.New(w)
}

// engine makes the sessions of one handle, which may only read although the
// database has a writer.
func (d *database) engine(readOnly bool) *session.Engine {
	own := d.mainRole()
	if readOnly {
		own = reading
	}
	cfg := session.Config{
		Pool:           d.pool,
		Writer:         d.writer,
		Locks:          &d.registry,
		Counters:       &d.counters,
		OpenPinned:     func(ctx context.Context) (*sqlite.Conn, error) { return d.connectAs(ctx, own, memory.Session) },
		Visit:          func(c *sqlite.Conn) { d.caches.Visit(c, memory.Session) },
		Fence:          d.mayWrite,
		Moved:          d.fence,
		Sidecar:        isSidecar,
		Private:        d.private,
		Fail:           d.fail,
		Notice:         d.notice,
		OnSlow:         d.reportSlow,
		SlowWrite:      d.cfg.Writer.SlowHolder,
		SlowRead:       d.cfg.ConnectionPool.LeakThreshold,
		Budget:         max(d.cfg.Database.BusyTimeout, 0),
		ReadAheadRows:  max(d.cfg.ConnectionPool.ReadAheadRows, 1),
		ReadAheadBytes: int(max(d.cfg.ConnectionPool.ReadAheadBytes, 1)),
		AllowUnsafe:    d.cfg.Limits.AllowUnsafe,
		Confined:       d.cfg.Limits.UntrustedSQL,
		Defaults:       d.pragmaDefaults(),
		JournalMode:    d.profile.journalMode,
	}
	if readOnly {
		cfg.Writer = nil
	}
	if d.checkpoints != nil {
		cfg.Checkpoint = d.excludeCheckpoints
	}
	if d.control != nil {
		cfg.Statements = &d.ran
	}
	cfg.Queries, cfg.Times = d.plans.Queries, d.seen.times
	e := session.New(cfg)
	d.mu.Lock()
	if d.engines == nil {
		d.engines = make(map[*session.Engine]struct{})
	}
	d.engines[e] = struct{}{}
	d.mu.Unlock()
	return e
}

func (d *database) dismiss(e *session.Engine) {
	d.mu.Lock()
	delete(d.engines, e)
	d.mu.Unlock()
}

func (d *database) idleLeaks(now time.Time, age time.Duration) []locks.Lease {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []locks.Lease
	for e := range d.engines {
		out = append(out, e.IdleLeaks(now, age)...)
	}
	return out
}

func (d *database) notice(msg, what string, site locks.Site) {
	d.log.Warn("holdfast: "+msg, "path", d.path, "pragma", what, "caller", site.String())
}

// watch is the clock of a database. A timer and not a goroutine of its own:
// starting one wakes another thread, which was a twentieth of Open.
type watch struct {
	mu    sync.Mutex // guards the rest, and is held for a whole round
	timer *time.Timer
	over  bool
}

// startWatch retires readers, reports leaks, ends what is too old, and looks
// after the fence from now on, until stop.
func (d *database) startWatch() {
	every := time.Second
	for _, t := range []time.Duration{d.cfg.Writer.FenceInterval, d.cfg.ConnectionPool.LeakThreshold, d.cfg.ConnectionPool.MaxLeaseAge, d.cfg.Writer.MaxTransactionAge} {
		if t > 0 {
			every = min(every, max(t/2, time.Millisecond))
		}
	}
	w := &d.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(every, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if !w.over {
			d.round(time.Now())
			w.timer.Reset(every)
		}
	})
}

// stop waits for a round that is running.
func (w *watch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	w.timer.Stop()
}

func (d *database) round(now time.Time) {
	d.pool.Retire(now)
	if d.cfg.Writer.FenceInterval > 0 {
		_ = d.fence() // logs the change itself
	}
	if age := d.cfg.ConnectionPool.LeakThreshold; age > 0 {
		for _, l := range append(d.registry.Overdue(now, age), d.idleLeaks(now, age)...) {
			d.reportLeak(l, now)
		}
		d.findLeaks(now, age)
	}
	d.seen.idle.Store(int64(d.registry.Idle(now)))
	d.evict(now, d.cfg.ConnectionPool.MaxLeaseAge, locks.Rows, locks.ReadTx)
	d.evict(now, d.cfg.Writer.MaxTransactionAge, locks.WriteTx)
	d.tendLog(now)
	d.tendMemory(now)
	d.plans.Round()
}

func (d *database) reportLeak(l locks.Lease, now time.Time) {
	d.counters.Leaks.Add(1)
	d.log.Warn("holdfast: held for long, perhaps never closed", "path", d.path, "kind", string(l.Kind),
		"held", now.Sub(l.Since).Round(time.Millisecond), "caller", l.Site.String(), "sql", stats.Fingerprint(l.SQL))
}

// reportSlow tells of what was held for long and has ended.
func (d *database) reportSlow(l locks.Lease, held time.Duration, outcome string) {
	d.log.Warn("holdfast: was held for long", "path", d.path, "kind", string(l.Kind), "held", held.Round(time.Millisecond),
		"caller", l.Site.String(), "first", stats.Fingerprint(l.SQL), "last", stats.Fingerprint(l.Last), "rows", l.Rows, "outcome", outcome)
}

func (d *database) evict(now time.Time, age time.Duration, kinds ...locks.Kind) {
	if age <= 0 {
		return
	}
	for _, l := range d.registry.EvictOlder(now, age, kinds...) {
		d.log.Warn("holdfast: ended, held longer than allowed", "path", d.path, "kind", string(l.Kind),
			"held", now.Sub(l.Since).Round(time.Millisecond), "caller", l.Site.String())
	}
}

// ProcessMemory is the bound on the process's memory that it is nearest to, of those of its
// control groups and GOMEMLIMIT.
type ProcessMemory struct {
	Bound string `json:"bound" figure:"-"` // "cgroup memory.max", "cgroup memory.high", "GOMEMLIMIT"
	Limit int64  `json:"limit" figure:"gauge,By" doc:"the bound on the process's memory that it is nearest to"`
	Used  int64  `json:"used" figure:"gauge,By" doc:"memory of the process that counts for that bound and can't be given up at once"`
}

// WatchStats is what is found by looking every so often.
type WatchStats struct {
	IdleTransactionSeconds float64 `json:"idle_transaction_seconds" figure:"gauge,s" doc:"for how long the open transaction that has been left alone longest has begun no statement, to a second; 0 if none is open"`
	PragmaDrift            int64   `json:"pragma_drift" figure:"gauge" doc:"settings of foreign_keys and synchronous that sessions have changed for themselves and have so now, and 1 if the journal mode is not what it was"`
	PragmaDrifts           int64   `json:"pragma_drifts" figure:"counter" doc:"connections of the pool that were found with other settings than they were given"`
	HistoryFailures        int64   `json:"history_failures" figure:"gauge" doc:"writes of the history that failed in a row"`
}

// Histograms are the distributions of waits, uses, locks and checkpoints since the database
// was opened; none if telemetry.enabled is false. It takes no connection and waits for
// nobody. What statements cost is in QueryCounts.
func (db *DB) Histograms() []history.Histogram {
	if db.remote != nil {
		return nil
	}
	if t := db.h.d.seen.times; t != nil {
		return t.List()
	}
	return nil
}

func (d *database) watchStats() WatchStats {
	d.mu.Lock()
	drifting := int64(0)
	for e := range d.engines {
		drifting += e.Drifting()
	}
	d.mu.Unlock()
	if d.seen.journal.Load() {
		drifting++
	}
	s := WatchStats{IdleTransactionSeconds: time.Duration(d.seen.idle.Load()).Seconds(), PragmaDrift: drifting, PragmaDrifts: d.seen.drifts.Load()}
	if d.history != nil {
		s.HistoryFailures = d.history.Failures()
	}
	return s
}

// QueryCounts is Queries for who asks often: no plan is looked for and no connection
// taken, and it waits for nobody.
func (db *DB) QueryCounts() (queries.Report, error) {
	if err := db.needsFile("queries"); err != nil {
		return queries.Report{}, err
	}
	return refused(db.h.d.plans.Counted())
}

// refused gives the error of a process that counts no statements its kind.
func refused(r queries.Report, err error) (queries.Report, error) {
	if err != nil {
		err = newError("queries", ErrRefused, sqlite.ResultMisuse, err.Error(), "set telemetry.enabled to true")
	}
	return r, err
}

// stats has no sessions: they are a handle's.
