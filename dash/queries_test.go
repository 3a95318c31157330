package dash

import (
	"encoding/json"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/history"
	"github.com/holdfastdb/holdfast/plan"
	"github.com/holdfastdb/holdfast/queries"
)

// load runs statements of each kind: many, one that scans, one that fails.
func load(t *testing.T, db *holdfast.DB) {
	t.Helper()
	for i := range 20 {
		run(t, db, "INSERT INTO orders(customer, status) VALUES (?, 'secret-literal')", i)
	}
	var n int
	if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM orders WHERE status = ?", "secret-parameter").Scan(&n); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "INSERT INTO orders(id, status) VALUES (1, 'secret-literal')"); err == nil {
		t.Fatal("a key was there twice")
	}
}

func viewOf[T any](t *testing.T, h http.Handler, target string) T {
	t.Helper()
	w := get(t, h, target, func(r *http.Request) { r.Header.Set("Accept", "application/json") })
	var doc struct{ View T }
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil || w.Code != http.StatusOK {
		t.Fatalf("%s: %d %v: %s", target, w.Code, err, w.Body)
	}
	return doc.View
}

func TestQueriesFilterAndSort(t *testing.T) {
	t.Parallel()
	db := open(t)
	load(t, db)
	d := Handler(db)
	list := func(target string) (ids []string, l queryList) {
		l = viewOf[queryList](t, d, target)
		for _, q := range l.Queries {
			ids = append(ids, q.Statement)
		}
		return ids, l
	}
	const insert, scan, failed = "INSERT INTO orders(customer, status) VALUES (?)", "SELECT count(*) FROM orders WHERE status = ?", "INSERT INTO orders(id, status) VALUES (?)"
	all, l := list("/queries?sort=calls")
	if all[0] != insert || l.Known != l.Matching || l.Queries[0].Calls != 20 || l.Compared {
		t.Errorf("%q %+v", all, l)
	}
	for target, want := range map[string][]string{
		"/queries?only=errors":              {failed},
		"/queries?only=scan":                {scan},
		"/queries?verb=read&q=ORDERS":       {scan},
		"/queries?verb=write&q=customer%2C": {insert},
		"/queries?q=no+such+text":           nil,
		"/queries?range=1h":                 nil, // nothing is recorded yet
	} {
		if got, _ := list(target); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %q, want %q", target, got, want)
		}
	}
	var parts float64
	for _, q := range l.Queries {
		parts += q.Load
	}
	if parts < 0.99 || parts > 1.01 {
		t.Errorf("the parts are %g together", parts)
	}
	// The form keeps what is chosen beside it.
	text := shown(t, d, "/queries?sort=calls&lang=de&q=%3Cx%3E")
	for _, part := range []string{`name="sort" value="calls"`, `name="lang" value="de"`, `value="&lt;x&gt;"`, "passt zum Filter"} {
		if !strings.Contains(text, part) {
			t.Errorf("no %s in %s", part, text)
		}
	}
	if strings.Contains(text, "<x>") {
		t.Error("what was asked for is markup")
	}
}

func TestQuery(t *testing.T) {
	t.Parallel()
	db := open(t)
	load(t, db)
	d := Handler(db)
	for _, row := range viewOf[queryList](t, d, "/queries").Queries {
		address := "/query?id=" + row.ID
		q := viewOf[queryView](t, d, address)
		if q.Statement != row.Statement || q.Calls != row.Calls || q.Since.IsZero() || len(q.CallSites) == 0 {
			t.Errorf("%+v", q)
		}
		if strings.HasPrefix(q.Statement, "SELECT count(*) FROM orders") && (len(q.Plan.Steps) != 1 || q.Plan.Source != "now" || !strings.Contains(shown(t, d, address+"&lang=de"), "Liest")) {
			t.Errorf("%+v", q.Plan)
		}
	}
	for _, target := range []string{"/query", "/query?id=0123456789abcdef", "/query?id=" + url.QueryEscape("<x>")} {
		if w := get(t, d, target); w.Code != http.StatusNotFound || strings.Contains(w.Body.String(), "<x>") {
			t.Errorf("%s: %d", target, w.Code)
		}
	}
}

// TestNoValues looks for literals and parameters on every page.
func TestNoValues(t *testing.T) {
	t.Parallel()
	db := open(t)
	load(t, db)
	d := Handler(db)
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(t.Context(), "UPDATE orders SET status = 'secret-literal' WHERE status = ?", "secret-parameter"); err != nil {
		t.Fatal(err)
	}
	addresses := []string{}
	for _, p := range d.pages {
		if p.id != "query" {
			addresses = append(addresses, "/"+p.address())
		}
	}
	for _, row := range viewOf[queryList](t, d, "/queries").Queries {
		addresses = append(addresses, "/query?id="+row.ID)
	}
	for _, address := range addresses {
		for _, kind := range []string{"text/html", "application/json"} {
			w := get(t, d, address, func(r *http.Request) { r.Header.Set("Accept", kind) })
			if w.Code != http.StatusOK || strings.Contains(w.Body.String(), "secret") {
				t.Errorf("%s as %s: %d %s", address, kind, w.Code, w.Body)
			}
		}
	}
}

func TestPlanOfLines(t *testing.T) {
	t.Parallel()
	got := rowsOf([]string{"MATERIALIZE x", "  SCAN a", "  SEARCH b USING INDEX i (c=?)", "SCAN x"})
	want := []plan.Row{{ID: 1, Detail: "MATERIALIZE x"}, {ID: 2, Parent: 1, Detail: "SCAN a"}, {ID: 3, Parent: 1, Detail: "SEARCH b USING INDEX i (c=?)"}, {ID: 4, Detail: "SCAN x"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
}

func TestHeat(t *testing.T) {
	t.Parallel()
	at := time.Unix(60, 0)
	moment := func(at time.Time, each ...time.Duration) history.Moment {
		q := queries.Query{Times: queries.Times{Duration: new(queries.Histogram)}}
		for _, d := range each {
			q.Duration.Add(d)
		}
		return history.Moment{At: at, Query: q}
	}
	h := heatOf(history.Report{Step: time.Minute, Course: []history.Moment{moment(at, time.Second, time.Second), moment(at.Add(time.Minute), 3*time.Second, 250*time.Millisecond)}})
	if !reflect.DeepEqual(h.Bounds, []float64{0.25, 0.5, 1, 2, 4}) || !reflect.DeepEqual(h.Counts, [][]float64{{0, 0, 2, 0, 0}, {1, 0, 0, 0, 1}}) {
		t.Errorf("%+v", h)
	}
	if h := heatOf(history.Report{}); len(h.Bounds) != 0 {
		t.Errorf("%+v", h)
	}
}
