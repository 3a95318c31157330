package dash

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast"
)

// Dashboard is the http.Handler of a database's pages, or of several. It is safe for
// concurrent use, and starts no goroutine: what runs, runs in requests.
type Dashboard struct {
	options
	databases func() map[string]*holdfast.DB
	single    bool
	pages     []page                                   // about a file
	ofCluster []page                                   // about a cluster
	views     map[string]map[string]*template.Template // by language and page
	texts     map[string]*text
	assets    map[string]asset
	version   string // of the assets
	cache     cache
	closed    chan struct{}
	close     sync.Once
	streams   chan struct{} // as many as may be open
	working   chan struct{} // as many pages as may be made at once
	acting    chan struct{} // full while an action is under way
	secret    []byte        // what the tokens of forms are made with
	cross     *http.CrossOriginProtection

	mu      sync.Mutex
	watches map[string]*watch
}

const (
	pageTime    = 3 * time.Second // the most that a page takes
	mostStreams = 64
	mostWorking = 8
)

// Handler shows one database. The caller keeps it open as long as requests come; afterwards
// pages say that it is closed.
func Handler(db *holdfast.DB, opts ...Option) *Dashboard {
	d := newDashboard(func() map[string]*holdfast.DB { return map[string]*holdfast.DB{"": db} }, opts)
	d.single = true
	return d
}

// Databases shows several databases, under names that are parts of addresses: the first
// page lists them. It asks for them in each request, so they may come and go; databases
// has to be quick and safe for concurrent use, and what it returned must not change.
func Databases(databases func() map[string]*holdfast.DB, opts ...Option) *Dashboard {
	return newDashboard(databases, opts)
}

func newDashboard(databases func() map[string]*holdfast.DB, opts []Option) *Dashboard {
	d := &Dashboard{
		databases: databases, pages: pages(), ofCluster: clusterPages(), views: map[string]map[string]*template.Template{},
		closed: make(chan struct{}), watches: map[string]*watch{}, streams: make(chan struct{}, mostStreams),
		working: make(chan struct{}, mostWorking), acting: make(chan struct{}, 1), secret: make([]byte, 32),
		cross: http.NewCrossOriginProtection(),
	}
	_, _ = rand.Read(d.secret) // it never fails
	d.audit = new(audit)
	d.logger = slog.New(slog.DiscardHandler)
	for _, o := range opts {
		o(&d.options)
	}
	d.texts = catalogue()
	d.assets, d.version = loadAssets()
	for lang, t := range d.texts {
		d.views[lang] = parseViews(slices.Concat(d.pages, d.ofCluster), t)
	}
	return d
}

// Close ends the streams by which open pages are kept up to date, so that
// http.Server.Shutdown has nothing to wait for: give it to RegisterOnShutdown. Pages
// can still be read.
func (d *Dashboard) Close() error {
	d.close.Do(func() { close(d.closed) })
	return nil
}

// ServeHTTP answers a request.
func (d *Dashboard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer d.recovered(w, r)
	d.secure(w.Header())
	if refusal := d.refusal(r); refusal != nil {
		http.Error(w, refusal.why, refusal.status)
		return
	}
	path, ok := strings.CutPrefix(r.URL.EscapedPath(), d.prefix)
	switch {
	case !ok || path != "" && path[0] != '/':
		http.NotFound(w, r)
	case path == "":
		toDirectory(w, r)
	default:
		d.route(w, r, path)
	}
}

// recovered turns a panic into an answer, and the log's business.
func (d *Dashboard) recovered(w http.ResponseWriter, r *http.Request) {
	switch p := recover(); p {
	case nil:
	case http.ErrAbortHandler:
		panic(p)
	default:
		d.logger.Error("holdfast: a page of the dashboard panicked", "page", r.URL.Path, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		http.Error(w, "this page failed; the program's log says why", http.StatusInternalServerError)
	}
}

// toDirectory sends on who left the slash away, without knowing under which address
// the handler is mounted.
func toDirectory(w http.ResponseWriter, r *http.Request) {
	path, query, _ := strings.Cut(r.RequestURI, "?")
	last := path[strings.LastIndexByte(path, '/')+1:]
	if query != "" {
		query = "?" + query
	}
	w.Header().Set("Location", "./"+last+"/"+query)
	w.WriteHeader(http.StatusTemporaryRedirect)
}

// A place is where in the dashboard a request is.
type place struct {
	path string // below the prefix, escaped
	name string // of the database; "" if there is only one, or none is meant
	base string // of the database's pages, below the prefix: "" or "d/NAME/"
	rest string // what stands after the base
	db   *holdfast.DB
}

// root is the way from the page back to the first one.
func (p place) root() string {
	if n := strings.Count(p.path, "/"); n > 1 {
		return strings.Repeat("../", n-1)
	}
	return "./"
}

func (d *Dashboard) route(w http.ResponseWriter, r *http.Request, path string) {
	if name, ok := strings.CutPrefix(path, "/assets/"); ok {
		d.serveAsset(w, r, name)
		return
	}
	at, err := d.place(path)
	switch {
	case err != nil:
		d.fail(w, r, at, http.StatusNotFound, err)
	case at.db == nil:
		d.serveList(w, r, at)
	case strings.HasPrefix(at.rest, "act/"):
		d.act(w, r, at, strings.TrimPrefix(at.rest, "act/"))
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "this page is only read", http.StatusMethodNotAllowed)
	case at.rest == "live":
		d.serveLive(w, r, at)
	case at.rest == "share":
		d.serveShare(w, r, at)
	default:
		d.servePage(w, r, at)
	}
}

var errNoSuchPage = errors.New("there is no such page")

// place finds out which database and page are meant.
func (d *Dashboard) place(path string) (place, error) {
	at := place{path: path, rest: path[1:]}
	all := d.databases()
	if d.single {
		at.db = all[""]
		return at, nil
	}
	if path == "/" {
		return at, nil
	}
	escaped, rest, found := strings.Cut(strings.TrimPrefix(path, "/d/"), "/")
	name, err := url.PathUnescape(escaped)
	if !strings.HasPrefix(path, "/d/") || err != nil || !found {
		return at, errNoSuchPage
	}
	at.name, at.base, at.rest, at.db = name, "d/"+url.PathEscape(name)+"/", rest, all[name]
	if at.db == nil {
		return at, fmt.Errorf("there is no database %q", name)
	}
	return at, nil
}

// pageOf returns the page about a database with an address; the first one has none.
func (d *Dashboard) pageOf(db *holdfast.DB, address string) (page, bool) {
	pages := d.pagesOf(db)
	i := slices.IndexFunc(pages, func(p page) bool { return p.address() == address })
	if i < 0 {
		return page{}, false
	}
	return pages[i], true
}

func (d *Dashboard) servePage(w http.ResponseWriter, r *http.Request, at place) {
	p, ok := d.pageOf(at.db, at.rest)
	if !ok {
		d.fail(w, r, at, http.StatusNotFound, noPage(at))
		return
	}
	v := d.visit(r, at, p)
	e := d.look(r.Context(), v)
	if wantsJSON(r) {
		d.writeJSON(w, v, e)
		return
	}
	if e.content == nil {
		d.fail(w, r, at, statusOf(e.err), e.err)
		return
	}
	d.write(w, http.StatusOK, "layout", d.scene(v, e))
}

// statusOf is the answer to who asked for something that failed.
func statusOf(err error) int {
	if errors.Is(err, errNotFound) {
		return http.StatusNotFound
	}
	return http.StatusServiceUnavailable
}

// visit is what a page is made from.
func (d *Dashboard) visit(r *http.Request, at place, p page) *visit {
	asked := r.URL.Query()
	v := &visit{
		db: at.db, place: at, page: p, watch: d.watchOf(at), text: d.texts[language(r)], options: &d.options,
		kept: url.Values{}, params: url.Values{},
	}
	if d.mayAct() {
		hour, who := time.Now().Unix()/int64(tokenTime.Seconds()), r.Header.Get("Authorization")
		v.token = func(id string) string { return d.token(at, id, who, hour) }
		v.who = fmt.Sprintf("%x", sha256.Sum256([]byte(who)))
	}
	if _, shown := d.pageOf(at.db, p.address()); shown {
		v.place.rest = p.address() // also for what comes by the stream
	}
	for _, name := range []string{"lang", "theme"} {
		if value := asked.Get(name); slices.Contains(choices[name], value) {
			v.kept.Set(name, value)
		}
	}
	for _, name := range p.params {
		if value := asked.Get(name); value != "" && len(value) <= 200 {
			v.params.Set(name, value)
		}
	}
	return v
}

// choices are what a reader may choose for all pages.
var choices = map[string][]string{"lang": {"en", "de"}, "theme": {"light", "dark"}}

// look makes the content of a page, or takes that of the last second.
func (d *Dashboard) look(ctx context.Context, v *visit) *entry {
	return d.cache.get(ctx, v.key(), func(ctx context.Context) *entry {
		ctx, cancel := context.WithTimeout(ctx, pageTime)
		defer cancel()
		e := &entry{at: time.Now()}
		select {
		case d.working <- struct{}{}:
			defer func() { <-d.working }()
		case <-ctx.Done():
			e.err = ctx.Err()
			return e
		}
		v.now = e.at
		v.watch.sample(ctx, e.at)
		if e.model, e.err = v.page.view(ctx, v); e.err != nil {
			return e
		}
		e.keep = v.keep
		e.content, e.err = d.render(v, v.page.id, e.model)
		return e
	})
}
