package dash

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast/locks"
)

// outside is what other processes do with a database, by package locks. A look costs some
// milliseconds, so only pages that show it ask.
type outside struct {
	mu      sync.Mutex
	watcher *locks.Watcher
	at      time.Time
	report  *locks.Report // of the last look; nil if there was none
	err     error
	ring    []grips
}

// grips are the locks of other processes at one moment.
type grips struct {
	At      time.Time
	Holders []locks.Holder
	Waiters []locks.Waiter
}

const (
	lookTime = 800 * time.Millisecond
	lookKept = 10 * time.Second
)

// look looks, unless somebody has within the last second. On a machine that is too busy for
// it the last look counts for some seconds more. The report is shared: it must not be changed.
func (o *outside) look(ctx context.Context, path string, now time.Time) (*locks.Report, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if now.Sub(o.at) < sampleEvery {
		return o.report, o.err
	}
	o.at = now
	if o.watcher == nil {
		if o.watcher, o.err = locks.NewWatcher(path); o.err != nil {
			return nil, o.err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	r, err := o.watcher.Look(ctx)
	if err != nil {
		if o.err = nil; o.report == nil || now.Sub(o.report.At) > lookKept || !errors.Is(err, context.DeadlineExceeded) {
			o.report, o.err = nil, err
		}
		return o.report, o.err
	}
	o.report, o.err = r, nil
	seen := grips{At: r.At}
	for _, h := range o.report.Holders {
		if h.PID != os.Getpid() && len(seen.Holders) < mostHolders {
			seen.Holders = append(seen.Holders, h)
		}
	}
	for _, w := range o.report.Waiters {
		if w.PID != os.Getpid() && len(seen.Waiters) < mostWaiters {
			seen.Waiters = append(seen.Waiters, w)
		}
	}
	if len(o.ring) == mostSamples {
		copy(o.ring, o.ring[1:])
		o.ring = o.ring[:mostSamples-1]
	}
	o.ring = append(o.ring, seen)
	return o.report, nil
}

// seen returns the looks since a moment, the oldest first.
func (o *outside) seen(since time.Time) []grips {
	o.mu.Lock()
	defer o.mu.Unlock()
	i := 0
	for i < len(o.ring) && o.ring[i].At.Before(since) {
		i++
	}
	return append([]grips(nil), o.ring[i:]...)
}
