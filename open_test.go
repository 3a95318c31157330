package holdfast_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/internal/sqlite"
)

func TestOpenBadInput(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name string, content []byte, mode fs.FileMode) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, content, mode); err != nil {
			t.Fatal(err)
		}
		return p
	}
	good := filepath.Join(dir, "good.db")
	db := openAt(t, good)
	must(t, db, "CREATE TABLE t(a)")
	must(t, db, "INSERT INTO t "+series(2000, "randomblob(100)"))
	db.Close()
	content, err := os.ReadFile(good) // closed everywhere
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		path string
		want error
		code int
	}{
		"empty name":        {"", holdfast.ErrRefused, 21},
		"missing directory": {filepath.Join(dir, "nowhere", "app.db"), holdfast.ErrCannotOpen, 14},
		"a directory":       {dir, holdfast.ErrCannotOpen, 14},
		"not a database":    {file("text.db", []byte(strings.Repeat("this is no database\n", 100)), 0o600), holdfast.ErrCorrupt, 26},
		"encrypted":         {file("random.db", []byte(strings.Repeat("\x9f\x03\xa1\x77", 2048)), 0o600), holdfast.ErrCorrupt, 26},
		"truncated":         {file("cut.db", content[:len(content)/2+100], 0o600), holdfast.ErrCorrupt, 11},
		"NUL":               {"a\x00b.db", holdfast.ErrRefused, 21},
		"unknown parameter": {"file:" + good + "?_busy_timeout=5000", holdfast.ErrRefused, 21},
		"shared cache":      {"file:" + good + "?cache=shared", holdfast.ErrRefused, 21},
		"missing, mode=rw":  {"file:" + filepath.Join(dir, "missing.db") + "?mode=rw", holdfast.ErrCannotOpen, 14},
	}
	for name, c := range cases {
		db, err := holdfast.Open(ctx(), c.path)
		if err == nil && name == "truncated" {
			// The header is sound; the first read past the end is not.
			_, err = db.Exec("SELECT sum(length(a)) FROM t")
			db.Close()
		}
		var e *holdfast.Error
		if !errors.Is(err, c.want) || !errors.As(err, &e) || e.Code != c.code {
			t.Errorf("%s: %v (%+v)", name, err, e)
			continue
		}
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: more than one line: %v", name, err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "missing.db")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("mode=rw created the file")
	}
}

func TestOpenWithoutPermission(t *testing.T) {
	t.Parallel()
	if os.Geteuid() == 0 {
		t.Skip("root may do everything; the command's tests drop the privilege")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "app.db")
	openAt(t, path).Close()
	if err := os.Chmod(path, 0o400); err != nil {
		t.Fatal(err)
	}
	if _, err := holdfast.Open(ctx(), path); !errors.Is(err, holdfast.ErrReadOnly) {
		t.Errorf("read-only file: %v", err)
	}
}

func TestStrangeNames(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"a?b=c.db", "a#b.db", "100%41.db", "with space.db", "größe-数据.db", "file.db?mode=memory", "a;b'c\"d.db"} {
		if runtime.GOOS == "windows" && strings.ContainsAny(name, `?"`) {
			continue
		}
		path := filepath.Join(dir, name)
		db := openAt(t, path)
		must(t, db, "CREATE TABLE t(a)")
		if _, err := os.Stat(path); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNewFilesArePrivate(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no permission bits")
	}
	dir := t.TempDir()
	db := openAt(t, filepath.Join(dir, "app.db"))
	must(t, db, "CREATE TABLE t(a)")
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) < 3 {
		t.Errorf("only %d files", len(entries))
	}
	for _, e := range entries {
		fi, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if fi.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", e.Name(), fi.Mode())
		}
	}
}

// symlink makes a link, or skips the test: Windows wants a privilege for it, and
// wine says that it has made one when it has not.
func symlink(t *testing.T, target, link string) {
	t.Helper()
	if err := os.Symlink(target, link); err != nil {
		t.Skipf("no symlinks here: %v", err)
	}
	if _, err := os.Lstat(link); err != nil {
		t.Skipf("no symlinks here: %v", err)
	}
}

func TestSeveralOpensShareOneDatabase(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "app.db")
	a := openAt(t, path)
	link := filepath.Join(dir, "link.db")
	symlink(t, path, link)
	b := openAt(t, link)
	c := openAt(t, "file:"+path+"?mode=rw")
	must(t, a, "CREATE TABLE t(a)")
	must(t, b, "INSERT INTO t VALUES (1)")
	if n := number(t, c, "SELECT count(*) FROM t"); n != 1 {
		t.Errorf("%d rows", n)
	}
	if a.Stats().Writer.Units != b.Stats().Writer.Units || b.Path() != a.Path() {
		t.Error("the handles have writers of their own")
	}
	if _, err := holdfast.Open(ctx(), path, holdfast.WithReaders(3)); !errors.Is(err, holdfast.ErrRefused) || !strings.Contains(err.Error(), "max_connections") {
		t.Errorf("other settings: %v", err)
	}
	ro := openAt(t, "file:"+path+"?mode=ro")
	if n := number(t, ro, "SELECT count(*) FROM t"); n != 1 {
		t.Errorf("read-only: %d rows", n)
	}
	if _, err := ro.Exec("DELETE FROM t"); !errors.Is(err, holdfast.ErrReadOnly) {
		t.Errorf("a read-only handle wrote: %v", err)
	}
	if _, err := ro.Exec("CREATE TEMP TABLE x(a)"); !errors.Is(err, holdfast.ErrReadOnly) {
		t.Errorf("a read-only handle wrote: %v", err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	must(t, b, "INSERT INTO t VALUES (2)") // the others live on
}

func TestHardLinksAreRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "app.db")
	openAt(t, path).Close()
	if err := os.Link(path, filepath.Join(dir, "second.db")); err != nil {
		t.Skip("no hard links here")
	}
	if _, err := holdfast.Open(ctx(), path); !errors.Is(err, holdfast.ErrRefused) {
		t.Errorf("got %v", err)
	}
	cfg := holdfast.Config{}
	cfg.Database.Path, cfg.Database.AllowHardLinks = path, true
	db, err := holdfast.OpenConfig(ctx(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
}

func TestReadOnlyDatabase(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	db := openAt(t, path)
	must(t, db, "CREATE TABLE t(a)")
	must(t, db, "INSERT INTO t VALUES (1)")
	db.Close()
	for _, name := range []string{"file:" + path + "?mode=ro", "file:" + path + "?immutable=1"} {
		ro := openAt(t, name)
		if n := number(t, ro, "SELECT count(*) FROM t"); n != 1 {
			t.Errorf("%d rows", n)
		}
		if _, err := ro.Exec("INSERT INTO t VALUES (2)"); !errors.Is(err, holdfast.ErrReadOnly) {
			t.Errorf("%s: write: %v", name, err)
		}
		if _, err := ro.Begin(); !errors.Is(err, holdfast.ErrReadOnly) {
			t.Errorf("%s: begin: %v", name, err)
		}
		if _, err := ro.Batch(ctx(), []holdfast.Statement{{SQL: "DELETE FROM t"}}); !errors.Is(err, holdfast.ErrReadOnly) {
			t.Errorf("%s: batch: %v", name, err)
		}
		ro.Close()
	}
	if _, err := holdfast.Open(ctx(), filepath.Join(t.TempDir(), "x.db"), holdfast.WithReadOnly()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
}

func TestMemoryDatabases(t *testing.T) {
	t.Parallel()
	if _, err := holdfast.Open(ctx(), ":memory:", holdfast.WithReadOnly()); !errors.Is(err, holdfast.ErrRefused) {
		t.Errorf("read-only in memory: %v", err)
	}
	a, b := openAt(t, ":memory:"), openAt(t, ":memory:")
	must(t, a, "CREATE TABLE t(a)")
	if _, err := b.Exec("INSERT INTO t VALUES (1)"); err == nil {
		t.Error("two private databases are one")
	}
	if a.Path() != "" {
		t.Errorf("Path = %q", a.Path())
	}
	c, d := openAt(t, "file:shared-by-name?mode=memory"), openAt(t, "file:shared-by-name?mode=memory&cache=shared")
	must(t, c, "CREATE TABLE t(a)")
	must(t, d, "INSERT INTO t VALUES (1)")
	rows, err := c.Query("SELECT a FROM t")
	if err != nil {
		t.Fatal(err)
	}
	must(t, d, "INSERT INTO t VALUES (2)") // a reader is no obstacle in memory either
	rows.Close()
	if n := number(t, c, "SELECT count(*) FROM t"); n != 2 {
		t.Errorf("%d rows", n)
	}
}

// Each Open looks at all databases that are open or being opened (the race
// detector decides).
func TestMemoryAndFileOpenedAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var all sync.WaitGroup
	for i := range 8 {
		path := ":memory:"
		if i%2 == 0 {
			path = filepath.Join(dir, strconv.Itoa(i)+".db")
		}
		all.Go(func() {
			db, err := holdfast.Open(ctx(), path)
			if err == nil {
				err = db.Close()
			}
			if err != nil {
				t.Errorf("%s: %v", path, err)
			}
		})
	}
	all.Wait()
}

func TestFencing(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("Windows refuses to remove an open file")
	}
	for _, how := range []string{"removed", "renamed", "replaced"} {
		dir := t.TempDir()
		path := filepath.Join(dir, "app.db")
		db, err := holdfast.Open(ctx(), path)
		if err != nil {
			t.Fatal(err)
		}
		must(t, db, "CREATE TABLE t(a)")
		other := filepath.Join(dir, "other.db")
		o := openAt(t, other)
		must(t, o, "CREATE TABLE t(a)")
		must(t, o, "INSERT INTO t VALUES ('theirs')")
		o.Close()
		switch how {
		case "removed":
			err = os.Remove(path)
		case "renamed":
			err = os.Rename(path, path+".old")
		case "replaced":
			err = os.Rename(other, path)
		}
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if _, err := db.Exec("INSERT INTO t VALUES ('ours')"); !errors.Is(err, holdfast.ErrFenced) {
				t.Errorf("%s: %v", how, err)
			}
		}
		if err := db.Update(ctx(), nil); !errors.Is(err, holdfast.ErrFenced) {
			t.Errorf("%s: update: %v", how, err)
		}
		if err := db.PingContext(ctx()); !errors.Is(err, holdfast.ErrFenced) {
			t.Errorf("%s: ping: %v", how, err)
		}
		if !db.Stats().Fenced {
			t.Errorf("%s: not fenced", how)
		}
		if err := db.Close(); err != nil {
			t.Errorf("%s: close: %v", how, err)
		}
		if how == "replaced" {
			// What the error says to do: the log beside it belongs to the old file.
			for _, suffix := range []string{"-wal", "-shm"} {
				if err := os.Remove(path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
					t.Error(err)
				}
			}
			if got := text(t, openAt(t, path), "SELECT a FROM t"); got != "theirs" {
				t.Errorf("the file that took the name was changed: %s", got)
			}
		}
	}
}

// TestFencingOfALogTakenEarly takes the log when a reader has it open and the
// writer has no connection yet: the one it would open had another log.
func TestFencingOfALogTakenEarly(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("Windows refuses to remove an open file")
	}
	path := filepath.Join(t.TempDir(), "app.db")
	keeper := openAt(t, path)
	must(t, keeper, "CREATE TABLE t(a)")
	if err := keeper.Close(); err != nil {
		t.Fatal(err)
	}
	db := openAt(t, path)
	number(t, db, "SELECT count(*) FROM t")
	if err := errors.Join(os.WriteFile(path+"-new", nil, 0o600), os.Rename(path+"-new", path+"-wal")); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("INSERT INTO t VALUES ('lost')"); !errors.Is(err, holdfast.ErrFenced) {
		t.Errorf("%v", err)
	}
}

// TestFencingOfTheLog takes the log, or the shared memory with the locks, from
// under a database.
func TestFencingOfTheLog(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("Windows refuses to remove an open file")
	}
	for _, suffix := range []string{"-wal", "-shm"} {
		for how, take := range map[string]func(name string) error{
			"removed": os.Remove,
			"renamed": func(name string) error { return os.Rename(name, name+".old") },
			"replaced": func(name string) error {
				return errors.Join(os.WriteFile(name+".new", nil, 0o600), os.Rename(name+".new", name))
			},
		} {
			path := filepath.Join(t.TempDir(), "app.db")
			db, err := holdfast.Open(ctx(), path)
			if err != nil {
				t.Fatal(err)
			}
			must(t, db, "CREATE TABLE t(a)")
			must(t, db, "INSERT INTO t VALUES ('acknowledged')")
			number(t, db, "SELECT count(*) FROM t")
			if err := take(path + suffix); err != nil {
				t.Fatal(err)
			}
			write := func() error { _, err := db.Exec("INSERT INTO t VALUES ('late')"); return err }
			for start := time.Now(); write() == nil; {
				if time.Since(start) > time.Second {
					t.Fatalf("%s %s: acknowledged for a second", suffix, how)
				}
			}
			for range 3 {
				if err := write(); !errors.Is(err, holdfast.ErrFenced) {
					t.Errorf("%s %s: %v", suffix, how, err)
				}
			}
			if !db.Stats().Fenced {
				t.Errorf("%s %s: not fenced", suffix, how)
			}
			if err := db.Close(); err != nil {
				t.Errorf("%s %s: close: %v", suffix, how, err)
			}
			if n := number(t, openAt(t, path), "SELECT count(*) FROM t WHERE a = 'acknowledged'"); n != 1 {
				t.Errorf("%s %s: %d rows of one that was acknowledged", suffix, how, n)
			}
		}
	}
}

// Who closes a database whose log was taken brings what is in it into the file,
// also if another process has the database open: SQLite leaves that to the last
// one, and of two that close at once each finds the other.
func TestALogThatWasTakenIsBroughtIn(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("Windows refuses to remove an open file")
	}
	const rows = 100
	path := filepath.Join(t.TempDir(), "app.db")
	db, err := holdfast.Open(ctx(), path)
	if err != nil {
		t.Fatal(err)
	}
	must(t, db, "CREATE TABLE t(a)")
	other := startOutsider(t)
	other.wants("open", path, lockIsFree)
	for range rows {
		must(t, db, "INSERT INTO t VALUES (1)")
	}
	number(t, db, "SELECT count(*) FROM t") // a reader, too
	if err := os.Remove(path + "-wal"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	other.kill()
	for _, suffix := range []string{"-wal", "-shm"} { // what a killed process leaves
		_ = os.Remove(path + suffix)
	}
	if n := number(t, openAt(t, path), "SELECT count(*) FROM t"); n != rows {
		t.Errorf("%d rows of %d that were acknowledged", n, rows)
	}
}

func TestEveryConnectionHasItsPragmas(t *testing.T) {
	t.Parallel()
	db := open(t, holdfast.WithReaders(8))
	must(t, db, "CREATE TABLE p(id INTEGER PRIMARY KEY)")
	// Eight readers at once, all new.
	var closers []func()
	for range 8 {
		tx, err := db.BeginTx(ctx(), readOnly)
		if err != nil {
			t.Fatal(err)
		}
		closers = append(closers, func() { tx.Rollback() })
		for name, want := range map[string]string{"foreign_keys": "1", "synchronous": "2", "trusted_schema": "0", "temp_store": "1", "mmap_size": "0", "query_only": "1", "journal_mode": "wal"} {
			if got := text(t, tx, "PRAGMA "+name); got != want {
				t.Errorf("%s = %s, want %s", name, got, want)
			}
		}
	}
	for _, c := range closers {
		c()
	}
}

// A program that only reads gets by with the connection that Open proved the
// file with, turned into a reader.
func TestFirstReadTakesTheConnectionOfOpen(t *testing.T) {
	t.Parallel()
	db := open(t)
	if got := number(t, db, "PRAGMA query_only"); got != 1 {
		t.Errorf("query_only of a reader: %d", got)
	}
	if got := db.Stats().ConnectionsCreated; got != 1 {
		t.Errorf("%d connections for one reader", got)
	}
	must(t, db, "CREATE TABLE t(a)")
	must(t, db, "INSERT INTO t VALUES (7)")
	if got := number(t, db, "SELECT a FROM t"); got != 7 {
		t.Errorf("read %d after the write", got)
	}
	if got := db.Stats().ConnectionsCreated; got != 2 {
		t.Errorf("%d connections for a reader and the writer", got)
	}
}

func TestOpenOfALockedFileIsBusy(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	owner, err := sqlite.Open(path, sqlite.OpenReadWrite|sqlite.OpenCreate)
	if err != nil {
		t.Fatal(err)
	}
	defer owner.Close()
	if err := owner.Exec("PRAGMA locking_mode=EXCLUSIVE; CREATE TABLE t(a)"); err != nil {
		t.Fatal(err)
	}
	cfg := holdfast.Config{}
	cfg.Database.Path = path
	cfg.Database.ConnectionTimeout = 50 * time.Millisecond
	if _, err := holdfast.OpenConfig(ctx(), cfg); !errors.Is(err, holdfast.ErrBusy) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestEngineInfo(t *testing.T) {
	t.Parallel()
	e := holdfast.Engine()
	if e.Version == "" || e.SourceID == "" || e.Threadsafe == 0 || len(e.CompileOptions) == 0 || len(e.KnownBugs) > 0 || e.Description == "" {
		t.Errorf("%+v", e)
	}
}

func TestOpenEndsWithItsContext(t *testing.T) {
	t.Parallel()
	c, cancel := context.WithCancel(ctx())
	cancel()
	if _, err := holdfast.Open(c, filepath.Join(t.TempDir(), "app.db")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// The connection that proved the file goes to the first read or to Close, never
// to both.
func TestCloseWhileTheFirstReadBegins(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	for range 30 {
		db, err := holdfast.Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		var reads sync.WaitGroup
		for range 3 {
			reads.Go(func() {
				var one int
				if err := db.QueryRow("SELECT 1").Scan(&one); err == nil && one != 1 {
					t.Error(one)
				}
			})
		}
		runtime.Gosched()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
		reads.Wait()
	}
}

// A connection that is opened after the file was removed, and before anybody has noticed,
// leaves nothing in its place; ATTACH still makes files.
func TestRemovedFileIsNotMadeAgain(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("an open file can't be removed")
	}
	path := filepath.Join(t.TempDir(), "app.db")
	db, err := holdfast.Open(ctx(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	conn, err := db.Conn(ctx())
	if err != nil {
		t.Fatal(err)
	}
	must(t, conn, "ATTACH '"+filepath.Join(filepath.Dir(path), "other.db")+"' AS other; CREATE TABLE other.t(a)")
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	for range 4 { // the first reader is open already
		rows, err := db.Query("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 10000) SELECT i FROM n")
		if err != nil {
			if !errors.Is(err, holdfast.ErrFenced) {
				t.Error(err)
			}
			continue
		}
		defer rows.Close()
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there is a file again: %v", err)
	}
}
