package backup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/internal/dbfile"
	"github.com/holdfastdb/holdfast/internal/locks/table"
	"github.com/holdfastdb/holdfast/internal/maintain/logbook"
	"github.com/holdfastdb/holdfast/internal/maintain/schedule"
)

// job is a plan for one database, and who carries it out.
type job struct {
	Plan     // complete
	database string
	place    string // the destination, on record
	book     *logbook.File

	open func(context.Context) (*holdfast.DB, error)
	done func(*holdfast.DB)
	next func(task string) time.Time // when it runs again
}

// The kinds of tasks. A task's name has the place besides: a database may have several.
const (
	backupTask = "backup"
	drillTask  = "drill"
)

func (j *job) name(kind string) string { return kind + ":" + j.place }

func (j *job) tasks() (list []schedule.Task) {
	if j.Every > 0 {
		last := func() time.Time { return j.known().Backup.At }
		list = append(list, schedule.Task{Name: j.name(backupTask), Every: j.Every, AnyTime: true, Run: j.backup, Last: last})
	}
	if j.DrillEvery > 0 {
		last := func() time.Time { return j.known().Drill.At }
		list = append(list, schedule.Task{Name: j.name(drillTask), Every: j.DrillEvery, Run: j.drill, Last: last})
	}
	return list
}

func (j *job) known() logbook.Place {
	b, _ := j.book.Read() // what can't be read is not known, and Health says why
	return b.Find(j.place)
}

// promise writes down what the plan will do, and from when on it has not done it. A
// promise that stands is not put off by one who begins anew, nor taken back by one who
// makes a smaller one.
func (j *job) promise() {
	backupDue, drillDue := j.due(backupTask, j.Every), j.due(drillTask, j.DrillEvery)
	j.note(func(p *logbook.Place) {
		if j.Every > 0 && (p.Every != j.Every.Seconds() || p.Backup.Due.IsZero()) {
			p.Every, p.Backup.Due = j.Every.Seconds(), backupDue
		}
		if j.DrillEvery > 0 && (p.DrillEvery != j.DrillEvery.Seconds() || p.Drill.Due.IsZero()) {
			p.DrillEvery, p.Drill.Due = j.DrillEvery.Seconds(), drillDue
		}
	})
}

// due is when a task has missed its next turn by a whole interval.
func (j *job) due(kind string, every time.Duration) time.Time {
	if every <= 0 {
		return time.Time{}
	}
	next := j.next(j.name(kind))
	if now := time.Now(); next.Before(now) {
		next = now
	}
	return next.Add(every).UTC().Truncate(time.Millisecond)
}

// note changes the record. What can't be noted is no failure of a backup; the text says
// so, for the log.
func (j *job) note(change func(*logbook.Place)) string {
	if err := j.book.Change(func(b *logbook.Book) { change(b.At(j.place)) }); err != nil {
		return "; not on record: " + err.Error()
	}
	return ""
}

// failed notes and reports a failure, unless the backup was ended.
func (j *job) failed(ctx context.Context, kind, path string, err error) error {
	if ctx.Err() != nil {
		return err
	}
	now := time.Now()
	j.note(func(p *logbook.Place) {
		d := &p.Backup
		if kind == drillTask {
			d = &p.Drill
		}
		d.Fail(now, err)
	})
	j.Report(Event{Task: kind, At: now, Path: path, Err: err})
	return err
}

func (j *job) backup(ctx context.Context) (string, error) {
	if err := j.mounted(ctx); err != nil {
		return "", j.failed(ctx, backupTask, "", err)
	}
	db, err := j.open(ctx)
	if err != nil {
		return "", j.failed(ctx, backupTask, "", err)
	}
	info, err := j.Target.Create(ctx, db, j.Format, nil, j.Options...)
	j.done(db)
	if err != nil {
		return "", j.failed(ctx, backupTask, "", err)
	}
	unnoted := j.note(func(p *logbook.Place) {
		p.Backup.Succeed(info.TakenAt, info.Destination, max(info.ArchiveBytes, info.Bytes))
	})
	due := j.due(backupTask, j.Every)
	unnoted += j.note(func(p *logbook.Place) { p.Every, p.Backup.Due = j.Every.Seconds(), due })
	event := Event{Task: backupTask, Backup: info, Path: info.Destination}
	if !j.Keep.All() {
		keep := j.Keep
		keep.Spare = j.known().Drill.Path
		event.Removed, event.Err = j.Target.Prune(ctx, j.database, keep, j.Formats...)
	}
	event.At = time.Now()
	j.Report(event)
	result := fmt.Sprintf("%s, %d bytes%s", info.Destination, max(info.ArchiveBytes, info.Bytes), unnoted)
	if event.Err != nil { // the next backup tries that again
		result += fmt.Sprintf("; older ones could not be removed: %v", event.Err)
	}
	return result, nil
}

// mounted fails if a directory has lost all backups of the database: then it is the
// empty place where a volume should be, as a rule, and a backup would fill another disk.
func (j *job) mounted(ctx context.Context) error {
	d, ok := j.Target.(directory)
	if !ok {
		return nil
	}
	if _, err := os.Stat(string(d)); err != nil {
		return err
	}
	was := j.known().Backup.Path
	if was == "" {
		return nil
	}
	if _, err := os.Lstat(was); err == nil { // in whatever format, and of whatever name
		return nil
	}
	entries, err := j.own(ctx)
	if err == nil && len(entries) == 0 {
		err = fmt.Errorf("%s was made, and no backup is in %s now: mount the volume again; if it was emptied on purpose, make one by hand with holdfast backup %s %s",
			was, j.place, j.database, j.place)
	}
	return err
}

// own are the backups of the database at the destination, the newest first.
func (j *job) own(ctx context.Context) ([]Entry, error) {
	entries, err := j.Target.List(ctx, j.Formats...)
	foreign := notOf(j.database)
	return slices.DeleteFunc(entries, func(e Entry) bool { return foreign(e) || !e.Verified }), err
}

var errNoBackup = errors.New("there is no backup yet that could be restored")

func (j *job) drill(ctx context.Context) (string, error) {
	entries, err := j.own(ctx)
	if err != nil {
		return "", j.failed(ctx, drillTask, "", err)
	}
	if len(entries) == 0 { // no verdict about a backup; its own promise tells when it is late
		return "", fmt.Errorf("%s: %w", j.place, errNoBackup)
	}
	now := time.Now()
	e := entries[max(0, slices.IndexFunc(entries, func(e Entry) bool { return !e.TakenAt.After(now) }))] // see Prune
	info, err := Drill(ctx, j.Target.Open(e, j.Formats...), j.Scratch, nil)
	if err != nil {
		return "", j.failed(ctx, drillTask, e.Path, fmt.Errorf("%s: %w", e.Path, err))
	}
	now = time.Now()
	unnoted := j.note(func(p *logbook.Place) { p.Drill.Succeed(now, e.Path, info.Bytes) })
	due := j.due(drillTask, j.DrillEvery)
	unnoted += j.note(func(p *logbook.Place) { p.DrillEvery, p.Drill.Due = j.DrillEvery.Seconds(), due })
	j.Report(Event{Task: drillTask, At: now, Backup: Info{BackupInfo: info}, Path: e.Path})
	return fmt.Sprintf("%s restores, %d bytes%s", e.Path, info.Bytes, unnoted), nil
}

// bookOf is the record of a database's backups.
func bookOf(database string) *logbook.File {
	return &logbook.File{
		Path:  database + logbook.Suffix,
		Alive: func(path string) bool { return table.Own(path) },
		Like: func(f *os.File) error {
			fi, err := os.Stat(database)
			if err != nil {
				return err
			}
			return likeOld(f, fi)
		},
	}
}

// Note writes a backup that Create has made, or a drill that succeeded, to the record of
// its database, as a schedule does it by itself. destination is as in a Plan. It counts for
// the database at the place where the backup was taken, if that still is the same
// file, and a drill if it was one of the newest backup; else nothing is noted. Event's
// Task, At, Backup and Path must be set.
func Note(e Event, destination string) error {
	database := e.Backup.Source
	if database == "" || e.Err != nil {
		return nil
	}
	if id, err := dbfile.Look(database); err != nil || id.String() != e.Backup.SourceID {
		return nil
	}
	return bookOf(database).Change(func(b *logbook.Book) {
		p := b.At(logbook.Name(destination))
		d, at, every := &p.Backup, e.Backup.TakenAt, p.Every
		if e.Task == drillTask {
			if e.Backup.TakenAt.Before(p.Backup.At) {
				return
			}
			d, at, every = &p.Drill, e.At, p.DrillEvery
		}
		d.Succeed(at, e.Path, max(e.Backup.ArchiveBytes, e.Backup.Bytes))
		if every > 0 {
			d.Due = at.Add(time.Duration(2 * every * float64(time.Second))).UTC().Truncate(time.Millisecond)
		}
	})
}
