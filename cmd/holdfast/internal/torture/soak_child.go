package torture

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfastdb/holdfast"
)

// soakRole writes and reads at a steady rate and measures itself, until the
// parent says "end".
func soakRole(ctx context.Context, p *Parent, config json.RawMessage) error {
	var c soakConfig
	if err := json.Unmarshal(config, &c); err != nil {
		return err
	}
	db, err := c.open(ctx)
	if err != nil {
		return err
	}
	s := &soakingChild{writing: writing{db: db, parent: p, writeConfig: c.writeConfig}, every: c.Every, start: time.Now(), end: make(chan struct{})}
	err = s.run(ctx)
	if e := db.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = s.tellSample("closed", holdfast.Stats{})
	}
	return err
}

type soakingChild struct {
	writing
	every time.Duration
	start time.Time
	end   chan struct{} // closed when it is enough
	reads atomic.Int64
}

func (s *soakingChild) run(ctx context.Context) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var all sync.WaitGroup
	each := func(n int, f func(context.Context, int) error) {
		for i := range n {
			all.Go(func() {
				if err := f(ctx, i); err != nil {
					fail(err)
				}
			})
		}
	}
	each(s.Goroutines, s.write)
	each(s.Readers, s.read)
	each(1, s.measure)
	if line, err := s.parent.Next(ctx); err == nil && line != "end" {
		fail(fmt.Errorf("the parent said %q", line))
	}
	close(s.end)
	all.Wait()
	return context.Cause(ctx)
}

// pace calls f at a rate until the end. Who is late by more than a second does
// not catch up.
func (s *soakingChild) pace(ctx context.Context, interval time.Duration, f func() error) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for next := time.Now(); ; {
		select {
		case <-timer.C:
		case <-s.end:
			return nil
		case <-ctx.Done():
			return nil
		}
		if err := f(); err != nil {
			return err
		}
		next = next.Add(interval)
		if late := time.Now().Add(-time.Second); next.Before(late) {
			next = late
		}
		timer.Reset(time.Until(next))
	}
}

func (s *soakingChild) write(ctx context.Context, i int) error {
	r := rand.New(rand.NewPCG(s.Seed, uint64(i)))
	seq := uint64(0)
	return s.pace(ctx, time.Duration(s.Goroutines)*time.Second/soakRate, func() error {
		seq++
		x := newWrite(s.Seed, s.FirstWriter+i, seq)
		x.parts, x.short = 1, true
		return s.one(ctx, x, r)
	})
}

// read looks a row up, and now and then runs a transaction or reads a longer
// result, each in another of the ways in which programs do.
func (s *soakingChild) read(ctx context.Context, i int) error {
	r := rand.New(rand.NewPCG(s.Seed, uint64(1000+i)))
	return s.pace(ctx, 20*time.Millisecond, func() error {
		s.reads.Add(1)
		var err error
		switch r.IntN(4) {
		case 0:
			err = s.lookUp(ctx, r)
		case 1:
			err = s.db.View(ctx, func(tx *sql.Tx) error {
				var last, n sql.NullInt64
				return tx.QueryRowContext(ctx, "SELECT (SELECT max(id) FROM entry), (SELECT count(*) FROM entry WHERE writer = ?)", -1).Scan(&last, &n)
			})
		default:
			n := 0
			for _, e := range s.db.Rows(ctx, "SELECT id, body FROM entry ORDER BY id DESC LIMIT ?", 1+r.IntN(200)) {
				if err = e; err != nil {
					break
				}
				n++
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		return err
	})
}

func (s *soakingChild) lookUp(ctx context.Context, r *rand.Rand) error {
	var last sql.NullInt64
	if err := s.db.QueryRowContext(ctx, "SELECT max(id) FROM entry").Scan(&last); err != nil || !last.Valid {
		return err
	}
	id := 1 + r.Int64N(last.Int64)
	var body string
	if err := s.db.QueryRowContext(ctx, "SELECT body FROM entry WHERE id = ?", id).Scan(&body); err != nil {
		return fmt.Errorf("row %d of %d: %w", id, last.Int64, err)
	}
	return nil
}

func (s *soakingChild) measure(ctx context.Context, _ int) error {
	return s.pace(ctx, s.every, func() error { return s.tellSample("sample", s.db.Stats()) })
}

// tellSample measures after everything that is free was given back: what is left
// is held.
func (s *soakingChild) tellSample(word string, stats holdfast.Stats) error {
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	one := sample{
		Seconds: time.Since(s.start).Seconds(), HeapBytes: int64(m.HeapAlloc), EngineBytes: stats.EngineBytes,
		FileBytes: sizeOf(s.Path), WALBytes: sizeOf(s.Path + "-wal"),
		Goroutines: runtime.NumGoroutine(), StackBytes: int64(m.StackSys), Reads: s.reads.Load(), Commits: stats.Writer.Groups,
		Connections: len(stats.Memory.Connections),
	}
	for _, c := range stats.Memory.Connections {
		one.CacheBytes += c.CacheBytes
	}
	var err, e error
	one.RSSBytes, err = residentBytes()
	one.Descriptors, e = openDescriptors()
	err = errors.Join(err, e)
	one.Threads, e = threads()
	if err = errors.Join(err, e); err != nil {
		return err
	}
	text, err := json.Marshal(one)
	if err != nil {
		return err
	}
	return s.parent.Tell("%s %s", word, text)
}

// sizeOf asks for a size without opening the file, which SQLite has open.
func sizeOf(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0 // the log of a closed database is gone
	}
	return info.Size()
}

// residentBytes is the memory that the kernel counts for this process.
func residentBytes() (int64, error) {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	fields := bytes.Fields(text)
	if len(fields) < 2 {
		return 0, fmt.Errorf("/proc/self/statm says %q", text)
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	return pages * int64(os.Getpagesize()), err
}

// threads counts the threads of this process. The runtime keeps those it has
// made, so a disk that stands still once leaves their stacks behind.
func threads() (int, error) {
	list, err := os.ReadDir("/proc/self/task")
	return len(list), err
}

// openDescriptors counts the open files of this process, but for the one that
// lists them.
func openDescriptors() (int, error) {
	list, err := os.ReadDir("/proc/self/fd")
	return len(list) - 1, err
}
