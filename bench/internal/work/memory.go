package work

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"runtime/debug"
	"time"
)

// Memory is what a process has, and how much more that is than before, for each
// reader or each operation in between.
type Memory struct {
	Resident   int64   `json:"resident_bytes"` // see anonymous
	Live       int64   `json:"live_bytes"`     // on Go's heap
	Growth     float64 `json:"growth_bytes"`
	LiveGrowth float64 `json:"live_growth_bytes"`
}

// readMemory gives back to the system what is free before it looks.
func readMemory() (Memory, error) {
	for range 3 { // what is in a sync.Pool takes two collections
		debug.FreeOSMemory()
	}
	resident, err := anonymous()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return Memory{Resident: resident, Live: int64(stats.HeapAlloc)}, err
}

// since is m with what each of n has added to before.
func (m Memory) since(before Memory, n int64) Memory {
	m.Growth = float64(m.Resident-before.Resident) / float64(n)
	m.LiveGrowth = float64(m.Live-before.Live) / float64(n)
	return m
}

// Holder reads the whole table item on n connections at once. All of them have
// come to a row before one goes on.
type Holder interface {
	Hold(ctx context.Context, n int) error
}

// readerCounter tells how many connections read, where a handle of database/sql
// does not stand for one.
type readerCounter interface {
	OpenReaders() int
}

// idleReaders measures what a reader costs that has read and is idle: a pool of
// Readers against a pool of one, in the same process, so that all else is the
// same. Each pool is opened anew, for some open all their connections at once.
func (j Job) idleReaders(ctx context.Context, open Opener) (*Tally, error) {
	one, err := j.hold(ctx, open, 1)
	if err == nil {
		err = j.begin()
	}
	if err != nil {
		return nil, err
	}
	start := time.Now()
	all, err := j.hold(ctx, open, j.Settings.Readers)
	if err != nil {
		return nil, err
	}
	t := &Tally{Done: holds, Rate: holds / time.Since(start).Seconds()}
	t.Memory = all.since(one, int64(j.Settings.Readers-1))
	return t, nil
}

// holds is how often readers read until nothing changes any more.
const holds = 10

// hold returns what the process has while n readers are open and idle.
func (j Job) hold(ctx context.Context, open Opener, n int) (m Memory, err error) {
	s := j.Settings
	s.Readers = n
	db, err := open(ctx, s)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	h, ok := db.(Holder)
	if !ok {
		return m, errNotOffered
	}
	for range holds {
		if err := h.Hold(ctx, n); err != nil {
			return m, err
		}
	}
	if c, ok := h.(readerCounter); ok && c.OpenReaders() != n {
		return m, fmt.Errorf("%d readers are open where %d were held", c.OpenReaders(), n)
	}
	return readMemory()
}

// growth runs so many mixed operations, and compares what the process has after
// the first tenth with what it has after all.
func (j Job) growth(ctx context.Context, m mixed) (*Tally, error) {
	first, rest := j, j.begun()
	first.Duration, rest.Duration = math.MaxInt64, math.MaxInt64
	first.Operations = max(j.Operations/10, 1)
	rest.Operations = max(j.Operations-first.Operations, 1)
	rest.FirstWorker += j.Goroutines // their entries are numbered from 1 again
	before, err := first.mix(ctx, m)
	if err != nil {
		return nil, err
	}
	then, err := readMemory()
	if err != nil {
		return nil, err
	}
	t, err := rest.mix(ctx, m)
	if err != nil {
		return nil, err
	}
	now, err := readMemory()
	if err != nil {
		return nil, err
	}
	t.Memory = now.since(then, rest.Operations)
	t.Ledger = append(t.Ledger, before.Ledger...)
	t.WarmFailed += before.WarmFailed + before.Failed
	return t, nil
}
