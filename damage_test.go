package holdfast_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/backup/salvage"
	"github.com/holdfastdb/holdfast/holdfasttest"
	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// sick makes a database of so many MB with tables t and u, damages a leaf of t, and
// returns its path and how many rows t has and had on that page.
func sick(t *testing.T, mb int) (path string, rows, lost int64) {
	t.Helper()
	path, rows, page, lost := sound(t, mb)
	overwritePage(t, path, page)
	return path, rows, lost
}

// sound makes the same without the damage, and tells the page.
func sound(t *testing.T, mb int) (path string, rows, page, lost int64) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "app.db")
	db := openAt(t, path)
	must(t, db, "CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, data BLOB)")
	must(t, db, "CREATE TABLE u(id INTEGER PRIMARY KEY, v TEXT)")
	rows = int64(mb) * 4000
	must(t, db, fmt.Sprintf("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%d) INSERT INTO t SELECT i, 'name '||i, randomblob(220) FROM n", rows))
	if err := db.QueryRowContext(t.Context(), "SELECT pageno, ncell FROM dbstat WHERE name='t' AND pagetype='leaf' ORDER BY path LIMIT 1 OFFSET "+strconv.FormatInt(rows/40, 10)).Scan(&page, &lost); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return path, rows, page, lost
}

// overwritePage puts noise where a page was, in a file that nobody has open.
func overwritePage(t *testing.T, path string, page int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt([]byte(strings.Repeat("\x77noise..", 4096/8)), (page-1)*4096)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// openSick is openAt without the proof that the database is sound at the end.
func openSick(t *testing.T, path string, options ...holdfast.Option) *holdfast.DB {
	t.Helper()
	db, err := holdfast.Open(t.Context(), path, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// evidence waits for the copies of the files and returns their directory.
func evidence(t *testing.T, db *holdfast.DB) string {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		if dirs, _ := filepath.Glob(db.Path() + "-holdfast.corrupt-*/finding.json"); len(dirs) > 0 {
			return filepath.Dir(dirs[0])
		}
		select {
		case <-deadline:
			t.Fatal("the files were not kept")
		case <-time.After(5 * time.Millisecond): // nothing notifies of it but the log
		}
	}
}

func finding(t *testing.T, db *holdfast.DB, id string) holdfast.Finding {
	t.Helper()
	h, err := db.Health(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range h.Findings {
		if f.ID == id {
			return f
		}
	}
	return holdfast.Finding{}
}

func largeMB() int {
	if n, err := strconv.Atoi(os.Getenv("HOLDFAST_TEST_LARGE_MB")); err == nil {
		return n
	}
	return 4
}

// A page is overwritten while writers are at work: from the moment that somebody was
// told of it, nobody has a write acknowledged. The files are kept, and salvage brings
// back what is not on that page, every acknowledged row included.
func TestDamageStopsWrites(t *testing.T) {
	t.Parallel()
	path, rows, lost := sick(t, largeMB())
	var log lines
	db := openSick(t, path, holdfast.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))

	var told atomic.Int64 // when the first reader was told, in ns; 0 before
	// Writes that began after that, and those that were under way: their answers may have
	// come before, and been seen after it by a goroutine that had to wait for a processor.
	var late, underWay, acknowledged atomic.Int64
	var enough sync.Once
	busy := make(chan struct{})
	var writers sync.WaitGroup
	stopped := make(chan error, 8)
	for range 8 {
		writers.Go(func() {
			for {
				known := told.Load() != 0
				_, err := db.ExecContext(t.Context(), "INSERT INTO u(v) VALUES('acknowledged')")
				if err != nil {
					stopped <- err
					return
				}
				switch {
				case known:
					late.Add(1)
				case told.Load() != 0:
					underWay.Add(1)
				}
				if acknowledged.Add(1) > 500 {
					enough.Do(func() { close(busy) })
				}
			}
		})
	}
	<-busy
	var sum int64
	err := db.QueryRowContext(t.Context(), "SELECT sum(length(data)) FROM t").Scan(&sum)
	told.Store(time.Now().UnixNano())
	if !errors.Is(err, holdfast.ErrCorrupt) {
		t.Fatalf("the reader: %v", err)
	}
	writers.Wait()
	took := time.Duration(time.Now().UnixNano() - told.Load())
	close(stopped)
	for err := range stopped {
		var e *holdfast.Error
		if !errors.Is(err, holdfast.ErrFenced) || !errors.Is(err, holdfast.ErrCorrupt) || !errors.As(err, &e) || e.Code != 11 {
			t.Errorf("a writer: %v", err)
		}
	}
	t.Logf("%d acknowledged, %d of them begun after the discovery, %d under way then; the last writer was told %s after it", acknowledged.Load(), late.Load(), underWay.Load(), took)
	if late.Load() > 0 || underWay.Load() > 8 {
		t.Errorf("%d writes were acknowledged that began after the discovery, %d that were under way", late.Load(), underWay.Load())
	}

	// Reads go on where they can, and everybody can see what is the matter.
	var n int64
	if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM u").Scan(&n); err != nil || n < acknowledged.Load() {
		t.Errorf("u has %d rows of %d, %v", n, acknowledged.Load(), err)
	}
	if err := db.PingContext(t.Context()); err != nil {
		t.Errorf("ping: %v", err)
	}
	if err := db.Update(t.Context(), func(tx *sql.Tx) error { return nil }); !errors.Is(err, holdfast.ErrFenced) {
		t.Errorf("Update: %v", err)
	}
	if _, err := db.Checkpoint(t.Context(), holdfast.CheckpointTruncate); !errors.Is(err, holdfast.ErrFenced) {
		t.Errorf("Checkpoint: %v", err)
	}
	kept := evidence(t, db)
	db2 := db.Stats()
	if f := finding(t, db, "corrupt"); f.Severity != "critical" || !strings.Contains(f.Fix, "holdfast salvage") || !db2.Fenced || !db2.Damaged {
		t.Errorf("finding %+v, fenced %v, damaged %v", f, db2.Fenced, db2.Damaged)
	}
	if got := strings.Count(log.String(), "the database is damaged"); got != 1 {
		t.Errorf("logged %d times:\n%s", got, log.String())
	}
	if runtime.GOOS != "windows" {
		if info, err := os.Stat(kept); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", kept, info, err)
		}
	}

	// Closing leaves the log where it is, and opening again changes nothing.
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for _, ending := range []string{"", "-wal"} {
		now, err := os.ReadFile(path + ending)
		if err != nil {
			t.Fatal(err)
		}
		then, err := os.ReadFile(filepath.Join(kept, filepath.Base(path)+ending))
		if err != nil || len(then) == 0 || string(now) != string(then) {
			t.Errorf("%q is not as it was: %d bytes, kept %d, %v", ending, len(now), len(then), err)
		}
	}
	again := openSick(t, path)
	if _, err := again.ExecContext(t.Context(), "INSERT INTO u(v) VALUES('x')"); !errors.Is(err, holdfast.ErrFenced) {
		t.Errorf("after opening again: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}

	dst := filepath.Join(t.TempDir(), "salvaged.db")
	report, err := salvage.Run(t.Context(), filepath.Join(kept, filepath.Base(path)), dst, salvage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	out := openAt(t, dst)
	var got int64
	if err := out.QueryRowContext(t.Context(), "SELECT (SELECT count(*) FROM t), (SELECT count(*) FROM u)").Scan(&got, &n); err != nil {
		t.Fatal(err)
	}
	t.Logf("salvaged %d of the %d rows on other pages, %d of u; %d said to be lost, in %.2f s", got, rows-lost, n, report.RowsLost, report.DurationSeconds)
	if got != rows-lost || n < acknowledged.Load() || report.RowsLost < lost-2 || report.RowsLost > lost+2 {
		t.Errorf("%+v", report)
	}
}

// lines is a log that several goroutines write.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Whoever meets the damage, writes stop: a writer, a check, a backup, Health.
func TestDamageMetBy(t *testing.T) {
	t.Parallel()
	for what, meet := range map[string]func(context.Context, *holdfast.DB) error{
		"a write": func(ctx context.Context, db *holdfast.DB) error {
			_, err := db.ExecContext(ctx, "UPDATE t SET name='x'")
			return err
		},
		"a verify": func(ctx context.Context, db *holdfast.DB) error {
			_, err := db.Verify(ctx, holdfast.VerifyQuick)
			return err
		},
		"a backup": func(ctx context.Context, db *holdfast.DB) error {
			_, err := db.Backup(ctx, db.Path()+".copy")
			return err
		},
		"a loop": func(ctx context.Context, db *holdfast.DB) error {
			for _, err := range db.Rows(ctx, "SELECT data FROM t") {
				if err != nil {
					return err
				}
			}
			return nil
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			path, _, _ := sick(t, 1)
			db := openSick(t, path)
			err := meet(t.Context(), db)
			if what != "a verify" && !errors.Is(err, holdfast.ErrCorrupt) {
				t.Errorf("%v", err)
			}
			if _, err := db.ExecContext(t.Context(), "INSERT INTO u(v) VALUES('x')"); !errors.Is(err, holdfast.ErrFenced) {
				t.Errorf("the next write: %v", err)
			}
			evidence(t, db)
		})
	}
	t.Run("health", func(t *testing.T) {
		t.Parallel()
		path, _, _ := sick(t, 1)
		db := openSick(t, path)
		must(t, db, "INSERT INTO u(v) VALUES('x')")
		if f := finding(t, db, "corrupt"); f.ID != "" {
			t.Errorf("nobody has met it yet: %+v", f)
		}
	})
}

// What looks like damage and isn't this file's doesn't stop anybody.
func TestDamageElsewhere(t *testing.T) {
	t.Parallel()
	other, _, _ := sick(t, 1)
	path := filepath.Join(t.TempDir(), "app.db")
	db := openAt(t, path)
	must(t, db, "CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, data BLOB)")
	must(t, db, "CREATE VIRTUAL TABLE docs USING fts5(body)")
	must(t, db, "INSERT INTO docs VALUES('the quick brown fox')")
	ask := func(c *sql.Conn, text string) error {
		_, err := c.ExecContext(t.Context(), text)
		return err
	}
	for what, meet := range map[string]func(c *sql.Conn) error{
		"attached": func(c *sql.Conn) error {
			return errors.Join(ask(c, "ATTACH '"+other+"' AS other"), ask(c, "UPDATE other.t SET name='x'"))
		},
		"no database attached": func(c *sql.Conn) error {
			text := filepath.Join(t.TempDir(), "text")
			if err := os.WriteFile(text, []byte(strings.Repeat("no database", 1000)), 0o600); err != nil {
				return err
			}
			return ask(c, "ATTACH '"+text+"' AS text")
		},
		"temporary": func(c *sql.Conn) error {
			return errors.Join(ask(c, "CREATE TEMP TABLE t2(a)"), ask(c, "CREATE VIRTUAL TABLE temp.d2 USING fts5(b)"), ask(c, "INSERT INTO d2 VALUES('x')"),
				ask(c, "UPDATE d2_data SET block=x'00' WHERE id>10"), ask(c, "INSERT INTO d2(d2) VALUES('integrity-check')"))
		},
		"full-text index": func(c *sql.Conn) error {
			if err := ask(c, "UPDATE docs_data SET block=x'00' WHERE id>10"); err != nil {
				return err
			}
			return ask(c, "INSERT INTO docs(docs) VALUES('integrity-check')")
		},
	} {
		t.Run(what, func(t *testing.T) {
			c, err := db.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			err = meet(c)
			if !errors.Is(err, holdfast.ErrCorrupt) {
				t.Errorf("it is meant to be met: %v", err)
			}
			_ = c.Close()
			if _, err := db.ExecContext(t.Context(), "INSERT INTO t(name) VALUES('x')"); err != nil {
				t.Errorf("the next write: %v", err)
			}
			if s := db.Stats(); s.Fenced || s.Damaged {
				t.Errorf("fenced %v, damaged %v", s.Fenced, s.Damaged)
			}
		})
	}
	must(t, db, "INSERT INTO docs(docs) VALUES('rebuild')")
}

// A table that another process has made, and that exceeds the limits of this one, makes
// the schema unreadable here (SQLITE_CORRUPT) for as long as it is there.
func TestLimitsAreNoDamage(t *testing.T) {
	t.Parallel()
	for table, limit := range map[string]func(l *holdfast.LimitsConfig){
		"CREATE TABLE x(" + strings.Repeat("a", 3000) + ")":                 func(l *holdfast.LimitsConfig) { l.SQLLength = 2000 },
		"CREATE TABLE x(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q)": func(l *holdfast.LimitsConfig) { l.Column = 16 },
		"CREATE TABLE x(a CHECK(a" + strings.Repeat("+1", 50) + ">0))":      func(l *holdfast.LimitsConfig) { l.ExprDepth = 20 },
	} {
		path := filepath.Join(t.TempDir(), "app.db")
		cfg := holdfast.DefaultConfig()
		cfg.Database.Path = path
		limit(&cfg.Limits)
		db, err := holdfast.OpenConfig(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		must(t, db, "CREATE TABLE u(v)")
		other := func(script string) {
			c, err := sqlite.Open(path, sqlite.OpenReadWrite)
			if err == nil {
				err = errors.Join(c.Exec(script), c.Close())
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		other(table)
		if _, err := db.ExecContext(t.Context(), "INSERT INTO u(v) VALUES('x')"); !errors.Is(err, holdfast.ErrCorrupt) || errors.Is(err, holdfast.ErrFenced) {
			t.Errorf("%.30s: %v", table, err)
		}
		other("DROP TABLE x")
		must(t, db, "INSERT INTO u(v) VALUES('y')")
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A slow disk doesn't make the second look longer, for which all writes wait.
func TestALookAtASlowDisk(t *testing.T) {
	t.Parallel()
	other, _, _ := sick(t, 1)
	path, _, _, _ := sound(t, 4)
	disk := holdfasttest.NewDisk()
	db, err := holdfast.Open(disk.Context(t.Context()), path)
	if err != nil {
		t.Fatal(err)
	}
	c, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.ExecContext(t.Context(), "ATTACH '"+other+"' AS other"); err != nil {
		t.Fatal(err)
	}
	slow := disk.Inject(holdfasttest.Fault{Kind: holdfasttest.Slow, Op: holdfasttest.Read, File: holdfasttest.Database, Delay: 3 * time.Millisecond, Sticky: true})
	before := slow.Strikes()
	_, err = c.ExecContext(t.Context(), "SELECT quick.name FROM other.t AS quick WHERE data = ''")
	if !errors.Is(err, holdfast.ErrCorrupt) {
		t.Errorf("%v", err)
	}
	reads := slow.Strikes() - before
	t.Logf("%d reads", reads)
	if reads > 700 { // of 3 ms, within 0.7 s; quick_check has more than 1000 pages before it
		t.Errorf("%d reads of a slow disk", reads)
	}
	disk.Heal()
	if err := errors.Join(c.Close(), db.Close(), disk.Close()); err != nil {
		t.Error(err)
	}
}

// Who says so goes on writing, and is told all the same.
func TestDamageWrittenOn(t *testing.T) {
	t.Parallel()
	path, _, _ := sick(t, 1)
	cfg := holdfast.DefaultConfig()
	cfg.Database.Path, cfg.Writer.WriteWhenDamaged = path, true
	db, err := holdfast.OpenConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), "UPDATE t SET name='x'"); !errors.Is(err, holdfast.ErrCorrupt) {
		t.Errorf("%v", err)
	}
	must(t, db, "INSERT INTO u(v) VALUES('x')")
	evidence(t, db)
	if f := finding(t, db, "corrupt"); f.Severity != "critical" || db.Stats().Fenced || !db.Stats().Damaged {
		t.Errorf("%+v", f)
	}
}

// An index that differs from its table is met by a DELETE (SQLITE_CORRUPT_INDEX). It can be
// made anew, and a quick check that finds as many entries as rows says nothing; a full one
// does.
func TestDamageOfAnIndex(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	c, err := sqlite.Open(path, sqlite.OpenReadWrite|sqlite.OpenCreate)
	if err == nil {
		err = c.Exec("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT); CREATE INDEX t_v ON t(v); INSERT INTO t VALUES(1,'a'),(2,'b');" +
			"PRAGMA writable_schema=ON; CREATE TABLE other(id INTEGER PRIMARY KEY, v TEXT); CREATE INDEX other_v ON other(v); INSERT INTO other VALUES(7,'x'),(8,'y');" +
			"UPDATE sqlite_schema SET rootpage=8-rootpage WHERE name IN ('t_v', 'other_v')") // 3 and 5 change places
		if n, e := c.QueryInt64("SELECT sum(rootpage) FROM sqlite_schema WHERE name LIKE '%_v'"); n != 8 {
			err = errors.Join(err, e, fmt.Errorf("the roots are others: %d", n))
		}
	}
	if err := errors.Join(err, c.Close()); err != nil {
		t.Fatal(err)
	}
	db := openSick(t, path)
	_, err = db.ExecContext(t.Context(), "DELETE FROM t WHERE id=1")
	var e *holdfast.Error
	if !errors.As(err, &e) || e.ExtendedCode != 779 {
		t.Errorf("%v", err)
	}
	must(t, db, "INSERT INTO t VALUES(3,'c')")
	if _, err := db.Verify(t.Context(), holdfast.VerifyFull); err != nil {
		t.Error(err)
	}
	if _, err := db.ExecContext(t.Context(), "INSERT INTO t VALUES(4,'d')"); !errors.Is(err, holdfast.ErrFenced) {
		t.Errorf("after a full check: %v", err)
	}
	evidence(t, db)
}

// A disk that is away, once or for a while, is no damage: its errors are told as they are.
func TestDamageOfADiskThatIsAway(t *testing.T) {
	t.Parallel()
	for _, sticky := range []bool{false, true} {
		path, _, _, _ := sound(t, 1)
		disk := holdfasttest.NewDisk()
		db, err := holdfast.Open(disk.Context(t.Context()), path)
		if err != nil {
			t.Fatal(err)
		}
		must(t, db, "INSERT INTO u(v) VALUES('x')")
		fault := disk.Inject(holdfasttest.Fault{Kind: holdfasttest.IOErr, Op: holdfasttest.Read, File: holdfasttest.Database, Sticky: sticky})
		_, err = db.ExecContext(t.Context(), "SELECT max(length(data)) FROM t WHERE id<1000")
		if !errors.Is(err, holdfast.ErrIO) || fault.Strikes() == 0 {
			t.Errorf("sticky %v: %v", sticky, err)
		}
		disk.Heal()
		if s := db.Stats(); s.Damaged || s.Fenced {
			t.Errorf("sticky %v: fenced", sticky)
		}
		if err := errors.Join(db.Close(), disk.Close()); err != nil {
			t.Error(err)
		}
	}
}

// Another file in the place of the damaged one is written again, and a program that is
// restarted again and again keeps three copies.
func TestDamageAndRestore(t *testing.T) {
	t.Parallel()
	path, _, _ := sick(t, 1)
	for i := range 5 {
		db := openSick(t, path)
		_, _ = db.ExecContext(t.Context(), "UPDATE t SET name='x'")
		if !db.Stats().Fenced {
			t.Errorf("round %d: not fenced", i)
		}
		for keeping := true; keeping; {
			f := finding(t, db, "corrupt")
			if keeping = strings.Contains(f.Evidence, "are being made"); keeping {
				<-time.After(time.Millisecond) // nothing notifies of it but the log
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		now := time.Now().Add(time.Duration(i) * time.Second)
		if err := os.Chtimes(path, now, now); err != nil { // as if somebody had written it
			t.Fatal(err)
		}
	}
	if dirs, err := filepath.Glob(path + "-holdfast.corrupt-*"); err != nil || len(dirs) != 3 {
		t.Errorf("kept %v, %v", dirs, err)
	}
	dst := filepath.Join(t.TempDir(), "salvaged.db")
	if _, err := salvage.Run(t.Context(), path, dst, salvage.Options{}); err != nil {
		t.Fatal(err)
	}
	for _, ending := range []string{"-wal", "-shm"} {
		if err := os.Remove(path + ending); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	if err := os.Rename(dst, path); err != nil {
		t.Fatal(err)
	}
	db := openAt(t, path)
	must(t, db, "INSERT INTO u(v) VALUES('x')")
}
