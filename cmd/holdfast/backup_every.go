package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/backup"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/exitcode"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/output"
	"github.com/holdfastdb/holdfast/locks"
)

// everyAnswer is one line of backup --every --json.
type everyAnswer struct {
	Schema string    `json:"schema"`
	Event  string    `json:"event"` // "backup" or "drill"
	At     time.Time `json:"at"`
	OK     bool      `json:"ok"`
	Path   string    `json:"path"`
	Error  string    `json:"error,omitempty"`
	backup.Info
	Removed []string `json:"removed"`
}

// backupEvery makes backups until it is interrupted, which is its proper end.
func (a *app) backupEvery(ctx context.Context, path, dst string, r backupRequest) error {
	if isAddress(path) {
		return exitcode.Usagef("--every keeps its record beside a file: run \"holdfast backup\" by a timer of the system")
	}
	where, err := openPlace(ctx, dst)
	if err != nil {
		return err
	}
	defer where.close()
	retention, format, err := r.settle(where)
	if err != nil {
		return err
	}
	reading, err := readingFormats(r.identity)
	if err != nil {
		return err
	}
	switch {
	case a.format != output.Table && a.format != output.JSON && a.format != output.JSONL:
		return exitcode.Usagef("--every prints lines for people or --json, not --output %s", a.format)
	case len(r.recipients) > 0 && r.drillEvery > 0 && r.identity == "":
		return exitcode.Usagef("--drill-every restores backups, and nothing here opens those of --encrypt-to: add --identity, or let another machine drill")
	}
	plan := backup.Plan{
		Destination: dst, Every: r.every, DrillEvery: r.drillEvery, Keep: retention, Format: format, Formats: reading, Options: r.options(),
		Report: a.reportEvent,
	}
	if where.store != nil {
		plan.Destination, plan.Target, plan.Scratch = where.store.Path(""), where.target(r.scratch), r.scratch
	}
	open := func(ctx context.Context) (*holdfast.DB, error) { return a.openForBackup(ctx, path) }
	if err := backup.Repeat(ctx, path, open, a.closeDatabase, plan); err != nil {
		return backupFailed(err)
	}
	return nil
}

func (a *app) reportEvent(e backup.Event) {
	answer := everyAnswer{Schema: "holdfast.backup.every/v1", Event: e.Task, At: e.At.UTC(), OK: e.Err == nil, Path: e.Path, Info: e.Backup, Removed: []string{}}
	if e.Err != nil {
		answer.Error = a.message(e.Err)
	}
	for _, old := range e.Removed {
		answer.Removed = append(answer.Removed, old.Path)
	}
	if a.format != output.Table {
		line, err := json.Marshal(answer)
		if err == nil {
			_, err = a.out.Write(append(line, '\n'))
		}
		if err != nil {
			fmt.Fprintln(a.errs, "holdfast:", err)
		}
	} else {
		_ = a.printLines([]string{eventLine(answer)}) // what can't be printed is on record
	}
	_ = a.out.Flush()
}

func eventLine(e everyAnswer) string {
	line := e.At.Format(time.RFC3339) + "  "
	took := time.Duration(e.DurationSeconds * float64(time.Second)).Round(time.Millisecond)
	switch {
	case e.Path == "" || !e.OK && e.Event == "drill":
		return line + e.Event + " FAILED: " + e.Error
	case e.Event == "drill":
		line += e.Path + "  restores: " + size(e.Bytes) + " checked"
	default:
		line += fmt.Sprintf("%s  %s, verified by %s in %s", e.Path, size(max(e.ArchiveBytes, e.Bytes)), e.Check, took)
	}
	if n := len(e.Removed); n > 0 {
		line += fmt.Sprintf("; %d older removed", n)
	}
	if !e.OK {
		line += "; older ones could not be removed: " + e.Error
	}
	return line
}

// noteBackup writes a backup or a drill that was made by hand to the record of its
// database, if that may be written.
func (a *app) noteBackup(e backup.Event, destination string) {
	if err := backup.Note(e, destination); err != nil {
		fmt.Fprintln(a.errs, "holdfast: the backup is good, and its time could not be put on record for \"holdfast health\":", a.message(err))
	}
}

// leavesNothing opens a database in WAL mode that nobody has open so that SQLite removes
// the -wal and the -shm when it is closed again: a connection that only reads creates
// them too, and can't remove them. One that did, as the other had it open just then, has left an empty
// -wal. nil if it is not such a one, or may not be written.
func (a *app) leavesNothing(ctx context.Context, path string) *holdfast.DB {
	if strings.HasPrefix(path, "file:") { // its parameters count
		return nil
	}
	w, err := locks.NewWatcher(path)
	if err != nil {
		return nil
	}
	seen, err := w.Look(ctx)
	if err != nil || seen.JournalMode != "wal" {
		return nil
	}
	if wal, err := os.Stat(seen.Path + "-wal"); err == nil && wal.Size() > 0 || err != nil && isThere(seen.Path+"-shm") {
		return nil
	}
	if f, err := os.Stat(seen.Path); err != nil || f.Size() == 0 {
		return nil
	}
	cfg, err := a.settings(seen.Path)
	if err != nil {
		return nil
	}
	// Nothing of what a program does for its own database is done for somebody else's.
	cfg.Database.EnableWALMode, cfg.Database.ControlSocket = holdfast.Off, holdfast.Off
	cfg.Maintenance.Enabled, cfg.Writer.FairLock = holdfast.Off, holdfast.Off
	cfg.Logger = nil // what it says is about that
	db, err := holdfast.OpenConfig(ctx, cfg)
	if err != nil {
		return nil
	}
	return db
}
