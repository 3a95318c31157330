package contention

import (
	"context"
	"time"
)

// Report is what one contestant achieved, all processes together.
type Report struct {
	Contestant  Contestant
	Processes   int
	Goroutines  int // of each process
	Tally       *Tally
	LostUpdates int64
}

// Quantile is the duration that the fraction q of the acknowledged
// transactions did not exceed, to one percent.
func (r *Report) Quantile(q float64) time.Duration { return r.Tally.quantile(q) }

// Mean is the mean duration of the acknowledged transactions, to one percent.
func (r *Report) Mean() time.Duration {
	n := r.Tally.waits.GetCount()
	if n == 0 {
		return 0
	}
	return time.Duration(r.Tally.waits.GetSum() / n * float64(time.Second))
}

// PerSecond is the rate of acknowledged transactions.
func (r *Report) PerSecond() float64 {
	if r.Tally.Elapsed <= 0 {
		return 0
	}
	return float64(r.Tally.Transactions) / r.Tally.Elapsed.Seconds()
}

// ErrorRatio is the share of transactions that failed, 0 to 1.
func (r *Report) ErrorRatio() float64 {
	if n := r.Tally.Transactions + r.Tally.Errors; n > 0 {
		return float64(r.Tally.Errors) / float64(n)
	}
	return 0
}

// Measure runs a load in this process and, at the same time, in processes-1
// others, which it starts as this program with workerArgs. It creates the file
// and the table if they are missing, and leaves them.
func Measure(ctx context.Context, l Load, processes int, workerArgs []string) (*Report, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the children if one of them, or this process, fails
	before, err := l.prepare(ctx)
	if err != nil {
		return nil, err
	}
	sum, err := l.measure(ctx, processes, workerArgs)
	if err != nil {
		return nil, err
	}
	after, err := l.result(ctx)
	if err != nil {
		return nil, err
	}
	return &Report{
		Contestant: l.Contestant, Processes: processes, Goroutines: l.Goroutines, Tally: sum,
		// An error at COMMIT may leave the transaction in place: a surplus is no loss.
		LostUpdates: max(0, sum.Transactions-(after-before)),
	}, nil
}

func (l Load) measure(ctx context.Context, processes int, workerArgs []string) (*Tally, error) {
	db, err := l.open(ctx)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	var workers []*worker
	for range processes - 1 {
		w, err := startWorker(ctx, l, workerArgs)
		if err != nil {
			return nil, err
		}
		workers = append(workers, w)
	}
	for _, w := range workers {
		if err := w.start(); err != nil {
			return nil, err
		}
	}
	sum, err := l.run(ctx, db)
	if err != nil {
		return nil, err
	}
	for _, w := range workers {
		t, err := w.tally()
		if err != nil {
			return nil, err
		}
		if err := sum.add(t); err != nil {
			return nil, err
		}
	}
	return sum, nil
}
