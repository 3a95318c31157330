package work

import (
	"context"
	"sync"
	"time"
)

// mixed is what the operation Mix takes.
type mixed interface {
	Getter
	Inserter
}

// mix reads nine times of ten and writes the tenth, at random.
func (j Job) mix(ctx context.Context, m mixed) (*Tally, error) {
	return j.loop(ctx, func(ctx context.Context, w *worker) error {
		if w.random.IntN(10) == 0 {
			return w.insert(ctx, m.Insert)
		}
		begin := time.Now()
		err := read(ctx, m.Get, w.key(j.Rows))
		if err == nil {
			w.tally.Reads.Add(time.Since(begin))
		}
		return err
	})
}

// watched is what the operation Latency takes.
type watched interface {
	Getter
	Bulker
}

const (
	pace     = time.Millisecond // of a reader whose latency is watched
	bulkRows = 20_000           // of each transaction beside it
)

// latency lets slow readers run alone for half of the time, and beside a
// goroutine that writes large transactions for the other. The readers keep a
// pace, so that they don't wait for each other on few CPUs: what is measured is
// how long a read takes, not how many there can be.
func (j Job) latency(ctx context.Context, w watched) (*Tally, error) {
	var writes Tally
	var has int64
	if j.Warm > 0 {
		has = writes.bulk(ctx, w, j.FirstWorker, 0, bulkRows)
		writes.forget()
	}
	half := j
	half.Duration = j.Duration / 2
	idle, err := half.paced(ctx, w)
	if err != nil {
		return nil, err
	}
	bulkCtx, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { writes.bulkUntil(bulkCtx, w, j.FirstWorker, has) })
	t, err := half.begun().paced(ctx, w)
	stop()
	wg.Wait()
	if err != nil {
		return nil, err
	}
	t.Idle = idle.Latency
	t.Failed += idle.Failed + writes.Failed
	t.WarmFailed += idle.WarmFailed + writes.WarmFailed
	t.Ledger = writes.Ledger
	for _, e := range []string{idle.FirstError, writes.FirstError} {
		if t.FirstError == "" {
			t.FirstError = e
		}
	}
	return t, nil
}

// paced reads with a pause before each read, which does not count.
func (j Job) paced(ctx context.Context, g Getter) (*Tally, error) {
	t, err := j.loop(ctx, func(ctx context.Context, w *worker) error {
		time.Sleep(pace)
		begin := time.Now()
		err := read(ctx, g.Get, w.key(j.Rows))
		if err == nil {
			w.tally.Reads.Add(time.Since(begin))
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	t.Latency, t.Reads = t.Reads, Histogram{}
	return t, nil
}

// bulkUntil writes one transaction after the other until ctx ends. The last
// one is finished. Most that are refused at first get through later.
func (t *Tally) bulkUntil(ctx context.Context, b Bulker, worker int, has int64) {
	for ctx.Err() == nil {
		has = t.bulk(context.WithoutCancel(ctx), b, worker, has, bulkRows)
	}
}
