package holdfast_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/doctor"
	"github.com/holdfastdb/holdfast/internal/sqlite"
	"github.com/holdfastdb/holdfast/locks"
)

// The other half of open_rule_test.go: whatever a program calls while it holds
// the write lock, the lock stays. Only another process can tell, because a
// process never conflicts with its own POSIX locks.

// outsiderEnv makes the test binary a process of that kind.
const outsiderEnv = "HOLDFAST_TEST_OUTSIDER"

// TestOutsider is the other process. It answers each line "command path" of its
// standard input with one line.
func TestOutsider(t *testing.T) {
	if os.Getenv(outsiderEnv) == "" {
		t.Skip("runs as a child of the tests below")
	}
	var held []*sqlite.Conn
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		command, path, _ := strings.Cut(in.Text(), " ")
		answer := "done"
		switch command {
		case "probe": // may somebody else write?
			c, err := begin(path)
			answer = sqlite.Code(err).String()
			if e := c.Close(); e != nil {
				answer = e.Error()
			}
		case "hold": // takes the write lock and keeps it
			c, err := begin(path)
			held = append(held, c)
			if err == nil {
				err = c.Exec("INSERT INTO t VALUES (1)")
			}
			answer = sqlite.Code(err).String()
		case "open": // reads once and keeps the connection, which has no snapshot then
			c, err := sqlite.Open(path, sqlite.OpenReadWrite)
			held = append(held, c)
			if err == nil {
				_, err = c.QueryInt64("SELECT count(*) FROM t")
			}
			answer = sqlite.Code(err).String()
		case "read": // begins to read and keeps the snapshot
			c, err := sqlite.Open(path, sqlite.OpenReadWrite)
			held = append(held, c)
			if err == nil {
				err = c.Exec("BEGIN; SELECT count(*) FROM t")
			}
			answer = sqlite.Code(err).String()
		case "lock": // takes the write lock past SQLite, as a POSIX lock
			if err := posixWriteLock(path+"-shm", writeByte); err != nil {
				answer = err.Error()
			}
		case "checkpoint": // and that of a checkpoint
			if err := posixWriteLock(path+"-shm", checkpointByte); err != nil {
				answer = err.Error()
			}
		case "touch": // breaks the rule
			f, err := os.Open(path)
			if err == nil {
				err = f.Close()
			}
			if err != nil {
				answer = err.Error()
			}
		}
		fmt.Println(answer)
	}
	for _, c := range held {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

// The bytes of the shared memory that stand for a writer and for a checkpoint.
const (
	writeByte      = 120
	checkpointByte = 121
)

// begin asks for the write lock once. The Conn is to be closed either way.
func begin(path string) (*sqlite.Conn, error) {
	c, err := sqlite.Open(path, sqlite.OpenReadWrite)
	if err != nil {
		return nil, err
	}
	return c, c.Exec("BEGIN IMMEDIATE")
}

// outsider is a running TestOutsider.
type outsider struct {
	t   *testing.T
	pid int
	in  io.WriteCloser
	out *bufio.Reader

	cmd    *exec.Cmd
	killed bool
}

// kill ends it as the kernel does, so that it closes nothing.
func (o *outsider) kill() {
	o.killed = true
	if err := o.cmd.Process.Kill(); err != nil {
		o.t.Error(err)
	}
	_, _ = io.Copy(io.Discard, o.out) // until it is gone
}

func startOutsider(t *testing.T) *outsider {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestOutsider$", "-test.timeout=5m")
	cmd.Env = append(os.Environ(), outsiderEnv+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	o := &outsider{t: t, pid: cmd.Process.Pid, in: in, out: bufio.NewReader(out), cmd: cmd}
	t.Cleanup(func() {
		_ = in.Close() // ends it
		_, _ = io.Copy(io.Discard, o.out)
		if err := cmd.Wait(); err != nil && !o.killed {
			t.Errorf("the other process: %v", err)
		}
	})
	return o
}

func (o *outsider) ask(command, path string) string {
	o.t.Helper()
	if _, err := fmt.Fprintln(o.in, command, path); err != nil {
		o.t.Fatal(err)
	}
	answer, err := o.out.ReadString('\n')
	if err != nil {
		o.t.Fatalf("%s: %q, %v", command, answer, err)
	}
	return strings.TrimSpace(answer)
}

func (o *outsider) wants(command, path, want string) {
	o.t.Helper()
	if got := o.ask(command, path); got != want {
		o.t.Fatalf("%s %s: %s, want %s", command, filepath.Base(path), got, want)
	}
}

const (
	lockIsHeld = "SQLITE_BUSY"
	lockIsFree = "SQLITE_OK"
)

// Each call is made as often; the second process is asked now and then, as the
// kernel's table of locks is read after every call.
const (
	keptRounds   = 1000
	roundsPerAsk = 100
)

func TestNothingDropsTheWriteLock(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("here locks belong to the handle, so closing another drops none")
	}
	path := filepath.Join(t.TempDir(), "app.db")
	db := openAt(t, path)
	must(t, db, "CREATE TABLE t(a)")
	other := startOutsider(t)
	other.wants("probe", path, lockIsFree)
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	must(t, tx, "INSERT INTO t VALUES (1)")
	calls := slices.Concat(usesOf(db), looksAt(t, path), opensOf(t, db, path))
	rounds := keptRounds
	if testing.Short() {
		rounds = 10
	}
	kept := tableOf(t, os.Getpid(), path)
	if runtime.GOOS == "linux" && !slices.ContainsFunc(kept, isWriteLock) {
		t.Fatalf("the write lock is not in the table: %q", kept)
	}
	for round := range rounds {
		for _, c := range calls {
			if err := c.call(); err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			if lost := kept.missing(t, os.Getpid(), path); len(lost) > 0 {
				t.Fatalf("%s has dropped locks of this process: %q\n%s", c.name, lost, openRule)
			}
			if round%roundsPerAsk != 0 {
				continue
			}
			if got := other.ask("probe", path); got != lockIsHeld {
				t.Fatalf("after %s another process could write into our transaction: %s\n%s", c.name, got, openRule)
			}
		}
	}
	other.wants("probe", path, lockIsHeld)
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	other.wants("probe", path, lockIsFree)
	if n := number(t, db, "SELECT count(*) FROM t"); n != 1 {
		t.Errorf("%d rows, want 1", n)
	}
}

// namedCall is something that a program may do at any time.
type namedCall struct {
	name string
	call func() error
}

// usesOf are the calls of a handle. Whatever is built that tells of a database
// (health, backup, metrics) joins here by a line.
func usesOf(db *holdfast.DB) []namedCall {
	return []namedCall{
		{"Stats, Engine and Path", func() error { db.Stats(); holdfast.Engine(); db.Path(); return nil }},
		{"Ping", db.Ping},
		{"Locks", func() error { _, err := db.Locks(context.Background()); return err }},
		{"Health", func() error { _, err := db.Health(context.Background()); return err }},
		{"Verify", func() error { _, err := db.Verify(context.Background(), holdfast.VerifyFull); return err }},
		{"Verify in place", func() error {
			_, err := db.Verify(context.Background(), holdfast.VerifyQuick, holdfast.VerifyInPlace())
			return err
		}},
		{"AskHealth", func() error { _, _, err := holdfast.AskHealth(context.Background(), db.Path()); return err }},
		{"Rows", func() error {
			_, err := holdfast.Collect[int](db.Rows(context.Background(), "SELECT count(*) FROM t"))
			return err
		}},
		{"Conn", func() error { return closed(db.Conn(context.Background())) }},
		{"Connect", func() error { return closed(db.Connector().Connect(context.Background())) }},
		{"a query", func() error { var n int; return db.QueryRow("SELECT count(*) FROM t").Scan(&n) }},
		{"View", func() error { return db.View(context.Background(), func(*sql.Tx) error { return nil }) }},
		{"a pinned connection", func() error { return pinnedConn(db) }},
		{"Backup", func() error { return backUp(db) }},
	}
}

// looksAt are calls that are meant for processes without a connection; in one
// that has the database open they must leave the files alone.
func looksAt(t *testing.T, path string) []namedCall {
	watcher, err := locks.NewWatcher(path)
	if err != nil {
		t.Fatal(err)
	}
	return []namedCall{
		{"locks.Look", func() error { _, err := locks.Look(context.Background(), path); return err }},
		{"locks.Watcher", func() error { _, err := watcher.Look(context.Background()); return err }},
		{"doctor.Examine", func() error {
			if _, err := doctor.Examine(context.Background(), path, doctor.Options{}); !errors.Is(err, doctor.ErrOpenHere) {
				return fmt.Errorf("examined a database that is open here: %v", err)
			}
			return nil
		}},
	}
}

// opensOf are calls that lead to the files of the database by all their names.
func opensOf(t *testing.T, db *holdfast.DB, path string) []namedCall {
	wal, shm := path+"-wal", path+"-shm"
	link, shmLink, shmName := path+".link", path+".link-to-shm", path+".name-of-shm"
	if err := errors.Join(os.Symlink(path, link), os.Symlink(shm, shmLink), os.Link(shm, shmName)); err != nil {
		t.Fatal(err)
	}
	open := func(path string, opts ...holdfast.Option) func() error {
		return func() error { return reopen(path, opts...) }
	}
	attach := func(name string) func() error {
		return func() error { return attachTo(db, name) }
	}
	config := func(path string) func() error {
		return func() error {
			_, _, err := holdfast.LoadConfig(holdfast.ConfigSource{Path: path})
			return err
		}
	}
	return []namedCall{
		{"a second Open and its Close", open(path)},
		{"an Open through a link", open(link)},
		{"an Open with other settings", fails(open(path, holdfast.WithSynchronous("NORMAL")))},
		{"an Open with wrong settings", fails(open(path, holdfast.WithSynchronous("SOMETIMES")))},
		{"an Open of the log", fails(open(wal))},
		{"an Open of the shared memory", fails(open(shm))},
		{"an Open of a link to the shared memory", fails(open(shmLink))},
		{"an Open of another name of the shared memory", fails(open(shmName))},
		{"ATTACH of the log", fails(attach(wal))},
		{"ATTACH of the shared memory", fails(attach(shm))},
		{"ATTACH of the shared memory by a URI", fails(attach("file:" + shm + "?mode=ro"))},
		{"a configuration that is the database", fails(config(path))},
		{"a configuration that is the log", fails(config(wal))},
		{"a configuration that is the shared memory", fails(config(shm))},
		{"a configuration that is another name of the shared memory", fails(config(shmName))},
	}
}

func closed(c io.Closer, err error) error {
	if err != nil {
		return err
	}
	return c.Close()
}

func reopen(path string, opts ...holdfast.Option) error {
	db, err := holdfast.Open(context.Background(), path, opts...)
	if err != nil {
		return err
	}
	var n int
	err = db.QueryRow("SELECT count(*) FROM t").Scan(&n)
	return errors.Join(err, db.Close())
}

func attachTo(db *holdfast.DB, name string) error {
	c, err := db.Conn(context.Background())
	if err != nil {
		return err
	}
	_, err = c.ExecContext(context.Background(), "ATTACH ? AS other", name)
	if err == nil {
		_, err = c.ExecContext(context.Background(), "DETACH other")
	}
	return errors.Join(err, c.Close())
}

// pinnedConn opens and closes a SQLite connection of its own.
func pinnedConn(db *holdfast.DB) error {
	c, err := db.Conn(context.Background())
	if err != nil {
		return err
	}
	_, err = c.ExecContext(context.Background(), "PRAGMA cache_size = 100")
	if err == nil {
		_, err = c.ExecContext(context.Background(), "PRAGMA cache_size = 200")
	}
	return errors.Join(err, c.Close())
}

func fails(call func() error) func() error {
	return func() error {
		if call() == nil {
			return errors.New("it succeeded")
		}
		return nil
	}
}

// TestOpenRuleIsNeeded is the control of the test above: it shows that the rule
// describes this system, and that the other process sees a lock go.
func TestOpenRuleIsNeeded(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("here locks belong to the handle")
	}
	path := filepath.Join(t.TempDir(), "scratch.db")
	c, err := sqlite.Open(path, sqlite.OpenReadWrite|sqlite.OpenCreate)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() // it keeps the -shm there
	if err := c.Exec("PRAGMA journal_mode=WAL; CREATE TABLE t(a)"); err != nil {
		t.Fatal(err)
	}
	holder, other := startOutsider(t), startOutsider(t)
	if sqlite.OFDLocks() { // SQLite has none that could get lost
		holder.wants("lock", path, "done")
	} else {
		holder.wants("hold", path, "SQLITE_OK")
	}
	other.wants("probe", path, lockIsHeld)
	held := tableOf(t, holder.pid, path)
	holder.wants("touch", path+"-shm", "done")
	other.wants("probe", path, lockIsFree)
	if lost := held.without(tableOf(t, holder.pid, path)); runtime.GOOS == "linux" && !slices.ContainsFunc(lost, isWriteLock) {
		t.Errorf("the table of locks does not show the loss: %q of %q", lost, held)
	}
}

// missing returns the rows that the table has no more. The kernel hands it out a
// page at a time and can leave out a row while others come and go, so what is
// missing has to be missing in several readings in a row.
func (l lockTable) missing(t *testing.T, pid int, path string) (lost lockTable) {
	t.Helper()
	for range 10 {
		if lost = l.without(tableOf(t, pid, path)); len(lost) == 0 {
			return nil
		}
	}
	return lost
}

// without returns the rows that another table lacks.
func (l lockTable) without(other lockTable) (lost lockTable) {
	rest := slices.Clone(other)
	for _, row := range l {
		if i := slices.Index(rest, row); i >= 0 {
			rest = slices.Delete(rest, i, i+1)
			continue
		}
		lost = append(lost, row)
	}
	return lost
}

// isWriteLock tells whether a row is WAL_WRITE, byte 120 of the shared memory.
func isWriteLock(row string) bool {
	return strings.Contains(row, "WRITE") && strings.HasSuffix(row, " 120 120")
}

// backUp makes a backup and removes it: a thousand would fill the disk.
func backUp(db *holdfast.DB) error {
	info, err := db.Backup(context.Background(), filepath.Dir(db.Path()))
	if err != nil {
		return err
	}
	return errors.Join(os.Remove(info.Destination), os.Remove(info.Destination+".manifest.json"))
}
