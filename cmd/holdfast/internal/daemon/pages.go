package daemon

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/alerts"
	"github.com/holdfastdb/holdfast/backup"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/access"
	"github.com/holdfastdb/holdfast/dash"
)

// pages are the dashboard as the configuration wants it.
type pages struct {
	shown atomic.Pointer[dash.Dashboard] // nil: serve.dash is off

	mu     sync.Mutex // guards the rest
	ended  bool
	wanted wanted
}

// wanted is what makes another dashboard.
type wanted struct {
	on, actions bool
	alerts      *alerts.Engine
}

// end ends the streams, for good.
func (p *pages) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	if shown := p.shown.Load(); shown != nil {
		_ = shown.Close()
	}
}

// configurePages makes the dashboard anew, if it is to be another one. Those who look at it get
// the new one: their streams end. Forms that were sent out before are too old then.
func (d *Daemon) configurePages(c *Config) {
	p := &d.pages
	p.mu.Lock()
	defer p.mu.Unlock()
	want := wanted{c.Dash.Enabled(), c.Actions, d.alerts.Load()}
	if p.ended || want == p.wanted {
		return
	}
	p.wanted = want
	var next *dash.Dashboard
	if want.on {
		next = dash.Databases(d.databases.shown, d.pageOptions(want)...)
	}
	if was := p.shown.Swap(next); was != nil {
		_ = was.Close()
	}
}

func (d *Daemon) pageOptions(want wanted) []dash.Option {
	options := []dash.Option{
		dash.WithTitle("Holdfast"), dash.WithLogger(d.Logger), dash.WithActions(want.actions),
		dash.WithAuth(func(*http.Request) error { return nil }), // the guard has asked
		dash.WithConfig(d.databases.configured), dash.WithBackupsOf(d.databases.backupOf),
	}
	if want.alerts != nil {
		options = append(options, dash.WithAlerts(want.alerts))
	}
	return options
}

// shown answers with a page. The guard decides who may see them, and who may use them: what
// isn't only read takes a token to write with.
func (d *Daemon) shown() http.Handler {
	missing := d.guard.Require(access.Public, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		access.Refuse(w, http.StatusNotFound, errors.New("there is nothing at this address; /openapi.json says what there is"))
	}))
	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if shown := d.pages.shown.Load(); shown != nil {
			shown.ServeHTTP(w, r)
			return
		}
		missing.ServeHTTP(w, r)
	})
	seen, used := d.guard.Require(access.Read, page), d.guard.Require(access.Write, page)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case d.pages.shown.Load() == nil:
			missing.ServeHTTP(w, r)
		case r.Method == http.MethodGet || r.Method == http.MethodHead:
			seen.ServeHTTP(w, r)
		default:
			used.ServeHTTP(w, r)
		}
	})
}

// configured are the settings that the database of a page was opened with.
func (ds *databases) configured(name string) *holdfast.ConfigReport {
	name, _ = strings.CutSuffix(name, readsSuffix)
	d, release, ok := ds.find(name)
	if !ok {
		return nil
	}
	defer release()
	return d.settings
}

// settingsOf is the part of a report that is about one database: keys that it states itself
// are in place of those of the whole file.
func settingsOf(report *holdfast.ConfigReport, name string) *holdfast.ConfigReport {
	if report == nil {
		return nil
	}
	const several = "databases."
	own := map[string]holdfast.ConfigValue{}
	for _, v := range report.Values {
		if key, ok := strings.CutPrefix(v.Key, several+name+"."); ok {
			v.Key = key
			own[key] = v
		}
	}
	of := &holdfast.ConfigReport{}
	for _, v := range report.Values {
		if strings.HasPrefix(v.Key, several) {
			continue
		}
		if stated, ok := own[v.Key]; ok {
			v = stated
		}
		of.Values = append(of.Values, v)
	}
	for _, note := range report.Notes {
		if about, ok := strings.CutPrefix(note, several+name+": "); ok {
			note = about
		} else if strings.HasPrefix(note, several) {
			continue
		}
		of.Notes = append(of.Notes, note)
	}
	return of
}

// backupOf is what the button does for a database: a backup as its configuration wants
// it. Nil if there is no place for one.
func (ds *databases) backupOf(name string) dash.BackupFunc {
	d, release, ok := ds.find(name)
	if !ok || name == "" {
		return nil
	}
	defer release()
	plan := d.plan
	if plan.Destination == "" {
		return nil
	}
	return func(ctx context.Context) (holdfast.BackupInfo, error) {
		d, release, ok := ds.find(name)
		if !ok {
			return holdfast.BackupInfo{}, holdfast.ErrClosed
		}
		defer release()
		info, err := backup.Directory(plan.Destination).Create(ctx, d.DB, plan.Format, nil, plan.Options...)
		if err != nil {
			return info.BackupInfo, err
		}
		made := backup.Event{Task: "backup", At: time.Now(), Backup: info, Path: info.Destination}
		reportBackup(ds.log.With("database", name), made)
		if err := backup.Note(made, plan.Destination); err != nil {
			ds.log.Warn("holdfast: a backup is good, and its time could not be put on record", "database", name, "error", err)
		}
		return info.BackupInfo, nil
	}
}
