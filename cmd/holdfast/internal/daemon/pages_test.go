package daemon

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/metrics"
)

var formToken = regexp.MustCompile(`(?s)action="([^"]*act/(\w+))".*?name="token" value="([^"]+)"`)

// form is what the button of an action sends; nil if there is none.
func (r *running) form(action string) url.Values {
	r.t.Helper()
	_, page := r.get("/d/main/actions")
	for _, found := range formToken.FindAllStringSubmatch(page, -1) {
		if found[2] == action {
			return url.Values{"token": {found[3]}}
		}
	}
	return nil
}

func (r *running) press(action string, form url.Values, header ...string) (int, string) {
	r.t.Helper()
	header = append([]string{"Content-Type", "application/x-www-form-urlencoded", "Origin", r.URL()}, header...)
	return r.do("POST", "/d/main/act/"+action, form.Encode(), header...)
}

var bothTokens = map[string]string{"HOLDFAST_READ_TOKEN": "0123456789abcdef-read", "HOLDFAST_WRITE_TOKEN": "0123456789abcdef-write"}

// Buttons that do something are for those who may write, and only where the configuration
// offers them. Each press is logged.
func TestActionsOfTheDashboard(t *testing.T) {
	d := start(t, `{"database": {"path": "DIR/app.db"}, "serve": {"listen": "127.0.0.1:0", "actions": true}}`, bothTokens)
	press := func(token string) (int, string) {
		d.token = token
		return d.press("checkpoint", d.form("checkpoint"))
	}
	if code, text := press("0123456789abcdef-read"); code != 403 {
		t.Errorf("with a token to read: %d %.200s", code, text)
	}
	if code, text := press("0123456789abcdef-write"); code >= 400 {
		t.Errorf("with a token to write: %d %.200s", code, text)
	}
	if log := d.log.String(); !strings.Contains(log, "action=checkpoint") || !strings.Contains(log, "outcome=done") || strings.Contains(log, "0123456789abcdef") {
		t.Errorf("the log: %s", log)
	}
	for what, refused := range map[string]func() (int, string){
		"no token of the form": func() (int, string) { return d.press("checkpoint", url.Values{}) },
		"that of another form": func() (int, string) { return d.press("checkpoint", d.form("optimize")) },
		"another page's": func() (int, string) {
			return d.press("checkpoint", d.form("checkpoint"), "Origin", "http://evil.example")
		},
	} {
		if code, text := refused(); code != 403 {
			t.Errorf("%s: %d %.200s", what, code, text)
		}
	}
	if d.form("backup") != nil {
		t.Error("there is a button for backups, and no place for them")
	}
	d.token = "0123456789abcdef-read"
	d.want(200, "", "GET", "/d/main/alerts", "")

	without := start(t, one, bothTokens)
	without.token = "0123456789abcdef-write"
	if without.form("checkpoint") != nil {
		t.Error("there are buttons without serve.actions")
	}
}

// The button makes the backup that the configuration wants, and puts it on record; the pages tell where
// settings come from.
func TestThePagesKnowTheConfiguration(t *testing.T) {
	d := start(t, `{"database": {"path": "DIR/other.db"}, "databases": {"main": {"database": {"path": "DIR/app.db"}, "backup": {"destination": "DIR/kept"}, "limits": {"sql_length": 777777}}},
		"serve": {"listen": "127.0.0.1:0", "actions": true}}`, bothTokens)
	d.token = "0123456789abcdef-write"
	d.write("/db/execute", "CREATE TABLE t(a)")
	kept := filepath.Join(d.dir, "kept")
	if err := os.Mkdir(kept, 0o700); err != nil {
		t.Fatal(err)
	}
	if code, text := d.press("backup", d.form("backup")); code != 200 || !strings.Contains(text, `class="problem done done"`) {
		t.Errorf("%d %s", code, text)
	}
	made, err := filepath.Glob(filepath.Join(kept, "*.db"))
	if err != nil || len(made) != 1 {
		t.Fatalf("%q, %v", made, err)
	}
	whole(t, kept)
	if s := d.DB("").Stats(); s.Backup.LastBackup.IsZero() && len(s.Backup.Places) == 0 {
		t.Errorf("the backup is not on record: %+v", s.Backup)
	}
	d.want(200, "777777", "GET", "/d/main/environment", "")
	d.want(200, "777777", "GET", "/d/main.reads/environment", "")
	if d.form("backup") == nil || d.databases.backupOf("main.reads") != nil {
		t.Error("the button is not where it belongs")
	}
}

// SIGHUP turns the dashboard, its buttons and the alerts on and off, and tells others.
func TestReloadOfPagesAndAlerts(t *testing.T) {
	told := make(chan string, 100)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { told <- r.URL.Path }))
	defer receiver.Close()
	config := func(alerts, serve string) string {
		return `{"database": {"path": "DIR/app.db"}, "alerts": {` + alerts + `}, "serve": {"listen": "127.0.0.1:0"` + serve + `}}`
	}
	d := start(t, config(`"enabled": false`, `, "dash": false`), bothTokens)
	d.token = "0123456789abcdef-write"
	reload := func(alerts, serve string) {
		t.Helper()
		configure(t, d.dir, config(alerts, serve))
		if err := d.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	d.want(404, "openapi", "GET", "/d/main/actions", "")
	d.want(404, "alerts are off", "GET", "/alerts", "")
	reload(`"webhook": "`+receiver.URL+`/one"`, `, "actions": true`)
	if d.form("checkpoint") == nil {
		t.Error("no buttons after a reload with serve.actions")
	}
	d.want(200, `"name": "log"`, "GET", "/alerts", "")
	d.want(200, `"receiver": "webhook`, "POST", "/alerts/test", "{}", "Content-Type", "application/json")
	if got := <-told; got != "/one" {
		t.Errorf("%s was told", got)
	}
	d.want(200, `"name": "main"`, "GET", "/alerts", "") // it is watched
	reload(`"webhook": "`+receiver.URL+`/two"`, "")
	if d.form("checkpoint") != nil {
		t.Error("buttons after a reload without serve.actions")
	}
	d.want(200, `"receiver": "webhook`, "POST", "/alerts/test", "{}", "Content-Type", "application/json")
	if got := <-told; got != "/two" {
		t.Errorf("%s was told", got)
	}
	reload(`"enabled": false`, `, "dash": false`)
	d.want(404, "openapi", "GET", "/d/main/actions", "")
	d.want(404, "alerts are off", "GET", "/alerts", "")
	if log := d.log.String(); strings.Contains(log, "applying the configuration") {
		t.Errorf("the log: %s", log)
	}
}

// Of a database that can't be served nothing is left: it can be served when that is mended.
func TestADatabaseThatIsNotAddedLeavesNothing(t *testing.T) {
	d := start(t, one, nil)
	other, err := holdfast.Open(t.Context(), filepath.Join(d.dir, "taken.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	taken := metrics.Prometheus(other, metrics.Name("more/reads")) // the second of the series
	d.databases.registry.MustRegister(taken)
	more := holdfast.NamedConfig{Name: "more", Config: holdfast.Config{Database: holdfast.DatabaseConfig{Path: filepath.Join(d.dir, "more.db")}}}
	if err := d.databases.add(t.Context(), more, nil); err == nil {
		t.Fatal("it was added, and its series were taken")
	}
	if families, err := d.databases.registry.Gather(); err != nil || strings.Contains(text(families), `"more"`) {
		t.Errorf("its first series are left: %v", err)
	}
	d.databases.registry.Unregister(taken)
	if err := d.databases.add(t.Context(), more, nil); err != nil {
		t.Errorf("after that: %v", err)
	}
	d.want(200, "ok", "GET", "/databases/more/health", "")
}

func text[T interface{ String() string }](list []T) string {
	var b strings.Builder
	for _, v := range list {
		b.WriteString(v.String())
	}
	return b.String()
}
