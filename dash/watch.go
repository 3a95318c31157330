package dash

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/history"
	"github.com/holdfastdb/holdfast/queries"
)

// sample is what was seen of a database at one moment.
type sample struct {
	At     time.Time
	Stats  holdfast.Stats // without lists
	Locks  holdfast.LockReport
	Reads  int64 // calls of statements that read, and that write
	Writes int64
	P95    float64 // seconds, of all calls since the sample before; NaN without any
}

const (
	sampleEvery = 800 * time.Millisecond // pages ask once a second
	mostSamples = 300
	mostHolders = 50 // kept of a sample
	mostWaiters = 20

	mostRemembered = 8
)

// watch looks at a database while somebody looks at its pages, and remembers the last five
// minutes of that. Nothing runs in between: where nobody looked there is a gap.
type watch struct {
	db     *holdfast.DB
	source source

	mu      sync.Mutex
	ring    []sample
	held    holdfast.LockReport // of the last sample, whole
	counted queries.Report      // of the last sample
	uncount error               // why there is none
	who     []string            // whose it is, if not this process\'s
	silent  []string
	latency *queries.Histogram // of all calls, at the last sample

	past map[string]remembered // what the history has said lately

	turn     sync.Mutex // of those who ask for health
	health   holdfast.Health
	healthAt time.Time

	elections []election // of a cluster's leader, the oldest first
	leads     string     // the last that was seen
	ledSince  time.Time  // the first look

	outside outside
	sizes   sizes
	listing listing
}

// watchOf returns what is known of a place's database. What was known of one that is gone
// is forgotten.
func (d *Dashboard) watchOf(at place) *watch {
	if at.db == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	w := d.watches[at.name]
	if w == nil || w.db != at.db {
		all := d.databases()
		for name, old := range d.watches {
			if all[name] != old.db {
				delete(d.watches, name)
			}
		}
		w = &watch{db: at.db, source: own{at.db}}
		if d.others && at.db.Path() != "" {
			w.source = others{at.db}
		}
		d.watches[at.name] = w
	}
	return w
}

// sample looks once, unless somebody has within the last second.
func (w *watch) sample(ctx context.Context, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := len(w.ring); n > 0 && now.Sub(w.ring[n-1].At) < sampleEvery {
		return
	}
	t, err := w.source.figures(ctx)
	if err != nil { // the page's own look says why
		return
	}
	held := t.locks
	s := sample{At: now, Stats: t.stats, Locks: held, P95: math.NaN()}
	w.counted, w.uncount, w.who, w.silent = t.queries, t.uncount, t.who, t.silent
	s.Stats.Memory.Connections, s.Stats.Memory.Suspects, s.Stats.Backup.Places = nil, nil, nil
	s.Locks.Holders = s.Locks.Holders[:min(len(held.Holders), mostHolders)]
	s.Locks.Waiters = s.Locks.Waiters[:min(len(held.Waiters), mostWaiters)]
	w.held = held
	w.count(&s)
	if len(w.ring) == mostSamples {
		copy(w.ring, w.ring[1:])
		w.ring = w.ring[:mostSamples-1]
	}
	w.ring = append(w.ring, s)
}

// count adds what the calls of statements tell.
func (w *watch) count(s *sample) {
	r := w.counted
	if w.uncount != nil {
		return
	}
	all := new(queries.Histogram)
	for i := range r.Queries {
		q := &r.Queries[i]
		if q.Writes {
			s.Writes += q.Calls
		} else {
			s.Reads += q.Calls
		}
		all.Merge(q.Duration)
	}
	if w.latency != nil {
		if since := all.Since(w.latency); since.Count() > 0 {
			s.P95 = since.Quantile(0.95).Seconds()
		}
	}
	w.latency = all
}

// samples returns the samples since a moment, the oldest first.
func (w *watch) samples(since time.Time) []sample {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := 0
	for i < len(w.ring) && w.ring[i].At.Before(since) {
		i++
	}
	return append([]sample(nil), w.ring[i:]...)
}

// locks is DB.Locks of the last sample, which is of less than a second ago.
func (w *watch) locks(ctx context.Context) (holdfast.LockReport, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := len(w.ring); n > 0 && time.Since(w.ring[n-1].At) < fresh {
		return w.held, nil
	}
	t, err := w.source.figures(ctx)
	return t.locks, err
}

// tellers are those whose figures these are, and who has told none.
func (w *watch) tellers() (who, silent []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.who, w.silent
}

// queries returns the counts of the last sample. They are shared: they must not be changed.
func (w *watch) queries() (queries.Report, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.counted, w.uncount
}

// healthNow is DB.Health, at most once a second.
func (w *watch) healthNow(ctx context.Context) (holdfast.Health, error) {
	w.turn.Lock()
	defer w.turn.Unlock()
	if time.Since(w.healthAt) < fresh {
		return w.health, nil
	}
	h, err := w.source.health(ctx)
	if err == nil {
		w.health, w.healthAt = h, time.Now()
		w.elect(&h, w.healthAt)
	}
	return h, err
}

// remembered is an answer of the history.
type remembered struct {
	at     time.Time
	report history.Report
}

// course is DB.History, at most once in ten seconds for the same question: the history
// changes once a minute.
func (w *watch) course(ctx context.Context, db *holdfast.DB, q history.Request, now time.Time) (history.Report, error) {
	key := fmt.Sprint(q.To.Sub(q.From), q.Step, q.Series, q.Queries, q.Query)
	w.mu.Lock()
	r, ok := w.past[key]
	w.mu.Unlock()
	if ok && now.Sub(r.at) < slowly {
		return r.report, nil
	}
	report, err := db.History(ctx, q)
	if err != nil {
		return report, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.past == nil || len(w.past) >= mostRemembered {
		w.past = map[string]remembered{}
	}
	w.past[key] = remembered{now, report}
	return report, nil
}
