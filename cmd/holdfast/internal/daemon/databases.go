package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/alerts"
	"github.com/holdfastdb/holdfast/backup"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/api"
	"github.com/prometheus/client_golang/prometheus"
)

// databases are those that are served.
type databases struct {
	log      *slog.Logger
	registry *prometheus.Registry
	formats  []backup.Format

	mu     sync.Mutex     // guards the rest, and users of each database
	alerts *alerts.Engine // may be nil
	list   []*database
	first  string // the one without a name
	closed bool
}

// database is one of them, with what is kept for it.
type database struct {
	api.Database
	cfg       holdfast.Config
	settings  *holdfast.ConfigReport // that it was opened with
	plan      backup.Plan
	scheduled *backup.Scheduled
	series    []prometheus.Collector

	users int           // requests that have it
	idle  chan struct{} // made by whoever waits for the last of them
}

// What a value or a statement may be at the most when nothing else is configured. The
// writer is everybody's: half a second for one function, as the library allows, is long
// for all others.
const (
	writersValue = 64 << 20
	writersSQL   = 4 << 20
)

// open opens a database for writing, and once more for SQL from outside that reads.
func (ds *databases) open(ctx context.Context, c holdfast.NamedConfig) (_ *database, err error) {
	d := &database{cfg: c.Config}
	d.Name = c.Name
	log := ds.log.With("database", c.Name)
	cfg := c.Config
	cfg.Logger = log
	cfg.Limits.Defensive = true
	if cfg.Limits.ValueLength == 0 {
		cfg.Limits.ValueLength = writersValue
	}
	if cfg.Limits.SQLLength == 0 {
		cfg.Limits.SQLLength = writersSQL
	}
	if d.DB, err = holdfast.OpenConfig(ctx, cfg); err != nil {
		return nil, fmt.Errorf("database %s: %w", c.Name, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("database %s: %w", c.Name, err), d.close(context.WithoutCancel(ctx)))
		}
	}()
	reading := c.Config
	reading.Logger = log
	reading.Limits.UntrustedSQL = true
	reading.Replication, reading.Backup = holdfast.ReplicationConfig{}, holdfast.BackupConfig{}
	if d.Reader, err = holdfast.OpenConfig(ctx, reading); err != nil {
		return nil, err
	}
	plan, err := backup.PlanOf(cfg.Backup, ds.formats...)
	if err != nil {
		return nil, err
	}
	d.plan = plan
	if plan.Destination != "" && (plan.Every > 0 || plan.DrillEvery > 0) {
		plan.Report = func(e backup.Event) { reportBackup(log, e) }
		if d.scheduled, err = backup.Schedule(d.DB, plan); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func reportBackup(log *slog.Logger, e backup.Event) {
	if e.Err != nil {
		return // the schedule has logged it
	}
	log.Info("holdfast: "+e.Task, "path", e.Path, "bytes", e.Backup.Bytes, "removed", len(e.Removed))
}

// close ends what is kept for a database, and closes it.
func (d *database) close(ctx context.Context) error {
	var errs []error
	if d.scheduled != nil {
		errs = append(errs, d.scheduled.Close(ctx))
	}
	for _, db := range []*holdfast.DB{d.Reader, d.DB} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

// add serves one more database, which is as a configuration has it that report is about.
// After an error nothing of it is left.
func (ds *databases) add(ctx context.Context, c holdfast.NamedConfig, report *holdfast.ConfigReport) error {
	d, err := ds.open(ctx, c)
	if err != nil {
		return err
	}
	d.settings = settingsOf(report, c.Name)
	for _, s := range seriesOf(d) {
		if err := ds.registry.Register(s); err != nil {
			ds.unregister(d)
			return errors.Join(fmt.Errorf("database %s: its metrics: %w", c.Name, err), d.close(ctx))
		}
		d.series = append(d.series, s)
	}
	ds.mu.Lock()
	defer ds.mu.Unlock()
	if ds.alerts != nil {
		ds.alerts.Watch(d.Name, d.DB)
	}
	ds.list = append(ds.list, d)
	ds.log.Info("holdfast: a database is served", "database", d.Name, "path", d.DB.Path())
	return nil
}

func (ds *databases) unregister(d *database) {
	for _, s := range d.series {
		ds.registry.Unregister(s)
	}
}

// watchedBy has the databases looked at by another engine; nil is none.
func (ds *databases) watchedBy(e *alerts.Engine) {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	ds.alerts = e
	if e == nil {
		return
	}
	for _, d := range ds.list {
		e.Watch(d.Name, d.DB)
	}
}

// find returns the database of that name, "" being the one that has been chosen for it.
func (ds *databases) find(name string) (*database, func(), bool) {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	if name == "" {
		name = ds.first
	}
	i := slices.IndexFunc(ds.list, func(d *database) bool { return d.Name == name })
	if i < 0 || ds.closed {
		return nil, nil, false
	}
	d := ds.list[i]
	d.users++
	return d, func() { ds.release(d) }, true
}

func (ds *databases) release(d *database) {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	if d.users--; d.users == 0 && d.idle != nil {
		close(d.idle)
		d.idle = nil
	}
}

// all are the databases of this moment, in the order of the file; release gives them back.
func (ds *databases) all() (list []*database, release func()) {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	if ds.closed {
		return nil, func() {}
	}
	list = slices.Clone(ds.list)
	for _, d := range list {
		d.users++
	}
	return list, func() {
		for _, d := range list {
			ds.release(d)
		}
	}
}

// remove stops serving a database and closes it when the last request with it is done,
// or after patience.
func (ds *databases) remove(ctx context.Context, name string, patience time.Duration) error {
	ds.mu.Lock()
	i := slices.IndexFunc(ds.list, func(d *database) bool { return d.Name == name })
	if i < 0 {
		ds.mu.Unlock()
		return nil
	}
	d := ds.list[i]
	ds.list = slices.Delete(ds.list, i, i+1)
	idle, engine := ds.whenIdle(d), ds.alerts
	ds.mu.Unlock()
	if engine != nil {
		engine.Unwatch(name) // it waits for a round that is under way
	}
	wait(idle, patience)
	ds.unregister(d)
	err := d.close(ctx)
	ds.log.Info("holdfast: a database is no longer served", "database", name)
	return err
}

// whenIdle is closed when nobody uses d. ds.mu is held.
func (ds *databases) whenIdle(d *database) <-chan struct{} {
	idle := make(chan struct{})
	if d.users == 0 {
		close(idle)
	} else {
		d.idle = idle
	}
	return idle
}

func wait(done <-chan struct{}, patience time.Duration) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}

// closeAll closes all databases, side by side, when their last requests are done, or after
// patience.
func (ds *databases) closeAll(ctx context.Context, patience time.Duration) error {
	ds.mu.Lock()
	ds.closed = true
	list := ds.list
	idle := make([]<-chan struct{}, len(list))
	for i, d := range list {
		idle[i] = ds.whenIdle(d)
	}
	ds.mu.Unlock()
	errs := make([]error, len(list))
	var closing sync.WaitGroup
	for i, d := range list {
		closing.Go(func() {
			wait(idle[i], patience)
			if err := d.close(ctx); err != nil {
				errs[i] = fmt.Errorf("database %s: %w", d.Name, err)
			}
		})
	}
	closing.Wait()
	return errors.Join(errs...)
}

// readsSuffix makes the name under which the dashboard shows a database's handle for reading.
const readsSuffix = ".reads"

// shown are the handles that the dashboard shows: that of each database, and the one for SQL
// from outside that reads, whose statements count by themselves.
func (ds *databases) shown() map[string]*holdfast.DB {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	handles := make(map[string]*holdfast.DB, 2*len(ds.list))
	for _, d := range ds.list {
		handles[d.Name], handles[d.Name+readsSuffix] = d.DB, d.Reader
	}
	return handles
}

// choose says which database has no name in requests.
func (ds *databases) choose(name string) {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	ds.first = name
}
