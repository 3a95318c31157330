// Package metrics makes what Holdfast counts of a database known to Prometheus and
// OpenTelemetry: every figure of holdfast.Stats, who holds locks for how long, the
// sizes of the files, and what the statements cost that cost most.
//
// Nothing is counted twice and nothing is added to a statement's path: a scrape
// reads what the library has counted anyway. It takes no connection and no lock of
// SQLite, holds no snapshot, and looks at statements at most once a second.
//
// No value of a statement and no path is told. The number of series has a bound;
// see Top.
package metrics

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/history"
)

// top is how many statements have series of their own unless Top says otherwise.
const top = 50

// every is how old costs of statements may be. Reading them copies all histograms.
const every = time.Second

// Option changes what is told of a database.
type Option func(*source)

// Name calls the database so. Without it, it is called as its file without
// directory and extension: "orders" for /srv/shop/orders.db, "memory" for one in
// memory. Databases that are registered together need different names.
func Name(name string) Option { return func(s *source) { s.name = name } }

// Top is how many statements have series of their own, those that took longest in
// all; what all others cost is told as one. 0 is 50, and less than 0 is none.
func Top(n int) Option { return func(s *source) { s.statements.top = n } }

// source is what is read of one database. It is safe for concurrent use.
type source struct {
	db   *holdfast.DB
	name string

	mu         sync.Mutex // guards statements
	statements statements
}

func newSource(db *holdfast.DB, options []Option) *source {
	s := &source{db: db, name: "memory"}
	if path := db.Path(); path != "" {
		s.name = strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	}
	for _, o := range options {
		o(s)
	}
	if s.statements.top == 0 {
		s.statements.top = top
	}
	return s
}

// figures are all numbers of the database itself: Stats, and what stands beside it.
func (s *source) figures() []history.Figure {
	stats := s.db.Stats()
	return append(stats.Figures(), s.more(stats)...)
}

// beside is what stands beside Stats. Of a database that has none of something, it is 0.
type beside struct {
	held, waited, oldest float64 // seconds
	file, log            int64   // bytes
	due, drillDue        time.Time
	every                float64 // seconds
}

func (s *source) more(stats holdfast.Stats) []history.Figure {
	var b beside
	locks, _ := s.db.Locks(context.Background())
	for _, h := range locks.Holders {
		if h.Lock != "WAL_READ" && h.Lock != "SHARED" {
			b.held = max(b.held, h.HeldSeconds)
		}
	}
	if locks.OldestReader != nil {
		b.oldest = locks.OldestReader.HeldSeconds
	}
	for _, w := range locks.Waiters {
		b.waited = max(b.waited, w.WaitedSeconds)
	}
	if path := s.db.Path(); path != "" {
		b.file, b.log = size(path), size(path+"-wal")
	}
	for _, p := range stats.Backup.Places {
		if p.EverySeconds > 0 && (b.every == 0 || p.EverySeconds < b.every) {
			b.every = p.EverySeconds
		}
		b.due, b.drillDue = first(b.due, p.Backups.Due), first(b.drillDue, p.Drills.Due)
	}
	return b.figures()
}

// size asks by stat, which opens nothing: closing a descriptor would drop the locks of
// the process.
func size(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// first is the earlier of two moments that are.
func first(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func (b beside) figures() []history.Figure {
	gauge := func(name, unit, help string, v float64) history.Figure {
		return history.Figure{Name: name, Kind: history.Gauge, Unit: unit, Help: help, Value: v}
	}
	moment := func(name, help string, t time.Time) history.Figure {
		f := history.Figure{Name: name, Kind: history.Gauge, Unit: "s", Help: help, Time: true}
		if !t.IsZero() {
			f.Value = float64(t.UnixMilli()) / 1000
		}
		return f
	}
	return []history.Figure{
		gauge("writer.held_seconds", "s", "how long the writer has been held by who has it now; 0 if it is free", b.held),
		gauge("writer.longest_wait_seconds", "s", "how long who waits for the writer longest has waited so far", b.waited),
		gauge("readers.oldest_seconds", "s", "age of the oldest read that is kept open now; the log can't be emptied past it", b.oldest),
		gauge("file_bytes", "By", "size of the database file; 0 in memory", float64(b.file)),
		gauge("wal.file_bytes", "By", "size of the write-ahead log's file", float64(b.log)),
		gauge("backup.every_seconds", "s", "the time between two backups, of the place where it is shortest; 0 if none is promised", b.every),
		moment("backup.due", "from when on a backup is late, of the place where that is first; 0 if none is promised", b.due),
		moment("backup.drill_due", "from when on a restore for a check is late, of the place where that is first; 0 if none is promised", b.drillDue),
	}
}
