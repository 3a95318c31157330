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
	half := j
	half.Duration = j.Duration / 2
	idle, err := half.paced(ctx, w)
	if err != nil {
		return nil, err
	}
	bulkCtx, stop := context.WithCancel(ctx)
	var writes Tally
	var wg sync.WaitGroup
	wg.Go(func() { writes = j.bulkUntil(bulkCtx, w) })
	t, err := half.paced(ctx, w)
	stop()
	wg.Wait()
	if err != nil {
		return nil, err
	}
	t.Idle = idle.Latency
	t.Failed += idle.Failed + writes.Failed
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
func (j Job) bulkUntil(ctx context.Context, b Bulker) Tally {
	var t Tally
	account := Account{Worker: j.FirstWorker}
	for ctx.Err() == nil {
		begin := time.Now()
		err := b.Bulk(context.WithoutCancel(ctx), j.FirstWorker, account.Rows+1, bulkRows)
		t.count(time.Since(begin), err)
		if err == nil {
			account.Rows += bulkRows
			account.Sum = account.Rows * (account.Rows + 1) / 2
			t.Ledger = []Account{account}
		}
	}
	return t
}
