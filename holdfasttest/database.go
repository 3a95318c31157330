package holdfasttest

import (
	"context"
	stdsql "database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// Option changes what New does.
type Option func(*options)

type options struct {
	schema string
	dir    string
	disk   *Disk
	open   []holdfast.Option
	scans  *scans
	leaks  bool
}

// WithSchema runs SQL, any number of statements, on the new database.
func WithSchema(sql string) Option { return func(o *options) { o.schema = sql } }

// WithDir puts the database into a directory. Without it, it is in memory where
// the system has a file system there (Linux), else in tb.TempDir: a test of
// what a program does needs no disk, but one that measures how long a commit
// takes does.
func WithDir(dir string) Option { return func(o *options) { o.dir = dir } }

// WithDisk puts the database on a disk that can fail. The test closes the disk
// in a cleanup that was registered before New was called.
func WithDisk(d *Disk) Option { return func(o *options) { o.disk = d } }

// With opens the database with options of package holdfast.
func With(opts ...holdfast.Option) Option {
	return func(o *options) { o.open = append(o.open, opts...) }
}

// FailOnFullScan makes the test fail for each statement that has read a table
// from its beginning instead of finding rows by an index, with the statement,
// the table and the place. allowed are names of tables that are small enough,
// and statements that may. Tables of up to one row are never noticed, so the test
// needs some data. ALTER TABLE, the schema, and what SQLite runs by itself don't count. A statement that was committed by another goroutine, in its
// group, is shown without the place.
func FailOnFullScan(allowed ...string) Option {
	return func(o *options) { o.scans = newScans(allowed) }
}

// FailOnLeak makes the test fail if rows, a transaction or a connection is still
// open at its end; without it they are only logged. The place that took it is
// named unless the test has closed the database itself.
func FailOnLeak() Option { return func(o *options) { o.leaks = true } }

// New opens a database of its own for a test, which may be one of many in
// parallel, and ends the test if that fails. At the end of the test it tells what was not
// closed, closes the database, proves it by integrity_check and removes it. The
// test may close it before.
func New(tb testing.TB, opts ...Option) *holdfast.DB {
	tb.Helper()
	var o options
	for _, set := range opts {
		set(&o)
	}
	if o.dir == "" {
		o.dir = directory(tb)
	}
	path := filepath.Join(o.dir, "test.db")
	ctx := context.Background()
	if probe := o.probe(); probe != nil {
		ctx = sqlite.WithProbe(ctx, probe)
	}
	db, err := holdfast.Open(ctx, path, append([]holdfast.Option{holdfast.WithLeakThreshold(0)}, o.open...)...)
	if err != nil {
		tb.Fatalf("holdfasttest: %v", err)
	}
	tb.Cleanup(func() { o.finish(tb, db, path) })
	if o.schema != "" {
		if err := runSchema(ctx, db, o.schema); err != nil {
			tb.Fatalf("holdfasttest: schema: %v", err)
		}
	}
	if o.scans != nil {
		o.scans.begin()
	}
	return db
}

// runSchema needs one commit and not one for each statement: 60 of them take 3 ms
// and not 15. A text that controls transactions itself has its way.
func runSchema(ctx context.Context, db *holdfast.DB, sql string) error {
	err := db.Update(ctx, func(tx *stdsql.Tx) error {
		_, err := tx.ExecContext(ctx, sql)
		return err
	})
	if err != nil {
		_, err = db.ExecContext(ctx, sql)
	}
	return err
}

// probe is the disk's, with the listener for full scans.
func (o *options) probe() *sqlite.Probe {
	switch {
	case o.disk == nil && o.scans == nil:
		return nil
	case o.scans == nil:
		return o.disk.probe
	case o.disk == nil:
		return &sqlite.Probe{Finished: o.scans.finished}
	}
	return &sqlite.Probe{VFS: o.disk.vfs, Finished: o.scans.finished}
}

// finish is the end of the test.
func (o *options) finish(tb testing.TB, db *holdfast.DB, path string) {
	tb.Helper()
	say := tb.Logf
	if o.leaks {
		say = tb.Errorf
	}
	for _, leak := range leaks(db) {
		say("holdfasttest: never closed: %s", leak)
	}
	if err := db.Close(); err != nil {
		switch {
		case o.disk != nil: // it may have been told to fail this, too
			tb.Logf("holdfasttest: close: %v", err)
		default:
			tb.Errorf("holdfasttest: close: %v", err)
		}
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		tb.Logf("holdfasttest: the test has removed its database")
		return
	}
	if _, err := Examine(path); err != nil {
		tb.Error(err)
	}
	if o.scans != nil {
		o.scans.report(tb, path)
	}
}

// directory is removed at the end of the test.
func directory(tb testing.TB) string {
	tb.Helper()
	const shm = "/dev/shm" // a tmpfs: its sync is no work, 0.3 ms where an SSD takes 2 or more
	if runtime.GOOS == "linux" {
		if dir, err := os.MkdirTemp(shm, "holdfasttest-"); err == nil {
			tb.Cleanup(func() {
				if err := os.RemoveAll(dir); err != nil {
					tb.Errorf("holdfasttest: %v", err)
				}
			})
			return dir
		}
	}
	return tb.TempDir()
}
