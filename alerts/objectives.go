package alerts

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/history"
	"github.com/holdfastdb/holdfast/queries"
)

// Objectives are the figures that Holdfast promises, of one database, with what is left
// of their error budgets. What they mean stands in docs/performance.md; `holdfast bench
// targets` measures the same under loads of its own.
type Objectives struct {
	Schema   string      `json:"schema"` // "holdfast.alerts.objectives/v1"
	Database string      `json:"database"`
	At       time.Time   `json:"at"`
	List     []Objective `json:"objectives"`
}

// Objective is one of them.
type Objective struct {
	Name          string   `json:"name"` // "transaction_commit", as bench targets has it
	What          Text     `json:"what"`
	Target        float64  `json:"target"`                   // the part that must be good
	WithinSeconds float64  `json:"within_seconds,omitempty"` // of durations: what is longer is not good
	Budgets       []Budget `json:"budgets"`
}

// Budget is one objective over one stretch of time.
type Budget struct {
	Window string  `json:"window"` // "1h", "24h", "30d"; "open" is since the database was opened, "last" the last one
	Known  bool    `json:"known"`  // something was counted; else all that follows is 0
	Good   float64 `json:"good"`
	Total  float64 `json:"total"`
	Share  float64 `json:"share"`
	// Left is the part of the error budget that is left: 1 if nothing went wrong, 0 if as
	// much did as may, less than 0 if more did.
	Left float64 `json:"budget_left"`
}

// ErrNoDatabase: nothing is watched under this name, or it could not be opened.
var ErrNoDatabase = errors.New("no such database is watched")

// windows are the stretches, and from which steps of the history they are taken.
var windows = []struct {
	name   string
	length time.Duration
	step   time.Duration
}{
	{"1h", time.Hour, time.Minute},
	{"24h", 24 * time.Hour, 10 * time.Minute},
	{"30d", 30 * 24 * time.Hour, time.Hour},
}

func budget(window string, target, good, total float64) Budget {
	b := Budget{Window: window}
	if total <= 0 {
		return b
	}
	b.Known, b.Good, b.Total = true, good, total
	b.Share = good / total
	b.Left = 1 - (1-b.Share)/(1-target)
	return b
}

// kept are the objectives of one database, which are computed once a minute at most.
type kept struct {
	mu   sync.Mutex // held while they are computed
	last Objectives
}

// keptFor is how old they may be: the history is written once a minute.
const keptFor = time.Minute

// Objectives tells how a database meets its objectives. It reads the history, up to
// once a minute, and takes some milliseconds then. What was not recorded is not Known.
func (e *Engine) Objectives(ctx context.Context, name string) (Objectives, error) {
	e.mu.Lock()
	w := e.watched[name]
	var available []Budget
	var db *holdfast.DB
	if w != nil {
		if d, ok := w.subject.(*database); ok {
			db = d.db
		}
		available = w.available.budgets(time.Now())
	}
	e.mu.Unlock()
	if db == nil {
		return Objectives{}, ErrNoDatabase
	}
	w.kept.mu.Lock()
	defer w.kept.mu.Unlock()
	now := time.Now()
	if now.Sub(w.kept.last.At) < keptFor {
		return w.kept.last, nil
	}
	o := Objectives{Schema: "holdfast.alerts.objectives/v1", Database: name, At: now.UTC(), List: promised()}
	for i := range windows {
		if err := o.window(ctx, db, now, i); err != nil {
			return Objectives{}, err
		}
	}
	h, err := db.Health(ctx)
	if err != nil {
		return Objectives{}, err
	}
	o.add("connection_pool_efficiency", Budget{Window: "open", Known: true, Share: h.Reliability.PoolEfficiency, Left: 1 - (1-h.Reliability.PoolEfficiency)/(1-0.90)})
	if v := h.LastVerified; v != nil {
		good := 0.0
		if v.DurationSeconds < 1 {
			good = 1
		}
		o.add("integrity_check", budget("last", 0.99, good, 1))
	}
	for _, b := range available {
		o.add("health_check_availability", b)
	}
	w.kept.last = o
	return o, nil
}

// promised are the objectives without what was measured.
func promised() []Objective {
	return []Objective{
		{Name: "success_rate", Target: 0.999, What: Text{"Statements and transactions that ended well", "Anweisungen und Transaktionen, die gut endeten"}},
		{Name: "lock_conflict_resolution_rate", Target: 0.95, What: Text{"Writes that met another one and still went through", "Schreibvorgänge, die auf einen anderen trafen und doch durchkamen"}},
		{Name: "query_execution", Target: 0.99, WithinSeconds: 0.010, What: Text{"Reads that took less than 10 ms", "Lesende Anweisungen unter 10 ms"}},
		{Name: "transaction_commit", Target: 0.99, WithinSeconds: 0.020, What: Text{"Writes that took less than 20 ms, with their COMMIT", "Schreibende Anweisungen unter 20 ms, mit ihrem COMMIT"}},
		{Name: "connection_pool_efficiency", Target: 0.90, What: Text{"Reads that found a reader open and free", "Lesende Anweisungen, die eine freie, offene Verbindung fanden"}},
		{Name: "health_check_availability", Target: 0.995, What: Text{"Looks at the database that found it readable", "Blicke auf die Datenbank, bei denen sie lesbar war"}},
		{Name: "integrity_check", Target: 0.99, WithinSeconds: 1, What: Text{"The last check of all pages took less than 1 s", "Die letzte Prüfung aller Seiten dauerte weniger als 1 s"}},
	}
}

func (o *Objectives) add(name string, b Budget) {
	for i := range o.List {
		if o.List[i].Name == name {
			o.List[i].Budgets = append(o.List[i].Budgets, b)
		}
	}
}

// window adds what the history knows of one stretch.
func (o *Objectives) window(ctx context.Context, db *holdfast.DB, now time.Time, i int) error {
	w := windows[i]
	r, err := db.History(ctx, history.Request{
		From: now.Add(-w.length), To: now, Step: w.step, Queries: true,
		Series: []string{"successful_operations", "failed_operations", "lock_conflicts", "writer.waits", "writer.busy_errors"},
	})
	if errors.Is(err, holdfast.ErrRefused) { // it is in memory, and has none
		r, err = history.Report{}, nil
	}
	if err != nil {
		return err
	}
	sum := map[string]float64{}
	for _, s := range r.Series {
		for _, p := range s.Points {
			sum[s.Name] += p.Sum
		}
	}
	for k := range o.List {
		target := &o.List[k]
		switch target.Name {
		case "success_rate":
			good := sum["successful_operations"]
			target.Budgets = append(target.Budgets, budget(w.name, target.Target, good, good+sum["failed_operations"]))
		case "lock_conflict_resolution_rate":
			all := sum["lock_conflicts"] + sum["writer.waits"]
			target.Budgets = append(target.Budgets, budget(w.name, target.Target, max(all-sum["writer.busy_errors"], 0), all))
		case "query_execution", "transaction_commit":
			good, all := within(r.Queries.Queries, target.Name == "transaction_commit", target.WithinSeconds)
			target.Budgets = append(target.Budgets, budget(w.name, target.Target, good, all))
		}
	}
	return nil
}

// within counts the calls that read, or wrote, and those of them that were short enough. A
// bucket that the bound lies in is not good.
func within(list []queries.Query, writes bool, bound float64) (good, all float64) {
	const perOctave = 1 << queries.Scale
	for i := range list {
		q := &list[i]
		if q.Writes != writes || q.Duration == nil {
			continue
		}
		for bucket, n := range q.Duration.Buckets() {
			all += float64(n)
			if math.Exp2(float64(bucket+1)/perOctave) <= bound {
				good += float64(n)
			}
		}
	}
	return good, all
}

// available counts looks at a database minute by minute, for a day.
type available struct {
	minutes [24 * 60]struct {
		minute     int64 // since 1970
		good, seen int32
	}
}

func (a *available) add(now time.Time, good bool) {
	minute := now.Unix() / 60
	m := &a.minutes[minute%int64(len(a.minutes))]
	if m.minute != minute {
		m.minute, m.good, m.seen = minute, 0, 0
	}
	m.seen++
	if good {
		m.good++
	}
}

func (a *available) budgets(now time.Time) (out []Budget) {
	minute := now.Unix() / 60
	for _, w := range windows[:2] {
		var good, seen float64
		for i := range a.minutes {
			if m := &a.minutes[i]; m.seen > 0 && minute-m.minute < int64(w.length/time.Minute) {
				good += float64(m.good)
				seen += float64(m.seen)
			}
		}
		out = append(out, budget(w.name, 0.995, good, seen))
	}
	return out
}
