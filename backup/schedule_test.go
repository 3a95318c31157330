package backup_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/backup"
)

// heard collects what a schedule reports.
type heard struct {
	mu     sync.Mutex
	events []backup.Event
}

func (h *heard) report(e backup.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e)
}

// count counts the events of a task, those that failed and those that did not.
func (h *heard) count(task string) (ok, failed int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.events {
		switch {
		case e.Task != task:
		case e.Err != nil:
			failed++
		default:
			ok++
		}
	}
	return ok, failed
}

func (h *heard) last() backup.Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.events) == 0 {
		return backup.Event{}
	}
	return h.events[len(h.events)-1]
}

// inBubble runs a test in a bubble, where hours pass at once, with a database.
func inBubble(t *testing.T, test func(t *testing.T, db *holdfast.DB, dir string)) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the locks of a bubble's databases want the real clock there")
	}
	path, dir := filepath.Join(t.TempDir(), "app.db"), t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		// Without turns: what gives back one that was kept sleeps by a timer of the
		// system, and for a bubble it is never asleep.
		db, err := holdfast.Open(context.Background(), path, func(c *holdfast.Config) { c.Writer.FairLock = holdfast.Off })
		must(t, err)
		t.Cleanup(func() {
			var found string
			if err := db.QueryRowContext(context.Background(), "PRAGMA integrity_check").Scan(&found); err != nil || found != "ok" {
				t.Errorf("integrity_check: %s, %v", found, err)
			}
			must(t, db.Close())
		})
		_, err = db.Exec("CREATE TABLE t(a); INSERT INTO t VALUES (1)")
		must(t, err)
		test(t, db, dir)
	})
}

func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func scheduled(t *testing.T, db *holdfast.DB, plan backup.Plan) *backup.Scheduled {
	t.Helper()
	s, err := backup.Schedule(db, plan)
	must(t, err)
	t.Cleanup(func() { must(t, s.Close(context.Background())) })
	return s
}

func healthOf(t *testing.T, db *holdfast.DB) (h holdfast.Health, findings string) {
	t.Helper()
	h, err := db.Health(context.Background())
	must(t, err)
	for _, f := range h.Findings {
		findings += fmt.Sprintln(f.Severity, f.ID, f.Evidence, f.Fix)
	}
	return h, findings
}

func list(t *testing.T, dir string) (paths []string) {
	t.Helper()
	entries, err := backup.List(dir)
	must(t, err)
	for _, e := range entries {
		if !e.Verified {
			t.Errorf("%s is not verified", e.Path)
		}
		paths = append(paths, e.Path)
	}
	return paths
}

// A backup every five minutes and a drill every two hours: as many as that makes, kept
// by the rules, and on record. (A day takes ten seconds here: a database looks around each second.)
func TestSchedule(t *testing.T) {
	inBubble(t, func(t *testing.T, db *holdfast.DB, dir string) {
		var h heard
		scheduled(t, db, backup.Plan{Destination: dir, Every: 5 * time.Minute, DrillEvery: 2 * time.Hour, Keep: backup.Retention{Last: 3}, Report: h.report})
		pass(4*time.Hour + 10*time.Minute)
		made, failed := h.count("backup")
		drilled, bad := h.count("drill")
		if made < 40 || made > 51 || drilled < 2 || drilled > 3 || failed+bad > 0 {
			t.Errorf("%d backups, %d failed; %d drills, %d failed", made, failed, drilled, bad)
		}
		health, findings := healthOf(t, db)
		place := health.Backup.Places[0]
		if left := list(t, dir); len(left) < 3 || len(left) > 4 || !slices.Contains(left, place.Drills.Path) {
			t.Errorf("%q are left; the last that was restored is %s", left, place.Drills.Path)
		}
		if strings.Contains(findings, "backup") || strings.Contains(findings, "drill") {
			t.Error(findings)
		}
		s := db.Stats().Backup
		if time.Since(s.LastBackup) > 10*time.Minute || time.Since(s.LastVerified) > 3*time.Hour || int(place.Backups.Done) != made || int(place.Drills.Done) != drilled {
			t.Errorf("%+v, %+v", s, place)
		}
		if m := db.Stats().Maintenance; m.Failed > 0 || int(m.Done) < made+drilled {
			t.Errorf("%+v", m)
		}
	})
}

// Of three that have the database one makes each backup, whichever way they do it.
func TestOneBackupOfSeveralSchedules(t *testing.T) {
	inBubble(t, func(t *testing.T, db *holdfast.DB, dir string) {
		var h heard
		plan := backup.Plan{Destination: dir, Every: 10 * time.Minute, Report: h.report}
		scheduled(t, db, plan)
		if _, err := backup.Schedule(db, plan); !errors.Is(err, holdfast.ErrRefused) {
			t.Errorf("the same plan twice: %v", err)
		}
		ctx, end := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				open := func(ctx context.Context) (*holdfast.DB, error) {
					return holdfast.Open(ctx, db.Path(), holdfast.WithReadOnly(), func(c *holdfast.Config) { c.Writer.FairLock = holdfast.Off })
				}
				if err := backup.Repeat(ctx, db.Path(), open, func(db *holdfast.DB) { _ = db.Close() }, plan); err != nil {
					t.Error(err)
				}
			})
		}
		pass(100*time.Minute + 5*time.Minute)
		end()
		all.Wait()
		if made, failed := h.count("backup"); made < 10 || made > 11 || failed > 0 || len(list(t, dir)) != made {
			t.Errorf("%d backups in a hundred minutes, %d failed, %d there", made, failed, len(list(t, dir)))
		}
	})
}

// A machine that was off for ten intervals makes one backup, not ten.
func TestAMissedBackupIsMadeOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, db *holdfast.DB, dir string) {
		var h heard
		plan := backup.Plan{Destination: dir, Every: 12 * time.Minute, Report: h.report}
		s := scheduled(t, db, plan)
		pass(10 * time.Minute)
		must(t, s.Close(t.Context()))
		pass(2 * time.Hour)
		if _, findings := healthOf(t, db); !strings.Contains(findings, "warning backup-overdue") || !strings.Contains(findings, "holdfast backup "+db.Path()+" "+dir) {
			t.Errorf("after ten intervals without backups Health says: %s", findings)
		}
		if made, _ := h.count("backup"); made != 1 {
			t.Errorf("%d backups", made)
		}
		scheduled(t, db, plan)
		if _, findings := healthOf(t, db); !strings.Contains(findings, "backup-overdue") {
			t.Error("a promise that was broken is forgotten when the next is made")
		}
		pass(10 * time.Minute)
		if made, _ := h.count("backup"); made != 2 {
			t.Errorf("%d backups, want one more", made)
		}
		if _, findings := healthOf(t, db); strings.Contains(findings, "backup") {
			t.Error(findings)
		}
	})
}

// failing is a place where there is no room, for a while.
type failing struct {
	backup.Target
	err     error
	tries   []time.Time
	removed int
}

func (f *failing) Create(ctx context.Context, db *holdfast.DB, format backup.Format, progress func(backup.Progress), options ...holdfast.BackupOption) (backup.Info, error) {
	f.tries = append(f.tries, time.Now())
	if f.err != nil {
		return backup.Info{}, f.err
	}
	return f.Target.Create(ctx, db, format, progress, options...)
}

func (f *failing) Prune(ctx context.Context, path string, r backup.Retention, formats ...backup.Format) ([]backup.Entry, error) {
	f.removed++
	return f.Target.Prune(ctx, path, r, formats...)
}

// What fails is tried again, more seldom each time, and removes nothing.
func TestAFullDisk(t *testing.T) {
	inBubble(t, func(t *testing.T, db *holdfast.DB, dir string) {
		var h heard
		place := &failing{Target: backup.Directory(dir)}
		scheduled(t, db, backup.Plan{Destination: dir, Target: place, Every: time.Hour, Keep: backup.Retention{Last: 1}, Report: h.report})
		pass(10 * time.Minute)
		before := list(t, dir)
		place.err, place.tries, place.removed = fmt.Errorf("%w: no room on that disk", holdfast.ErrDiskFull), nil, 0
		pass(3 * time.Hour)
		if n := len(place.tries); n < 6 || n > 8 {
			t.Errorf("%d tries in three hours", n)
		}
		for i := 2; i < 5; i++ {
			if a, b := place.tries[i-1].Sub(place.tries[i-2]), place.tries[i].Sub(place.tries[i-1]); b < a+a/2 {
				t.Errorf("the pauses are %s and then %s", a, b)
			}
		}
		if now := list(t, dir); place.removed > 0 || !slices.Equal(now, before) {
			t.Errorf("%q are left of %q", now, before)
		}
		health, findings := healthOf(t, db)
		if health.Status != "warning" || !strings.Contains(findings, "backup-overdue") || !strings.Contains(findings, "no room on that disk") {
			t.Errorf("%s: %s", health.Status, findings)
		}
		place.err = nil
		pass(time.Hour + 10*time.Minute)
		if made, _ := h.count("backup"); made < 2 || made > 3 || len(list(t, dir)) != 1 {
			t.Errorf("%d backups with room again, %d there", made, len(list(t, dir)))
		}
	})
}

// A volume that is not mounted is an empty directory, or none. Neither gets a backup.
func TestADestinationThatIsNotMounted(t *testing.T) {
	inBubble(t, func(t *testing.T, db *holdfast.DB, dir string) {
		var h heard
		scheduled(t, db, backup.Plan{Destination: dir, Every: time.Hour, Report: h.report})
		pass(10 * time.Minute)
		for _, empty := range []bool{true, false} {
			must(t, os.Rename(dir, dir+"-away"))
			if empty {
				must(t, os.Mkdir(dir, 0o700))
			}
			pass(2 * time.Hour)
			if e := h.last(); e.Err == nil || empty && !strings.Contains(e.Err.Error(), "mount the volume again") {
				t.Errorf("empty %v: %+v", empty, e)
			}
			if _, findings := healthOf(t, db); !strings.Contains(findings, "backup-") {
				t.Errorf("Health says %q", findings)
			}
			if empty {
				must(t, os.Remove(dir)) // which fails if there is something in it
			}
			must(t, os.Rename(dir+"-away", dir))
			pass(2 * time.Hour)
			if e := h.last(); e.Err != nil {
				t.Errorf("mounted again: %v", e.Err)
			}
		}
	})
}

// A backup that doesn't restore is critical, for everybody, until one does.
func TestADrillThatFails(t *testing.T) {
	inBubble(t, func(t *testing.T, db *holdfast.DB, dir string) {
		var h heard
		scheduled(t, db, backup.Plan{Destination: dir, Every: 24 * time.Hour, DrillEvery: time.Hour, Keep: backup.Retention{Last: 1}, Report: h.report})
		pass(10 * time.Minute)
		good := list(t, dir)[0]
		if drilled, failed := h.count("drill"); drilled != 1 || failed != 0 {
			t.Fatalf("%d drills, %d failed", drilled, failed)
		}
		text, err := os.ReadFile(good)
		must(t, err)
		damaged := slices.Clone(text)
		damaged[len(damaged)-1] ^= 1
		must(t, os.WriteFile(good, damaged, 0o600))
		pass(2 * time.Hour)
		health, findings := healthOf(t, db)
		if health.Status != "critical" || !strings.Contains(findings, "critical drill-failed") || !strings.Contains(findings, good) {
			t.Errorf("%s: %s", health.Status, findings)
		}
		if e := h.last(); e.Task != "drill" || !errors.Is(e.Err, backup.ErrDamaged) {
			t.Errorf("%+v", e)
		}
		left, err := filepath.Glob(filepath.Join(dir, ".holdfast-partial-*"))
		if err != nil || len(left) > 0 {
			t.Errorf("drills have left %q, %v", left, err)
		}
		must(t, os.WriteFile(good, text, 0o600))
		pass(2 * time.Hour)
		if health, findings := healthOf(t, db); health.Status == "critical" {
			t.Error(findings)
		}
	})
}

// A backup that is under way when the schedule is closed ends, and leaves nothing.
func TestCloseEndsABackup(t *testing.T) {
	inBubble(t, func(t *testing.T, db *holdfast.DB, dir string) {
		began := make(chan struct{})
		place := &waiting{Target: backup.Directory(dir), began: began}
		s := scheduled(t, db, backup.Plan{Destination: dir, Target: place, Every: time.Hour})
		<-began
		must(t, s.Close(t.Context()))
		if n := db.Stats().Maintenance; n.Interrupted != 1 || n.Failed > 0 || len(list(t, dir)) > 0 {
			t.Errorf("%+v, %q", n, list(t, dir))
		}
		if h, findings := healthOf(t, db); len(h.Backup.Places) != 1 || strings.Contains(findings, "backup-failed") {
			t.Errorf("%+v, %s", h.Backup, findings)
		}
	})
}

// waiting makes no backup before its context ends.
type waiting struct {
	backup.Target
	began chan struct{}
}

func (w *waiting) Create(ctx context.Context, _ *holdfast.DB, _ backup.Format, _ func(backup.Progress), _ ...holdfast.BackupOption) (backup.Info, error) {
	close(w.began)
	<-ctx.Done()
	return backup.Info{}, ctx.Err()
}

// A configuration that asks for backups where nothing makes them is said to.
func TestPlanOfAConfiguration(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := holdfast.BackupConfig{Destination: dir, Every: time.Hour, DrillEvery: -1, Keep: "last=2,daily=7"}
	plan, err := backup.PlanOf(c)
	if err != nil || plan.Destination != dir || plan.Every != time.Hour || plan.Keep != (backup.Retention{Last: 2, Daily: 7}) {
		t.Errorf("%+v, %v", plan, err)
	}
	for _, wrong := range []holdfast.BackupConfig{{Destination: dir, Keep: "yearly=1"}, {Destination: dir, Format: ".rar"}} {
		if _, err := backup.PlanOf(wrong); !errors.Is(err, holdfast.ErrRefused) {
			t.Errorf("%+v: %v", wrong, err)
		}
	}
	cfg := holdfast.Config{Database: holdfast.DatabaseConfig{Path: filepath.Join(t.TempDir(), "app.db")}, Backup: c}
	db, err := holdfast.OpenConfig(t.Context(), cfg)
	must(t, err)
	defer db.Close()
	if _, findings := healthOf(t, db); !strings.Contains(findings, "warning backup-unscheduled") || !strings.Contains(findings, "backup.Schedule") {
		t.Errorf("nobody has scheduled anything, and Health says %q", findings)
	}
	for _, nothing := range []backup.Plan{{Destination: dir}, {Every: time.Hour}, {Destination: filepath.Join(dir, "missing"), Every: time.Hour}} {
		if _, err := backup.Schedule(db, nothing); err == nil {
			t.Errorf("%+v was accepted", nothing)
		}
	}
	scheduled(t, db, plan)
	if _, findings := healthOf(t, db); strings.Contains(findings, "backup-") {
		t.Error(findings)
	}
	memory, err := holdfast.Open(t.Context(), ":memory:")
	must(t, err)
	defer memory.Close()
	if _, err := backup.Schedule(memory, plan); !errors.Is(err, holdfast.ErrRefused) {
		t.Errorf("a database in memory: %v", err)
	}
}

// What is done by hand is on record too.
func TestNote(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db, err := holdfast.Open(t.Context(), filepath.Join(t.TempDir(), "app.db"))
	must(t, err)
	defer db.Close()
	_, err = db.Exec("CREATE TABLE t(a)")
	must(t, err)
	info, err := backup.Create(t.Context(), db, dir, nil, nil)
	must(t, err)
	must(t, backup.Note(backup.Event{Task: "backup", At: time.Now(), Backup: info, Path: info.Destination}, dir))
	must(t, backup.Note(backup.Event{Task: "drill", At: time.Now(), Backup: info, Path: info.Destination}, dir))
	if h, _ := healthOf(t, db); !h.Backup.LastBackup.Equal(info.TakenAt) || time.Since(h.Backup.LastVerified) > time.Minute || h.Backup.Places[0].Destination != dir {
		t.Errorf("%+v", h.Backup)
	}
	older := info
	older.TakenAt = info.TakenAt.Add(-time.Hour)
	must(t, backup.Note(backup.Event{Task: "drill", At: time.Now(), Backup: older, Path: "older"}, dir))
	other := info
	other.SourceID = "1:1"
	must(t, backup.Note(backup.Event{Task: "drill", At: time.Now(), Backup: other, Path: "another"}, dir))
	if h, _ := healthOf(t, db); h.Backup.Places[0].Drills.Path != info.Destination {
		t.Errorf("%+v", h.Backup)
	}
}
