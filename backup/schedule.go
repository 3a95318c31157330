package backup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/internal/dbfile"
	"github.com/holdfastdb/holdfast/internal/maintain/logbook"
	"github.com/holdfastdb/holdfast/internal/maintain/schedule"
	"github.com/holdfastdb/holdfast/internal/sidelock"
)

// Plan says where and how often a database is backed up, what is kept of it, and how
// often it is tried whether a backup restores.
type Plan struct {
	// Destination is a directory that exists. With a Target it is what that is called on
	// record, without anything secret.
	Destination string
	Target      Target // nil: the directory

	Every      time.Duration // from one backup to the next; not above 0: none is made
	DrillEvery time.Duration // from one drill to the next; not above 0: none

	// Keep is applied after each backup that succeeded. The zero value keeps all. The
	// newest backup and the last one that a drill has restored stay in any case.
	Keep Retention

	Format  Format   // nil: plain copies
	Formats []Format // by which backups are read again; nil: Format. Of encrypted ones it takes a key.
	Scratch string   // the directory where drills restore; "": Destination, or with a Target that of the database
	Options []holdfast.BackupOption

	// Report is told of each backup and drill that was made or failed, and must return
	// soon. May be nil. It is called by one goroutine at a time.
	Report func(Event)
}

// PlanOf is the plan of a configuration. formats are those that the program has; one
// that the configuration names must be among them.
func PlanOf(c holdfast.BackupConfig, formats ...Format) (Plan, error) {
	p := Plan{Destination: c.Destination, Every: c.Every, DrillEvery: c.DrillEvery, Formats: formats}
	if c.Keep != "" {
		var err error
		if p.Keep, err = ParseRetention(c.Keep); err != nil {
			return Plan{}, fmt.Errorf("%w: backup.keep: %w", holdfast.ErrRefused, err)
		}
	}
	if c.Format != "" {
		i := slices.IndexFunc(formats, func(f Format) bool { return f.Extension() == c.Format })
		if i < 0 {
			return Plan{}, fmt.Errorf("%w: backup.format: this program has no format %q; %s", holdfast.ErrRefused, c.Format,
				"give backup.PlanOf that of package backup/archive, or leave the key empty for plain copies")
		}
		p.Format = formats[i]
	}
	return p, nil
}

// Event is a backup or a drill of a schedule.
type Event struct {
	Task    string    // "backup" or "drill"
	At      time.Time // its end
	Backup  Info      // what was made; of a drill what was restored
	Path    string    // of the backup
	Removed []Entry   // older backups that were removed
	Err     error     // why it failed; of a backup with a Path: why older ones could not be removed
}

// Scheduled are the backups of a database by schedule. Close ends them.
type Scheduled struct {
	remove []func(context.Context) error
}

// Close ends the schedule, and a backup or drill that is under way, and waits for its
// end until ctx ends. What is on record stays, and with it the promise: without
// backups the database's Health will say so. It may be called again.
func (s *Scheduled) Close(ctx context.Context) error {
	var errs []error
	for _, remove := range s.remove {
		errs = append(errs, remove(ctx))
	}
	return single(errors.Join(errs...))
}

// Schedule backs db up by plan, from half a minute later until Close of the result or of
// the database, whichever comes first. db stays the caller's and must be open until then.
//
// It runs as a task of [holdfast.DB.Maintenance]: never beside another task, ended by a
// pause, on record in Runs. Of all processes that schedule backups of one database to one
// destination one makes each. A backup that was missed is made once. One that failed is
// logged, tried again after 2, 4, 8 minutes, at most after Every, and nothing is removed
// then. Backups are made at any hour and under load; drills keep to the windows and wait
// for quiet.
//
// What became of them is written to DATABASE-holdfast.backups, from where Health and
// Stats of every process have it, with the time from which on the next one is late.
//
// A destination that is empty, although a backup was made there, is refused: it is no
// longer mounted, as a rule. Several plans for one database need several destinations.
func Schedule(db *holdfast.DB, plan Plan) (*Scheduled, error) {
	if db.Address() != "" {
		return nil, fmt.Errorf("%w: what became of backups is on record beside a file: call Create by a timer of the program", holdfast.ErrUnsupported)
	}
	if db.Path() == "" {
		return nil, fmt.Errorf("%w: a database in memory ends with its process: back it up by Create", holdfast.ErrRefused)
	}
	j, err := newJob(db.Path(), plan)
	if err != nil {
		return nil, err
	}
	j.open = func(context.Context) (*holdfast.DB, error) { return db, nil }
	j.done = func(*holdfast.DB) {}
	m := db.Maintenance()
	j.next = func(task string) time.Time {
		for _, n := range m.Next() {
			if n.Task == task {
				return n.At
			}
		}
		return time.Time{}
	}
	s := &Scheduled{}
	for _, t := range j.tasks() {
		remove, err := m.Add(holdfast.MaintenanceTask(t))
		if err != nil {
			return nil, errors.Join(err, s.Close(context.Background()))
		}
		s.remove = append(s.remove, remove)
	}
	j.promise()
	return s, nil
}

// Repeat backs up the database at path by plan until ctx ends, and then returns nil.
// It is for a program that does not have the database open otherwise: open opens it for
// each backup, for reading, and done closes it, so that between two backups there is
// nothing in anybody's way. The first backup begins at once, if one is due. For the rest
// it does what Schedule does. An error says that it could not begin.
func Repeat(ctx context.Context, path string, open func(context.Context) (*holdfast.DB, error), done func(*holdfast.DB), plan Plan) error {
	name, err := dbfile.ParseName(path)
	if err != nil || name.Memory {
		return fmt.Errorf("%w: %s is no file that could be backed up", holdfast.ErrRefused, path)
	}
	if path, err = dbfile.Resolve(name.Path); err != nil {
		return err
	}
	if _, err := os.Stat(path); err != nil {
		return err
	}
	j, err := newJob(path, plan)
	if err != nil {
		return err
	}
	j.open, j.done = open, done
	c := claim{database: path}
	s := schedule.New(schedule.Config{Claim: c.take, Unclaim: c.give})
	j.next = func(task string) time.Time {
		for _, n := range s.Next() {
			if n.Task == task {
				return n.At
			}
		}
		return time.Time{}
	}
	for _, t := range j.tasks() {
		if _, err := s.Add(t); err != nil {
			return errors.Join(err, s.Close(ctx))
		}
	}
	j.promise() // which asks when they run
	<-ctx.Done()
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeWait)
	defer cancel()
	return s.Close(end)
}

// closeWait is how long Repeat waits for a backup that its context has ended: longer than
// an upload takes its leave of a store that is silent, by two requests of ten seconds.
const closeWait = 30 * time.Second

// claim is the duty of maintenance, as the processes that have the database open take
// it. Without a lock file there is none.
type claim struct {
	database string
	lock     *sidelock.Lock
}

func (c *claim) take() (taken string, err error) {
	if _, err := os.Stat(c.database); err != nil || !sidelock.Supported() {
		return "", nil // the backup itself says what is wrong
	}
	lock, err := sidelock.Open(c.database + sidelock.Suffix)
	if err != nil {
		return "", nil // a directory that is read-only, for one
	}
	if _, ok := lock.TakenBy(sidelock.Migration); ok {
		return "a migration is under way", lock.Close()
	}
	ok, err := lock.TryTake(sidelock.Maintenance)
	if !ok || err != nil {
		return "another process does it", errors.Join(err, lock.Close())
	}
	c.lock = lock
	return "", nil
}

func (c *claim) give() error {
	if c.lock == nil {
		return nil
	}
	lock := c.lock
	c.lock = nil
	return lock.Close()
}

// newJob completes a plan, and refuses one that can't be carried out.
func newJob(database string, plan Plan) (*job, error) {
	if plan.Every <= 0 && plan.DrillEvery <= 0 {
		return nil, fmt.Errorf("%w: the plan has neither backups nor drills: set Every or DrillEvery", holdfast.ErrRefused)
	}
	if plan.Destination == "" {
		return nil, fmt.Errorf("%w: the plan has no destination", holdfast.ErrRefused)
	}
	if plan.Target == nil {
		dir, err := filepath.Abs(plan.Destination)
		if err != nil {
			return nil, err
		}
		fi, err := os.Stat(dir)
		if err == nil && !fi.IsDir() {
			err = fmt.Errorf("%w: %s is no directory", holdfast.ErrRefused, dir)
		}
		if err != nil {
			return nil, err
		}
		plan.Target = Directory(dir)
		if plan.Scratch == "" {
			plan.Scratch = dir
		}
	}
	if plan.Scratch == "" {
		plan.Scratch = filepath.Dir(database)
	}
	if plan.Format != nil && !slices.ContainsFunc(plan.Formats, func(f Format) bool { return f.Extension() == plan.Format.Extension() }) {
		plan.Formats = append(slices.Clone(plan.Formats), plan.Format)
	}
	if plan.Report == nil {
		plan.Report = func(Event) {}
	}
	return &job{Plan: plan, database: database, place: logbook.Name(plan.Destination), book: bookOf(database)}, nil
}
