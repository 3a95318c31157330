package holdfast

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/history"
	"github.com/holdfastdb/holdfast/internal/control"
	"github.com/holdfastdb/holdfast/internal/dbfile"
	"github.com/holdfastdb/holdfast/internal/locks"
	"github.com/holdfastdb/holdfast/internal/maintain/memory"
	"github.com/holdfastdb/holdfast/internal/sqlite"
	"github.com/holdfastdb/holdfast/internal/stats"
	recording "github.com/holdfastdb/holdfast/internal/stats/history"
	"github.com/holdfastdb/holdfast/internal/writer"
	"github.com/holdfastdb/holdfast/queries"
)

// Stats is a snapshot of what a database has done since it was opened, over
// all handles of this process. Counts only grow, unless they say "now".
type Stats struct {
	Operations

	Readers              ReaderStats `json:"readers"`
	Writer               WriterStats `json:"writer"`
	WAL                  WALStats    `json:"wal"`
	Sessions             int         `json:"sessions" figure:"gauge" doc:"sessions of database/sql that are open"`
	ConnectionsDiscarded int64       `json:"connections_discarded" figure:"counter" doc:"connections closed because of an error"`
	Leaks                int64       `json:"leaks" figure:"counter" doc:"results, transactions and connections that were held for longer than leak_threshold"`
	Evictions            int64       `json:"evictions" figure:"counter" doc:"leases ended because of max_lease_age"`
	Fenced               bool        `json:"fenced" figure:"gauge" doc:"1 if writes are refused: the file is not what was opened, is damaged, or another machine may have taken over"`
	Damaged              bool        `json:"damaged" figure:"gauge" doc:"1 if the file is damaged, as far as is known"`
	EngineBytes          int64       `json:"engine_bytes" figure:"gauge,By" doc:"memory that SQLite has, for all databases of the process"`

	Optimize    OptimizeStats    `json:"optimize"`
	Maintenance MaintenanceStats `json:"maintenance"`
	Memory      MemoryStats      `json:"memory"`
	Replication ReplicationStats `json:"replication"`
	Backup      BackupStatus     `json:"backup"` // as DB.Health has it
	Watch       WatchStats       `json:"watch"`
	Volume      *VolumeStats     `json:"volume"` // nil where the system doesn't tell, and in memory
}

// Operations are the counts that every database program wants first.
type Operations struct {
	ConnectionsCreated   int64 `json:"connections_created" figure:"counter" doc:"connections opened by the engine"`
	SuccessfulOperations int64 `json:"successful_operations" figure:"counter" doc:"statements and transactions that ended well"`
	LockConflicts        int64 `json:"lock_conflicts" figure:"counter" doc:"waits for a lock that ended with SQLITE_BUSY, and snapshots that were too old"`
	RetryAttempts        int64 `json:"retry_attempts" figure:"counter" doc:"transactions that were run again and statements that were sent again"`
	FailedOperations     int64 `json:"failed_operations" figure:"counter" doc:"statements and transactions that failed"`
}

// ReplicationStats is about the continuous copy that this process makes; the zero
// value is that it makes none. Counts are since it was begun.
type ReplicationStats struct {
	Target       string    `json:"target" figure:"-"` // without anything secret
	Mode         string    `json:"mode" figure:"-"`   // "ASYNC", "DURABLE"
	Position     string    `json:"position" figure:"-"`
	LagSeconds   float64   `json:"lag_seconds" figure:"gauge,s" doc:"age of the oldest commit that is not at the target; 0 if all are"`
	PendingBytes int64     `json:"pending_bytes" figure:"gauge,By" doc:"of the log, not yet at the target"`
	Uploads      int64     `json:"uploads" figure:"counter" doc:"uploads that succeeded"`
	Errors       int64     `json:"errors" figure:"counter" doc:"uploads that failed"`
	LastUpload   time.Time `json:"last_upload" figure:"gauge,s" doc:"when an upload succeeded last; 0 if none has"`
	LastError    string    `json:"last_error" figure:"-"` // since LastUpload; "" if there was none
	Ended        bool      `json:"ended" figure:"gauge" doc:"1 if the replication can't go on, and ships nothing any more"`
	OtherWriter  bool      `json:"other_writer" figure:"gauge" doc:"1 if it has ended because somebody else writes to the target"`
}

// OptimizeStats is about DB.Optimize and what is done of it in the background.
type OptimizeStats struct {
	TablesMended       int64   `json:"tables_mended" figure:"counter" doc:"tables that got true statistics"`
	TablesReverted     int64   `json:"tables_reverted" figure:"counter" doc:"tables that got statistics and lost them again, because a plan became worse"`
	PagesReleased      int64   `json:"pages_released" figure:"counter" doc:"pages given back to the file system"`
	ReleaseSteps       int64   `json:"release_steps" figure:"counter" doc:"steps in which pages were given back"`
	LongestStepSeconds float64 `json:"longest_step_seconds" figure:"gauge,s" doc:"the longest that others waited for such a step"`
}

// MemoryStats is about the page caches and about what grows without end, now. The budget
// is the process's: the largest database.memory_budget of the databases that are open.
type MemoryStats struct {
	Budget      int64              `json:"budget" figure:"gauge,By" doc:"what the page caches of the process may take: the largest database.memory_budget"`
	Usable      int64              `json:"usable" figure:"gauge,By" doc:"of it, less than all while memory is short"`
	ShortOf     string             `json:"short_of" figure:"-"` // "cgroup memory.max", "GOMEMLIMIT", or "" while there is enough
	Granted     int64              `json:"granted" figure:"gauge,By" doc:"what the caches of the process were given"`
	Resizes     int64              `json:"resizes" figure:"counter" doc:"times that a cache was made smaller or larger"`
	Process     *ProcessMemory     `json:"process"`                // nil where nothing bounds the process, and in the first second
	Connections []ConnectionMemory `json:"connections" figure:"-"` // of this database, the largest caches first
	Suspects    []MemorySuspect    `json:"suspects" figure:"-"`
}

// ConnectionMemory is what one connection has, as seen within the last second by whoever
// used it; of maintenance and check only the bound is known. Counts are since it was opened.
type ConnectionMemory struct {
	Role           string  `json:"role"`            // "reader", "writer", "session", "maintenance" or "check"
	CacheLimit     int64   `json:"cache_limit"`     // bytes; 0 where database.cache_size decides
	CacheBytes     int64   `json:"cache_bytes"`     // in use
	Hits           int64   `json:"hits"`            // pages found in the cache
	Misses         int64   `json:"misses"`          // pages read from the file or the log
	Spills         int64   `json:"spills"`          // pages of a transaction written early for want of room
	HitRate        float64 `json:"hit_rate"`        // of the last seconds; 1 if nothing was read
	SchemaBytes    int64   `json:"schema_bytes"`    // within the last half minute, as StatementBytes
	StatementBytes int64   `json:"statement_bytes"` // of compiled statements
	LookasideSlots int64   `json:"lookaside_slots"` // small blocks in use
	IdleSeconds    float64 `json:"idle_seconds"`
}

// MemorySuspect is something that may never be given back.
type MemorySuspect struct {
	Kind      string    `json:"kind"`      // "statements", "connection", "rows", "read transaction", "write transaction" or "engine"
	CallSite  string    `json:"call_site"` // that prepared or took it
	Statement string    `json:"statement"`
	Count     int64     `json:"count"` // open statements; else 1
	Bytes     int64     `json:"bytes"` // by which the engine's memory has grown
	Since     time.Time `json:"since"`
}

// ReaderStats is about the reader pool.
type ReaderStats struct {
	Max         int     `json:"max" figure:"gauge" doc:"the most readers"`
	Open        int     `json:"open" figure:"gauge" doc:"readers that are open"`
	InUse       int     `json:"in_use" figure:"gauge" doc:"readers that somebody has"`
	Waiting     int     `json:"waiting" figure:"gauge" doc:"callers who wait for a reader"`
	MaxInUse    int     `json:"max_in_use" figure:"gauge" doc:"the most readers that were in use at once"`
	Warm        int64   `json:"warm_reads" figure:"counter" doc:"reads that began no transaction: the reader's snapshot was still the newest state"`
	Beyond      int64   `json:"beyond_max" figure:"counter" doc:"leases past the maximum, to keep a caller from waiting for itself"`
	Waits       int64   `json:"waits" figure:"counter" doc:"waits for a reader"`
	WaitSeconds float64 `json:"wait_seconds" figure:"counter,s" doc:"time waited for readers"`
	Timeouts    int64   `json:"timeouts" figure:"counter" doc:"waits for a reader that ended without one"`
}

// WriterStats is about the write queue.
type WriterStats struct {
	UploadWaits       int64   `json:"upload_waits" figure:"counter" doc:"writes that waited for their upload after their COMMIT"`
	UploadWaitSeconds float64 `json:"upload_wait_seconds" figure:"counter,s" doc:"time waited for uploads"`
	QueueLimit        int     `json:"queue_limit" figure:"gauge" doc:"writer.queue_limit; 0 is none"`
	Rejected          int64   `json:"rejected" figure:"counter" doc:"writes that were refused because the queue was full"`
	Queued            int     `json:"queued" figure:"gauge" doc:"callers who wait for the writer"`
	Groups            int64   `json:"groups" figure:"counter" doc:"COMMITs"`
	Units             int64   `json:"units" figure:"counter" doc:"writes acknowledged by them"`
	Waits             int64   `json:"waits" figure:"counter" doc:"waits for the writer"`
	WaitSeconds       float64 `json:"wait_seconds" figure:"counter,s" doc:"time waited for the writer"`
	UnknownOutcomes   int64   `json:"unknown_outcomes" figure:"counter" doc:"COMMITs of which nobody knows whether they hold"`
	// Pairs of places, or more than two, that take this database and others in
	// contradicting orders; each was logged once. See DB.Update.
	LockOrderInversions int64 `json:"lock_order_inversions" figure:"counter" doc:"orders of databases that contradict others"`
	BusyErrors          int64 `json:"busy_errors" figure:"counter" doc:"errors for want of a lock, ErrBusy: nearly always of writes"`
}

// Stats returns the database's counters. It hides the *sql.DB's own, which
// are about database/sql's sessions and remain reachable as db.DB.Stats().
func (db *DB) Stats() Stats {
	if db.remote != nil {
		return db.remote.Stats()
	}
	s := db.h.d.stats()
	s.Sessions = db.h.Sessions()
	return s
}

// Figures are the numbers of s by their names, with what each means: what
// the history records and what metrics are made of.
func (s Stats) Figures() []history.Figure { return stats.Figures(s) }

func (d *database) stats() Stats {
	c, p := &d.counters, d.pool.Stats()
	s := Stats{
		Operations: Operations{
			ConnectionsCreated: c.ConnectionsCreated.Load(), SuccessfulOperations: c.Succeeded.Load(), LockConflicts: c.LockConflicts.Load(),
			RetryAttempts: c.Retries.Load(), FailedOperations: c.Failed.Load(),
		},
		Readers: ReaderStats{
			Max: p.Max, Open: p.Open, InUse: p.InUse, Waiting: p.Waiting, MaxInUse: p.MaxInUse,
			Warm: p.Warm, Beyond: p.Beyond, Waits: p.Waits, WaitSeconds: p.Waited.Seconds(), Timeouts: p.Exhausted,
		},
		Writer: WriterStats{
			Groups: c.Groups.Load(), Units: c.GroupedUnits.Load(),
			Waits: c.QueueWaits.Load(), WaitSeconds: c.QueueWaited().Seconds(), UnknownOutcomes: c.UnknownOutcomes.Load(),
			UploadWaits: c.UploadWaits.Load(), UploadWaitSeconds: c.UploadWaited().Seconds(),
			LockOrderInversions: c.LockOrderInversions.Load(), BusyErrors: c.BusyErrors.Load(),
		},
		WAL:                  d.walStats(),
		ConnectionsDiscarded: c.ConnectionsDiscarded.Load(),
		Leaks:                c.Leaks.Load(),
		Evictions:            c.Evictions.Load(),
		Fenced:               d.fenced.Load() || d.outbid() != nil || d.isDamaged() && !d.cfg.Writer.WriteWhenDamaged,
		Damaged:              d.isDamaged(),
		EngineBytes:          sqlite.MemoryUsed(),
		Optimize: OptimizeStats{
			TablesMended: c.StatisticsMended.Load(), TablesReverted: c.StatisticsReverted.Load(),
			PagesReleased: c.PagesReleased.Load(), ReleaseSteps: c.ReleaseSteps.Load(), LongestStepSeconds: c.LongestRelease().Seconds(),
		},
		Maintenance: d.maintenanceStats(),
		Memory:      d.memoryStats(),
		Watch:       d.watchStats(),
		Volume:      d.volumeStats(),
	}
	if d.replication != nil {
		s.Replication = d.replication.Stats()
	}
	s.Backup, _, _ = d.backups() // Health says what is wrong with the record
	if d.writer != nil {
		s.Writer.Queued, s.Writer.QueueLimit, s.Writer.Rejected = d.writer.Queued(), max(d.cfg.Writer.QueueLimit, 0), d.writer.Refused()
	}
	return s
}

// pageCaches are those of a database, and what is known of leaks.
type pageCaches struct {
	*memory.Database
	statements memory.Statements
	short      string // of what memory was, at the last round
}

func (d *database) joinBudget() {
	c := d.cfg
	d.caches.Database = opened.pages.Join(memory.Config{
		Bytes: c.Database.MemoryBudget, Connections: int(c.connections()), Fixed: c.Database.CacheSize != 0,
		Equal: !c.Maintenance.Enabled.Enabled() || !c.Maintenance.MemoryByNeed.Enabled(),
	})
}

func (p *pageCaches) leave() {
	if p.Database != nil {
		p.Leave()
	}
}

// tendMemory has every connection looked at and resized by whoever owns it, once a second.
func (d *database) tendMemory(now time.Time) {
	if !d.caches.Round(now) {
		return
	}
	d.pool.Visit(func(c *sqlite.Conn) { d.caches.Visit(c, memory.Reader) })
	if d.writer != nil {
		d.writer.Visit(func(c *sqlite.Conn) { d.caches.Visit(c, memory.Writer) })
	}
	r := opened.pages.Report()
	if was := d.caches.short; r.Short != was {
		d.caches.short = r.Short
		if r.Short != "" {
			d.log.Warn("holdfast: memory runs short, page caches are made smaller", "path", d.path, "bound", r.Short, "usable", r.Limit, "budget", r.Total,
				"next", "raise the bound, lower database.memory_budget, or find what else takes memory")
		} else {
			d.log.Info("holdfast: there is memory enough again", "path", d.path, "bound", was, "budget", r.Total)
		}
	}
	if g, found := opened.pages.Watch(now, sqlite.MemoryUsed()); found {
		d.log.Warn("holdfast: the engine's memory grows beyond what its connections have", "path", d.path, "since", g.Since, "from", g.From, "grown", g.Bytes,
			"bytes_per_hour", int64(g.Rate), "next", "look for results and statements that stay open, in DB.Stats().Memory")
	}
}

// leastStatements is how many statements of one place are open before anybody suspects a
// leak: these, and four for each session, which may each have one of the same text.
const leastStatements = 64

// findLeaks reports the places whose prepared statements are never closed.
func (d *database) findLeaks(now time.Time, age time.Duration) {
	found := d.caches.statements.Look(now, age/4, func() (out []memory.Open, least int64) {
		d.mu.Lock()
		defer d.mu.Unlock()
		least = leastStatements
		for e := range d.engines {
			least += 4 * int64(e.Sessions())
			for _, p := range e.Prepared() {
				out = append(out, memory.Open{Site: p.Site, Count: p.Open, SQL: p.SQL})
			}
		}
		return out, least
	})
	for _, s := range found {
		d.counters.Leaks.Add(1)
		d.log.Warn("holdfast: prepared statements grow in number and are not closed", "path", d.path, "caller", callSite(s.Site), "open", s.Count, "were", s.From,
			"since", s.Since, "sql", stats.Fingerprint(s.SQL), "next", "close each *sql.Stmt, or prepare it once and keep it")
	}
}

func (d *database) memoryStats() MemoryStats {
	r := opened.pages.Report()
	out := MemoryStats{
		Budget: r.Total, Usable: r.Limit, ShortOf: r.Short, Granted: r.Granted, Resizes: r.Moves,
		Connections: []ConnectionMemory{}, Suspects: d.suspects(r.Growth),
	}
	if n := r.Nearest; n.Limit > 0 {
		out.Process = &ProcessMemory{Bound: n.Name, Limit: n.Limit, Used: n.Used}
	}
	for _, n := range d.caches.Numbers() {
		rate := 1.
		if all := n.RecentHits + n.RecentMisses; all > 0 {
			rate = n.RecentHits / all
		}
		out.Connections = append(out.Connections, ConnectionMemory{
			Role: string(n.Role), CacheLimit: n.Size, CacheBytes: n.Status.Used, Hits: n.Status.Hits, Misses: n.Status.Misses, Spills: n.Status.Spills,
			HitRate: rate, SchemaBytes: n.Schema, StatementBytes: n.Statement, LookasideSlots: n.Lookaside, IdleSeconds: n.Idle.Seconds(),
		})
	}
	return out
}

// suspects are the places whose statements grow, what has been held for longer than
// leak_threshold, and the engine if it grows.
func (d *database) suspects(growth memory.Growth) []MemorySuspect {
	out := []MemorySuspect{}
	for _, s := range d.caches.statements.Suspects() {
		out = append(out, MemorySuspect{Kind: "statements", CallSite: callSite(s.Site), Statement: stats.Fingerprint(s.SQL), Count: s.Count, Since: s.Since})
	}
	if age := d.cfg.ConnectionPool.LeakThreshold; age > 0 {
		now := time.Now()
		for _, l := range append(d.registry.Snapshot(), d.keptConns()...) {
			if now.Sub(l.Since) >= age {
				out = append(out, MemorySuspect{Kind: string(l.Kind), CallSite: callSite(l.Site), Statement: stats.Fingerprint(l.SQL), Count: 1, Since: l.Since})
			}
		}
	}
	if growth.Bytes > 0 {
		out = append(out, MemorySuspect{Kind: "engine", Count: 1, Bytes: growth.Bytes, Since: growth.Since})
	}
	return out
}

// keptConns are the sql.Conns that were reported as leaks and are out still.
func (d *database) keptConns() []locks.Lease {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []locks.Lease
	for e := range d.engines {
		out = append(out, e.KeptConns()...)
	}
	return out
}

// reportInversion logs orders of databases that contradict each other.
func (d *database) reportInversion(orders []writer.Order) {
	var places []any
	for i, o := range orders {
		places = append(places, slog.Group(fmt.Sprint("order", i+1), "had", o.Had, "wanted", o.Wanted, "stack", o.Stack.String()))
	}
	d.log.Warn("holdfast: databases are locked in contradicting orders, which is a deadlock when these places meet",
		append(places, "next", "take them in one order everywhere, or one after the other")...)
}

// LockReport is who has the locks of a database and who waits for them, of those
// that share it in this process. Of other processes it knows only the one that
// keeps the writer waiting.
type LockReport struct {
	Holders        []LockHolder `json:"holders"` // who has the writer, then who has readers, the oldest first
	Waiters        []LockWaiter `json:"waiters"` // for the writer, in the order of their turns; the first 1000
	Queued         int          `json:"queued"`  // for the writer, all of them
	ReadersWaiting int          `json:"readers_waiting"`
	OldestReader   *LockHolder  `json:"oldest_reader"` // nil if nobody keeps one
	WAL            WALReport    `json:"wal"`
}

// LockHolder is who has a lock. Statements are shown without their literals.
type LockHolder struct {
	Kind           string    `json:"kind"`      // "write transaction", "statement", "exclusive work", "migration", "read transaction", "rows", "backup" or "another process"
	Lock           string    `json:"lock"`      // "WAL_WRITE" or "WAL_READ"; "RESERVED" or "SHARED" without a log; "TURN"
	CallSite       string    `json:"call_site"` // "billing.go:88 (shop/billing.Charge)"; of a statement only when others wait for it
	FirstStatement string    `json:"first_statement"`
	Statement      string    `json:"statement"`    // the last
	RowsChanged    int64     `json:"rows_changed"` // by the statements before it
	Since          time.Time `json:"since"`
	HeldSeconds    float64   `json:"held_at_least_seconds"`
	IdleSeconds    float64   `json:"idle_seconds"`     // since a transaction has begun a statement, to a second; else 0
	Labels         string    `json:"labels,omitempty"` // of runtime/pprof, in its context: "job=billing, tenant=7"

	// Of another process, where the system tells (Linux).
	PID     int    `json:"pid,omitempty"`
	Program string `json:"program,omitempty"`
	State   string `json:"state,omitempty"`
}

// LockWaiter is who waits for the writer.
type LockWaiter struct {
	Kind          string    `json:"kind"`      // "write transaction", "statement" or "exclusive work"
	Priority      string    `json:"priority"`  // "high", "normal" or "low"
	CallSite      string    `json:"call_site"` // of a statement only when it has waited for 50 ms behind one holder, or for a second
	Statement     string    `json:"statement"`
	Since         time.Time `json:"since"`
	WaitedSeconds float64   `json:"waited_seconds"`
	Labels        string    `json:"labels,omitempty"`
}

// WALReport is about the write-ahead log. It can't be emptied past the snapshot
// of the oldest reader.
type WALReport struct {
	Bytes         int64   `json:"bytes"`
	LimitBytes    int64   `json:"limit_bytes"`   // maintenance.wal_limit; 0 is none
	Frames        int     `json:"frames"`        // pages in the log, as of the last commit of this process
	CopiedFrames  int     `json:"copied_frames"` // of them that are in the database, as of the last checkpoint
	HandedOver    bool    `json:"handed_over"`   // somebody else checkpoints; see maintenance.checkpoints
	PinnedBy      string  `json:"pinned_by"`     // the oldest reader's call site; "" if nobody in this process
	PinnedSeconds float64 `json:"pinned_seconds"`
	// Another process, once it has kept the log from being emptied for 10 s (Linux).
	PinnedPID     int    `json:"pinned_pid,omitempty"`
	PinnedProgram string `json:"pinned_program,omitempty"`
}

// maxWaiters bounds a LockReport.
const maxWaiters = 1000

// Locks tells who has the locks of the database and who waits for them. It takes
// no lock that a statement could hold, and waits for nobody; when another process
// keeps the writer waiting, it looks for that one for up to 50 ms.
func (db *DB) Locks(ctx context.Context) (LockReport, error) {
	if err := db.needsFile("locks"); err != nil {
		return LockReport{}, err
	}
	return db.h.d.locks(ctx)
}

func (d *database) locks(ctx context.Context) (LockReport, error) {
	if err := ctx.Err(); err != nil {
		return LockReport{}, err
	}
	now := time.Now()
	r := LockReport{Holders: []LockHolder{}, Waiters: []LockWaiter{}, ReadersWaiting: d.pool.Stats().Waiting}
	leases := d.registry.Snapshot()
	if d.writer != nil {
		var holder writer.Holder
		var waiting []writer.Waiting
		holder, waiting, r.Queued = d.writer.Waiting(maxWaiters)
		if holder.Kind != "" {
			r.Holders = append(r.Holders, d.writeHolder(holder, leases, now))
		}
		for _, w := range waiting {
			r.Waiters = append(r.Waiters, lockWaiter(w, now))
		}
	}
	for _, l := range leases {
		if l.Kind == locks.Rows || l.Kind == locks.ReadTx || l.Kind == locks.Backup {
			r.Holders = append(r.Holders, d.readHolder(l, now))
			if r.OldestReader == nil {
				oldest := r.Holders[len(r.Holders)-1]
				r.OldestReader = &oldest
				r.WAL.PinnedBy, r.WAL.PinnedSeconds = oldest.CallSite, oldest.HeldSeconds
			}
		}
	}
	wal, _, _, _, _ := dbfile.Sidecars(d.path)
	if info, err := os.Stat(wal); err == nil { // not Identify: see dbfile.SameFile
		r.WAL.Bytes = info.Size()
	}
	d.reportPin(&r.WAL, now)
	return r, nil
}

// controlDelay is how long after Open the control socket is made: a process that
// has ended by then held nothing that anybody could have looked at, and spares
// the directory two changes.
const controlDelay = 100 * time.Millisecond

// startControl lets other processes ask for what Locks and Stats tell, and for
// the statements that were run.
func (d *database) startControl() {
	why := ""
	switch {
	case !d.cfg.Database.ControlSocket.Enabled():
		return
	case d.memory != nil:
		why = "the database is in memory"
	case d.cfg.Database.ReadOnly || d.name.Immutable:
		why = "the database is open for reading only"
	case d.turn == nil:
		why = "there is no lock file"
	case time.Now().Year() < 2020:
		// In a bubble of testing/synctest it is 2000, and its time would stand
		// still as long as a goroutine waits for a connection.
		why = "the clock is not set"
	}
	if why != "" {
		d.log.Debug("holdfast: no control socket", "path", d.path, "reason", why)
		return
	}
	d.control = control.Start(control.Config{
		Path:       d.path,
		Delay:      controlDelay,
		Claim:      d.turn.Claim,
		Locks:      func(ctx context.Context) (any, error) { return d.locks(ctx) },
		Stats:      func(context.Context) (any, error) { return d.allStats(), nil },
		Statements: func(context.Context) (any, error) { return d.ran.List(), nil },
		Health:     func(ctx context.Context) (any, error) { return d.examine(ctx) },
		Queries:    d.plans.Tell,
		Log:        d.log,
	})
}

// startHistory writes down what Stats and Queries tell.
func (d *database) startHistory() {
	t := d.cfg.Telemetry
	if !t.History.Enabled() || d.memory != nil || d.writer == nil || d.name.Immutable {
		return
	}
	wal, _, _, _, _ := dbfile.Sidecars(d.path)
	d.history = recording.Start(recording.KeeperConfig{
		Store: recording.Config{Path: d.path + recording.Suffix, Bytes: t.HistoryLimit, Create: func(path string) error {
			_, err := dbfile.CreatePrivate(path, d.cfg.Database.fileMode())
			return err
		}},
		Database: d.path, Log: wal,
		Release: recording.Build(t.Release), Logger: d.log,
		Take: func() ([]history.Figure, queries.Report) {
			counted, _ := d.plans.Counted() // there is none if telemetry.enabled is false
			return d.allStats().Figures(), counted
		},
	})
}

// History returns what was recorded of the database by all processes that have it open for
// longer than a minute: figures of Stats in the course of time, the sizes of the file and
// its log, on Linux what the processes took, and what statements have cost. It is up to a minute
// old, and empty where nothing was recorded; see telemetry.history. It opens another database,
// and no connection of this one. A database in memory has no history: ErrRefused.
func (db *DB) History(ctx context.Context, q history.Request) (history.Report, error) {
	if err := db.needsFile("history"); err != nil {
		return history.Report{}, err
	}
	d := db.h.d
	switch {
	case d.memory != nil:
		return history.Report{}, newError("history", ErrRefused, sqlite.ResultMisuse, "a database in memory has no history", "ask DB.Stats and DB.Queries")
	case d.history != nil:
		return readHistory(ctx, d.history.Store, q)
	}
	return readHistory(ctx, recording.New(recording.Config{Path: d.path + recording.Suffix}), q)
}

func readHistory(ctx context.Context, s *recording.Store, q history.Request) (history.Report, error) {
	r, err := s.Read(ctx, time.Now(), q)
	switch code := sqlite.Code(err).Primary(); {
	case err == nil:
		return r, nil
	case errors.Is(err, recording.ErrVersion):
		err = newError("history", ErrRefused, sqlite.ResultMisuse, err.Error(), "read it with the same version of Holdfast, or move the file away: a new one is begun")
	case code == sqlite.ResultCorrupt || code == sqlite.ResultNotADB:
		err = newError("history", ErrCorrupt, code, "the history is damaged, not the database: "+err.Error(), "none; the next minute that is written puts the file aside and begins a new one")
	default:
		err = translate("history", "", locks.Site{}, nil, err)
	}
	return history.Report{}, err
}

// allStats is stats with the sessions of all handles.
func (d *database) allStats() Stats {
	s := d.stats()
	d.mu.Lock()
	defer d.mu.Unlock()
	for e := range d.engines {
		s.Sessions += e.Sessions()
	}
	return s
}

// writeHolder is who has the writer, with what is on record about it.
func (d *database) writeHolder(h writer.Holder, leases []locks.Lease, now time.Time) LockHolder {
	out := LockHolder{
		Kind: writeKind(h.Kind), Lock: d.lockName("WAL_WRITE", "RESERVED"), CallSite: callSite(h.Site), Statement: stats.Fingerprint(h.SQL),
		Since: h.Since, HeldSeconds: now.Sub(h.Since).Seconds(), Labels: h.Labels(),
	}
	out.FirstStatement = out.Statement
	if h.Kind == foreignKind {
		if p, ok := d.inTheWay(); ok {
			out.Lock, out.PID, out.Program, out.State = p.Lock, p.PID, p.Program, p.State
		}
	}
	for _, l := range leases { // the youngest of the place: one before it may be committing
		if (l.Kind == locks.WriteTx || l.Kind == locks.Migration) && h.Site.Known() && l.Site == h.Site {
			if l.Kind == locks.Migration {
				out.Kind = string(l.Kind)
			}
			out.FirstStatement, out.RowsChanged = stats.Fingerprint(l.SQL), l.Rows
			out.IdleSeconds = idle(l, now)
		}
	}
	return out
}

func (d *database) readHolder(l locks.Lease, now time.Time) LockHolder {
	return LockHolder{
		Kind: string(l.Kind), Lock: d.lockName("WAL_READ", "SHARED"), CallSite: callSite(l.Site),
		FirstStatement: stats.Fingerprint(l.SQL), Statement: stats.Fingerprint(l.Last),
		Since: l.Since, HeldSeconds: now.Sub(l.Since).Seconds(), IdleSeconds: idle(l, now), Labels: locks.Labels(l.Context),
	}
}

// idle is for how long a transaction has been left alone.
func idle(l locks.Lease, now time.Time) float64 {
	if l.Kind != locks.WriteTx && l.Kind != locks.ReadTx {
		return 0
	}
	return max(now.Sub(l.Quiet).Seconds(), 0)
}

func lockWaiter(w writer.Waiting, now time.Time) LockWaiter {
	return LockWaiter{
		Kind: writeKind(w.Kind), Priority: [...]string{"high", "normal", "low"}[w.Priority], CallSite: callSite(w.Site),
		Statement: stats.Fingerprint(w.SQL), Since: w.Since, WaitedSeconds: now.Sub(w.Since).Seconds(), Labels: w.Labels(),
	}
}

// writeKind tells a transaction on the writer from one that reads.
func writeKind(kind string) string {
	if kind == "transaction" {
		return string(locks.WriteTx)
	}
	return kind
}

func (d *database) lockName(wal, rollback string) string {
	if d.profile.journalMode == "wal" {
		return wal
	}
	return rollback
}

func callSite(s locks.Site) string {
	if s.Known() {
		return s.String()
	}
	return ""
}

// EngineInfo is what the compiled-in SQLite says about itself.
type EngineInfo struct {
	Version         string   `json:"version"`
	SourceID        string   `json:"source_id"`
	Threadsafe      int      `json:"threadsafe"` // of sqlite3_threadsafe: 0 single-thread, 1 serialized, 2 multi-thread
	Description     string   `json:"threading_description"`
	OFDLocks        bool     `json:"ofd_locks"` // file locks survive another descriptor's close
	CompileOptions  []string `json:"compile_options"`
	Recommendations []string `json:"recommendations"`
	KnownBugs       []string `json:"known_bugs"`
}

// Engine tells which SQLite is compiled in, how it was built, and which known
// bugs it has. Each connection is used by one goroutine at a time whatever the
// threading mode, so the mode decides nothing here, except that an engine
// built without mutexes (0) is refused.
func Engine() EngineInfo {
	e := EngineInfo{
		Version: sqlite.Version(), SourceID: sqlite.SourceID(), Threadsafe: sqlite.Threadsafe(),
		OFDLocks: sqlite.OFDLocks(), CompileOptions: sqlite.CompileOptions(),
	}
	e.Description = map[int]string{
		0: "Single-thread: no mutexes, unusable from several goroutines",
		1: "Serialized: connections may be shared between threads",
		2: "Multi-thread: one thread at a time per connection",
	}[e.Threadsafe]
	if e.Threadsafe == 0 {
		e.Recommendations = append(e.Recommendations, "Use a build with THREADSAFE=1 or 2; Holdfast refuses this one.")
	} else {
		e.Recommendations = append(e.Recommendations, "Nothing to do: Holdfast gives each connection to one goroutine at a time.")
	}
	for _, b := range knownBugs {
		if b.affects(sqlite.VersionNumber()) {
			e.KnownBugs = append(e.KnownBugs, b.text)
			e.Recommendations = append(e.Recommendations, b.fix)
		}
	}
	return e
}

type knownBug struct {
	first, last int // version numbers, as sqlite3_libversion_number gives them
	text, fix   string
}

func (b knownBug) affects(version int) bool { return b.first <= version && version <= b.last }

// knownBugs can lose committed data. The table is never written to.
var knownBugs = []knownBug{{
	first: 3007000, last: 3051002,
	text: "A WAL reset can lose committed transactions when processes checkpoint at once (SQLite 3.7.0 to 3.51.2), https://www.sqlite.org/wal.html#walresetbug",
	fix:  "Require modernc.org/sqlite v1.46.2 or later: go get modernc.org/sqlite@latest",
}}

// checkEngine refuses an engine that can't keep the promises.
func checkEngine(allowUnsafe bool) error {
	bugs := slices.ContainsFunc(knownBugs, func(b knownBug) bool { return b.affects(sqlite.VersionNumber()) })
	if allowUnsafe || sqlite.Threadsafe() != 0 && !bugs {
		return nil
	}
	switch e := Engine(); { // with the compile options, which take longer than the check
	case e.Threadsafe == 0:
		return newError("open", ErrRefused, sqlite.ResultMisuse, "the engine was built with THREADSAFE=0", e.Recommendations[0])
	default:
		return newError("open", ErrRefused, sqlite.ResultMisuse,
			fmt.Sprintf("SQLite %s has a known bug: %s", e.Version, strings.Join(e.KnownBugs, "; ")), e.Recommendations[len(e.Recommendations)-1])
	}
}
