package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/internal/dbfile"
	"github.com/holdfastdb/holdfast/internal/maintain/manifest"
	"github.com/holdfastdb/holdfast/internal/sidelock"
)

// Info is what is known of a backup that Create has made.
type Info struct {
	holdfast.BackupInfo
	ArchiveBytes int64 `json:"archive_bytes,omitempty"` // of the file, if it is an archive
}

// Create backs db up to a new file at dst, or into dst if that is a directory, as
// [holdfast.DB.Backup] does; format nil is a plain copy. An archive is made of a
// verified copy, read back from the file, unpacked and compared with it byte by byte
// before it gets its name, so for a while there must be room for both. Its name in
// a directory is that of the copy with the format's extension. progress may be nil
// and must return soon; options may not have a progress of their own.
func Create(ctx context.Context, db *holdfast.DB, dst string, format Format, progress func(Progress), options ...holdfast.BackupOption) (Info, error) {
	if progress != nil {
		options = append(options, holdfast.BackupOnProgress(func(p holdfast.BackupProgress) { progress(Progress(p)) }))
	}
	if format == nil {
		info, err := db.Backup(ctx, dst, options...)
		return Info{BackupInfo: info}, err
	}
	start := time.Now()
	dst, err := archiveName(dst, cmp.Or(db.Path(), db.Address()), format, start)
	if err != nil {
		return Info{}, err
	}
	work, err := sidelock.NewDir(filepath.Dir(dst), manifest.PartialDirs, manifest.Undo)
	if err != nil {
		return Info{}, err
	}
	packed, info, err := pack(ctx, db, work, dst, format, progress, options)
	if err == nil {
		err = publish(packed, dst)
	}
	if err = single(errors.Join(err, work.Remove())); err != nil {
		return Info{}, err
	}
	info.DurationSeconds = time.Since(start).Seconds()
	return info, nil
}

func archiveName(dst, database string, format Format, now time.Time) (string, error) {
	dst, err := filepath.Abs(dst)
	if err != nil {
		return "", err
	}
	if fi, err := os.Stat(dst); err == nil && fi.IsDir() {
		dst = filepath.Join(dst, holdfast.BackupName(database, now)+format.Extension())
	}
	for _, ending := range sidecars {
		if database, ok := strings.CutSuffix(dst, ending); ok && notThere(database) != nil {
			return "", fmt.Errorf("%w: %s is the name of a file that SQLite keeps for %s, and deletes; name another file, or a directory", holdfast.ErrRefused, dst, database)
		}
	}
	return dst, notThere(dst)
}

func notThere(path string) error {
	_, err := os.Lstat(path)
	if err == nil {
		return fmt.Errorf("%s exists already (%w); name another file, or a directory", path, fs.ErrExist)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

const copyName = "copy.db"

// pack makes the copy in work, and the archive of it, and proves that.
func pack(ctx context.Context, db *holdfast.DB, work *sidelock.Dir, dst string, format Format, progress func(Progress),
	options []holdfast.BackupOption,
) (packed string, info Info, err error) {
	copied, packed := work.Path(copyName), work.Path("archive")
	if info.BackupInfo, err = db.Backup(ctx, copied, options...); err != nil {
		return packed, info, err
	}
	info.Destination = dst
	if err := enough(filepath.Dir(packed), info.Bytes, freeBytes); err != nil {
		return packed, info, err
	}
	if err := writeArchive(ctx, packed, copied, format, info.BackupInfo, progress); err != nil {
		return packed, info, err
	}
	proven, err := Verify(ctx, Packed(packed, format), progress)
	switch {
	case err != nil:
		return packed, info, fmt.Errorf("the archive can't be read back: %w", err)
	case proven.SHA256 != info.SHA256:
		return packed, info, fmt.Errorf("%w: the archive holds another database", ErrDamaged)
	}
	fi, err := os.Stat(packed)
	if err == nil {
		info.ArchiveBytes = fi.Size()
	}
	return packed, info, err
}

// publish gives an archive its name. One that somebody has taken meanwhile is not taken
// from him.
func publish(packed, dst string) error {
	if err := notThere(dst); err != nil {
		return err
	}
	if err := os.Rename(packed, dst); err != nil {
		return err
	}
	return dbfile.SyncDir(filepath.Dir(dst))
}

func writeArchive(ctx context.Context, path, database string, format Format, info holdfast.BackupInfo, progress func(Progress)) (err error) {
	in, err := os.Open(database)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = single(errors.Join(err, out.Close())) }()
	s := sum{phase: "pack", progress: progress}
	s.begin(info)
	if err := format.Pack(out, manifest.Manifest(info).Encode(), info.Bytes, io.TeeReader(&reader{ctx, in, nil}, &s)); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return err
	}
	return out.Sync()
}

// single unwraps a join of one error, so that its type stays visible.
func single(err error) error {
	if j, ok := err.(interface{ Unwrap() []error }); ok && len(j.Unwrap()) == 1 {
		return j.Unwrap()[0]
	}
	return err
}
