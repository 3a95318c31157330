package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/alerts"
	"github.com/holdfastdb/holdfast/backup"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/access"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/api"
	"github.com/prometheus/client_golang/prometheus"
)

// Options are what the command knows and a configuration doesn't. All fields but Formats
// and Receivers must be set.
type Options struct {
	Load    func() (*Settings, error) // at the start, and on each Reload
	Getenv  func(string) string
	Logger  *slog.Logger
	Version string
	Formats []backup.Format // of archives that backups may be

	// Receivers are those of alerts that package alerts has not itself.
	Receivers func(alerts.Config) ([]alerts.Receiver, error)
}

// Daemon is a running daemon. Reload and Check are safe for concurrent use.
type Daemon struct {
	Options
	databases *databases
	traffic   *traffic
	guard     *access.Guard
	api       *api.API
	pages     pages
	server    *http.Server
	listener  net.Listener

	serve       atomic.Pointer[Config]        // as the last Load has it
	alerts      atomic.Pointer[alerts.Engine] // nil: alerts.enabled is off
	certificate atomic.Pointer[tls.Certificate]
	underWay    atomic.Int64
	stopping    chan struct{} // closed when it is told to stop

	requests context.Context // of all requests
	abandon  context.CancelFunc

	reloading sync.Mutex // held while settings are applied
	settings  *Settings
}

// Start opens the databases and listens. Serve must be called then.
func Start(ctx context.Context, o Options) (_ *Daemon, err error) {
	settings, err := o.Load()
	if err != nil {
		return nil, err
	}
	d := &Daemon{Options: o, settings: settings, stopping: make(chan struct{})}
	tokens, err := settings.loadTokens(o.Getenv, o.Logger)
	if err := errors.Join(err, settings.runnable(tokens)); err != nil {
		return nil, err
	}
	registry := prometheus.NewRegistry()
	d.traffic = newTraffic(registry, func() int { return d.serve.Load().MaxRequests })
	d.databases = &databases{log: o.Logger, registry: registry, formats: o.Formats}
	d.guard = access.New(access.Rules{Tokens: tokens, Hosts: settings.Serve.hosts()})
	d.serve.Store(&settings.Serve)
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close(context.WithoutCancel(ctx), 0))
		}
	}()
	certificate, err := loadCertificate(&settings.Serve)
	if err != nil {
		return nil, err
	}
	d.certificate.Store(certificate)
	if err := d.configureAlerts(settings.Alerts); err != nil {
		return nil, err
	}
	for _, c := range settings.Databases {
		if err := d.databases.add(ctx, c, settings.Report); err != nil {
			return nil, err
		}
	}
	d.databases.choose(settings.first())
	d.requests, d.abandon = context.WithCancel(context.WithoutCancel(ctx))
	d.api = api.New(api.Config{Find: d.find, Limits: d.limits, Enter: d.enter, Version: o.Version, Logger: o.Logger})
	var listen net.ListenConfig
	if d.listener, err = listen.Listen(ctx, "tcp", settings.Serve.Listen); err != nil {
		d.abandon()
		return nil, fmt.Errorf("listen at serve.listen: %w", err)
	}
	d.listener = listener{d.listener}
	d.configurePages(&settings.Serve)
	d.server = d.newServer()
	if !tokens.None() && settings.Serve.TLSCert == "" && !access.IsLoopback(settings.Serve.Listen) {
		o.Logger.Warn("holdfast: tokens travel unencrypted: set serve.tls_cert, or let a proxy on this machine speak TLS", "listen", settings.Serve.Listen)
	}
	return d, nil
}

// first is the name of the database that requests mean without a name.
func (s *Settings) first() string {
	if s.Serve.Database != "" {
		return s.Serve.Database
	}
	return s.Databases[0].Name
}

// Addr is where the daemon listens.
func (d *Daemon) Addr() net.Addr { return d.listener.Addr() }

// DB is the handle of a database that writes, for whoever runs the daemon in a process of
// its own, or nil; "" names the default one. It is closed with the daemon, or by a Reload
// that has it no longer.
func (d *Daemon) DB(name string) *holdfast.DB {
	found, release, ok := d.databases.find(name)
	if !ok {
		return nil
	}
	release()
	return found.Database.DB
}

// URL is where it is found.
func (d *Daemon) URL() string {
	if d.certificate.Load() != nil {
		return "https://" + d.Addr().String()
	}
	return "http://" + d.Addr().String()
}

// Serve answers requests until ctx ends. Then it takes no new ones, lets those that are
// under way finish for serve.drain_timeout, ends the others, and closes the databases.
func (d *Daemon) Serve(ctx context.Context) error {
	served := make(chan error, 1)
	go func() { served <- d.accept() }()
	select {
	case err := <-served: // it can't go on
		return errors.Join(err, d.stop(ctx))
	case <-ctx.Done():
	}
	err := d.stop(context.WithoutCancel(ctx))
	if e := <-served; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(e, err)
	}
	return err
}

func (d *Daemon) accept() error {
	if d.certificate.Load() != nil {
		return d.server.ServeTLS(d.listener, "", "")
	}
	return d.server.Serve(d.listener)
}

func (d *Daemon) stop(ctx context.Context) error {
	close(d.stopping)
	drain := d.serve.Load().DrainTimeout
	d.Logger.Info("holdfast: stopping", "requests_under_way", d.underWay.Load(), "drain_timeout", drain)
	draining, cancel := context.WithTimeout(ctx, drain)
	defer cancel()
	err := d.server.Shutdown(draining)
	d.abandon() // what is left ends now, with an answer that says so
	if errors.Is(err, context.DeadlineExceeded) {
		d.Logger.Warn("holdfast: requests were ended", "requests_under_way", d.underWay.Load())
		err = d.server.Close()
	}
	d.reloading.Lock() // a reload that opens databases ends first
	defer d.reloading.Unlock()
	return errors.Join(err, d.close(ctx, lastWait))
}

// close ends what runs beside the requests, and closes the databases.
func (d *Daemon) close(ctx context.Context, patience time.Duration) error {
	var err error
	if engine := d.alerts.Load(); engine != nil {
		err = engine.Close()
	}
	return errors.Join(err, d.databases.closeAll(ctx, patience))
}

// configureAlerts has the rules looked at as c wants it, and tells whom it names.
func (d *Daemon) configureAlerts(c alerts.Config) (err error) {
	engine := d.alerts.Load()
	if !c.Alerts.Enabled.Enabled() {
		if engine == nil {
			return nil
		}
		d.databases.watchedBy(nil)
		d.alerts.Store(nil)
		return engine.Close()
	}
	var more []alerts.Receiver
	if d.Receivers != nil {
		if more, err = d.Receivers(c); err != nil {
			return err
		}
	}
	c.Logger = d.Logger
	if engine != nil {
		return engine.Configure(c, more...)
	}
	if engine, err = alerts.New(c, more...); err != nil {
		return err
	}
	d.databases.watchedBy(engine)
	d.alerts.Store(engine)
	return nil
}

// lastWait is how long a request that was ended may take to notice, before its database is
// closed.
const lastWait = 500 * time.Millisecond

var errStopping = errors.New("the daemon stops")

// Reload reads the configuration again and applies what can be changed: tokens, limits,
// the certificate, alerts and who is told of them, the dashboard, databases that were added
// or removed. After an error everything is as before.
func (d *Daemon) Reload(ctx context.Context) error {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	select {
	case <-d.stopping:
		return errStopping
	default:
	}
	next, err := d.Load()
	if err != nil {
		return err
	}
	tokens, err := next.loadTokens(d.Getenv, d.Logger)
	if err := errors.Join(err, next.runnable(tokens), d.unchangeable(next)); err != nil {
		return err
	}
	certificate, err := loadCertificate(&next.Serve)
	if err != nil {
		return err
	}
	var added []string
	for _, c := range next.Databases {
		if i := d.settings.index(c.Name); i >= 0 {
			continue
		}
		if err := d.databases.add(ctx, c, next.Report); err != nil {
			for _, name := range added {
				err = errors.Join(err, d.databases.remove(ctx, name, d.serve.Load().DrainTimeout))
			}
			return err
		}
		added = append(added, c.Name)
	}
	d.certificate.Store(certificate)
	d.databases.choose(next.first())
	d.guard.Set(access.Rules{Tokens: tokens, Hosts: next.Serve.hosts()})
	d.serve.Store(&next.Serve)
	errs := []error{d.configureAlerts(next.Alerts)}
	d.configurePages(&next.Serve)
	for _, c := range d.settings.Databases {
		if next.index(c.Name) < 0 {
			errs = append(errs, d.databases.remove(ctx, c.Name, next.Serve.RequestTimeout))
		}
	}
	d.settings = next
	if err := errors.Join(errs...); err != nil { // what was asked for is done all the same
		d.Logger.Error("holdfast: applying the configuration", "error", err)
	}
	return nil
}

func (s *Settings) index(name string) int {
	return slices.IndexFunc(s.Databases, func(d holdfast.NamedConfig) bool { return d.Name == name })
}

// unchangeable finds what takes a restart.
func (d *Daemon) unchangeable(next *Settings) error {
	was, is := d.settings.Serve, next.Serve
	if was.Listen != is.Listen || (was.TLSCert == "") != (is.TLSCert == "") {
		return errors.New("serve.listen, and whether there is serve.tls_cert, change at a restart only; nothing was changed")
	}
	for _, c := range next.Databases {
		i := d.settings.index(c.Name)
		if i < 0 {
			continue
		}
		old := d.settings.Databases[i].Config
		if old.Database.Path != c.Database.Path {
			return fmt.Errorf("database %s: its path changes at a restart only; nothing was changed", c.Name)
		}
		if old != c.Config {
			d.Logger.Warn("holdfast: settings of a database that is open take effect at a restart", "database", c.Name)
		}
	}
	return nil
}

// loadCertificate is nil without TLS.
func loadCertificate(c *Config) (*tls.Certificate, error) {
	if c.TLSCert == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey)
	if err != nil {
		return nil, fmt.Errorf("serve.tls_cert and serve.tls_key: %w", err)
	}
	return &pair, nil
}

func (d *Daemon) find(name string) (*api.Database, func(), bool) {
	found, release, ok := d.databases.find(name)
	if !ok {
		return nil, nil, false
	}
	return &found.Database, release, true
}

func (d *Daemon) limits() api.Limits {
	c := d.serve.Load()
	return api.Limits{Body: c.MaxBody, Rows: c.MaxRows, Response: c.MaxResponse, Time: c.RequestTimeout}
}

// enter lets a request begin to work on a database, unless too many do.
func (d *Daemon) enter() (leave func(), ok bool) {
	if n := d.underWay.Add(1); n > int64(d.serve.Load().MaxRequests) {
		d.underWay.Add(-1)
		d.traffic.refused.Inc()
		return nil, false
	}
	d.traffic.under.Inc()
	return d.left, true
}

func (d *Daemon) left() {
	d.traffic.under.Dec()
	d.underWay.Add(-1)
}

// Check asks every database whether it answers, until ctx ends.
func (d *Daemon) Check(ctx context.Context) map[string]error {
	list, release := d.databases.all()
	defer release()
	answers := make(map[string]error, len(list))
	for _, db := range list {
		answers[db.Name] = db.look(ctx)
	}
	return answers
}
