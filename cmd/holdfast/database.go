package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/exitcode"
)

// personsValue is the longest value that a person may ask for: he reads his own
// database, and one function on 64 MiB takes a tenth of a second.
const personsValue = 64 << 20

// openReading opens an existing database for reading only: nothing is created,
// the file is neither switched to WAL mode nor checkpointed, and the engine
// refuses every write. The statement may come from anywhere, so it may only read
// this file.
func (a *app) openReading(ctx context.Context, path string) (*holdfast.DB, error) {
	cfg, err := a.settings(path)
	if err != nil {
		return nil, err
	}
	// A database in memory is empty and its own; opened for reading only it
	// would not even come into being.
	cfg.Database.ReadOnly = path != ":memory:"
	cfg.Limits.UntrustedSQL = true
	if cfg.Limits.ValueLength == 0 {
		cfg.Limits.ValueLength = personsValue
	}
	db, err := holdfast.OpenConfig(ctx, cfg)
	return db, readingHints(path, err)
}

// readingHints says of a database that could not be opened for reading what to do.
func readingHints(path string, err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*holdfast.Error](err); ok {
		switch e.ExtendedCode {
		case readOnlyDirectory:
			err = fmt.Errorf("%w: WAL mode needs to create %s-shm; if nobody writes the file, read it as \"file:%s?immutable=1\"", err, path, path)
		case readOnlyRollback:
			err = fmt.Errorf("%w: a writer that crashed has left %s-journal; \"holdfast exec %s 'SELECT 1'\" rolls it back", err, path, path)
		}
	}
	if info, e := os.Stat(path); e == nil && info.Mode().IsRegular() && errors.Is(err, holdfast.ErrCannotOpen) {
		// The engine says no more than that it can't; the file is there, so it may not.
		return exitcode.With(exitcode.Permission, err)
	}
	return err
}

// See https://www.sqlite.org/rescode.html.
const (
	readOnlyRollback  = 776  // SQLITE_READONLY_ROLLBACK
	readOnlyDirectory = 1544 // SQLITE_READONLY_DIRECTORY
)

// openWriting opens a database for everything, and creates a missing file.
func (a *app) openWriting(ctx context.Context, path string) (*holdfast.DB, error) {
	cfg, err := a.settings(path)
	if err != nil {
		return nil, err
	}
	db, err := holdfast.OpenConfig(ctx, cfg)
	return db, cannotCreate(err)
}

// cannotCreate gives the error of a file that is an output its exit code.
func cannotCreate(err error) error {
	if errors.Is(err, holdfast.ErrCannotOpen) && !errors.Is(err, fs.ErrPermission) {
		return exitcode.With(exitcode.CantCreate, err)
	}
	return err
}

// closeDatabase closes db. What was committed stays so whatever Close says, so
// its error is told and not returned: an exit code would invite a repetition.
func (a *app) closeDatabase(db *holdfast.DB) {
	if err := db.Close(); err != nil {
		fmt.Fprintln(a.errs, "holdfast: close:", a.message(err))
	}
}
