package migrate

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/internal/maintain/copy"
	"github.com/holdfastdb/holdfast/internal/sqlite"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, path string) *sqlite.Conn {
	t.Helper()
	c, err := sqlite.Open(path, sqlite.OpenReadWrite|sqlite.OpenCreate)
	must(t, err)
	t.Cleanup(func() { must(t, c.Close()) })
	return c
}

const rows = `CREATE TABLE a(id INTEGER PRIMARY KEY, pad);
	WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM r WHERE i<2000) INSERT INTO a SELECT i, hex(zeroblob(500)) FROM r`

// begin makes a database with a log and begins a migration of it.
func begin(t *testing.T, change func(*Config)) (path string, c *sqlite.Conn, w *Watch) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "app.db")
	c = open(t, path)
	must(t, c.Exec("PRAGMA journal_mode=WAL;"+rows))
	must(t, c.Exec("BEGIN IMMEDIATE"))
	cfg := Config{
		Log: true, References: true, CountFor: time.Minute,
		Open: func(context.Context) (*sqlite.Conn, error) { return sqlite.Open(path, sqlite.OpenReadWrite) },
		Copy: Copy{Path: path, Dir: filepath.Dir(path), Keep: 1, SyncDir: func(string) error { return nil }},
	}
	if change != nil {
		change(&cfg)
	}
	w, err := Begin(c, cfg)
	must(t, err)
	return path, c, w
}

func copies(t *testing.T, path string) []string {
	t.Helper()
	found, err := filepath.Glob(path + infix + "*")
	must(t, err)
	return found
}

// Too little room is told at the first change, not after the whole work, and is
// no reason to fail where nothing changes.
func TestRoomIsLookedForAtTheFirstChange(t *testing.T) {
	_, c, w := begin(t, func(cfg *Config) { cfg.Copy.Free = func(string) (int64, error) { return spare, nil } })
	must(t, w.AfterWrite(c, 0))
	must(t, w.Finish(t.Context(), c))
	must(t, c.Exec("CREATE TABLE b(x)"))
	if err := w.AfterWrite(c, 0); !errors.Is(err, copy.ErrNoSpace) {
		t.Errorf("no room: %v", err)
	}
	must(t, c.Exec("ROLLBACK"))
	_, c, w = begin(t, func(cfg *Config) {
		cfg.Copy.Free = func(string) (int64, error) { return 0, errors.ErrUnsupported }
	})
	must(t, c.Exec("CREATE TABLE b(x)"))
	must(t, w.AfterWrite(c, 0))
	must(t, w.Finish(t.Context(), c))
	must(t, c.Exec("COMMIT"))
}

// A copy is made of what was before, is removed with Undo, and a partial one of a
// process that was killed is removed when it is old.
func TestCopiesAreKeptAndRemoved(t *testing.T) {
	path, c, w := begin(t, nil)
	stale, fresh := path+infix+"20010101T000000.000000Z"+partial, path+infix+"20010102T000000.000000Z"+partial
	for _, f := range []string{stale, fresh, path + infix + "20010103T000000.000000Z", path + infix + "20010104T000000.000000Z"} {
		must(t, os.WriteFile(f, nil, 0o600))
	}
	must(t, os.Chtimes(stale, time.Time{}, time.Now().Add(-2*staleAge)))
	used := path + infix + "20010104T000000.000000Z"
	w.cfg.Copy.InUse = func(path string) bool { return path == used }
	must(t, c.Exec("DELETE FROM a"))
	must(t, w.AfterWrite(c, 2000))
	before := copies(t, path)
	must(t, w.Finish(t.Context(), c))
	if got, want := copies(t, path), append(before, w.Report.Copy); !slices.Equal(got, want) {
		t.Errorf("before COMMIT: %v, want %v", got, want) // which may fail yet
	}
	copied, err := copy.OpenFile(w.Report.Copy)
	must(t, err)
	if n, err := copied.QueryInt64("SELECT count(*) FROM a"); n != 2000 || err != nil {
		t.Error(n, err)
	}
	must(t, copied.Close())
	if want := []Rows{{"a", 2000, 0}}; !slices.Equal(w.Report.Tables, want) || !w.Report.Counted {
		t.Errorf("%+v", w.Report)
	}
	w.Done()
	if got, want := copies(t, path), []string{fresh, used, w.Report.Copy}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	must(t, w.Undo())
	if got, want := copies(t, path), []string{fresh, used}; !slices.Equal(got, want) || w.Report.Copy != "" {
		t.Errorf("after Undo: %v", got)
	}
	must(t, c.Exec("ROLLBACK"))
}

// A damaged database is not migrated: its copy is looked at first.
func TestDamageIsFoundInTheCopy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	c, err := sqlite.Open(path, sqlite.OpenReadWrite|sqlite.OpenCreate)
	must(t, err)
	must(t, c.Exec(rows))
	must(t, c.Close())
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteAt(make([]byte, 4096), 50*4096)
	must(t, errors.Join(err, f.Close()))

	c = open(t, path)
	must(t, c.Exec("PRAGMA journal_mode=WAL; BEGIN IMMEDIATE"))
	w, err := Begin(c, Config{
		Log: true, References: true, Open: func(context.Context) (*sqlite.Conn, error) { return sqlite.Open(path, sqlite.OpenReadWrite) },
		Copy: Copy{Path: path, Dir: filepath.Dir(path), Keep: 1, SyncDir: func(string) error { return nil }},
	})
	must(t, err)
	must(t, c.Exec("CREATE TABLE b(x)"))
	must(t, w.AfterWrite(c, 0))
	var damage *DamageError
	if err := w.Finish(t.Context(), c); !errors.As(err, &damage) || len(damage.Problems) == 0 {
		t.Errorf("%v", err)
	}
	must(t, c.Exec("ROLLBACK"))
	if got := copies(t, path); got != nil {
		t.Errorf("left over: %v", got)
	}
}

// Counting ends with its time, and says so.
func TestCountingHasAnEnd(t *testing.T) {
	_, c, w := begin(t, func(cfg *Config) { cfg.CountFor = time.Nanosecond })
	must(t, c.Exec("CREATE TABLE b(x)"))
	must(t, w.AfterWrite(c, 0))
	must(t, w.Finish(t.Context(), c))
	if w.Report.Counted || len(w.Report.Tables) > 0 || w.Report.Copy == "" || !slices.Equal(w.Report.Added, []string{"table b"}) {
		t.Errorf("%+v", w.Report)
	}
	must(t, c.Exec("COMMIT"))
	_, c, w = begin(t, nil)
	must(t, c.Exec("CREATE TABLE b(x)"))
	must(t, w.AfterWrite(c, 0))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.Finish(ctx, c); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	must(t, c.Exec("ROLLBACK"))
}

// Without rowids, violations are told by their number.
func TestViolations(t *testing.T) {
	_, c, w := begin(t, nil)
	must(t, c.Exec("CREATE TABLE b(x PRIMARY KEY, a REFERENCES a) WITHOUT ROWID; INSERT INTO b VALUES (1, 90001); COMMIT; BEGIN IMMEDIATE; INSERT INTO b VALUES (2, 90002), (3, NULL), (4, 7)"))
	must(t, w.AfterWrite(c, 3))
	var e *ViolationError
	if err := w.Finish(t.Context(), c); !errors.As(err, &e) || e.Count != 1 || !strings.Contains(err.Error(), "a row of b refers to a missing one of a") {
		t.Errorf("%v", err)
	}
	must(t, c.Exec("DELETE FROM b WHERE x = 2"))
	must(t, w.Finish(t.Context(), c))
	if w.Report.Existing != 1 {
		t.Errorf("%+v", w.Report)
	}
	must(t, c.Exec("COMMIT"))
}
