package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"
)

// python runs the statements that it is given, a connection each by its name.
const python = `import sqlite3, sys
open_ = {}
for line in sys.stdin:
    name, _, text = line.rstrip("\n").partition(" ")
    if name not in open_:
        open_[name] = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=600)
    open_[name].execute(text).fetchall()
    print("ok", flush=True)
`

// stranger is a process that knows nothing of Holdfast.
type stranger struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.Writer
	out *bufio.Reader
}

func startStranger(t *testing.T, path string) *stranger {
	t.Helper()
	// By the path that it has itself: a wrapper in between has another pid.
	exe, err := exec.Command("python3", "-c", "import sqlite3, sys; print(sys.executable)").Output()
	if err != nil {
		t.Skip("no Python with sqlite3 here")
	}
	s := &stranger{t: t, cmd: exec.Command(strings.TrimSpace(string(exe)), "-c", python, path)}
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.out = bufio.NewReader(out)
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
	})
	return s
}

func (s *stranger) send(connection, text string) {
	s.t.Helper()
	if _, err := fmt.Fprintln(s.in, connection, text); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stranger) run(connection string, statements ...string) {
	s.t.Helper()
	for _, text := range statements {
		s.send(connection, text)
		if answer, err := s.out.ReadString('\n'); err != nil || answer != "ok\n" {
			s.t.Fatalf("%s: %q, %v", text, answer, err)
		}
	}
}

// checkedFile is the path of a database that is looked at when all who have it
// open are gone.
func checkedFile(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "app.db")
	t.Cleanup(func() {
		out, err := exec.Command("holdfast", "query", path, "PRAGMA integrity_check", "-o", "csv").CombinedOutput()
		if err != nil || string(out) != "integrity_check\nok\n" {
			t.Errorf("integrity_check: %s, %v", out, err)
		}
	})
	return path
}

// locksOf runs locks --json until it sees what the strangers are about to do.
func locksOf(t *testing.T, path string, done func(locksAnswer) bool) locksAnswer {
	t.Helper()
	var answer locksAnswer
	for range 500 {
		out, err := command(t, "locks", path, "--json", "--over", "10ms").Output()
		if err != nil {
			t.Fatal(err)
		}
		answer = locksAnswer{}
		if err := json.Unmarshal(out, &answer); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if done(answer) {
			return answer
		}
	}
	t.Fatalf("never seen: %+v", answer)
	return answer
}

// holding tells whether a process has a lock, -1 standing for no slot.
func holding(s *stranger, lock string, slot int, frame uint32) func(locksAnswer) bool {
	return func(a locksAnswer) bool {
		return slices.ContainsFunc(a.Holders, func(h lockDetails) bool {
			return h.PID == s.cmd.Process.Pid && h.Lock == lock && h.Slot == slot && h.SnapshotFrame == frame &&
				strings.HasPrefix(h.Program, "python") && h.HeldAtLeast > 0
		})
	}
}

func TestLocksNamesHolders(t *testing.T) {
	t.Parallel()
	path := checkedFile(t)
	reader, writer := startStranger(t, path), startStranger(t, path)

	// Rollback mode: the locks are on the file.
	writer.run("1", "CREATE TABLE t(a)", "INSERT INTO t VALUES (1)")
	reader.run("1", "BEGIN", "SELECT * FROM t")
	locksOf(t, path, holding(reader, "SHARED", -1, 0))
	writer.run("1", "BEGIN IMMEDIATE", "INSERT INTO t VALUES (2)")
	locksOf(t, path, holding(writer, "RESERVED", -1, 0))
	writer.send("1", "COMMIT")
	a := locksOf(t, path, holding(writer, "PENDING", -1, 0))
	if a.JournalMode != "rollback" || len(a.Waiters) != 1 || !slices.Equal(a.Waiters[0].Behind, []int{reader.cmd.Process.Pid}) {
		t.Errorf("%+v", a)
	}
	reader.run("1", "COMMIT")
	if answer, err := writer.out.ReadString('\n'); err != nil || answer != "ok\n" {
		t.Fatalf("COMMIT: %q, %v", answer, err)
	}
	writer.run("1", "BEGIN EXCLUSIVE")
	locksOf(t, path, holding(writer, "EXCLUSIVE", -1, 0))
	writer.run("1", "COMMIT")

	// WAL mode: on the index of the log.
	writer.run("1", "PRAGMA journal_mode=WAL", "INSERT INTO t VALUES (3)")
	first := locksOf(t, path, func(a locksAnswer) bool { return a.WAL != nil }).WAL.Frames
	reader.run("1", "BEGIN", "SELECT * FROM t")
	writer.run("1", "INSERT INTO t VALUES (4)", "BEGIN IMMEDIATE")
	locksOf(t, path, holding(reader, "WAL_READ", 1, first))
	locksOf(t, path, holding(writer, "WAL_WRITE", -1, 0))
	writer.run("1", "COMMIT")
	writer.send("1", "PRAGMA wal_checkpoint(RESTART)") // waits for the reader
	a = locksOf(t, path, func(a locksAnswer) bool { return len(a.Waiters) > 0 })
	if !holding(writer, "WAL_CKPT", -1, 0)(a) || !holding(writer, "WAL_WRITE", -1, 0)(a) || a.Waiters[0].PID != writer.cmd.Process.Pid {
		t.Errorf("%+v", a)
	}
}

func TestLocksWatchesAStoppedWriter(t *testing.T) {
	t.Parallel()
	path := checkedFile(t)
	writer := startStranger(t, path)
	writer.run("1", "PRAGMA journal_mode=WAL", "CREATE TABLE t(a)", "BEGIN IMMEDIATE")
	if err := writer.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	cmd := command(t, "locks", path, "--watch", "--json", "--interval", "10ms")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for decoder := json.NewDecoder(out); ; {
		var a locksAnswer
		if err := decoder.Decode(&a); err != nil {
			t.Fatalf("%v: %s", err, &errs)
		}
		if len(a.Holders) > 0 && a.Holders[0].State == "stopped" && a.Holders[0].HeldAtLeast > 0.02 {
			if h := a.Holders[0]; h.PID != writer.cmd.Process.Pid || h.Lock != "WAL_WRITE" || !strings.Contains(h.Text, "kill -CONT") {
				t.Errorf("%+v", h)
			}
			break
		}
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, out)
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 130 {
		t.Errorf("exit code %d: %s", code, &errs)
	}
}

func TestLocksOnATerminal(t *testing.T) {
	t.Parallel()
	path := checkedFile(t)
	writer := startStranger(t, path)
	writer.run("1", "CREATE TABLE t(a)", "BEGIN IMMEDIATE")
	cmd := command(t, "locks", path, "--watch", "--interval", "10ms")
	cmd.Env = append(os.Environ(), "TERM=xterm")
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: 80})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tty.Close() })
	c := &console{t: t, tty: tty, cmd: cmd}
	c.expect("\x1b[Happ.db: ")
	c.expect(fmt.Sprintf(" (pid %d) holds RESERVED", writer.cmd.Process.Pid))
	c.expect(" for at least ")
	c.expect("\x1b[K\r\n\u250c") // the table begins a line
	c.expect("\x1b[H")
	writer.run("1", "COMMIT")
	c.expect("nobody ")
	c.expect("\x1b[J") // nothing is left of the longer picture
	c.send("\x03")
	_, _ = io.Copy(io.Discard, tty)
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 130 {
		t.Errorf("exit code %d", code)
	}
}
