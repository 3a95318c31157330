package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/creack/pty"
)

// openTop starts top on a terminal.
func openTop(t *testing.T, args ...string) *console {
	t.Helper()
	cmd := command(t, append([]string{"top", "--interval", "50ms", "--ascii", "--no-color"}, args...)...)
	cmd.Env = append(os.Environ(), "TERM=xterm")
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: 80})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tty.Close() })
	return &console{t: t, tty: tty, cmd: cmd}
}

// ends reads to the end and checks the exit code.
func (c *console) ends(code int) {
	c.t.Helper()
	_, _ = io.Copy(io.Discard, c.tty)
	_ = c.cmd.Wait()
	if got := c.cmd.ProcessState.ExitCode(); got != code {
		c.t.Errorf("exit code %d, want %d", got, code)
	}
}

func TestTopOnATerminal(t *testing.T) {
	t.Parallel()
	path := checkedFile(t)
	writer := startStranger(t, path)
	writer.run("1", "PRAGMA journal_mode=WAL", "CREATE TABLE t(a)", "BEGIN IMMEDIATE")
	c := openTop(t, path)
	c.expect("\x1b[?1049h") // a screen of its own
	c.expect(fmt.Sprintf(" (pid %d) holds WAL_WRITE", writer.cmd.Process.Pid))
	c.expect("every 50ms")
	c.send("?")
	c.expect("pause, and go on")
	c.send("?")
	c.expect("checkpoint")
	if err := pty.Setsize(c.tty, &pty.Winsize{Rows: 12, Cols: 60}); err != nil {
		t.Fatal(err)
	}
	c.expect("holds WAL_WRITE")
	writer.run("1", "COMMIT")
	c.expect("nobody")
	c.send("q")
	c.expect("\x1b[?1049l") // the terminal is as before
	c.ends(0)
}

// A daemon's database by its URL.
func TestTopOfADaemonOnATerminal(t *testing.T) {
	t.Parallel()
	url, stop := daemonOf(t, filepath.Join(t.TempDir(), "app.db"))
	c := openTop(t, url)
	c.expect("app.db")
	c.expect("every 50ms")
	if err := stop(); err != nil {
		t.Error(err)
	}
	c.expect("the last look failed")
	c.send("q")
	c.ends(0)

	c = openTop(t, url)
	c.expect("ask the daemon")
	c.ends(69)
}

// TestTopEnds: what ends it, and what is said where there is nothing to watch.
func TestTopEnds(t *testing.T) {
	t.Parallel()
	path := checkedFile(t)
	c := openTop(t, path)
	c.expect("does not exist")
	c.ends(66)

	startStranger(t, path).run("1", "CREATE TABLE t(a)")
	c = openTop(t, path)
	c.expect("every 50ms")
	c.send("\x03")
	c.ends(0)

	c = openTop(t, path)
	c.expect("every 50ms")
	if err := c.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	c.expect("interrupted")
	c.ends(130)

	c = openTop(t, path, "--timeout", "300ms")
	c.expect("\x1b[?1049l")
	c.ends(75)
}
