package dash

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
)

// open makes a database with two tables, which is checked at the end.
func open(t *testing.T) *holdfast.DB {
	t.Helper()
	db, err := holdfast.Open(t.Context(), filepath.Join(t.TempDir(), "shop.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		var verdict string
		if err := db.QueryRow("PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
			t.Errorf("integrity_check: %s, %v", verdict, err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	run(t, db, "CREATE TABLE customers(id INTEGER PRIMARY KEY, city TEXT)")
	run(t, db, "CREATE TABLE orders(id INTEGER PRIMARY KEY, customer INTEGER, status TEXT)")
	run(t, db, "INSERT INTO customers(city) VALUES ('Bremen')")
	return db
}

func run(t *testing.T, db *holdfast.DB, sql string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

// get asks the handler as a browser on this machine does.
func get(t testing.TB, h http.Handler, target string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost"+target, nil)
	r.RemoteAddr = "127.0.0.1:40000"
	r.Header.Set("Accept", "text/html")
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// shown is get of a page that has to be there.
func shown(t *testing.T, h http.Handler, target string) string {
	t.Helper()
	w := get(t, h, target)
	if w.Code != http.StatusOK {
		t.Fatalf("%s: %d %s", target, w.Code, w.Body)
	}
	return w.Body.String()
}

var hrefs = regexp.MustCompile(`(?:href|src|action)="([^"]*)"`)

// addressOf is a page's address with what it needs.
func addressOf(t *testing.T, db *holdfast.DB, p page) string {
	t.Helper()
	if p.id != "query" {
		return "/" + p.address()
	}
	r, err := db.QueryCounts()
	if err != nil || len(r.Queries) == 0 {
		t.Fatalf("no statement was counted: %v", err)
	}
	return "/query?id=" + r.Queries[0].ID
}

// TestEveryPage looks at each page in both languages and as JSON, and follows each of its
// links to pages.
func TestEveryPage(t *testing.T) {
	t.Parallel()
	db := open(t)
	d := Handler(db)
	for _, p := range d.pages {
		address := addressOf(t, db, p)
		for _, lang := range []string{"en", "de"} {
			text := get(t, d, address, func(r *http.Request) { r.Header.Set("Accept-Language", lang+"-XX, fr;q=0.4") })
			body := text.Body.String()
			if text.Code != http.StatusOK || !strings.HasPrefix(text.Header().Get("Content-Type"), "text/html") {
				t.Fatalf("%s: %d %s", address, text.Code, body)
			}
			for _, part := range []string{`<html lang="` + lang + `"`, "<h1>" + d.texts[lang].T(p.id+".title") + "</h1>", `<main id="main"`, "</html>"} {
				if !strings.Contains(body, part) {
					t.Errorf("%s in %s: no %s", address, lang, part)
				}
			}
			for what, bad := range map[string]string{
				"an inline style": ` style="`, "an inline script": "<script>", "a handler": ` onclick=`, "a value that Go could not print": "%!",
				"a template that failed": "ZgotmplZ", "NaN": ">NaN", "a key without text": p.id + ".about<",
			} {
				if strings.Contains(body, bad) {
					t.Errorf("%s in %s has %s", address, lang, what)
				}
			}
			for _, m := range hrefs.FindAllStringSubmatch(body, -1) {
				if to := m[1]; !strings.HasPrefix(to, "#") && !strings.HasPrefix(to, "./") && !strings.Contains(body, `href="`+to+`" rel="noreferrer"`) {
					t.Errorf("%s has the address %q, which depends on where the handler is mounted", address, to)
				}
			}
			levels(t, address, body)
		}
		told := get(t, d, address, func(r *http.Request) { r.Header.Set("Accept", "application/json") })
		var doc struct {
			Schema string         `json:"schema"`
			View   map[string]any `json:"view"`
		}
		if err := json.Unmarshal(told.Body.Bytes(), &doc); err != nil || doc.Schema != "holdfast.dash."+p.id+"/v1" || len(doc.View) == 0 {
			t.Errorf("%s as JSON: %v: %s", address, err, told.Body)
		}
	}
}

var heading = regexp.MustCompile(`<h([1-6])`)

// levels checks that none is left out on the way down, and that there is one h1.
func levels(t *testing.T, address, body string) {
	t.Helper()
	last, first := 0, 0
	for _, m := range heading.FindAllStringSubmatch(body, -1) {
		level := int(m[1][0] - '0')
		if level > last+1 {
			t.Errorf("%s: h%d comes after h%d", address, level, last)
		}
		if level == 1 {
			first++
		}
		last = level
	}
	if first != 1 {
		t.Errorf("%s has %d h1", address, first)
	}
}

// TestLinksHold follows the links of all pages, for one and for several databases.
func TestLinksHold(t *testing.T) {
	t.Parallel()
	db := open(t)
	for name, h := range map[string]http.Handler{
		"one":     http.StripPrefix("/debug/x", Handler(db)),
		"several": Databases(func() map[string]*holdfast.DB { return map[string]*holdfast.DB{"a/b ü?": db, "b": db} }, WithPrefix("/debug/x/")),
	} {
		seen := map[string]bool{}
		todo := []string{"/debug/x/?lang=de&theme=dark", "/debug/x/"}
		for len(todo) > 0 {
			at := todo[0]
			todo = todo[1:]
			if seen[at] || len(seen) > 400 {
				continue
			}
			seen[at] = true
			w := get(t, h, at)
			if w.Code != http.StatusOK {
				t.Errorf("%s: %s: %d", name, at, w.Code)
			}
			if !strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") {
				continue
			}
			from := httptest.NewRequest(http.MethodGet, "http://localhost"+at, nil).URL
			for _, m := range hrefs.FindAllStringSubmatch(w.Body.String(), -1) {
				to, err := from.Parse(strings.ReplaceAll(m[1], "&amp;", "&"))
				if err != nil {
					t.Fatal(err)
				}
				if to.Fragment != "" || strings.Contains(to.Path, "/act/") {
					continue
				}
				q := to.Query()
				for _, name := range []string{"lang", "theme", "range", "sort"} { // which lead to the same links
					q.Del(name)
				}
				to.RawQuery = q.Encode()
				todo = append(todo, to.RequestURI())
			}
		}
		if len(seen) < 12 {
			t.Errorf("%s: only %d addresses were seen", name, len(seen))
		}
	}
}

func TestWithoutSlash(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.StripPrefix("/debug/x", Handler(open(t))))
	defer server.Close()
	answer, err := server.Client().Get(server.URL + "/debug/x?lang=de")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if text, _ := io.ReadAll(answer.Body); answer.Request.URL.Path != "/debug/x/" || !strings.Contains(string(text), `<html lang="de"`) {
		t.Errorf("%s: %s", answer.Request.URL, text)
	}
}

func TestNotFound(t *testing.T) {
	t.Parallel()
	db := open(t)
	several := Databases(func() map[string]*holdfast.DB { return map[string]*holdfast.DB{"a": db} })
	for _, target := range []string{"/nothing", "/d/b/", "/d/a/nothing", "/d/a", "/assets/nothing", "/assets/../dash.go", "/d/%2e%2e/"} {
		if w := get(t, several, target); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", target, w.Code)
		}
	}
	w := get(t, Handler(db), "/nothing?format=json")
	if w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), `"schema":"holdfast.dash.error/v1"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// A database that was closed, or that comes under a name while the handler runs.
func TestDatabasesComeAndGo(t *testing.T) {
	t.Parallel()
	first, second := open(t), open(t)
	now := map[string]*holdfast.DB{"a": first}
	d := Databases(func() map[string]*holdfast.DB { return now })
	shown(t, d, "/d/a/")
	now = map[string]*holdfast.DB{"b": second}
	if w := get(t, d, "/d/a/"); w.Code != http.StatusNotFound {
		t.Errorf("%d", w.Code)
	}
	shown(t, d, "/d/b/")
	if text := shown(t, d, "/"); !strings.Contains(text, ">b</a>") || strings.Contains(text, ">a</a>") {
		t.Error(text)
	}
	if len(d.watches) != 1 {
		t.Errorf("%d databases are watched", len(d.watches))
	}
}

// What was seen last stays, with a word that it is old, when a page fails.
func TestStale(t *testing.T) {
	t.Parallel()
	db, err := holdfast.Open(t.Context(), filepath.Join(t.TempDir(), "gone.db"))
	if err != nil {
		t.Fatal(err)
	}
	d := Handler(db)
	shown(t, d, "/")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for _, s := range d.cache.slots { // a second passes
		s.made = time.Time{}
	}
	d.watches[""].healthAt = time.Time{}
	text := shown(t, d, "/")
	_, problem, _ := strings.Cut(text, `aria-live="polite">`)
	problem, _, _ = strings.Cut(problem, "<")
	if !strings.HasPrefix(problem, "No data for ") || !strings.Contains(problem, "closed") || !strings.Contains(text, "Commits") {
		t.Errorf("%q in %s", problem, text)
	}
	if w := get(t, Handler(db), "/"); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "closed") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestStream(t *testing.T) {
	t.Parallel()
	db := open(t)
	d := Handler(db)
	server := httptest.NewServer(d)
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/live?page=overview&lang=de", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if kind := answer.Header.Get("Content-Type"); answer.StatusCode != http.StatusOK || kind != "text/event-stream" {
		t.Fatalf("%d %s", answer.StatusCode, kind)
	}
	if head := get(t, d, "/live?page=overview", func(r *http.Request) { r.Method = http.MethodHead }); head.Code != http.StatusOK || head.Body.Len() != 0 {
		t.Errorf("%d %s", head.Code, head.Body)
	}
	events := json.NewDecoder(dataOnly{answer.Body, nil})
	for i := range 3 {
		run(t, db, "INSERT INTO orders(customer) VALUES (1)")
		var n news
		if err := events.Decode(&n); err != nil {
			t.Fatal(err)
		}
		if i == 0 && !strings.Contains(n.Regions["cards"], "Schreibvorgänge") {
			t.Errorf("%+v", n)
		}
		if n.At.IsZero() || n.Problem != "" {
			t.Errorf("%+v", n)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		t.Errorf("the stream did not end by itself: %v", err)
	}
}

// dataOnly leaves of an event stream what stands behind "data: ".
type dataOnly struct {
	r    io.Reader
	left []byte
}

func (d dataOnly) Read(p []byte) (int, error) {
	n, err := d.r.Read(p)
	text := strings.NewReplacer("retry: 2000", "           ", "data: ", "      ").Replace(string(p[:n]))
	return copy(p, text), err
}

// TestSharedBetweenViewers counts how often a page is made for many who look.
func TestSharedBetweenViewers(t *testing.T) {
	t.Parallel()
	d := Handler(open(t))
	made := 0
	d.pages[0].view = func(context.Context, *visit) (any, error) { made++; return &overview{Status: "ok"}, nil }
	begin := time.Now()
	for range 50 {
		shown(t, d, "/")
	}
	if most := int(time.Since(begin)/fresh) + 1; made > most {
		t.Errorf("made %d times, not %d", made, most)
	}
	shown(t, d, "/?range=1h")
	if made < 2 {
		t.Error("another range is the same page")
	}
}

func TestSlowPageEnds(t *testing.T) {
	t.Parallel()
	d := Handler(open(t))
	var left time.Duration
	d.pages[0].view = func(ctx context.Context, _ *visit) (any, error) {
		until, _ := ctx.Deadline()
		left = time.Until(until)
		return nil, context.DeadlineExceeded
	}
	if w := get(t, d, "/"); w.Code != http.StatusServiceUnavailable || left <= 0 || left > pageTime {
		t.Errorf("%d, %s", w.Code, left)
	}
	d.pages[0].view = func(context.Context, *visit) (any, error) { panic("at the view") }
	if w := get(t, d, "/?range=1h"); w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "at the view") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if len(d.working) != 0 {
		t.Error("a page that panicked still works")
	}
}
