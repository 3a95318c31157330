package daemon

import (
	"context"
	_ "embed" // openapi.json
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/alerts"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/access"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/api"
	"github.com/holdfastdb/holdfast/metrics"
	"github.com/holdfastdb/holdfast/queries"
)

var errNotAccessible = errors.New("the database can't be read; its health says why")

// own are the routes of the daemon itself.
func (d *Daemon) own() []api.Route {
	route := func(method, path string, role access.Role, f http.HandlerFunc) api.Route {
		return api.Route{Method: method, Path: path, Role: role, Handler: f}
	}
	probe := func(path string, role access.Role, f http.HandlerFunc) api.Route {
		return api.Route{Method: "GET", Path: path, Role: role, Handler: f, Probe: true}
	}
	routes := []api.Route{
		probe("/healthz", access.Public, d.alive),
		probe("/readyz", access.Public, d.ready),
		probe("/metrics", access.Read, metrics.Handler(d.databases.registry).ServeHTTP),
		route("GET", "/openapi.json", access.Public, described),
		route("GET", "/databases", access.Read, d.names),
		route("GET", "/databases/{name}/health", access.Read, d.of(health)),
		route("GET", "/databases/{name}/stats", access.Read, d.of(stats)),
		route("GET", "/databases/{name}/locks", access.Read, d.of(locks)),
		route("GET", "/databases/{name}/queries", access.Read, d.of(told)),
		route("DELETE", "/databases/{name}/queries", access.Write, d.of(forget)),
	}
	for _, r := range []struct {
		method, path string
		role         access.Role
	}{
		{"GET", "/alerts", access.Read},
		{"GET", "/alerts/rules", access.Read},
		{"GET", "/alerts/objectives", access.Read},
		{"POST", "/alerts/test", access.Write},
		{"POST", "/alerts/silences", access.Write},
		{"DELETE", "/alerts/silences/{id}", access.Write},
	} {
		routes = append(routes, route(r.method, r.path, r.role, d.rules))
	}
	return routes
}

// rules answers for the alerts.
func (d *Daemon) rules(w http.ResponseWriter, r *http.Request) {
	if engine := d.alerts.Load(); engine != nil {
		alerts.Handler(engine).ServeHTTP(w, r)
		return
	}
	access.Refuse(w, http.StatusNotFound, errors.New("alerts are off: alerts.enabled turns them on"))
}

// openAPI describes the routes. A test keeps it true.
//
//go:embed openapi.json
var openAPI []byte

func described(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_, _ = w.Write(openAPI)
}

// alive says that the process answers, which is all that /healthz is about.
func (d *Daemon) alive(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("ok\n"))
}

// readyWithin is how long the databases may take to say that they are.
const readyWithin = 2 * time.Second

// ready says whether requests are worth sending, in the form that rqlite has, with a line
// for each database.
func (d *Daemon) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyWithin)
	defer cancel()
	lines := []string{"[+]node ok", "[+]leader ok", "[+]store ok"}
	code := http.StatusOK
	if d.isStopping() {
		lines[0], code = "[-]node is stopping", http.StatusServiceUnavailable
	}
	answers := d.Check(ctx)
	names := make([]string, 0, len(answers))
	for name := range answers {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if answers[name] == nil {
			lines = append(lines, "[+]database "+name+" ok")
			continue
		}
		// Why is for those who may read; this is for anybody.
		d.Logger.Warn("holdfast: a database is not ready", "database", name, "error", answers[name])
		lines, code = append(lines, "[-]database "+name+" does not answer"), http.StatusServiceUnavailable
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = w.Write([]byte(strings.Join(lines, "\n") + "\n"))
}

func (d *Daemon) isStopping() bool {
	select {
	case <-d.stopping:
		return true
	default:
		return false
	}
}

// namesAnswer lists the databases.
type namesAnswer struct {
	Schema    string      `json:"schema"`
	Databases []nameEntry `json:"databases"`
}

type nameEntry struct {
	Name    string `json:"name"`
	Default bool   `json:"default"` // /db/... is about it
	Path    string `json:"path"`
}

func (d *Daemon) names(w http.ResponseWriter, r *http.Request) {
	list, release := d.databases.all()
	defer release()
	answer := namesAnswer{Schema: "holdfast.databases/v1", Databases: []nameEntry{}}
	first, done, ok := d.databases.find("")
	if ok {
		defer done()
	}
	for _, db := range list {
		answer.Databases = append(answer.Databases, nameEntry{db.Name, db == first, db.DB.Path()})
	}
	reply(w, r, answer, nil)
}

// of is a handler that needs the database of the address.
func (d *Daemon) of(f func(context.Context, *database) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		db, release, ok := d.databases.find(r.PathValue("name"))
		if !ok {
			access.Refuse(w, http.StatusNotFound, fmt.Errorf("there is no database %q; /databases lists them", r.PathValue("name")))
			return
		}
		defer release()
		ctx, cancel := context.WithTimeout(r.Context(), d.serve.Load().RequestTimeout)
		defer cancel()
		answer, err := f(ctx, db)
		reply(w, r, answer, err)
	}
}

func reply(w http.ResponseWriter, r *http.Request, v any, err error) {
	var text []byte
	if err == nil {
		if r.URL.Query().Has("pretty") {
			text, err = json.MarshalIndent(v, "", "    ")
		} else {
			text, err = json.Marshal(v)
		}
	}
	if err != nil {
		access.Refuse(w, http.StatusInternalServerError, err)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_, _ = w.Write(append(text, '\n'))
}

// healthAnswer is what holdfast health reads.
type healthAnswer struct {
	Schema string `json:"schema"`
	holdfast.Health
	Processes []holdfast.ProcessHealth `json:"processes"`
	Blind     []string                 `json:"blind"`
}

func health(ctx context.Context, db *database) (any, error) {
	h, err := db.DB.Health(ctx)
	return healthAnswer{"holdfast.health/v1", h, []holdfast.ProcessHealth{}, []string{}}, err
}

func stats(_ context.Context, db *database) (any, error) {
	return struct {
		Schema string         `json:"schema"`
		Writer holdfast.Stats `json:"database"`
		Reads  holdfast.Stats `json:"reads"` // of the handle for SQL from outside
	}{"holdfast.stats/v1", db.DB.Stats(), db.Reader.Stats()}, nil
}

// LocksAnswer is what holdfast top reads.
type LocksAnswer struct {
	Schema      string              `json:"schema"`
	Locks       holdfast.LockReport `json:"locks"`
	Reads       holdfast.LockReport `json:"reads"` // of the handle for SQL from outside
	At          time.Time           `json:"at"`
	PID         int                 `json:"pid"`
	Program     string              `json:"program"`
	Path        string              `json:"path"`
	Bytes       int64               `json:"bytes"`
	PageSize    int64               `json:"page_size"`
	JournalMode string              `json:"journal_mode"`
}

func locks(ctx context.Context, db *database) (any, error) {
	h, err := db.DB.Health(ctx)
	if err != nil {
		return nil, err
	}
	answer := LocksAnswer{
		Schema: "holdfast.daemon.locks/v1", At: time.Now().UTC(), PID: os.Getpid(), Program: filepath.Base(os.Args[0]),
		Path: h.File.Path, Bytes: h.File.Bytes, PageSize: h.PageSize, JournalMode: h.File.JournalMode,
	}
	if answer.Locks, err = db.DB.Locks(ctx); err != nil {
		return nil, err
	}
	answer.Reads, err = db.Reader.Locks(ctx)
	return answer, err
}

// QueriesAnswer is what holdfast queries reads.
type QueriesAnswer struct {
	Schema    string                    `json:"schema"`
	Processes []holdfast.ProcessQueries `json:"processes"`
}

// told puts together what the two handles of a database have counted.
func told(ctx context.Context, db *database) (any, error) {
	var reports []queries.Report
	for _, handle := range []*holdfast.DB{db.DB, db.Reader} {
		report, err := handle.Queries(ctx)
		if err != nil {
			return nil, err
		}
		reports = append(reports, report)
	}
	return QueriesAnswer{"holdfast.daemon.queries/v1", []holdfast.ProcessQueries{
		{PID: os.Getpid(), Program: filepath.Base(os.Args[0]), Report: queries.Merge(reports...)},
	}}, nil
}

func forget(_ context.Context, db *database) (any, error) {
	db.DB.ResetQueries()
	db.Reader.ResetQueries()
	return struct {
		Schema string `json:"schema"`
		Reset  bool   `json:"reset"`
	}{"holdfast.daemon.reset/v1", true}, nil
}
