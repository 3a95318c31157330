// Package history keeps figures and the costs of statements over months, in a
// database of its own: a Store reads and writes it, a Recorder turns what is counted
// into minutes.
//
// Every minute is added to its bucket of each resolution at once. So there is nothing
// to condense later, the coarse buckets are the sums of the fine ones at any moment, and
// a process that ends has no work left behind.
package history

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast/history"
	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// Config is what a Store needs to know.
type Config struct {
	Path   string
	Bytes  int64                   // the most that the file may take
	Create func(path string) error // makes an empty file with the right permissions; nil leaves it to SQLite
}

// Store is the history of one database. It has no file open between two calls, and is
// safe for concurrent use, also by several processes.
type Store struct {
	cfg Config
	mu  sync.Mutex // one call at a time: they would wait for each other's locks
}

// New returns a Store. Nothing is opened or made yet.
func New(cfg Config) *Store { return &Store{cfg: cfg} }

const (
	version   = 1 // of the schema, in user_version
	pageSize  = 4096
	leastSize = 64 * pageSize
	wait      = 2000 // ms, for another process
)

const schema = `
CREATE TABLE series(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, kind TEXT NOT NULL) STRICT;
CREATE TABLE point(level INTEGER, at INTEGER, series INTEGER, count INTEGER NOT NULL,
	total REAL NOT NULL, least REAL NOT NULL, most REAL NOT NULL, last REAL NOT NULL,
	PRIMARY KEY(level, at, series)) STRICT, WITHOUT ROWID;
CREATE TABLE query(id INTEGER PRIMARY KEY, shape TEXT NOT NULL UNIQUE, statement TEXT NOT NULL, writes INTEGER NOT NULL) STRICT;
CREATE TABLE cost(level INTEGER, at INTEGER, query INTEGER, calls INTEGER NOT NULL, attempts INTEGER NOT NULL, errors TEXT NOT NULL,
	rows INTEGER NOT NULL, rows_changed INTEGER NOT NULL, vm_steps INTEGER NOT NULL, full_scan_steps INTEGER NOT NULL,
	sorts INTEGER NOT NULL, auto_indexes INTEGER NOT NULL, page_hits INTEGER NOT NULL, page_misses INTEGER NOT NULL,
	busy_waits INTEGER NOT NULL, plan TEXT NOT NULL, duration BLOB NOT NULL, wait BLOB NOT NULL,
	PRIMARY KEY(level, at, query)) STRICT, WITHOUT ROWID;
CREATE TABLE release(at INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;
PRAGMA user_version = 1;
`

// ErrVersion is returned for a history of another version of this package.
var ErrVersion = errors.New("the history was written by another version")

// write runs f in a transaction.
func (s *Store) write(f func(*sqlite.Conn) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cfg.Create != nil {
		if err := s.cfg.Create(s.cfg.Path); err != nil {
			return err
		}
	}
	c, err := sqlite.Open(s.cfg.Path, sqlite.OpenReadWrite|sqlite.OpenCreate|sqlite.OpenNoFollow)
	if err != nil {
		return err
	}
	err = s.transact(c, f)
	return errors.Join(err, c.Close())
}

// transact makes the tables if need be. NORMAL is enough: a power cut may take the
// last minutes, never the file.
func (s *Store) transact(c *sqlite.Conn, f func(*sqlite.Conn) error) error {
	setup := fmt.Sprintf("PRAGMA busy_timeout=%d; PRAGMA page_size=%d; PRAGMA auto_vacuum=INCREMENTAL; PRAGMA cache_size=-1024;"+
		"PRAGMA synchronous=NORMAL; PRAGMA trusted_schema=OFF; BEGIN IMMEDIATE", wait, pageSize)
	if err := c.Exec(setup); err != nil {
		return err
	}
	err := s.prepare(c)
	if err == nil {
		err = f(c)
	}
	if err == nil {
		err = c.Exec("COMMIT")
	}
	if err != nil && !c.Autocommit() {
		return errors.Join(err, c.Exec("ROLLBACK"))
	}
	return err
}

func (s *Store) prepare(c *sqlite.Conn) error {
	v, err := c.QueryInt64("PRAGMA user_version")
	switch {
	case err != nil:
		return err
	case v == 0:
		err = c.Exec(schema)
	case v != version:
		return ErrVersion
	}
	if err != nil {
		return err
	}
	return c.Exec(fmt.Sprintf("PRAGMA max_page_count=%d", max(s.cfg.Bytes, leastSize)/pageSize))
}

// read runs f on a snapshot. There is nothing to read while nothing was written:
// then f isn't run.
func (s *Store) read(ctx context.Context, f func(*sqlite.Conn) error) error {
	if _, err := os.Stat(s.cfg.Path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// Not OpenReadOnly: what a killed process has left is rolled back first. SQLite
	// opens what may not be written for reading by itself.
	c, err := sqlite.Open(s.cfg.Path, sqlite.OpenReadWrite|sqlite.OpenNoFollow)
	if err != nil {
		return err
	}
	c.SetProgressHandler(1000, func() bool { return ctx.Err() != nil })
	err = c.Exec(fmt.Sprintf("PRAGMA busy_timeout=%d; PRAGMA cache_size=-4096; BEGIN", wait))
	if err == nil {
		var v int64
		switch v, err = c.QueryInt64("PRAGMA user_version"); {
		case err != nil:
		case v == version:
			err = f(c)
		case v != 0:
			err = ErrVersion
		}
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return errors.Join(err, c.Close())
}

// step is a resolution with its number in the tables.
type step struct {
	history.Level
	number int64
}

func steps() (all []step) {
	for i, l := range history.Levels() {
		all = append(all, step{l, int64(i)})
	}
	return all
}

// bucket is the beginning of the bucket that has t, as it is kept.
func (s step) bucket(t time.Time) int64 {
	seconds := int64(s.Step / time.Second)
	return t.Unix() / seconds * seconds
}

// oldest is the first bucket that is kept.
func (s step) oldest(now time.Time) int64 { return s.bucket(now.Add(-s.Keep)) }

func timeOf(at int64) time.Time { return time.Unix(at, 0).UTC() }
