package dash

import (
	"bytes"
	"database/sql"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
)

var signedIn = WithAuth(func(r *http.Request) error {
	if _, password, _ := r.BasicAuth(); password != "right" {
		return errors.New("sign in")
	}
	return nil
})

func signIn(r *http.Request) { r.SetBasicAuth("ada", "right") }

// send sends a form as a browser on this machine does.
func send(t *testing.T, h http.Handler, target string, form url.Values, change ...func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	return get(t, h, target, append([]func(*http.Request){func(r *http.Request) {
		r.Method = http.MethodPost
		text := strings.NewReader(form.Encode())
		r.Body, r.ContentLength = io.NopCloser(text), text.Size()
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", "http://localhost")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		signIn(r)
	}}, change...)...)
}

// forms are the hidden fields of a page's forms, by action.
func forms(t *testing.T, page string) map[string]url.Values {
	t.Helper()
	all := map[string]url.Values{}
	for _, m := range regexp.MustCompile(`(?s)<form[^>]*action="[^"]*act/([a-z]+)"[^>]*>(.*?)</form>`).FindAllStringSubmatch(page, -1) {
		form := url.Values{}
		for _, field := range regexp.MustCompile(`type="hidden" name="([^"]*)" value="([^"]*)"`).FindAllStringSubmatch(m[2], -1) {
			form.Set(field[1], field[2])
		}
		if _, there := all[m[1]]; !there {
			all[m[1]] = form
		}
	}
	return all
}

func TestActions(t *testing.T) {
	t.Parallel()
	db := open(t)
	load(t, db)
	var logged bytes.Buffer
	dir := t.TempDir()
	d := Handler(db, signedIn, WithActions(true), WithBackups(dir), WithLogger(slog.New(slog.NewTextHandler(&logged, nil))))
	tx, err := db.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	var n int
	if err := tx.QueryRow("SELECT count(*) FROM orders").Scan(&n); err != nil {
		t.Fatal(err)
	}
	page := get(t, d, "/actions", signIn).Body.String()
	all := forms(t, page)
	for _, c := range []struct{ action, want, says string }{
		{"checkpoint", "done", "frames are in the database"},
		{"optimize", "done", "indexes were counted"},
		{"backup", "done", "verified"},
		{"end", "done", "the read transaction of actions_test.go"},
		{"end", "failed", "nothing was ended"},
	} {
		w := send(t, d, "/act/"+c.action, all[c.action])
		if text := w.Body.String(); w.Code != http.StatusOK || !strings.Contains(text, `class="problem done `+c.want) || !strings.Contains(text, c.says) {
			t.Errorf("%s: %d %s", c.action, w.Code, text)
		}
		if line := logged.String(); !strings.Contains(line, "action="+c.action) || !strings.Contains(line, "peer=127.0.0.1:40000") || !strings.Contains(line, "user=ada") || !strings.Contains(line, "outcome="+c.want) {
			t.Errorf("%s was logged as %s", c.action, line)
		}
		logged.Reset()
	}
	if _, err := tx.Exec("SELECT 1"); !errors.Is(err, holdfast.ErrEvicted) {
		t.Errorf("%v", err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) == 0 || !strings.HasSuffix(files[0].Name(), ".db") {
		t.Errorf("%v, %v", files, err)
	}
	if text := get(t, d, "/actions?lang=de", signIn).Body.String(); strings.Count(text, "<td>ada, 127.0.0.1:40000</td>") != 5 {
		t.Error(text)
	}
}

// TestActionsAreRefused: nothing is done, and it is logged.
func TestActionsAreRefused(t *testing.T) {
	t.Parallel()
	db := open(t)
	load(t, db)
	var logged bytes.Buffer
	d := Handler(db, signedIn, WithActions(true), WithLogger(slog.New(slog.NewTextHandler(&logged, nil))))
	form := forms(t, get(t, d, "/actions", signIn).Body.String())["checkpoint"]
	another := forms(t, get(t, Handler(db, signedIn, WithActions(true)), "/actions", signIn).Body.String())["checkpoint"]
	hour := time.Now().Unix() / int64(tokenTime.Seconds())
	token := func(id, who string, hour int64) url.Values {
		return url.Values{"token": {d.token(place{}, id, who, hour)}}
	}
	ada := httptest.NewRequest(http.MethodGet, "/", nil)
	signIn(ada)
	who := ada.Header.Get("Authorization")
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	for _, c := range []struct {
		name   string
		form   url.Values
		change []func(*http.Request)
		want   int
	}{
		{"without a token", url.Values{}, nil, 403},
		{"with another dashboard's", another, nil, 403},
		{"with another action's", token("optimize", who, hour), nil, 403},
		{"with somebody else's", token("checkpoint", "Basic x", hour), nil, 403},
		{"with an old one", token("checkpoint", who, hour-2), nil, 403},
		{"by another site", form, []func(*http.Request){header("Origin", "https://evil.example")}, 403},
		{"by another site's form", form, []func(*http.Request){header("Sec-Fetch-Site", "cross-site"), header("Sec-Fetch-Mode", "navigate")}, 403},
		{"by another site's form, without an origin", form, []func(*http.Request){func(r *http.Request) { r.Header.Del("Origin") }, header("Sec-Fetch-Site", "cross-site")}, 403},
		{"as JSON", form, []func(*http.Request){header("Content-Type", "application/json")}, 403},
		{"as text", form, []func(*http.Request){header("Content-Type", "text/plain")}, 403},
		{"by GET", form, []func(*http.Request){func(r *http.Request) { r.Method = http.MethodGet }}, 405},
		{"too long", url.Values{"token": form["token"], "x": {strings.Repeat("x", mostForm)}}, nil, 403},
		{"by nobody", form, []func(*http.Request){header("Authorization", "")}, 401},
	} {
		logged.Reset()
		if w := send(t, d, "/act/checkpoint", c.form, c.change...); w.Code != c.want {
			t.Errorf("%s: %d %s", c.name, w.Code, w.Body)
		}
		if c.want == 403 && c.change == nil && logged.Len() == 0 {
			t.Errorf("%s: nothing was logged", c.name)
		}
	}
	if done := d.audit.of(""); len(done) != 0 {
		t.Errorf("%+v", done)
	}
	if w := send(t, d, "/act/checkpoint", token("checkpoint", who, hour-1)); w.Code != http.StatusOK {
		t.Errorf("a form of the hour before: %d %s", w.Code, w.Body)
	}
	if w := send(t, d, "/act/nothing", form); w.Code != http.StatusNotFound {
		t.Errorf("%d", w.Code)
	}
}

// Without both options there are neither buttons nor actions.
func TestActionsAreNotOffered(t *testing.T) {
	t.Parallel()
	db := open(t)
	for name, opts := range map[string][]Option{"by itself": nil, "without auth": {WithActions(true)}, "public": {WithActions(true), WithPublic()}, "auth alone": {signedIn}} {
		d := Handler(db, opts...)
		text := get(t, d, "/actions", signIn).Body.String()
		if strings.Contains(text, "act/") || strings.Contains(text, "token") {
			t.Errorf("%s: %s", name, text)
		}
		form := url.Values{"token": {d.token(place{}, "checkpoint", "Basic YWRhOnJpZ2h0", time.Now().Unix()/int64(tokenTime.Seconds()))}}
		if w := send(t, d, "/act/checkpoint", form); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", name, w.Code)
		}
	}
}

// One at a time.
func TestActionsTakeTurns(t *testing.T) {
	t.Parallel()
	d := Handler(open(t), signedIn, WithActions(true))
	form := forms(t, get(t, d, "/actions", signIn).Body.String())["optimize"]
	d.acting <- struct{}{}
	if w := send(t, d, "/act/optimize", form); w.Code != http.StatusConflict {
		t.Errorf("%d", w.Code)
	}
	<-d.acting
	if w := send(t, d, "/act/optimize", form); w.Code != http.StatusOK {
		t.Errorf("%d", w.Code)
	}
}
