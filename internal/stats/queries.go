package stats

import (
	"fmt"
	"iter"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfastdb/holdfast/queries"
)

// Queries counts the statements of one database, those that differ only in their
// values together, in fixed memory: a row has 2 to 3 KB for each processor that counts in it. It is
// safe for concurrent use.
//
// Each row is counted in as many parts as there are processors, up to eight, each under a
// mutex of its own: what it guards is ten nanoseconds of additions, but cache lines that go
// from one processor to the other cost more than all of these. See docs/performance.md.
type Queries struct {
	cfg   QueriesConfig
	parts int
	turn  atomic.Uint32
	hints sync.Pool // of *int: the part that callers on this processor use

	mu       sync.Mutex // guards the following; taken before a Query's, which is taken before its parts'
	rows     map[uint64]*Query
	since    time.Time
	replaced int64
	halved   time.Duration // when worths were, by Now

	others *Query
}

// QueriesConfig says how much Queries keeps.
type QueriesConfig struct {
	Bound  int                   // the most rows; at least 1
	Values bool                  // keep the values of sampled parameters, and not only their types
	Code   func(code int) string // names a result code
}

// NewQueries returns an empty Queries.
func NewQueries(cfg QueriesConfig) *Queries {
	cfg.Bound = max(cfg.Bound, 1)
	t := &Queries{cfg: cfg, rows: make(map[uint64]*Query), since: time.Now(), halved: Now()}
	t.parts = min(runtime.GOMAXPROCS(0), mostParts)
	t.hints.New = func() any { n := int(t.turn.Add(1)) % t.parts; return &n }
	t.others = &Query{table: t}
	return t
}

// Bound is the most rows there are.
func (t *Queries) Bound() int { return t.cfg.Bound }

// Values tells whether the values of parameters are to be kept.
func (t *Queries) Values() bool { return t.cfg.Values }

// Query is one row. Whoever knows the text of a statement keeps the pointer beside
// it, so that counting looks nothing up. A row that had to make place for another one
// goes on to be told of calls, counts them with the others, and comes back when it
// is worth more than some that are there.
type Query struct {
	table  *Queries
	id     uint64
	text   string // without values
	sql    string // as a program wrote it, to be explained; "" if it can't be
	writes bool
	step   atomic.Uint32 // see Step
	pace   pace
	parts  [mostParts]atomic.Pointer[part] // nil until it is used

	mu     sync.Mutex // guards the following
	gone   bool       // has no row
	heir   *Query     // has taken its place
	missed int        // calls while it was gone
	worth  float64    // the time these took
	evidence
}

const mostParts = 8

// part is what callers on one processor count, mostly.
type part struct {
	mu     sync.Mutex    // guards the following
	gone   bool          // as its Query
	worth  float64       // the time it took, halved from time to time
	looked time.Duration // when its Query was asked to look, by Now
	counts
	_ [64]byte // of nobody else's cache line
}

// counts are what is set to zero by Reset.
type counts struct {
	calls, attempts, rows int64
	last                  time.Duration // by Now
	effort                queries.Effort
	duration              queries.Histogram
	wait                  queries.Histogram
	changed, busyWaits    int64
	untimed               int64 // calls that are not in duration
	errors                [mostCodes]codeCount
	first                 time.Duration // by Now
}

// codeCount counts the calls that failed with one code. Those with an eighth one
// and more count under the last.
type codeCount struct {
	code int32
	n    int64
}

const mostCodes = 8

// What a call fails with that is no result code of SQLite.
const (
	Canceled = -1 - iota
	DeadlineExceeded
	Refused // by Holdfast, or its arguments didn't fit
	Evicted
	Other
)

// Call is what one call of a statement was.
type Call struct {
	Took, Waited  time.Duration
	Ended         time.Duration // by Now
	Rows, Changed int64
	Attempts      int64
	BusyWaits     int64
	Code          int32 // 0 is none; a result code, or one of those above
	Again         bool  // a repetition of what was counted as a call before
	timing
	queries.Effort
}

var epoch = time.Now()

// Now is a time that only differences of mean something. It costs half of
// time.Now, which asks for the hour as well.
func Now() time.Duration { return time.Since(epoch) }

// Of returns the row of a statement. sql is kept, to be explained, if explain is set.
func (t *Queries) Of(sql string, writes, explain bool) *Query {
	text, id := Shape(sql)
	t.mu.Lock()
	defer t.mu.Unlock()
	if q := t.rows[id]; q != nil {
		return q
	}
	q := &Query{table: t, id: id, text: text, writes: writes}
	if explain {
		q.sql = sql
	}
	if len(t.rows) >= t.cfg.Bound {
		t.replace()
	}
	t.rows[id] = q
	return q
}

// halfLife is after how long what a statement took is worth half as much.
const halfLife = time.Hour

// replace takes the row that is worth least away, and adds its counts to the
// others'. Called with mu held.
func (t *Queries) replace() {
	least, _ := t.least()
	least.mu.Lock()
	least.gone, least.evidence, least.worth = true, evidence{}, 0
	for p := range least.each() {
		p.gone = true
		t.others.absorb(&p.counts)
		p.counts = counts{}
		least.worth += p.worth
		p.worth = 0
	}
	least.forget()
	least.mu.Unlock()
	delete(t.rows, least.id)
	t.replaced++
	if now := Now(); now-t.halved >= halfLife {
		t.halved = now
		for _, q := range t.rows {
			for p := range q.each() {
				p.worth /= 2
			}
		}
	}
}

func (t *Queries) least() (least *Query, worth float64) {
	worth = math.Inf(1)
	for _, q := range t.rows {
		if w := q.value(); w < worth {
			least, worth = q, w
		}
	}
	return least, worth
}

// value is what a row that is there is worth.
func (q *Query) value() (worth float64) {
	for p := range q.each() {
		worth += p.worth
	}
	return worth
}

// each yields the parts that are in use, locked.
func (q *Query) each() iter.Seq[*part] {
	return func(yield func(*part) bool) {
		for i := range q.parts {
			p := q.parts[i].Load()
			if p == nil {
				continue
			}
			p.mu.Lock()
			more := yield(p)
			p.mu.Unlock()
			if !more {
				return
			}
		}
	}
}

// part returns part i.
func (q *Query) part(i int) *part {
	if p := q.parts[i].Load(); p != nil {
		return p
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	p := q.parts[i].Load()
	if p == nil {
		p = &part{gone: q.gone}
		q.parts[i].Store(p)
	}
	return p
}

// retryAfter is how many calls a row that is gone counts before it looks again
// whether it is worth a place.
const retryAfter = 64

// Count counts a call. It tells whether Note should be told more: of the first
// calls, then of fewer and fewer down to one in 1024, and after 65,536 of one in 16,384.
func (q *Query) Count(c *Call) (curious bool) {
	hint := q.table.hints.Get().(*int)
	p := q.part(*hint)
	q.table.hints.Put(hint)
	p.mu.Lock()
	if p.gone {
		p.mu.Unlock()
		q.countGone(c)
		return false
	}
	before := p.calls
	p.worth += float64(c.Took) * float64(p.counts.add(c))
	n := p.calls
	look := !c.Untimed && c.Ended-p.looked >= lookEvery
	if look {
		p.looked = c.Ended
	}
	p.mu.Unlock()
	if look {
		q.look(c.Ended)
	}
	return curiousAt(before, n)
}

// curiousAt tells whether more should be told of a call that made n of before.
func curiousAt(before, n int64) bool {
	often := 10
	if n >= 1<<16 {
		often = 14
	}
	return n <= 8 || n&(n-1) == 0 || n>>often != before>>often
}

// countGone counts a call where it now belongs, and has the row ask for its place from
// time to time.
func (q *Query) countGone(c *Call) {
	q.mu.Lock()
	heir, again := q.heir, false
	switch {
	case heir != nil:
	case q.gone:
		heir = q.table.others
		q.worth += float64(c.Took)
		q.missed++
		again = q.missed%retryAfter == 0
	default: // it has come back meanwhile
		heir = q
	}
	q.mu.Unlock()
	heir.Count(c)
	if again {
		q.table.comeBack(q)
	}
}

// comeBack gives a row that is gone its place again if it is worth more than another
// one. Its statement may have another row by now.
func (t *Queries) comeBack(q *Query) {
	t.mu.Lock()
	defer t.mu.Unlock()
	heir := t.rows[q.id]
	if heir == nil && len(t.rows) >= t.cfg.Bound {
		q.mu.Lock()
		own := q.worth
		q.mu.Unlock()
		if _, worth := t.least(); worth >= own {
			return
		}
		t.replace()
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if heir != nil && heir != q {
		q.heir = heir
		return
	}
	q.gone = false
	for p := range q.each() {
		p.gone = false
		p.worth += q.worth
		q.worth = 0
	}
	t.rows[q.id] = q
}

// add tells for how many calls the time of c stands.
func (s *counts) add(c *Call) (stands int64) {
	s.attempts += c.Attempts
	s.effort.Add(c.Effort)
	if c.BusyWaits > 0 {
		s.busyWaits += c.BusyWaits
	}
	if c.Again {
		return 0
	}
	if s.calls == 0 {
		s.first = c.began()
	}
	s.calls += 1 + c.Aside
	s.untimed += c.Aside
	if c.Counted {
		s.calls--
		s.untimed--
	}
	s.rows += c.Rows
	if c.Changed != 0 {
		s.changed += c.Changed
	}
	stands = s.time(c)
	if c.Waited > 0 {
		s.wait.Add(c.Waited)
	}
	s.last = max(s.last, c.Ended, s.first)
	if c.Code != 0 {
		s.fail(c.Code, 1)
	}
	return stands
}

func (s *counts) fail(code int32, n int64) {
	for i := range s.errors {
		e := &s.errors[i]
		if e.code == 0 || i == mostCodes-1 && e.code != code {
			if e.code != 0 {
				code = Other
			}
			e.code = code
		}
		if e.code == code {
			e.n += n
			return
		}
	}
}

// absorb adds the counts of a row that goes.
func (q *Query) absorb(o *counts) {
	p := q.part(0)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts.absorb(o)
}

func (s *counts) absorb(o *counts) {
	if s.calls == 0 || o.calls > 0 && o.first < s.first {
		s.first = o.first
	}
	s.last = max(s.last, o.last)
	s.calls += o.calls
	s.attempts += o.attempts
	s.rows += o.rows
	s.changed += o.changed
	s.busyWaits += o.busyWaits
	s.untimed += o.untimed
	s.effort.Add(o.effort)
	s.duration.Merge(&o.duration)
	s.wait.Merge(&o.wait)
	for _, e := range o.errors {
		if e.n > 0 {
			s.fail(e.code, e.n)
		}
	}
}

// Report returns what was counted. Whoever gets it may change it.
func (t *Queries) Report() queries.Report {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := queries.Report{Since: t.since.UTC(), At: time.Now().UTC(), Queries: []queries.Query{}, Replaced: t.replaced, Bound: t.cfg.Bound}
	for _, q := range t.rows {
		if row := q.told(); row.Calls > 0 {
			r.Queries = append(r.Queries, row)
		}
	}
	r.Others = t.others.told()
	r.Others.ID = ""
	r.Sort(queries.ByTime)
	return r
}

// Reset sets all counts to zero, from now on. Plans and where statements come from
// stay.
func (t *Queries) Reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.since, t.replaced = time.Now(), 0
	for _, q := range t.rows {
		q.reset()
	}
	t.others.reset()
}

func (q *Query) reset() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for p := range q.each() {
		p.counts = counts{}
	}
	q.forget()
	q.plan.Changes = 0
}

func (q *Query) told() queries.Query {
	q.mu.Lock()
	defer q.mu.Unlock()
	var sum counts
	for p := range q.each() {
		sum.absorb(&p.counts)
	}
	out := queries.Query{
		ID: fmt.Sprintf("%016x", q.id), Statement: q.text, Writes: q.writes, Calls: sum.calls, Attempts: sum.attempts, Errors: map[string]int64{},
		Rows: sum.rows, RowsChanged: sum.changed, Effort: sum.effort,
		Times:      queries.Times{Duration: &sum.duration, Wait: &sum.wait, BusyWaits: sum.busyWaits},
		CallSites:  append([]queries.CallSite{}, q.sites...),
		OtherSites: q.otherSites, Plan: q.plan, Samples: append([][]string{}, q.samples...),
	}
	out.Plan.Lines = append([]string{}, q.plan.Lines...)
	out.Summarize()
	if sum.calls > 0 {
		out.FirstSeen, out.LastSeen = epoch.Add(sum.first).UTC(), epoch.Add(sum.last).UTC()
	}
	for _, e := range sum.errors {
		if e.n > 0 {
			out.Errors[q.table.codeName(e.code)] += e.n
		}
	}
	slices.SortStableFunc(out.CallSites, func(a, b queries.CallSite) int { return int(b.Samples - a.Samples) })
	return out
}

func (t *Queries) codeName(code int32) string {
	switch code {
	case Canceled:
		return "canceled"
	case DeadlineExceeded:
		return "deadline exceeded"
	case Refused:
		return "refused"
	case Evicted:
		return "evicted"
	case Other:
		return "other"
	}
	if t.cfg.Code == nil {
		return fmt.Sprint(code)
	}
	return t.cfg.Code(int(code))
}
