package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/backup"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/exitcode"
	"github.com/holdfastdb/holdfast/replicate/objects"
)

// place is where backups are kept, or one of them: by its path, or by its URL.
type place struct {
	path  string
	store objects.Store // of a URL, else nil
	file  string        // in the store; "" names all that is there
}

func openPlace(ctx context.Context, name string) (place, error) {
	if !objects.IsURL(name) {
		return place{path: name}, nil
	}
	store, file, err := objects.Open(ctx, name)
	return place{name, store, file}, backupFailed(err)
}

func (p place) close() {
	if p.store != nil {
		_ = p.store.Close() // nothing is written by it
	}
}

// many tells whether it is where backups are kept, and not one of them.
func (p place) many() bool {
	if p.store != nil {
		return p.file == ""
	}
	fi, err := os.Stat(p.path)
	return err == nil && fi.IsDir()
}

func (p place) target(scratch string) backup.Target {
	if p.store != nil {
		return backup.Remote(p.store, scratch)
	}
	return backup.Directory(p.path)
}

// source is the one backup that it is.
func (p place) source(formats []backup.Format) backup.Source {
	if p.store != nil {
		return backup.Stored(p.store, p.file, formats...)
	}
	return backup.Open(p.path, formats...)
}

// sources are the one backup that it is, or all that are there.
func (p place) sources(ctx context.Context, formats []backup.Format) ([]backup.Source, error) {
	if !p.many() {
		return []backup.Source{p.source(formats)}, nil
	}
	target := p.target("")
	entries, err := target.List(ctx, formats...)
	if err != nil {
		return nil, backupFailed(err)
	}
	if len(entries) == 0 {
		return nil, exitcode.With(exitcode.Missing, fmt.Errorf("%s has no backups", p.path))
	}
	var sources []backup.Source
	for _, e := range entries {
		sources = append(sources, target.Open(e, formats...))
	}
	return sources, nil
}

// sourcesOf are the backups that these names say. close them at the end.
func sourcesOf(ctx context.Context, names []string, formats []backup.Format) (sources []backup.Source, done func(), err error) {
	var open []place
	done = func() {
		for _, p := range open {
			p.close()
		}
	}
	for _, name := range names {
		p, err := openPlace(ctx, name)
		if err == nil {
			open = append(open, p)
			var some []backup.Source
			some, err = p.sources(ctx, formats)
			sources = append(sources, some...)
		}
		if err != nil {
			done()
			return nil, nil, err
		}
	}
	return sources, done, nil
}

// create makes a backup there, or, if it is the path of no directory, under that name.
func (p place) create(ctx context.Context, db *holdfast.DB, scratch string, format backup.Format, progress func(backup.Progress), options []holdfast.BackupOption) (backup.Info, error) {
	if p.store != nil {
		return p.target(scratch).Create(ctx, db, format, progress, options...)
	}
	return backup.Create(ctx, db, p.path, format, progress, options...)
}

// scratchOf is where a backup of that name is restored to for a drill.
func scratchOf(name string) string {
	if objects.IsURL(name) {
		return os.TempDir()
	}
	return filepath.Dir(name)
}

// destinationOf is where the backup of that name is kept, as records call it.
func destinationOf(name string) string {
	if u, err := url.Parse(name); err == nil && objects.IsURL(name) {
		u.Path = strings.TrimSuffix(path.Dir(u.Path), "/")
		return u.String()
	}
	return filepath.Dir(name)
}

// openSource is what a name says there is to restore the database at path from: one
// backup, or the newest of the database where there are many. close it at the end.
func openSource(ctx context.Context, name, path string, formats []backup.Format) (src backup.Source, done func(), err error) {
	p, err := openPlace(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	if !p.many() {
		return p.source(formats), p.close, nil
	}
	target := p.target("")
	newest, err := newestBackup(ctx, target, name, path, formats)
	if err != nil {
		p.close()
		return nil, nil, err
	}
	return target.Open(newest, formats...), p.close, nil
}

// newestBackup finds the newest verified backup of the database at path: those that were
// taken of it and archives, which don't say. Where there are none, as on another machine,
// it is that of a database of its name, if all are of one.
func newestBackup(ctx context.Context, target backup.Target, where, path string, formats []backup.Format) (newest backup.Entry, err error) {
	entries, err := target.List(ctx, formats...)
	if err != nil {
		return newest, backupFailed(err)
	}
	source := holdfast.Redacted(path)
	if !isAddress(path) {
		source = resolved(path)
	}
	name := backup.DatabaseName(source)
	entries = slices.DeleteFunc(entries, func(e backup.Entry) bool { return !e.Verified || e.Database != name })
	if len(entries) == 0 {
		return newest, exitcode.With(exitcode.Missing, fmt.Errorf("%s has no verified backup of a database named %s; holdfast backup --list shows what is there", where, name))
	}
	if slices.ContainsFunc(entries, func(e backup.Entry) bool { return e.Source == source }) {
		entries = slices.DeleteFunc(entries, func(e backup.Entry) bool { return e.Source != source && e.Source != "" })
	} else if first := slices.IndexFunc(entries, func(e backup.Entry) bool { return e.Source != "" }); first >= 0 {
		for _, e := range entries[first:] {
			if e.Source != "" && e.Source != entries[first].Source {
				return newest, exitcode.Usagef("%s has backups of %s and of %s: name the one to restore", where, entries[first].Source, e.Source)
			}
		}
	}
	return entries[0], nil
}

// verifyStored reads a backup that a URL names: quick compares it with what was written
// down when it was made, full also restores it to a directory and checks that.
func (a *app) verifyStored(ctx context.Context, name string, level holdfast.VerifyLevel, directory string) error {
	start := time.Now()
	p, err := openPlace(ctx, name)
	if err != nil {
		return err
	}
	defer p.close()
	if p.many() {
		return exitcode.Usagef("%s is where backups are kept: name one (holdfast backup --list), or check all of them (holdfast backup --check)", name)
	}
	if directory == "" {
		directory = os.TempDir()
	}
	formats, err := readingFormats("")
	if err != nil {
		return err
	}
	progress, done := a.progress()
	var info holdfast.BackupInfo
	if level == holdfast.VerifyFull {
		info, err = backup.Drill(ctx, p.source(formats), directory, steps(progress))
	} else {
		info, err = backup.Verify(ctx, p.source(formats), steps(progress))
	}
	done()
	answer := verifyAnswer{Schema: "holdfast.verify/v1", Database: name}
	answer.VerifyReport = holdfast.VerifyReport{OK: err == nil, Level: level, Problems: []string{}, Pages: info.Pages, OnCopy: true, Finished: time.Now().UTC()}
	switch {
	case errors.Is(err, holdfast.ErrCorrupt):
		answer.Problems = []string{err.Error()}
	case err != nil:
		return backupFailed(err)
	}
	answer.DurationSeconds = seconds(time.Since(start))
	return a.printVerify(answer)
}
