package daemon

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/holdfastdb/holdfast"
)

func TestServesOneDatabase(t *testing.T) {
	d := start(t, one, nil)
	d.want(200, "ok", "GET", "/healthz", "")
	d.want(200, "[+]store ok\n[+]database main ok", "GET", "/readyz", "")
	d.write("/db/execute", "CREATE TABLE t(a)")
	d.write("/databases/main/db/execute", "INSERT INTO t VALUES(1)")
	d.want(200, `"values":[[1]]`, "GET", "/db/query?q=SELECT+a+FROM+t", "")
	d.want(200, `"name":"main","default":true`, "GET", "/databases", "")
	d.want(200, `"schema":"holdfast.health/v1","status":"ok"`, "GET", "/databases/main/health", "")
	d.want(200, `"schema": "holdfast.stats/v1"`, "GET", "/databases/main/stats?pretty", "")
	d.want(200, `"schema":"holdfast.daemon.locks/v1"`, "GET", "/databases/main/locks", "")
	d.want(200, "INSERT INTO t", "GET", "/databases/main/queries", "")
	d.want(200, `"reset":true`, "DELETE", "/databases/main/queries", "")
	_, text := d.get("/databases/main/queries")
	if strings.Contains(text, "INSERT INTO t") {
		t.Error("the counts were not reset")
	}
	d.want(404, "there is no database", "GET", "/databases/other/health", "")
	d.want(404, "", "GET", "/elsewhere", "")
	d.want(200, "main.reads", "GET", "/", "")
	d.want(200, `"schema": "holdfast.alerts/v1"`, "GET", "/alerts", "")
	d.want(200, "wal_too_big", "GET", "/alerts/rules", "")
	_, text = d.get("/metrics")
	for _, series := range []string{
		`holdfast_http_requests_total{code="200",route="/db/execute"} 1`, `holdfast_http_requests_total{code="404",route="/"} 1`,
		`holdfast_writer_groups_total{database="main"}`, `{database="main/reads"}`, "holdfast_http_requests_under_way 0", "go_goroutines",
	} {
		if !strings.Contains(text, series) {
			t.Errorf("/metrics has no %s", series)
		}
	}
}

const two = `{"writer": {"max_group": 7}, "serve": {"listen": "127.0.0.1:0", "database": "log"}, "databases": {
	"orders": {"database": {"path": "DIR/orders.db"}}, "log": {"database": {"path": "DIR/log.db"}}}}`

func TestServesSeveralDatabases(t *testing.T) {
	d := start(t, two, nil)
	d.write("/databases/orders/db/execute", "CREATE TABLE o(a)")
	d.write("/db/execute", "CREATE TABLE l(a)")
	d.want(200, "no such table", "POST", "/db/query", `["SELECT * FROM o"]`)
	d.want(200, `"columns"`, "POST", "/databases/log/db/query", `["SELECT * FROM l"]`)
	d.want(200, `"name":"log","default":true`, "GET", "/databases", "")
	d.want(200, "[+]database log ok\n[+]database orders ok", "GET", "/readyz", "")
}

func TestReload(t *testing.T) {
	d := start(t, two, nil)
	d.write("/db/execute", "CREATE TABLE l(a)")
	reload := func(config string) error {
		configure(t, d.dir, config)
		return d.Reload(context.Background())
	}
	// One comes, one goes, a limit and who may come change.
	tokens := filepath.Join(d.dir, "tokens")
	if err := os.WriteFile(tokens, []byte("# of the shop\n\nthe token of the shop\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const next = `{"serve": {"listen": "127.0.0.1:0", "max_rows": 1, "write_tokens": "DIR/tokens"}, "databases": {
		"log": {"database": {"path": "DIR/log.db"}}, "new": {"database": {"path": "DIR/new.db"}}}}`
	if err := reload(next); err != nil {
		t.Fatal(err)
	}
	d.want(401, "a token is needed", "GET", "/databases", "")
	d.token = "the token of the shop"
	d.want(404, "no database", "POST", "/databases/orders/db/query", `["SELECT 1"]`)
	d.write("/databases/new/db/execute", "CREATE TABLE n(a)")
	d.want(200, "serve.max_rows", "POST", "/db/query", `["VALUES (1), (2)"]`)
	if _, text := d.get("/metrics"); strings.Contains(text, `database="orders"`) || !strings.Contains(text, `database="new"`) {
		t.Error("the series are those of before")
	}
	// What is wrong changes nothing.
	for config, says := range map[string]string{
		`{`: "not JSON",
		strings.Replace(next, "127.0.0.1:0", "127.0.0.1:1", 1):                                                                    "at a restart only",
		strings.Replace(next, "DIR/log.db", "DIR/other.db", 1):                                                                    "its path changes at a restart only",
		strings.Replace(next, "DIR/tokens", "DIR/nowhere", 1):                                                                     "serve.write_tokens",
		strings.Replace(next, `"new": {"database": {"path": "DIR/new.db"}}`, `"bad": {"database": {"path": "DIR/none/x.db"}}`, 1): "database bad",
	} {
		if err := reload(config); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v; want %q", config, err, says)
		}
		d.write("/databases/new/db/execute", "INSERT INTO n VALUES(1)")
	}
	if err := reload(next); err != nil {
		t.Error(err)
	}
	d.want(200, "[[5]]", "POST", "/databases/new/db/query", `["SELECT count(*) FROM n"]`)
}

func TestRefusesToStart(t *testing.T) {
	for config, says := range map[string]string{
		`{"serve": {"listen": "127.0.0.1:0"}}`:                                                                                                        "database.path is not set",
		`{"databases": {"a": {}}, "serve": {"listen": "127.0.0.1:0"}}`:                                                                                "databases.a.database.path is not set",
		`{"database": {"path": "DIR/app.db"}, "serve": {"listen": "0.0.0.0:0"}}`:                                                                      "openssl rand -hex 32",
		`{"database": {"path": "DIR/app.db"}, "serve": {"listen": ":0"}}`:                                                                             "there are no tokens",
		`{"database": {"path": "DIR/app.db"}, "serve": {"listen": "somewhere"}}`:                                                                      "expected an address and a port",
		`{"database": {"path": "DIR/app.db"}, "serve": {"listen": "127.0.0.1:0", "tls_cert": "DIR/x"}}`:                                               "go together",
		`{"database": {"path": "DIR/app.db"}, "serve": {"listen": "127.0.0.1:0", "tls_cert": "DIR/x", "tls_key": "DIR/y"}}`:                           "serve.tls_cert",
		`{"database": {"path": "DIR/app.db"}, "serve": {"listen": "127.0.0.1:0", "database": "x"}}`:                                                   "is the name of no database",
		`{"database": {"path": "DIR/app.db"}, "serve": {"listen": "127.0.0.1:0", "actions": true}}`:                                                   "serve.actions needs tokens",
		`{"databases": {"a": {"database": {"path": "DIR/app.db"}}, "b": {"database": {"path": "DIR/../` + "BASE" + `/app.db"}}}}`:                     "is that of database a, too",
		`{"database": {"path": "DIR/app.db"}, "serve": {"listen": "127.0.0.1:0", "read_tokens": "DIR/short"}}`:                                        "fewer than 16 characters",
		`{"database": {"path": "DIR/app.db"}, "serve": {"listen": "127.0.0.1:0", "read_tokens": "DIR/empty"}}`:                                        "has no token",
		`{"database": {"path": "DIR/app.db"}, "serve": {"listen": "127.0.0.1:0", "read_tokens": "DIR/app.db"}}`:                                       "is part of the database main",
		`{"database": {"path": "DIR/app.db"}, "serve": {"listen": "127.0.0.1:0", "read_tokens": "DIR"}}`:                                              "is no file of tokens",
		`{"database": {"path": "DIR/app.db"}, "serve": {"listen": "127.0.0.1:0", "write_token_env": "SHORT"}}`:                                        "the token in SHORT",
		`{"database": {"path": "DIR/app.db"}, "serve": {"listen": "127.0.0.1:0"}, "backup": {"destination": "DIR", "every": "1h", "format": ".zip"}}`: "no format",
	} {
		dir := t.TempDir()
		for name, text := range map[string]string{"short": "topsecret\n", "empty": "# nothing\n", "app.db": ""} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		path := configure(t, dir, strings.ReplaceAll(config, "BASE", filepath.Base(dir)))
		d, err := Start(t.Context(), options(path, map[string]string{"SHORT": "topsecret"}, t.Output()))
		if err == nil {
			t.Errorf("%s: it started", config)
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_ = d.Serve(ctx)
			continue
		}
		if !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "topsecret") {
			t.Errorf("%s: %v; want %q", config, err, says)
		}
	}
}

func TestTokensFromTheEnvironment(t *testing.T) {
	d := start(t, one, map[string]string{"HOLDFAST_READ_TOKEN": "0123456789abcdef-read", "HOLDFAST_WRITE_TOKEN": "0123456789abcdef-write"})
	for _, c := range []struct {
		token, method, path, body string
		code                      int
	}{
		{"", "GET", "/healthz", "", 200},
		{"", "GET", "/readyz", "", 200},
		{"", "GET", "/metrics", "", 401},
		{"", "GET", "/databases", "", 401},
		{"", "POST", "/db/query", `["SELECT 1"]`, 401},
		{"0123456789abcdef-read", "POST", "/db/query", `["SELECT 1"]`, 200},
		{"0123456789abcdef-read", "GET", "/metrics", "", 200},
		{"0123456789abcdef-read", "GET", "/status", "", 200},
		{"0123456789abcdef-read", "POST", "/db/execute", `["CREATE TABLE t(a)"]`, 403},
		{"0123456789abcdef-read", "POST", "/db/request", `["SELECT 1"]`, 403},
		{"0123456789abcdef-read", "DELETE", "/databases/main/queries", "", 403},
		{"0123456789abcdef-read", "GET", "/d/main/", "", 200},
		{"0123456789abcdef-read", "POST", "/d/main/", "", 403},
		{"0123456789abcdef-read", "POST", "/alerts/test", "{}", 403},
		{"", "GET", "/", "", 401},
		{"0123456789abcdef-write", "POST", "/db/execute", `["CREATE TABLE t(a)"]`, 200},
		{"0123456789abcdef-writ", "POST", "/db/execute", `["CREATE TABLE t(a)"]`, 401},
	} {
		d.token = c.token
		d.want(c.code, "", c.method, c.path, c.body)
	}
	// The engine keeps to it, not a list of words: what a reader may send can't write.
	d.token = "0123456789abcdef-read"
	d.want(200, "this statement writes", "POST", "/db/query", `["WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a"]`)
	if log := d.log.String(); strings.Contains(log, "0123456789abcdef") {
		t.Errorf("a token is in the log: %s", log)
	}
}

func TestWithoutDashboardAndAlerts(t *testing.T) {
	d := start(t, `{"database": {"path": "DIR/app.db"}, "serve": {"listen": "127.0.0.1:0", "dash": false}, "alerts": {"enabled": false}}`, nil)
	d.want(404, "nothing at this address", "GET", "/", "")
	d.want(404, "alerts are off", "GET", "/alerts", "")
	d.write("/db/execute", "CREATE TABLE t(a)")
	d.want(200, "", "HEAD", "/db/query?q=SELECT%201", "")
}

// Backups of the configuration are scheduled, and Health has nothing to say against it.
func TestBackupsAreScheduled(t *testing.T) {
	destination, _ := json.Marshal(t.TempDir())
	d := start(t, `{"database": {"path": "DIR/app.db"}, "serve": {"listen": "127.0.0.1:0"}, "backup": {"destination": `+string(destination)+`, "every": "1h", "keep": "last=3"}}`, nil)
	db, release, _ := d.databases.find("main")
	defer release()
	next := db.DB.Maintenance().Next()
	if !slices.ContainsFunc(next, func(n holdfast.MaintenanceNext) bool { return strings.HasPrefix(n.Task, "backup:") }) {
		t.Errorf("no backup among %+v", next)
	}
	if _, text := d.get("/databases/main/health"); strings.Contains(text, "backup-unscheduled") {
		t.Error(text)
	}
}

func TestConfigurationIsTheSpecs(t *testing.T) {
	path := configure(t, t.TempDir(), `{"database": {"path": "data/veritas.db", "max_connections": 5, "connection_timeout": 30, "busy_timeout": 30000,
		"enable_wal_mode": true, "enable_foreign_keys": true}, "connection_pool": {"min_connections": 1, "max_connections": 10}}`)
	s, report, err := Load(holdfast.ConfigSource{Path: path, Env: []string{"HOLDFAST_SERVE_MAX_ROWS=7"}, Overrides: map[string]string{"serve.listen": "127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Databases) != 1 || s.Databases[0].Name != "main" || s.Databases[0].Database.Path != "data/veritas.db" || s.Serve.MaxRows != 7 || s.Serve.Listen != "127.0.0.1:1" {
		t.Errorf("%+v, %+v", s.Serve, s.Databases)
	}
	seen := map[string]string{}
	for _, v := range report.Values {
		seen[v.Key] = v.Origin
	}
	if seen["serve.max_rows"] != "environment" || seen["serve.listen"] != "flag" || seen["serve.drain_timeout"] != "default" {
		t.Errorf("%v", seen)
	}
}

// A panic is one request's business.
func TestPanicIsAnswered(t *testing.T) {
	d := start(t, one, nil)
	handler := d.recovered(d.traffic.count("/x", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("for the test") })))
	w := &recorder{header: http.Header{}}
	r := must(http.NewRequestWithContext(context.Background(), "GET", "/x", nil))
	handler.ServeHTTP(w, r)
	var answer struct{ Error string }
	if err := json.Unmarshal(w.body, &answer); err != nil || w.code != 500 || answer.Error == "" || strings.Contains(answer.Error, "for the test") {
		t.Errorf("%d %s", w.code, w.body)
	}
	if !strings.Contains(d.log.String(), "for the test") {
		t.Error("the log does not tell it")
	}
	d.want(200, `holdfast_http_requests_total{code="500",route="/x"} 1`, "GET", "/metrics", "")
}

type recorder struct {
	header http.Header
	code   int
	body   []byte
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(code int) { r.code = code }

func (r *recorder) Write(p []byte) (int, error) {
	r.body = append(r.body, p...)
	return len(p), nil
}
