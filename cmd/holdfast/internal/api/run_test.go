package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// result is one of an answer.
type result struct {
	Error        string  `json:"error"`
	Code         int     `json:"code"`
	LastInsertID int64   `json:"last_insert_id"`
	RowsAffected int64   `json:"rows_affected"`
	Values       [][]any `json:"values"`
}

func (s *server) results(path, body string, header ...string) []result {
	s.t.Helper()
	w := s.send(path, body, header...)
	var answer struct{ Results []result }
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != http.StatusOK {
		s.t.Fatalf("%s %.100s: %d %s", path, body, w.Code, w.Body)
	}
	return answer.Results
}

// errorsOf says which results are errors: "-E-".
func errorsOf(results []result) (marks string) {
	for _, r := range results {
		if r.Error != "" {
			marks += "E"
		} else {
			marks += "-"
		}
	}
	return marks
}

// A statement that fails leaves the others of its request alone, unless they are a
// transaction; then nothing is left of any.
func TestOneOfSeveralFails(t *testing.T) {
	for _, several := range []struct{ path, body, marks, rows string }{
		{"/db/execute", `["INSERT INTO t VALUES(1)","INSERT INTO t VALUES(1)","INSERT INTO t VALUES(2)"]`, "-E-", "[1,2]"},
		{"/db/execute", `["nonsense","INSERT INTO t VALUES(1)"]`, "E-", "[1]"},
		{"/db/execute", `["INSERT INTO t VALUES(1)","PRAGMA user_version = 7","INSERT INTO t VALUES(2)","ATTACH 'x' AS y","","BEGIN"]`, "-E-EEE", "[1,2]"},
		{"/db/execute?transaction", `["INSERT INTO t VALUES(1)","INSERT INTO t VALUES(1)","INSERT INTO t VALUES(2)"]`, "EE", "[]"},
		{"/db/execute?transaction", `["INSERT INTO t VALUES(1)","PRAGMA user_version = 7"]`, "EE", "[]"},
		{"/db/request", `["INSERT INTO t VALUES(1)","SELECT x FROM t","INSERT INTO t VALUES(2)"]`, "-E-", "[1,2]"},
		{"/db/request?transaction", `["INSERT INTO t VALUES(1)","SELECT a FROM t","SELECT x FROM t"]`, "EEE", "[]"},
		{"/db/request?transaction", `["INSERT INTO t VALUES(1)","SELECT 1","VACUUM"]`, "EEE", "[]"},
		{"/db/query", `["SELECT 1","SELECT x FROM t","SELECT 2"]`, "-E-", "[]"},
		{"/db/query?transaction", `["SELECT 1","SELECT x FROM t","SELECT 2"]`, "-E", "[]"},
	} {
		s := serve(t)
		s.write("CREATE TABLE t(a INTEGER PRIMARY KEY)")
		if got := errorsOf(s.results(several.path, several.body)); got != several.marks {
			t.Errorf("%s %s: %s, want %s", several.path, several.body, got, several.marks)
		}
		if got := fmt.Sprint(s.results("/db/query", `["SELECT json_group_array(a) FROM t"]`)[0].Values[0][0]); got != several.rows {
			t.Errorf("%s %s: rows %s, want %s", several.path, several.body, got, several.rows)
		}
		if n := s.count("PRAGMA user_version"); n != 0 {
			t.Errorf("a PRAGMA was run: %d", n)
		}
	}
}

// Of many that fail each has its own answer, and the ones between them stay.
func TestManyOfSeveralFail(t *testing.T) {
	s := serve(t)
	s.write("CREATE TABLE t(a INTEGER PRIMARY KEY)")
	var list []string
	want := ""
	for i := range 100 {
		list = append(list, fmt.Sprintf("INSERT INTO t VALUES(%d)", i/2*2)) // each twice
		want += [...]string{"-", "E"}[i%2]
	}
	body, _ := json.Marshal(list)
	if got := errorsOf(s.results("/db/execute", string(body))); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if n := s.count("SELECT count(*) FROM t"); n != 50 {
		t.Errorf("%d rows", n)
	}
}

func TestErrorsSayWhatAndNoValue(t *testing.T) {
	s := serve(t)
	s.write("CREATE TABLE t(a TEXT PRIMARY KEY, b INTEGER CHECK (b > 0))")
	for body, says := range map[string]string{
		`[["INSERT INTO t VALUES(?, ?)", "secret", -1]]`:                                               "CHECK constraint failed",
		`[["INSERT INTO t VALUES(?, 1)", "secret"], ["INSERT INTO t VALUES(:x, 1)", {"x": "secret"}]]`: "UNIQUE constraint failed",
		`[["INSERT INTO t VALUES(:x, :y)", {"x": "secret"}]]`:                                          "missing named argument",
		`[["INSERT INTO t VALUES(?, ?)", "secret"]]`:                                                   "argument",
		`[["SELECT json(?)", "secret"]]`:                                                               "malformed JSON",
	} {
		results := s.results("/db/execute", body)
		last := results[len(results)-1]
		if !strings.Contains(last.Error, says) || strings.Contains(fmt.Sprint(results), "secret") || strings.Contains(last.Error, "of the batch") {
			t.Errorf("%s: %+v", body, results)
		}
	}
	if r := s.results("/db/query", `["DELETE FROM t"]`)[0]; !strings.Contains(r.Error, "/db/execute") {
		t.Errorf("a write by /db/query: %+v", r)
	}
}

// SQL from outside can't leave the file, load code, or change how the database is opened.
func TestRefusedSQL(t *testing.T) {
	s := serve(t)
	s.write("CREATE TABLE t(a)", "INSERT INTO t VALUES(1)", "CREATE VIRTUAL TABLE f USING fts5(x)")
	hostile := []string{
		"ATTACH DATABASE '/tmp/x.db' AS x", "DETACH main", "SELECT load_extension('x')", "INSERT INTO t SELECT load_extension('x')",
		"PRAGMA writable_schema = on", "PRAGMA journal_mode = OFF", "PRAGMA synchronous = OFF", "PRAGMA schema_version = 7", "PRAGMA hard_heap_limit = 1",
		"PRAGMA database_list", "EXPLAIN PRAGMA writable_schema = on", "VACUUM", "VACUUM INTO '/tmp/x.db'", "CREATE TEMP TABLE x(a)", "CREATE TABLE temp.x(a)", `CREATE TABLE "temp".x(a)`,
		"UPDATE sqlite_schema SET sql = ''", "UPDATE sqlite_dbpage SET data = data WHERE pgno = 1", "DELETE FROM f_data",
		"BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT s", "/* x */ BEGIN EXCLUSIVE", "-- x\nPRAGMA user_version = 1", "; ATTACH 'x' AS y",
		"SELECT writefile('/tmp/x', 'y')", "SELECT 1; DELETE FROM t", "SELECT edit('x')",
	}
	for _, path := range []string{"/db/query", "/db/query?transaction", "/db/execute", "/db/execute?transaction", "/db/request", "/db/request?transaction"} {
		for _, sql := range hostile {
			body, _ := json.Marshal([]string{sql})
			if got := s.results(path, string(body)); errorsOf(got) != "E" {
				t.Errorf("%s %s: %+v", path, sql, got)
			}
			// Beside a statement that reads it goes another way.
			body, _ = json.Marshal([]string{"CREATE TABLE IF NOT EXISTS t(a)", "SELECT a FROM t", sql})
			if got := s.results(path, string(body)); got[len(got)-1].Error == "" {
				t.Errorf("%s %s, after others: %+v", path, sql, got)
			}
		}
		for _, sql := range []string{"SELECT * FROM sqlite_dbpage", "SELECT * FROM dbstat", "SELECT * FROM pragma_database_list"} {
			body, _ := json.Marshal([]string{sql})
			if got := s.results(path, string(body)); strings.HasPrefix(path, "/db/execute") { // it returns no rows there
				continue
			} else if errorsOf(got) != "E" {
				t.Errorf("%s %s: %+v", path, sql, got)
			}
		}
	}
	if n := s.count("SELECT count(*) FROM t"); n != 1 {
		t.Errorf("%d rows", n)
	}
}

// What stands behind the first statement of a text is not run, on any way.
func TestATextIsOneStatement(t *testing.T) {
	s := serve(t)
	s.write("CREATE TABLE t(a)")
	other := filepath.Join(t.TempDir(), "other.db")
	for _, path := range []string{"/db/execute", "/db/execute?transaction", "/db/request", "/db/request?transaction"} {
		for _, more := range []string{"ATTACH '" + other + "' AS o", "PRAGMA foreign_keys = off", "COMMIT", "COMMIT; BEGIN IMMEDIATE", "INSERT INTO t VALUES(2)"} {
			for _, first := range []string{"INSERT INTO t VALUES(1)", "INSERT INTO t VALUES(1) RETURNING a", "WITH x AS (SELECT 1) INSERT INTO t SELECT 1", "CREATE TABLE u(a)"} {
				body, _ := json.Marshal([]string{"SELECT 1", first + "; " + more})
				if got := s.results(path, string(body)); got[len(got)-1].Error == "" {
					t.Errorf("%s %s: %+v", path, body, got)
				}
			}
		}
	}
	if _, err := os.Stat(other); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("another file was made: %v", err)
	}
	if n := s.count("SELECT count(*) FROM t"); n != 0 {
		t.Errorf("%d rows", n)
	}
	if n := s.count("PRAGMA foreign_keys"); n != 1 {
		t.Error("foreign keys are off")
	}
	s.write("INSERT INTO t VALUES(1)") // the writer is free
}

// Whatever its name is written like, nothing temporary stands before a table of the file.
func TestNothingTemporaryIsMade(t *testing.T) {
	s := serve(t)
	s.write("CREATE TABLE t(a)")
	for _, path := range []string{"/db/execute", "/db/execute?transaction", "/db/request", "/db/request?transaction"} {
		for _, sql := range []string{
			"CREATE TABLE temp/**/.t(a)", "CREATE TABLE 'temp'.t(a)", "CREATE TABLE temp--\n.t(a)", "CREATE TABLE temp/**/.t(returning)", "CREATE VIEW temp/**/.t AS SELECT 1",
			"CREATE TRIGGER temp/**/.x AFTER INSERT ON t BEGIN DELETE FROM t; END", "CREATE/**/TEMP TABLE t(a)",
		} {
			for _, before := range []string{"SELECT 1", "INSERT INTO t VALUES(0)"} {
				body, _ := json.Marshal([]string{before, sql})
				if got := s.results(path, string(body)); got[len(got)-1].Error == "" {
					t.Errorf("%s %s: %+v", path, body, got)
				}
			}
		}
	}
	s.write("DELETE FROM t")
	if got := s.results("/db/request?transaction", `["INSERT INTO t VALUES(1)","SELECT a FROM t","CREATE VIEW v AS SELECT a FROM t"]`); errorsOf(got) != "---" || got[2].RowsAffected != 0 {
		t.Errorf("%+v", got)
	}
	if n := s.count("SELECT count(*) FROM main.t"); n != 1 {
		t.Errorf("%d rows: a write that was acknowledged is not in the file", n)
	}
}

// Rows that are too many for an answer are a write that was not made.
func TestReturningTooMuchWritesNothing(t *testing.T) {
	s := serve(t)
	s.write("CREATE TABLE t(a)")
	s.limits.Store(&Limits{Body: 1 << 20, Rows: 10, Response: 2000, Time: time.Minute})
	const numbers = "WITH RECURSIVE n(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM n WHERE x < %d) INSERT INTO t SELECT x FROM n RETURNING a"
	for _, path := range []string{"/db/request", "/db/request?transaction"} {
		body, _ := json.Marshal([]string{fmt.Sprintf(numbers, 11)})
		if got := s.results(path, string(body)); !strings.Contains(got[0].Error, "serve.max_rows") {
			t.Errorf("%s: %+v", path, got)
		}
		if n := s.count("SELECT count(*) FROM t"); n != 0 {
			t.Errorf("%s: %d rows of a write that is answered with an error", path, n)
		}
	}
	body, _ := json.Marshal([]string{fmt.Sprintf(numbers, 10)})
	if got := s.results("/db/request", string(body)); len(got[0].Values) != 10 || s.count("SELECT count(*) FROM t") != 10 {
		t.Errorf("%+v", got)
	}
}

// A constraint that is looked at by the COMMIT fails the statement that breaks it.
func TestDeferredConstraintFailsOneStatement(t *testing.T) {
	s := serve(t)
	s.write("CREATE TABLE p(id INTEGER PRIMARY KEY)", "CREATE TABLE c(x REFERENCES p(id) DEFERRABLE INITIALLY DEFERRED)")
	got := s.results("/db/execute", `["INSERT INTO p VALUES(1)","INSERT INTO c VALUES(99)","INSERT INTO p VALUES(2)","INSERT INTO c VALUES(2)"]`)
	if errorsOf(got) != "-E--" || s.count("SELECT count(*) FROM p") != 2 || s.count("SELECT count(*) FROM c") != 1 {
		t.Errorf("%+v", got)
	}
}

func TestResultsHaveBounds(t *testing.T) {
	s := serve(t)
	s.limits.Store(&Limits{Body: 1 << 20, Rows: 10, Response: 2000, Time: time.Minute})
	const numbers = "WITH RECURSIVE n(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM n WHERE x < %d) SELECT x FROM n"
	body := func(sql string) string {
		text, _ := json.Marshal([]string{sql})
		return string(text)
	}
	if got := s.results("/db/query", body(fmt.Sprintf(numbers, 10))); len(got[0].Values) != 10 {
		t.Errorf("ten rows: %+v", got)
	}
	if got := s.results("/db/query", body(fmt.Sprintf(numbers, 11))); !strings.Contains(got[0].Error, "serve.max_rows") {
		t.Errorf("eleven rows: %+v", got)
	}
	if got := s.results("/db/query", body("SELECT hex(zeroblob(1000))")); !strings.Contains(got[0].Error, "serve.max_response") {
		t.Errorf("a long row: %+v", got)
	}
	// The bound is of the answer, not of each result.
	if got := s.results("/db/query", `["SELECT hex(zeroblob(800))","SELECT hex(zeroblob(800))"]`); errorsOf(got) != "-E" {
		t.Errorf("two: %s", errorsOf(got))
	}
	// So are errors.
	if w := s.send("/db/query", `["`+strings.Repeat(`","`, 200)+`"]`); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "serve.max_response") {
		t.Errorf("200 errors: %d %.100s", w.Code, w.Body)
	}
	// Names of columns are part of it.
	none := `"SELECT 1 AS ` + strings.Repeat("a", 700) + ` WHERE 0"`
	if got := s.results("/db/query", "["+none+","+none+","+none+"]"); errorsOf(got) != "--E" {
		t.Errorf("three without rows: %s", errorsOf(got))
	}
}

func TestStatementsHaveADeadline(t *testing.T) {
	s := serve(t)
	s.write("CREATE TABLE t(a)")
	const endless = "WITH RECURSIVE n(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM n) "
	for path, sql := range map[string]string{
		"/db/query?timeout=50ms":               endless + "SELECT max(x) FROM n",
		"/db/execute?db_timeout=50ms":          "INSERT INTO t " + endless + "SELECT x FROM n WHERE x < 0",
		"/db/request?transaction&timeout=50ms": endless + "SELECT max(x) FROM n",
	} {
		body, _ := json.Marshal([]string{sql})
		if got := s.results(path, string(body)); !strings.Contains(got[0].Error, "the time for this request is over (50ms") {
			t.Errorf("%s: %+v", path, got)
		}
	}
	s.write("INSERT INTO t VALUES(1)") // the writer is free
}

func TestIdempotencyKey(t *testing.T) {
	s := serve(t)
	s.write("CREATE TABLE t(a)")
	for _, again := range []string{"", "true"} {
		w := s.send("/db/execute", `["INSERT INTO t VALUES(1)","INSERT INTO t VALUES(2)"]`, "Idempotency-Key", "order-1")
		if got, want := w.Body.String(), `{"results":[{"last_insert_id":1,"rows_affected":1},{"last_insert_id":2,"rows_affected":1}]}`; got != want || w.Header().Get("Holdfast-Repeated") != again {
			t.Errorf("%s, repeated %q", got, w.Header().Get("Holdfast-Repeated"))
		}
	}
	if got := s.results("/db/execute", `["INSERT INTO t VALUES(3)"]`, "Idempotency-Key", "order-1"); !strings.Contains(got[0].Error, "used before") {
		t.Errorf("another write by the same key: %+v", got)
	}
	for _, rows := range []int{1, 0} {
		got := s.results("/db/request", `["INSERT INTO t VALUES(5)","SELECT a FROM t WHERE a = 5"]`, "Idempotency-Key", "order-2")
		if len(got) != 2*rows {
			t.Errorf("%+v", got)
		}
	}
	if n := s.count("SELECT count(*) FROM t"); n != 3 {
		t.Errorf("%d rows", n)
	}
}

// A queued write is committed when it is answered, and one that failed says so.
func TestQueuedWrites(t *testing.T) {
	s := serve(t)
	s.write("CREATE TABLE t(a INTEGER PRIMARY KEY)")
	var last float64
	for i := range 3 {
		var answer map[string]any
		if err := json.Unmarshal(s.send("/db/execute?queue&wait&timeout=5s", fmt.Sprintf(`[["INSERT INTO t VALUES(?)", %d]]`, i)).Body.Bytes(), &answer); err != nil {
			t.Fatal(err)
		}
		sequence, _ := answer["sequence_number"].(float64)
		if results, ok := answer["results"].([]any); !ok || len(results) != 0 || sequence < last || sequence == 0 {
			t.Errorf("%v", answer)
		}
		last = sequence
	}
	if got := s.results("/db/execute?queue", `["INSERT INTO t VALUES(1)"]`); errorsOf(got) != "E" {
		t.Errorf("%+v", got)
	}
	if n := s.count("SELECT count(*) FROM t"); n != 3 {
		t.Errorf("%d rows", n)
	}
}

// Writes of several requests share commits.
func TestRequestsShareCommits(t *testing.T) {
	s := serve(t)
	s.write("CREATE TABLE t(a INTEGER PRIMARY KEY)")
	before := s.db.DB.Stats().Writer
	var all sync.WaitGroup
	for worker := range 16 {
		all.Go(func() {
			for i := range 20 {
				r := s.send("/db/execute", fmt.Sprintf(`[["INSERT INTO t VALUES(?)", %d]]`, worker*100+i))
				if strings.Contains(r.Body.String(), "error") {
					t.Errorf("%s", r.Body)
				}
			}
		})
	}
	all.Wait()
	after := s.db.DB.Stats().Writer
	if n := s.count("SELECT count(*) FROM t"); n != 320 {
		t.Errorf("%d rows", n)
	}
	if groups := after.Groups - before.Groups; groups >= 320 {
		t.Errorf("320 writes took %d commits", groups)
	}
}

func TestClusterOfOne(t *testing.T) {
	s := serve(t)
	get := func(path string) map[string]any {
		w := s.send(path, "")
		var answer map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != http.StatusOK {
			t.Fatalf("%s: %d %s", path, w.Code, w.Body)
		}
		return answer
	}
	leader := get("/status")["store"].(map[string]any)["leader"].(map[string]any)
	if raft := get("/status")["store"].(map[string]any)["raft"].(map[string]any); raft["state"] != "Leader" {
		t.Errorf("a client that asks each node whether it leads finds nobody: %v", raft)
	}
	nodes := get("/nodes")
	one, ok := nodes[leader["node_id"].(string)].(map[string]any)
	if !ok || one["api_addr"] != "http://example.com" || one["leader"] != true || one["reachable"] != true {
		t.Errorf("leader %v of nodes %v", leader, nodes)
	}
	if list := get("/nodes?ver=2")["nodes"].([]any); len(list) != 1 {
		t.Errorf("%v", list)
	}
}
