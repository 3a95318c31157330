package backup

import (
	"context"
	"io"
	"time"

	"github.com/holdfastdb/holdfast"
)

// Target is where the backups of databases are kept: a [Directory], or what
// [Remote] makes of a [Store]. Its promises are the same wherever that is. It may be
// used by many goroutines at once.
type Target interface {
	// Create makes a backup and proves it; see [Create] and [Remote].
	Create(ctx context.Context, db *holdfast.DB, format Format, progress func(Progress), options ...holdfast.BackupOption) (Info, error)
	// List finds the backups that are there, the newest first; see [List].
	List(ctx context.Context, formats ...Format) ([]Entry, error)
	// Open is the Source of a backup that List has found.
	Open(e Entry, formats ...Format) Source
	// Prune removes backups of the database at path; see [Prune].
	Prune(ctx context.Context, path string, r Retention, formats ...Format) ([]Entry, error)
}

// Directory is the Target of a directory.
func Directory(dir string) Target { return directory(dir) }

type directory string

func (d directory) Create(ctx context.Context, db *holdfast.DB, format Format, progress func(Progress), options ...holdfast.BackupOption) (Info, error) {
	return Create(ctx, db, string(d), format, progress, options...)
}

func (d directory) List(_ context.Context, formats ...Format) ([]Entry, error) {
	return List(string(d), formats...)
}

func (d directory) Open(e Entry, formats ...Format) Source { return Open(e.Path, formats...) }

func (d directory) Prune(_ context.Context, path string, r Retention, formats ...Format) ([]Entry, error) {
	return Prune(string(d), path, r, formats...)
}

// Store keeps files where this machine has no file system: in a bucket, or in a
// directory of another machine. Package replicate/objects, a module of its own, has
// those. It may be used by many goroutines at once. Its errors and paths hold no
// secret; they answer to fs.ErrNotExist, fs.ErrExist and fs.ErrPermission.
type Store interface {
	// Path is what an operator calls the file of that name: a URL. "" is the store.
	Path(name string) string
	// Put keeps size bytes of content as the file of that name. There is nothing
	// under the name until all of it has arrived and was compared with what the store
	// says it has received. If the name is taken the error answers to fs.ErrExist, and
	// what is there stays. After another error there may be nothing, or, if the answer
	// was lost, the whole file; content is never half there.
	Put(ctx context.Context, name string, content io.ReaderAt, size int64) error
	// Get returns the file of that name and its size. An error of content's is one of
	// the way to it: what was cut off on the way is never a shorter file.
	Get(ctx context.Context, name string) (content io.ReadCloser, size int64, err error)
	// List returns the files that are there, all of them, in any order.
	List(ctx context.Context) ([]Object, error)
	// Remove removes the file of that name. That it isn't there is no error.
	Remove(ctx context.Context, name string) error
	// Sweep clears away what a killed Put has left longer than age ago. Where others can
	// have left the like, it asks ours by the name of the file.
	Sweep(ctx context.Context, age time.Duration, ours func(name string) bool) error
}

// Object is a file in a Store.
type Object struct {
	Name     string
	Bytes    int64
	Modified time.Time
}
