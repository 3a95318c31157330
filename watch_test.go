package holdfast

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/history"
	"github.com/holdfastdb/holdfast/internal/sqlite"
)

func openWatched(t *testing.T, change func(*Config)) *DB {
	t.Helper()
	cfg := Config{}
	cfg.Database.Path = filepath.Join(t.TempDir(), "app.db")
	cfg.ConnectionPool.HealthCheckInterval, cfg.ConnectionPool.IdleTimeout, cfg.ConnectionPool.ConnectionLifetime = time.Hour, 24*time.Hour, 24*time.Hour
	if change != nil {
		change(&cfg)
	}
	db, err := OpenConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		var verdict string
		if err := db.QueryRow("PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
			t.Errorf("integrity_check: %q, %v", verdict, err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	mustExec(t, db, "CREATE TABLE t(a)")
	return db
}

// figure is one of Stats, by its name.
func figure(t *testing.T, db *DB, name string) history.Figure {
	t.Helper()
	for _, f := range db.Stats().Figures() {
		if f.Name == name {
			return f
		}
	}
	t.Fatalf("no figure %s", name)
	return history.Figure{}
}

// A transaction that begins no statement is told with its age, and no longer once it does
// or ends.
func TestIdleTransaction(t *testing.T) {
	t.Parallel()
	db := openWatched(t, nil)
	d := db.h.d
	d.watch.stop() // the rounds are the test's
	now := time.Now()
	at := func(after time.Duration) float64 {
		d.round(now.Add(after))
		return figure(t, db, "watch.idle_transaction_seconds").Value
	}
	if s := at(time.Hour); s != 0 {
		t.Errorf("none is open: %v", s)
	}
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if s := at(6 * time.Minute); s < 359 || s > 360 {
		t.Errorf("begun 6 min ago: %v", s)
	}
	if _, err := tx.Exec("INSERT INTO t VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	if s := at(7 * time.Minute); s != 0 {
		t.Errorf("a statement since: %v", s)
	}
	if s := at(13 * time.Minute); s != 360 {
		t.Errorf("none since: %v", s)
	}
	report, err := db.Locks(t.Context())
	if err != nil || len(report.Holders) != 1 || report.Holders[0].Kind != "write transaction" {
		t.Fatalf("%+v, %v", report, err)
	}
	if s := report.Holders[0].IdleSeconds; s != 0 { // by the real clock it was used just now
		t.Errorf("idle for %v", s)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if s := at(20 * time.Minute); s != 0 {
		t.Errorf("ended: %v", s)
	}
}

// A program that changes settings of a session for itself is seen as long as it has them.
func TestPragmaDriftOfASession(t *testing.T) {
	t.Parallel()
	db := openWatched(t, nil)
	drift := func() float64 { return figure(t, db, "watch.pragma_drift").Value }
	c, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		sql  string
		want float64
	}{
		{"PRAGMA foreign_keys=ON", 0},
		{"PRAGMA foreign_keys=OFF", 1},
		{"PRAGMA cache_size=100", 1},
		{"PRAGMA synchronous=NORMAL", 2},
		{"PRAGMA foreign_keys=ON", 1},
		{"PRAGMA synchronous=FULL", 0},
		{"BEGIN", 0},
		{"PRAGMA foreign_keys=OFF", 0}, // has no effect in a transaction
		{"COMMIT", 0},
		{"PRAGMA synchronous=NORMAL", 1},
	} {
		if _, err := c.ExecContext(t.Context(), step.sql); err != nil {
			t.Fatal(step.sql, err)
		}
		if n := drift(); n != step.want {
			t.Errorf("after %s: %v, want %v", step.sql, n, step.want)
		}
	}
	if err := c.Raw(func(any) error { return errGone }); !errors.Is(err, errGone) {
		t.Error(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	db.SetMaxIdleConns(-1) // ends the session
	if n := drift(); n != 0 {
		t.Errorf("the session is gone: %v", n)
	}
}

var errGone = errors.New("gone")

// A connection of the pool that somebody has changed behind our back is found when it is
// examined after an idle time, and not handed out.
func TestPragmaDriftOfAReader(t *testing.T) {
	t.Parallel()
	db := openWatched(t, nil)
	d := db.h.d
	d.watch.stop()
	r, err := d.pool.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Conn.Exec("PRAGMA foreign_keys=OFF"); err != nil {
		t.Fatal(err)
	}
	d.pool.Put(r, true)
	was := db.Stats()
	d.pool.Retire(time.Now().Add(2 * time.Hour))
	var on int
	if err := db.QueryRow("PRAGMA foreign_keys").Scan(&on); err != nil || on != 1 {
		t.Errorf("foreign_keys is %d, %v", on, err)
	}
	if is := db.Stats(); is.Watch.PragmaDrifts != was.Watch.PragmaDrifts+1 || is.ConnectionsDiscarded != was.ConnectionsDiscarded+1 || is.Watch.PragmaDrift != 0 {
		t.Errorf("%+v, %d discarded", is.Watch, is.ConnectionsDiscarded-was.ConnectionsDiscarded)
	}
	d.pool.Retire(time.Now().Add(4 * time.Hour))
	if err := db.QueryRow("PRAGMA foreign_keys").Scan(&on); err != nil || db.Stats().Watch.PragmaDrifts != was.Watch.PragmaDrifts+1 {
		t.Errorf("one that is as it was: %v, %+v", err, db.Stats().Watch)
	}
}

// Without a log another program can change the journal mode while nobody is at work.
func TestJournalModeDrift(t *testing.T) {
	t.Parallel()
	db := openWatched(t, func(c *Config) { c.Database.EnableWALMode = Off })
	d := db.h.d
	d.watch.stop()
	mustExec(t, db, "INSERT INTO t VALUES (1)")
	other, err := sqlite.Open(db.Path(), sqlite.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	mode, err := other.QueryText("PRAGMA journal_mode=WAL")
	if err != nil || mode != "wal" {
		t.Fatal(mode, err)
	}
	if n := figure(t, db, "watch.pragma_drift").Value; n != 0 {
		t.Errorf("before anybody has looked: %v", n)
	}
	d.pool.Retire(time.Now().Add(2 * time.Hour))
	var n int
	if err := db.QueryRow("SELECT count(*) FROM t").Scan(&n); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	if n := figure(t, db, "watch.pragma_drift").Value; n != 1 {
		t.Errorf("in WAL mode: %v", n)
	}
}

// What the system doesn't tell is unknown, and not 0.
func TestVolumeIsKnownOrNull(t *testing.T) {
	t.Parallel()
	db := openWatched(t, nil)
	s := db.Stats()
	if s.Volume == nil {
		t.Skip("the system doesn't tell")
	}
	if s.Volume.Free <= 0 || s.Volume.Total < s.Volume.Free || s.Volume.FullInSeconds != nil {
		t.Errorf("%+v", s.Volume)
	}
	if f := figure(t, db, "volume.full_in_seconds"); !f.Unknown {
		t.Errorf("%+v", f)
	}
	inMemory, err := Open(t.Context(), ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer inMemory.Close()
	text, err := json.Marshal(inMemory.Stats())
	if err != nil {
		t.Fatal(err)
	}
	var told map[string]any
	if err := json.Unmarshal(text, &told); err != nil || told["volume"] != nil {
		t.Errorf("%v, %v", told["volume"], err)
	}
	if f := figure(t, inMemory, "volume.free"); !f.Unknown || f.Value != 0 {
		t.Errorf("%+v", f)
	}
}

func TestRejectedWritesAreCounted(t *testing.T) {
	t.Parallel()
	db := openWatched(t, func(c *Config) { c.Writer.QueueLimit = 1 })
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { _, err := db.ExecContext(ctx, "INSERT INTO t VALUES (1)"); done <- err }()
	deadline := time.After(time.Minute)
	for db.Stats().Writer.Queued == 0 {
		select {
		case <-time.After(time.Millisecond):
		case <-deadline:
			t.Fatal("nobody queues")
		}
	}
	if _, err := db.ExecContext(t.Context(), "INSERT INTO t VALUES (2)"); err == nil {
		t.Error("a full queue has taken one more")
	}
	if w := db.Stats().Writer; w.Rejected != 1 || w.QueueLimit != 1 || w.Queued != 1 {
		t.Errorf("%+v", w)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := tx.Rollback(); err != nil {
		t.Error(err)
	}
}
