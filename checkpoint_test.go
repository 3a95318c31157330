package holdfast_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
)

// logOf is the size of a database's log on the disk.
func logOf(t *testing.T, db *holdfast.DB) int64 {
	t.Helper()
	info, err := os.Stat(db.Path() + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// rows3k writes so many rows of 3 kB, each in a transaction of its own.
func rows3k(t *testing.T, db *holdfast.DB, n int) {
	t.Helper()
	for range n {
		must(t, db, "INSERT INTO t(b) VALUES (zeroblob(3000))")
	}
}

func TestCheckpointModes(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
	for _, mode := range []holdfast.CheckpointMode{holdfast.CheckpointPassive, holdfast.CheckpointFull, holdfast.CheckpointRestart, holdfast.CheckpointTruncate} {
		rows3k(t, db, 5)
		r, err := db.Checkpoint(ctx(), mode)
		if err != nil || r.Mode != mode || r.LogFrames == 0 || r.CopiedFrames != r.LogFrames || r.BytesBefore == 0 || r.DurationSeconds <= 0 || r.PinnedBy != nil {
			t.Errorf("%s: %+v, %v", mode, r, err)
		}
		if (r.BytesAfter == 0) != (mode == holdfast.CheckpointTruncate) || r.BytesAfter != logOf(t, db) {
			t.Errorf("%s: %+v", mode, r)
		}
	}
	runs := db.Maintenance().Checkpoints()
	if len(runs) < 4 || runs[0].Mode != holdfast.CheckpointTruncate || runs[0].CopiedFrames != runs[0].LogFrames || runs[0].Busy || runs[0].Error != "" ||
		runs[0].At.IsZero() || runs[0].Seconds <= 0 {
		t.Errorf("the log of checkpoints: %+v", runs)
	}
	var e *holdfast.Error
	if _, err := db.Checkpoint(ctx(), "SOME"); !errors.As(err, &e) || !errors.Is(err, holdfast.ErrInvalid) {
		t.Error(err)
	}
	ended, cancel := context.WithCancel(ctx())
	cancel()
	if _, err := db.Checkpoint(ended, holdfast.CheckpointFull); err != context.Canceled {
		t.Error(err)
	}
	out, err := json.Marshal(holdfast.CheckpointResult{})
	if want := `{"mode":"","log_frames":0,"copied_frames":0,"bytes_before":0,"bytes_after":0,"pinned_by":null,"duration_seconds":0}`; string(out) != want || err != nil {
		t.Errorf("%s, %v", out, err)
	}
	reads := openAt(t, db.Path(), holdfast.WithReadOnly())
	if _, err := reads.Checkpoint(ctx(), holdfast.CheckpointPassive); !errors.Is(err, holdfast.ErrReadOnly) {
		t.Error(err)
	}
	cfg := holdfast.Config{}
	cfg.Database.Path = filepath.Join(t.TempDir(), "delete.db")
	cfg.Database.EnableWALMode = holdfast.Off
	without, err := holdfast.OpenConfig(ctx(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer without.Close()
	if r, err := without.Checkpoint(ctx(), holdfast.CheckpointTruncate); err != nil || r.LogFrames != 0 {
		t.Errorf("without a log: %+v, %v", r, err)
	}
}

// Who stands in the way of a checkpoint is named: the caller's own function, a
// reader of this process, or another process.
func TestCheckpointNamesWhoIsInTheWay(t *testing.T) {
	t.Parallel()
	db := open(t, holdfast.WithBusyTimeout(200*time.Millisecond))
	must(t, db, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
	err := db.Update(ctx(), func(*sql.Tx) error {
		_, err := db.Checkpoint(ctx(), holdfast.CheckpointTruncate)
		return err
	})
	if !errors.Is(err, holdfast.ErrSelfDeadlock) {
		t.Errorf("inside of Update: %v", err)
	}
	tx, err := db.BeginTx(ctx(), &sql.TxOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	number(t, tx, "SELECT count(*) FROM t WHERE b = 'secret'")
	rows3k(t, db, 3)
	h, err := db.Health(ctx())
	pinned := slices.ContainsFunc(h.WAL.ReadMarks, func(mark int64) bool { return 0 <= mark && mark < int64(h.WAL.Frames) })
	if err != nil || len(h.WAL.ReadMarks) != 5 || !pinned {
		t.Errorf("read marks %v of %d frames, %v", h.WAL.ReadMarks, h.WAL.Frames, err)
	}
	r, err := db.Checkpoint(ctx(), holdfast.CheckpointPassive)
	if err != nil || r.CopiedFrames >= r.LogFrames || r.PinnedBy == nil || !strings.HasPrefix(r.PinnedBy.CallSite, "checkpoint_test.go:") {
		t.Errorf("%+v, %v", r, err)
	}
	r, err = db.Checkpoint(ctx(), holdfast.CheckpointTruncate)
	var e *holdfast.Error
	if !errors.Is(err, holdfast.ErrBusy) || !errors.As(err, &e) || e.Holder == nil || !strings.Contains(err.Error(), "checkpoint_test.go:") ||
		strings.Contains(err.Error(), "secret") || r.PinnedBy == nil || r.CopiedFrames >= r.LogFrames {
		t.Errorf("%+v, %v", r, err)
	}
	if err := tx.Rollback(); err != nil {
		t.Error(err)
	}
	if runtime.GOOS != "linux" {
		return // only there others are named
	}
	other := startOutsider(t)
	other.wants("read", db.Path(), "SQLITE_OK")
	rows3k(t, db, 3)
	r, err = db.Checkpoint(ctx(), holdfast.CheckpointFull)
	if !errors.As(err, &e) || e.Holder == nil || e.Holder.PID != other.pid || e.Holder.Lock != "WAL_READ" || r.PinnedBy == nil || r.PinnedBy.PID != other.pid {
		t.Errorf("%+v, %v", r, err)
	}
}

// An idle reader that is older than allowed is ended, the error has both places,
// and the log returns under its limit.
func TestPinningReaderIsEvicted(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("under wine the writes may take longer than the lease")
	}
	var log lockedBuffer
	said := make(chan string, 1024)
	log.onLine = func(s string) { said <- s }
	cfg := holdfast.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))}
	cfg.Database.Path = filepath.Join(t.TempDir(), "app.db")
	cfg.Database.Synchronous = "NORMAL"
	cfg.Maintenance.WALLimit = 2 << 20
	cfg.ConnectionPool.MaxLeaseAge = 3 * time.Second
	db, err := holdfast.OpenConfig(ctx(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	must(t, db, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
	tx, err := db.BeginTx(ctx(), &sql.TxOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	number(t, tx, "SELECT count(*) FROM t")
	// One transaction, or a slow machine takes longer for it than the lease may last.
	must(t, db, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 1200) INSERT INTO t(b) SELECT zeroblob(3000) FROM n")
	if n := logOf(t, db); n < 2*cfg.Maintenance.WALLimit {
		t.Errorf("the log has %d bytes: nobody keeps it", n)
	}
	await := func(what ...string) {
		t.Helper()
		deadline := time.After(time.Minute)
		for {
			select {
			case line := <-said:
				found := true
				for _, w := range what {
					found = found && strings.Contains(line, w)
				}
				if found {
					return
				}
			case <-deadline:
				t.Fatalf("nobody says %q", what)
			}
		}
	}
	await("above maintenance.wal_limit", `pinned_by="read transaction"`, "checkpoint_test.go:", "next=")
	await("held longer than allowed", "checkpoint_test.go:")
	await("can be emptied again")
	if n, s := logOf(t, db), db.Stats(); n > cfg.Maintenance.WALLimit || s.Evictions != 1 || s.WAL.Pins == 0 || s.WAL.OverLimit == 0 {
		t.Errorf("%d bytes, %+v", n, s)
	}
	_, err = tx.Exec("SELECT 1")
	var e *holdfast.Error
	if !errors.Is(err, holdfast.ErrEvicted) || strings.Count(err.Error(), "checkpoint_test.go:") != 2 || !errors.As(err, &e) || e.Holder == nil || e.Holder.CallSite == "" {
		t.Errorf("%v", err)
	}
	if err := tx.Commit(); !errors.Is(err, holdfast.ErrEvicted) || strings.Count(err.Error(), "checkpoint_test.go:") != 2 {
		t.Errorf("%v", err)
	}
	check(t, db)
}

// A checkpoint that another process is at is left to it.
func TestCheckpointIsLeftToOthers(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("the other process takes a lock past SQLite, which its test can do on Linux only")
	}
	db := open(t, holdfast.WithBusyTimeout(100*time.Millisecond))
	must(t, db, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
	other := startOutsider(t)
	other.wants("checkpoint", db.Path(), "done")
	rows3k(t, db, 600)
	_, err := db.Checkpoint(ctx(), holdfast.CheckpointPassive)
	var e *holdfast.Error
	if !errors.Is(err, holdfast.ErrBusy) || !errors.As(err, &e) || e.Holder == nil || e.Holder.PID != other.pid {
		t.Errorf("%v", err)
	}
	if s := db.Stats().WAL; s.CopiedFrames != 0 || s.FramesCopied != 0 {
		t.Errorf("%+v", s)
	}
}

// Without maintenance the commit does it, as in SQLite; and nobody does where the
// log is somebody else's.
func TestWhoCheckpoints(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*holdfast.Config)
		copies bool
	}{
		"no maintenance": {func(c *holdfast.Config) { c.Maintenance.Enabled = holdfast.Off }, true},
		"external":       {func(c *holdfast.Config) { c.Maintenance.Checkpoints = "EXTERNAL" }, false},
		"neither": {func(c *holdfast.Config) {
			c.Maintenance.Enabled, c.Maintenance.Checkpoints = holdfast.Off, "EXTERNAL"
		}, false},
	} {
		cfg := holdfast.Config{}
		cfg.Database.Path = filepath.Join(t.TempDir(), "app.db")
		c.change(&cfg)
		db, err := holdfast.OpenConfig(ctx(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		must(t, db, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
		rows3k(t, db, 1000)
		if n := logOf(t, db); (n < 2000*4120) != c.copies {
			t.Errorf("%s: a log of %d bytes", name, n)
		}
		if s := db.Stats().WAL; s.Checkpoints != 0 {
			t.Errorf("%s: %+v", name, s)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Litestream's directory beside the database is the sign that it replicates it.
func TestLitestreamBesideTheDatabase(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	if err := os.Mkdir(filepath.Join(filepath.Dir(path), ".app.db-litestream"), 0o700); err != nil {
		t.Fatal(err)
	}
	db := openAt(t, path)
	must(t, db, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
	rows3k(t, db, 1000)
	if _, err := db.Checkpoint(ctx(), holdfast.CheckpointTruncate); !errors.Is(err, holdfast.ErrRefused) {
		t.Error(err)
	}
	if s := db.Stats().WAL; !s.HandedOver || s.Checkpoints != 0 || s.Restarts != 0 || s.Frames < 3000 {
		t.Errorf("%+v", s)
	}
}
