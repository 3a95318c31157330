package backup_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/backup"
)

// Two servers may have buckets of one name. That the one has a backup is none at the other.
func TestBucketsOfOneName(t *testing.T) {
	inBubble(t, func(t *testing.T, db *holdfast.DB, dir string) {
		for _, server := range []string{"one", "two"} {
			at := filepath.Join(dir, server)
			must(t, os.Mkdir(at, 0o700))
			scheduled(t, db, backup.Plan{
				Destination: "s3://backups/app?region=eu&endpoint=https://" + server + ".example.com", Target: backup.Directory(at), Every: time.Hour,
			})
		}
		pass(10 * time.Minute)
		for _, server := range []string{"one", "two"} {
			if made := list(t, filepath.Join(dir, server)); len(made) != 1 {
				t.Errorf("server %s has the backups %q", server, made)
			}
		}
		if h, _ := healthOf(t, db); len(h.Backup.Places) != 2 {
			t.Errorf("%+v", h.Backup.Places)
		}
	})
}

// Whoever removes the record takes the promises back until the next backup, as Health
// advises; a schedule that goes on makes its own anew.
func TestARecordThatWasRemoved(t *testing.T) {
	inBubble(t, func(t *testing.T, db *holdfast.DB, dir string) {
		scheduled(t, db, backup.Plan{Destination: dir, Every: time.Hour, DrillEvery: time.Hour})
		pass(10 * time.Minute)
		must(t, os.Remove(db.Path()+"-holdfast.backups"))
		pass(time.Hour)
		h, _ := healthOf(t, db)
		if len(h.Backup.Places) != 1 || h.Backup.Places[0].EverySeconds != 3600 || h.Backup.Places[0].DrillSeconds != 3600 {
			t.Errorf("%+v", h.Backup.Places)
		}
	})
}

// slow takes a while for a backup.
type slow struct{ backup.Target }

func (s slow) Create(ctx context.Context, db *holdfast.DB, format backup.Format, progress func(backup.Progress), options ...holdfast.BackupOption) (backup.Info, error) {
	time.Sleep(10 * time.Minute)
	return s.Target.Create(ctx, db, format, progress, options...)
}

// A schedule that begins after a backup by hand is late when it has missed a turn, and
// not while it makes its first.
func TestRepeatAfterOneByHand(t *testing.T) {
	inBubble(t, func(t *testing.T, db *holdfast.DB, dir string) {
		info, err := backup.Create(t.Context(), db, dir, nil, nil)
		must(t, err)
		must(t, backup.Note(backup.Event{Task: "backup", At: time.Now(), Backup: info, Path: info.Destination}, dir))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() {
			open := func(context.Context) (*holdfast.DB, error) { return db, nil }
			ended <- backup.Repeat(ctx, db.Path(), open, func(*holdfast.DB) {},
				backup.Plan{Destination: dir, Target: slow{backup.Directory(dir)}, Every: time.Hour})
		}()
		pass(time.Hour + 5*time.Minute)
		if _, findings := healthOf(t, db); strings.Contains(findings, "backup-overdue") {
			t.Error(findings)
		}
		pass(10 * time.Minute)
		if len(list(t, dir)) != 2 {
			t.Error(list(t, dir))
		}
		cancel()
		must(t, <-ended)
	})
}

// dead is a store that answers nothing any more once something is put into it.
type dead struct {
	backup.Store
	put chan struct{}
}

func (d dead) Path(name string) string { return "dead://store/" + name }

func (d dead) List(context.Context) ([]backup.Object, error) { return nil, nil }

func (d dead) Sweep(context.Context, time.Duration, func(string) bool) error { return nil }

func (d dead) Put(ctx context.Context, name string, _ io.ReaderAt, _ int64) error {
	if strings.HasSuffix(name, backup.ManifestSuffix) {
		return nil
	}
	close(d.put)
	<-ctx.Done()
	time.Sleep(10 * time.Second) // for what it has begun
	return ctx.Err()
}

func (d dead) Get(ctx context.Context, _ string) (io.ReadCloser, int64, error) {
	<-ctx.Done()
	return nil, 0, ctx.Err()
}

// To be interrupted in an upload is a proper end too where the store is silent, and
// leaves no copy on this machine.
func TestRepeatEndsInAnUpload(t *testing.T) {
	inBubble(t, func(t *testing.T, db *holdfast.DB, dir string) {
		ctx, cancel := context.WithCancel(t.Context())
		put, ended := make(chan struct{}), make(chan error)
		go func() {
			open := func(context.Context) (*holdfast.DB, error) { return db, nil }
			ended <- backup.Repeat(ctx, db.Path(), open, func(*holdfast.DB) {},
				backup.Plan{Destination: "dead://store", Target: backup.Remote(dead{put: put}, dir), Every: time.Hour})
		}()
		<-put
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%v are left, %v", left, err)
		}
		pass(time.Minute)
	})
}

// bare is a format that is no more than one.
type bare struct{}

func (bare) Extension() string { return ".bare" }

func (bare) Pack(w io.Writer, manifest []byte, _ int64, database io.Reader) error {
	if _, err := fmt.Fprintf(w, "%8d%s", len(manifest), manifest); err != nil {
		return err
	}
	_, err := io.Copy(w, database)
	return err
}

func (bare) Unpack(r io.Reader, into func([]byte) (io.Writer, error)) error {
	length := make([]byte, 8)
	if _, err := io.ReadFull(r, length); err != nil {
		return err
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(length)))
	if err != nil {
		return err
	}
	manifest := make([]byte, n)
	if _, err := io.ReadFull(r, manifest); err != nil {
		return err
	}
	w, err := into(manifest)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	return err
}

// A backup that is there tells that its volume is, also if it is in another format by now,
// or the database has got another name and has taken its record along.
func TestAFormatThatWasChanged(t *testing.T) {
	inBubble(t, func(t *testing.T, db *holdfast.DB, dir string) {
		s := scheduled(t, db, backup.Plan{Destination: dir, Every: time.Hour, Format: bare{}})
		pass(10 * time.Minute)
		must(t, s.Close(t.Context()))
		var h heard
		scheduled(t, db, backup.Plan{Destination: dir, Every: time.Hour, Report: h.report})
		pass(2 * time.Hour)
		if made, failed := h.count("backup"); made == 0 || failed > 0 {
			t.Errorf("%d were made, %d failed: %v", made, failed, h.last().Err)
		}
	})
}

// What was restored by hand is spared, by whatever name it was called.
func TestWhatWasRestoredByHandStays(t *testing.T) {
	inBubble(t, func(t *testing.T, db *holdfast.DB, dir string) {
		t.Chdir(filepath.Dir(dir))
		info, err := backup.Create(t.Context(), db, dir, nil, nil)
		must(t, err)
		relative := filepath.Join(filepath.Base(dir), filepath.Base(info.Destination))
		must(t, backup.Note(backup.Event{Task: "drill", At: time.Now(), Backup: info, Path: relative}, dir))
		scheduled(t, db, backup.Plan{Destination: dir, Every: time.Hour, Keep: backup.Retention{Last: 1}})
		pass(3 * time.Hour)
		if left := list(t, dir); len(left) != 2 || left[1] != info.Destination {
			t.Errorf("%q are left of %s", left, info.Destination)
		}
	})
}

// A name need not be text, which all is on record.
func TestADestinationThatIsNoText(t *testing.T) {
	inBubble(t, func(t *testing.T, db *holdfast.DB, dir string) {
		dir = filepath.Join(dir, "Stra\xdfe")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Skip(err) // darwin has only text
		}
		scheduled(t, db, backup.Plan{Destination: dir, Every: time.Hour, DrillEvery: time.Hour, Keep: backup.Retention{Last: 1}})
		pass(3*time.Hour + 10*time.Minute)
		if h, findings := healthOf(t, db); len(h.Backup.Places) != 1 || h.Backup.Places[0].Backups.Done < 3 || strings.Contains(findings, "backup-") {
			t.Errorf("%+v %s", h.Backup.Places, findings)
		}
	})
}

// A backup of a clock that was wrong is no newer one than those of today.
func TestDrillsAreOfTheNewest(t *testing.T) {
	inBubble(t, func(t *testing.T, db *holdfast.DB, dir string) {
		info, err := backup.Create(t.Context(), db, dir, nil, nil)
		must(t, err)
		future := filepath.Join(dir, holdfast.BackupName(db.Path(), time.Now().Add(1000*time.Hour)))
		must(t, os.Rename(info.Destination, future))
		must(t, os.Rename(info.Destination+backup.ManifestSuffix, future+backup.ManifestSuffix))
		var h heard
		scheduled(t, db, backup.Plan{Destination: dir, Every: time.Hour, DrillEvery: time.Hour, Report: h.report})
		pass(3 * time.Hour)
		drills, _ := h.count("drill")
		if made, failed := h.count("backup"); drills == 0 || made == 0 || failed > 0 {
			t.Errorf("%d drills, %d backups, %d failed", drills, made, failed)
		}
		if h, _ := healthOf(t, db); h.Backup.Places[0].Drills.Path == future {
			t.Error("the one of the future was restored")
		}
	})
}
