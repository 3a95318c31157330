package holdfast

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/internal/dbfile"
	"github.com/holdfastdb/holdfast/internal/locks"
	"github.com/holdfastdb/holdfast/internal/maintain/copy"
	"github.com/holdfastdb/holdfast/internal/maintain/manifest"
	"github.com/holdfastdb/holdfast/internal/sidelock"
	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// BackupInfo is what is known of one backup. Its JSON is written beside the
// backup, as DESTINATION.manifest.json, and holds what a later check compares it
// with.
type BackupInfo struct {
	Schema          string           `json:"schema"` // "holdfast.backup/v1"
	Destination     string           `json:"destination"`
	Source          string           `json:"source"`    // the path of the database; "" if it was in memory
	SourceID        string           `json:"source_id"` // its device and inode
	TakenAt         time.Time        `json:"taken_at"`  // the state is that of a moment shortly after
	Method          string           `json:"method"`    // "pages" or "vacuum"
	Bytes           int64            `json:"bytes"`
	Pages           int64            `json:"pages"`
	PageSize        int64            `json:"page_size_bytes"`
	SHA256          string           `json:"sha256"` // of the file, read back
	SchemaSHA256    string           `json:"schema_sha256"`
	Rows            map[string]int64 `json:"rows"` // of each table
	SQLite          string           `json:"sqlite_version"`
	Verified        bool             `json:"verified"`
	Check           string           `json:"check"` // what was proven by: "integrity_check", "integrity_check, foreign_key_check"
	DurationSeconds float64          `json:"duration_seconds"`
}

// BackupProgress is how far a backup is. Total is 0 if it is not known.
type BackupProgress struct {
	Phase       string // "copy", "check" or "hash"
	Done, Total int64  // pages; bytes of "hash"
}

// BackupOption changes how Backup works.
type BackupOption func(*backupOptions)

type backupOptions struct {
	vacuum, references bool
	progress           func(BackupProgress)
}

// BackupVacuumed makes the copy by VACUUM INTO: without unused pages, and in order.
// It is one statement, so there is no progress while it copies, and it stumbles
// over a damage that a copy of the pages would have taken along for the check to find.
// Row ids of tables without an INTEGER PRIMARY KEY may change.
func BackupVacuumed() BackupOption { return func(o *backupOptions) { o.vacuum = true } }

// BackupReferences checks foreign keys too. A row that refers to a missing one then
// makes the backup fail.
func BackupReferences() BackupOption { return func(o *backupOptions) { o.references = true } }

// BackupOnProgress has progress called every now and then on the goroutine that
// called Backup. While it runs in the phase "copy" the snapshot is being held.
func BackupOnProgress(progress func(BackupProgress)) BackupOption {
	return func(o *backupOptions) { o.progress = progress }
}

// Backup writes a copy of the database to a new file at dst and returns when it
// is proven: opened, read by integrity_check, hashed, on the disk under its name.
// Until then it lies in a directory of its own beside dst, which is removed
// whatever happens; one that a killed process has left is removed by the next
// backup to that directory, a minute later at the earliest (Linux, Windows). If dst
// is a directory, the file in it is named after the database and the time:
// "app-20261127T172548.123Z.db". An existing file is never replaced: the error
// answers to fs.ErrExist. Its mode is 0600.
//
// The copy is one committed state, of after the call. Writers and readers go on
// meanwhile. For as long as the copying takes (about 2 s for a GB on an SSD) one
// reader of the pool is in use and the log can't be emptied past that state; the
// check that follows reads the copy alone. A volume that has no room for the copy
// and 64 MiB besides is refused before anything is written (ErrDiskFull). A
// database that is damaged is an error that answers to ErrCorrupt, and leaves no
// backup.
//
// A context that ends is noticed within some milliseconds, or one flush of 32 MiB.
// Closing the database ends the backup with ErrClosed. A handle for untrusted SQL
// makes none (ErrRefused). See package backup for archives, retention and restore.
func (db *DB) Backup(ctx context.Context, dst string, opts ...BackupOption) (BackupInfo, error) {
	var o backupOptions
	for _, opt := range opts {
		opt(&o)
	}
	info, err := db.h.d.backup(ctx, dst, o)
	switch {
	case err == nil:
		return info, nil
	case ctx.Err() != nil:
		return BackupInfo{}, ctx.Err()
	}
	return BackupInfo{}, db.h.d.fail("backup", "", locks.Site{}, nil, backupError(dst, err))
}

// backupError gives the failures of a backup their kinds.
func backupError(dst string, err error) error {
	var damage *manifest.DamagedError
	switch {
	case errors.As(err, &damage):
		return newError("backup", ErrCorrupt, sqlite.ResultCorrupt, "the copy is damaged, so the database is: "+strings.Join(damage.Problems[:min(3, len(damage.Problems))], "; "),
			"keep the backups that there are; look with holdfast doctor")
	case errors.Is(err, copy.ErrNoSpace):
		return newError("backup", ErrDiskFull, sqlite.ResultFull, err.Error(), "")
	case errors.Is(err, fs.ErrExist):
		e := newError("backup", ErrRefused, sqlite.ResultCantOpen, dst+" exists already", "name another file, or a directory")
		e.err = fs.ErrExist
		return e
	}
	return err
}

func (d *database) backup(ctx context.Context, dst string, o backupOptions) (info BackupInfo, err error) {
	if d.cfg.Limits.UntrustedSQL {
		return info, newError("backup", ErrRefused, sqlite.ResultAuth, "a handle for untrusted SQL reads its own file alone", "open the database without limits.untrusted_sql")
	}
	dst, err = d.backupName(dst, time.Now())
	if err != nil {
		return info, err
	}
	dir := filepath.Dir(dst)
	work, err := sidelock.NewDir(dir, manifest.PartialDirs, manifest.Undo)
	if err != nil {
		return info, err
	}
	defer func() { err = errors.Join(err, work.Remove()); err = single(err) }()
	cfg := manifest.Config{Config: copy.Config{SyncDir: dbfile.SyncDir, Free: freeBytes}, Vacuum: o.vacuum, References: o.references}
	if o.progress != nil {
		cfg.Phase = func(phase string, done, total int64) { o.progress(BackupProgress{phase, done, total}) }
	}
	m, err := d.takeCopy(ctx, work.Path(manifest.CopyName), cfg)
	if err != nil {
		return info, err
	}
	m.Destination = dst
	if d.memory == nil {
		m.Source, m.SourceID = d.path, d.id.String()
	}
	if err := manifest.Publish(work.Path(""), m, dbfile.SyncDir); err != nil {
		return info, err
	}
	return BackupInfo(m), nil
}

// backupName makes dst the absolute name of a file that isn't there.
func (d *database) backupName(dst string, now time.Time) (string, error) {
	dst, err := filepath.Abs(dst)
	if err != nil {
		return "", err
	}
	if fi, err := os.Stat(dst); err == nil && fi.IsDir() {
		dst = filepath.Join(dst, BackupName(d.path, now))
	}
	for _, name := range []string{dst, dst + "-wal", dst + "-journal"} { // of a database that was here: they would be read with the copy
		if _, err := os.Lstat(name); err == nil {
			return "", &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return dst, nil
}

// BackupName is how Backup names the copy of a database in a directory:
// "app-20261127T172548.123Z.db" of "app.db".
func BackupName(database string, taken time.Time) string {
	base := filepath.Base(database)
	ext := filepath.Ext(base)
	return strings.TrimSuffix(base, ext) + "-" + taken.UTC().Format(BackupTime) + ".db"
}

// BackupTime is the time in the name of a backup, for time.Parse: in UTC.
const BackupTime = "20060102T150405.000Z"

func freeBytes(dir string) (int64, error) {
	s, err := dbfile.SpaceOf(dir)
	return s.Free, err
}

// takeCopy reads the database by a reader of the pool.
func (d *database) takeCopy(ctx context.Context, path string, cfg manifest.Config) (m manifest.Manifest, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r, err := d.pool.Get(ctx)
	if err != nil {
		return m, err
	}
	lease := &locks.Lease{Kind: locks.Backup, Site: locks.Here(0, locks.Shallow), Since: time.Now(), Context: ctx, Evict: func() bool { cancel(errClosedUnder); return true }}
	d.registry.Add(lease)
	r.Busy.Arm(ctx, max(d.cfg.Database.BusyTimeout, 0), nil)
	if cfg.Vacuum { // it writes to the file that it creates
		err = r.Conn.Exec("PRAGMA query_only=0")
	}
	given := false
	give := func() {
		if given {
			return
		}
		given = true
		r.Busy.Disarm()
		clean := r.Conn.Autocommit()
		if cfg.Vacuum {
			on, err := int64(0), r.Conn.Exec("PRAGMA query_only=1")
			if err == nil {
				on, err = r.Conn.QueryInt64("PRAGMA query_only")
			}
			clean = clean && err == nil && on == 1
		}
		d.registry.Remove(lease)
		d.pool.Put(r, clean)
	}
	defer give()
	if err == nil {
		m, err = manifest.Take(ctx, r.Conn, path, cfg, give)
	}
	if err != nil && errors.Is(context.Cause(ctx), errClosedUnder) {
		err = errClosedUnder
	}
	return m, err
}
