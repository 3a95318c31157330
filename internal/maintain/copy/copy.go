// Package copy makes physical copies of databases while they are in use, page
// by page, and checks databases and copies. A physical copy has the damage of
// its original too, which VACUUM INTO would hide or stumble over.
package copy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/internal/maintain/pace"
	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// ErrNoSpace is the reason of a copy that was not begun, because it would have
// filled the volume.
var ErrNoSpace = errors.New("not enough space for a copy")

// Config is how a copy is made.
type Config struct {
	// SyncDir makes the names in a directory survive a power cut. Required,
	// unless the copy is Fleeting.
	SyncDir func(dir string) error
	// Free tells how many bytes the volume of a directory has left. If it is nil,
	// or fails, the copy is begun without a look.
	Free func(dir string) (int64, error)
	// Fleeting copies are gone before anybody could rely on them, so they are not
	// flushed to the disk.
	Fleeting bool
	// Progress is told after each step, on the goroutine of the caller, how many
	// pages of how many are copied. It must return soon: the source is being read.
	Progress func(done, total int)
}

// Result is what was copied.
type Result struct {
	Pages    int
	Bytes    int64
	Duration time.Duration
}

// stepBytes is what is copied between two looks at the context. 1 MiB takes a few
// milliseconds on a disk of 200 MB/s; what is copied at once while others write, some
// 50 us.
const (
	stepBytes = 1 << 20
	shortStep = 8 << 10
)

// spare is what a copy leaves to the database and its log.
const spare = 64 << 20

// To copies the main database of src to a new file at path: mode 0600, created
// by this call or not at all (then the error answers to fs.ErrExist). When it
// returns without an error, the whole copy is on the disk under its name, unless
// it is Fleeting. When it fails, also because ctx ended, nothing is left of it.
//
// The copy is one state of the database, that of src's read transaction. Without
// one, To begins it, with src's own busy handler, and ends it before it returns:
// a log (-wal) can't be emptied past that state for as long as the copying and
// its flushes take, and writers go on as ever. That was 2.2 s for each GB of pages
// of 4 KiB on an SSD, 1.6 s of a Fleeting one. A database without a log can't be
// committed to all that time.
//
// src is used by the calling goroutine alone until To returns. A context that
// ends is noticed within 1 MiB of copying, or one flush of 32 MiB.
func To(ctx context.Context, src *sqlite.Conn, path string, cfg Config) (r Result, err error) {
	if cfg.SyncDir == nil && !cfg.Fleeting {
		return r, errors.New("copy: Config.SyncDir is missing")
	}
	start := time.Now()
	if err := ctx.Err(); err != nil {
		return r, err
	}
	end, err := beginReading(src)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, end()) }()

	pages, err := src.QueryInt64("PRAGMA page_count")
	if err != nil {
		return r, err
	}
	pageSize, err := src.QueryInt64("PRAGMA page_size")
	if err != nil {
		return r, err
	}
	if err := cfg.Enough(filepath.Dir(path), pages*pageSize); err != nil {
		return r, err
	}
	// The descriptor stays open, to flush the copy by, until SQLite has closed its
	// own: closing it drops this process's locks on the file where they are POSIX
	// locks. By O_EXCL nobody can have had one before.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return r, err
	}
	whole := false // also when Progress panics
	defer func() {
		err = errors.Join(err, f.Close())
		if err != nil || !whole {
			err = single(errors.Join(err, os.Remove(path)))
		}
	}()
	if r.Pages, err = fill(ctx, src, f, pageSize, cfg); err != nil {
		return r, err
	}
	info, err := f.Stat()
	if err != nil {
		return r, err
	}
	r.Bytes, r.Duration = info.Size(), time.Since(start)
	if want := int64(r.Pages) * pageSize; r.Bytes != want {
		return r, fmt.Errorf("copy: %s has %d bytes instead of %d: somebody else has changed it; copy again to another name", path, r.Bytes, want)
	}
	if cfg.Fleeting {
		whole = true
		return r, nil
	}
	if err := errors.Join(f.Sync(), cfg.SyncDir(filepath.Dir(path))); err != nil {
		return r, err
	}
	r.Duration, whole = time.Since(start), true
	return r, nil
}

// Enough looks whether the volume of dir has room for a copy of so many bytes. It
// returns an error that answers to ErrNoSpace if not.
func (cfg Config) Enough(dir string, bytes int64) error {
	if cfg.Free == nil {
		return nil
	}
	free, err := cfg.Free(dir)
	if err != nil || free-spare >= bytes {
		return nil // a file system that can't tell may have it all the same
	}
	return fmt.Errorf("%w: it takes %d MiB in %s, which has %d MiB left, and %d MiB of these stay free for the log; name a directory on another volume",
		ErrNoSpace, bytes>>20, dir, free>>20, spare>>20)
}

// beginReading gives src a read transaction if it has none.
func beginReading(src *sqlite.Conn) (end func() error, err error) {
	end = func() error { return nil }
	if src.Autocommit() {
		if err := src.Exec("BEGIN"); err != nil {
			return end, err
		}
		end = func() error { return src.Exec("ROLLBACK") }
	}
	if _, err := src.QueryInt64("PRAGMA schema_version"); err != nil { // BEGIN alone takes no snapshot
		return end, single(errors.Join(err, end()))
	}
	return end, nil
}

// fill copies src into the new and empty file f.
func fill(ctx context.Context, src *sqlite.Conn, f *os.File, pageSize int64, cfg Config) (pages int, err error) {
	work := pace.Of(ctx).Holding()
	dst, err := sqlite.Open(f.Name(), sqlite.OpenReadWrite)
	if err != nil {
		return 0, err
	}
	defer func() { err = single(errors.Join(err, dst.Close())) }()
	// Nobody has the file yet, so nothing needs to be rolled back in it, and it is
	// flushed in pieces and not by SQLite.
	if err := dst.Exec("PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF"); err != nil {
		return 0, err
	}
	b, err := sqlite.NewBackup(dst, "main", src, "main")
	if err != nil {
		return 0, err
	}
	flush := newFlusher(f)
	for done := false; !done; {
		step := int64(stepBytes)
		if work.Busy() {
			step = shortStep
		}
		step = max(1, step/pageSize)
		if err := ctx.Err(); err != nil {
			return 0, errors.Join(err, b.Finish())
		}
		if done, err = b.Step(int(step)); err != nil {
			_ = b.Finish() // says the same again
			return 0, err
		}
		pages = b.PageCount()
		if cfg.Progress != nil {
			cfg.Progress(pages-b.Remaining(), pages)
		}
		if !cfg.Fleeting {
			if err := flush.reach(int64(pages-b.Remaining())*pageSize, work.OthersWrite()); err != nil {
				return 0, errors.Join(err, b.Finish())
			}
		}
		work.Pause(ctx)
	}
	pages = max(pages, 1) // of an empty file SQLite makes a database without tables
	return pages, b.Finish()
}

// single unwraps a join of one error, so that its type stays visible.
func single(err error) error {
	if j, ok := err.(interface{ Unwrap() []error }); ok && len(j.Unwrap()) == 1 {
		return j.Unwrap()[0]
	}
	return err
}

// immutable is the name by which SQLite reads a file that nobody writes: without
// locks, and without creating a -wal or -shm beside it.
func immutable(path string) string {
	esc := strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23")
	return "file:" + esc.Replace(path) + "?immutable=1"
}
