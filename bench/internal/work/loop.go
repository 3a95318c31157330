package work

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

// worker is one goroutine of a job.
type worker struct {
	id     int
	random *rand.Rand
	most   int64 // operations; 0 for as many as there is time for
	seq    int64 // of the entry it writes
	tally  Tally
}

// start gives the worker its number. What it reads is random, and the same in
// every round.
func (w *worker) start(id int) {
	w.id = id
	w.random = rand.New(rand.NewPCG(uint64(id), 1))
}

// lone is the only worker of a job that loop does not run.
func (j Job) lone() *worker {
	w := new(worker)
	w.start(j.FirstWorker)
	return w
}

// operation is what loop repeats.
type operation func(ctx context.Context, w *worker) error

// loop runs op on the job's goroutines until its time is up, after a warm-up on
// the same goroutines. An operation that has begun then is finished. One that is
// refused is counted and the next one begins; a WrongError ends the job.
func (j Job) loop(ctx context.Context, op operation) (*Tally, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	workers := make([]worker, j.Goroutines)
	var warm, done sync.WaitGroup
	var start time.Time
	started := make(chan struct{})
	warm.Add(len(workers))
	for i := range workers {
		w := &workers[i]
		w.start(j.FirstWorker + i)
		w.most = (j.Operations + int64(j.Goroutines) - 1) / int64(j.Goroutines)
		done.Go(func() {
			if err := w.warmUp(ctx, j.Warm, op); err != nil {
				cancel(err)
			}
			warm.Done()
			<-started
			if err := w.run(ctx, start, start.Add(j.Duration), op); err != nil {
				cancel(err)
			}
		})
	}
	warm.Wait()
	if ctx.Err() == nil {
		if err := j.begin(); err != nil {
			cancel(err)
		}
	}
	start = time.Now()
	close(started)
	done.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	sum := new(Tally)
	for i := range workers {
		sum.Merge(&workers[i].tally)
	}
	return sum, nil
}

// warmUp runs op for a time, once at least, and counts only what the database
// is compared with afterwards.
func (w *worker) warmUp(ctx context.Context, warm time.Duration, op operation) error {
	if warm <= 0 {
		return nil
	}
	for start := time.Now(); ; {
		err := op(ctx, w)
		if wrong, ok := errors.AsType[*WrongError](err); ok {
			return wrong
		}
		now := time.Now()
		w.tally.count(now.Sub(start), err)
		if now.Sub(start) >= warm || ctx.Err() != nil {
			w.tally.forget()
			return nil
		}
	}
}

func (w *worker) run(ctx context.Context, start, end time.Time, op operation) error {
	begin := start
	for n := int64(0); begin.Before(end) && ctx.Err() == nil && (w.most == 0 || n < w.most); n++ {
		err := op(ctx, w)
		now := time.Now()
		if wrong, ok := errors.AsType[*WrongError](err); ok {
			return wrong
		}
		w.tally.count(now.Sub(begin), err)
		begin = now
	}
	// Each worker's own time counts: one that was done in time must not be
	// charged for others whose last operation took long.
	if took := begin.Sub(start); took > 0 {
		w.tally.Rate = float64(w.tally.Done) / took.Seconds()
	}
	return nil
}

// acknowledge notes that the entry with the worker's current number is
// committed.
func (w *worker) acknowledge() {
	if len(w.tally.Ledger) == 0 {
		w.tally.Ledger = []Account{{Worker: w.id}}
	}
	a := &w.tally.Ledger[0]
	a.Rows++
	a.Sum += w.seq
}

// key picks one of the table item's.
func (w *worker) key(items int) int64 { return 1 + w.random.Int64N(int64(items)) }

func (j Job) reads(ctx context.Context, get func(context.Context, int64) (Item, error)) (*Tally, error) {
	return j.loop(ctx, func(ctx context.Context, w *worker) error {
		return read(ctx, get, w.key(j.Rows))
	})
}

func read(ctx context.Context, get func(context.Context, int64) (Item, error), id int64) error {
	item, err := get(ctx, id)
	if err != nil {
		return err
	}
	return item.check(id)
}

func (j Job) prepared(ctx context.Context, p Preparer) (_ *Tally, err error) {
	get, done, err := p.Prepare(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, done()) }()
	return j.reads(ctx, get)
}

func (j Job) scans(ctx context.Context, s Scanner) (*Tally, error) {
	want := sumOf(int64(j.Rows))
	t, err := j.loop(ctx, func(ctx context.Context, _ *worker) error {
		got, err := s.Scan(ctx)
		if err == nil && got != want {
			return &WrongError{"the scan did not see all rows as they are"}
		}
		return err
	})
	if t != nil { // rows, not scans
		t.Done *= int64(j.Rows)
		t.Rate *= float64(j.Rows)
	}
	return t, err
}

func (j Job) inserts(ctx context.Context, insert func(context.Context, Entry) error) (*Tally, error) {
	return j.loop(ctx, func(ctx context.Context, w *worker) error { return w.insert(ctx, insert) })
}

func (w *worker) insert(ctx context.Context, insert func(context.Context, Entry) error) error {
	w.seq++
	if err := insert(ctx, Entry{Worker: w.id, Seq: w.seq}); err != nil {
		return err
	}
	w.acknowledge()
	return nil
}

func (j Job) increments(ctx context.Context, i Incrementer) (*Tally, error) {
	return j.loop(ctx, func(ctx context.Context, w *worker) error {
		err := i.Increment(ctx, 1+w.random.Int64N(Counters))
		if err == nil {
			w.tally.Increments++
		}
		return err
	})
}

// bulk runs once, whatever the duration, after a tenth as much that does not
// count.
func (j Job) bulk(ctx context.Context, b Bulker) (*Tally, error) {
	t := new(Tally)
	var first int64
	if j.Warm > 0 {
		first = t.bulk(ctx, b, j.FirstWorker, 0, int64(j.Rows/10))
		t.forget()
	}
	if err := j.begin(); err != nil {
		return nil, err
	}
	start := time.Now()
	if t.bulk(ctx, b, j.FirstWorker, first, int64(j.Rows)) > first {
		t.Done = int64(j.Rows) // rows, not transactions
		t.Rate = float64(j.Rows) / time.Since(start).Seconds()
	}
	return t, nil
}

// bulk writes n rows of a worker in one transaction behind those that it has,
// and returns how many it has then.
func (t *Tally) bulk(ctx context.Context, b Bulker, worker int, has, n int64) int64 {
	begin := time.Now()
	err := b.Bulk(ctx, worker, has+1, n)
	t.count(time.Since(begin), err)
	if err == nil {
		has += n
		t.Ledger = []Account{{Worker: worker, Rows: has, Sum: has * (has + 1) / 2}}
	}
	return has
}
