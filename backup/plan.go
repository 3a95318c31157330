package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/holdfastdb/holdfast"
)

// errEnough ends a dry run once the manifest is read.
var errEnough = errors.New("the manifest is read")

// plan says what would be done. It reads the manifest and looks for room, as run
// does, and nothing else of the backup.
func (r *restore) plan(ctx context.Context) error {
	var info holdfast.BackupInfo
	err := r.src.Unpack(ctx, func(i holdfast.BackupInfo) (io.Writer, error) {
		info = i
		if err := r.accept(i); err != nil {
			return nil, err
		}
		return nil, errEnough
	})
	if !errors.Is(err, errEnough) {
		return err
	}
	r.report.RestoredTo, r.report.Bytes = info.TakenAt, info.Bytes
	say := func(format string, args ...any) { r.report.Plan = append(r.report.Plan, fmt.Sprintf(format, args...)) }
	if _, err := os.Lstat(r.work); err == nil {
		say("bring what is left of an earlier restore in %s to an end", r.work)
	}
	switch {
	case proven(r.src):
		say("put %s (%d bytes, as of %s) together in %s, comparing the checksums of its files",
			r.src.Name(), info.Bytes, info.TakenAt.Format("2006-01-02 15:04:05.000 MST"), filepath.Join(r.work, newName))
	case info.Schema == "":
		say("unpack %s, which has no manifest, into %s", r.src.Name(), filepath.Join(r.work, newName))
	default:
		say("unpack %s (%d bytes, taken %s) into %s and compare it with its manifest",
			r.src.Name(), info.Bytes, info.TakenAt.Format("2006-01-02 15:04:05 MST"), filepath.Join(r.work, newName))
	}
	say("check it by integrity_check")
	if _, err := os.Stat(r.path); err == nil {
		say("look that no process has %s open, lock it, and copy its log into it", r.path)
	}
	for _, s := range sidecars {
		if _, err := os.Lstat(r.path + s); err == nil {
			say("rename %s%s to %s%s", r.path, s, r.aside, s)
		}
	}
	if _, err := os.Stat(r.path); err == nil {
		say("exchange the two, and keep the old database as %s", r.aside)
	} else {
		say("rename it to %s", r.path)
	}
	return nil
}
