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
	"sync"
	"sync/atomic"

	"github.com/holdfastdb/holdfast/internal/locks"
	"github.com/holdfastdb/holdfast/internal/session"
	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// DB is a handle on one database. It is safe for concurrent use. Every method
// of *sql.DB works as documented there, and the embedded *sql.DB can be handed
// to any library.
type DB struct {
	*sql.DB
	h *handle
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
// handles of this process that name it.
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
func (db *DB) Connector() driver.Connector { return db.h }

// Path is the absolute path of the database file, links resolved. For a
// database in memory it is "".
func (db *DB) Path() string {
	if db.h.d.memory != nil {
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
