package integrity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// Evidence of a damage is copies of the database, its log and its shared memory as they
// were, in a directory beside them, with findingName.
const (
	evidenceInfix = "-holdfast.corrupt-"
	findingName   = "finding.json"
	liftedName    = "lifted" // is there once a full check has found nothing
)

// finding is what is written down.
type finding struct {
	Schema string `json:"schema"` // "holdfast.finding/v1"
	Damage
	Database   string   `json:"database"`
	Identity   string   `json:"identity"` // which file, in which state
	Unreadable []string `json:"unreadable"`
}

// chunk is what is read at once, and piece what is tried where that fails.
const (
	chunk = 1 << 20
	piece = 4096
)

// mostKept bounds what a program that is restarted again and again on a damaged file
// keeps of it.
const mostKept = 3

// spareForOthers is what the copies leave free on the volume.
const spareForOthers = 64 << 20

// keep copies the files. It reads them through the descriptors of a connection, within
// a read transaction if there can be one: then no checkpoint, whoever makes it, changes
// what the copy says.
func (q *Quarantine) keep(ctx context.Context, d Damage) (dir, why string) {
	if n := len(evidenceOf(q.cfg.Path)); n >= mostKept {
		return "", fmt.Sprintf("%d copies of earlier damage lie beside the database already; remove those that nobody needs", n)
	}
	if q.cfg.Exclude != nil {
		if over, err := q.cfg.Exclude(ctx); err == nil {
			defer over()
		}
	}
	identity := q.cfg.Identity()
	c, err := q.cfg.Bare()
	if err != nil {
		return "", err.Error()
	}
	defer c.Close()
	_, _ = c.DBConfig(sqlite.DBConfigNoCkptOnClose, true)
	if err := c.Exec("BEGIN"); err == nil {
		_, _ = c.QueryInt64("PRAGMA main.schema_version") // opens the log, whatever the first page is like
	}
	f := finding{Schema: "holdfast.finding/v1", Damage: d, Database: q.cfg.Path, Identity: identity, Unreadable: []string{}}
	dir = q.cfg.Path + evidenceInfix + d.At.UTC().Format("20060102T150405.000Z")
	if err := q.copyAll(ctx, c, dir, &f); err != nil {
		return "", err.Error()
	}
	return dir, ""
}

func (q *Quarantine) copyAll(ctx context.Context, c *sqlite.Conn, dir string, f *finding) (err error) {
	var bytes int64
	files := map[string]sqlite.RawFile{}
	for ending, kind := range map[string]sqlite.FileKind{"": sqlite.FileMain, "-wal": sqlite.FileWAL} {
		raw, ok := c.RawFile(kind)
		if !ok {
			if ending == "" {
				return errors.New("SQLite has not opened the file")
			}
			continue
		}
		n, err := raw.Size()
		if err != nil {
			return err
		}
		files[ending], bytes = raw, bytes+n
	}
	if free, err := q.cfg.Free(filepath.Dir(dir)); err == nil && free-spareForOthers < bytes {
		return fmt.Errorf("the copies take %d MiB, and the volume has %d MiB left; keep the files yourself once no program has them open", bytes>>20, free>>20)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	base := filepath.Join(dir, filepath.Base(q.cfg.Path))
	for ending, raw := range files {
		if err := copyRaw(ctx, raw, base+ending, f); err != nil {
			return err
		}
	}
	if shm := c.SharedMemory(); len(shm) > 0 {
		if err := writeNew(base+"-shm", shm); err != nil {
			return err
		}
	}
	text, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	return writeNew(filepath.Join(dir, findingName), append(text, '\n'))
}

// copyRaw copies one file. What the disk doesn't give becomes zeros, and is written down.
func copyRaw(ctx context.Context, from sqlite.RawFile, path string, f *finding) (err error) {
	size, err := from.Size()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	b := make([]byte, chunk)
	for at := int64(0); at < size; at += chunk {
		if err := ctx.Err(); err != nil {
			return err
		}
		part := b[:min(chunk, size-at)]
		if from.ReadAt(part, at) != nil {
			for i := 0; i < len(part); i += piece {
				one := part[i:min(i+piece, len(part))]
				if err := from.ReadAt(one, at+int64(i)); err != nil {
					clear(one)
					f.Unreadable = append(f.Unreadable, fmt.Sprintf("%s at %d: %v", filepath.Base(path), at+int64(i), err))
				}
			}
		}
		if _, err := out.Write(part); err != nil {
			return err
		}
	}
	return out.Sync()
}

func writeNew(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

// evidenceOf returns the directories of a database, the oldest first.
func evidenceOf(path string) (dirs []string) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil
	}
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), filepath.Base(path)+evidenceInfix) {
			dirs = append(dirs, filepath.Join(filepath.Dir(path), e.Name()))
		}
	}
	return dirs
}

// earlier finds what an earlier process has written down about the file as it is now.
func earlier(path string, identity func() string) (Damage, bool) {
	for _, dir := range slices.Backward(evidenceOf(path)) {
		text, err := os.ReadFile(filepath.Join(dir, findingName))
		var f finding
		if err != nil || json.Unmarshal(text, &f) != nil || f.At.IsZero() || f.Identity != identity() {
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, liftedName)); err == nil {
			continue
		}
		f.Kept, f.Before = dir, true
		return f.Damage, true
	}
	return Damage{}, false
}
