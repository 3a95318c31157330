package backup

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/internal/dbfile"
	"github.com/holdfastdb/holdfast/internal/locks/table"
	"github.com/holdfastdb/holdfast/internal/maintain/manifest"
)

// Entry is one backup in a directory.
type Entry struct {
	Path     string    `json:"path"`
	Database string    `json:"database"` // the name of the database without its extension: "app"
	TakenAt  time.Time `json:"taken_at"`
	Source   string    `json:"source,omitempty"` // the path of the database, of a plain copy
	Bytes    int64     `json:"bytes"`            // of the file
	// Verified: it has been proven when it was made, or it would not have this name;
	// a plain copy besides has its manifest, which agrees with its size. [Verify]
	// reads it.
	Verified bool `json:"verified"`

	name string // of the file, in a Store
}

// List finds the backups in a directory that have the names that Create and
// holdfast.DB.Backup give, the newest first. formats are those of the archives to
// look for. It reads manifests, and no backups.
func List(dir string, formats ...Format) ([]Entry, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	entries := []Entry{}
	for _, f := range files {
		if !f.Type().IsRegular() {
			continue
		}
		e, plain, ok := parseName(f.Name(), formats)
		if !ok {
			continue
		}
		fi, err := f.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed meanwhile
		}
		if err != nil {
			return nil, err
		}
		e.Path, e.Bytes, e.Verified = filepath.Join(dir, f.Name()), fi.Size(), true
		if plain {
			info, err := readManifest(e.Path + manifest.Suffix)
			e.Source, e.Verified = info.Source, err == nil && info.Verified && info.Bytes == e.Bytes
		}
		entries = append(entries, e)
	}
	newestFirst(entries)
	return entries, nil
}

func newestFirst(entries []Entry) {
	slices.SortStableFunc(entries, func(a, b Entry) int { return b.TakenAt.Compare(a.TakenAt) })
}

// parseName reads "app-20261127T172548.123Z.db" and what a format appends.
func parseName(name string, formats []Format) (e Entry, plain, ok bool) {
	plain = strings.HasSuffix(name, ".db")
	if f := formatOf(name, formats); f != nil {
		name = strings.TrimSuffix(name, f.Extension())
	}
	name, ok = strings.CutSuffix(name, ".db")
	dash := strings.LastIndexByte(name, '-')
	if !ok || dash < 1 {
		return e, plain, false
	}
	taken, err := time.Parse(holdfast.BackupTime, name[dash+1:])
	return Entry{Database: name[:dash], TakenAt: taken}, plain, err == nil
}

// Prune removes the backups in dir of the database at path ([holdfast.DB.Path])
// that r doesn't keep. They are told by its name, and plain copies also by its path:
// archives of two databases of one name need two directories. One that is dated in the
// future stays and doesn't count: a clock was wrong, and each new one would be older. It
// returns those that it has removed, also with an error. A copy that this process has
// open is left alone.
func Prune(dir, path string, r Retention, formats ...Format) (removed []Entry, err error) {
	entries, err := List(dir, formats...)
	if err != nil {
		return nil, err
	}
	for _, e := range expired(entries, path, r) {
		wal, shm, journal, _, _ := dbfile.Sidecars(e.Path)
		if table.Own(e.Path, wal, shm, journal) {
			continue
		}
		// The copy goes first: without its manifest it would look like somebody's own.
		if err := os.Remove(e.Path); err != nil {
			return removed, err
		}
		removed = append(removed, e)
		if err := os.Remove(e.Path + manifest.Suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return removed, err
		}
	}
	if len(removed) > 0 {
		err = dbfile.SyncDir(dir)
	}
	return removed, err
}

// expired are the backups of the database at path that r doesn't keep.
func expired(entries []Entry, path string, r Retention) []Entry {
	foreign, now := notOf(path), time.Now()
	own := slices.DeleteFunc(slices.Clone(entries), func(e Entry) bool { return foreign(e) || e.TakenAt.After(now) })
	_, drop := Retain(own, r)
	return drop
}

// notOf tells which backups are not of the database at path.
func notOf(path string) func(Entry) bool {
	name, valid := DatabaseName(path), strings.ToValidUTF8(path, "\ufffd") // as a manifest has it
	return func(e Entry) bool {
		// Names in a Store are text, too.
		return e.Database != name && e.Database != strings.ToValidUTF8(name, "\ufffd") || e.Source != "" && e.Source != valid
	}
}

// DatabaseName is the [Entry.Database] of a database's backups.
func DatabaseName(path string) string {
	e, _, _ := parseName(holdfast.BackupName(path, time.Time{}), nil)
	return e.Database
}
