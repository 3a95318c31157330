package alerts

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/backup"
	"github.com/holdfastdb/holdfast/internal/sqlite"
	recording "github.com/holdfastdb/holdfast/internal/stats/history"
)

// The tests here provoke each alert by a real cause, and wait until it has ended because the
// cause has. Times are short by configuration; nothing else of the engine is changed.

// quick is a configuration in which everything happens at once.
func quick() Config {
	c := Config{Alerts: Settings{ResolveAfter: time.Millisecond, Window: 20 * time.Millisecond}}
	for _, f := range reflect.ValueOf(&c.For).Elem().Fields() {
		f.SetInt(int64(time.Millisecond))
	}
	return c
}

// live is an engine that looks at one database.
type live struct {
	*Engine
	t  *testing.T
	db *holdfast.DB
}

func lookAt(t *testing.T, c Config, db *holdfast.DB) *live {
	t.Helper()
	e, err := newEngine(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	e.Watch("shop", db)
	return &live{e, t, db}
}

// openAt opens a database that is closed, and whole, at the end.
func openAt(t *testing.T, path string, options ...holdfast.Option) *holdfast.DB {
	t.Helper()
	db, err := holdfast.Open(t.Context(), path, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		var found string
		if err := db.QueryRowContext(context.Background(), "PRAGMA integrity_check").Scan(&found); err != nil || found != "ok" {
			t.Errorf("integrity_check: %s, %v", found, err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func open(t *testing.T, options ...holdfast.Option) *holdfast.DB {
	t.Helper()
	db := openAt(t, filepath.Join(t.TempDir(), "shop.db"), options...)
	must(t, db, "CREATE TABLE t(id INTEGER PRIMARY KEY, a)")
	return db
}

func must(t *testing.T, db *holdfast.DB, text string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), text, args...); err != nil {
		t.Fatal(err)
	}
}

// firing is the alert of a rule that is firing, or nil.
func (l *live) firing(rule string) *Alert {
	for _, a := range l.Active() {
		if a.Rule == rule && a.State == Firing {
			return &a
		}
	}
	return nil
}

// comes makes rounds until a rule fires at a severity, and returns the alert. Its summary
// names the database and, in both languages, what is wanted.
func (l *live) comes(rule string, severity Severity, wanted ...string) *Alert {
	l.t.Helper()
	var a *Alert
	poll(l.t, rule+" fires", func() bool {
		l.round(time.Now())
		a = l.firing(rule)
		return a != nil && a.Severity == severity
	})
	for _, text := range append(wanted, "shop") {
		if !strings.Contains(a.Summary.EN, text) || !strings.Contains(a.Summary.DE, text) {
			l.t.Errorf("%s does not name %q: %+v", rule, text, a.Summary)
		}
	}
	return a
}

// goes makes rounds until a rule fires no more.
func (l *live) goes(rule string) {
	l.t.Helper()
	poll(l.t, rule+" ends", func() bool {
		l.round(time.Now())
		return l.firing(rule) == nil
	})
	for _, a := range l.History() {
		if a.Rule == rule && !a.ResolvedAt.IsZero() {
			return
		}
	}
	l.t.Errorf("%s is not in the history", rule)
}

// quiet makes rounds and sees that a rule doesn't fire.
func (l *live) quiet(rule string) {
	l.t.Helper()
	for range 3 {
		l.round(time.Now())
	}
	if a := l.firing(rule); a != nil {
		l.t.Errorf("it fires without a cause: %+v", a)
	}
}

const here = "provoked_test.go"

// Another connection keeps everybody out of a database without a log.
func TestDBUnreachable(t *testing.T) {
	t.Parallel()
	l := lookAt(t, quick(), open(t, func(c *holdfast.Config) { c.Database.EnableWALMode = holdfast.Off }))
	l.quiet("db_unreachable")
	c := foreign(t, l.db.Path(), "BEGIN EXCLUSIVE")
	l.comes("db_unreachable", Critical, "locked")
	run(t, c, "COMMIT")
	l.goes("db_unreachable")

	l.Watch("shop", nil) // it could not be opened
	l.comes("db_unreachable", Critical)
	l.Watch("shop", l.db)
	l.goes("db_unreachable")
}

// foreign is a connection that is none of Holdfast's.
func foreign(t *testing.T, path, text string) *sqlite.Conn {
	t.Helper()
	c, err := sqlite.Open(path, sqlite.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	run(t, c, text)
	return c
}

func run(t *testing.T, c *sqlite.Conn, text string) {
	t.Helper()
	if err := c.Exec(text); err != nil {
		t.Fatal(err)
	}
}

// A page of the file is noise. It ends when a backup was put in its place.
func TestIntegrityFailed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "shop.db")
	db, err := holdfast.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	must(t, db, "CREATE TABLE t(id INTEGER PRIMARY KEY, a)")
	must(t, db, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<2000) INSERT INTO t SELECT i, randomblob(100) FROM n")
	saved := filepath.Join(t.TempDir(), "saved.db")
	if _, err := db.Backup(t.Context(), saved); err != nil {
		t.Fatal(err)
	}
	var page int64
	if err := db.QueryRowContext(t.Context(), "SELECT pageno FROM dbstat WHERE name='t' AND pagetype='leaf' ORDER BY path LIMIT 1 OFFSET 20").Scan(&page); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt([]byte(strings.Repeat("\x77noise..", 512)), (page-1)*4096)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	if db, err = holdfast.Open(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	l := lookAt(t, quick(), db)
	l.quiet("integrity_failed")
	if r, err := db.Verify(t.Context(), holdfast.VerifyQuick); err != nil || r.OK {
		t.Fatalf("%+v, %v", r, err)
	}
	l.comes("integrity_failed", Critical)
	l.Unwatch("shop")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := backup.Restore(t.Context(), backup.File(saved), path, backup.RestoreOptions{}); err != nil {
		t.Fatal(err)
	}
	l.Watch("shop", openAt(t, path))
	l.goes("integrity_failed")
}

func TestWriteLockHeldLong(t *testing.T) {
	t.Parallel()
	c := quick()
	c.Load.WriteLockWarning, c.Load.WriteLockCritical = 20*time.Millisecond, time.Hour
	l := lookAt(t, c, open(t))
	l.quiet("write_lock_held_long")
	tx := begin(t, l.db, false, "UPDATE t SET a=4711 WHERE id=1")
	var wait sync.WaitGroup
	wait.Go(func() {
		if _, err := l.db.ExecContext(context.Background(), "INSERT INTO t(a) VALUES (2)"); err != nil {
			t.Error(err)
		}
	})
	l.comes("write_lock_held_long", Warning, here)
	c.Load.WriteLockCritical = 60 * time.Millisecond
	if err := l.Configure(c); err != nil {
		t.Fatal(err)
	}
	if a := l.comes("write_lock_held_long", Critical, here, "UPDATE t SET a"); strings.Contains(a.Summary.EN, "4711") {
		t.Errorf("a value is told: %s", a.Summary.EN)
	}
	rollback(t, tx)
	wait.Wait()
	l.goes("write_lock_held_long")
}

func begin(t *testing.T, db *holdfast.DB, readOnly bool, text string) *sql.Tx {
	t.Helper()
	tx, err := db.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: readOnly})
	if err == nil {
		_, err = tx.ExecContext(t.Context(), text)
	}
	if err != nil {
		t.Fatal(err)
	}
	return tx
}

func rollback(t *testing.T, tx *sql.Tx) {
	t.Helper()
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
}

// Another program holds the lock for longer than writes wait.
func TestBusyErrorRate(t *testing.T) {
	t.Parallel()
	l := lookAt(t, quick(), open(t, holdfast.WithBusyTimeout(2*time.Millisecond)))
	l.quiet("busy_error_rate")
	c := foreign(t, l.db.Path(), "BEGIN IMMEDIATE")
	before := l.db.Stats().Writer.BusyErrors
	for i := range 5 {
		if _, err := l.db.ExecContext(t.Context(), "INSERT INTO t(a) VALUES (1)"); !errors.Is(err, holdfast.ErrBusy) {
			t.Fatalf("%d: %v", i, err)
		}
	}
	if n := l.db.Stats().Writer.BusyErrors - before; n != 5 {
		t.Errorf("5 errors count %d times", n)
	}
	poll(t, "busy_error_rate fires", func() bool {
		_, _ = l.db.ExecContext(t.Context(), "INSERT INTO t(a) VALUES (1)") // it fails, or there is nothing to look at
		l.round(time.Now())
		a := l.firing("busy_error_rate")
		return a != nil && a.Severity == Critical && strings.Contains(a.Summary.EN, "shop")
	})
	run(t, c, "COMMIT")
	must(t, l.db, "INSERT INTO t(a) VALUES (1)")
	l.goes("busy_error_rate")
}

// A read transaction is left open while others write.
func TestReaderPinsWAL(t *testing.T) {
	t.Parallel()
	c := quick()
	c.Load.ReaderWarning, c.Load.ReaderCritical, c.Load.ReaderFrames = 20*time.Millisecond, 60*time.Millisecond, 10
	c.Load.WALSize = 64 << 10
	l := lookAt(t, c, open(t))
	tx := begin(t, l.db, true, "SELECT count(*) FROM t")
	l.quiet("reader_pins_wal") // nothing waits to be copied
	for range 30 {
		must(t, l.db, "INSERT INTO t(a) VALUES (randomblob(8000))")
	}
	l.comes("reader_pins_wal", Critical, here)
	l.comes("wal_too_big", Critical, here)
	rollback(t, tx)
	l.goes("reader_pins_wal")
	if _, err := l.db.Checkpoint(t.Context(), holdfast.CheckpointTruncate); err != nil {
		t.Fatal(err)
	}
	l.goes("wal_too_big")
}

// A reader keeps checkpoints from getting anywhere.
func TestCheckpointIncomplete(t *testing.T) {
	t.Parallel()
	l := lookAt(t, quick(), open(t))
	tx := begin(t, l.db, true, "SELECT count(*) FROM t")
	for range 30 {
		must(t, l.db, "INSERT INTO t(a) VALUES (randomblob(8000))")
	}
	for range 6 {
		if _, err := l.db.Checkpoint(t.Context(), holdfast.CheckpointPassive); err != nil {
			t.Fatal(err)
		}
	}
	l.comes("checkpoint_incomplete", Warning, here)
	rollback(t, tx)
	if _, err := l.db.Checkpoint(t.Context(), holdfast.CheckpointPassive); err != nil {
		t.Fatal(err)
	}
	l.goes("checkpoint_incomplete")
}

// The queue is full to the last place, and then one more comes.
func TestWriteQueueDeep(t *testing.T) {
	t.Parallel()
	l := lookAt(t, quick(), open(t, func(c *holdfast.Config) { c.Writer.QueueLimit = 4 }))
	l.quiet("write_queue_deep")
	tx := begin(t, l.db, false, "UPDATE t SET a=1")
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			if _, err := l.db.ExecContext(context.Background(), "INSERT INTO t(a) VALUES (2)"); err != nil {
				t.Error(err)
			}
		})
	}
	l.comes("write_queue_deep", Warning, here, "4")
	if _, err := l.db.ExecContext(t.Context(), "INSERT INTO t(a) VALUES (3)"); !errors.Is(err, holdfast.ErrQueueFull) {
		t.Errorf("%v", err)
	}
	l.comes("write_queue_deep", Critical, here)
	rollback(t, tx)
	wait.Wait()
	l.goes("write_queue_deep")
}

// There is one reader, and somebody keeps it.
func TestPoolStarved(t *testing.T) {
	t.Parallel()
	c := quick()
	c.Load.ReaderWait = time.Microsecond
	c.Alerts.Window = time.Hour // until they have been seen
	l := lookAt(t, c, open(t, holdfast.WithReaders(1)))
	l.quiet("pool_starved")
	tx := begin(t, l.db, true, "SELECT count(*) FROM t")
	var wait sync.WaitGroup
	for range 3 {
		wait.Go(func() {
			var n int
			if err := l.db.QueryRowContext(context.Background(), "SELECT count(*) FROM t").Scan(&n); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait() // the pool lends a reader past its maximum when it stands still
	rollback(t, tx)
	l.comes("pool_starved", Warning)
	c.Alerts.Window = time.Millisecond
	if err := l.Configure(c); err != nil {
		t.Fatal(err)
	}
	l.goes("pool_starved")
}

// An index is dropped that a statement had at this hour of the last days.
func TestSlowQueryRegression(t *testing.T) {
	t.Parallel()
	c := quick()
	c.Load.SlowdownCalls = 20
	l := lookAt(t, c, open(t))
	must(t, l.db, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<50000) INSERT INTO t SELECT i, 'name '||i FROM n")
	must(t, l.db, "CREATE INDEX t_a ON t(a)")
	find := func(calls int) {
		for i := range calls {
			var id int
			if err := l.db.QueryRowContext(t.Context(), "SELECT id FROM t WHERE a=?", fmt.Sprint("name ", i+1)).Scan(&id); err != nil {
				t.Fatal(err)
			}
		}
	}
	// What a program would write down minute by minute, at its hours.
	store := recording.New(recording.Config{Path: l.db.Path() + recording.Suffix, Bytes: 64 << 20, Create: func(path string) error {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return err
		}
		return f.Close()
	}})
	r := recording.NewRecorder(store, "")
	record := func(at time.Time) {
		counted, err := l.db.QueryCounts()
		if err == nil {
			err = r.Record(at, nil, counted)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now()
	find(1000)
	record(now.AddDate(0, 0, -2).Add(-10 * time.Minute))
	must(t, l.db, "DROP INDEX t_a")
	find(30)
	record(now.Add(-time.Minute))
	later := func() {
		for range 3 {
			now = now.Add(compareEvery)
			l.round(now)
		}
	}
	later()
	a := l.firing("slow_query_regression")
	if a == nil || !strings.Contains(a.Summary.EN, "SELECT id FROM t WHERE a = ?") || a.Subject == "" || a.Value < 2 {
		t.Fatalf("%+v", a)
	}
	must(t, l.db, "CREATE INDEX t_a ON t(a)")
	find(5000) // as it was: of a hundred calls now less than one is slow
	record(now)
	later()
	if a := l.firing("slow_query_regression"); a != nil {
		t.Errorf("%+v", a)
	}
}

// The schedule's directory is gone. It ends with the next backup.
func TestBackupStaleAndNotVerified(t *testing.T) {
	t.Parallel()
	c := quick()
	c.Safety.BackupVerified = time.Hour
	l := lookAt(t, c, open(t))
	dir := filepath.Join(t.TempDir(), "backups")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := backup.Schedule(l.db, backup.Plan{Destination: dir, Every: time.Minute, DrillEvery: time.Minute}); err != nil {
		t.Fatal(err)
	}
	task := func(name, outcome string) {
		t.Helper()
		for _, n := range l.db.Maintenance().Next() {
			if strings.HasPrefix(n.Task, name) {
				name = n.Task
			}
		}
		if r, err := l.db.Maintenance().Run(t.Context(), name); err != nil && outcome == "done" || r.Outcome != outcome {
			t.Fatalf("%+v, %v", r, err)
		}
	}
	task("backup", "done")
	l.quiet("backup_stale")
	l.comes("backup_not_verified", Warning)
	task("drill", "done")
	l.goes("backup_not_verified")

	away := dir + ".away"
	if err := os.Rename(dir, away); err != nil {
		t.Fatal(err)
	}
	task("backup", "failed")
	late := func(d time.Duration, rule string) *Alert {
		for range 2 { // for is a millisecond
			l.round(time.Now().Add(d))
			d += time.Second
		}
		return l.firing(rule)
	}
	if a := late(time.Minute, "backup_stale"); a != nil {
		t.Errorf("one minute is no delay: %+v", a)
	}
	if a := late(100*time.Second, "backup_stale"); a == nil || a.Severity != Warning || !strings.Contains(a.Summary.EN, dir) || !strings.Contains(a.Summary.EN, "shop") {
		t.Errorf("%+v", a)
	}
	if a := late(4*time.Minute, "backup_stale"); a == nil || a.Severity != Critical {
		t.Errorf("%+v", a)
	}
	if a := late(2*time.Hour, "backup_not_verified"); a == nil {
		t.Error("no drill for two hours")
	}
	if err := os.Rename(away, dir); err != nil {
		t.Fatal(err)
	}
	task("backup", "done")
	task("drill", "done")
	l.goes("backup_stale")
	l.goes("backup_not_verified")
}

// A transaction was begun and forgotten.
func TestLeakedTransaction(t *testing.T) {
	t.Parallel()
	c := quick()
	c.Safety.TransactionIdle = 20 * time.Millisecond
	l := lookAt(t, c, open(t))
	l.quiet("leaked_transaction")
	tx := begin(t, l.db, false, "UPDATE t SET a=1")
	l.comes("leaked_transaction", Warning, here)
	rollback(t, tx)
	l.goes("leaked_transaction")
}

// A program switches foreign keys off on a connection of its own.
func TestPragmaDrift(t *testing.T) {
	t.Parallel()
	l := lookAt(t, quick(), open(t))
	l.quiet("pragma_drift")
	c, err := l.db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.ExecContext(t.Context(), "PRAGMA foreign_keys=OFF"); err != nil {
		t.Fatal(err)
	}
	l.comes("pragma_drift", Warning)
	if _, err := c.ExecContext(t.Context(), "PRAGMA foreign_keys=ON"); err != nil {
		t.Fatal(err)
	}
	l.goes("pragma_drift")
}

// The process may have little more memory than it has.
func TestMemoryHigh(t *testing.T) {
	l := lookAt(t, quick(), open(t))
	ballast := make([]byte, 64<<20) // most of what there is then, so that no collection changes much
	for i := 0; i < len(ballast); i += 4096 {
		ballast[i] = 1
	}
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	used := int64(m.Sys - m.HeapReleased)
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(used + used/20))
	l.comes("memory_high", Warning)
	runtime.KeepAlive(ballast)
	debug.SetMemoryLimit(math.MaxInt64)
	l.goes("memory_high")
}

// A database is closed under the engine; and a receiver is gone, and comes back.
func TestMonitoringBlind(t *testing.T) {
	t.Parallel()
	db, err := holdfast.Open(t.Context(), filepath.Join(t.TempDir(), "gone.db"))
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	address := s.Listener.Addr().String()
	c := quick()
	c.Alerts.Webhook = s.URL
	l := lookAt(t, c, db)
	l.quiet(blindRule)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	l.comes(blindRule, Critical, "closed")
	l.Watch("shop", open(t))
	l.goes(blindRule)

	s.Close()
	if results, err := l.Test(t.Context()); err != nil || results[0].Error == "" {
		t.Fatalf("%+v, %v", results, err)
	}
	poll(t, "it is told", func() bool {
		l.round(time.Now())
		a := l.firing(blindRule)
		return a != nil && strings.Contains(a.Summary.EN, address)
	})
	again := http.Server{Addr: address, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := again.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	l.goes(blindRule) // the queue tries again by itself
	if err := again.Close(); err != nil {
		t.Error(err)
	}
	serving.Wait()
}
