package holdfast

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/internal/dbfile"
	"github.com/holdfastdb/holdfast/internal/locks"
	"github.com/holdfastdb/holdfast/internal/maintain/copy"
	"github.com/holdfastdb/holdfast/internal/maintain/manifest"
	"github.com/holdfastdb/holdfast/internal/maintain/memory"
	"github.com/holdfastdb/holdfast/internal/maintain/migrate"
	"github.com/holdfastdb/holdfast/internal/session"
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
	Method          string           `json:"method"`    // "pages" or "vacuum"; "stream" of what is no file
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
// over a damage that a copy of the pages would have taken along for the check to find, and
// no rest while others write.
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
// check that follows reads the copy alone. While this process writes, all of it is
// done in short pieces with rests between them and takes 17 times as long or
// more, unless maintenance.yield is off. A volume that has no room for the copy
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
	if db.remote != nil {
		return db.remote.backup(ctx, dst, o)
	}
	info, err := db.h.d.backup(ctx, dst, o)
	switch {
	case err == nil:
		return info, nil
	case ctx.Err() != nil:
		return BackupInfo{}, ctx.Err()
	}
	var damage *manifest.DamagedError
	if errors.As(err, &damage) {
		db.h.d.condemn("backup", damage.Problems)
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
	return publish(dst, d.path, func(path string) (manifest.Manifest, error) {
		m, err := d.takeCopy(ctx, path, o.config())
		if d.memory == nil {
			m.Source, m.SourceID = d.path, d.id.String()
		}
		return m, err
	})
}

func (o backupOptions) config() manifest.Config {
	cfg := manifest.Config{Config: copy.Config{SyncDir: dbfile.SyncDir, Free: freeBytes}, Vacuum: o.vacuum, References: o.references}
	if o.progress != nil {
		cfg.Phase = func(phase string, done, total int64) { o.progress(BackupProgress{phase, done, total}) }
	}
	return cfg
}

// publish has take make and prove a copy, and gives it the name dst, or one in dst that
// is made of the database's.
func publish(dst, database string, take func(path string) (manifest.Manifest, error)) (info BackupInfo, err error) {
	if dst, err = backupName(dst, database, time.Now()); err != nil {
		return info, err
	}
	work, err := sidelock.NewDir(filepath.Dir(dst), manifest.PartialDirs, manifest.Undo)
	if err != nil {
		return info, err
	}
	defer func() { err = errors.Join(err, work.Remove()); err = single(err) }()
	m, err := take(work.Path(manifest.CopyName))
	if err != nil {
		return info, err
	}
	m.Destination = dst
	if err := manifest.Publish(work.Path(""), m, dbfile.SyncDir); err != nil {
		return info, err
	}
	return BackupInfo(m), nil
}

// backupName makes dst the absolute name of a file that isn't there.
func backupName(dst, database string, now time.Time) (string, error) {
	dst, err := filepath.Abs(dst)
	if err != nil {
		return "", err
	}
	if fi, err := os.Stat(dst); err == nil && fi.IsDir() {
		dst = filepath.Join(dst, BackupName(database, now))
	}
	for _, name := range []string{dst, dst + "-wal", dst + "-journal"} { // of a database that was here: they would be read with the copy
		if _, err := os.Lstat(name); err == nil {
			return "", &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return dst, notSidecar(dst)
}

// notSidecar refuses the name of a file that SQLite would take for a database's own, and
// delete.
func notSidecar(dst string) error {
	for _, ending := range []string{"-wal", "-shm", "-journal", sidelock.Suffix} {
		if database, ok := strings.CutSuffix(dst, ending); ok {
			if _, err := os.Lstat(database); err == nil {
				return newError("backup", ErrRefused, sqlite.ResultMisuse, dst+" is the name of a file that belongs to the database "+database, "name another file, or a directory")
			}
		}
	}
	return nil
}

// BackupName is how Backup names the copy of a database in a directory:
// "app-20261127T172548.123Z.db" of "app.db". What has no name, as in memory, is called
// "database", and an address by its scheme.
func BackupName(database string, taken time.Time) string {
	if database = cmp.Or(Scheme(database), database); database == "" {
		database = "database"
	}
	base := filepath.Base(database)
	ext := filepath.Ext(base)
	if ext == base { // ".app"
		ext = ""
	}
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
	ctx, end, err := d.pacer.Begin(ctx)
	if err != nil {
		return m, err
	}
	defer end()
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

// MigrateReport is what a migration has done.
type MigrateReport struct {
	// Changed is false if there was nothing to do: then nothing was checked,
	// counted or copied either.
	Changed  bool
	Waited   time.Duration // for a migration of another process, and for the writer
	Duration time.Duration // all of it, with the waits

	Backup      string // path of the checked copy of the state before, or ""
	BackupBytes int64
	NoBackup    string // why there is none: "nothing has changed", "the database was empty", ...

	Tables  []TableRows // in the order of their names
	Counted bool        // all tables are in Tables; false if the time for that was over
	Added   []string    // what is new in the schema: "table x", "index y", "view z", "trigger t"
	Removed []string    // and what is gone, also if a tool dropped it with its table by mistake

	// Violations is how many foreign keys lead nowhere, and did before: these don't
	// keep a migration from being committed.
	Violations int
}

// TableRows is how many rows a table had before a migration and has after it; -1
// where there is no such table.
type TableRows struct {
	Name          string
	Before, After int64
}

type migrateOptions struct {
	dir       string
	keep      int
	wait      time.Duration
	countFor  time.Duration
	unchecked bool
}

// MigrateOption changes one Migrate.
type MigrateOption func(*migrateOptions)

// MigrateBackupDir puts the backups into a directory, which must exist and be this
// database's alone: older ones of the same name are removed there. Default: that
// of the database.
func MigrateBackupDir(dir string) MigrateOption {
	return func(o *migrateOptions) { o.dir = dir }
}

// MigrateBackups keeps the newest n backups and removes older ones; 0 makes none
// and removes none. Default: 3.
func MigrateBackups(n int) MigrateOption {
	return func(o *migrateOptions) { o.keep = max(n, 0) }
}

// MigrateWait bounds the wait for another process, or another goroutine of this
// one, that is migrating the database; 0 or less is no wait. Default: 10 minutes.
// The wait for the writer after that is bounded by busy_timeout.
func MigrateWait(d time.Duration) MigrateOption {
	return func(o *migrateOptions) { o.wait = max(d, 0) }
}

// MigrateCountRows is how long the rows of the tables may be counted for the
// report, before and after together; 0 counts none. Default: 5 s.
func MigrateCountRows(d time.Duration) MigrateOption {
	return func(o *migrateOptions) { o.countFor = max(d, 0) }
}

// MigrateUnchecked commits also if foreign keys lead nowhere that did not before.
func MigrateUnchecked() MigrateOption {
	return func(o *migrateOptions) { o.unchecked = true }
}

// Migrate runs fn, which changes the schema by whatever tool, as one transaction:
// all of it is there afterwards, or nothing. If fn returns an error it is rolled
// back and the error returned; if fn panics it is rolled back and the panic goes
// on; if the process is killed, the old schema stands.
//
// fn must use the *sql.DB that it is given, not db, and only until it returns.
// Everything it runs there shares one connection and one transaction. What a tool
// takes for transactions, by BeginTx or as text, are savepoints, one at a time.
// PRAGMA foreign_keys is answered as if it had been set, while foreign keys are
// off throughout: no DROP TABLE deletes rows that refer to the table, and no
// ON DELETE acts. VACUUM, ATTACH and checkpoints are ErrRefused. Results of up to
// 32 MiB are read to their end at once.
//
// Of several processes that migrate at once, one does, and the others wait for it
// (ErrBusy names it, after MigrateWait) and then find what it has done. Nobody
// else writes to the database between its begin and its end; their busy_timeout
// goes on. Readers see the old state until COMMIT.
//
// If anything has changed when fn returns, and before COMMIT, foreign keys are
// checked: those that lead nowhere and did not before make Migrate fail with
// ExtendedCode 787. Then the state of before, which others still see, is copied to
// <database>-before-migration-<time>, mode 0600, and the copy is read and
// checked: 4 s for each GB on an SSD. Too little space for it is ErrDiskFull at the
// first change; damage in it is ErrCorrupt, and nothing is committed. A migration
// with nothing to do costs a BEGIN and the look of fn. In a database without a log
// (enable_wal_mode: false) all this happens at fn's first statement that might
// write, in vain perhaps.
//
// Statistics of the planner are left as fn leaves them; see DB.Optimize.
func Migrate(ctx context.Context, db *DB, fn func(db *sql.DB) error, opts ...MigrateOption) (MigrateReport, error) {
	if err := db.needsFile("migrate"); err != nil {
		return MigrateReport{}, err
	}
	m := &migration{
		d: db.h.d, site: locks.Here(1, locks.Deep), start: time.Now(),
		migrateOptions: migrateOptions{keep: 3, wait: 10 * time.Minute, countFor: 5 * time.Second},
	}
	for _, o := range opts {
		o(&m.migrateOptions)
	}
	done, err := m.takeDuty(ctx)
	if err == nil {
		defer done()
		err = m.run(ctx, db.h.Engine, fn)
	}
	m.report.Duration = time.Since(m.start)
	m.log(err)
	return m.report, err
}

// migration is one call of Migrate.
type migration struct {
	migrateOptions
	d      *database
	site   locks.Site
	start  time.Time
	watch  *migrate.Watch
	report MigrateReport
}

// takeDuty waits until no other process migrates the database. Without a lock
// file they meet at BEGIN, where only busy_timeout is waited.
func (m *migration) takeDuty(ctx context.Context) (done func(), err error) {
	lock := m.d.turn
	if lock == nil {
		return func() {}, nil
	}
	if w := m.d.writer; w != nil {
		if err := w.Holder().Own(); err != nil { // inside the other migration
			return nil, m.public(err)
		}
	}
	limited, cancel := context.WithTimeout(ctx, m.wait)
	defer cancel()
	waited, err := lock.Take(limited, sidelock.Migration)
	switch {
	case err == nil:
		return func() { _ = lock.Return(sidelock.Migration) }, nil // fails only after Close
	case limited.Err() != nil:
		return nil, m.inTheWay(waited, ctx.Err())
	}
	return nil, m.d.fail("migrate", "", m.site, nil, err)
}

// inTheWay says who migrates meanwhile. cause is the end of the caller's context,
// or nil.
func (m *migration) inTheWay(waited time.Duration, cause error) error {
	e := newError("migrate", ErrBusy, sqlite.ResultBusy,
		fmt.Sprintf("%s is being migrated, and was not done within %s", m.d.path, waited.Round(time.Millisecond)), "")
	e.Waited, e.err = waited, cause
	e.next = "let it end; MigrateWait says how long to wait"
	pid, ok := m.d.turn.TakenBy(sidelock.Migration)
	switch {
	case ok && pid == os.Getpid():
		e.text += " by this process"
	case ok:
		p := locks.Describe(pid, "MIGRATION")
		e.Holder = &Holder{Kind: foreignKind, PID: p.PID, Program: p.Program, State: p.State, Lock: p.Lock}
		e.text += fmt.Sprintf(" by process %d (%s, %s)", p.PID, p.Program, p.State)
		if p.State == "stopped" {
			e.next = fmt.Sprintf("it is stopped and keeps its lock until it goes on (kill -CONT %d) or ends", p.PID)
		}
	}
	return e
}

// run is the migration, once nobody else migrates.
func (m *migration) run(ctx context.Context, e *session.Engine, fn func(*sql.DB) error) (err error) {
	closure := &session.Closure{Context: ctx, Mark: nextMark()}
	guard, err := e.Guard(closure, m.site, session.GuardConfig{
		Before: func(c *sqlite.Conn) error { return m.public(m.watch.BeforeWrite(ctx, c)) },
		After:  func(c *sqlite.Conn, rows int64) error { return m.public(m.watch.AfterWrite(c, rows)) },
	})
	if err != nil {
		return m.public(err)
	}
	m.report.Waited = time.Since(m.start)
	tool := sql.OpenDB(guard)
	tool.SetMaxIdleConns(idleSessions)
	over := false
	defer func() { // also when fn panics
		if !over {
			_ = guard.Rollback() // SQLite does it, if this fails
			m.undone()
		}
		_ = tool.Close() // it may be closed already
	}()
	err = guard.Do(ctx, func(c *sqlite.Conn) error {
		m.watch, err = migrate.Begin(c, m.config())
		return err
	})
	if err != nil {
		return m.public(err)
	}
	if err := locks.Under(closure.Mark, func() error { return fn(tool) }); err != nil {
		return err
	}
	if err := guard.Settle(); err != nil {
		return m.public(err)
	}
	if err := guard.Do(ctx, func(c *sqlite.Conn) error { return m.watch.Finish(ctx, c) }); err != nil {
		return m.public(err)
	}
	over = true
	if err := guard.Commit(ctx); err != nil {
		if err = m.public(err); !errors.Is(err, ErrOutcomeUnknown) {
			m.undone()
		}
		return err
	}
	m.watch.Done()
	m.fill()
	return m.public(guard.Uploaded(ctx))
}

// config is what is looked after in this database.
func (m *migration) config() migrate.Config {
	d := m.d
	c := migrate.Config{
		Log:        d.profile.journalMode == "wal",
		Open:       func(ctx context.Context) (*sqlite.Conn, error) { return d.connectAs(ctx, reading, memory.Check) },
		References: !m.unchecked,
		CountFor:   m.countFor,
	}
	if d.memory != nil {
		return c
	}
	c.Copy = migrate.Copy{
		Path: d.path, Dir: m.dir, Keep: m.keep,
		SyncDir: dbfile.SyncDir,
		Free: func(dir string) (int64, error) {
			s, err := dbfile.SpaceOf(dir)
			return s.Free, err
		},
		InUse: func(path string) bool {
			database, sidecar := openHere(path)
			return database || sidecar
		},
	}
	if c.Copy.Dir == "" {
		c.Copy.Dir = filepath.Dir(d.path)
	}
	return c
}

// fill tells what was committed.
func (m *migration) fill() {
	r := m.watch.Report
	m.report.Changed = r.Changed
	m.report.Backup, m.report.BackupBytes = r.Copy, r.Bytes
	m.report.Counted, m.report.Added, m.report.Removed, m.report.Violations = r.Counted, r.Added, r.Removed, r.Existing
	for _, t := range r.Tables {
		m.report.Tables = append(m.report.Tables, TableRows(t))
	}
	switch {
	case r.Copy != "":
	case !r.Changed:
		m.report.NoBackup = "nothing has changed"
	case m.d.memory != nil:
		m.report.NoBackup = "the database is in memory"
	case m.keep == 0:
		m.report.NoBackup = "none was asked for"
	default:
		m.report.NoBackup = "the database was empty"
	}
}

// undone removes the copy of a migration that was rolled back.
func (m *migration) undone() {
	if m.watch == nil {
		return
	}
	if err := m.watch.Undo(); err != nil {
		m.d.log.Warn("holdfast: the copy for a migration that was rolled back could not be removed", "path", m.watch.Report.Copy, "error", err)
	}
}

// public makes the library's own error of one of the rooms'.
func (m *migration) public(err error) error {
	var violation *migrate.ViolationError
	var damage *migrate.DamageError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &violation):
		return newError("migrate", nil, sqlite.ResultConstraintForeignKey, violation.Error()+"; everything was rolled back",
			"let the migration delete or mend these rows too; foreign keys are off in it, so no ON DELETE does. MigrateUnchecked commits all the same")
	case errors.As(err, &damage):
		return newError("migrate", ErrCorrupt, sqlite.ResultCorrupt, damage.Error()+"; nothing was changed",
			"look at it with holdfast doctor, and restore a checked backup")
	case errors.Is(err, copy.ErrNoSpace):
		return newError("migrate", ErrDiskFull, sqlite.ResultFull, err.Error()+"; everything was rolled back",
			"free space, put the backup elsewhere with MigrateBackupDir, or make none with MigrateBackups(0)")
	}
	return m.d.fail("migrate", "", m.site, nil, err)
}

func (m *migration) log(err error) {
	r := &m.report
	switch {
	case err != nil:
		m.d.log.Warn("holdfast: a migration has failed, and the old schema stands", "path", m.d.path,
			"duration", r.Duration.Round(time.Millisecond), "caller", m.site.String(), "next", "see the error that Migrate has returned")
	case r.Changed:
		m.d.log.Info("holdfast: migrated", "path", m.d.path, "duration", r.Duration.Round(time.Millisecond),
			"waited", r.Waited.Round(time.Millisecond), "backup", r.Backup, "added", r.Added, "removed", r.Removed, "violations", r.Violations)
	}
}

// TableRebuild is what RebuildTable makes of a table.
type TableRebuild struct {
	// Create is the CREATE TABLE statement of the new table, with the table's own
	// name.
	Create string
	// Columns has for columns of the new table an SQL expression over a row of the
	// old one: {"name": "first || ' ' || last"}. A column that is not in it, and
	// that both tables have, is copied; another one gets its default.
	Columns map[string]string
	// Without names indexes and triggers of the table that are not made again.
	Without []string
}

// RebuildTable gives a table another shape, where ALTER TABLE can't: another type,
// another key, a constraint more or less, STRICT. It keeps rows and rowids, the
// AUTOINCREMENT sequence, indexes and triggers. Rows of other tables that refer to
// it stay as they are, and so do views and triggers elsewhere; a view that would
// not work any more is an error.
//
// It works inside Migrate only, in a transaction of the *sql.DB that fn was given:
// with foreign keys on, dropping the old table would delete what refers to it, and
// that is ErrRefused. After an error the table is as it was; ErrInvalid says that
// it can't be rebuilt so.
func RebuildTable(ctx context.Context, tx *sql.Tx, table string, r TableRebuild) error {
	err := migrate.Rebuild(ctx, tx, table, migrate.Shape(r))
	var e *Error
	switch {
	case errors.Is(err, migrate.ErrForeignKeys):
		return newError("rebuild", ErrRefused, sqlite.ResultMisuse, "table "+table+" was not rebuilt: "+err.Error(),
			"call RebuildTable in the function that is given to Migrate, in a transaction of the *sql.DB that it gets")
	case errors.Is(err, migrate.ErrShape):
		e = newError("rebuild", ErrInvalid, sqlite.ResultError, err.Error(), "")
		e.err = err
		return e
	}
	return err
}
