package migrate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/holdfastdb/holdfast/internal/maintain/copy"
	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// Copy is how the state of before is copied. The zero value makes none.
type Copy struct {
	Path string // of the database
	Dir  string // where copies are
	Keep int    // so many of them, the newest; 0 makes none

	SyncDir func(dir string) error
	Free    func(dir string) (int64, error)
	// InUse tells whether this process has the file open as a database.
	InUse func(path string) bool
}

// Copies are named after their database and their time, in UTC. One that is not
// complete and checked has another end; the one of a process that was killed is
// removed by a later migration.
const (
	infix    = "-before-migration-"
	stamp    = "20060102T150405.000000Z"
	partial  = ".partial"
	staleAge = time.Hour // since it was last written to
)

// spare is what a copy leaves to the database and its log.
const spare = 64 << 20

// room looks whether there is room for a copy of c's database.
func (k Copy) room(c *sqlite.Conn) error {
	if k.Keep == 0 || k.Free == nil {
		return nil
	}
	pages, err := c.QueryInt64("PRAGMA main.page_count")
	if err != nil {
		return err
	}
	size, err := c.QueryInt64("PRAGMA main.page_size")
	if err != nil {
		return err
	}
	free, err := k.Free(k.Dir)
	if err != nil || free >= pages*size+spare {
		return nil // a file system that can't tell may have it all the same
	}
	return fmt.Errorf("%w of %d MiB before the migration: %s has %d MiB left, and %d MiB of these stay free for the log",
		copy.ErrNoSpace, pages*size>>20, k.Dir, free>>20, spare>>20)
}

// copy makes a copy of what c reads.
func (w *Watch) copy(ctx context.Context, c *sqlite.Conn) error {
	k := w.cfg.Copy
	if k.Keep == 0 || w.empty {
		return nil
	}
	path := filepath.Join(k.Dir, filepath.Base(k.Path)+infix+time.Now().UTC().Format(stamp))
	c.SetProgressHandler(0, nil) // copy.To looks at the context itself
	r, err := copy.To(ctx, c, path+partial, copy.Config{SyncDir: k.SyncDir, Free: k.Free})
	if err != nil {
		return err
	}
	problems, err := copy.CheckFile(ctx, path+partial, copy.Quick, nil)
	if err == nil && len(problems) > 0 {
		err = &DamageError{Path: k.Path, Problems: problems}
	}
	if err == nil {
		err = os.Rename(path+partial, path)
	}
	if err != nil {
		return single(errors.Join(err, os.Remove(path+partial)))
	}
	if err := k.SyncDir(k.Dir); err != nil {
		return single(errors.Join(err, os.Remove(path)))
	}
	w.Report.Copy, w.Report.Bytes = path, r.Bytes
	return nil
}

// prune removes what is too old. What can't be removed is left to the next time.
func (k Copy) prune() {
	files, err := os.ReadDir(k.Dir)
	if err != nil {
		return
	}
	name := regexp.MustCompile(`^` + regexp.QuoteMeta(filepath.Base(k.Path)+infix) + `\d{8}T\d{6}\.\d{6}Z(` + regexp.QuoteMeta(partial) + `)?$`)
	var whole []string
	for _, f := range files { // by name, which is by age
		m := name.FindStringSubmatch(f.Name())
		switch {
		case m == nil || !f.Type().IsRegular():
		case m[1] == "":
			whole = append(whole, f.Name())
		default:
			if info, err := f.Info(); err == nil && time.Since(info.ModTime()) > staleAge {
				_ = k.remove(filepath.Join(k.Dir, f.Name()))
			}
		}
	}
	slices.Sort(whole)
	for _, old := range whole[:max(len(whole)-k.Keep, 0)] {
		_ = k.remove(filepath.Join(k.Dir, old))
	}
}

// remove removes a copy that nobody uses.
func (k Copy) remove(path string) error {
	if k.InUse != nil && k.InUse(path) {
		return nil
	}
	return os.Remove(path)
}
