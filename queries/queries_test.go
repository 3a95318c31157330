package queries

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

func query(id string, calls int64, each time.Duration) Query {
	q := Query{ID: id, Statement: id, Calls: calls, Attempts: calls, Errors: map[string]int64{}, Times: Times{Duration: new(Histogram), Wait: new(Histogram)}}
	for range calls {
		q.Duration.Add(each)
	}
	q.Summarize()
	return q
}

func ids(qs []Query) string {
	var all []string
	for _, q := range qs {
		all = append(all, q.ID)
	}
	return strings.Join(all, " ")
}

func TestTop(t *testing.T) {
	t.Parallel()
	slow, often, broken := query("slow", 2, time.Second), query("often", 100, time.Millisecond), query("broken", 1, time.Microsecond)
	broken.Errors["SQLITE_BUSY"], broken.Rows, often.VMSteps, often.RowsChanged, slow.PageMisses = 1, 7, 9, 8, 1
	r := Report{Queries: []Query{broken, often, slow}}
	for by, want := range map[Order]string{
		ByTime: "slow often broken", ByCalls: "often slow broken", ByMean: "slow often broken", ByErrors: "broken often slow",
		ByRows: "often broken slow", BySteps: "often slow broken", ByMisses: "slow often broken", "nonsense": "slow often broken",
	} {
		if got := ids(r.Top(by, 0)); got != want {
			t.Errorf("by %s: %s, want %s", by, got, want)
		}
	}
	if got := ids(r.Top(ByCalls, 1)); got != "often" {
		t.Errorf("the first is %s", got)
	}
	for _, o := range Orders() {
		if _, err := ParseOrder(string(o)); err != nil {
			t.Error(err)
		}
	}
	if _, err := ParseOrder("size"); err == nil || !strings.Contains(err.Error(), "time, calls, mean") {
		t.Errorf("%v", err)
	}
	if len(keys) != len(Orders()) {
		t.Error("an order is missing in Orders")
	}
}

func TestMergeAddsUpProcesses(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	a, b := query("q", 3, time.Millisecond), query("q", 1, time.Second)
	a.Errors["SQLITE_FULL"], a.VMSteps, a.FirstSeen, a.LastSeen = 1, 5, at, at
	a.CallSites = []CallSite{{"a.go:1", 5}, {"b.go:2", 1}}
	b.Errors["SQLITE_FULL"], b.VMSteps, b.FirstSeen, b.LastSeen = 2, 7, at.Add(-time.Minute), at.Add(time.Minute)
	b.CallSites, b.OtherSites = []CallSite{{"b.go:2", 9}, {"c.go:3", 2}, {"d.go:4", 2}, {"e.go:5", 1}}, 3
	b.Plan = Plan{Lines: []string{"SCAN t"}, Hash: "x", Changes: 2}
	others := query("", 4, time.Second)
	r := Merge(Report{Since: at, At: at, Queries: []Query{a}, Replaced: 1}, Report{Since: at.Add(-time.Hour), At: at.Add(time.Hour), Queries: []Query{b, query("other", 1, 1)}, Others: others})
	q := r.Queries[0]
	if len(r.Queries) != 2 || q.Calls != 4 || q.Duration.Count() != 4 || q.Failed() != 3 || q.VMSteps != 12 || q.MaxSeconds != 1 {
		t.Errorf("%+v", q)
	}
	if !q.FirstSeen.Equal(b.FirstSeen) || !q.LastSeen.Equal(b.LastSeen) || q.Plan.Hash != "x" || q.Plan.Changes != 2 {
		t.Errorf("%+v", q)
	}
	want := []CallSite{{"b.go:2", 10}, {"a.go:1", 5}, {"c.go:3", 2}, {"d.go:4", 2}}
	if !reflect.DeepEqual(q.CallSites, want) || q.OtherSites != 4 {
		t.Errorf("%v and %d", q.CallSites, q.OtherSites)
	}
	if !r.Since.Equal(at.Add(-time.Hour)) || !r.At.Equal(at.Add(time.Hour)) || r.Others.Calls != 4 || r.Replaced != 1 {
		t.Errorf("%+v", r)
	}
	if a.Duration.Count() != 3 {
		t.Error("a report was changed")
	}
}

// The keys are a contract.
func TestReportInJSON(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(Merge(Report{Queries: []Query{query("q", 1, time.Second)}}))
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{
		"since", "queries", "others", "id", "statement", "calls", "attempts", "errors", "rows", "rows_changed", "vm_steps", "full_scan_steps", "sorts",
		"auto_indexes", "page_hits", "page_misses", "total_seconds", "mean_seconds", "p50_seconds", "p95_seconds", "p99_seconds", "max_seconds", "duration", "wait_seconds",
		"busy_waits", "first_seen", "call_sites", "plan", "samples",
	} {
		if !strings.Contains(string(text), `"`+key+`":`) {
			t.Errorf("no %s in %s", key, text)
		}
	}
	back, err := Read(text)
	if err != nil || back.Queries[0].Duration.Max() != time.Second {
		t.Errorf("%v: %+v", err, back)
	}
}

func TestReadRefusesTooMuch(t *testing.T) {
	t.Parallel()
	for _, text := range []string{`{"queries":[` + strings.Repeat("{},", mostQueries) + `{}]}`, `{"queries":5}`, "", `{"queries":[{"duration":"AA"}]}`} {
		if _, err := Read([]byte(text)); err == nil {
			t.Errorf("%.40s is taken for a report", text)
		}
	}
}
