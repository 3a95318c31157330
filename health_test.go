package holdfast_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/internal/sqlite"
)

func healthOf(t *testing.T, db *holdfast.DB) holdfast.Health {
	t.Helper()
	h, err := db.Health(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// ids are those of the findings that are no mere remarks.
func ids(h holdfast.Health) (out []string) {
	for _, f := range h.Findings {
		if f.Severity != "info" {
			out = append(out, f.Severity+" "+f.ID)
		}
	}
	return out
}

// The keys of the spec stay, by their names.
func TestHealthKeys(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db, "CREATE TABLE t(a); PRAGMA user_version=7")
	must(t, db, "INSERT INTO t VALUES (1)")
	h := healthOf(t, db)
	if h.Status != "ok" || !h.DatabaseAccessible || !h.WALModeEnabled || h.PageCount != 3 || h.PageSize != 4096 || h.IntegrityCheck != "unknown" ||
		h.ConnectionStats.SuccessfulOperations < 2 || h.ThreadingInfo.Version == "" || h.LastCheck.IsZero() || len(ids(h)) > 0 {
		t.Errorf("%+v", h)
	}
	if h.File.Path != db.Path() || h.File.UserVersion != 7 || h.File.JournalMode != "wal" || h.File.AutoVacuum != "incremental" || h.WAL.Frames == 0 || h.WAL.Bytes == 0 {
		t.Errorf("%+v, %+v", h.File, h.WAL)
	}
	if h.Writer.Holder != nil || h.Writer.Queued != 0 || h.OldestReader != nil {
		t.Errorf("%+v, %+v", h.Writer, h.OldestReader)
	}
	if r := h.Reliability; r.SuccessRate != 1 || r.LockConflictResolution != 1 || r.HealthCheckAvailability != 1 || r.PoolEfficiency < 0 || r.PoolEfficiency > 1 {
		t.Errorf("%+v", r)
	}
	text, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(text, &keys); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{
		"database_accessible", "wal_mode_enabled", "file_size_mb", "page_count", "page_size", "integrity_check",
		"threading_info", "connection_stats", "last_check", "status", "findings",
	} {
		if keys[key] == nil {
			t.Errorf("%s is missing", key)
		}
	}
	var back holdfast.Health
	if err := json.Unmarshal(text, &back); err != nil || back.PageCount != h.PageCount {
		t.Errorf("%+v, %v", back, err)
	}
}

func TestHealthOfEveryKind(t *testing.T) {
	t.Parallel()
	made := func() string {
		db := open(t)
		must(t, db, "CREATE TABLE t(a)")
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		return filepath.ToSlash(db.Path())
	}
	for name, db := range map[string]*holdfast.DB{
		"memory":    openAt(t, ":memory:"),
		"immutable": openAt(t, "file:"+made()+"?immutable=1"),
		"read-only": openAt(t, made(), holdfast.WithReadOnly()),
		"untrusted": openAt(t, made(), holdfast.WithUntrustedSQL()),
	} {
		for range 3 {
			h := healthOf(t, db)
			if !h.DatabaseAccessible || len(ids(h)) > 0 {
				t.Errorf("%s: %+v", name, h)
			}
		}
		for _, level := range []holdfast.VerifyLevel{holdfast.VerifyQuick, holdfast.VerifyFull} {
			if r, err := db.Verify(t.Context(), level); err != nil || !r.OK || r.OnCopy == (name == "immutable") {
				t.Errorf("%s: %+v, %v", name, r, err)
			}
		}
		if h := healthOf(t, db); h.IntegrityCheck != "ok" || h.LastVerified == nil {
			t.Errorf("%s: %+v", name, h)
		}
	}
	rollback := openAt(t, filepath.Join(t.TempDir(), "app.db"), withoutWAL)
	must(t, rollback, "CREATE TABLE t(a)")
	if h := healthOf(t, rollback); h.WALModeEnabled || h.File.JournalMode != "delete" || len(ids(h)) > 0 {
		t.Errorf("%+v", h)
	}
}

func withoutWAL(c *holdfast.Config) { c.Database.EnableWALMode = holdfast.Off }

// Health answers while the writer is held, the readers are taken, and says so.
func TestHealthWhenNothingIsFree(t *testing.T) {
	t.Parallel()
	db := open(t, holdfast.WithReaders(1))
	must(t, db, "CREATE TABLE t(a)")
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	must(t, tx, "INSERT INTO t VALUES (1)")
	read, err := db.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer read.Rollback()
	number(t, read, "SELECT count(*) FROM t")
	h := healthOf(t, db)
	if !h.DatabaseAccessible || h.Writer.Holder == nil || !strings.Contains(h.Writer.Holder.CallSite, "health_test.go") {
		t.Errorf("%+v", h.Writer)
	}
	if h.OldestReader == nil || h.OldestReader.Kind != "read transaction" || h.ConnectionStats.Readers.InUse != 1 {
		t.Errorf("%+v", h.OldestReader)
	}
}

// A lock of somebody else is waited for no longer than a moment, by the first look,
// which opens a connection, and by others.
func TestHealthWhileLockedOut(t *testing.T) {
	t.Parallel()
	for _, asked := range []bool{false, true} {
		db := open(t, withoutWAL)
		must(t, db, "CREATE TABLE t(a)")
		if asked {
			healthOf(t, db)
		}
		began := time.Now()
		c, err := sqlite.Open(db.Path(), sqlite.OpenReadWrite)
		if err == nil {
			err = c.Exec("BEGIN EXCLUSIVE")
		}
		if err != nil {
			t.Fatal(err)
		}
		h := healthOf(t, db)
		if asked { // a commit without a log looks the same: what was seen a moment before counts
			if !h.DatabaseAccessible || h.Status != "ok" || !h.LastCheck.Before(began) {
				t.Errorf("%+v", h)
			}
		} else if h.DatabaseAccessible || h.Status != "warning" || !slices.Equal(ids(h), []string{"warning locked"}) || h.File.Bytes == 0 {
			t.Errorf("%+v", h)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if h := healthOf(t, db); !h.DatabaseAccessible || h.Status != "ok" || asked != (h.Reliability.HealthCheckAvailability == 1) {
			t.Errorf("%+v", h)
		}
	}
}

// A log that is too large is one above the limit that is kept to.
func TestHealthOfALargeLog(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*holdfast.Config)
		want   string
	}{
		"wal_limit":          {func(c *holdfast.Config) { c.Maintenance.WALLimit = 1 << 20 }, "maintenance.wal_limit is 1 MiB"},
		"a large one":        {func(c *holdfast.Config) { c.Database.JournalSizeLimit = 1 << 20 }, ""},
		"journal_size_limit": {func(c *holdfast.Config) { c.Maintenance.WALLimit, c.Database.JournalSizeLimit = -1, 1<<20 }, "database.journal_size_limit is 1 MiB"},
		"no maintenance":     {func(c *holdfast.Config) { unattended(c); c.Database.JournalSizeLimit = 1 << 20 }, "database.journal_size_limit is 1 MiB"},
	} {
		db := open(t, test.change)
		must(t, db, "CREATE TABLE t(a)")
		reading, err := db.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		var n int
		if err := reading.QueryRow("SELECT count(*) FROM t").Scan(&n); err != nil {
			t.Fatal(err)
		}
		must(t, db, "INSERT INTO t VALUES (zeroblob(3000000))")
		got := ""
		for _, f := range healthOf(t, db).Findings {
			if f.ID == "log-large" {
				_, got, _ = strings.Cut(f.Evidence, " MiB, and ")
			}
		}
		if got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
		if err := reading.Rollback(); err != nil {
			t.Error(err)
		}
	}
}

// A function that panics takes nothing with it.
func TestVerifyProgressPanics(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db, "CREATE TABLE t(a)")
	must(t, db, "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM r WHERE i<2000) INSERT INTO t SELECT hex(zeroblob(500)) FROM r")
	for _, in := range []string{"copy", "check"} {
		func() {
			defer func() {
				if got := recover(); got != in {
					t.Errorf("recovered %v", got)
				}
			}()
			_, err := db.Verify(t.Context(), holdfast.VerifyFull, holdfast.VerifyProgress(func(stage string, _, _ int) {
				if stage == in {
					panic(in)
				}
			}))
			t.Error("no panic:", err)
		}()
	}
	if left, err := filepath.Glob(db.Path() + "-holdfast-verify-*"); len(left) > 0 || err != nil {
		t.Error(left, err)
	}
	if r, err := db.Verify(t.Context(), holdfast.VerifyQuick); err != nil || !r.OK {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestHealthOfAFileThatIsGone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	db, err := holdfast.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	must(t, db, "CREATE TABLE t(a)")
	if err := os.Rename(path, path+".old"); err != nil {
		t.Skip(err) // Windows keeps it
	}
	for range 2 {
		h := healthOf(t, db)
		if h.DatabaseAccessible || h.Status != "critical" || !h.File.Fenced || !slices.Equal(ids(h), []string{"critical fenced"}) {
			t.Errorf("%+v", h)
		}
	}
	if h := healthOf(t, db); h.Reliability.HealthCheckAvailability != 0 {
		t.Errorf("%+v", h.Reliability)
	}
}

func TestHealthEnds(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	other := openAt(t, path)
	must(t, other, "CREATE TABLE t(a)")
	db := openAt(t, path)
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := db.Health(ended); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := db.Verify(ended, holdfast.VerifyQuick); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	if _, err := db.Health(t.Context()); !errors.Is(err, holdfast.ErrClosed) {
		t.Error(err)
	}
	if _, err := db.Verify(t.Context(), holdfast.VerifyQuick); !errors.Is(err, holdfast.ErrClosed) {
		t.Error(err)
	}
	healthOf(t, other)
}

// truncated empties the log by a connection that waits for nobody, and tells
// whether that succeeded.
//
// A checkpoint is refused at once while another one works, so there must be none
// in the background.
func truncated(t *testing.T, path string) bool {
	t.Helper()
	c, err := sqlite.Open(path, sqlite.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.QueryInt64("PRAGMA schema_version"); err != nil {
		t.Fatal(err)
	}
	_, _, err = c.WALCheckpoint("main", sqlite.CheckpointTruncate)
	if err != nil && sqlite.Code(err) != sqlite.ResultBusy {
		t.Fatal(err)
	}
	return err == nil
}

// unattended turns off what is done in the background.
func unattended(c *holdfast.Config) {
	c.Maintenance.Enabled, c.Telemetry.Enabled = holdfast.Off, holdfast.Off // the latter looks at plans
}

// Nothing of Health is left behind that keeps the log from being emptied.
func TestHealthPinsNothing(t *testing.T) {
	t.Parallel()
	db := open(t, unattended)
	must(t, db, "CREATE TABLE t(a)")
	for range 50 {
		must(t, db, "INSERT INTO t VALUES (1)")
		healthOf(t, db)
		if !truncated(t, db.Path()) {
			t.Fatal("somebody keeps the log after Health has returned")
		}
	}
}

// A log is emptied while Health is called without a pause, by one who waits as
// long as any statement does.
func TestHealthDuringCheckpoints(t *testing.T) {
	t.Parallel()
	db := open(t, unattended)
	must(t, db, "CREATE TABLE t(a)")
	c, err := sqlite.Open(db.Path(), sqlite.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Exec("PRAGMA busy_timeout=10000"); err != nil {
		t.Fatal(err)
	}
	var stop atomic.Bool
	var asking sync.WaitGroup
	asking.Go(func() {
		for !stop.Load() {
			if h, err := db.Health(context.Background()); err != nil || !h.DatabaseAccessible {
				t.Errorf("%+v, %v", h.Findings, err)
				return
			}
		}
	})
	for n := range 100 {
		must(t, db, "INSERT INTO t VALUES (1)")
		if _, _, err := c.WALCheckpoint("main", sqlite.CheckpointTruncate); err != nil {
			t.Errorf("%d: %v", n, err)
			break
		}
	}
	stop.Store(true)
	asking.Wait()
}

// The copy is read, so the log can be emptied meanwhile; nothing is left of it.
func TestVerifyOnACopy(t *testing.T) {
	t.Parallel()
	db := open(t, unattended)
	must(t, db, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
	must(t, db, "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM r WHERE i<2000) INSERT INTO t SELECT i, hex(zeroblob(500)) FROM r")
	var stages []string
	emptied := 0
	r, err := db.Verify(t.Context(), holdfast.VerifyFull, holdfast.VerifyProgress(func(stage string, done, total int) {
		if done > total || total < 500 {
			t.Errorf("%s: %d of %d", stage, done, total)
		}
		if !slices.Contains(stages, stage) {
			stages = append(stages, stage)
		}
		if stage == "check" && truncated(t, db.Path()) {
			emptied++
		}
	}))
	if err != nil || !r.OK || !r.OnCopy || r.InPlaceReason != "" || r.Level != holdfast.VerifyFull || r.Pages < 500 || r.PinnedSeconds <= 0 || r.PinnedSeconds > r.DurationSeconds {
		t.Errorf("%+v, %v", r, err)
	}
	if !slices.Equal(stages, []string{"copy", "check"}) || emptied == 0 {
		t.Errorf("stages %q; the log was emptied %d times during the check", stages, emptied)
	}
	left, err := filepath.Glob(db.Path() + "-holdfast-verify-*")
	if len(left) > 0 || err != nil {
		t.Error(left, err)
	}
	must(t, db, "INSERT INTO t DEFAULT VALUES")
	pinned := 0
	r, err = db.Verify(t.Context(), holdfast.VerifyQuick, holdfast.VerifyInPlace(), holdfast.VerifyProgress(func(_ string, done, total int) {
		if done < total && !truncated(t, db.Path()) {
			pinned++
		}
	}))
	if err != nil || !r.OK || r.OnCopy || r.InPlaceReason != "as asked for" || pinned == 0 {
		t.Errorf("%+v, %v; the log was pinned %d times", r, err, pinned)
	}
	elsewhere := t.TempDir()
	if r, err := db.Verify(t.Context(), holdfast.VerifyQuick, holdfast.VerifyDirectory(elsewhere)); err != nil || !r.OK || !r.OnCopy {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := db.Verify(t.Context(), holdfast.VerifyQuick, holdfast.VerifyDirectory(filepath.Join(elsewhere, "missing"))); err == nil {
		t.Error("a directory that is missing was accepted")
	}
}

// Close ends a verification and leaves nothing of it.
func TestCloseEndsVerify(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	db, err := holdfast.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	must(t, db, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
	must(t, db, "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM r WHERE i<4000) INSERT INTO t SELECT i, hex(zeroblob(500)) FROM r")
	closed := make(chan error, 1)
	var once sync.Once
	_, err = db.Verify(t.Context(), holdfast.VerifyQuick, holdfast.VerifyProgress(func(string, int, int) {
		once.Do(func() { go func() { closed <- db.Close() }() })
		for healthIsOpen(db) { // until Close has begun
		}
	}))
	if !errors.Is(err, holdfast.ErrClosed) {
		t.Error(err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	left, err := filepath.Glob(path + "-*")
	if len(left) > 1 || err != nil { // the lock file stays
		t.Error(left, err)
	}
}

func healthIsOpen(db *holdfast.DB) bool {
	_, err := db.Health(context.Background())
	return !errors.Is(err, holdfast.ErrClosed)
}

// Damage is found, told, and makes health critical, until a full verification of
// the mended file.
func TestDamageIsCritical(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	whole := damage(t, path)
	db, err := holdfast.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if h := healthOf(t, db); h.Status != "ok" || h.IntegrityCheck != "unknown" {
		t.Errorf("%+v", h.Findings)
	}
	if _, err := db.Exec("SELECT sum(length(b)) FROM t"); !errors.Is(err, holdfast.ErrCorrupt) {
		t.Error(err)
	}
	if h := healthOf(t, db); h.Status != "critical" || !slices.Equal(ids(h), []string{"critical corrupt"}) || !strings.Contains(h.Findings[0].Evidence, "SQLITE_CORRUPT") {
		t.Errorf("%+v", h.Findings)
	}
	for _, level := range []holdfast.VerifyLevel{holdfast.VerifyQuick, holdfast.VerifyFull} {
		r, err := db.Verify(t.Context(), level)
		if err != nil || r.OK || len(r.Problems) == 0 || !r.OnCopy {
			t.Errorf("%+v, %v", r, err)
		}
	}
	h := healthOf(t, db)
	if h.Status != "critical" || h.IntegrityCheck != "failed" || h.LastVerified.OK || !slices.Equal(ids(h), []string{"critical corrupt"}) {
		t.Errorf("%+v", h)
	}
	c, err := sqlite.Open(path, sqlite.OpenReadWrite)
	if err == nil {
		err = c.Exec(fmt.Sprintf("UPDATE sqlite_dbpage SET data = x'%x' WHERE pgno = 101", whole))
	}
	if err = errors.Join(err, c.Close()); err != nil {
		t.Fatal(err)
	}
	if r, err := db.Verify(t.Context(), holdfast.VerifyFull); err != nil || !r.OK {
		t.Errorf("%+v, %v", r, err)
	}
	if h := healthOf(t, db); h.Status != "ok" || h.IntegrityCheck != "ok" {
		t.Errorf("%+v", h.Findings)
	}
}

// damage makes a database, page 101 of which is overwritten, and returns what was
// there.
func damage(t *testing.T, path string) (page []byte) {
	t.Helper()
	c, err := sqlite.Open(path, sqlite.OpenReadWrite|sqlite.OpenCreate)
	if err == nil {
		err = c.Exec(`CREATE TABLE t(a INTEGER PRIMARY KEY, b);
			WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM r WHERE i<1000) INSERT INTO t SELECT i, hex(zeroblob(500)) FROM r`)
	}
	if err = errors.Join(err, c.Close()); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	page = make([]byte, 4096)
	_, err = f.ReadAt(page, 100*4096)
	_, err2 := f.WriteAt(make([]byte, 4096), 100*4096)
	if err = errors.Join(err, err2, f.Close()); err != nil {
		t.Fatal(err)
	}
	return page
}
