package queries

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Report is what was counted since a moment: since the database was opened in the
// process, or since the last reset.
type Report struct {
	Since    time.Time `json:"since"`
	At       time.Time `json:"at"`
	Queries  []Query   `json:"queries"`
	Others   Query     `json:"others"`   // all statements that have no row of their own, together
	Replaced int64     `json:"replaced"` // rows that were given up for others, and whose counts went to Others
	Bound    int       `json:"bound"`    // the most rows there are: telemetry.max_statements
}

// mostQueries is the most that a program counts apart.
const mostQueries = 1000

// Read reads a report from JSON that comes from elsewhere: 40,000 histograms that take
// 8 KB each fit into 4 MB of it, so one with more than a thousand queries is refused.
func Read(text []byte) (r Report, err error) {
	var size struct{ Queries []json.RawMessage }
	if err = json.Unmarshal(text, &size); err == nil && len(size.Queries) > mostQueries {
		err = fmt.Errorf("%d statements are more than any program counts", len(size.Queries))
	}
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	return r, err
}

// Query is all statements that differ in their values only. Numbers are sums over
// Calls unless they say otherwise.
type Query struct {
	ID        string `json:"id"`        // of the whole statement without values, 16 hexadecimal digits; the same everywhere; "" of Others
	Statement string `json:"statement"` // without values; of a long one the first thousand bytes
	Writes    bool   `json:"writes"`

	// Calls are the executions that the program asked for, Attempts the times that
	// the engine was set to work on them: more if a group was lost or a
	// statement was sent to the writer after all, fewer if some never began.
	Calls    int64            `json:"calls"`
	Attempts int64            `json:"attempts"`
	Errors   map[string]int64 `json:"errors"` // calls that failed, by "SQLITE_CONSTRAINT_UNIQUE", ..., or "canceled", "deadline exceeded", "refused", "evicted", "other"

	Rows        int64 `json:"rows"`         // returned
	RowsChanged int64 `json:"rows_changed"` // of writes

	Effort
	Times

	FirstSeen time.Time `json:"first_seen"`
	LastSeen  time.Time `json:"last_seen"` // the end of the last call that was timed

	CallSites  []CallSite `json:"call_sites"`  // the first four that were seen, in the order of their samples
	OtherSites int64      `json:"other_sites"` // samples from elsewhere

	Plan    Plan       `json:"plan"`
	Samples [][]string `json:"samples"` // the parameters of a few calls: "INTEGER", "TEXT(12)"; values only with telemetry.sample_values, and only to the process itself
}

// Effort is what the engine counts. It counts the steps of one execution in 32
// bits: a statement that takes minutes may have had 4 billion more.
type Effort struct {
	VMSteps       int64 `json:"vm_steps"`        // instructions of SQLite's virtual machine
	FullScanSteps int64 `json:"full_scan_steps"` // rows stepped over in scans of whole tables
	Sorts         int64 `json:"sorts"`
	AutoIndexes   int64 `json:"auto_indexes"` // rows put into indexes that were made for one execution
	PageHits      int64 `json:"page_hits"`    // pages of the database found in the cache of the connection while the statement was open,
	PageMisses    int64 `json:"page_misses"`  // and read from the file or the log
}

// Times are how long calls took, for the caller: with the wait for a reader or the
// writer and, of a write outside a transaction, with its COMMIT. A result
// that is not read ahead lasts until it is closed.
//
// Of a statement that comes more than 4096 times a second and takes less than 26 us a part
// of the calls is timed, and stands for the others: sum and quantiles are estimates then, p50 and
// p99 mostly within 2 % of those of all calls, and the maximum is of the calls that were timed. Those
// that waited, or ran for long in the engine, are always timed.
type Times struct {
	TotalSeconds float64    `json:"total_seconds"`
	MeanSeconds  float64    `json:"mean_seconds"` // of a call
	P50Seconds   float64    `json:"p50_seconds"`  // quantiles are at most 1.1 % off
	P95Seconds   float64    `json:"p95_seconds"`
	P99Seconds   float64    `json:"p99_seconds"`
	MaxSeconds   float64    `json:"max_seconds"`
	Duration     *Histogram `json:"duration"` // all of it; it may have a few calls less than Calls

	WaitSeconds    float64    `json:"wait_seconds"`     // for a reader, the writer, and locks; a part of TotalSeconds
	WaitP99Seconds float64    `json:"wait_p99_seconds"` // of those calls that waited
	BusyWaits      int64      `json:"busy_waits"`       // times that another connection's lock was met
	Wait           *Histogram `json:"wait"`             // of the calls that waited
}

// CallSite is where a statement was run from. Of few calls all are looked at, of
// many one in a thousand, of very many one in sixteen thousand.
type CallSite struct {
	Site    string `json:"site"` // "billing.go:88 (shop/billing.Charge)"
	Samples int64  `json:"samples"`
}

// Plan is how SQLite runs a statement.
type Plan struct {
	Lines   []string  `json:"lines"`   // of EXPLAIN QUERY PLAN, indented; none until somebody has looked
	Hash    string    `json:"hash"`    // of Lines
	Changes int64     `json:"changes"` // plans that differed from the one before
	Since   time.Time `json:"since"`   // when this one was seen first
}

// Failed is how many calls returned an error.
func (q *Query) Failed() (n int64) {
	for _, c := range q.Errors {
		n += c
	}
	return n
}

// Summarize sets the figures of t that follow from its histograms.
func (t *Times) Summarize() {
	d, w := t.Duration, t.Wait
	t.TotalSeconds, t.MaxSeconds = d.Sum().Seconds(), d.Max().Seconds()
	t.P50Seconds, t.P95Seconds, t.P99Seconds = d.Quantile(0.5).Seconds(), d.Quantile(0.95).Seconds(), d.Quantile(0.99).Seconds()
	if n := d.Count(); n > 0 {
		t.MeanSeconds = t.TotalSeconds / float64(n)
	}
	t.WaitSeconds, t.WaitP99Seconds = w.Sum().Seconds(), w.Quantile(0.99).Seconds()
}

// Order is a way to sort queries, the most first.
type Order string

// The orders.
const (
	ByTime   Order = "time"
	ByCalls  Order = "calls"
	ByMean   Order = "mean"
	ByP99    Order = "p99"
	ByRows   Order = "rows" // returned and changed
	ByWait   Order = "wait"
	ByErrors Order = "errors"
	BySteps  Order = "steps"
	ByScans  Order = "scans"
	ByMisses Order = "misses"
)

var keys = map[Order]func(*Query) float64{
	ByTime:   func(q *Query) float64 { return q.TotalSeconds },
	ByCalls:  func(q *Query) float64 { return float64(q.Calls) },
	ByMean:   func(q *Query) float64 { return q.MeanSeconds },
	ByP99:    func(q *Query) float64 { return q.P99Seconds },
	ByRows:   func(q *Query) float64 { return float64(q.Rows + q.RowsChanged) },
	ByWait:   func(q *Query) float64 { return q.WaitSeconds },
	ByErrors: func(q *Query) float64 { return float64(q.Failed()) },
	BySteps:  func(q *Query) float64 { return float64(q.VMSteps) },
	ByScans:  func(q *Query) float64 { return float64(q.FullScanSteps) },
	ByMisses: func(q *Query) float64 { return float64(q.PageMisses) },
}

// Orders are all orders, ByTime first.
func Orders() []Order {
	return []Order{ByTime, ByCalls, ByMean, ByP99, ByRows, ByWait, ByErrors, BySteps, ByScans, ByMisses}
}

// ParseOrder reads an order's name.
func ParseOrder(name string) (Order, error) {
	if _, ok := keys[Order(name)]; ok {
		return Order(name), nil
	}
	var names []string
	for _, o := range Orders() {
		names = append(names, string(o))
	}
	return "", fmt.Errorf("queries can't be sorted by %q: by %s", name, strings.Join(names, ", "))
}

// Sort sorts the queries of the report, the most first.
func (r *Report) Sort(by Order) {
	key := keys[by]
	if key == nil {
		key = keys[ByTime]
	}
	// A Query is large: its place is sorted, and it is moved once.
	type ranked struct {
		key float64
		at  int
	}
	order := make([]ranked, len(r.Queries))
	for i := range r.Queries {
		order[i] = ranked{key(&r.Queries[i]), i}
	}
	slices.SortStableFunc(order, func(a, b ranked) int {
		p, q := &r.Queries[a.at], &r.Queries[b.at]
		return cmp.Or(cmp.Compare(b.key, a.key), cmp.Compare(q.Calls, p.Calls), cmp.Compare(p.ID, q.ID))
	})
	sorted := make([]Query, len(order))
	for i, o := range order {
		sorted[i] = r.Queries[o.at]
	}
	copy(r.Queries, sorted)
}

// Top returns the first n queries in an order; n <= 0 is all. The report is sorted
// afterwards.
func (r *Report) Top(by Order, n int) []Query {
	r.Sort(by)
	if n <= 0 || n > len(r.Queries) {
		n = len(r.Queries)
	}
	return r.Queries[:n]
}

// Merge adds up the reports of several processes: queries by their ID, with the
// plan of the first that has one.
func Merge(reports ...Report) Report {
	sum := Report{Queries: []Query{}, Others: Query{Times: Times{Duration: new(Histogram), Wait: new(Histogram)}}}
	at := map[string]int{}
	for _, r := range reports {
		if sum.Since.IsZero() || r.Since.Before(sum.Since) {
			sum.Since = r.Since
		}
		if r.At.After(sum.At) {
			sum.At = r.At
		}
		sum.Replaced += r.Replaced
		sum.Bound = max(sum.Bound, r.Bound)
		sum.Others.merge(&r.Others)
		for i := range r.Queries {
			q := &r.Queries[i]
			k, known := at[q.ID]
			if !known {
				k = len(sum.Queries)
				at[q.ID] = k
				sum.Queries = append(sum.Queries, Query{ID: q.ID, Statement: q.Statement, Times: Times{Duration: new(Histogram), Wait: new(Histogram)}})
			}
			sum.Queries[k].merge(q)
		}
	}
	return sum
}

func (q *Query) merge(o *Query) {
	q.Writes = q.Writes || o.Writes
	q.Calls += o.Calls
	q.Attempts += o.Attempts
	if q.Errors == nil {
		q.Errors = map[string]int64{}
	}
	for name, n := range o.Errors {
		q.Errors[name] += n
	}
	q.Rows += o.Rows
	q.RowsChanged += o.RowsChanged
	q.Add(o.Effort)
	q.BusyWaits += o.BusyWaits
	if o.Duration != nil {
		q.Duration.Merge(o.Duration)
	}
	if o.Wait != nil {
		q.Wait.Merge(o.Wait)
	}
	q.Summarize()
	if q.FirstSeen.IsZero() || !o.FirstSeen.IsZero() && o.FirstSeen.Before(q.FirstSeen) {
		q.FirstSeen = o.FirstSeen
	}
	if o.LastSeen.After(q.LastSeen) {
		q.LastSeen = o.LastSeen
	}
	q.mergeSites(o)
	changes := q.Plan.Changes + o.Plan.Changes
	if len(q.Plan.Lines) == 0 && o.Plan.Hash != "" {
		q.Plan = o.Plan
	}
	q.Plan.Changes = changes
	q.Samples = append(q.Samples[:len(q.Samples):len(q.Samples)], o.Samples...)
}

// MostSites is how many call sites are kept of a query.
const MostSites = 4

func (q *Query) mergeSites(o *Query) {
	samples := map[string]int64{}
	for _, s := range slices.Concat(q.CallSites, o.CallSites) {
		samples[s.Site] += s.Samples
	}
	q.OtherSites += o.OtherSites
	q.CallSites = []CallSite{}
	for _, site := range slices.SortedFunc(maps.Keys(samples), func(a, b string) int {
		return cmp.Or(cmp.Compare(samples[b], samples[a]), cmp.Compare(a, b))
	}) {
		if len(q.CallSites) < MostSites {
			q.CallSites = append(q.CallSites, CallSite{site, samples[site]})
		} else {
			q.OtherSites += samples[site]
		}
	}
}

// Add adds the effort of another.
func (e *Effort) Add(o Effort) {
	e.VMSteps += o.VMSteps
	e.FullScanSteps += o.FullScanSteps
	e.Sorts += o.Sorts
	e.AutoIndexes += o.AutoIndexes
	e.PageHits += o.PageHits
	e.PageMisses += o.PageMisses
}
