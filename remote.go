package holdfast

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// Backend is a database that is no file. Open gets one from the package that has
// registered its scheme, and DB passes on to it what it is asked. The embedded
// Connector makes the sessions of the *sql.DB that DB embeds: its connections run Exec
// and Query, refuse BeginTx with ErrUnsupported where there are no interactive
// transactions, and read at ReadLevelOf(ctx).
//
// Its methods are called by several goroutines at once. Their errors are made by
// NewError, or are that of a context that ended before anything was sent. An error that
// isn't ErrOutcomeUnknown says for certain that nothing was written: in doubt it is
// ErrOutcomeUnknown, also when a context has ended. None holds a secret or the value of
// a parameter.
type Backend interface {
	driver.Connector

	// Capabilities is asked often, and sends nothing.
	Capabilities() Capabilities
	// Batch is DB.Batch. Statements that control transactions or change the connection
	// are ErrRefused before anything is sent.
	Batch(ctx context.Context, stmts []Statement, o BatchSettings) (BatchResult, error)
	// Health is DB.Health. An error is only for what keeps it from looking at all; that
	// nobody answers is a finding of a Health that isn't accessible.
	Health(ctx context.Context) (Health, error)
	// Stats is asked often, sends nothing and waits for nobody.
	Stats() Stats
	// Backup writes a copy of the database, as one SQLite file, to w. DB.Backup checks
	// it and gives it its name.
	Backup(ctx context.Context, w io.Writer) error
	// Restore replaces all that is in the database by the SQLite file of size bytes that
	// r yields, whose journal mode is DELETE. DB.Restore has checked it, and counts the
	// rows afterwards, linearizably.
	Restore(ctx context.Context, r io.Reader, size int64) error
	// Close is called once, with the last use of the *sql.DB, and leaves no goroutine.
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
	Restore     bool        `json:"restore"`      // Restore, while it is open
}

// Capabilities tells what the database can do where it is. It asks nobody.
func (db *DB) Capabilities() Capabilities {
	if db.remote != nil {
		return db.remote.Capabilities()
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
	if open == nil || schemeOf(scheme+"://") != scheme {
		panic("holdfast: RegisterBackend was called with nil, or a scheme that is none")
	}
	if _, taken := backends.LoadOrStore(scheme, opener(open)); taken {
		panic("holdfast: RegisterBackend was called twice for " + scheme)
	}
}

// schemeOf is the scheme of an address, or "" of the name of a file. One letter is a
// volume of Windows.
func schemeOf(path string) string {
	scheme, _, found := strings.Cut(path, "://")
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

// remote is one Open of a Backend.
type remote struct {
	Backend
	log    *slog.Logger
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
	r := &remote{Backend: b, log: cfg.Logger}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	pool := sql.OpenDB(r)
	pool.SetMaxIdleConns(idleSessions)
	return &DB{DB: pool, remote: r}, nil
}

func (r *remote) batch(ctx context.Context, stmts []Statement, o writeOptions) (BatchResult, error) {
	if r.closed.Load() {
		return BatchResult{}, errHandleClosed("batch")
	}
	set := BatchSettings{IdempotencyKey: o.key}
	if o.priority != nil {
		set.Priority = *o.priority
	}
	return r.Backend.Batch(ctx, stmts, set)
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
