package backup_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/backup"
	"github.com/holdfastdb/holdfast/internal/dbfile"
	"github.com/holdfastdb/holdfast/internal/sqlite"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if text := os.Getenv(childVariable); text != "" {
		os.Exit(child(text))
	}
	goleak.VerifyTestMain(m)
}

// childVariable makes the test binary a process of one of the kinds below.
const childVariable = "HOLDFAST_TEST_BACKUP_CHILD"

// errand is what a child is for.
type errand struct {
	Open     string `json:"open"`  // opens this database, says so, reads it, and stays
	Write    bool   `json:"write"` // writes instead
	Hasty    bool   `json:"hasty"` // waits for no lock
	Source   string `json:"source"`
	Path     string `json:"path"`
	Step     string `json:"step"` // where it is killed
	TwoNames bool   `json:"two_names"`
}

func child(text string) int {
	var e errand
	err := json.Unmarshal([]byte(text), &e)
	if err == nil && e.Open != "" {
		err = opener(e)
	} else if err == nil {
		var o backup.RestoreOptions
		if e.TwoNames {
			o.TwoNames()
		}
		o.OnStep(func(name string) {
			if name == e.Step {
				self, _ := os.FindProcess(os.Getpid())
				_ = self.Kill()
				select {}
			}
		})
		_, err = backup.Restore(context.Background(), backup.File(e.Source), e.Path, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// opener is a program with a connection, which waits for locks.
func opener(e errand) error {
	c, err := sqlite.Open(e.Open, sqlite.OpenReadWrite)
	if err != nil {
		return err
	}
	fmt.Println("opened")
	end := time.Now().Add(20 * time.Second)
	c.SetBusyHandler(func(int) bool { <-time.After(time.Millisecond); return !e.Hasty && time.Now().Before(end) })
	did := "read"
	if e.Write {
		did, err = "written", c.Exec("INSERT INTO t(word) VALUES ('lost')")
	} else {
		_, err = c.QueryInt64("SELECT count(*) FROM t")
	}
	if err != nil {
		did = "refused"
	}
	fmt.Println(did)
	_, _ = io.Copy(io.Discard, os.Stdin)
	return c.Close()
}

func command(e errand) *exec.Cmd {
	text, _ := json.Marshal(e)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+string(text))
	return cmd
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fill makes table t with so many rows of a word.
func fill(t *testing.T, c *sqlite.Conn, word string, n int) {
	t.Helper()
	must(t, c.Exec(fmt.Sprintf(`CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, word, pad);
		WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM r WHERE i<%d) INSERT INTO t(word, pad) SELECT '%s', hex(zeroblob(200)) FROM r`, n, word)))
}

func openConn(t *testing.T, path string) *sqlite.Conn {
	t.Helper()
	c, err := sqlite.Open(path, sqlite.OpenReadWrite|sqlite.OpenCreate)
	must(t, err)
	return c
}

// newBackup is a plain copy of 700 rows "new".
func newBackup(t *testing.T) (path string) {
	t.Helper()
	db, err := holdfast.Open(t.Context(), filepath.Join(t.TempDir(), "app.db"))
	must(t, err)
	defer db.Close()
	_, err = db.Exec(`CREATE TABLE t(id INTEGER PRIMARY KEY, word, pad);
		WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM r WHERE i<700) INSERT INTO t(word, pad) SELECT 'new', hex(zeroblob(200)) FROM r`)
	must(t, err)
	info, err := db.Backup(t.Context(), t.TempDir())
	must(t, err)
	return info.Destination
}

// old are states of the database that is to be replaced. want is what it holds:
// "500 old", "" for none, or "damaged".
var old = []struct {
	name, want string
	make       func(t *testing.T, path string)
}{
	{"closed", "500 old", func(t *testing.T, path string) {
		c := openConn(t, path)
		fill(t, c, "old", 500)
		must(t, c.Close())
	}},
	{"a log that a dead writer has left", "500 old", withLog},
	{"a hot journal", "500 old", withJournal},
	{"none, beside the log of another", "", func(t *testing.T, path string) {
		withLog(t, path)
		must(t, os.Remove(path))
	}},
	{"damaged, and a log", "damaged", func(t *testing.T, path string) {
		withLog(t, path)
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		must(t, err)
		_, err = f.WriteAt([]byte("this is no database"), 0)
		must(t, errors.Join(err, f.Close()))
		text, err := os.ReadFile(path + "-wal") // of page 1 there is a version in it
		must(t, err)
		text[24+24] ^= 1 // the first frame
		must(t, os.WriteFile(path+"-wal", text, 0o600))
	}},
}

// withLog leaves 200 rows in the file and 300 in the log.
func withLog(t *testing.T, path string) {
	t.Helper()
	c := openConn(t, path)
	must(t, c.Exec("PRAGMA journal_mode=WAL"))
	fill(t, c, "old", 200)
	_, _, err := c.WALCheckpoint("main", sqlite.CheckpointTruncate)
	must(t, err)
	fill(t, c, "old", 300)
	_, err = c.DBConfig(sqlite.DBConfigNoCkptOnClose, true)
	must(t, err)
	must(t, c.Close())
	must(t, os.WriteFile(path+"-shm", make([]byte, 32768), 0o600)) // and an index that nobody filled
}

// withJournal is what a crash leaves in the middle of a transaction.
func withJournal(t *testing.T, path string) {
	t.Helper()
	first := path + ".first"
	c := openConn(t, first)
	fill(t, c, "old", 500)
	must(t, c.Exec("PRAGMA cache_size=2; BEGIN; UPDATE t SET word='torn', pad=hex(randomblob(200))"))
	for _, end := range []string{"", "-journal"} {
		text, err := os.ReadFile(first + end)
		must(t, err)
		must(t, os.WriteFile(path+end, text, 0o600))
	}
	must(t, c.Exec("ROLLBACK"))
	must(t, c.Close())
	must(t, os.Remove(first))
}

// holds tells what a database is for whoever opens it, of a copy of the files.
func holds(t *testing.T, path string) string {
	t.Helper()
	judged := filepath.Join(t.TempDir(), "judged.db")
	for _, end := range []string{"", "-wal", "-journal", "-shm"} {
		text, err := os.ReadFile(path + end)
		if errors.Is(err, fs.ErrNotExist) {
			if end == "" {
				return ""
			}
			continue
		}
		must(t, err)
		must(t, os.WriteFile(judged+end, text, 0o600))
	}
	c := openConn(t, judged)
	defer c.Close()
	ok, err := c.QueryText("PRAGMA integrity_check")
	if code := sqlite.Code(err).Primary(); code == sqlite.ResultNotADB || code == sqlite.ResultCorrupt {
		return "damaged"
	}
	if err != nil || ok != "ok" {
		return fmt.Sprintf("integrity_check: %s, %v", ok, err)
	}
	words, err := c.QueryText("SELECT group_concat(n || ' ' || word, ', ') FROM (SELECT count(*) AS n, word FROM t GROUP BY word)")
	must(t, err)
	return words
}

const restored = "700 new"

var steps = []string{
	"begun", "unpacked", "proven", "locked", "noted", "moved-wal", "moved-journal", "moved-shm", "cleared",
	"linked", "swapped", "flushed", "looked", "kept", "done", "settling",
}

// TestKilledAtEachStep kills a restore at each of its fault points, opens what is
// left, and restores again.
func TestKilledAtEachStep(t *testing.T) {
	t.Parallel()
	source := newBackup(t)
	for _, twoNames := range []bool{false, true} {
		for _, before := range old {
			for _, step := range steps {
				if before.want == "" && slices.Contains([]string{"flushed", "looked", "kept"}, step) {
					continue // there is nothing to exchange
				}
				if before.want != "" && step == "linked" {
					continue
				}
				t.Run(fmt.Sprintf("%s, %s, two names %v", before.name, step, twoNames), func(t *testing.T) {
					path := filepath.Join(t.TempDir(), "app.db")
					before.make(t, path)
					err := command(errand{Source: source, Path: path, Step: step, TwoNames: twoNames}).Run()
					if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.Exited() && runtime.GOOS != "windows" {
						t.Fatalf("it was not killed: %v", err)
					}
					left := holds(t, path)
					if left != before.want && left != restored {
						t.Errorf("killed at %s, it is %q", step, left)
					}
					if changed := slices.Index(steps, step) >= slices.Index(steps, "linked"); changed != (left == restored) {
						t.Errorf("killed at %s, it is %q", step, left)
					}
					again(t, source, path, twoNames, before.want)
				})
			}
		}
	}
}

// again restores once more after a kill.
func again(t *testing.T, source, path string, twoNames bool, want string) {
	t.Helper()
	var o backup.RestoreOptions
	if twoNames {
		o.TwoNames()
	}
	r, err := backup.Restore(t.Context(), backup.File(source), path, o)
	if err != nil || !r.Verified || r.RestoredTo.IsZero() {
		t.Fatalf("%+v, %v", r, err)
	}
	if got := holds(t, path); got != restored {
		t.Errorf("restored again it is %q", got)
	}
	asides, err := filepath.Glob(path + "-before-restore-*Z")
	must(t, err)
	var kept []string
	for _, a := range asides {
		kept = append(kept, holds(t, a))
	}
	if want != "" && !slices.Contains(kept, want) {
		t.Errorf("of the old database there is %q", kept)
	}
	if info, err := os.Stat(path); err != nil || links(path) > 1 {
		t.Errorf("%v, %v, %d links", info, err, links(path))
	}
	for _, end := range []string{"-restore", "-wal", "-shm", "-journal"} {
		if _, err := os.Lstat(path + end); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is there: %v", end, err)
		}
	}
}

func links(path string) uint64 {
	_, info, err := dbfile.Identify(path)
	if err != nil {
		return 0
	}
	return info.Links
}

func TestRestoreReports(t *testing.T) {
	t.Parallel()
	source := newBackup(t)
	path := filepath.Join(t.TempDir(), "app.db")
	withLog(t, path)
	must(t, os.Chmod(path, 0o640))
	plan, err := backup.Restore(t.Context(), backup.File(source), path, backup.RestoreOptions{DryRun: true})
	must(t, err)
	if !plan.DryRun || plan.Verified || len(plan.Plan) < 5 || !strings.Contains(strings.Join(plan.Plan, "\n"), "rename "+plan.Database+"-wal to") {
		t.Errorf("%+v", plan)
	}
	if got := holds(t, path); got != "500 old" {
		t.Errorf("a dry run has left %q", got)
	}
	if err := command(errand{Source: source, Path: path, Step: "cleared"}).Run(); err == nil {
		t.Fatal("it was not killed")
	}
	phases := map[string]bool{}
	r, err := backup.Restore(t.Context(), backup.File(source), path, backup.RestoreOptions{Progress: func(p backup.Progress) { phases[p.Phase] = true }})
	must(t, err)
	if len(r.Leftover) != 1 || !strings.Contains(r.Leftover[0], "the old database is in its place") {
		t.Errorf("leftover %q", r.Leftover)
	}
	if len(r.Kept) != 3 || holds(t, r.Kept[0]) != "500 old" {
		t.Errorf("kept %q", r.Kept)
	}
	if !phases["unpack"] || !phases["check"] || !phases["hash"] {
		t.Errorf("phases %v", phases)
	}
	if fi, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && fi.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v", fi.Mode(), err)
	}
	db, err := holdfast.Open(t.Context(), path)
	must(t, err)
	must(t, db.Close())
}

// running starts an opener and waits for a line of it.
func running(t *testing.T, e errand, until string) (pid int, wait func(line string)) {
	t.Helper()
	cmd := command(e)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	lines := bufio.NewScanner(out)
	wait = func(line string) {
		if !lines.Scan() || lines.Text() != line {
			t.Errorf("the other process has said %q and not %q", lines.Text(), line)
		}
	}
	t.Cleanup(func() {
		must(t, in.Close())
		for lines.Scan() {
		}
		must(t, cmd.Wait())
	})
	wait("opened")
	if until != "opened" {
		wait(until)
	}
	return cmd.Process.Pid, wait
}

func wantInUse(t *testing.T, err error, pid int) {
	t.Helper()
	var use *backup.InUseError
	if !errors.As(err, &use) || !errors.Is(err, holdfast.ErrBusy) {
		t.Fatalf("%v", err)
	}
	if runtime.GOOS == "linux" && (!slices.ContainsFunc(use.Processes, func(p backup.Process) bool { return p.PID == pid }) || !strings.Contains(err.Error(), fmt.Sprint(pid))) {
		t.Errorf("%v doesn't name pid %d", err, pid)
	}
}

func TestRestoreOverALiveDatabase(t *testing.T) {
	t.Parallel()
	source := newBackup(t)
	for _, mode := range []string{"WAL", "DELETE"} {
		path := filepath.Join(t.TempDir(), "app.db")
		c := openConn(t, path)
		must(t, c.Exec("PRAGMA journal_mode="+mode))
		fill(t, c, "old", 500)
		_, err := backup.Restore(t.Context(), backup.File(source), path, backup.RestoreOptions{})
		wantInUse(t, err, os.Getpid())
		must(t, c.Close())
		if runtime.GOOS != "linux" && mode == "DELETE" {
			continue // an idle connection has no lock, and nobody tells
		}
		pid, _ := running(t, errand{Open: path}, "read")
		_, err = backup.Restore(t.Context(), backup.File(source), path, backup.RestoreOptions{})
		wantInUse(t, err, pid)
		_, err = backup.Restore(t.Context(), backup.File(source), path, backup.RestoreOptions{DryRun: true})
		wantInUse(t, err, pid)
		if got := holds(t, path); got != "500 old" {
			t.Errorf("it is %q", got)
		}
	}
}

// Whoever opens the old file in the moment before it loses its name would write on
// into it, and put his log beside the new one. So the change is undone.
func TestRestoreMeetsANewcomer(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("who has a file open without a lock is told by Linux alone")
	}
	source := newBackup(t)
	for _, twoNames := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "app.db")
		withLog(t, path)
		var o backup.RestoreOptions
		if twoNames {
			o.TwoNames()
		}
		pid, came := 0, func(string) {}
		o.OnStep(func(name string) {
			if name == "cleared" {
				pid, came = running(t, errand{Open: path}, "opened")
			}
		})
		r, err := backup.Restore(t.Context(), backup.File(source), path, o)
		wantInUse(t, err, pid)
		if len(r.Kept) != 0 {
			t.Errorf("%+v", r)
		}
		came("read") // the old database, as it was
		wantNoAside(t, path)
		if got := holds(t, path); got != "500 old" {
			t.Errorf("it is %q", got)
		}
		if _, err := os.Lstat(path + "-restore"); !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
		if links(path) != 1 {
			t.Errorf("%d links", links(path))
		}
	}
}

// A failure leaves the old database, and nothing beside it.
func TestRestoreThatFails(t *testing.T) {
	t.Parallel()
	source := newBackup(t)
	whole, err := os.ReadFile(source)
	must(t, err)
	manifest, err := os.ReadFile(source + backup.ManifestSuffix)
	must(t, err)
	ended, end := context.WithCancel(t.Context())
	var full backup.RestoreOptions
	full.Room(1 << 20)
	flipped := append([]byte(nil), whole...)
	flipped[len(flipped)/2] ^= 1
	for name, test := range map[string]struct {
		ctx      context.Context
		copied   []byte
		manifest []byte
		options  backup.RestoreOptions
		want     error
	}{
		"no room":                     {t.Context(), whole, manifest, full, holdfast.ErrDiskFull},
		"no room, dry":                {t.Context(), whole, manifest, backup.RestoreOptions{DryRun: true}, nil},
		"cut":                         {t.Context(), whole[:len(whole)-1], manifest, backup.RestoreOptions{}, backup.ErrDamaged},
		"longer":                      {t.Context(), append(bytes.Clone(whole), 0), manifest, backup.RestoreOptions{}, backup.ErrDamaged},
		"a bit":                       {t.Context(), flipped, manifest, backup.RestoreOptions{}, backup.ErrDamaged},
		"no manifest":                 {t.Context(), whole, nil, backup.RestoreOptions{}, backup.ErrNoManifest},
		"no manifest and no database": {t.Context(), []byte("text"), nil, backup.RestoreOptions{WithoutManifest: true}, backup.ErrDamaged},
		"cancelled":                   {ended, whole, manifest, backup.RestoreOptions{Progress: func(backup.Progress) { end() }}, context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			src, path := filepath.Join(t.TempDir(), "b.db"), filepath.Join(t.TempDir(), "app.db")
			withLog(t, path)
			must(t, os.WriteFile(src, test.copied, 0o600))
			if test.manifest != nil {
				must(t, os.WriteFile(src+backup.ManifestSuffix, test.manifest, 0o600))
			}
			r, err := backup.Restore(test.ctx, backup.File(src), path, test.options)
			if !errors.Is(err, test.want) || r.Verified {
				t.Errorf("%+v, %v, want %v", r, err, test.want)
			}
			if got := holds(t, path); got != "500 old" {
				t.Errorf("it is %q", got)
			}
			files, err := os.ReadDir(filepath.Dir(path))
			must(t, err)
			if len(files) != 3 {
				t.Errorf("beside it are %v", files)
			}
		})
	}
}

// One at a time: the second would unpack over the first.
func TestTwoRestores(t *testing.T) {
	t.Parallel()
	source := newBackup(t)
	path := filepath.Join(t.TempDir(), "app.db")
	withLog(t, path)
	var o backup.RestoreOptions
	o.OnStep(func(name string) {
		if name == "unpacked" {
			if _, err := backup.Restore(t.Context(), backup.File(source), path, backup.RestoreOptions{}); !errors.Is(err, holdfast.ErrBusy) {
				t.Error(err)
			}
		}
	})
	if runtime.GOOS != "linux" && runtime.GOOS != "windows" {
		t.Skip("here locks belong to the process, which doesn't conflict with itself")
	}
	_, err := backup.Restore(t.Context(), backup.File(source), path, o)
	must(t, err)
	if got := holds(t, path); got != restored {
		t.Errorf("it is %q", got)
	}
}

func TestRestoreOfWhatHasNoManifest(t *testing.T) {
	t.Parallel()
	src, path := filepath.Join(t.TempDir(), "b.db"), filepath.Join(t.TempDir(), "app.db")
	c := openConn(t, src)
	fill(t, c, "new", 700)
	must(t, c.Close())
	r, err := backup.Restore(t.Context(), backup.File(src), path, backup.RestoreOptions{WithoutManifest: true})
	if err != nil || !r.RestoredTo.IsZero() || holds(t, path) != restored {
		t.Errorf("%+v, %v, %q", r, err, holds(t, path))
	}
}

// A drill finds what a restore would, and leaves nothing.
func TestDrill(t *testing.T) {
	t.Parallel()
	source, dir := newBackup(t), t.TempDir()
	info, err := backup.Drill(t.Context(), backup.File(source), dir, nil)
	if err != nil || info.Rows["t"] != 700 {
		t.Errorf("%+v, %v", info, err)
	}
	text, err := os.ReadFile(source)
	must(t, err)
	text[len(text)-1] ^= 1
	must(t, os.WriteFile(source, text, 0o600))
	if info, err := backup.Drill(t.Context(), backup.File(source), dir, nil); !errors.Is(err, backup.ErrDamaged) || info.Verified {
		t.Errorf("%+v, %v", info, err)
	}
	files, err := os.ReadDir(dir)
	must(t, err)
	if len(files) != 0 {
		t.Errorf("%v", files)
	}
}
