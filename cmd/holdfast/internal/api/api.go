// Package api is the HTTP interface to databases that clients of rqlite speak: its data
// API (https://rqlite.io/docs/api/api/) as a single node can honour it. What it can't is
// refused with the reason.
package api

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/access"
)

// Database is one that requests are about.
type Database struct {
	Name   string
	DB     *holdfast.DB // runs what writes
	Reader *holdfast.DB // the same file, opened WithUntrustedSQL: runs what reads
}

// Limits bound one request.
type Limits struct {
	Body     int64         // bytes of what is sent
	Rows     int           // of one result
	Response int64         // bytes of an answer
	Time     time.Duration // from the end of the body to the answer
}

// Config is what an API needs. All fields must be set.
type Config struct {
	// Find returns the database of that name, "" being the one that "/db/..." means.
	// It stays open until release is called.
	Find   func(name string) (db *Database, release func(), ok bool)
	Limits func() Limits
	// Enter lets a request begin, once it has arrived whole, unless too many are under way.
	Enter   func() (leave func(), ok bool)
	Version string
	Logger  *slog.Logger
}

// API answers requests. It is safe for concurrent use.
type API struct {
	Config
	sequence atomic.Int64 // of the last queued write
	began    time.Time
}

// New returns an API.
func New(c Config) *API {
	a := &API{Config: c, began: time.Now()}
	a.sequence.Store(a.began.UnixNano())
	return a
}

// Route is one way into the daemon.
type Route struct {
	Method, Path string // as http.ServeMux reads them
	Role         access.Role
	Probe        bool // programs ask that name no host
	Handler      http.Handler
}

// Routes are the ways into the API. All but those of a cluster stand twice: for the
// database that is meant without a name, and for each by its name.
func (a *API) Routes() []Route {
	var routes []Route
	for _, prefix := range []string{"/db", "/databases/{name}/db"} {
		add := func(method, path string, role access.Role, f func(*call) error) {
			routes = append(routes, Route{Method: method, Path: prefix + path, Role: role, Handler: a.handler(f)})
		}
		add("GET", "/query", access.Read, (*call).query)
		add("POST", "/query", access.Read, (*call).query)
		add("POST", "/execute", access.Write, (*call).execute)
		add("POST", "/request", access.Write, (*call).request)
		for _, there := range []struct{ method, path, instead string }{
			{"GET", "/backup", "holdfast backup"},
			{"POST", "/load", "holdfast restore"},
			{"POST", "/restore", "holdfast restore"},
		} {
			routes = append(routes, Route{Method: there.method, Path: prefix + there.path, Role: access.Write, Handler: a.absent(there.instead)})
		}
	}
	return append(routes,
		Route{Method: "GET", Path: "/status", Role: access.Read, Handler: http.HandlerFunc(a.status)},
		Route{Method: "GET", Path: "/nodes", Role: access.Read, Handler: http.HandlerFunc(a.nodes)},
	)
}

// absent answers for what rqlite has and this doesn't.
func (a *API) absent(instead string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		access.Refuse(w, http.StatusNotImplemented, fmt.Errorf("the daemon does not do this over HTTP: use %q", instead))
	})
}

// call is one request.
type call struct {
	*API
	w       http.ResponseWriter
	r       *http.Request
	db      *Database
	limits  Limits
	params  params
	reading bool // nothing may write
	began   time.Time
	leave   func() // it is over
}

// httpError is an error with the status that it is answered with.
type httpError struct {
	status int
	error
}

func badRequest(format string, args ...any) error {
	return &httpError{http.StatusBadRequest, fmt.Errorf(format, args...)}
}

func (a *API) handler(f func(*call) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.PathValue("name")
		db, release, ok := a.Find(name)
		if !ok {
			access.Refuse(w, http.StatusNotFound, fmt.Errorf("there is no database %q; /databases lists them", name))
			return
		}
		defer release()
		c := &call{API: a, leave: func() {}, w: w, r: r, db: db, limits: a.Limits()}
		defer func() { c.leave() }()
		var err error
		if c.params, err = parseParams(r); err == nil {
			err = f(c)
		}
		if refused, ok := errors.AsType[*httpError](err); ok {
			access.Refuse(w, refused.status, refused.error)
		} else if err != nil {
			access.Refuse(w, http.StatusInternalServerError, err)
		}
	})
}
