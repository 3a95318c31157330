//go:build linux || darwin

package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
)

// console is a shell on a terminal of its own.
type console struct {
	t    *testing.T
	tty  *os.File
	cmd  *exec.Cmd
	seen bytes.Buffer // what was printed and not yet waited for
}

func openConsole(t *testing.T, args ...string) *console {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, "holdfast", append([]string{"shell"}, args...)...)
	cmd.Env = append(os.Environ(), "TERM=xterm", "XDG_STATE_HOME="+t.TempDir())
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 40, Cols: 100})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tty.Close() })
	return &console{t: t, tty: tty, cmd: cmd}
}

func (c *console) send(text string) {
	c.t.Helper()
	if _, err := c.tty.WriteString(text); err != nil {
		c.t.Fatal(err)
	}
}

// expect reads until the terminal shows text.
func (c *console) expect(text string) {
	c.t.Helper()
	buffer := make([]byte, 1<<16)
	for {
		if i := strings.Index(c.seen.String(), text); i >= 0 {
			c.seen.Next(i + len(text))
			return
		}
		n, err := c.tty.Read(buffer)
		c.seen.Write(buffer[:n])
		if err != nil {
			shown := c.seen.String()
			c.t.Fatalf("%v while waiting for %q; the terminal shows %d bytes, the last of them %q", err, text, len(shown), shown[max(0, len(shown)-200):])
		}
	}
}

func TestShellOnATerminal(t *testing.T) {
	t.Parallel()
	history := filepath.Join(t.TempDir(), "state", "history")
	c := openConsole(t, filepath.Join(t.TempDir(), "app.db"), "--history", history)
	c.expect("holdfast> ")

	// A statement of two lines.
	c.send("CREATE TABLE tab\r")
	c.expect("...> ")
	c.send("(name);\r")
	c.expect("holdfast> ")

	// A mistake is told and forgotten.
	c.send("SELECT nonsense;\r")
	c.expect("no such column: nonsense")
	c.expect("holdfast> ")

	// The prompt shows an open transaction, also after a failed statement.
	c.send("BEGIN;\r")
	c.expect("holdfast>*")
	c.send("INSERT INTO tab VALUES ('kept');\r")
	c.expect("holdfast>*")
	c.send("INSERT INTO missing VALUES (1);\r")
	c.expect("no such table")
	c.expect("holdfast>*")
	c.send("COMMIT;\r")
	c.expect("holdfast> ")

	// Ctrl-C gives up a line, and ends a statement, but never the shell.
	c.send("SELECT 'given up'")
	c.expect("given up'")
	c.send("\x03")
	c.expect("holdfast> ")
	c.send(".mode jsonl\r")
	c.expect("holdfast> ")
	c.send(endless + ";\r")
	c.expect(`{"x":1000}`)
	c.send("\x03")
	c.expect("interrupted")
	c.expect("holdfast> ")
	c.send("SELECT name, 6 * 7 AS answer FROM tab;\r")
	c.expect(`{"name":"kept","answer":42}`)
	c.expect("holdfast> ")

	// Tab completes names.
	c.send("SELECT count(*) FROM ta\t")
	c.expect("tab")
	c.send(";\r")
	c.expect(`{"count(*)":1}`)
	c.expect("holdfast> ")
	c.send(".quit\r")
	c.end()

	info, err := os.Stat(history)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the history has mode %o", info.Mode().Perm())
	}
	text, err := os.ReadFile(history)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "CREATE TABLE tab\n(name);\n") || strings.Contains(string(text), "given up") {
		t.Errorf("history: %s", text)
	}
}

// end waits for the shell to leave, with exit code 0.
func (c *console) end() {
	c.t.Helper()
	buffer := make([]byte, 1<<12)
	for { // a terminal whose other side is closed reads as an error
		if _, err := c.tty.Read(buffer); err != nil {
			break
		}
	}
	if err := c.cmd.Wait(); err != nil {
		c.t.Errorf("the shell ended with %v", err)
	}
}

func TestTerminatedShellRollsBack(t *testing.T) {
	t.Parallel()
	db := filepath.Join(t.TempDir(), "app.db")
	c := openConsole(t, db, "--history", "")
	c.expect("holdfast> ")
	c.send("CREATE TABLE t(a);\r")
	c.expect("holdfast> ")
	c.send("BEGIN; INSERT INTO t VALUES (1);\r")
	c.expect("holdfast>*")
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = c.cmd.Wait()
	if code := c.cmd.ProcessState.ExitCode(); code != 130 {
		t.Errorf("exit code %d", code)
	}
	out, err := command(t, "query", db, "SELECT count(*) FROM t", "-o", "csv").CombinedOutput()
	if err != nil || string(out) != "count(*)\n0\n" {
		t.Errorf("%v: %s", err, out)
	}
}

func TestTableFitsTheTerminal(t *testing.T) {
	t.Parallel()
	c := openConsole(t, filepath.Join(t.TempDir(), "app.db"), "--history", "")
	c.expect("holdfast> ")
	c.send("SELECT hex(zeroblob(100)) AS wide, 1 AS narrow;\r")
	c.expect("\u2026")
	c.expect("holdfast> ")
	c.send("\x04")
	c.end()
}
