package api

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// The forms of rqlite's data API, one after the other: what its documentation shows is
// answered as it shows it.
func TestForms(t *testing.T) {
	s := serve(t)
	for _, form := range []struct{ what, path, body, want string }{
		{"create", "/db/execute", `["CREATE TABLE foo (id INTEGER NOT NULL PRIMARY KEY, name TEXT, age INTEGER)"]`, `{"results":[{}]}`},
		{"insert", "/db/execute", `["INSERT INTO foo(name, age) VALUES('fiona', 20)"]`, `{"results":[{"last_insert_id":1,"rows_affected":1}]}`},
		{"insert with double quotes", "/db/execute", `["INSERT INTO foo(name, age) VALUES(\"sinead\", 25)"]`, `{"results":[{"last_insert_id":2,"rows_affected":1}]}`},
		{
			"several", "/db/execute", `["INSERT INTO foo(name) VALUES('a')","INSERT INTO foo(name) VALUES('b')"]`,
			`{"results":[{"last_insert_id":3,"rows_affected":1},{"last_insert_id":4,"rows_affected":1}]}`,
		},
		{"update", "/db/execute", `["UPDATE foo SET age = 30 WHERE id > 2"]`, `{"results":[{"rows_affected":2}]}`},
		{"delete", "/db/execute", `["DELETE FROM foo WHERE id > 2"]`, `{"results":[{"rows_affected":2}]}`},
		{"by position", "/db/execute", `[["INSERT INTO foo(name, age) VALUES(?, ?)", "declan", 31]]`, `{"results":[{"last_insert_id":3,"rows_affected":1}]}`},
		{"by name", "/db/execute", `[["INSERT INTO foo(name, age) VALUES(:name, :age)", {"name": "dana", "age": 32}]]`, `{"results":[{"last_insert_id":4,"rows_affected":1}]}`},
		{"by name, with one more", "/db/execute", `[["UPDATE foo SET age = $age WHERE name = @name", {"name": "dana", "age": 33, "more": 1}]]`, `{"results":[{"rows_affected":1}]}`},
		{"an array without parameters", "/db/execute", `[["DELETE FROM foo WHERE id = 4"]]`, `{"results":[{"rows_affected":1}]}`},
		{"both forms in one", "/db/execute", `["DELETE FROM foo WHERE id = 9", ["DELETE FROM foo WHERE id = ?", 3]]`, `{"results":[{},{"rows_affected":1}]}`},
		{
			"all or nothing", "/db/execute?transaction", `["INSERT INTO foo(name) VALUES('x')", "DELETE FROM foo WHERE name = 'x'"]`,
			`{"results":[{"last_insert_id":3,"rows_affected":1},{"last_insert_id":3,"rows_affected":1}]}`,
		},
		{"a SELECT that is executed", "/db/execute", `["SELECT * FROM foo"]`, `{"results":[{}]}`},
		{"associative writes", "/db/execute?associative", `["UPDATE foo SET age = age WHERE id = 1"]`, `{"results":[{"rows_affected":1,"rows":null}]}`},
		{"plain text", "/db/execute", "", ""},

		{
			"query", "/db/query", `["SELECT * FROM foo"]`,
			`{"results":[{"columns":["id","name","age"],"types":["integer","text","integer"],"values":[[1,"fiona",20],[2,"sinead",25]]}]}`,
		},
		{"query by GET", "/db/query?q=" + url.QueryEscape("SELECT name FROM foo WHERE id = 2"), "", `{"results":[{"columns":["name"],"types":["text"],"values":[["sinead"]]}]}`},
		{"query by position", "/db/query", `[["SELECT id FROM foo WHERE name=?", "fiona"]]`, `{"results":[{"columns":["id"],"types":["integer"],"values":[[1]]}]}`},
		{"query by name", "/db/query", `[["SELECT id FROM foo WHERE name=:name", {"name": "fiona"}]]`, `{"results":[{"columns":["id"],"types":["integer"],"values":[[1]]}]}`},
		{
			"several queries", "/db/query?transaction", `["SELECT 1","SELECT 'a'"]`,
			`{"results":[{"columns":["1"],"types":["integer"],"values":[[1]]},{"columns":["'a'"],"types":["text"],"values":[["a"]]}]}`,
		},
		{"no rows", "/db/query", `["SELECT id, name FROM foo WHERE id = 7"]`, `{"results":[{"columns":["id","name"],"types":["integer","text"]}]}`},
		{
			"associative", "/db/query?associative", `["SELECT id, name FROM foo"]`,
			`{"results":[{"types":{"id":"integer","name":"text"},"rows":[{"id":1,"name":"fiona"},{"id":2,"name":"sinead"}]}]}`,
		},
		{"associative, no rows", "/db/query?associative", `["SELECT id FROM foo WHERE id = 7"]`, `{"results":[{"types":{"id":"integer"},"rows":[]}]}`},
		{"level none", "/db/query?level=none&freshness=1s&freshness_strict", `["SELECT 1"]`, `{"results":[{"columns":["1"],"types":["integer"],"values":[[1]]}]}`},
		{"level weak", "/db/query?level=weak", `["SELECT 1"]`, `{"results":[{"columns":["1"],"types":["integer"],"values":[[1]]}]}`},
		{"level linearizable", "/db/query?level=linearizable&linearizable_timeout=1s", `["SELECT 1"]`, `{"results":[{"columns":["1"],"types":["integer"],"values":[[1]]}]}`},
		{"level strong", "/db/query?level=strong&timeout=5s&db_timeout=2s&retries=2&redirect&noparse", `["SELECT 1"]`, `{"results":[{"columns":["1"],"types":["integer"],"values":[[1]]}]}`},
		{"level auto", "/db/query?level=auto", `["SELECT 1"]`, `{"results":[{"columns":["1"],"types":["integer"],"values":[[1]]}]}`},
		{"a pragma that asks", "/db/query", `["PRAGMA user_version"]`, `{"results":[{"columns":["user_version"],"types":["integer"],"values":[[0]]}]}`},

		{
			"either kind", "/db/request", `["INSERT INTO foo(id, name) VALUES(10, 'max')", ["SELECT name FROM foo WHERE id = ?", 10], "DELETE FROM foo WHERE id = 10"]`,
			`{"results":[{"last_insert_id":10,"rows_affected":1},{"columns":["name"],"types":["text"],"values":[["max"]]},{"rows_affected":1}]}`,
		},
		{
			"either kind, associative", "/db/request?associative", `["INSERT INTO foo(id) VALUES(10)", "SELECT id FROM foo WHERE id = 10", "DELETE FROM foo WHERE id = 10"]`,
			`{"results":[{"last_insert_id":10,"rows_affected":1,"rows":null},{"types":{"id":"integer"},"rows":[{"id":10}]},{"rows_affected":1,"rows":null}]}`,
		},
		{
			"either kind, all or nothing", "/db/request?transaction", `["CREATE TABLE bar(a)", "INSERT INTO bar VALUES(5)", "SELECT a FROM bar", "DROP TABLE bar"]`,
			`{"results":[{},{"last_insert_id":1,"rows_affected":1},{"columns":["a"],"types":["integer"],"values":[[5]]},{"last_insert_id":1}]}`,
		},
		{"RETURNING", "/db/request", `["INSERT INTO foo(id, name) VALUES(20, 'rita') RETURNING id, name"]`, `{"results":[{"columns":["id","name"],"types":["integer","text"],"values":[[20,"rita"]]}]}`},
		{"RETURNING in a transaction", "/db/request?transaction", `["DELETE FROM foo WHERE id = 20 RETURNING name"]`, `{"results":[{"columns":["name"],"types":["text"],"values":[["rita"]]}]}`},
		{
			"RETURNING among writes", "/db/execute", `["INSERT INTO foo(id, name) VALUES(20, 'rita') RETURNING id, name", "UPDATE foo SET name = 'r' WHERE id = 20"]`,
			`{"results":[{"columns":["id","name"],"types":["integer","text"],"values":[[20,"rita"]]},{"rows_affected":1}]}`,
		},
		{
			"RETURNING among writes, all or nothing", "/db/execute?transaction", `["UPDATE foo SET name = 's' WHERE id = 20", "DELETE FROM foo WHERE id = 20 RETURNING name"]`,
			`{"results":[{"last_insert_id":20,"rows_affected":1},{"columns":["name"],"types":["text"],"values":[["s"]]}]}`,
		},
		{"WITH that reads", "/db/request", `["WITH a(x) AS (SELECT 7) SELECT x FROM a"]`, `{"results":[{"columns":["x"],"types":["integer"],"values":[[7]]}]}`},
		{
			"WITH that writes", "/db/request", `["WITH a(x) AS (SELECT 30) INSERT INTO foo(id) SELECT x FROM a", "DELETE FROM foo WHERE id = 30"]`,
			`{"results":[{"last_insert_id":30,"rows_affected":1},{"rows_affected":1}]}`,
		},
		{"by its name", "/databases/main/db/query", `["SELECT count(*) AS n FROM foo"]`, `{"results":[{"columns":["n"],"types":["integer"],"values":[[2]]}]}`},
	} {
		if form.want != "" {
			t.Run(form.what, func(t *testing.T) { s.t = t; s.want(form.path, form.body, form.want) })
		}
	}
	s.t = t
	s.want("/db/execute", "DELETE FROM foo WHERE id = 2", `{"results":[{"rows_affected":1}]}`, "Content-Type", "text/plain; charset=utf-8")
	s.want("/db/query", "SELECT id FROM foo", `{"results":[{"columns":["id"],"types":["integer"],"values":[[1]]}]}`, "Content-Type", "text/plain")
}

func TestTimingsAndPretty(t *testing.T) {
	s := serve(t)
	s.write("CREATE TABLE t(a)")
	number := regexp.MustCompile(`"time": ?[0-9.e-]+`)
	for body, want := range map[string]string{
		`["INSERT INTO t VALUES(1)"]`: `{"results":[{"last_insert_id":1,"rows_affected":1,"time":0}],"time":0}`,
		`["nonsense"]`:                `{"results":[{"error":"SQL logic error: near \"nonsense\": syntax error (1)","code":1,"time":0}],"time":0}`,
	} {
		if got := number.ReplaceAllString(s.send("/db/execute?timings", body).Body.String(), `"time":0`); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if got := s.send("/db/query?pretty", `["SELECT a FROM t"]`).Body.String(); !strings.HasPrefix(got, "{\n    \"results\": [\n        {\n            \"columns\": [") {
		t.Errorf("pretty: %s", got)
	}
}

// The values that SQLite and JSON have, there and back.
func TestValues(t *testing.T) {
	s := serve(t)
	s.write("CREATE TABLE v(i INTEGER, r REAL, t TEXT, b BLOB, d DATETIME, o BOOLEAN)")
	s.want("/db/execute", `[["INSERT INTO v VALUES(?,?,?,?,?,?)", 9223372036854775807, 1.5, "ä\"\\\u0000\n<", [0, 1, 255], "2026-11-27 10:00:00", true],
		["INSERT INTO v VALUES(?,?,?,?,?,?)", -1, 1e300, "", [], null, false],
		["INSERT INTO v VALUES(?,?,?,?,?,?)", null, 0.1, "x", null, "no time", null],
		["INSERT INTO v(r) VALUES(9e999)"]]`,
		`{"results":[{"last_insert_id":1,"rows_affected":1},{"last_insert_id":2,"rows_affected":1},{"last_insert_id":3,"rows_affected":1},{"last_insert_id":4,"rows_affected":1}]}`)
	s.want("/db/query", `["SELECT * FROM v"]`, `{"results":[{"columns":["i","r","t","b","d","o"],"types":["integer","real","text","blob","datetime","boolean"],"values":[`+
		`[9223372036854775807,1.5,"ä\"\\\u0000\n\u003c","AAH/","2026-11-27T10:00:00Z",true],[-1,1e+300,"","",null,false],[null,0.1,"x",null,"no time",null],[null,"+Inf",null,null,null,null]]}]}`)
	s.want("/db/query?blob_array", `["SELECT b FROM v LIMIT 3"]`, `{"results":[{"columns":["b"],"types":["blob"],"values":[[[0,1,255]],[[]],[null]]}]}`)
	s.want("/db/query", `["SELECT 1, 2.5, 'x', x'00', NULL, CAST(x'ff' AS TEXT), 1 < 2"]`,
		`{"results":[{"columns":["1","2.5","'x'","x'00'","NULL","CAST(x'ff' AS TEXT)","1 < 2"],"types":["integer","real","text","blob","","text","integer"],"values":[[1,2.5,"x","AA==",null,"\ufffd",1]]}]}`)
}

// What is asked for badly is refused before anything is run, with what to send instead.
func TestBadRequests(t *testing.T) {
	s := serve(t)
	s.limits.Store(&Limits{Body: 1000, Rows: 5, Response: 1000, Time: s.limits.Load().Time})
	for _, bad := range []struct {
		path, body string
		code       int
		says       string
	}{
		{"/db/execute", ` `, 400, "no statements"},
		{"/db/execute", `[]`, 400, "no statements"},
		{"/db/execute", `[[]]`, 400, "statement 1 is an empty array"},
		{"/db/execute", `[1]`, 400, "statement 1 is neither"},
		{"/db/execute", `["SELECT 1", [1, "x"]]`, 400, "statement 2 does not begin with its SQL text"},
		{"/db/execute", `["SELECT 1"`, 400, "ends too early"},
		{"/db/execute", `["SELECT 1"] x`, 400, "goes on after its array"},
		{"/db/execute", `{"a": "secret"}`, 400, "no JSON array"},
		{"/db/execute", `[["SELECT ?", {"a": {"b": "secret"}}]]`, 400, "an object among the values"},
		{"/db/execute", `[["SELECT ?", [1, 256]]]`, 400, "not one of bytes"},
		{"/db/execute", `[["SELECT ?", ["secret"]]]`, 400, "not one of bytes"},
		{"/db/execute", `[["SELECT ?", 1e999]]`, 400, "too large"},
		{"/db/execute", `[["SELECT ?", 9223372036854775808]]`, 400, "too large"},
		{"/db/execute", "[[\"SELECT ?\", \"secret\xe4\"]]", 400, "not valid UTF-8"},
		{"/db/execute", `["` + strings.Repeat("x", 1000) + `"]`, 413, "serve.max_body"},
		{"/db/query", "", 400, "q is missing"},
		{"/db/query?q=", "", 400, "q is empty"},
		{"/db/query?level=best", `["SELECT 1"]`, 400, "level is one of"},
		{"/db/query?timeout=soon", `["SELECT 1"]`, 400, "timeout is not a valid duration"},
		{"/db/query?freshness=-1s", `["SELECT 1"]`, 400, "freshness is not a valid duration"},
		{"/db/query?freshness_strict", `["SELECT 1"]`, 400, "requires freshness"},
		{"/db/execute?raft_index", `["SELECT 1"]`, 400, "no Raft log"},
		{"/databases/other/db/query", `["SELECT 1"]`, 404, "there is no database"},
		{"/db/load", `x`, 501, "holdfast restore"},
		{"/db/backup", "", 501, "holdfast backup"},
		{"/db/execute", "", 405, ""},
	} {
		w := s.send(bad.path, bad.body)
		if w.Code != bad.code || !strings.Contains(w.Body.String(), bad.says) || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%s %.40s: %d %s; want %d and %q", bad.path, bad.body, w.Code, w.Body, bad.code, bad.says)
		}
	}
	if w := s.send("/db/execute", `["SELECT 1"]`, "Idempotency-Key", strings.Repeat("x", 300)); w.Code != http.StatusBadRequest {
		t.Errorf("a long key: %d", w.Code)
	}
	s.full.Store(true)
	if w := s.send("/db/query", `["SELECT 1"]`); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("too many requests: %d", w.Code)
	}
}
