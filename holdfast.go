// Package holdfast opens one SQLite database and keeps it dependable under
// concurrency.
//
//	db, err := holdfast.Open(ctx, "app.db")
//	if err != nil { ... }
//	defer db.Close()
//	_, err = db.ExecContext(ctx, "INSERT INTO t(a) VALUES (?)", 1)
//
// DB embeds a genuine *sql.DB: hand db.DB to any library that takes one. There
// is no setting to find: every connection is in WAL mode with foreign keys on,
// a statement that reads runs on one of several readers, and everything that
// writes goes through one fair queue to one write connection, which commits
// what is waiting together. Goroutines of one process never see "database is
// locked"; processes wait for each other in turn.
//
// An error is asked, not read: errors.Is with the Err variables of this
// package, errors.As with *Error, which has SQLite's result code.
//
// The engine is SQLite, compiled to Go; see https://www.sqlite.org and
// https://pkg.go.dev/modernc.org/sqlite.
package holdfast

import (
	"context"
	"database/sql"
	"database/sql/driver"
	_ "embed" // the example of a configuration
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfastdb/holdfast/internal/config"
	"github.com/holdfastdb/holdfast/internal/locks"
	"github.com/holdfastdb/holdfast/internal/session"
	"github.com/holdfastdb/holdfast/internal/sidelock"
	"github.com/holdfastdb/holdfast/internal/sqlite"
	"github.com/holdfastdb/holdfast/plan"
)

// DB is a handle on one database. It is safe for concurrent use. Every method
// of *sql.DB works as documented there, and the embedded *sql.DB can be handed
// to any library.
type DB struct {
	*sql.DB
	h      *handle // of a file
	remote *remote // of a Backend, and then h is nil
}

// handle is one Open. It is the driver.Connector behind the *sql.DB, whose
// Close closes it too, so that a library that closes the *sql.DB it was given
// leaves nothing behind.
type handle struct {
	*session.Engine
	d      *database
	closed atomic.Bool
	once   sync.Once
	err    error
}

// Close gives the database back; the last handle closes it.
func (h *handle) Close() error {
	h.once.Do(func() {
		h.closed.Store(true)
		h.d.dismiss(h.Engine)
		h.err = h.d.release()
	})
	return h.err
}

// idleSessions is how many idle sessions database/sql keeps. They are small:
// a session holds no connection.
const idleSessions = 64

// Open opens the database at path, creating it (private to the user) if it is
// missing. The directory must exist. path is a file name, taken literally;
// ":memory:" for a database in memory that only this handle sees; or a "file:"
// URI with mode=ro, rw, rwc or memory and immutable=1
// (https://www.sqlite.org/uri.html). "file:NAME?mode=memory" is shared by all
// handles of this process that name it. An address, "rqlite://...", is opened by the package
// that the program imports for its scheme; see RegisterBackend. What follows is of files.
//
// Open proves the file with a first connection, so a damaged file, a missing
// permission or a network file system is an error here, not later. It waits
// for locks until ctx ends or connection_timeout (30 s) is over. Several Opens
// of one file in one process, by whatever name, share one writer and one pool;
// they must have the same settings, except that a handle may be read-only beside
// others that write.
//
// The caller must Close the DB. Nothing runs before Open and after the last
// Close.
func Open(ctx context.Context, path string, opts ...Option) (*DB, error) {
	cfg := Config{}
	for _, o := range opts {
		o(&cfg)
	}
	cfg.Database.Path = path
	return OpenConfig(ctx, cfg)
}

// OpenConfig is Open with every setting in one struct, as LoadConfig returns it.
func OpenConfig(ctx context.Context, cfg Config) (*DB, error) {
	full, notes, err := cfg.withDefaults()
	if err != nil {
		return nil, translate("open", "", locks.Site{}, nil, err)
	}
	if scheme := Scheme(full.Database.Path); scheme != "" {
		return openRemote(ctx, scheme, full)
	}
	d, readOnly, err := acquire(ctx, full)
	switch {
	case err != nil && d != nil:
		return nil, d.fail("open", "", locks.Site{}, nil, err)
	case err != nil:
		return nil, translate("open", "", locks.Site{}, nil, err)
	}
	for _, n := range notes {
		d.log.Info("holdfast: configuration", "note", n)
	}
	h := &handle{Engine: d.engine(readOnly), d: d}
	pool := sql.OpenDB(h)
	pool.SetMaxIdleConns(idleSessions)
	db := &DB{DB: pool, h: h}
	return db, nil
}

// Connector returns the driver.Connector behind the handle, for sql.OpenDB. It
// shares the handle's life: closing either ends both.
func (db *DB) Connector() driver.Connector {
	if db.remote != nil {
		return db.remote
	}
	return db.h
}

// Path is the absolute path of the database file, links resolved. For a
// database in memory, or at an address, it is "".
func (db *DB) Path() string {
	if db.remote != nil || db.h.d.memory != nil {
		return ""
	}
	return db.h.d.path
}

// Close closes the handle, and with the last handle the database: rows and
// transactions that are still open are rolled back, units of the writer that
// have begun are finished, and the write-ahead log is checkpointed. It waits
// up to 10 s for statements that are still running, and for loops over Rows to
// ask for their next row: called in such a loop, it waits for nothing but itself
// and fails with ErrBusy, which names the place. Closing twice is harmless.
func (db *DB) Close() error { return db.DB.Close() }

// Replicator copies databases continuously to somewhere else. A package that can
// do so registers one; package replicate is such a package.
type Replicator interface {
	// Replicate begins to copy a database. Open calls it, once for each file that
	// the process has open for writing, when the file is proved and before anybody
	// can write; an error fails Open. It must not open the file through this
	// package, which would wait for itself. It may open the file, its -wal and its
	// -shm itself: where that would drop the locks of the process, Open has
	// refused before. ctx is that of Open: what goes on must not depend on it.
	Replicate(ctx context.Context, of ReplicatedDatabase) (Replication, error)
}

// ReplicatedDatabase is what a Replicator is told.
type ReplicatedDatabase struct {
	Path     string            // absolute, links resolved
	Config   ReplicationConfig // complete
	Database DatabaseConfig    // complete: budgets and permissions, for what the replicator opens itself
	Logger   *slog.Logger      // never nil
	// Cool has the idle connections of this process give up the snapshots that they
	// keep for the next read. Called before a checkpoint it makes the moment in
	// which the log can be begun anew. It takes microseconds.
	Cool func()
	// Pause has writes, and for at most that long reads, of this process wait until resume is called: the
	// moment that a checkpoint finds no other way under load. One at a time.
	Pause func(ctx context.Context, readers time.Duration) (resume func())
}

// Replication is one database that is being copied. Its methods are called by
// several goroutines at once. Nothing but Stats is called after Close has been.
type Replication interface {
	// Await returns when everything that was committed before the call is at the
	// target, or with an error that says it may not be: never nil in doubt. It must
	// return soon after ctx has ended.
	Await(ctx context.Context) error
	// Checkpoint is DB.Checkpoint: the log is the replication's to begin anew.
	// What it doesn't do for a mode is an error.
	Checkpoint(ctx context.Context, mode CheckpointMode) (CheckpointResult, error)
	// Stats is asked often, and waits for nobody.
	Stats() ReplicationStats
	// Close is called once, after the last write. It ships what is left, as long as
	// ctx lets it, and leaves no goroutine and no file open behind in any case. The
	// connections of this package are closed by then: with the last connection of
	// all SQLite copies the log and removes it, so who reads it has one open.
	Close(ctx context.Context) error
}

// Fencer is a Replication that knows when another machine may have taken over.
type Fencer interface {
	// Fenced is nil while writes may be acknowledged; else it is an ErrFenced, for
	// good. It is asked before and after each COMMIT, and waits for nobody.
	Fenced() error
}

// replicator is the one that was registered. It is package-level because it is
// the program, by what it imports, that has one: as with database/sql's drivers.
var replicator atomic.Pointer[Replicator]

// RegisterReplicator makes r copy the databases that are opened from now on with
// a replication.target. A program imports it with the package that calls this,
// in its init. A second one, or nil, panics.
func RegisterReplicator(r Replicator) {
	if r == nil || !replicator.CompareAndSwap(nil, &r) {
		panic("holdfast: RegisterReplicator was called twice, or with nil")
	}
}

// startReplication hands a database that has just been opened to the replicator.
func (d *database) startReplication(ctx context.Context) error {
	c := d.cfg.Replication
	if !d.replicated() {
		d.noteReplication()
		return nil
	}
	refuse := func(text, next string) error {
		return newError("open", ErrRefused, sqlite.ResultMisuse, text, next)
	}
	r := replicator.Load()
	switch {
	case d.memory != nil:
		return refuse("a database in memory can't be replicated", "give it a file, or leave replication.target empty")
	case d.profile.journalMode != "wal":
		return refuse(d.path+" has no write-ahead log, which is what replication ships", "set database.enable_wal_mode to true")
	case r == nil:
		return refuse("replication.target is set, and nothing in this program replicates", `import _ "github.com/holdfastdb/holdfast/replicate"`)
	case !locksSurviveReading():
		return refuse("this process can't replicate "+d.path+" itself: whoever reads the file beside SQLite drops its locks here, and others write into running transactions",
			"leave replication.target empty here and run `holdfast replicate` as a process of its own")
	}
	if err := d.takeReplication(ctx); err != nil {
		return err
	}
	running, err := (*r).Replicate(ctx, ReplicatedDatabase{Path: d.path, Config: c, Database: d.cfg.Database, Logger: d.log, Cool: d.pool.Cool, Pause: d.pause})
	if err != nil {
		return notReplicated("open", ErrCannotOpen, "the replication of "+d.path+" can't begin", "look at replication.target and at the credentials in the environment", err)
	}
	d.replication = running
	return nil
}

// replicated tells whether this process replicates the database.
func (d *database) replicated() bool {
	return d.cfg.Replication.Target != "" && d.mainRole() == writing
}

// takeReplication waits, for connection_timeout at most, until no other process
// replicates the database: two would write over each other at the target. The one
// that restarts a service finds the other still shipping its last writes. The duty
// ends with the lock file.
func (d *database) takeReplication(ctx context.Context) error {
	if d.turn == nil {
		return nil
	}
	limited, cancel := ctx, func() {}
	if limit := d.cfg.Database.ConnectionTimeout; limit > 0 {
		limited, cancel = context.WithTimeout(ctx, limit)
	}
	defer cancel()
	waited, err := d.turn.Take(limited, sidelock.Replication)
	if err == nil && d.cfg.Replication.Mode == "DURABLE" {
		_, err = d.turn.TryTake(sidelock.Durable)
	}
	if err == nil || ctx.Err() != nil || limited.Err() == nil {
		return err
	}
	e := newError("open", ErrBusy, sqlite.ResultBusy, d.path+" is being replicated by another process",
		"leave replication.target to one of them: what all others write is shipped by it, too")
	e.Waited = waited
	if pid, ok := d.turn.TakenBy(sidelock.Replication); ok {
		e.Holder = &Holder{Kind: foreignKind, PID: pid}
		e.text += fmt.Sprintf(" (pid %d)", pid)
	}
	return e
}

// locksSurviveReading tells whether a file of the database may be opened and
// closed beside SQLite. With POSIX locks that drops all of them that the process
// has on it; those of Windows belong to the handle, as OFD locks do.
func locksSurviveReading() bool { return runtime.GOOS == "windows" || sqlite.OFDLocks() }

// awaitUploads is what each write waits for before it is acknowledged, or nil.
func (d *database) awaitUploads() func(context.Context) error {
	if c := d.cfg.Replication; c.Target == "" || c.Mode != "DURABLE" {
		return nil
	}
	return func(ctx context.Context) error { return d.replication.Await(ctx) }
}

// stopReplication ships what is left. It has a bound of its own: Close may have
// spent its patience on statements, and the last writes are not to suffer for it.
func (d *database) stopReplication() error {
	if d.replication == nil {
		return nil
	}
	ctx, cancel := context.Background(), func() {}
	if limit := d.cfg.Replication.CloseTimeout; limit > 0 {
		ctx, cancel = context.WithTimeout(ctx, limit)
	}
	defer cancel()
	if err := d.writer.LastUpload(ctx, d.replication.Close); err != nil {
		return notReplicated("close", nil, "the last writes are in "+d.path+", and may not be at the target of its replication",
			"open the database again: what is missing there is uploaded then", err)
	}
	return nil
}

// Complete reports whether sql ends where a statement ends: with a semicolon
// that is part of no string, quoted name, comment or trigger body. A shell uses
// it to know when to stop asking for another line. It does not say whether the
// statement is valid, nor that there is only one. Text without any statement
// is not complete, and neither is text that contains a NUL byte.
// See https://www.sqlite.org/c3ref/complete.html.
//
// It looks at the whole text each time, needs no database and is safe for
// concurrent use.
func Complete(sql string) bool { return sqlite.Complete(sql) }

// Explanation is how SQLite would run a statement.
type Explanation struct {
	SQL        string `json:"sql"`
	ReadOnly   bool   `json:"read_only"`
	Parameters int    `json:"parameters"`
	Unbound    int    `json:"unbound"` // parameters without an argument
	plan.Plan
}

// Explain returns the plan of one statement, with what sqlite_stat1 says of its
// tables, and runs nothing: a DELETE that is explained deletes nothing. Parameters
// without an argument are planned for like any value; with its value SQLite may
// choose another plan. A PRAGMA, a CREATE or a COMMIT has no steps. Triggers and
// foreign keys are in no plan.
//
// It uses a reader, so it waits as a query does; text with several statements is
// ErrInvalid. Arguments beyond the last parameter are ignored.
func (db *DB) Explain(ctx context.Context, query string, args ...any) (Explanation, error) {
	if err := db.needsFile("explain"); err != nil {
		return Explanation{}, err
	}
	x, err := db.h.Explain(ctx, query, args)
	if err != nil {
		return Explanation{}, err
	}
	rows := make([]plan.Row, len(x.Steps))
	for i, s := range x.Steps {
		rows[i] = plan.Row(s)
	}
	facts := plan.Facts{Tables: make([]plan.Table, len(x.Tables))}
	for i, t := range x.Tables {
		facts.Tables[i] = plan.Table{Name: t.Name, Module: t.Module, Rows: t.Rows}
		for _, index := range t.Indexes {
			facts.Tables[i].Indexes = append(facts.Tables[i].Indexes, plan.Index(index))
		}
	}
	p := plan.Parse(rows)
	p.Know(x.SQL, facts)
	return Explanation{SQL: x.SQL, ReadOnly: x.ReadOnly, Parameters: x.Parameters, Unbound: x.Unbound, Plan: *p}, nil
}

// Measurement is what SQLite has counted while a query ran.
type Measurement struct {
	Rows          int64   `json:"rows"`                 // of the result
	Steps         int64   `json:"vm_steps"`             // instructions of the virtual machine
	FullScanSteps int64   `json:"full_scan_steps"`      // from row to row where no index narrows, also of what the statement made itself
	Sorts         int64   `json:"sorts"`                // in temporary b-trees
	AutoIndexRows int64   `json:"automatic_index_rows"` // put into indexes that are gone again
	FilterSkipped int64   `json:"bloom_filter_skipped"` // look-ups that a Bloom filter has spared
	FilterPassed  int64   `json:"bloom_filter_passed"`
	PagesHit      int64   `json:"pages_hit"`  // found in the cache of the connection
	PagesRead     int64   `json:"pages_read"` // from the file or the log
	Seconds       float64 `json:"duration_seconds"`
	Complete      bool    `json:"complete"` // it came to its end
}

// Measure runs one query to its end, throws its rows away and returns what that took.
// A statement that may write, a PRAGMA or a transaction is ErrRefused and not run;
// each parameter needs an argument. It keeps a reader, and its snapshot, until the end
// of the query or of ctx; with an error it returns what was counted until then.
func (db *DB) Measure(ctx context.Context, query string, args ...any) (Measurement, error) {
	if err := db.needsFile("measure"); err != nil {
		return Measurement{}, err
	}
	m, err := db.h.Measure(ctx, query, args)
	return Measurement{
		Rows: m.Rows, Steps: m.Steps, FullScanSteps: m.FullScan, Sorts: m.Sorts, AutoIndexRows: m.AutoIndex, FilterSkipped: m.FilterSkipped,
		FilterPassed: m.FilterPassed, PagesHit: m.PagesHit, PagesRead: m.PagesRead, Seconds: m.Took.Seconds(), Complete: m.Complete,
	}, err
}

// settings is what the tags of Config say.
var settings = sync.OnceValue(config.New[Config])

// ConfigSource says where LoadConfig finds settings. Later fields win over
// earlier ones. The zero value yields the defaults.
type ConfigSource struct {
	Path      string            // JSON file; with Reader only its name in errors
	Reader    io.Reader         // JSON text in place of the file; not closed
	Env       []string          // "HOLDFAST_DATABASE_BUSY_TIMEOUT=5s"; nil is none, callers pass os.Environ()
	Overrides map[string]string // dotted key to value, from flags: "database.busy_timeout": "5s"
	Sections  []ConfigSection   // sections of the program's own, set and completed
	Databases bool              // the file may have an object "databases"; see ConfigReport
}

// ConfigReport says what is in effect and why.
type ConfigReport struct {
	Values []ConfigValue `json:"values"` // every key, in the order of the reference page
	Notes  []string      `json:"notes"`  // settings that don't do what a reader would expect; nil is none

	// Databases are the members of the file's object "databases", in its order: each has
	// the sections that it states, over those of the whole file. Environment and flags
	// hold for all of them.
	Databases []NamedConfig `json:"-"`
}

// ConfigValue is one setting in effect.
type ConfigValue struct {
	Key     string `json:"key"`
	Value   string `json:"value"`   // as a flag takes it: "30s", "64MiB", "off"
	Default string `json:"default"` // on this machine
	Origin  string `json:"origin"`  // "default", "file", "environment" or "flag"
	Unit    string `json:"unit"`    // what a bare number counts: "s", "ms", "bytes", "pages" or ""
	Doc     string `json:"doc"`
}

// maxConfigSize bounds what is taken for a configuration.
const maxConfigSize = 1 << 20

// LoadConfig reads a configuration. Flags win over the environment, and the
// environment over the file. The Config holds what was given and no more, so
// that the caller may still change it before OpenConfig resolves it; the report
// holds what is in effect.
//
// Everything that is wrong comes back at once, as joined *ConfigError; a file
// that can't be read comes back as its own error. A file that looks like a
// database is refused unread: to close one would drop the locks that this
// process may hold on it.
func LoadConfig(src ConfigSource) (Config, *ConfigReport, error) {
	var c Config
	text, err := src.read()
	if err != nil {
		return Config{}, nil, err
	}
	schema := settings().With(src.sections()...)
	l := schema.Loader(&c)
	l.Several = src.Databases
	if text != nil {
		l.File(text, src.Path)
	}
	file := c // what each of several databases begins with
	l.Environment(src.Env)
	l.Overrides(src.Overrides)
	if err := configError(append(l.Mistakes, schema.CompleteSections()...)); err != nil {
		return Config{}, nil, err
	}
	effective, notes, err := c.withDefaults()
	report := &ConfigReport{Notes: notes}
	defaults := DefaultConfig()
	if err == nil {
		settleReaders(c, l.Origins)
		for _, v := range schema.Values(&effective, &defaults, l.Origins) {
			report.Values = append(report.Values, ConfigValue(v))
		}
	}
	if err := errors.Join(err, report.addDatabases(l.Databases, file, src)); err != nil {
		return Config{}, nil, err
	}
	return c, report, nil
}

// configError joins what is wrong as *ConfigError.
func configError(mistakes []config.Mistake) error {
	errs := make([]error, 0, len(mistakes))
	for _, m := range mistakes {
		e := ConfigError(m)
		errs = append(errs, &e)
	}
	return errors.Join(errs...)
}

// read returns the JSON text, or nil if there is none to read.
func (src ConfigSource) read() ([]byte, error) {
	in := src.Reader
	if in == nil {
		if src.Path == "" {
			return nil, nil
		}
		if err := refuseDatabase(src.Path); err != nil {
			return nil, err
		}
		f, err := os.Open(src.Path)
		if err != nil {
			return nil, fmt.Errorf("read the configuration: %w", err)
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxConfigSize+1))
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	if len(text) > maxConfigSize {
		return nil, &ConfigError{Where: src.Path, Problem: "more than 1 MiB: this is no configuration"}
	}
	return text, nil
}

// refuseDatabase keeps `-c app.db` from opening, and worse closing, a live
// database outside SQLite. It looks at names and sizes only.
func refuseDatabase(path string) error {
	refuse := func(why string) error {
		return &ConfigError{Where: path, Problem: "not read as a configuration: " + why}
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target // the names that matter are those of the file itself
	}
	if database, sidecar := openHere(path); database || sidecar {
		return refuse("it belongs to a database that this process has open")
	}
	lower := strings.ToLower(path)
	for _, suffix := range []string{".db", ".sqlite", ".sqlite3", "-wal", "-shm", "-journal"} {
		if strings.HasSuffix(lower, suffix) {
			return refuse("its name is that of a database")
		}
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil // opening it says so
	case err != nil:
		return fmt.Errorf("read the configuration: %w", err)
	case info.Mode().IsRegular() && info.Size() > maxConfigSize:
		return refuse("it is larger than 1 MiB")
	}
	for _, suffix := range []string{"-wal", "-shm", "-journal"} {
		if _, err := os.Stat(path + suffix); err == nil {
			return refuse("a database's " + suffix + " file stands beside it")
		}
	}
	return nil
}

// DefaultConfig returns the configuration that the zero value stands for, with
// every setting spelled out. It has no path.
func DefaultConfig() Config {
	c, _, _ := Config{}.withDefaults()
	return c
}

// Validate reports everything that is wrong with c, as joined *ConfigError, or
// nil. A missing path is not an error here: Open may be given another. Validate
// looks at c alone, not at files.
func (c Config) Validate() error {
	_, _, err := c.withDefaults()
	return err
}

// withDefaults returns c with every setting in effect: no zero that stands for
// a default is left, -1 says off (so that "> 0" asks whether a thing is on), and
// ConnectionPool.MaxConnections is the number of readers. The notes say which
// settings don't do what a reader of c would expect. Applying it to its own
// result changes nothing.
func (c Config) withDefaults() (Config, []string, error) {
	f := configFindings{config: &c}
	c.Limits.tighten()
	mistakes := settings().Complete(&c)
	c.resolveReaders(&f)
	if len(mistakes) > 0 {
		// The rules compare settings, and one that is wrong by itself would only
		// be reported twice.
		return c, nil, configError(mistakes)
	}
	for _, rule := range configRules {
		if rule.check != nil {
			rule.check(c, &f)
		}
	}
	return c, f.notes, errors.Join(f.errs...)
}

// tighten gives the limits that were not set the values for SQL from outside.
// They follow https://www.sqlite.org/security.html, with room for the statements
// of a dashboard. The number of columns depends on the tables; see narrow.
func (l *LimitsConfig) tighten() {
	if !l.UntrustedSQL {
		return
	}
	for _, limit := range []struct {
		set   *int
		value int
	}{
		{&l.ValueLength, 1_000_000},
		{&l.SQLLength, 100_000},
		{&l.ExprDepth, 100},
		{&l.CompoundSelect, 50},
		{&l.VDBEOp, 50_000},
		{&l.FunctionArg, 100},
		{&l.Attached, config.ValueOff},
		{&l.LikePatternLength, 1000},
		{&l.VariableNumber, 1000},
		{&l.TriggerDepth, 10},
	} {
		if *limit.set == 0 {
			*limit.set = limit.value
		}
	}
}

// resolveReaders settles on one number of readers.
func (c *Config) resolveReaders(f *configFindings) {
	db, pool := c.Database.MaxConnections, c.ConnectionPool.MaxConnections
	switch {
	case pool == 0 && db == 0:
		// More than CPUs: a reader that was handed to a goroutine which still waits
		// for a CPU does nothing. 8 instead of 4 on two CPUs made reads by key of 8
		// goroutines 1.4 times as fast; 16 and 32 were no better for 32 goroutines.
		pool = max(8, runtime.NumCPU())
	case pool == 0:
		pool = db
	case db != 0 && db != pool:
		f.note("database.max_connections = %d is ignored: connection_pool.max_connections = %d decides", db, pool)
	}
	c.Database.MaxConnections, c.ConnectionPool.MaxConnections = pool, pool
}

// settleReaders gives both keys for the number of readers the origin of the one
// that decides.
func settleReaders(c Config, origins map[string]string) {
	const db, pool = "database.max_connections", "connection_pool.max_connections"
	if c.ConnectionPool.MaxConnections == 0 && c.Database.MaxConnections != 0 {
		origins[pool] = origins[db]
	} else {
		origins[db] = origins[pool]
	}
}

// conflicts lists the keys in which two configurations of the same file differ.
// The path is not compared: a file has many spellings.
func (c Config) conflicts(other Config) []string {
	c, _, _ = c.withDefaults()
	other, _, _ = other.withDefaults()
	other.Database.Path = c.Database.Path
	return settings().Differing(&c, &other)
}

// ExampleConfig is a configuration to start from, as `holdfast config init`
// writes it: the settings most worth a look, each at its default, but for the
// path and the number of readers.
func ExampleConfig() []byte { return []byte(exampleConfig) }

//go:embed docs/reference/example.json
var exampleConfig string

// ConfigTables are tables as those of ConfigReference, for sections of a program's own.
func ConfigTables(sections ...ConfigSection) string {
	return config.New[struct{}]().With(ConfigSource{Sections: sections}.sections()...).Tables()
}

// ConfigReference is the reference page of the configuration, in Markdown, made
// from the tags of Config.
func ConfigReference() string {
	rules := make([]string, 0, len(configRules))
	for _, rule := range configRules {
		rules = append(rules, rule.doc)
	}
	return settings().Reference(rules, exampleConfig)
}
