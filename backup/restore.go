package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/internal/dbfile"
	"github.com/holdfastdb/holdfast/internal/locks/outside"
	"github.com/holdfastdb/holdfast/internal/maintain/copy"
	"github.com/holdfastdb/holdfast/internal/maintain/manifest"
	"github.com/holdfastdb/holdfast/internal/sidelock"
)

// RestoreOptions changes how Restore works. The zero value is the safe way.
type RestoreOptions struct {
	// WithoutManifest accepts a plain file that nothing was written down about. It is
	// checked as any other is, but a byte that was changed in a value shows to nobody.
	WithoutManifest bool
	// DryRun looks and tells, and changes nothing.
	DryRun bool
	// Scratch is where the backup is unpacked for a database at an address; "" is the
	// directory for temporary files.
	Scratch string
	// Progress is told how far it is. May be nil; must return soon.
	Progress func(Progress)

	step     func(name string)               // of tests, at each fault point
	twoNames bool                            // of tests: as if files couldn't be exchanged
	free     func(dir string) (int64, error) // of tests: the room that there seems to be
}

// RestoreReport is what Restore has done, or would do.
type RestoreReport struct {
	Schema          string    `json:"schema"` // "holdfast.restore/v1"
	Database        string    `json:"database"`
	Source          string    `json:"source"`
	RestoredTo      time.Time `json:"restored_to,omitzero"` // when the backup was taken; zero if nobody wrote it down
	Verified        bool      `json:"verified"`
	Bytes           int64     `json:"bytes"`
	DryRun          bool      `json:"dry_run"`
	Plan            []string  `json:"plan"`     // what is done, in order
	Kept            []string  `json:"kept"`     // where the files that were there are now
	Leftover        []string  `json:"leftover"` // what an earlier restore that was killed had left, and what became of it
	DurationSeconds float64   `json:"duration_seconds"`
}

// Process is a process that has a database open.
type Process struct {
	PID     int
	Program string
}

// InUseError says that a database can't be replaced because somebody has it open.
// It answers to holdfast.ErrBusy.
type InUseError struct {
	Database  string
	Processes []Process // empty if it is locked, and nobody is seen
}

func (e *InUseError) Error() string {
	var who []string
	for _, p := range e.Processes {
		if p.PID == 0 {
			continue
		}
		who = append(who, fmt.Sprintf("%s (pid %d)", p.Program, p.PID))
	}
	if len(who) == 0 {
		who = []string{"somebody who can't be seen from here"}
	}
	return fmt.Sprintf("%s is open in %s: end that first, then restore again; nothing was changed", e.Database, strings.Join(who, ", "))
}

// Is holdfast.ErrBusy.
func (e *InUseError) Is(target error) bool { return target == holdfast.ErrBusy }

// Restore puts the database of src in the place of the one at path, or where none
// is. It is unpacked into PATH-restore beside it, compared with its manifest,
// checked (integrity_check) and flushed before anything of the old one is touched,
// so for a while there must be room for both. Then the old database is locked by SQLite, its log is
// copied into it, its -wal, -shm and -journal are taken aside, and the two files
// change places: in one system call on Linux. The old files end as
// PATH-before-restore-TIME, with the same endings, and stay until somebody removes
// them. Mode and owner are those of the old file.
//
// Restore refuses (InUseError) while any process has the database open, also this
// one, as far as the system tells (on Linux all of them, if it is root's; see package locks),
// and looks again once the files have changed places: whoever came in between could
// do nothing yet, and the old database is put back.
//
// Killed at any moment, it leaves the old database or the new one under the name,
// whole, and never a mixture. The next Restore of that database finishes or undoes
// what it finds, and says so in Leftover. (One case is less: where the old
// database is damaged so that its log can't be copied, a kill between taking that
// log aside and the change leaves the damaged one without it; the next Restore puts
// it back.) A failure, a full disk among them, leaves the old one.
//
// A path that is an address (holdfast.Scheme) is that of a back end, open and in use: the
// backup is unpacked in a directory of its own, compared and checked as above, sent by
// DB.Restore, and counted there. Nobody else may write meanwhile.
//
// On Windows all of this was shown under wine, which is no proof for NTFS: there a file that
// anybody has open is neither renamed nor replaced, and names are as safe from a power cut
// as its journal makes them.
func Restore(ctx context.Context, src Source, path string, o RestoreOptions) (RestoreReport, error) {
	start := time.Now()
	r := &restore{src: src, options: o, report: RestoreReport{
		Schema: "holdfast.restore/v1", Source: src.Name(), DryRun: o.DryRun, Plan: []string{}, Kept: []string{}, Leftover: []string{},
	}}
	run := r.run
	var err error
	if holdfast.Scheme(path) != "" {
		run = func(ctx context.Context) error { return r.send(ctx, path) }
	} else {
		err = r.locate(path, start)
	}
	if err == nil {
		err = run(ctx)
	}
	r.report.DurationSeconds = time.Since(start).Seconds()
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	return r.report, err
}

// restore is one call of Restore.
type restore struct {
	src     Source
	options RestoreOptions
	report  RestoreReport

	path  string // of the database
	aside string // the names of the old files begin so
	work  string // the directory beside it
	held  hold
}

const asideEnding = "-before-restore-"

func (r *restore) locate(path string, now time.Time) error {
	name, err := dbfile.ParseName(path)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", holdfast.ErrRefused, err)
	case name.Memory:
		return fmt.Errorf("%w: a database in memory can't be restored: name a file", holdfast.ErrRefused)
	}
	if r.path, err = dbfile.Resolve(name.Path); err != nil {
		return fmt.Errorf("%w: %w", holdfast.ErrCannotOpen, err)
	}
	r.report.Database = r.path
	r.work = r.path + "-restore"
	r.aside = r.path + asideEnding + now.UTC().Format(holdfast.BackupTime)
	if _, err := os.Lstat(r.aside + "-journal"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err // the name is too long, for one
	}
	fi, err := os.Lstat(r.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !fi.Mode().IsRegular():
		return fmt.Errorf("%w: %s: %w", holdfast.ErrCannotOpen, r.path, dbfile.ErrNotRegular)
	}
	if src, err := os.Stat(r.src.Name()); err == nil && os.SameFile(fi, src) {
		return fmt.Errorf("%w: %s is the database itself", holdfast.ErrRefused, r.src.Name())
	}
	return nil
}

func (r *restore) at(step string) {
	if r.options.step != nil {
		r.options.step(step)
	}
}

func (r *restore) run(ctx context.Context) error {
	if err := r.unused(ctx, r.path, none); err != nil {
		return err
	}
	if r.options.DryRun {
		return r.plan(ctx)
	}
	owner, err := r.begin()
	if err != nil {
		return err
	}
	defer r.release()
	r.at("begun")
	err = r.replace(ctx)
	if err == nil {
		r.at("done")
	}
	// Also after a success: what is to be cleared away is the same as after a kill.
	r.at("settling")
	left, e := settle(r.path, r.work)
	r.release() // not before: who waits for the lock must find the sidecars in their places
	if err != nil {
		r.report.Leftover, r.report.Kept = append(r.report.Leftover, left...), []string{}
	}
	if e == nil {
		e = removeWork(r.work, owner)
	} else {
		_ = owner.Close()
	}
	return single(errors.Join(err, e))
}

// begin makes the directory beside the database, and has it to itself. What a
// killed restore has left there is settled first.
func (r *restore) begin() (owner *sidelock.Lock, err error) {
	for {
		if err := os.Mkdir(r.work, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		before, err := os.Lstat(r.work)
		if err == nil {
			err = ours(r.work)
		}
		if errors.Is(err, fs.ErrNotExist) {
			continue // another restore has ended
		}
		if err != nil {
			return nil, err
		}
		owner, err = sidelock.Open(filepath.Join(r.work, ownerName))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		free, err := owner.TryAcquire()
		if err != nil || !free {
			_ = owner.Close()
			if err == nil {
				err = fmt.Errorf("%w: another restore of %s is running; wait for its end", holdfast.ErrBusy, r.path)
			}
			return nil, err
		}
		if after, err := os.Lstat(r.work); err == nil && os.SameFile(before, after) {
			break
		}
		_ = owner.Close() // of a directory that was removed meanwhile
	}
	did, err := settle(r.path, r.work)
	r.report.Leftover = append(r.report.Leftover, did...)
	if err != nil {
		return nil, errors.Join(err, owner.Close())
	}
	return owner, nil
}

// ours fails if the directory holds something and is no restore's: the lock is the
// first file that a restore makes there, and the last that it removes.
func ours(work string) error {
	files, err := os.ReadDir(work)
	if err != nil {
		return err
	}
	if len(files) > 0 && !slices.ContainsFunc(files, func(f fs.DirEntry) bool { return f.Name() == ownerName }) {
		return fmt.Errorf("%w: %s was not made by a restore, which needs that name: rename it", holdfast.ErrRefused, work)
	}
	return nil
}

const (
	ownerName = "owner" + sidelock.Suffix
	newName   = "new.db"
	noteName  = "note.json"
)

// removeWork removes the directory and gives it back, in the order that the system
// allows: as long as the lock is held nobody else can begin in it.
func removeWork(work string, owner *sidelock.Lock) error {
	if !renamesOpenFiles {
		if err := owner.Close(); err != nil {
			return err
		}
	}
	for _, name := range []string{noteName + ".new", newName + "-wal", ownerName} {
		if err := os.Remove(filepath.Join(work, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(err, owner.Close())
		}
	}
	err := os.Remove(work)
	if renamesOpenFiles {
		err = errors.Join(err, owner.Close())
	}
	return single(err)
}

// replace unpacks, proves, and swaps.
func (r *restore) replace(ctx context.Context) error {
	fresh := filepath.Join(r.work, newName)
	info, err := r.unpack(ctx, fresh)
	if err != nil {
		return err
	}
	r.at("unpacked")
	if err := r.prove(ctx, fresh, info); err != nil {
		return err
	}
	r.at("proven")
	if err := r.unused(ctx, r.path, none); err != nil { // minutes may have passed
		return err
	}
	if err := r.swap(ctx, fresh); err != nil {
		return err
	}
	r.report.RestoredTo, r.report.Verified = info.TakenAt, true
	return nil
}

func (r *restore) unpack(ctx context.Context, path string) (info holdfast.BackupInfo, err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return info, err
	}
	defer func() { err = single(errors.Join(err, f.Close())) }()
	s := sum{phase: "unpack", progress: r.options.Progress}
	err = r.src.Unpack(ctx, func(info holdfast.BackupInfo) (io.Writer, error) {
		s.begin(info)
		return io.MultiWriter(&s, f), r.accept(info)
	})
	if err == nil && s.info.Schema != "" {
		err = s.compare(r.src.Name())
	}
	if old, e := os.Stat(r.path); err == nil && e == nil {
		err = likeOld(f, old)
	}
	if err == nil {
		err = f.Sync()
	}
	r.report.Bytes = s.n
	return s.info, err
}

// accept looks at the manifest, and whether there is room.
func (r *restore) accept(info holdfast.BackupInfo) error {
	if info.Schema == "" && !proven(r.src) && !r.options.WithoutManifest {
		return fmt.Errorf("%w: the %s of %s is missing, so nobody can tell whether it is whole; restore it as one that has none, if you trust it",
			ErrNoManifest, manifest.Suffix, r.src.Name())
	}
	free := freeBytes
	if r.options.free != nil {
		free = r.options.free
	}
	return enough(filepath.Dir(r.path), info.Bytes, free)
}

// enough is holdfast.ErrDiskFull if there is no room for so much in dir.
func enough(dir string, bytes int64, free func(dir string) (int64, error)) error {
	if err := (copy.Config{Free: free}).Enough(dir, bytes); err != nil {
		return fmt.Errorf("%w: %w", holdfast.ErrDiskFull, err)
	}
	return nil
}

func freeBytes(dir string) (int64, error) {
	s, err := dbfile.SpaceOf(dir)
	return s.Free, err
}

// prove checks the database that was unpacked, and compares it with its manifest.
func (r *restore) prove(ctx context.Context, path string, info holdfast.BackupInfo) error {
	cfg := manifest.Config{}
	if r.options.Progress != nil {
		cfg.Phase = func(phase string, done, total int64) { r.options.Progress(Progress{phase, done, total}) }
	}
	var got manifest.Manifest
	err := manifest.Describe(ctx, path, &got, cfg)
	var damage *manifest.DamagedError
	if errors.As(err, &damage) {
		return fmt.Errorf("%w: %s: %s; restore another", ErrDamaged, r.src.Name(), strings.Join(damage.Problems[:min(3, len(damage.Problems))], "; "))
	}
	if err != nil {
		return err
	}
	if d := manifest.Manifest(info).Differs(got); info.Schema != "" && d != "" {
		return fmt.Errorf("%w: %s: %s; restore another", ErrDamaged, r.src.Name(), d)
	}
	return nil
}

// unused fails if a process has the file at path open; own is how many connections
// this one may have, which have locked it for the restore. It looks for a moment: the child of a program that
// starts another has all its files until it becomes that other, and one that ends
// has some for as long as the kernel clears up.
func (r *restore) unused(ctx context.Context, path string, own int) error {
	for n := 1; ; n++ {
		err := r.look(ctx, path, own)
		if use := (*InUseError)(nil); !errors.As(err, &use) || n == looks {
			return err
		}
		select {
		case <-time.After(lookPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

const (
	looks     = 10
	lookPause = 20 * time.Millisecond

	none = -1 // where connections can't be counted, there are 0
)

func (r *restore) look(ctx context.Context, path string, own int) error {
	names := []string{path}
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) { // who had it when it was deleted has its log
		names = []string{path + "-wal", path + "-journal", path + "-shm"}
	}
	var others []Process
	for _, name := range names {
		openers, err := outside.Openers(ctx, name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, p := range openers {
			o := Process{p.PID, p.Program}
			if (p.PID != os.Getpid() || p.Connections > own) && !slices.Contains(others, o) {
				others = append(others, o)
			}
		}
	}
	for _, name := range names {
		used, err := openSomewhere(name)
		if err != nil {
			return err
		}
		if used && len(others) == 0 {
			return &InUseError{Database: r.path}
		}
	}
	if len(others) > 0 {
		return &InUseError{r.path, others}
	}
	return nil
}
