package backup

import (
	"context"
	"errors"
	"os"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/internal/maintain/manifest"
	"github.com/holdfastdb/holdfast/internal/sidelock"
)

// send restores into a database that is no file.
func (r *restore) send(ctx context.Context, address string) (err error) {
	r.report.Database = holdfast.Redacted(address)
	dir := r.options.Scratch
	if dir == "" {
		dir = os.TempDir()
	}
	db, err := holdfast.Open(ctx, address) // before minutes are spent on unpacking
	if err != nil {
		return err
	}
	defer func() { err = single(errors.Join(err, db.Close())) }()
	work, err := sidelock.NewDir(dir, manifest.PartialDirs, manifest.Undo)
	if err != nil {
		return err
	}
	defer func() { err = single(errors.Join(err, work.Remove())) }()
	r.path = work.Path("restored.db") // where there is room, or isn't
	fresh := work.Path(newName)
	if r.options.DryRun {
		info, err := r.readManifest(ctx)
		if err == nil {
			r.sayUnpack(info, dir)
			r.say("replace all that is in %s by it, and count the rows of its tables there", r.report.Database)
		}
		return err
	}
	info, err := r.unpack(ctx, fresh)
	if err != nil {
		return err
	}
	if err := r.prove(ctx, fresh, info); err != nil {
		return err
	}
	if _, err := db.Restore(ctx, fresh); err != nil {
		return err
	}
	r.report.RestoredTo, r.report.Verified = info.TakenAt, true
	return nil
}
