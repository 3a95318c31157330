package holdfast

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/bits"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/internal/config"
	"github.com/holdfastdb/holdfast/internal/maintain/retain"
	"github.com/holdfastdb/holdfast/internal/maintain/schedule"
)

// Config is every setting of one database. The zero value is safe and means
// the defaults; docs/reference/configuration.md lists them all.
//
// Each field's tag is its documentation, from which the loader, `holdfast
// config print` and the reference page are made: doc says what it does, default
// what the zero value means, unit what a bare number counts in JSON and in the
// environment (Go durations are time.Duration and Go sizes are bytes), off what
// -1 means (without the tag -1 is an error), min, max and values what is
// accepted.
//
// A Config is plain data: copy it freely, but don't change it while another
// goroutine reads it. To JSON and back it goes by the rules of the reference
// page, not by those of encoding/json.
type Config struct {
	Database       DatabaseConfig    `json:"database" doc:"The file and the connections to it."`
	ConnectionPool PoolConfig        `json:"connection_pool" doc:"The readers. The one write connection is not part of the pool."`
	RetryLogic     RetryConfig       `json:"retry_logic" doc:"How Update and Batch redo a whole transaction that SQLite has rolled back. Waiting for a lock is database.busy_timeout's business, and a single statement is never retried."`
	Writer         WriterConfig      `json:"writer" doc:"The one write connection and its queue."`
	Maintenance    MaintenanceConfig `json:"maintenance" doc:"What is done for the database in the background: its log, statistics and space."`
	Replication    ReplicationConfig `json:"replication" doc:"Copying the database continuously to somewhere else, by this process. It needs a program that imports the package replicate, as the command does."`
	Backup         BackupConfig      `json:"backup" doc:"Backups by schedule, for a program that calls backup.Schedule with backup.PlanOf. Where it does not, DB.Health says that nothing backs up."`
	Telemetry      TelemetryConfig   `json:"telemetry" doc:"What is counted of the statements that the program runs; see DB.Queries."`
	Limits         LimitsConfig      `json:"limits" doc:"What a statement may ask of the engine (https://sqlite.org/limits.html). A limit can be lowered, never raised past the most that the engine was built for."`

	// Logger gets what Open and the background work have to say. Nil is silent.
	Logger *slog.Logger `json:"-"`
}

// DatabaseConfig says which file is opened and how every connection to it is
// set up.
type DatabaseConfig struct {
	Path                   string        `json:"path" doc:"The database file. Open's own path argument replaces it."`
	MaxConnections         int           `json:"max_connections" max:"10000" computed:"connection_pool.max_connections" doc:"The number of readers, for files that state it here; connection_pool.max_connections wins when both are set."`
	ConnectionTimeout      time.Duration `json:"connection_timeout" unit:"s" default:"30s" max:"1h" off:"only the caller's context ends the wait" doc:"The longest that Open takes, and the longest that a statement waits for a reader."`
	BusyTimeout            time.Duration `json:"busy_timeout" unit:"ms" default:"30s" max:"1h" off:"a lock is never waited for" doc:"The one budget for all lock waits of a statement or transaction; the caller's context cuts it short."`
	EnableWALMode          Switch        `json:"enable_wal_mode" default:"true" doc:"Keep the database in WAL mode, so that readers and the writer don't wait for each other. False leaves the file's journal mode alone (a new file gets DELETE)."`
	EnableForeignKeys      Switch        `json:"enable_foreign_keys" default:"true" doc:"Enforce foreign keys on every connection."`
	Synchronous            string        `json:"synchronous" default:"FULL" values:"FULL|NORMAL|EXTRA|OFF" doc:"When a commit reaches the disk. FULL: before it is acknowledged (without WAL the engine needs EXTRA for that, and gets it). NORMAL: a power cut may undo the last acknowledged commits. OFF may corrupt the file and needs limits.allow_unsafe."`
	CacheSize              int           `json:"cache_size" unit:"pages" default:"0" min:"-2147483648" doc:"Page cache of each connection, as in SQLite's pragma: pages if positive, KiB if negative. 0 gives each connection its part of memory_budget."`
	MemoryBudget           int64         `json:"memory_budget" unit:"bytes" default:"64MiB" min:"1MiB" doc:"The page caches of all databases that the process has open, together; the largest of their budgets counts. A connection has 64 KiB at least, or an equal part if that is less. Databases with a cache_size are beside it. An eighth is left for what connections need besides pages; a sort takes more."`
	TempStore              string        `json:"temp_store" default:"FILE" values:"FILE|MEMORY" doc:"Where temporary tables and sorts that outgrow the cache live. MEMORY has no bound."`
	MmapSize               int64         `json:"mmap_size" unit:"bytes" default:"0" max:"2147418112" doc:"How much of the file may be mapped into memory; 0 maps nothing."`
	JournalSizeLimit       int64         `json:"journal_size_limit" unit:"bytes" default:"64MiB" off:"the log keeps the largest size it ever had" doc:"The size that the write-ahead log is cut back to when it starts over."`
	PageSize               int           `json:"page_size" unit:"bytes" default:"0" min:"512" max:"64KiB" doc:"Page size of a new file, a power of two; 0 is SQLite's own default. An existing file keeps its page size."`
	AutoVacuum             string        `json:"auto_vacuum" default:"INCREMENTAL" values:"INCREMENTAL|NONE|FULL" doc:"How a new file gives free pages back. An existing file keeps its mode."`
	ReadOnly               bool          `json:"read_only" default:"false" doc:"Open the file for reading only. There is no writer, and a missing file is an error."`
	AllowNetworkFilesystem bool          `json:"allow_network_filesystem" default:"false" doc:"Open a file on a network or bridged file system (NFS, SMB, 9p, virtiofs, FUSE) instead of refusing it. Locks that don't hold there lose data."`
	AllowHardLinks         bool          `json:"allow_hard_links" default:"false" doc:"Open a file that has several names instead of refusing it. Processes that use different names don't see each other's log."`
	ControlSocket          Switch        `json:"control_socket" default:"true" doc:"Answer other processes of this user who ask which call sites and statements hold the locks, on a socket beside the database (its name and -holdfast.sock, 0600). Values are never told. A database in memory has none. Linux and macOS only."`
	FileMode               string        `json:"file_mode" default:"0600" doc:"Permissions of new files (the database, its log, the lock file), octal in a string. Windows ignores it."`
}

// PoolConfig sizes the pool of readers and watches over what is leased from it.
type PoolConfig struct {
	MinConnections      int           `json:"min_connections" default:"1" max:"10000" off:"every idle reader may be closed" doc:"Readers that stay open although idle."`
	MaxConnections      int           `json:"max_connections" max:"10000" computed:"database.max_connections, else the larger of 8 and the number of CPUs" doc:"The most readers open at once. The write connection is always one more."`
	ConnectionLifetime  time.Duration `json:"connection_lifetime" unit:"s" default:"1h" off:"a reader is never closed for its age" doc:"A reader older than this is closed when it comes back."`
	IdleTimeout         time.Duration `json:"idle_timeout" unit:"s" default:"5m" off:"a reader is never closed for idling" doc:"A reader idle for this long is closed, down to min_connections."`
	HealthCheckInterval time.Duration `json:"health_check_interval" unit:"s" default:"1m" off:"idle readers are not checked" doc:"A reader idle for this long is checked before it is used again."`
	LeakThreshold       time.Duration `json:"leak_threshold" unit:"s" default:"1m" off:"nothing is reported" doc:"A reader leased for longer (rows or a transaction left open) is reported once, with the call site."`
	MaxLeaseAge         time.Duration `json:"max_lease_age" unit:"s" default:"off" off:"a lease is never ended" doc:"A lease older than this is ended with ErrEvicted."`
	ReadAheadRows       int           `json:"read_ahead_rows" default:"64" max:"65536" off:"nothing is read ahead" doc:"A result of at most this many rows is read at once, so that its reader goes back before the rows are looked at."`
	ReadAheadBytes      int64         `json:"read_ahead_bytes" unit:"bytes" default:"64KiB" max:"64MiB" off:"nothing is read ahead" doc:"The same bound in bytes; the smaller of the two decides."`
	StatementCacheSize  int           `json:"statement_cache_size" default:"128" max:"65536" off:"nothing is cached" doc:"Prepared statements that each connection keeps."`
}

// RetryConfig says how often and after which pauses a transaction is redone.
type RetryConfig struct {
	MaxRetries         int           `json:"max_retries" default:"5" max:"1000" off:"a transaction runs once" doc:"How many times a transaction is redone before its error is returned."`
	BaseWaitTime       time.Duration `json:"base_wait_time" unit:"s" default:"100ms" max:"1h" doc:"The pause before the first redo."`
	MaxWaitTime        time.Duration `json:"max_wait_time" unit:"s" default:"5s" max:"1h" doc:"The longest pause."`
	ExponentialBackoff Switch        `json:"exponential_backoff" default:"true" doc:"Double the pause after each redo."`
	Jitter             Switch        `json:"jitter" default:"true" doc:"Vary the pause at random, so that transactions which collided don't meet again."`
}

// WriterConfig says how writes are queued and put together into commits.
type WriterConfig struct {
	MaxGroup             int           `json:"max_group" default:"256" max:"65536" doc:"The most units (statements, batches, transactions) that share one COMMIT. 1 gives each its own."`
	MaxGroupDuration     time.Duration `json:"max_group_duration" unit:"ms" default:"20ms" max:"1m" doc:"A group older than this is committed although more units wait."`
	JoinThreshold        time.Duration `json:"join_threshold" unit:"ms" default:"1ms" max:"1m" off:"an interactive transaction never shares a COMMIT" doc:"Interactive transactions share a COMMIT when their call site's measured hold is below this."`
	QueueLimit           int           `json:"queue_limit" default:"100000" off:"no limit" doc:"The most units that may wait for the writer; one more gets ErrQueueFull at once."`
	FairLock             Switch        `json:"fair_lock" default:"true" doc:"Take turns with other Holdfast processes by a lock file beside the database."`
	FenceInterval        time.Duration `json:"fence_interval" unit:"s" default:"1s" off:"only before each group" doc:"How often the file is compared with the one that was opened, besides before each group."`
	WriteWhenDamaged     bool          `json:"write_when_damaged" default:"false" doc:"Go on writing a database that was found to be damaged. What is written may be lost with it, and makes the damage worse. False stops all writes with ErrFenced; reads go on."`
	IdempotencyRetention time.Duration `json:"idempotency_retention" unit:"s" default:"168h" off:"kept for ever" doc:"How long the key of an idempotent write is remembered."`
	SlowHolder           time.Duration `json:"slow_holder" unit:"s" default:"1s" off:"nothing is reported" doc:"A write transaction that was open for this long is reported when it ends, with its call site, first and last statement and outcome. Results and read transactions are after connection_pool.leak_threshold."`
	MaxTransactionAge    time.Duration `json:"max_transaction_age" unit:"s" default:"off" off:"a transaction is never ended" doc:"A write transaction open for longer is rolled back with ErrEvicted."`
}

// MaintenanceConfig says what is done in the background, and when.
type MaintenanceConfig struct {
	Checkpoints      string        `json:"checkpoints" default:"AUTO" values:"AUTO|OWN|EXTERNAL" doc:"Who copies the log into the database and begins it anew. OWN: this library. EXTERNAL: another program; nothing is done here. AUTO: this library, unless Litestream's directory lies beside the database; with only Litestream's tables in it the log is copied, but never waited for nor cut."`
	Enabled          Switch        `json:"enabled" default:"true" doc:"Look after the log, the statistics and the space of the database without being asked. False leaves all of it to DB.Checkpoint, DB.Optimize and DB.Verify, and to SQLite's own automatic checkpoint."`
	Jitter           time.Duration `json:"jitter" unit:"s" default:"1m" max:"24h" off:"nothing is added" doc:"The most that is added at random to the time of a task: half a minute after Open, at the beginning of a window, after each interval. It keeps many programs of one host from beginning at once. Each draws once."`
	MemoryByNeed     Switch        `json:"memory_by_need" default:"true" doc:"Divide database.memory_budget among the connections by what their page caches miss, once a second, and make them smaller while a control group or GOMEMLIMIT leaves less than a tenth. False gives each connection an equal part."`
	OptimizeInterval time.Duration `json:"optimize_interval" unit:"s" default:"24h" min:"1s" off:"only when it is asked for" doc:"How often the statistics of the query planner are looked at."`
	QuietWrites      int           `json:"quiet_writes" default:"100" min:"1" doc:"How many writes a second leave the database quiet enough for a task to begin. Above that it waits, at most one interval and at least an hour."`
	TimeZone         string        `json:"time_zone" default:"Local" doc:"Whose clock maintenance.windows is about: Local, UTC, or a name such as Europe/Berlin."`
	VacuumInterval   time.Duration `json:"vacuum_interval" unit:"s" default:"1h" min:"1s" off:"only when it is asked for" doc:"How often free pages are looked for, to be given back in small steps."`
	VerifyInterval   time.Duration `json:"verify_interval" unit:"s" default:"off" min:"1s" off:"only when it is asked for" doc:"How often the whole database is checked. It is read to the end each time."`
	WALLimit         int64         `json:"wal_limit" unit:"bytes" default:"64MiB" min:"1MiB" off:"no limit" doc:"A write-ahead log larger than this is too large. Readers that overlap, none of them long, are then held back for a moment (200 ms at most), so that the log can be begun anew; what no moment helps against, such as a read transaction that was left open, is reported with whoever it is."`
	Yield            Switch        `json:"yield" default:"true" doc:"Rest while others write: what lasts (DB.Backup, DB.Verify, counting for DB.Optimize) works in pieces of 0.05 ms then, with rests of 16 times as long between them, so it takes 17 times as long or more, and a write meets a piece at most; PASSIVE checkpoints in a row come 75 ms apart. False works at full speed."`
	Windows          string        `json:"windows" default:"always" doc:"The hours in which optimize, vacuum and verify run: always, or such as \"02:00-05:00\" or \"Mon-Fri 01:00-04:00; Sat,Sun 00:00-08:00\". A window that ends before it begins ends on the next day. What is running when one ends is ended too."`
}

// ReplicationConfig says where the database is copied to continuously, and
// whether writes wait for that.
type ReplicationConfig struct {
	Target           string        `json:"target" doc:"Where to: a directory, or the URL of one in an object store or on a server. Empty is nowhere. It never contains a password or a key: those come from the environment."`
	Mode             string        `json:"mode" default:"ASYNC" values:"ASYNC|DURABLE" doc:"When a write is acknowledged. ASYNC: after its COMMIT; what is lost with this machine is what was committed since the last upload. DURABLE: after its upload, which it shares with the others that wait. Reads wait for nothing in either: they see what is committed here."`
	Interval         time.Duration `json:"interval" unit:"s" default:"1s" min:"10ms" max:"1h" doc:"How often what was committed is uploaded. In DURABLE mode a write that waits is uploaded at once."`
	LagLimit         time.Duration `json:"lag_limit" unit:"s" default:"1m" off:"no limit" doc:"Health warns when the oldest commit that is not yet at the target is older than this."`
	UploadTimeout    time.Duration `json:"upload_timeout" unit:"s" default:"30s" max:"1h" off:"only the caller's context ends the wait" doc:"In DURABLE mode, the longest that a write waits for its upload after its COMMIT. Then the answer is ErrOutcomeUnknown: it is committed here, and may not be at the target."`
	SnapshotInterval time.Duration `json:"snapshot_interval" unit:"s" default:"24h" min:"1m" doc:"How often a copy of everything is put at the target. A restore reads the last one before its time and all changes since."`
	Retention        time.Duration `json:"retention" unit:"s" default:"72h" min:"1m" doc:"How long the database can be restored to what it was, in steps of 30 seconds. At least one copy of everything and what follows it stays."`
	ExactFor         time.Duration `json:"exact_for" unit:"s" default:"10m" min:"1m" max:"24h" doc:"How long each upload is kept by itself, so that a restore is exact to it. After that there are the steps of 30 seconds."`
	TakeOver         Switch        `json:"take_over" default:"false" doc:"Go on in a target that has a history which nothing beside this database shows to be its own: after a restore on another machine, or when the directory of Litestream's beside it was lost. It begins with a copy of everything; what is there stays restorable. Nobody else may replicate there any more."`
	CloseTimeout     time.Duration `json:"close_timeout" unit:"s" default:"30s" max:"1h" off:"as long as it takes" doc:"The longest that Close waits until what is left has been uploaded."`
	Lease            time.Duration `json:"lease" unit:"s" default:"off" min:"1s" max:"1h" off:"this machine alone writes" doc:"Own the target by a lease of this length (3s), so that another machine can take over (holdfast standby): what is written is then at TARGET/epoch-N. Writes are ErrFenced from when the lease can't be renewed. Open fails while the target can't be reached, or another machine has the lease."`
	Address          string        `json:"address" doc:"With a lease: where others reach this machine. It is what the standby and holdfast failover status tell."`
}

// BackupConfig says where, how often and for how long the database is backed up.
type BackupConfig struct {
	Destination string        `json:"destination" doc:"The directory that backups are made in, best on another disk. Empty: none are made."`
	DrillEvery  time.Duration `json:"drill_every" unit:"s" default:"off" min:"1m" off:"none is restored" doc:"How often the newest backup is restored to a directory of its own, checked, and removed again. It needs room for the database there, and keeps to maintenance.windows."`
	Every       time.Duration `json:"every" unit:"s" default:"off" min:"1s" off:"none is made" doc:"How often a backup is made. One that was missed, because no process ran, is made once, soon after Open. It keeps to no window and waits for no quiet: it takes one reader, and disturbs nobody."`
	Format      string        `json:"format" doc:"What a backup is: a plain copy if empty, else the ending of an archive that the program has compiled in, such as .tar.zst of package backup/archive."`
	Keep        string        `json:"keep" doc:"Which backups stay when a new one was made, such as last=3,hourly=24,daily=7,weekly=4,monthly=12, or some of these, in UTC. Empty: all."`
}

// LimitsConfig bounds what one statement may ask of the engine.
type LimitsConfig struct {
	UntrustedSQL      bool `json:"untrusted_sql" default:"false" doc:"The statements come from outside: from HTTP, a dashboard, a person. They may only read the tables of this file, one statement at a time. Every ATTACH, every PRAGMA that sets, and functions with effects are refused. Limits that are not set get low values. The handle has connections of its own, also beside others on the same file."`
	UntrustedFile     bool `json:"untrusted_file" default:"false" doc:"The file comes from outside: it is checked whole when it is opened, each page once more when it is read, and it is never mapped into memory."`
	Defensive         bool `json:"defensive" default:"false" doc:"No SQL can write the file past SQLite: not its pages (sqlite_dbpage), the tables behind full-text indexes, or the schema as text. For statements that come from outside and write, as over HTTP."`
	ValueLength       int  `json:"value_length" unit:"bytes" default:"256MiB" min:"1KiB" max:"1000000000" doc:"Longest text, blob or row. With limits.untrusted_sql the default is 1000000. What one function does with one value is not interrupted when a context ends: 256 MiB take up to half a second."`
	SQLLength         int  `json:"sql_length" unit:"bytes" default:"64MiB" min:"1KiB" max:"1000000000" doc:"Longest statement text. With limits.untrusted_sql the default is 100000."`
	Column            int  `json:"column" default:"0" min:"16" max:"2000" doc:"Most columns of a table, index, result or clause; 0 is SQLite's 2000. With limits.untrusted_sql it is 200 where every table has fewer."`
	ExprDepth         int  `json:"expr_depth" default:"0" max:"1000" doc:"Deepest expression; 0 is SQLite's 1000."`
	CompoundSelect    int  `json:"compound_select" default:"0" max:"500" doc:"Most terms of a compound SELECT; 0 is SQLite's 500."`
	VDBEOp            int  `json:"vdbe_op" default:"0" max:"250000000" doc:"Most instructions of a compiled statement; 0 is SQLite's 250000000."`
	FunctionArg       int  `json:"function_arg" default:"0" max:"1000" doc:"Most arguments of a function; 0 is SQLite's 1000."`
	Attached          int  `json:"attached" default:"0" max:"10" off:"ATTACH is refused, and with it VACUUM, which attaches its copy" doc:"Most attached databases; 0 is SQLite's 10."`
	LikePatternLength int  `json:"like_pattern_length" unit:"bytes" default:"0" max:"50000" doc:"Longest pattern of LIKE and GLOB; 0 is SQLite's 50000."`
	VariableNumber    int  `json:"variable_number" default:"0" max:"32766" doc:"Highest parameter number; 0 is SQLite's 32766."`
	TriggerDepth      int  `json:"trigger_depth" default:"0" max:"1000" doc:"Deepest recursion of triggers; 0 is SQLite's 1000."`
	AllowUnsafe       bool `json:"allow_unsafe" default:"false" doc:"Permit what can corrupt the file: synchronous OFF, journal mode OFF or MEMORY, engines with known corruption bugs or without thread safety."`
}

// TelemetryConfig says what is counted of statements.
type TelemetryConfig struct {
	Enabled       Switch `json:"enabled" default:"true" doc:"Count what each statement costs, under its text without values: calls, errors, rows, times, waits, steps, pages, plans. In memory only, 2 to 3 KB for each statement and processor (eight at most), and less than 1 us of each call."`
	MaxStatements int    `json:"max_statements" default:"500" min:"10" max:"1000" doc:"How many different statements are counted apart. The rest counts together; a statement that is worth more than one that is counted apart takes its place."`
	SampleValues  bool   `json:"sample_values" default:"false" doc:"Keep the values of the parameters of a few calls, the first 64 bytes of each, in memory, for DB.Queries of this process alone. False keeps their types and lengths."`
	History       Switch `json:"history" default:"true" doc:"Write down each minute what was counted, in a database beside this one (its name and -holdfast.telemetry): 1 minute for 2 days, 10 minutes for 14 days, 1 hour for 400 days; see DB.History. A process that ends within its first minute makes no file, nor does one that doesn't write the database, or has it in memory. Where it can't be written, nothing else fails."`
	HistoryLimit  int64  `json:"history_limit" unit:"bytes" default:"64MiB" min:"4MiB" doc:"The most that the history takes on the disk. The oldest makes room."`
	Release       string `json:"release" doc:"What the build of the program is called in the history, for \"holdfast queries --compare release\": a version or a commit. Without it, it is the version of the main module, where Go knows one."`
}

// Switch is a setting that is on, off, or left to its default.
// In JSON it is true, false, or absent.
type Switch int8

// The zero value leaves the choice to Holdfast.
const (
	Default Switch = iota
	On
	Off
)

// Enabled reports whether the switch is On. Default isn't: in the Config that
// Holdfast works with, every switch is On or Off.
func (s Switch) Enabled() bool { return s == On }

// ConfigSection is a section of a program's own, beside those of Config, in the same
// file, environment and flags, under the same rules.
type ConfigSection struct {
	Name string // "serve"; not the name of a section of Config
	Doc  string
	Into any // a pointer to a struct whose fields have the tags that Config explains
}

// NamedConfig is the configuration of one of several databases.
type NamedConfig struct {
	Name string
	Config
}

func (src ConfigSource) sections() []config.Section {
	list := make([]config.Section, 0, len(src.Sections))
	for _, s := range src.Sections {
		list = append(list, config.Section(s))
	}
	return list
}

// addDatabases reads the members of the object "databases" over file, which is what
// the sections beside it have set.
func (r *ConfigReport) addDatabases(members []config.Database, file Config, src ConfigSource) error {
	var errs []error
	for _, member := range members {
		c := NamedConfig{Name: member.Name, Config: file}
		l := settings().Loader(&c.Config)
		l.Database(member)
		if err := configError(l.Mistakes); err != nil {
			errs = append(errs, err)
			continue
		}
		stated := l.Origins
		// Their mistakes are known: they were applied to the whole file as well.
		again := settings().Loader(&c.Config)
		again.Environment(src.Env)
		again.Overrides(src.Overrides)
		effective, notes, err := c.withDefaults()
		if err != nil {
			errs = append(errs, ofDatabase(err, member.Name))
			continue
		}
		for _, n := range notes {
			if !slices.Contains(r.Notes, n) {
				r.Notes = append(r.Notes, "databases."+member.Name+": "+n)
			}
		}
		defaults := DefaultConfig()
		for _, v := range settings().Values(&effective, &defaults, stated) {
			if stated[v.Key] != "" && again.Origins[v.Key] == "" {
				v.Key = "databases." + member.Name + "." + v.Key
				r.Values = append(r.Values, ConfigValue(v))
			}
		}
		r.Databases = append(r.Databases, c)
	}
	return errors.Join(errs...)
}

// ofDatabase says of which of several databases err is, which are joined *ConfigError.
func ofDatabase(err error, name string) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var errs []error
		for _, e := range joined.Unwrap() {
			errs = append(errs, ofDatabase(e, name))
		}
		return errors.Join(errs...)
	}
	if e, ok := errors.AsType[*ConfigError](err); ok {
		prefix := "databases." + name
		return &ConfigError{Key: prefix + "." + e.Key, Where: e.Where, Problem: prefix + ": " + e.Problem}
	}
	return err
}

// ConfigError is one thing that is wrong with a configuration. Several of them
// come joined, as by errors.Join. It may quote the value of a setting, which is
// never a parameter of a statement.
type ConfigError struct {
	Key     string // dotted, "database.busy_timeout"; empty if no key is at fault
	Where   string // "holdfast.json:4:5", "environment variable HOLDFAST_...", "flag", or empty
	Problem string // a sentence that names the key
}

func (e *ConfigError) Error() string {
	if e.Where == "" {
		return e.Problem
	}
	return e.Where + ": " + e.Problem
}

// cachePragma is the value for PRAGMA cache_size on each connection. c must be
// complete.
func (c Config) cachePragma() int {
	if c.Database.CacheSize != 0 {
		return c.Database.CacheSize
	}
	return -int(max(c.Database.MemoryBudget/c.connections(), minCacheShare) >> 10)
}

// minCacheShare is the least page cache that a connection works well with: the
// inner pages of a few trees.
const minCacheShare = 64 << 10

// connections counts the readers and the writer.
func (c Config) connections() int64 { return int64(c.ConnectionPool.MaxConnections) + 1 }

// fileMode is FileMode as the file functions want it. c must be complete.
func (d DatabaseConfig) fileMode() fs.FileMode {
	n, _ := strconv.ParseUint(d.FileMode, 8, 32)
	return fs.FileMode(n)
}

// configFindings collects what the rules have to say about config, which is complete.
type configFindings struct {
	config *Config
	notes  []string
	errs   []error
}

func (f *configFindings) note(format string, args ...any) {
	f.notes = append(f.notes, fmt.Sprintf(format, args...))
}

func (f *configFindings) fail(key, format string, args ...any) {
	f.errs = append(f.errs, &ConfigError{Key: key, Problem: key + fmt.Sprintf(format, args...)})
}

// changed keeps the keys, or sections ("writer."), that differ from their
// defaults. Only those are worth a note: a default that has no effect misleads
// nobody.
func (f *configFindings) changed(keys ...string) []string {
	var out []string
	for _, name := range settings().Changed(f.config) {
		if slices.ContainsFunc(keys, func(k string) bool {
			return name == k || strings.HasSuffix(k, ".") && strings.HasPrefix(name, k)
		}) {
			out = append(out, name)
		}
	}
	return out
}

// ignored notes that those of keys which were changed have no effect.
func (f *configFindings) ignored(because string, keys ...string) {
	if keys = f.changed(keys...); len(keys) > 0 {
		verb := " is"
		if len(keys) > 1 {
			verb = " are"
		}
		f.note("%s%s ignored: %s", strings.Join(keys, ", "), verb, because)
	}
}

// configRules are the relations between settings. The doc of each stands in
// the reference page. Open reports what the checks note; what they fail is
// refused. Package-level because it is a table, and never written to.
var configRules = []struct {
	doc   string
	check func(c Config, f *configFindings)
}{
	{"The number of readers can stand in two places: `connection_pool.max_connections` decides, else `database.max_connections`, else it is the larger of 8 and the number of CPUs. If both are set and differ, a note says which is ignored. The writer is always one more.", nil},
	{"`connection_pool.min_connections` above the number of readers is an error.", checkMinConnections},
	{"`database.busy_timeout` above `database.connection_timeout` gets a note: a statement may wait longer for a lock than for a connection. A `busy_timeout` below 100 ms gets one too, because its bare numbers are milliseconds while all other keys of the block count seconds.", checkTimeouts},
	{"`database.cache_size` wins over `database.memory_budget`. It is for each connection: a note gives the total when that is more than the budget. A budget that leaves a connection less than 64 KiB gets a note.", checkCache},
	{"`database.synchronous` = OFF without `limits.allow_unsafe` is an error. EXTRA means FULL in WAL mode, and NORMAL without WAL can corrupt the file on power loss; both get a note.", checkSynchronous},
	{"`database.page_size` that is no power of two, and `database.file_mode` that is not octal, withholds the file from its owner or grants more than reading and writing, are errors.", checkFile},
	{"With `database.read_only` the keys of `writer` and `retry_logic`, `database.page_size`, `database.auto_vacuum`, `database.file_mode`, `database.control_socket`, `maintenance.checkpoints`, `maintenance.wal_limit` and the keys of `replication` are ignored; a note lists those that were changed.", checkReadOnly},
	{"`connection_pool.idle_timeout` above `connection_pool.connection_lifetime`, and `connection_pool.leak_threshold` above `connection_pool.max_lease_age`, never come true and get a note.", checkAges},
	{"With `limits.untrusted_sql` the database is opened as with `database.read_only`, and limits that are not set get low values. `limits.untrusted_file` excludes `database.mmap_size`.", checkUntrusted},
	{"If one of `connection_pool.read_ahead_rows` and `connection_pool.read_ahead_bytes` is off, nothing is read ahead and the other is ignored, with a note.", checkReadAhead},
	{"`retry_logic.base_wait_time` above `retry_logic.max_wait_time` is an error. Without `exponential_backoff` the longest pause is never reached, and with `max_retries` off there are no pauses: keys that were changed in vain get a note.", checkRetry},
	{"`maintenance.windows` and `maintenance.time_zone` that can't be read are errors. Without `maintenance.enabled` the other keys of the section are ignored, but for `maintenance.checkpoints` = EXTERNAL; a note lists those that were changed.", checkMaintenance},
	{"`replication.target` needs `database.enable_wal_mode`, and one with a password or a key in it is an error. With a target `maintenance.checkpoints` is ignored: the log is the replication's. Without one the other keys of the section are. Both get a note, and so does a `replication.lag_limit` below `replication.interval`, which is exceeded all the time.", checkReplication},
	{"`backup.keep` that can't be read, and a `backup.destination` with a password or a key in it, are errors. Without `backup.destination`, or with it and neither `backup.every` nor `backup.drill_every`, the section has no effect, with a note.", checkBackup},
	{"`writer.join_threshold` above `writer.max_group_duration` gets a note: one such transaction outlasts its group. With `writer.max_group` = 1 nothing is shared, and both are ignored, with a note.", checkWriter},
}

func checkMinConnections(c Config, f *configFindings) {
	if p := c.ConnectionPool; p.MinConnections > p.MaxConnections {
		f.fail("connection_pool.min_connections", " = %d is more than the %d readers of connection_pool.max_connections", p.MinConnections, p.MaxConnections)
	}
}

func checkTimeouts(c Config, f *configFindings) {
	d := c.Database
	if d.ConnectionTimeout > 0 && d.BusyTimeout > d.ConnectionTimeout {
		f.note("database.busy_timeout = %s is longer than database.connection_timeout = %s: a statement may wait longer for a lock than for a connection",
			config.FormatDuration(d.BusyTimeout), config.FormatDuration(d.ConnectionTimeout))
	}
	if d.BusyTimeout > 0 && d.BusyTimeout < 100*time.Millisecond {
		f.note("database.busy_timeout = %s is short: bare numbers are milliseconds here, \"30s\" says what it means", config.FormatDuration(d.BusyTimeout))
	}
}

func checkCache(c Config, f *configFindings) {
	d := c.Database
	if d.CacheSize == 0 {
		if d.MemoryBudget < minCacheShare*c.connections() {
			f.note("database.memory_budget = %s leaves each of %d connections less than %s of page cache",
				config.FormatSize(d.MemoryBudget), c.connections(), config.FormatSize(minCacheShare))
		}
		return
	}
	f.ignored("database.cache_size decides", "database.memory_budget", "maintenance.memory_by_need")
	each := -int64(d.CacheSize) << 10
	if d.CacheSize > 0 {
		page := int64(max(d.PageSize, 4096)) // SQLite's default unless asked otherwise
		each = int64(d.CacheSize) * page
	}
	if total := each * c.connections(); total > d.MemoryBudget {
		f.note("database.cache_size = %d is for each of %d connections: together they may use %d MiB",
			d.CacheSize, c.connections(), total>>20)
	}
}

func checkSynchronous(c Config, f *configFindings) {
	switch wal := c.Database.EnableWALMode.Enabled(); {
	case c.Database.Synchronous == "OFF" && !c.Limits.AllowUnsafe:
		f.fail("database.synchronous", " = OFF can corrupt the file on power loss; limits.allow_unsafe = true permits it")
	case c.Database.Synchronous == "EXTRA" && wal:
		f.note("database.synchronous = EXTRA means FULL in WAL mode")
	case c.Database.Synchronous == "NORMAL" && !wal:
		f.note("database.synchronous = NORMAL without WAL mode can corrupt the file on power loss; FULL can't")
	}
}

func checkFile(c Config, f *configFindings) {
	if n := c.Database.PageSize; bits.OnesCount(uint(n)) > 1 {
		f.fail("database.page_size", " = %d is no power of two", n)
	}
	mode, err := strconv.ParseUint(c.Database.FileMode, 8, 32)
	switch {
	case err != nil:
		f.fail("database.file_mode", ": expected octal permissions such as \"0600\", got %s", config.Quote(c.Database.FileMode))
	case mode&0o600 != 0o600:
		f.fail("database.file_mode", " = %s withholds the file from its owner", c.Database.FileMode)
	case mode&^0o666 != 0:
		f.fail("database.file_mode", " = %s grants more than reading and writing", c.Database.FileMode)
	}
}

func checkReadOnly(c Config, f *configFindings) {
	if c.Database.ReadOnly {
		f.ignored("database.read_only is set", "writer.", "retry_logic.",
			"database.page_size", "database.auto_vacuum", "database.file_mode", "database.control_socket",
			"maintenance.checkpoints", "maintenance.wal_limit", "replication.")
	}
}

func checkUntrusted(c Config, f *configFindings) {
	if c.Limits.UntrustedFile && c.Database.MmapSize > 0 {
		f.fail("database.mmap_size", " = %s maps a file into memory that limits.untrusted_file calls untrusted: damage there ends the process", config.FormatSize(c.Database.MmapSize))
	}
}

func checkMaintenance(c Config, f *configFindings) {
	m := c.Maintenance
	if _, err := schedule.ParseWindows("", m.TimeZone); err != nil {
		f.fail("maintenance.time_zone", ": %s", err)
	} else if _, err := schedule.ParseWindows(m.Windows, m.TimeZone); err != nil {
		f.fail("maintenance.windows", ": %s", err)
	}
	if m.Enabled.Enabled() {
		return
	}
	keys := []string{
		"maintenance.jitter", "maintenance.optimize_interval", "maintenance.quiet_writes", "maintenance.time_zone",
		"maintenance.vacuum_interval", "maintenance.verify_interval", "maintenance.wal_limit", "maintenance.windows",
	}
	if m.Checkpoints != "EXTERNAL" {
		keys = append(keys, "maintenance.checkpoints")
	}
	f.ignored("maintenance.enabled is off", keys...)
}

func checkReplication(c Config, f *configFindings) {
	r := c.Replication
	switch {
	case c.Database.ReadOnly:
		return // checkReadOnly says it
	case r.Target == "":
		f.ignored("without replication.target nothing is replicated", "replication.")
		return
	case !c.Database.EnableWALMode.Enabled():
		f.fail("replication.target", " needs database.enable_wal_mode: replication ships the write-ahead log")
	case hasSecret(r.Target):
		// The text is not quoted: it is the secret.
		f.fail("replication.target", " contains a password or a key: leave it to the environment, or to a key file")
	}
	f.ignored("with replication.target the log is the replication's", "maintenance.checkpoints")
	if r.LagLimit > 0 && r.LagLimit < r.Interval {
		f.note("replication.lag_limit = %s is shorter than replication.interval = %s: it is exceeded all the time",
			config.FormatDuration(r.LagLimit), config.FormatDuration(r.Interval))
	}
}

// hasSecret tells whether a target has in it what nobody may read in a log, a
// list of processes or a configuration that is passed around.
func hasSecret(target string) bool {
	u, err := url.Parse(target)
	if err != nil {
		return strings.Contains(target, "://") && strings.Contains(target, "@") // not to be quoted either
	}
	if _, ok := u.User.Password(); ok {
		return true
	}
	for key, values := range u.Query() {
		if slices.ContainsFunc(values, func(v string) bool { return strings.Contains(v, "@") }) { // an endpoint with a user
			return true
		}
		key = strings.ToLower(key)
		if strings.Contains(key, "secret") || strings.Contains(key, "password") || strings.Contains(key, "token") || strings.Contains(key, "access") {
			return true
		}
	}
	return false
}

func checkBackup(c Config, f *configFindings) {
	b := c.Backup
	if b.Keep != "" {
		if _, err := retain.Parse(b.Keep); err != nil {
			f.fail("backup.keep", ": %s", err)
		}
	}
	if hasSecret(b.Destination) {
		f.fail("backup.destination", " contains a password or a key: leave it to the environment, or to a key file")
	}
	if b.Destination == "" {
		f.ignored("backup.destination is not set", "backup.")
	} else if b.Every <= 0 && b.DrillEvery <= 0 {
		f.ignored("neither backup.every nor backup.drill_every is set", "backup.")
	}
}

func checkAges(c Config, f *configFindings) {
	p := c.ConnectionPool
	if p.ConnectionLifetime > 0 && p.IdleTimeout > p.ConnectionLifetime {
		f.ignored("connection_pool.connection_lifetime = "+config.FormatDuration(p.ConnectionLifetime)+" ends a reader first",
			"connection_pool.idle_timeout")
	}
	if p.MaxLeaseAge > 0 && p.LeakThreshold > p.MaxLeaseAge {
		f.ignored("connection_pool.max_lease_age = "+config.FormatDuration(p.MaxLeaseAge)+" ends a lease first",
			"connection_pool.leak_threshold")
	}
}

func checkReadAhead(c Config, f *configFindings) {
	if c.ConnectionPool.ReadAheadRows < 0 && c.ConnectionPool.ReadAheadBytes > 0 {
		f.ignored("connection_pool.read_ahead_rows is off", "connection_pool.read_ahead_bytes")
	}
	if c.ConnectionPool.ReadAheadBytes < 0 && c.ConnectionPool.ReadAheadRows > 0 {
		f.ignored("connection_pool.read_ahead_bytes is off", "connection_pool.read_ahead_rows")
	}
}

func checkRetry(c Config, f *configFindings) {
	r := c.RetryLogic
	switch {
	case r.BaseWaitTime > r.MaxWaitTime:
		f.fail("retry_logic.base_wait_time", " = %s is longer than retry_logic.max_wait_time = %s",
			config.FormatDuration(r.BaseWaitTime), config.FormatDuration(r.MaxWaitTime))
	case r.MaxRetries < 0:
		f.ignored("retry_logic.max_retries is off", "retry_logic.base_wait_time", "retry_logic.max_wait_time",
			"retry_logic.exponential_backoff", "retry_logic.jitter")
	case !r.ExponentialBackoff.Enabled():
		f.ignored("without retry_logic.exponential_backoff every pause is base_wait_time", "retry_logic.max_wait_time")
	}
}

func checkWriter(c Config, f *configFindings) {
	w := c.Writer
	switch {
	case w.MaxGroup == 1:
		f.ignored("writer.max_group = 1 gives each unit its own COMMIT", "writer.max_group_duration", "writer.join_threshold")
	case w.JoinThreshold > w.MaxGroupDuration:
		f.note("writer.join_threshold = %s is longer than writer.max_group_duration = %s: one such transaction outlasts its group",
			config.FormatDuration(w.JoinThreshold), config.FormatDuration(w.MaxGroupDuration))
	}
}

// Option changes one setting of Open. Options are applied in order, over the
// defaults; Config has every setting and OpenConfig takes it whole.
type Option func(*Config)

// WithLogger sends what an operator wants to know to l: leaks, evictions,
// fencing, connections given up. Default: silent. No line contains a value.
func WithLogger(l *slog.Logger) Option {
	return func(c *Config) { c.Logger = l }
}

// WithBusyTimeout sets the budget for lock waits of one statement or
// transaction. Default 30 s; d <= 0 never waits.
func WithBusyTimeout(d time.Duration) Option {
	return func(c *Config) { c.Database.BusyTimeout = orOff(d) }
}

// WithReaders sets how many reader connections may be open at once. Default:
// the larger of 8 and the number of CPUs. The writer is one more.
func WithReaders(n int) Option {
	return func(c *Config) { c.ConnectionPool.MaxConnections = n }
}

// WithSynchronous sets when a commit reaches the disk: "FULL" (default, before
// it is acknowledged), "NORMAL" (a power cut may undo the last commits, never
// corrupt) or "EXTRA". See https://www.sqlite.org/pragma.html#pragma_synchronous.
func WithSynchronous(mode string) Option {
	return func(c *Config) { c.Database.Synchronous = mode }
}

// WithReadOnly opens the file for reading only; it must exist.
func WithReadOnly() Option {
	return func(c *Config) { c.Database.ReadOnly = true }
}

// WithoutControlSocket makes no socket beside the database (DB.Path() plus
// "-holdfast.sock"), so that "holdfast locks" and the like show this process as
// any other: without call sites and statements. Default: 100 ms after Open there
// is one, which only this user may connect to, and which ends with Close. A database
// in memory or open for reading only has none, nor has a system other than Linux
// and macOS, nor a test in a bubble of testing/synctest.
func WithoutControlSocket() Option {
	return func(c *Config) { c.Database.ControlSocket = Off }
}

// WithUntrustedSQL opens the file for statements that come from outside, as from
// an HTTP API. They may read the tables of the file, one statement at a time, and
// nothing else: what writes gives ErrReadOnly, and ATTACH, a PRAGMA that sets or
// tells where the file is, a function with effects, a virtual table that reads
// raw pages give ErrRefused. Limits that are not set get low values, and a
// context that ends stops the statement within half a second; give each one a
// deadline, there is no other. The file must exist.
//
// The handle has readers of its own, so that hostile statements can't take those
// of other handles that the process has on the same file. WithReaders bounds how
// many run at once.
func WithUntrustedSQL() Option {
	return func(c *Config) { c.Limits.UntrustedSQL = true }
}

// WithUntrustedFile opens a file that comes from outside: Open checks the whole
// of it and gives ErrCorrupt if anything is wrong, each page is checked again when
// it is read, and the schema can't be written past SQLite. It takes as long as
// reading the file, within connection_timeout.
func WithUntrustedFile() Option {
	return func(c *Config) { c.Limits.UntrustedFile = true }
}

// WithMemoryBudget sets the bytes that all page caches of the database in this
// process may use together. Default 64 MiB.
func WithMemoryBudget(bytes int64) Option {
	return func(c *Config) { c.Database.MemoryBudget = bytes }
}

// WithMaxLeaseAge ends transactions and results that are held for longer than
// d with ErrEvicted, so that a forgotten one cannot pin the write-ahead log or
// the writer for ever. Default: never.
func WithMaxLeaseAge(d time.Duration) Option {
	return func(c *Config) {
		c.ConnectionPool.MaxLeaseAge = orOff(d)
		c.Writer.MaxTransactionAge = orOff(d)
	}
}

// WithLeakThreshold sets after how long a Rows, Tx or Conn that is still out is
// reported, with the place that took it. Default 1 min; d <= 0 never.
func WithLeakThreshold(d time.Duration) Option {
	return func(c *Config) { c.ConnectionPool.LeakThreshold = orOff(d) }
}

// orOff turns "no time" into what a Config calls off; its zero is the default.
func orOff(d time.Duration) time.Duration {
	if d <= 0 {
		return -1
	}
	return d
}

// MarshalJSON writes c as the file that LoadConfig reads: bare numbers in each
// key's unit, and only what differs from the zero value. Logger is left out.
// A text that is not valid UTF-8 is mangled, as encoding/json does.
func (c Config) MarshalJSON() ([]byte, error) {
	return settings().JSON(&c), nil
}

// UnmarshalJSON reads c by the rules of a configuration file: it refuses what
// it doesn't know and what can't be, and keeps what the text doesn't mention.
func (c *Config) UnmarshalJSON(text []byte) error {
	next := *c
	l := settings().Loader(&next)
	l.File(text, "")
	if err := configError(l.Mistakes); err != nil {
		return err
	}
	if err := next.Validate(); err != nil {
		return err
	}
	*c = next
	return nil
}
