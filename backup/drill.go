package backup

import (
	"context"
	"errors"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/internal/maintain/manifest"
	"github.com/holdfastdb/holdfast/internal/sidelock"
)

// Drill restores a backup to a directory of its own in dir, as far as Restore goes
// before it touches a database: it unpacks, compares with the manifest, and checks
// by integrity_check. Then all of it is removed. [Verify] proves the same bytes in a
// fraction of the time; Drill proves that they are a database here and now, with this
// machine, this engine and these keys. It needs room for the database and 64 MiB more.
// progress may be nil.
func Drill(ctx context.Context, src Source, dir string, progress func(Progress)) (info holdfast.BackupInfo, err error) {
	work, err := sidelock.NewDir(dir, manifest.PartialDirs, manifest.Undo)
	if err != nil {
		return info, err
	}
	defer func() {
		err = single(errors.Join(err, work.Remove()))
		if err != nil && ctx.Err() != nil {
			err = ctx.Err()
		}
	}()
	r := &restore{src: src, path: work.Path("drill.db"), options: RestoreOptions{Progress: progress}}
	unpacked, err := r.unpack(ctx, work.Path(newName))
	if err != nil {
		return info, err
	}
	if err := r.prove(ctx, work.Path(newName), unpacked); err != nil {
		return info, err
	}
	return unpacked, nil
}
