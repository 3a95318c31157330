package holdfast

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfastdb/holdfast/internal/maintain/schedule"
	"github.com/holdfastdb/holdfast/internal/sidelock"
)

// withTasks opens a database that is maintained by these tasks instead of its
// own. It is closed at the end, and checked before.
func withTasks(t *testing.T, path string, tasks []schedule.Task, opts ...Option) *DB {
	t.Helper()
	db, err := Open(context.Background(), path, opts...)
	if err != nil {
		t.Fatal(err)
	}
	d := db.h.d
	if err := d.care.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	d.startMaintenance(tasks)
	t.Cleanup(func() {
		var found string
		if err := db.QueryRowContext(context.Background(), "PRAGMA integrity_check").Scan(&found); found != "ok" && err == nil {
			t.Errorf("integrity_check: %s", found)
		}
		if err := db.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return db
}

func insert(db **DB) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		_, err := (*db).ExecContext(ctx, "INSERT INTO t VALUES (1)")
		return "one row", err
	}
}

func mustExec(t *testing.T, db *DB, sql string) {
	t.Helper()
	if _, err := db.ExecContext(context.Background(), sql); err != nil {
		t.Fatal(err)
	}
}

func rowsOf(t *testing.T, db *DB) (n int) {
	t.Helper()
	if err := db.QueryRowContext(context.Background(), "SELECT count(*) FROM t").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// logged is a log that tests look at.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func TestMaintenanceByTheClock(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("under wine a database can't be opened a second time in a bubble; why is not known")
	}
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var db *DB
		log := &logged{}
		db = withTasks(t, filepath.Join(dir, "app.db"), []schedule.Task{
			{Name: "write", Every: time.Hour, Run: insert(&db)},
			{Name: "fail", Every: time.Hour, Run: func(context.Context) (string, error) { return "", errors.New("no luck") }},
			{Name: "idle", Every: time.Hour, Run: func(context.Context) (string, error) { return "nothing: all is well", nil }},
		}, func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(log, nil)) })
		mustExec(t, db, "CREATE TABLE t(a)")
		time.Sleep(maintenanceDelay - time.Second)
		if n := rowsOf(t, db); n != 0 {
			t.Error("a task ran in the first half minute")
		}
		time.Sleep(10*time.Hour + 2*time.Minute)
		synctest.Wait()
		if n := rowsOf(t, db); n < 10 || n > 11 {
			t.Errorf("%d rows after ten hours", n)
		}
		s := db.Stats().Maintenance
		if s.Done != 2*int64(rowsOf(t, db)) || s.Failed < 10 || s.Interrupted+s.Skipped > 0 || s.Paused {
			t.Errorf("counted %+v", s)
		}
		for _, want := range []string{
			`msg="holdfast: maintained" path=`, `task=write`, `result="one row"`,
			`msg="holdfast: a maintenance task failed"`, `error="no luck"`, "next=",
		} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("the log lacks %s", want)
			}
		}
		if strings.Contains(log.String(), "task=idle") {
			t.Error("the log tells of a task that had nothing to do")
		}
		next := db.Maintenance().Next()
		if len(next) != 3 || next[0].Task != "write" || time.Since(next[0].Last) > 2*time.Hour || !next[0].At.After(time.Now()) {
			t.Errorf("next %+v", next)
		}
	})
}

// What ran before the restart is known after it.
func TestMaintenanceRemembersAcrossProcesses(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	tasks := []schedule.Task{{Name: "t", Every: 24 * time.Hour, Run: func(context.Context) (string, error) { return "", nil }}}
	db := withTasks(t, path, tasks)
	if next := db.Maintenance().Next(); !next[0].Last.IsZero() || next[0].At.After(time.Now().Add(2*time.Minute)) {
		t.Errorf("never run: %+v", next)
	}
	began := time.Now().Truncate(time.Second)
	if r, err := db.Maintenance().Run(t.Context(), "t"); err != nil || r.Outcome != "done" || !r.Asked {
		t.Errorf("Run: %+v, %v", r, err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Maintenance().Run(t.Context(), "t"); !errors.Is(err, ErrClosed) {
		t.Errorf("Run after Close: %v", err)
	}
	again := withTasks(t, path, tasks)
	if !sidelock.Supported() {
		t.Skip("no lock file here")
	}
	if next := again.Maintenance().Next(); next[0].Last.Before(began) || next[0].At.Sub(next[0].Last) < 24*time.Hour {
		t.Errorf("after the restart: %+v, ran at %s", next, began)
	}
}

// Who has the duty is left alone. Another lock of the file stands for another
// process, or for DB.Optimize: it signs with the number of this one.
func TestMaintenanceOfAnother(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" && runtime.GOOS != "windows" {
		t.Skip("two locks in one process don't exclude each other here")
	}
	path := filepath.Join(t.TempDir(), "app.db")
	var db *DB
	db = withTasks(t, path, []schedule.Task{{Name: "write", Run: insert(&db)}})
	mustExec(t, db, "CREATE TABLE t(a)")
	other, err := sidelock.Open(db.Path() + sidelock.Suffix)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for duty, why := range map[sidelock.Duty]string{
		sidelock.Maintenance: "the program does it", sidelock.Migration: "a migration is under way",
	} {
		if ok, err := other.TryTake(duty); !ok || err != nil {
			t.Fatal(ok, err)
		}
		if r, err := db.Maintenance().Run(t.Context(), "write"); err != nil || r.Outcome != "skipped" || r.Why != why {
			t.Errorf("Run: %+v, %v; want skipped, %s", r, err, why)
		}
		if err := other.Return(duty); err != nil {
			t.Fatal(err)
		}
	}
	if r, err := db.Maintenance().Run(t.Context(), "write"); err != nil || r.Outcome != "done" || rowsOf(t, db) != 1 {
		t.Errorf("Run: %+v, %v", r, err)
	}
	if runs := db.Maintenance().Runs(); len(runs) != 3 || runs[0].Outcome != "done" || runs[0].Seconds <= 0 {
		t.Errorf("runs %+v", runs)
	}
	if ok, err := other.TryTake(sidelock.Maintenance); !ok || err != nil {
		t.Errorf("the duty was not given back: %t, %v", ok, err)
	}
}

// Close does not wait for what a task waits for.
func TestCloseEndsMaintenance(t *testing.T) {
	t.Parallel()
	var db *DB
	db = withTasks(t, filepath.Join(t.TempDir(), "app.db"), []schedule.Task{{Name: "write", Run: insert(&db)}})
	mustExec(t, db, "CREATE TABLE t(a)")
	tx, err := db.BeginTx(t.Context(), nil) // never ended by the program
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec("INSERT INTO t VALUES (2)"); err != nil {
		t.Fatal(err)
	}
	type answer struct {
		run MaintenanceRun
		err error
	}
	ended := make(chan answer)
	go func() {
		r, err := db.Maintenance().Run(context.Background(), "write")
		ended <- answer{r, err}
	}()
	for db.Stats().Writer.Queued == 0 {
		runtime.Gosched()
	}
	if db.h.d.care.Quiet() {
		t.Error("a database is quiet although somebody waits for the writer")
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	if a := <-ended; a.run.Outcome != "interrupted" || !strings.Contains(a.run.Why, "closed") || a.err == nil {
		t.Errorf("the run: %+v, %v", a.run, a.err)
	}
}

func TestMaintenancePaused(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("under wine a database can't be opened a second time in a bubble; why is not known")
	}
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var db *DB
		db = withTasks(t, filepath.Join(dir, "app.db"), []schedule.Task{{Name: "write", Every: time.Hour, Run: insert(&db)}})
		mustExec(t, db, "CREATE TABLE t(a)")
		m := db.Maintenance()
		if err := m.Pause(t.Context(), "migration"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Hour)
		if n := rowsOf(t, db); n != 0 || m.Paused() != "migration" || !db.Stats().Maintenance.Paused {
			t.Errorf("%d rows in a pause, paused for %q", n, m.Paused())
		}
		m.Resume()
		m.Resume()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if n := rowsOf(t, db); n != 1 || m.Paused() != "" {
			t.Errorf("%d rows after the pause", n)
		}
	})
}

func TestMaintenanceTurnedOff(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("under wine a database can't be opened a second time in a bubble; why is not known")
	}
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var db *DB
		db = withTasks(t, filepath.Join(dir, "app.db"), []schedule.Task{{Name: "write", Every: time.Hour, Run: insert(&db)}},
			func(c *Config) { c.Maintenance.Enabled = Off })
		mustExec(t, db, "CREATE TABLE t(a)")
		time.Sleep(5 * time.Hour)
		if n := rowsOf(t, db); n != 0 {
			t.Errorf("%d rows although it is off", n)
		}
		if _, err := db.Maintenance().Run(t.Context(), "write"); err != nil || rowsOf(t, db) != 1 {
			t.Errorf("Run: %v", err)
		}
		if _, err := db.Maintenance().Run(t.Context(), "nothing"); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), `"nothing"`) {
			t.Errorf("Run of no task: %v", err)
		}
	})
}

// The tasks that a database has of its own.
func TestMaintenanceTasks(t *testing.T) {
	t.Parallel()
	db, err := Open(context.Background(), filepath.Join(t.TempDir(), "app.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	mustExec(t, db, "CREATE TABLE t(a)")
	for _, n := range db.Maintenance().Next() {
		if r, err := db.Maintenance().Run(t.Context(), n.Task); err != nil || r.Outcome != "done" {
			t.Errorf("%s: %+v, %v", n.Task, r, err)
		}
	}
	if n := len(db.Maintenance().Next()); n == 0 || n != len(db.Maintenance().Runs()) {
		t.Errorf("%d tasks", n)
	}
	memory, err := Open(context.Background(), ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	if next := memory.Maintenance().Next(); len(next) != 0 {
		t.Errorf("a database in memory has tasks: %+v", next)
	}
}

func TestMaintenanceConfig(t *testing.T) {
	for _, c := range []struct {
		change func(*MaintenanceConfig)
		want   string
	}{
		{func(m *MaintenanceConfig) { m.Windows = "at night" }, `maintenance.windows: "at" are no days`},
		{func(m *MaintenanceConfig) { m.TimeZone = "Atlantis" }, `maintenance.time_zone: "Atlantis" is no time zone`},
		{func(m *MaintenanceConfig) { m.Windows, m.TimeZone = "Sat,Sun 22:00-06:00", "UTC" }, ""},
		{func(m *MaintenanceConfig) { m.OptimizeInterval = time.Millisecond }, "maintenance.optimize_interval"},
	} {
		var cfg Config
		c.change(&cfg.Maintenance)
		err := cfg.Validate()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v: %v, want %q", cfg.Maintenance, err, c.want)
		}
	}
	cfg := Config{Maintenance: MaintenanceConfig{Enabled: Off, Windows: "02:00-05:00"}}
	_, notes, err := cfg.withDefaults()
	if err != nil || !slices.ContainsFunc(notes, func(n string) bool { return strings.HasPrefix(n, "maintenance.windows is ignored") }) {
		t.Errorf("notes %q, %v", notes, err)
	}
}
