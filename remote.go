package holdfast

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfastdb/holdfast/internal/dbfile"
	"github.com/holdfastdb/holdfast/internal/locks"
	"github.com/holdfastdb/holdfast/internal/maintain/manifest"
	"github.com/holdfastdb/holdfast/internal/session"
	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// Backend is a database that is no file. Open gets one from the package that has
// registered its scheme, and DB passes on to it what it is asked. The embedded
// Connector makes the sessions of the *sql.DB that DB embeds: its connections run Exec
// and Query, refuse BeginTx with ErrUnsupported where there are no interactive
// transactions, read at ReadLevelOf(ctx), and write nothing where MustRead(ctx).
//
// Its methods are called by several goroutines at once. Their errors are made by
// NewError, or are that of a context that ended before anything was sent. An error that
// isn't ErrOutcomeUnknown says for certain that nothing was written: in doubt it is
// ErrOutcomeUnknown, also when a context has ended. None holds a secret or the value of
// a parameter.
type Backend interface {
	driver.Connector

	// Capabilities is asked often, and sends nothing. Backend, ReadLevels and Replicated
	// are taken from it: no Backend can do the rest, but Restore.
	Capabilities() Capabilities
	// Batch is DB.Batch, with its Results for each statement. Statements that control transactions or change the connection
	// are ErrRefused before anything is sent.
	Batch(ctx context.Context, stmts []Statement, o BatchSettings) (BatchResult, error)
	// Health is DB.Health. An error is only for what keeps it from looking at all; that
	// nobody answers is a finding of a Health that isn't accessible.
	Health(ctx context.Context) (Health, error)
	// Stats is asked often, sends nothing and waits for nobody.
	Stats() Stats
	// Backup writes a copy of the database, as one SQLite file, to w: a committed state of
	// after the call. DB.Backup proves it and gives it its name.
	Backup(ctx context.Context, w io.Writer) error
	// Restore replaces all that is in the database by the SQLite file of size bytes that
	// r yields, whose journal mode is DELETE. DB.Restore has proven it, and counts the
	// rows afterwards, at ReadLinearizable.
	Restore(ctx context.Context, r io.Reader, size int64) error
	// Close is called once. Calls that are under way end soon, and it leaves no goroutine.
	// Nothing but Stats and Capabilities is called after it.
	Close() error
}

// BatchSettings are the options of a Batch as a Backend gets them.
type BatchSettings struct {
	IdempotencyKey string   // "" is none
	Priority       Priority // of what waits
}

// Capabilities is what a back end can do. What it can't is ErrUnsupported.
type Capabilities struct {
	Backend string `json:"backend"` // "file", or the scheme: "rqlite"
	// InteractiveTransactions: BeginTx, Update and View, Migrate. Without them several
	// statements go into one Batch, guarded by Statement.Expect.
	InteractiveTransactions bool `json:"interactive_transactions"`
	// ReadLevels are those that mean something here; the others do no harm.
	ReadLevels  []ReadLevel `json:"read_levels"`
	Replicated  bool        `json:"replicated"`   // a write is acknowledged when a majority of machines has it
	Locks       bool        `json:"locks"`        // Locks, EndHolder
	Optimize    bool        `json:"optimize"`     // Optimize, and Maintenance
	Checkpoint  bool        `json:"checkpoint"`   // Checkpoint
	Verify      bool        `json:"verify"`       // Verify
	Explain     bool        `json:"explain"`      // Explain, Measure
	QueryCounts bool        `json:"query_counts"` // Queries, QueryCounts, Histograms, History
	Restore     bool        `json:"restore"`      // Restore; a file is restored by package backup, while nobody has it open
}

// Capabilities tells what the database can do where it is. It asks nobody.
func (db *DB) Capabilities() Capabilities {
	if db.remote != nil {
		c := db.remote.Capabilities() // the rest is of files
		return Capabilities{Backend: c.Backend, ReadLevels: c.ReadLevels, Replicated: c.Replicated, Restore: true}
	}
	return Capabilities{
		Backend: "file", InteractiveTransactions: true, ReadLevels: []ReadLevel{ReadLinearizable},
		Locks: true, Optimize: true, Checkpoint: true, Verify: true, Explain: true, QueryCounts: true,
	}
}

// backends are the openers by their schemes. It is package-level because it is the
// program, by what it imports, that has them: as with database/sql's drivers.
var backends sync.Map

type opener func(ctx context.Context, address string, cfg Config) (Backend, error)

// RegisterBackend makes Open take addresses that begin with scheme and "://". A
// program imports it with the package that calls this, in its init. open gets the
// whole address and the complete Config, of which it honours what has a meaning for it:
// the logger, database.read_only, busy_timeout and connection_timeout at least. It may
// look at the network, within ctx. A second one of a scheme panics, and so does nil.
func RegisterBackend(scheme string, open func(ctx context.Context, address string, cfg Config) (Backend, error)) {
	if open == nil || Scheme(scheme+"://") != scheme {
		panic("holdfast: RegisterBackend was called with nil, or a scheme that is none")
	}
	if _, taken := backends.LoadOrStore(scheme, opener(open)); taken {
		panic("holdfast: RegisterBackend was called twice for " + scheme)
	}
}

// Scheme is the scheme of an address, which Open hands to its Backend: "rqlite". It is ""
// of the name of a file, of a "file:" URI, and of a volume of Windows, which has one letter.
func Scheme(name string) string {
	scheme, _, found := strings.Cut(name, "://")
	if !found || len(scheme) < 2 || scheme == "file" {
		return ""
	}
	for _, c := range scheme {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '+' {
			return ""
		}
	}
	return scheme
}

// Redacted is the scheme and the machines of an address, to be shown and logged: user,
// password and parameters may be secret. What is no address it returns as it is.
func Redacted(address string) string {
	scheme, rest, _ := strings.Cut(address, "://")
	if Scheme(address) == "" {
		return address
	}
	machines, parameters, _ := strings.Cut(rest, "?")
	if strings.Contains(parameters, "@") { // the question mark may be one of the password
		return scheme + "://..."
	}
	machines, _, _ = strings.Cut(machines[strings.LastIndex(machines, "@")+1:], "/")
	return scheme + "://" + machines
}

// Address is the address of a database that is no file, as Redacted gives it, and else "".
func (db *DB) Address() string {
	if db.remote == nil {
		return ""
	}
	return db.remote.name
}

// remote is one Open of a Backend.
type remote struct {
	Backend
	name   string // the address, without what may be secret
	closed atomic.Bool
}

// Close is called by the *sql.DB, once.
func (r *remote) Close() error {
	r.closed.Store(true)
	return r.Backend.Close()
}

func openRemote(ctx context.Context, scheme string, cfg Config) (*DB, error) {
	refuse := func(text, next string) (*DB, error) {
		return nil, newError("open", ErrRefused, sqlite.ResultMisuse, text, next)
	}
	open, ok := backends.Load(scheme)
	switch {
	case !ok && scheme == "rqlite":
		return refuse("nothing in this program opens rqlite:// addresses", `import _ "github.com/holdfastdb/holdfast/cluster"`)
	case !ok:
		return refuse(fmt.Sprintf("nothing in this program opens %s:// addresses", scheme), "import the package that does; a file of that name is ./"+scheme+"://...")
	case cfg.Limits.UntrustedSQL || cfg.Limits.UntrustedFile:
		return refuse("the limits for SQL or files from outside hold on a file only", "leave limits.untrusted_sql and limits.untrusted_file off, and give the program a user that may only read")
	case cfg.Replication.Target != "":
		return refuse("replication ships a file", "leave replication.target empty: a cluster replicates itself")
	}
	b, err := open.(opener)(ctx, cfg.Database.Path, cfg)
	if err != nil {
		return nil, err
	}
	r := &remote{Backend: b, name: Redacted(cfg.Database.Path)}
	pool := sql.OpenDB(r)
	pool.SetMaxIdleConns(idleSessions)
	return &DB{DB: pool, remote: r}, nil
}

// instead says how to do what works on files only.
var instead = map[string]string{
	"update":     "put its statements into one DB.Batch, and guard by Statement.Expect what it decides by",
	"view":       "read it with one statement, or with several at ReadLinearizable that don't mind a change in between",
	"migrate":    "put the statements that change the schema into one DB.Batch",
	"explain":    "ask for EXPLAIN QUERY PLAN by QueryContext",
	"measure":    "measure it on a file that DB.Backup has made",
	"verify":     "call DB.Backup, which checks the copy that it makes",
	"locks":      "none: nobody waits for a lock of another machine; DB.Health shows the nodes",
	"queries":    "count where the statements are called, or ask the nodes",
	"history":    "record DB.Stats where you keep other figures",
	"checkpoint": "none: the log is the nodes' own",
	"optimize":   "run ANALYZE by ExecContext; the nodes do the rest by themselves",
	"maintain":   "call what it is to do by a timer of the program",
}

func unsupported(op string) error {
	return newError(op, ErrUnsupported, sqlite.ResultMisuse, op+" works on a database that is a file", instead[op])
}

// needsFile is nil on a file.
func (db *DB) needsFile(op string) error {
	switch {
	case db.remote == nil:
		return nil
	case db.remote.closed.Load():
		return errHandleClosed(op)
	}
	return unsupported(op)
}

func (r *remote) batch(ctx context.Context, stmts []Statement, o writeOptions) (BatchResult, error) {
	if r.closed.Load() {
		return BatchResult{}, errHandleClosed("batch")
	}
	priority := session.PriorityOf(o.context(ctx))
	return r.Backend.Batch(ctx, stmts, BatchSettings{IdempotencyKey: o.key, Priority: publicPriority(priority)})
}

// remoteRows is Rows by database/sql.
func (db *DB) remoteRows(ctx context.Context, query string, args []any) iter.Seq2[*Row, error] {
	wish, _ := ctx.Value(readWishKey{}).(readWish)
	wish.only = true
	ctx = context.WithValue(ctx, readWishKey{}, wish)
	return func(yield func(*Row, error) bool) {
		rows, err := db.QueryContext(ctx, query, args...)
		if err == nil {
			defer rows.Close()
			err = yieldRemote(rows, yield)
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

func yieldRemote(rows *sql.Rows, yield func(*Row, error) bool) error {
	names, err := rows.Columns()
	if err != nil {
		return err
	}
	values, dest := make([]driver.Value, len(names)), make([]any, len(names))
	for i := range values {
		dest[i] = (*any)(&values[i])
	}
	r := new(Row)
	r.r.Name(names)
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		r.r.HoldValues(values)
		if !yield(r, nil) {
			return nil
		}
	}
	r.r.Forget()
	return rows.Err()
}

// backup is DB.Backup: what the back end sends is proven before it gets its name.
func (r *remote) backup(ctx context.Context, dst string, o backupOptions) (BackupInfo, error) {
	switch {
	case r.closed.Load():
		return BackupInfo{}, errHandleClosed("backup")
	case o.vacuum:
		return BackupInfo{}, newError("backup", ErrUnsupported, sqlite.ResultMisuse, "BackupVacuumed works on a database that is a file", "vacuum the copy: open it, and run VACUUM")
	}
	info, err := publish(dst, r.name, func(path string) (manifest.Manifest, error) { return r.take(ctx, path, o.config()) })
	switch {
	case err == nil:
		return info, nil
	case ctx.Err() != nil:
		return BackupInfo{}, ctx.Err()
	}
	return BackupInfo{}, translate("backup", "", locks.Site{}, nil, backupError(dst, err))
}

func (r *remote) take(ctx context.Context, path string, cfg manifest.Config) (manifest.Manifest, error) {
	start := time.Now()
	m := manifest.Manifest{Schema: manifest.Schema, Source: r.name, TakenAt: start.UTC().Round(time.Millisecond), Method: manifest.Stream}
	if cfg.Phase != nil {
		cfg.Phase(manifest.PhaseCopy, 0, 0)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return m, err
	}
	err = r.Backend.Backup(ctx, f)
	if err == nil {
		err = f.Sync()
	}
	if err := single(errors.Join(err, f.Close())); err != nil {
		return m, err
	}
	err = manifest.Describe(ctx, path, &m, cfg)
	m.Verified, m.DurationSeconds = err == nil, time.Since(start).Seconds()
	return m, err
}

// RestoreInfo is what DB.Restore has put into a database.
type RestoreInfo struct {
	Source          string           `json:"source"`
	Bytes           int64            `json:"bytes"`
	SHA256          string           `json:"sha256"` // of the file
	Rows            map[string]int64 `json:"rows"`   // of each table, in the file and counted in the database afterwards
	DurationSeconds float64          `json:"duration_seconds"`
}

// Restore replaces all that is in the database by what is in the SQLite file at src, a
// backup that nobody has open. The file is read by integrity_check before anything is
// sent (ErrCorrupt), and the rows of all tables are counted afterwards, at
// ReadLinearizable. Nobody else may write meanwhile: where a count differs the error is
// ErrOutcomeUnknown.
//
// It is for back ends that are no file: see Capabilities. A file is restored by package
// backup, while nobody has it open, and so this is ErrUnsupported on it.
func (db *DB) Restore(ctx context.Context, src string) (RestoreInfo, error) {
	switch {
	case db.remote == nil:
		return RestoreInfo{}, newError("restore", ErrUnsupported, sqlite.ResultMisuse, "a file can't be restored while it is open", "close it, and call backup.Restore (holdfast restore)")
	case db.remote.closed.Load():
		return RestoreInfo{}, errHandleClosed("restore")
	}
	start := time.Now()
	info, err := db.remote.restore(ctx, src)
	if err == nil {
		err = db.recount(WithReadLevel(ctx, ReadLinearizable), info.Rows)
	}
	info.DurationSeconds = time.Since(start).Seconds()
	return info, translate("restore", "", locks.Site{}, nil, err)
}

func (r *remote) restore(ctx context.Context, src string) (RestoreInfo, error) {
	wal, _, journal, _, _ := dbfile.Sidecars(src)
	for _, sidecar := range []string{wal, journal} {
		if info, err := os.Stat(sidecar); err == nil && info.Size() > 0 {
			return RestoreInfo{}, newError("restore", ErrRefused, sqlite.ResultMisuse, sidecar+" lies beside it, so "+src+" is used as a database", "back it up, and restore the backup")
		}
	}
	if database, sidecar := openHere(src); database || sidecar {
		return RestoreInfo{}, newError("restore", ErrRefused, sqlite.ResultMisuse, src+" is open in this process", "back it up by DB.Backup, and restore the backup")
	}
	var m manifest.Manifest
	err := manifest.Describe(ctx, src, &m, manifest.Config{})
	var damage *manifest.DamagedError
	switch {
	case errors.As(err, &damage):
		return RestoreInfo{}, newError("restore", ErrCorrupt, sqlite.ResultCorrupt, err.Error()+"; nothing was sent", "restore another backup")
	case err != nil:
		return RestoreInfo{}, err
	}
	f, err := os.Open(src)
	if err != nil {
		return RestoreInfo{}, err
	}
	defer f.Close()
	content, err := manifest.WithoutLog(f)
	if err != nil {
		return RestoreInfo{}, err
	}
	return RestoreInfo{Source: src, Bytes: m.Bytes, SHA256: m.SHA256, Rows: m.Rows}, r.Backend.Restore(ctx, content, m.Bytes)
}

// recount compares the tables with what they must have.
func (db *DB) recount(ctx context.Context, want map[string]int64) error {
	for table, n := range want {
		var got int64
		err := db.QueryRowContext(ctx, `SELECT count(*) FROM "`+strings.ReplaceAll(table, `"`, `""`)+`"`).Scan(&got)
		if err != nil || got != n {
			e := newError("restore", ErrOutcomeUnknown, sqlite.ResultIOErr, fmt.Sprintf("the file was sent, and table %s has %d rows there and %d in the file", table, got, n),
				"somebody may have written meanwhile: look, or restore it again")
			if err != nil {
				e.text, e.err = "the file was sent, and table "+table+" can't be counted: "+err.Error(), err
			}
			return e
		}
	}
	return nil
}

// ReadLevel is how much a read may miss of what others have committed. On a file
// each is honoured trivially: every read there sees all that was committed before it.
type ReadLevel string

// The read levels, as rqlite has them. The empty one is that of the back end: ReadWeak,
// unless the address says otherwise.
const (
	ReadNone         ReadLevel = "none"         // whatever the node has that is asked; see WithFreshness
	ReadWeak         ReadLevel = "weak"         // what a node has that takes itself for the leader: wrong for a moment after it was deposed
	ReadLinearizable ReadLevel = "linearizable" // all that was committed when the read began
)

type readWish struct {
	level ReadLevel
	fresh time.Duration
	only  bool
}

type readWishKey struct{}

// WithReadLevel returns a context whose queries read at level. Writes don't mind it.
func WithReadLevel(ctx context.Context, level ReadLevel) context.Context {
	r, _ := ctx.Value(readWishKey{}).(readWish)
	r.level = level
	return context.WithValue(ctx, readWishKey{}, r)
}

// WithFreshness returns a context whose queries at ReadNone fail if the node that is
// asked has heard nothing of the leader for longer than d. Other levels don't mind it;
// 0 or less is any age.
func WithFreshness(ctx context.Context, d time.Duration) context.Context {
	r, _ := ctx.Value(readWishKey{}).(readWish)
	r.fresh = max(d, 0)
	return context.WithValue(ctx, readWishKey{}, r)
}

// ReadLevelOf tells a Backend what WithReadLevel and WithFreshness have asked for.
func ReadLevelOf(ctx context.Context) (level ReadLevel, freshness time.Duration) {
	r, _ := ctx.Value(readWishKey{}).(readWish)
	return r.level, r.fresh
}

// MustRead tells a Backend that a query is one of DB.Rows: a statement that writes is
// ErrRefused, before it is sent.
func MustRead(ctx context.Context) bool {
	r, _ := ctx.Value(readWishKey{}).(readWish)
	return r.only
}

// ClusterHealth is how the machines of a cluster are, in Health.Cluster.
type ClusterHealth struct {
	Leader string        `json:"leader"` // the ID of the node that leads; "" if nobody is known to
	Ready  bool          `json:"ready"`  // a leader is known, and a majority of those that vote can be reached
	Nodes  []ClusterNode `json:"nodes"`
}

// ClusterNode is one machine of a cluster.
type ClusterNode struct {
	ID        string  `json:"id"`
	Address   string  `json:"address"` // of its HTTP interface, without user and password
	Leader    bool    `json:"leader"`
	Voter     bool    `json:"voter"`
	Reachable bool    `json:"reachable"`
	Version   string  `json:"version"`
	Applied   uint64  `json:"applied_index"` // the last entry of the log that its database has; 0 if it didn't say
	Lag       uint64  `json:"lag_entries"`   // behind the leader's
	Seconds   float64 `json:"round_trip_seconds"`
	Error     string  `json:"error"` // why it can't be reached
}
