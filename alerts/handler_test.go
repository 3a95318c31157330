package alerts

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfastdb/holdfast/holdfasttest"
)

// ask makes a request of a handler and reads the answer, if there is one.
func ask(t *testing.T, h http.Handler, method, path, body string, into any) int {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json; charset=utf-8")
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if into != nil {
		if err := json.Unmarshal(w.Body.Bytes(), into); err != nil {
			t.Fatalf("%s %s: %v in %s", method, path, err, w.Body)
		}
	}
	return w.Code
}

func TestHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		f := healthy("orders")
		b.watch("orders", f)
		f.hold(6)
		b.after(0)
		h := Handler(b.Engine)

		var list Answer
		if code := ask(t, h, "GET", "/alerts", "", &list); code != 200 || list.Schema != "holdfast.alerts/v1" || len(list.Active) != 1 || list.Active[0].Rule != "write_lock_held_long" ||
			list.Status.Rounds != 1 || list.History == nil || list.Silences == nil {
			t.Errorf("%d, %+v", code, list)
		}
		var rules RulesAnswer
		if code := ask(t, h, "GET", "/alerts/rules", "", &rules); code != 200 || len(rules.Rules) != 19 || rules.Rules[2].Levels[0].Thresholds[0].Text != "5s" {
			t.Errorf("%d, %+v", code, rules)
		}
		var tested TestAnswer
		if code := ask(t, h, "POST", "/alerts/test", "{}", &tested); code != 200 || len(tested.Results) != 1 || tested.Results[0].Error != "" {
			t.Errorf("%d, %+v", code, tested)
		}
		var s Silence
		until := time.Now().Add(time.Hour).Format(time.RFC3339)
		if code := ask(t, h, "POST", "/alerts/silences", `{"reason": "night", "until": "`+until+`"}`, &s); code != 201 || s.ID == "" || s.Reason != "night" {
			t.Errorf("%d, %+v", code, s)
		}
		if code := ask(t, h, "DELETE", "/alerts/silences/"+s.ID, "", nil); code != 204 {
			t.Error(code)
		}
		for request, want := range map[string]int{
			"DELETE /alerts/silences/" + s.ID:        404,
			"GET /alerts/silences":                   405,
			"GET /alerts/objectives?database=nobody": 404,
			"GET /alerts/objectives?database=orders": 404, // a fake
			"GET /alerts/nothing":                    404,
			"POST /alerts/test":                      415,
			"POST /alerts/silences {}":               400,
			"POST /alerts/silences {\"x\": 1}":       400,
			"GET /alerts/":                           200,
		} {
			method, rest, _ := strings.Cut(request, " ")
			path, body, _ := strings.Cut(rest, " ")
			if code := ask(t, h, method, path, body, nil); code != want {
				t.Errorf("%s: %d, not %d", request, code, want)
			}
		}
	})
}

func TestBudgets(t *testing.T) {
	for _, c := range []struct{ target, good, total, left float64 }{
		{0.999, 1000, 1000, 1}, {0.999, 999, 1000, 0}, {0.999, 998, 1000, -1}, {0.95, 975, 1000, 0.5},
	} {
		if b := budget("1h", c.target, c.good, c.total); !b.Known || b.Left-c.left > 1e-9 || c.left-b.Left > 1e-9 {
			t.Errorf("%+v: %+v", c, b)
		}
	}
	if b := budget("1h", 0.999, 0, 0); b.Known || b.Left != 0 {
		t.Errorf("of nothing: %+v", b)
	}
	var a available
	at := time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)
	for i := range 48 * 60 {
		a.add(at.Add(time.Duration(i)*time.Minute), i%2 == 0)
	}
	at = at.Add((48*60 - 1) * time.Minute)
	if b := a.budgets(at); b[0].Total != 60 || b[0].Good != 30 || b[1].Total != 24*60 {
		t.Errorf("%+v", b)
	}
	if b := a.budgets(at.Add(30 * time.Minute)); b[0].Total != 30 {
		t.Errorf("%+v", b)
	}
}

// Of a database that has just been opened little is known, and it says so.
func TestObjectives(t *testing.T) {
	db := holdfasttest.New(t, holdfasttest.WithSchema("CREATE TABLE t(a)"))
	if _, err := db.ExecContext(t.Context(), "INSERT INTO t VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	e, err := newEngine(Config{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	e.Watch("orders", db)
	e.round(time.Now())
	var o Objectives
	if code := ask(t, Handler(e), "GET", "/alerts/objectives?database=orders", "", &o); code != 200 || len(o.List) != len(promised()) {
		t.Fatalf("%d, %+v", code, o)
	}
	for _, x := range o.List {
		known := slices.ContainsFunc(x.Budgets, func(b Budget) bool { return b.Known })
		if want := x.Name == "connection_pool_efficiency" || x.Name == "health_check_availability"; known != want {
			t.Errorf("%s: %+v", x.Name, x.Budgets)
		}
	}
	again, err := e.Objectives(t.Context(), "orders")
	if err != nil || !again.At.Equal(o.At) {
		t.Errorf("computed twice within a minute: %s, %s, %v", o.At, again.At, err)
	}
}
