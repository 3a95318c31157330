package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strings"

	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/access"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/api"
)

// headerBytes is the most that the header of a request may have.
const headerBytes = 32 << 10

func (d *Daemon) newServer() *http.Server {
	c := d.serve.Load()
	routes := d.routes()
	s := &http.Server{
		Handler:           d.recovered(d.secured(routes)),
		ReadHeaderTimeout: c.HeaderTimeout,
		ReadTimeout:       c.ReadTimeout,
		WriteTimeout:      2*c.ReadTimeout + c.RequestTimeout, // to read it, to work, and to give the answer
		IdleTimeout:       c.IdleTimeout,
		MaxHeaderBytes:    headerBytes,
		BaseContext:       func(net.Listener) context.Context { return d.requests },
		ErrorLog:          slog.NewLogLogger(d.Logger.Handler(), slog.LevelDebug), // handshakes that failed, headers that were none
		ConnState:         (&connections{most: mostConnections(c.MaxRequests), ended: d.traffic.ended.Inc}).changed,
	}
	s.RegisterOnShutdown(d.pages.end)
	if d.certificate.Load() != nil {
		s.TLSConfig = &tls.Config{
			MinVersion:     tls.VersionTLS12,
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return d.certificate.Load(), nil },
		}
	}
	return s
}

// routes is everything there is.
func (d *Daemon) routes() http.Handler {
	mux := http.NewServeMux()
	methods := map[string][]string{}
	for _, r := range d.all() {
		guarded := d.guard.Require(r.Role, r.Handler)
		if r.Probe {
			guarded = d.guard.Probe(r.Role, r.Handler)
		}
		mux.Handle(r.Method+" "+r.Path, d.traffic.count(r.Path, guarded))
		methods[r.Path] = append(methods[r.Path], r.Method)
	}
	for path, allowed := range methods {
		mux.Handle(path, d.traffic.count(path, d.guard.Require(access.Public, notAllowed(allowed))))
	}
	mux.Handle("/", d.traffic.count("/", d.shown()))
	return mux
}

// notAllowed answers methods that an address does not take.
func notAllowed(allowed []string) http.Handler {
	list := strings.Join(allowed, ", ")
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Allow", list)
		access.Refuse(w, http.StatusMethodNotAllowed, errors.New("this address takes "+list))
	})
}

// all are the routes of the daemon.
func (d *Daemon) all() []api.Route {
	return append(d.api.Routes(), d.own()...)
}

// secured sets what every answer says to a browser. A handler of pages may say more.
func (d *Daemon) secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h["X-Content-Type-Options"] = nosniff
		h["Cache-Control"] = noStore
		h["Content-Security-Policy"] = noContent
		h["X-Frame-Options"] = deny
		h["Referrer-Policy"] = noReferrer
		next.ServeHTTP(w, r)
	})
}

// Never written to; a slice made for each request was a twentieth of a small one's memory.
var (
	nosniff    = []string{"nosniff"}
	noStore    = []string{"no-store"}
	noContent  = []string{"default-src 'none'; frame-ancestors 'none'"}
	deny       = []string{"DENY"}
	noReferrer = []string{"no-referrer"}
)

// recovered answers a panic with 500. Its cause is the log's business.
func (d *Daemon) recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(p)
			}
			d.Logger.Error("holdfast: a request panicked", "method", r.Method, "path", r.URL.Path, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			access.Refuse(w, http.StatusInternalServerError, errors.New("the daemon failed to answer this; its log says why"))
		}()
		next.ServeHTTP(w, r)
	})
}
