package copy

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/holdfastdb/holdfast/internal/sqlite"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const accounts = `CREATE TABLE account(id INTEGER PRIMARY KEY, balance, pad);
	WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM r WHERE i<4000)
	INSERT INTO account SELECT i, 100, hex(zeroblob(500)) FROM r;`

// open returns a connection that is closed when the test ends.
func open(t *testing.T, path string) *sqlite.Conn {
	t.Helper()
	c, err := sqlite.Open(path, sqlite.OpenReadWrite|sqlite.OpenCreate)
	must(t, err)
	t.Cleanup(func() { must(t, c.Close()) })
	return c
}

// newDB makes a database with a log, which is checked when the test ends.
func newDB(t *testing.T, schema string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "original.db")
	c := open(t, path)
	must(t, c.Exec("PRAGMA journal_mode=WAL;"+schema))
	t.Cleanup(func() {
		if s, err := c.QueryText("PRAGMA integrity_check"); s != "ok" {
			t.Errorf("integrity_check: %q, %v", s, err)
		}
	})
	return path
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func noDirSync(string) error { return nil }

// A copy is one state, although money is moved between its accounts after each
// step, and it is begun once: the pages that are done never become fewer.
func TestCopyIsOneState(t *testing.T) {
	path := newDB(t, accounts)
	src, writer := open(t, path), open(t, path)
	copied := filepath.Join(t.TempDir(), "copy.db")
	var done []int
	synced := ""
	r, err := To(t.Context(), src, copied, Config{
		SyncDir: func(dir string) error { synced = dir; return nil },
		Progress: func(n, total int) {
			done = append(done, n)
			must(t, writer.Exec(`BEGIN IMMEDIATE; UPDATE account SET balance=balance-1 WHERE id=1; UPDATE account SET balance=balance+1 WHERE id=4000; COMMIT`))
		},
	})
	must(t, err)
	if len(done) < 3 || !slices.IsSorted(done) || done[len(done)-1] != r.Pages {
		t.Errorf("progress %v of %d pages", done, r.Pages)
	}
	if synced != filepath.Dir(copied) {
		t.Errorf("the directory %q was flushed", synced)
	}
	info, err := os.Stat(copied)
	must(t, err)
	if info.Size() != r.Bytes || r.Bytes != int64(r.Pages)*4096 || r.Duration <= 0 {
		t.Errorf("%+v, and the file has %d bytes", r, info.Size())
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	if src.TxnState("main") != sqlite.TxnNone || !src.Autocommit() {
		t.Error("the source still reads")
	}
	problems, err := CheckFile(t.Context(), copied, Full, nil)
	if len(problems) > 0 || err != nil {
		t.Error(problems, err)
	}
	c, err := OpenFile(copied)
	must(t, err)
	defer c.Close()
	for sql, want := range map[string]int64{
		"SELECT sum(balance) FROM account":            400000,
		"SELECT balance FROM account WHERE id=1":      100, // the state of before the first move
		"SELECT balance FROM account WHERE id = 4000": 100,
	} {
		if n, err := c.QueryInt64(sql); n != want || err != nil {
			t.Errorf("%s: %d, %v", sql, n, err)
		}
	}
	alone(t, copied)
}

// alone says that nothing but the copy is in its directory.
func alone(t *testing.T, files ...string) {
	t.Helper()
	dir := t.TempDir()
	if len(files) > 0 {
		dir = filepath.Dir(files[0])
	}
	names, err := os.ReadDir(dir)
	must(t, err)
	if len(names) != len(files) {
		t.Errorf("there is more in the directory: %v", names)
	}
}

// The read transaction of a caller is copied as it stands, and stays.
func TestCopyOfAnOlderState(t *testing.T) {
	path := newDB(t, accounts)
	src, writer := open(t, path), open(t, path)
	must(t, src.Exec("BEGIN; SELECT 1 FROM account LIMIT 1"))
	must(t, writer.Exec("DELETE FROM account"))
	copied := filepath.Join(t.TempDir(), "copy.db")
	_, err := To(t.Context(), src, copied, Config{Fleeting: true})
	must(t, err)
	if src.TxnState("main") != sqlite.TxnRead {
		t.Error("the caller's transaction was ended")
	}
	must(t, src.Exec("COMMIT"))
	c, err := OpenFile(copied)
	must(t, err)
	defer c.Close()
	if n, err := c.QueryInt64("SELECT count(*) FROM account"); n != 4000 || err != nil {
		t.Error(n, err)
	}
}

func TestCopyOfAnEmptyFile(t *testing.T) {
	src := open(t, filepath.Join(t.TempDir(), "empty.db"))
	copied := filepath.Join(t.TempDir(), "copy.db")
	r, err := To(t.Context(), src, copied, Config{SyncDir: noDirSync})
	if err != nil || r.Pages != 1 {
		t.Fatal(r, err)
	}
	if problems, err := CheckFile(t.Context(), copied, Full, nil); len(problems) > 0 || err != nil {
		t.Error(problems, err)
	}
}

// Whatever goes wrong, nothing is left, and the source reads no more.
func TestNothingIsLeftOfACopyThatFails(t *testing.T) {
	failure := errors.New("the disk is gone")
	ended, end := context.WithCancel(t.Context())
	end()
	for name, test := range map[string]struct {
		ctx  context.Context
		cfg  Config
		want error
	}{
		"cancelled before": {ended, Config{SyncDir: noDirSync}, context.Canceled},
		"no space":         {t.Context(), Config{SyncDir: noDirSync, Free: func(string) (int64, error) { return 1 << 20, nil }}, ErrNoSpace},
		"directory":        {t.Context(), Config{SyncDir: func(string) error { return failure }}, failure},
	} {
		t.Run(name, func(t *testing.T) {
			src := open(t, newDB(t, accounts))
			copied := filepath.Join(t.TempDir(), "copy.db")
			if _, err := To(test.ctx, src, copied, test.cfg); !errors.Is(err, test.want) {
				t.Errorf("%v, want %v", err, test.want)
			}
			if _, err := os.Lstat(copied); !errors.Is(err, fs.ErrNotExist) {
				t.Error("something is left:", err)
			}
			if !src.Autocommit() {
				t.Error("the source still reads")
			}
		})
	}
	t.Run("cancelled in the middle", func(t *testing.T) {
		src := open(t, newDB(t, accounts))
		copied := filepath.Join(t.TempDir(), "copy.db")
		ctx, cancel := context.WithCancel(t.Context())
		steps := 0
		_, err := To(ctx, src, copied, Config{SyncDir: noDirSync, Progress: func(int, int) { steps++; cancel() }})
		if !errors.Is(err, context.Canceled) || steps != 1 {
			t.Errorf("%v after %d steps", err, steps)
		}
		if _, err := os.Lstat(copied); !errors.Is(err, fs.ErrNotExist) {
			t.Error("something is left:", err)
		}
	})
	t.Run("existing file", func(t *testing.T) {
		src := open(t, newDB(t, accounts))
		taken := filepath.Join(t.TempDir(), "taken")
		must(t, os.WriteFile(taken, []byte("mine"), 0o600))
		if _, err := To(t.Context(), src, taken, Config{SyncDir: noDirSync}); !errors.Is(err, fs.ErrExist) {
			t.Error(err)
		}
		if b, err := os.ReadFile(taken); string(b) != "mine" || err != nil {
			t.Errorf("%q, %v", b, err)
		}
	})
}

// damaged makes a file of 4 KiB pages, closes it, and overwrites one page of the
// table with zeros.
func damaged(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "damaged.db")
	c, err := sqlite.Open(path, sqlite.OpenReadWrite|sqlite.OpenCreate)
	must(t, err)
	must(t, c.Exec(accounts))
	must(t, c.Close())
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteAt(make([]byte, 4096), 100*4096)
	must(t, errors.Join(err, f.Close()))
	return path
}

// A copy has the damage of its original, page for page.
func TestDamageIsCopiedAndFound(t *testing.T) {
	path := damaged(t)
	src := open(t, path)
	copied := filepath.Join(t.TempDir(), "copy.db")
	_, err := To(t.Context(), src, copied, Config{SyncDir: noDirSync})
	must(t, err)
	for _, file := range []string{path, copied} {
		for _, level := range []Level{Quick, Full} {
			problems, err := CheckFile(t.Context(), file, level, nil)
			if err != nil || len(problems) == 0 || !strings.Contains(strings.Join(problems, "\n"), "page 101") {
				t.Errorf("%s: %q, %v", filepath.Base(file), problems, err)
			}
		}
	}
}

func TestNoDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "text")
	must(t, os.WriteFile(path, []byte(strings.Repeat("not a database. ", 1000)), 0o600))
	problems, err := CheckFile(t.Context(), path, Quick, nil)
	if err != nil || len(problems) != 1 || !strings.Contains(problems[0], "not a database") {
		t.Errorf("%q, %v", problems, err)
	}
	if _, err := CheckFile(t.Context(), filepath.Join(t.TempDir(), "nothing"), Quick, nil); sqlite.Code(err) != sqlite.ResultCantOpen {
		t.Error(err)
	}
}

func TestReferencesAreChecked(t *testing.T) {
	path := newDB(t, `CREATE TABLE customer(id INTEGER PRIMARY KEY);
		CREATE TABLE invoice(id INTEGER PRIMARY KEY, customer REFERENCES customer);
		CREATE TABLE line(a, b REFERENCES invoice, PRIMARY KEY(a)) WITHOUT ROWID;
		INSERT INTO invoice VALUES (7, 1); INSERT INTO line VALUES (1, 8);`)
	c := open(t, path)
	if problems, err := Check(t.Context(), c, Quick, nil); len(problems) > 0 || err != nil {
		t.Error(problems, err)
	}
	want := []string{
		"a row of line refers to a row of invoice that is missing (foreign key 0)",
		"row 7 of invoice refers to a row of customer that is missing (foreign key 0)",
	}
	problems, err := Check(t.Context(), c, Full, nil)
	slices.Sort(problems)
	if err != nil || !slices.Equal(problems, want) {
		t.Errorf("%q, %v", problems, err)
	}
}

// A check tells how far it is, and ends in its middle with its context.
func TestCheckProgressAndEnd(t *testing.T) {
	path := newDB(t, accounts+"CREATE INDEX a ON account(pad, id);")
	var done []int
	problems, err := Check(t.Context(), open(t, path), Full, func(n, total int) {
		done = append(done, n)
		if n > total || total < 500 {
			t.Errorf("%d of %d", n, total)
		}
	})
	if len(problems) > 0 || err != nil || len(done) < 3 || !slices.IsSorted(done) {
		t.Errorf("%q, %v, %v", problems, err, done)
	}
	ctx, cancel := context.WithCancel(t.Context())
	c := open(t, path)
	calls := 0
	_, err = Check(ctx, c, Full, func(int, int) { calls++; cancel() })
	if !errors.Is(err, context.Canceled) || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
	if n, err := c.QueryInt64("SELECT count(*) FROM account"); n != 4000 || err != nil { // no interrupt is left behind
		t.Error(n, err)
	}
}
