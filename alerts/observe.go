package alerts

import (
	"context"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/history"
	"github.com/holdfastdb/holdfast/queries"
)

// observation is what is known of a database in one round.
type observation struct {
	name     string
	at       time.Time
	unopened bool
	health   holdfast.Health
	locks    holdfast.LockReport
	figure   map[string]float64 // of holdfast.Stats, by name; what is not known is not there
	window   window
	slow     []slowdown
}

// window is by how much counters have grown lately.
type window struct {
	length      time.Duration
	busy, units float64
	readerWait  float64 // p95 in seconds of those who waited for a reader, their mean where telemetry is off, 0 if nobody waited
	rejectedNow float64 // since the round before
}

// slowdown is one statement, now and then.
type slowdown struct {
	id, statement string
	calls         [2]uint64 // now and then
	now, was      float64   // p95 in seconds
}

// pin is who keeps the log from being emptied, and for how long; 0 if nobody does.
func (o *observation) pin() (age float64, reader Text) {
	var h holdfast.LockHolder
	switch w := &o.locks.WAL; {
	case o.locks.OldestReader != nil:
		h = *o.locks.OldestReader
	case w.PinnedPID != 0:
		h = holdfast.LockHolder{Kind: "another process", PID: w.PinnedPID, Program: w.PinnedProgram, HeldSeconds: w.PinnedSeconds}
	}
	return h.HeldSeconds, who(&h)
}

// inTheWay is who has the writer, after some words; nothing if nobody has.
func (o *observation) inTheWay(words string) Text {
	for i := range o.locks.Holders {
		if h := &o.locks.Holders[i]; h.Lock != "WAL_READ" && h.Lock != "SHARED" {
			by := who(h)
			return Text{words + by.EN, words + by.DE}
		}
	}
	return Text{}
}

// idlest is the transaction that has done nothing for longest.
func (o *observation) idlest() *holdfast.LockHolder {
	found := &holdfast.LockHolder{}
	for i := range o.locks.Holders {
		if h := &o.locks.Holders[i]; h.IdleSeconds > found.IdleSeconds {
			found = h
		}
	}
	return found
}

// A subject gives observations. look is called by one goroutine at a time, and should
// end soon after ctx has.
type subject interface {
	look(ctx context.Context, now time.Time, c *Config) (*observation, error)
}

// database is a subject that is open.
type database struct {
	name string
	db   *holdfast.DB

	counts   []counts // the oldest first; all of a window, and one before it
	slow     []slowdown
	compared time.Time
}

// counts are counters at one moment.
type counts struct {
	at                                  time.Time
	busy, units, waits, waited, refused float64
	wait                                *queries.Histogram // for a reader; nil where telemetry is off
}

// mostCounts bounds what a database remembers of its counters, however short the
// rounds are.
const mostCounts = 128

func (d *database) look(ctx context.Context, now time.Time, c *Config) (*observation, error) {
	o := &observation{name: d.name, at: now, figure: map[string]float64{}}
	var err error
	if o.health, err = d.db.Health(ctx); err != nil {
		return nil, err
	}
	if d.db.Capabilities().Locks {
		if o.locks, err = d.db.Locks(ctx); err != nil {
			return nil, err
		}
	}
	for _, f := range o.health.ConnectionStats.Figures() {
		if !f.Unknown {
			o.figure[f.Name] = f.Value
		}
	}
	o.window = d.count(now, c.Alerts.Window, o)
	if !ruleOf("slow_query_regression").off(c) {
		d.compare(ctx, now)
	}
	o.slow = d.slow
	return o, nil
}

// count is by how much the counters have grown within the window.
func (d *database) count(now time.Time, length time.Duration, o *observation) window {
	readers := &o.health.ConnectionStats.Readers
	n := counts{
		at: now, busy: o.figure["writer.busy_errors"], units: o.figure["writer.units"], refused: o.figure["writer.rejected"],
		waits: float64(readers.Waits), waited: readers.WaitSeconds, wait: d.waits(),
	}
	if len(d.counts) == 0 {
		d.counts = append(d.counts, n)
	}
	last := d.counts[len(d.counts)-1]
	for len(d.counts) > 1 && (now.Sub(d.counts[1].at) >= length || len(d.counts) >= mostCounts) {
		d.counts = d.counts[1:]
	}
	first := d.counts[0]
	d.counts = append(d.counts, n)
	w := window{length: now.Sub(first.at), busy: n.busy - first.busy, units: n.units - first.units, rejectedNow: n.refused - last.refused}
	if waits := n.waits - first.waits; waits > 0 {
		w.readerWait = (n.waited - first.waited) / waits
		if n.wait != nil && first.wait != nil {
			w.readerWait = n.wait.Since(first.wait).Quantile(0.95).Seconds()
		}
	}
	return w
}

// waits is how long those had to wait who waited for a reader.
func (d *database) waits() *queries.Histogram {
	for _, h := range d.db.Histograms() {
		if h.Name == "connection.wait" && h.Value == "read" {
			return h.Counts
		}
	}
	return nil
}

// compareEvery is how often statements are compared with those of other days: it reads
// the history, which is written once a minute.
const compareEvery = 5 * time.Minute

// lookback is how many days back the same hour is looked at.
const lookback = 7

// compare finds statements that take longer than at this hour of the last days. Where
// nothing is on record there is nothing to compare with.
func (d *database) compare(ctx context.Context, now time.Time) {
	if now.Sub(d.compared) < compareEvery {
		return
	}
	d.compared = now
	d.slow = nil
	then := map[string]*queries.Histogram{}
	for day := range lookback {
		end := now.AddDate(0, 0, -day-1)
		r, err := d.db.History(ctx, history.Request{From: end.Add(-time.Hour), To: end, Queries: true})
		if err != nil {
			return
		}
		for _, q := range r.Queries.Queries {
			if q.Duration == nil {
				continue
			}
			if h := then[q.ID]; h != nil {
				h.Merge(q.Duration)
			} else {
				then[q.ID] = q.Duration.Clone()
			}
		}
	}
	if len(then) == 0 {
		return
	}
	r, err := d.db.History(ctx, history.Request{From: now.Add(-time.Hour), To: now, Queries: true})
	if err != nil {
		return
	}
	for _, q := range r.Queries.Queries {
		if h := then[q.ID]; h != nil && q.Duration != nil {
			d.slow = append(d.slow, slowdown{
				id: q.ID, statement: q.Statement, calls: [2]uint64{q.Duration.Count(), h.Count()},
				now: q.Duration.Quantile(0.95).Seconds(), was: h.Quantile(0.95).Seconds(),
			})
		}
	}
}

// absent is a subject that could not be opened.
type absent struct{ name string }

func (a absent) look(_ context.Context, now time.Time, _ *Config) (*observation, error) {
	return &observation{name: a.name, at: now, unopened: true}, nil
}
