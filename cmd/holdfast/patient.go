package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/exitcode"
	"github.com/holdfastdb/holdfast/locks"
)

// patient is a database, anybody's, that is looked at and not changed.
type patient struct {
	app   *app
	quick bool // wait for no lock for long
	db    *holdfast.DB
	seen  *locks.Report
	alone bool        // read as a file that nobody writes
	was   fs.FileInfo // of the file, if alone
}

// quickly is how long a look at a database waits for locks in all.
const quickly = 250 * time.Millisecond

// openPatient opens a database for reading only, and quickly or with the patience
// of the settings. If there is a patient, the error is about the opening alone.
//
// A connection to a database in WAL mode creates the -wal and the -shm, and one
// that only reads can't remove them again. So where both are missing, which means
// that nobody has it open, it is read without: as immutable. Whoever comes
// meanwhile is noticed afterwards, see disturbed.
func (a *app) openPatient(ctx context.Context, path string, quick bool) (*patient, error) {
	w, err := locks.NewWatcher(path)
	if err != nil {
		return nil, locksError(err)
	}
	p := &patient{app: a, quick: quick}
	if p.seen, err = w.Look(ctx); err != nil {
		return nil, locksError(err)
	}
	p.alone = p.seen.JournalMode == "wal" && !isThere(p.seen.Path+"-wal") && !isThere(p.seen.Path+"-shm")
	if p.alone {
		if p.was, err = os.Stat(p.seen.Path); err != nil {
			return nil, err
		}
	}
	return p, p.open(ctx)
}

// isThere tells whether a file has anything in it.
func isThere(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Size() > 0
}

func (p *patient) open(ctx context.Context) error {
	path := p.seen.Path
	if p.alone {
		slashed := filepath.ToSlash(path)
		if !strings.HasPrefix(slashed, "/") { // a drive letter
			slashed = "/" + slashed
		}
		path = "file:" + strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(slashed) + "?immutable=1"
	}
	cfg, err := p.app.settings(path)
	if err != nil {
		return err
	}
	cfg.Database.ReadOnly = true
	cfg.Logger = nil // the answer says it
	if p.quick {
		cfg.Database.BusyTimeout = min(cfg.Database.BusyTimeout, quickly)
		if cfg.Database.BusyTimeout <= 0 {
			cfg.Database.BusyTimeout = quickly
		}
	}
	p.db, err = holdfast.OpenConfig(ctx, cfg)
	if e, ok := errors.AsType[*holdfast.Error](err); ok && e.Code == cantOpen && isThere(p.seen.Path+"-wal") && !isThere(p.seen.Path+"-shm") {
		return exitcode.With(exitcode.Permission, fmt.Errorf("%s has a log without its -shm, and that can't be created in %s; run this as a user who may: %w",
			p.seen.Path, filepath.Dir(p.seen.Path), err))
	}
	return err
}

// examine runs f, and once more with locks if somebody came while it ran without.
func (p *patient) examine(ctx context.Context, f func(*holdfast.DB) error) error {
	err := f(p.db)
	if !p.disturbed() || ctx.Err() != nil {
		return err
	}
	p.close()
	p.alone = false
	if err := p.open(ctx); err != nil {
		return err
	}
	return f(p.db)
}

// disturbed tells whether somebody has used the file since it was opened without
// locks.
func (p *patient) disturbed() bool {
	if !p.alone {
		return false
	}
	now, err := os.Stat(p.seen.Path)
	return err != nil || !os.SameFile(now, p.was) || now.Size() != p.was.Size() || !now.ModTime().Equal(p.was.ModTime()) ||
		isThere(p.seen.Path+"-wal") || isThere(p.seen.Path+"-shm")
}

func (p *patient) close() {
	if p.db != nil {
		p.app.closeDatabase(p.db)
		p.db = nil
	}
}

// ailing makes a finding of an error by which a database could not be opened, if
// it is about what is in it and no reason to give up.
func ailing(path string, err error) (f holdfast.Finding, ok bool) {
	e, is := errors.AsType[*holdfast.Error](err)
	if !is {
		return f, false
	}
	f = holdfast.Finding{Severity: "warning", Evidence: err.Error()}
	switch {
	case errors.Is(err, holdfast.ErrCorrupt) && e.Code != notADatabase:
		f.ID, f.Severity, f.Summary = "corrupt", "critical", "The database is damaged"
		f.Fix = "stop writing, keep " + path + " with its -wal and -shm, and restore a checked backup"
	case errors.Is(err, holdfast.ErrBusy):
		f.ID, f.Summary, f.Fix = "locked", "The database can't be read at the moment", "holdfast locks "+path+" says who keeps it"
	case e.ExtendedCode == readOnlyRollback || e.ExtendedCode == readOnlyRecovery:
		f.ID, f.Summary = "crash-left", "A writer crashed, and what it left has to be played back before anybody can read"
		f.Fix = "open the database once for writing: holdfast exec " + path + " 'SELECT 1'"
	default:
		return f, false
	}
	return f, true
}

// See https://www.sqlite.org/rescode.html.
const (
	cantOpen         = 14  // SQLITE_CANTOPEN
	notADatabase     = 26  // SQLITE_NOTADB
	readOnlyRecovery = 264 // SQLITE_READONLY_RECOVERY
)
