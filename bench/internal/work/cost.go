package work

import (
	"context"
	"errors"
	"runtime"
	"time"

	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// opens opens the database again and again. Closing is not timed. The
// allocations are counted before that, for counting them takes time.
func (j Job) opens(ctx context.Context, open Opener) (*Tally, error) {
	if j.Warm > 0 {
		if _, err := j.opensFor(ctx, open, j.Warm); err != nil {
			return nil, err
		}
	}
	objects, bytes, err := j.allocsOfOpen(ctx, open)
	if err == nil {
		err = j.begin()
	}
	if err != nil {
		return nil, err
	}
	t, err := j.opensFor(ctx, open, j.Duration)
	if err != nil {
		return nil, err
	}
	t.Allocs, t.Bytes = objects, bytes
	return t, nil
}

func (j Job) opensFor(ctx context.Context, open Opener, duration time.Duration) (*Tally, error) {
	t := new(Tally)
	var busy time.Duration
	for end := time.Now().Add(duration); time.Now().Before(end) || t.Done == 0; {
		begin := time.Now()
		db, err := open(ctx, j.Settings)
		if err != nil {
			return nil, err
		}
		took := time.Since(begin)
		busy += took
		if t.Done == 0 || took < t.Least {
			t.Least = took
		}
		t.count(took, nil)
		if err := db.Close(); err != nil {
			return nil, err
		}
	}
	t.Rate = float64(t.Done) / busy.Seconds()
	return t, nil
}

// allocsOfOpen leaves out what closing allocates.
func (j Job) allocsOfOpen(ctx context.Context, open Opener) (objects, bytes float64, err error) {
	const times = 20
	for range times {
		var db Database
		o, b, err := allocs(1, func() (err error) {
			db, err = open(ctx, j.Settings)
			return err
		})
		if err != nil {
			return 0, 0, err
		}
		objects, bytes = objects+o/times, bytes+b/times
		if err := db.Close(); err != nil {
			return 0, 0, err
		}
	}
	return objects, bytes, nil
}

// leases borrows and returns. One lease takes less time than reading the clock
// does, so many are timed together.
func (j Job) leases(ctx context.Context, l Leaser) (*Tally, error) {
	const together = 100
	t, err := j.loop(ctx, func(ctx context.Context, _ *worker) error {
		for range together {
			if err := l.Lease(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	if t != nil {
		t.Done *= together
		t.Rate *= together
		t.Latency = t.Latency.divided(together)
	}
	return t, err
}

// divided is a histogram of durations that are shorter by a factor.
func (h *Histogram) divided(by int) Histogram {
	short := Histogram{max: h.max / time.Duration(by)}
	for i, n := range h.counts {
		if n > 0 {
			short.counts[bucket(min(upper(i), h.max)/time.Duration(by))] += n
			short.total += n
		}
	}
	return short
}

// entryModel is the table entry as GORM sees it.
type entryModel struct {
	ID     int64
	Worker int
	Seq    int64
	Body   string
}

func (entryModel) TableName() string { return "entry" }

// creates writes entries with GORM's Create, which makes a transaction for each.
func (j Job) creates(ctx context.Context, m Mapped) (*Tally, error) {
	orm, err := gorm.Open(sqlite.New(sqlite.Config{Conn: m.ConnPool()}), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		return nil, err
	}
	return j.inserts(ctx, func(ctx context.Context, e Entry) error {
		return orm.WithContext(ctx).Create(&entryModel{Worker: e.Worker, Seq: e.Seq, Body: Body}).Error
	})
}

// allocs runs op so many times and counts what it allocates on Go's heap. What
// the process allocates besides is counted too, and so is shared out among many.
func allocs(times int, op func() error) (objects, bytes float64, err error) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range times {
		if err := op(); err != nil {
			return 0, 0, err
		}
	}
	runtime.ReadMemStats(&after)
	n := float64(times)
	return float64(after.Mallocs-before.Mallocs) / n, float64(after.TotalAlloc-before.TotalAlloc) / n, nil
}

func (j Job) allocsOfGet(ctx context.Context, g Getter) (*Tally, error) {
	w := j.lone()
	return j.allocsOf(w, func() error { return read(ctx, g.Get, w.key(j.Rows)) })
}

func (j Job) allocsOfInsert(ctx context.Context, i Inserter) (*Tally, error) {
	w := j.lone()
	return j.allocsOf(w, func() error { return w.insert(ctx, i.Insert) })
}

// allocsOf times op as well, for the table shows a latency in every row.
func (j Job) allocsOf(w *worker, op func() error) (*Tally, error) {
	const warm, counted = 500, 5000
	timed := func() error {
		begin := time.Now()
		err := op()
		w.tally.count(time.Since(begin), err)
		return err
	}
	_, _, err := allocs(warm, timed)
	w.tally.forget()
	if err == nil {
		err = j.begin()
	}
	start := time.Now()
	if err == nil {
		w.tally.Allocs, w.tally.Bytes, err = allocs(counted, timed)
	}
	if err != nil {
		return nil, errors.Join(errors.New("no operation may fail where allocations are counted"), err)
	}
	w.tally.Rate = float64(w.tally.Done) / time.Since(start).Seconds()
	return &w.tally, nil
}
