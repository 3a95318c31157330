package replicate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/benbjohnson/litestream"
	"github.com/holdfastdb/holdfast"
	"github.com/superfly/ltx"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// The library that ships has no stable interface. It is met in this file, adopt.go,
// client.go, target.go, timeline.go and stream.go, and nowhere else.

// engine is Litestream for one database and one target. Its methods but close may be
// called by several goroutines at once.
type engine struct {
	path   string
	config Config
	log    *slog.Logger
	target target
	client *client
	db     *litestream.DB
	store  *litestream.Store
	own    connections

	local   sync.Mutex // held while the state beside the database is read, added to or replaced
	ready   bool       // the target was found to be this database's, or free
	running bool       // the store is open
	file    string     // which one is replicated, once ready
}

// connections are those of this process. What is nil can't be done.
type connections struct {
	cool  func()
	pause func(ctx context.Context, readers time.Duration) (resume func())
}

// The log is copied into the database at a length, and SQLite begins it anew then if nobody reads in
// it. Of one that has missed its moments the readers are held back: most read for
// less than that.
const (
	longLog  = 4 << 20
	tooLong  = 3 * longLog
	holdsFor = 100 * time.Millisecond
)

func newEngine(path string, t target, config Config, log *slog.Logger) (*engine, error) {
	e := &engine{path: path, config: config, log: log, target: t}
	e.db = litestream.NewDB(path)
	// One goroutine of ours ships, so that every attempt is seen.
	e.db.MonitorInterval = 0
	// A TRUNCATE checkpoint stops all writers until the whole database has been copied.
	// What a PASSIVE one can't begin anew, because somebody reads in it, it couldn't either.
	e.db.TruncatePageN = math.MaxInt32
	e.db.MinCheckpointPageN = math.MaxInt32 // shorten does that
	e.db.CheckpointInterval = time.Minute
	e.db.BusyTimeout = busyTimeout
	replica := litestream.NewReplica(e.db)
	replica.MonitorEnabled = false
	inner, err := t.connect(replica)
	if err != nil {
		return nil, err
	}
	e.client = newClient(inner)
	replica.Client = e.client
	e.db.Replica = replica

	e.store = litestream.NewStore([]*litestream.DB{e.db}, litestream.DefaultCompactionLevels)
	e.store.Logger = log
	e.store.SnapshotInterval = config.SnapshotInterval
	e.store.SnapshotRetention = config.Retention
	e.store.SetL0Retention(config.ExactFor)
	e.store.L0RetentionCheckInterval = max(config.ExactFor/4, 15*time.Second) // it lists them all
	e.store.SetShutdownSyncTimeout(0)                                         // close has shipped before
	e.db.SetLogger(log)
	return e, nil
}

// busyTimeout is how long Litestream waits for a lock of SQLite's.
const busyTimeout = 5 * time.Second

// start finds out whether the target may be written to, and begins. It may be
// called again after an error.
func (e *engine) start(ctx context.Context) error {
	if !e.ready {
		if err := e.client.Init(ctx); err != nil {
			return err
		}
		file := identity(e.path)
		if err := e.adopt(ctx, file); err != nil {
			return err
		}
		e.ready, e.file = true, file
	}
	if err := e.db.Open(); err != nil { // nothing if it is open
		return err
	}
	return nil
}

// ship brings what is committed to the target. When it returns nil, everything that
// was committed before the call is there.
func (e *engine) ship(ctx context.Context) error {
	if err := e.start(ctx); err != nil {
		return err
	}
	want, err := e.sync(ctx)
	if err == nil {
		err = e.db.Replica.Sync(ctx)
	}
	if lost(err) {
		return errors.Join(e.recover(ctx), err)
	}
	if err != nil {
		return err
	}
	// Litestream takes its place at the target from what it finds there. If that is
	// ahead, it ships nothing, and says that all is well.
	at := e.db.Replica.Pos()
	local, err := e.db.Pos() // ahead, if more was staged meanwhile
	if err != nil {
		return err
	}
	if at.TXID < want.TXID || at.TXID > local.TXID {
		return fmt.Errorf("%w (it has transaction %s, and %s is here)", ErrForeign, at.TXID, local.TXID)
	}
	if _, _, foreign := e.client.numbers(); foreign != nil {
		return foreign
	}
	if err := e.client.gone(); err != nil {
		e.db.Replica.SetPos(ltx.Pos{}) // the next round lists, and finds it again or not
		return err
	}
	e.client.owns(at.TXID, nil)
	return e.tidy(ctx)
}

// sync stages what is committed, and returns the last transaction of it.
func (e *engine) sync(ctx context.Context) (ltx.Pos, error) {
	e.local.Lock()
	defer e.local.Unlock()
	err := e.db.Sync(ctx)
	if err == nil {
		err = e.shorten(ctx)
	}
	// Litestream has the file open, and finds the log by its name.
	if identity(e.path) != e.file {
		return ltx.Pos{}, fmt.Errorf("%w: another file was put in the place of %s while it was replicated; begin the replication again, and all of it is copied to the target", holdfast.ErrRefused, e.path)
	}
	if err != nil {
		return ltx.Pos{}, err
	}
	return e.db.Pos()
}

// lost tells whether files of the state beside the database are gone or damaged.
func lost(err error) bool {
	var e *litestream.LTXError
	return errors.As(err, &e) && e.IsAutoRecoverable()
}

// stage copies what is committed from the log to files beside the database. It needs no
// target.
func (e *engine) stage(ctx context.Context) error {
	_, err := e.sync(ctx)
	if lost(err) {
		return nil // the next round recovers it
	}
	return err
}

// shorten has the log begun anew when it is long. Called with local held.
func (e *engine) shorten(ctx context.Context) error {
	size := e.staged()
	if size < longLog {
		return nil
	}
	if e.own.pause != nil {
		var readers time.Duration
		if size >= tooLong {
			readers = holdsFor
		}
		defer e.own.pause(ctx, readers)()
		e.own.cool()
	}
	err := e.db.Checkpoint(ctx, litestream.CheckpointModePassive)
	if isBusy(err) { // somebody's transaction has the database: at the next tick
		return nil
	}
	return err
}

// staged is how much of the log was read.
func (e *engine) staged() int64 { return e.db.SyncDiagnostic().LastSyncedWALOffset }

func isBusy(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && e.Code()&0xff == sqlite3.SQLITE_BUSY
}

// tidy begins the work beside, once: merging of transactions, snapshots, removal of
// what is old.
func (e *engine) tidy(ctx context.Context) error {
	if e.running {
		return nil
	}
	if err := e.note(); err != nil {
		return err
	}
	err := e.store.Open(ctx)
	e.running = err == nil
	return err
}

// checkpoint has Litestream copy the log. It returns the frames that the log had.
func (e *engine) checkpoint(ctx context.Context, mode holdfast.CheckpointMode) (frames int, err error) {
	if mode != holdfast.CheckpointPassive {
		return 0, fmt.Errorf("%w: the log of a database that is replicated is copied by PASSIVE only: "+
			"the replication begins it anew itself, as soon as nobody reads in it", holdfast.ErrRefused)
	}
	if err := e.db.Checkpoint(ctx, litestream.CheckpointModePassive); err != nil {
		return 0, err
	}
	page := int64(e.db.PageSize())
	if page == 0 {
		return 0, nil
	}
	return int(max(e.staged()-litestream.WALHeaderSize, 0) / (page + litestream.WALFrameHeaderSize)), nil
}

// position is the last transaction at the target.
func (e *engine) position() string {
	if at := e.db.Replica.Pos().TXID; at > 0 {
		return at.String()
	}
	return ""
}

// pending are the bytes that are not at the target: of transactions that were read
// from the log, and of the log behind them, which is at most that.
func (e *engine) pending() int64 {
	var bytes int64
	at := e.db.Replica.Pos().TXID
	entries, err := os.ReadDir(e.db.LTXLevelDir(0))
	if err != nil {
		return e.logBytes(0)
	}
	for _, entry := range entries {
		if _, last, err := ltx.ParseFilename(entry.Name()); err == nil && last > at {
			if fi, err := entry.Info(); err == nil {
				bytes += fi.Size()
			}
		}
	}
	return bytes + e.logBytes(e.staged())
}

func (e *engine) logBytes(from int64) int64 {
	fi, err := os.Stat(e.db.WALPath())
	if err != nil {
		return 0
	}
	return max(fi.Size()-from, 0)
}

// written is when the log was last written to.
func (e *engine) written() time.Time {
	fi, err := os.Stat(e.db.WALPath())
	if err != nil {
		return time.Time{}
	}
	return fi.ModTime()
}

// close ends everything. Nothing is left running in any case.
func (e *engine) close(ctx context.Context) error {
	if e.running {
		return e.store.Close(ctx)
	}
	return e.db.Close(ctx)
}

// permanent tells whether trying again is of no use.
func permanent(err error) bool {
	return errors.Is(err, holdfast.ErrRefused) || errors.Is(err, ErrForeign) || errors.Is(err, holdfast.ErrFenced)
}

// checkName refuses names that Litestream's own address of a database can't have: it
// would open another file.
func checkName(path string) error {
	if strings.ContainsAny(filepath.ToSlash(path), "?#%") {
		return fmt.Errorf("%w: %s can't be replicated: its name has ?, # or %% in it; give it another", holdfast.ErrRefused, path)
	}
	return nil
}
