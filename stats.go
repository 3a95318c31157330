package holdfast

import (
	"fmt"
	"slices"
	"strings"

	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// Stats is a snapshot of what a database has done since it was opened, over
// all handles of this process. Counts only grow, unless they say "now".
type Stats struct {
	ConnectionsCreated   int64 `json:"connections_created"`
	SuccessfulOperations int64 `json:"successful_operations"`
	LockConflicts        int64 `json:"lock_conflicts"`
	RetryAttempts        int64 `json:"retry_attempts"`
	FailedOperations     int64 `json:"failed_operations"`

	Readers              ReaderStats `json:"readers"`
	Writer               WriterStats `json:"writer"`
	Sessions             int         `json:"sessions"` // now
	ConnectionsDiscarded int64       `json:"connections_discarded"`
	Leaks                int64       `json:"leaks"`
	Evictions            int64       `json:"evictions"`
	Fenced               bool        `json:"fenced"` // now
}

// ReaderStats is about the reader pool.
type ReaderStats struct {
	Max         int     `json:"max"`
	Open        int     `json:"open"`    // now
	InUse       int     `json:"in_use"`  // now
	Waiting     int     `json:"waiting"` // now
	MaxInUse    int     `json:"max_in_use"`
	Warm        int64   `json:"warm_reads"` // reads that began no transaction: the reader's snapshot was still the newest state
	Beyond      int64   `json:"beyond_max"` // leases past the maximum, to keep a caller from waiting for itself
	Waits       int64   `json:"waits"`
	WaitSeconds float64 `json:"wait_seconds"`
}

// WriterStats is about the write queue.
type WriterStats struct {
	Queued          int     `json:"queued"` // now
	Groups          int64   `json:"groups"` // COMMITs
	Units           int64   `json:"units"`  // writes acknowledged by them
	Waits           int64   `json:"waits"`
	WaitSeconds     float64 `json:"wait_seconds"`
	UnknownOutcomes int64   `json:"unknown_outcomes"`
}

// Stats returns the database's counters. It hides the *sql.DB's own, which
// are about database/sql's sessions and remain reachable as db.DB.Stats().
func (db *DB) Stats() Stats {
	d := db.h.d
	c, p := &d.counters, d.pool.Stats()
	s := Stats{
		ConnectionsCreated:   c.ConnectionsCreated.Load(),
		SuccessfulOperations: c.Succeeded.Load(),
		LockConflicts:        c.LockConflicts.Load(),
		RetryAttempts:        c.Retries.Load(),
		FailedOperations:     c.Failed.Load(),
		Readers: ReaderStats{
			Max: p.Max, Open: p.Open, InUse: p.InUse, Waiting: p.Waiting, MaxInUse: p.MaxInUse,
			Warm: p.Warm, Beyond: p.Beyond, Waits: p.Waits, WaitSeconds: p.Waited.Seconds(),
		},
		Writer: WriterStats{
			Groups: c.Groups.Load(), Units: c.GroupedUnits.Load(),
			Waits: c.QueueWaits.Load(), WaitSeconds: c.QueueWaited().Seconds(), UnknownOutcomes: c.UnknownOutcomes.Load(),
		},
		Sessions:             db.h.Sessions(),
		ConnectionsDiscarded: c.ConnectionsDiscarded.Load(),
		Leaks:                c.Leaks.Load(),
		Evictions:            c.Evictions.Load(),
		Fenced:               d.fenced.Load(),
	}
	if d.writer != nil {
		s.Writer.Queued = d.writer.Queued()
	}
	return s
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
