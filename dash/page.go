package dash

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast"
)

// A page is one page about one database. Its heading is the text "ID.title", what it is
// about "ID.about", its content the template "ID" in templates/ID.html.
type page struct {
	id     string
	params []string // what its address may say, besides lang and theme
	detail bool     // it is reached from another page and not in the menu
	// view returns what the page shows: a struct with JSON tags, without markup. It may
	// read v.watch, ask v.db, and has to end with ctx.
	view func(ctx context.Context, v *visit) (any, error)
}

// pages are all pages, in the order of the menu.
func pages() []page {
	return []page{
		overviewPage(),
		queriesPage(),
		queryPage(),
		locksPage(),
		poolPage(),
		walPage(),
		storagePage(),
		backupsPage(),
		maintenancePage(),
		alertsPage(),
		environmentPage(),
		actionsPage(),
	}
}

// address is the page's own part of the address.
func (p page) address() string {
	if p.id == "overview" || p.id == "cluster" { // the first of a file's, and of a cluster's
		return ""
	}
	return p.id
}

// errNotFound is what a view returns if what the address names is not there.
var errNotFound = errors.New("not found")

// A visit is one look at a page: what its view is made from.
type visit struct {
	*options
	db     *holdfast.DB
	place  place
	page   page
	watch  *watch
	text   *text
	params url.Values // those that the page knows
	kept   url.Values // lang and theme, if the address says them
	now    time.Time
	keep   time.Duration              // how long what is shown stays as it is; 0 is a second
	token  func(action string) string // for a form; nil if there is none
	who    string                     // a sum of what somebody has signed in with
	shared map[string]bool            // the chapters of the file that this is for; nil if it is a page
}

// choice is a parameter of the address; the first of the options if it is none of them.
func (v *visit) choice(name string, options ...string) string {
	if value := v.params.Get(name); slices.Contains(options, value) {
		return value
	}
	return options[0]
}

// key names what is shown: visits with the same key share it. Tokens in it are of no use
// to others.
func (v *visit) key() string {
	return strings.Join([]string{v.place.base, v.page.id, v.text.lang, v.kept.Encode(), v.params.Encode(), v.who}, "\x00")
}

// to is the address of a page of the same database, relative to this one; pairs are
// its parameters. The time range goes along.
func (v *visit) to(id string, pairs ...string) string {
	if v.shared != nil {
		return v.within(id, pairs)
	}
	q := url.Values{}
	if r := v.params.Get("range"); r != "" {
		q.Set("range", r)
	}
	return v.address(id, q, pairs)
}

// with is the address of this page with other parameters; an empty value takes one away.
func (v *visit) with(pairs ...string) string {
	if v.shared != nil {
		return "#" + chapterOf(v.page.id, v.params)
	}
	q := url.Values{}
	for name, values := range v.params {
		q[name] = values
	}
	return v.address(v.place.rest, q, pairs)
}

// within is the place of a page in a file with all of them.
func (v *visit) within(id string, pairs []string) string {
	params := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		params.Set(pairs[i], pairs[i+1])
	}
	if chapter := chapterOf(id, params); v.shared[chapter] {
		return "#" + chapter
	}
	return "#main"
}

func (v *visit) address(path string, q url.Values, pairs []string) string {
	for name, values := range v.kept {
		q[name] = values
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		if q.Del(pairs[i]); pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	to := v.place.root() + v.place.base + page{id: path}.address()
	if len(q) > 0 {
		to += "?" + q.Encode()
	}
	return to
}

// scene is what the layout shows: a content, and what stands around it.
type scene struct {
	*visit
	Lang, Theme  string
	Title, About string
	Name         string // at the top
	Root         string
	Version      string
	Menu         []item
	ids          []string // of all pages
	Databases    []item
	Live         string // where news of the content come from
	Content      template.HTML
	At           time.Time
	Whose        string // figures these are, if not this process\'s
	Done         *deed  // by the form that this answers
	Problem      string // why the content is old; "" if it is not
}

// item is a line of a menu.
type item struct {
	Title, To string
	Here      bool
}

func (d *Dashboard) scene(v *visit, e *entry) *scene {
	s := d.bare(v)
	s.Whose = v.whose()
	s.Content, s.At = template.HTML(e.content), e.at //nolint:gosec // it was made by a template
	if e.err != nil {
		s.Problem = v.stale(e)
	}
	s.Title, s.About = v.text.T(v.page.id+".title"), v.text.T(v.page.id+".about")
	q := url.Values{"page": {v.page.id}}
	for name, values := range v.params {
		q[name] = values
	}
	s.Live = v.address("live", q, nil)
	return s
}

// stale says since when there are no data, and why.
func (v *visit) stale(e *entry) string {
	return v.text.T("layout.stale", v.text.Dur(time.Since(e.at).Round(time.Second).Seconds()), e.err.Error())
}

// bare is a scene without content.
func (d *Dashboard) bare(v *visit) *scene {
	s := &scene{visit: v, Lang: v.text.lang, Theme: v.kept.Get("theme"), Root: v.place.root(), Version: d.version, Name: d.nameOf(v)}
	if v.db != nil {
		for _, p := range d.pagesOf(v.db) {
			if !p.detail && (p.id != "actions" || d.mayAct()) {
				s.Menu = append(s.Menu, item{v.text.T(p.id + ".title"), v.to(p.id), p.id == v.page.id})
			}
		}
	}
	if !d.single {
		for _, name := range d.names() {
			to := *v
			to.place.base = "d/" + url.PathEscape(name) + "/"
			s.Databases = append(s.Databases, item{name, to.to("overview"), name == v.place.name})
		}
	}
	return s
}

func (d *Dashboard) nameOf(v *visit) string {
	switch {
	case d.title != "":
		return d.title
	case v.db != nil && d.single:
		return ownName(v.db, v.text.T("layout.memory"))
	}
	return "Holdfast"
}

func (d *Dashboard) names() []string {
	var names []string
	for name := range d.databases() {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// To, With and T are for templates.
func (s *scene) To(id string, pairs ...string) string { return s.to(id, pairs...) }

// With is the address of this page with other parameters.
func (s *scene) With(pairs ...string) string { return s.with(pairs...) }

// Path is the address below the database's pages.
func (s *scene) Path(path string, pairs ...string) string {
	return s.address(path, url.Values{}, pairs)
}

// part is what a content's template gets.
type part struct {
	*scene
	View any // what the page's view has returned
}

func (d *Dashboard) render(v *visit, id string, model any) ([]byte, error) {
	var b bytes.Buffer
	s := &scene{visit: v, Lang: v.text.lang, Theme: v.kept.Get("theme"), Root: v.place.root(), At: v.now}
	for _, p := range d.pagesOf(v.db) {
		s.ids = append(s.ids, p.id)
	}
	if err := d.views[v.text.lang][id].ExecuteTemplate(&b, "content", part{s, model}); err != nil {
		return nil, fmt.Errorf("show %s: %w", id, err)
	}
	return b.Bytes(), nil
}

// write writes a whole page, or an error page, once all of it is there.
func (d *Dashboard) write(w http.ResponseWriter, status int, layout string, s *scene) {
	var b bytes.Buffer
	if err := d.views[s.Lang][""].ExecuteTemplate(&b, layout, s); err != nil {
		d.logger.Error("holdfast: a page of the dashboard can't be shown", "error", err)
		http.Error(w, "this page failed; the program's log says why", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Add("Vary", "Accept, Accept-Language")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}

// failure is an error page's content.
type failure struct {
	Status int
	Error  string
}

func (d *Dashboard) fail(w http.ResponseWriter, r *http.Request, at place, status int, err error) {
	p, _ := d.pageOf(at.db, at.rest)
	v := d.visit(r, at, page{id: "error", params: p.params}) // the same, should it be asked for again
	if wantsJSON(r) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]string{"schema": "holdfast.dash.error/v1", "error": err.Error()})
		return
	}
	s := d.bare(v)
	s.Title = v.text.T(fmt.Sprintf("error.%d", status))
	content, failed := d.render(v, "error", failure{status, err.Error()})
	if failed != nil {
		http.Error(w, err.Error(), status)
		return
	}
	s.Content = template.HTML(content) //nolint:gosec // it was made by a template
	d.write(w, status, "layout", s)
}

// wantsJSON reports whether a program asks.
func wantsJSON(r *http.Request) bool {
	switch r.URL.Query().Get("format") {
	case "json":
		return true
	case "html":
		return false
	}
	for _, kind := range strings.Split(r.Header.Get("Accept"), ",") {
		switch kind, _, _ := mime.ParseMediaType(kind); kind {
		case "application/json":
			return true
		case "text/html":
			return false
		}
	}
	return false
}

// document is a page as JSON.
type document struct {
	Schema   string    `json:"schema"`
	Database string    `json:"database"`
	At       time.Time `json:"at"`
	Error    string    `json:"error,omitempty"` // why View is missing, or from an earlier time: At
	View     any       `json:"view,omitempty"`
}

func (d *Dashboard) writeJSON(w http.ResponseWriter, v *visit, e *entry) {
	doc := document{Schema: "holdfast.dash." + v.page.id + "/v1", Database: v.place.name, At: e.at.UTC(), View: e.model}
	if d.single {
		doc.Database = ownName(v.db, "")
	}
	status := http.StatusOK
	if e.err != nil {
		doc.Error = e.err.Error()
		if e.content == nil {
			status = statusOf(e.err)
		}
	}
	text, err := json.Marshal(doc)
	if err != nil {
		d.logger.Error("holdfast: a page of the dashboard can't be told as JSON", "page", v.page.id, "error", err)
		http.Error(w, `{"error":"this page can't be told as JSON"}`, http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Add("Vary", "Accept, Accept-Language")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n'))
}

// Hidden are the parameters that a form has to carry along, besides those of its own fields.
func (s *scene) Hidden(fields ...string) map[string]string {
	all := map[string]string{}
	for _, q := range []url.Values{s.kept, s.params} {
		for name := range q {
			if !slices.Contains(fields, name) {
				all[name] = q.Get(name)
			}
		}
	}
	return all
}

// Shared reports whether this is for a file, where nothing can be sent and nothing changes.
func (s *scene) Shared() bool { return s.shared != nil }

// Token is what a form for an action carries; "" where nothing can be done.
func (s *scene) Token(action string) string {
	if s.token == nil || s.shared != nil {
		return ""
	}
	return s.token(action)
}

// Has reports whether there is a page.
func (s *scene) Has(id string) bool { return slices.Contains(s.ids, id) }

// Place is the database's name among several.
func (s *scene) Place() string { return s.place.name }

// Kept is the query of an address that keeps language and theme.
func (s *scene) Kept() string { return s.kept.Encode() }

// Ranges are the stretches of time that a page may show, Range the one that is shown.
func (s *scene) Ranges() []string { return ranges }

// Range is the stretch of time that is shown.
func (s *scene) Range() string { name, _ := s.stretch(); return name }
