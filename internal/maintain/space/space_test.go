package space

import (
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfastdb/holdfast/internal/sqlite"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// database has 3000 rows on a page of their own, four of five of them deleted.
func database(t *testing.T, pragma string) (w *sqlite.Conn, cfg Config) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "app.db")
	open := func() *sqlite.Conn {
		c, err := sqlite.Open(path, sqlite.OpenReadWrite|sqlite.OpenCreate)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	w = open()
	t.Cleanup(func() {
		if got, err := w.QueryText("PRAGMA integrity_check"); got != "ok" {
			t.Errorf("integrity_check: %s %v", got, err)
		}
		w.Close()
	})
	if err := w.Exec(pragma + "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; CREATE TABLE t(id INTEGER PRIMARY KEY, a BLOB);" +
		"WITH RECURSIVE g(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM g WHERE n < 3000) INSERT INTO t SELECT n, randomblob(3000) FROM g; DELETE FROM t WHERE id % 5"); err != nil {
		t.Fatal(err)
	}
	return w, Config{
		Open: func(context.Context) (*sqlite.Conn, error) { return open(), nil },
		Write: func(ctx context.Context, _ string, run func(*sqlite.Conn) error) error {
			return errors.Join(ctx.Err(), w.Exec("BEGIN IMMEDIATE"), run(w), w.Exec("COMMIT"))
		},
	}
}

const incremental = "PRAGMA auto_vacuum=INCREMENTAL; "

func TestReleaseLeavesWhatItIsTold(t *testing.T) {
	w, cfg := database(t, incremental)
	r, err := Release(t.Context(), cfg, 0, 500)
	if err != nil || r.After.Free != 500 || r.Steps < 3 || r.BusySteps != 0 || r.Pages != r.Before.Pages-r.After.Pages {
		t.Fatalf("%v, %+v", err, r)
	}
	if n, _ := w.QueryInt64("PRAGMA freelist_count"); n != 500 {
		t.Errorf("%d pages are free", n)
	}
	if r, err := Release(t.Context(), cfg, 0, 500); err != nil || r.Steps != 0 {
		t.Errorf("again: %v, %+v", err, r)
	}
}

func TestReleaseEndsWithItsContext(t *testing.T) {
	_, cfg := database(t, incremental)
	ctx, cancel := context.WithCancel(t.Context())
	steps := 0
	cfg.Quiet = func() bool { // asked before each
		if steps++; steps == 3 {
			cancel()
		}
		return true
	}
	r, err := Release(ctx, cfg, 0, 0)
	if !errors.Is(err, context.Canceled) || r.Steps != 2 || r.Pages < 2*quietPages || r.After.Free == 0 {
		t.Errorf("%v, %+v", err, r)
	}
}

func TestReleaseNeedsIncremental(t *testing.T) {
	_, cfg := database(t, "")
	r, err := Release(t.Context(), cfg, 0, 0)
	if err != nil || r.Steps != 0 || r.Before.Free == 0 || r.Before.AutoVacuum != AutoVacuumNone {
		t.Errorf("%v, %+v", err, r)
	}
}

// A step ends with the first look at the clock after its budget is spent; while
// others write it looks after each page.
func TestStepsEndInTime(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("wine takes too long for a write")
	}
	for name, c := range map[string]struct {
		quiet bool
		chunk int64
		steps int
	}{"alone": {true, quietPages, 20}, "while others write": {false, 1, 4}} {
		_, cfg := database(t, incremental)
		asked := 0
		ctx, cancel := context.WithCancel(t.Context())
		cfg.Quiet = func() bool {
			if asked++; asked > c.steps {
				cancel()
			}
			return c.quiet
		}
		r, err := Release(ctx, cfg, 1, 0)
		cancel()
		if !errors.Is(err, context.Canceled) || r.Steps != c.steps || r.freed != int64(c.steps)*c.chunk || r.OverBudget != c.steps {
			t.Errorf("%s: %v, %+v", name, err, r)
		}
		if busy := r.BusySteps > 0; busy == c.quiet {
			t.Errorf("%s: %d steps were kept short", name, r.BusySteps)
		}
	}
	_, cfg := database(t, incremental)
	r, err := Release(t.Context(), cfg, time.Hour, 0)
	// On a slow machine a step may take longer than slowStep, and the next has fewer pages.
	if err != nil || r.After.Free != 0 || r.Steps < int((r.Before.Free+mostPages-1)/mostPages) || r.LongestCommit < slowStep && r.Steps > int((r.Before.Free+mostPages-1)/mostPages) {
		t.Errorf("with all the time there is: %v, %+v", err, r)
	}
}

// On a disk on which a COMMIT takes a millisecond for each page the steps find out
// how many pages there may be in one, and get longer when the disk is fast again.
func TestStepsFollowTheDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, cfg := database(t, incremental)
		var pages []int64
		slow := true
		cfg.Write = func(ctx context.Context, _ string, run func(*sqlite.Conn) error) error {
			before, err := w.QueryInt64("PRAGMA page_count")
			if err = errors.Join(err, w.Exec("BEGIN IMMEDIATE"), run(w), w.Exec("COMMIT")); err != nil {
				return err
			}
			after, err := w.QueryInt64("PRAGMA page_count")
			pages = append(pages, before-after)
			if slow = slow && len(pages) < 10; slow {
				time.Sleep(time.Duration(before-after) * time.Millisecond)
			}
			return err
		}
		if _, err := Release(t.Context(), cfg, 0, 0); err != nil {
			t.Fatal(err)
		}
		if len(pages) < 14 {
			t.Fatalf("%d pages", pages)
		}
		for n, most := range []int64{mostPages + 1, 257, 129, 65, 33, 17, 33, 17, 33, 17, 33, 65, 129} { // and one that kept book
			if pages[n] > most || pages[n] < most/2 {
				t.Errorf("step %d has given back %d pages: %d", n, pages[n], pages)
			}
		}
	})
}

func TestPause(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		work, all, want time.Duration
		quiet           bool
	}{
		{10 * ms, 13 * ms, 13 * ms, true},
		{0, 0, 0, true},
		{ms / 4, ms, busyWork*ms/4 + busyCommit*ms, false},
		{50 * ms, 60 * ms, longest, false},
	} {
		if got := pause(c.work, c.all, c.quiet); got != c.want {
			t.Errorf("after %s, %s with COMMIT: %s, want %s", c.work, c.all, got, c.want)
		}
	}
}

func TestLull(t *testing.T) {
	var l Lull
	at := func(d time.Duration) time.Time { return time.Unix(1_800_000_000, 0).Add(d) }
	if l.Lasts(5, at(0)) || l.Lasts(5, at(QuietAfter-1)) || !l.Lasts(5, at(QuietAfter)) {
		t.Error("a database that nobody has written to since it was first looked at")
	}
	l.Own()
	if !l.Lasts(6, at(QuietAfter+1)) {
		t.Error("a unit of its own is no load")
	}
	if l.Lasts(7, at(2*QuietAfter)) || l.Lasts(7, at(3*QuietAfter-1)) || !l.Lasts(7, at(3*QuietAfter)) {
		t.Error("a unit of somebody else's is")
	}
}

// A VACUUM that fails leaves the connection as it was: the next one, which nobody
// asked for more, makes the file nothing else.
func TestVacuumThatFailsChangesNothing(t *testing.T) {
	w, cfg := database(t, "PRAGMA auto_vacuum=NONE; ")
	cfg.Hold = func(_ context.Context, _ string, run func(*sqlite.Conn) error) error { return run(w) }
	other, err := cfg.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := other.Exec("BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	if _, err := Vacuum(t.Context(), cfg, true); sqlite.Code(err).Primary() != sqlite.ResultBusy {
		t.Fatal(err)
	}
	if err := other.Exec("ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if _, err := Vacuum(t.Context(), cfg, false); err != nil {
		t.Fatal(err)
	}
	if s, err := Look(t.Context(), cfg); s.AutoVacuum != AutoVacuumNone || s.Free != 0 || err != nil {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestVacuumIsRefusedWithoutRoom(t *testing.T) {
	const mib = 1 << 20
	e := Estimate{VolumeNeeds: 100 * mib, TempNeeds: 100 * mib}
	for name, c := range map[string]struct {
		volume, temp int64
		same, fits   bool
	}{
		"room for both":          {volume: 200 * mib, temp: 200 * mib, fits: true},
		"none beside the file":   {volume: 100 * mib, temp: 200 * mib},
		"none for temporaries":   {volume: 200 * mib, temp: 100 * mib},
		"one for both, too full": {volume: 200 * mib, temp: 200 * mib, same: true},
		"one for both":           {volume: 300 * mib, temp: 300 * mib, same: true, fits: true},
		"nobody knows":           {fits: true},
	} {
		e.Volume, e.Temp, e.SameFileSystem = Room{Free: c.volume, Total: c.volume}, Room{Free: c.temp, Total: c.temp}, c.same
		if err := e.Fits(); (err == nil) != c.fits || err != nil && !errors.Is(err, ErrNoRoom) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
