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
	info, err := r.readManifest(ctx)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(r.work); err == nil {
		r.say("bring what is left of an earlier restore in %s to an end", r.work)
	}
	r.sayUnpack(info, filepath.Join(r.work, newName))
	if _, err := os.Stat(r.path); err == nil {
		r.say("look that no process has %s open, lock it, and copy its log into it", r.path)
	}
	for _, s := range sidecars {
		if _, err := os.Lstat(r.path + s); err == nil {
			r.say("rename %s%s to %s%s", r.path, s, r.aside, s)
		}
	}
	if _, err := os.Stat(r.path); err == nil {
		r.say("exchange the two, and keep the old database as %s", r.aside)
	} else {
		r.say("rename it to %s", r.path)
	}
	return nil
}

func (r *restore) say(format string, args ...any) {
	r.report.Plan = append(r.report.Plan, fmt.Sprintf(format, args...))
}

// readManifest reads what was written down about the backup, and looks for room.
func (r *restore) readManifest(ctx context.Context) (info holdfast.BackupInfo, err error) {
	err = r.src.Unpack(ctx, func(i holdfast.BackupInfo) (io.Writer, error) {
		info = i
		if err := r.accept(i); err != nil {
			return nil, err
		}
		return nil, errEnough
	})
	if !errors.Is(err, errEnough) {
		return info, err
	}
	r.report.RestoredTo, r.report.Bytes = info.TakenAt, info.Bytes
	return info, nil
}

func (r *restore) sayUnpack(info holdfast.BackupInfo, into string) {
	switch {
	case proven(r.src):
		r.say("put %s (%d bytes, as of %s) together in %s, comparing the checksums of its files",
			r.src.Name(), info.Bytes, info.TakenAt.Format("2006-01-02 15:04:05.000 MST"), into)
	case info.Schema == "":
		r.say("unpack %s, which has no manifest, into %s", r.src.Name(), into)
	default:
		r.say("unpack %s (%d bytes, taken %s) into %s and compare it with its manifest",
			r.src.Name(), info.Bytes, info.TakenAt.Format("2006-01-02 15:04:05 MST"), into)
	}
	r.say("check it by integrity_check")
}
