package control_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/holdfastdb/holdfast/internal/control"
	"github.com/holdfastdb/holdfast/internal/sidelock"
)

// A path that no socket address has room for.
func TestLongPath(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(filepath.Dir(database(t)), strings.Repeat("d", 120))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "app.db")
	end := start(t, config(path))
	if !exists(control.Name(path, 0)) {
		t.Error("the socket is elsewhere")
	}
	end()
	if exists(control.Name(path, 0)) {
		t.Error("the socket is left after Close")
	}
}

// The umask has no say: the socket is nobody else's, and its owner's.
func TestModeWithoutUmask(t *testing.T) { // not parallel: the umask is the process's
	defer syscall.Umask(syscall.Umask(0))
	path := database(t)
	start(t, config(path))
	if info, err := os.Lstat(control.Name(path, 0)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

// What root makes belongs to the database's owner, who could not connect else.
func TestOwner(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root makes files for others")
	}
	path := database(t)
	if err := os.Chown(path, 1234, 5678); err != nil {
		t.Fatal(err)
	}
	start(t, config(path))
	await(t, func() bool { // it answers a moment before it is given away
		info, err := os.Lstat(control.Name(path, 0))
		st, ok := info.Sys().(*syscall.Stat_t)
		return err == nil && ok && st.Uid == 1234 && st.Gid == 5678 && info.Mode().Perm() == 0o600
	})
}

const processVariable = "HOLDFAST_TEST_CONTROL"

// TestProcess is what the processes of TestProcessesAndKills run.
func TestProcess(t *testing.T) {
	path := os.Getenv(processVariable)
	if path == "" {
		t.Skip("run by TestProcessesAndKills only")
	}
	lock, err := sidelock.Open(path + sidelock.Suffix)
	if err != nil {
		t.Fatal(err)
	}
	cfg := config(path)
	cfg.Claim = lock.Claim
	s := control.Start(cfg)
	await(t, func() bool { return slices.Contains(pids(t, path), os.Getpid()) })
	fmt.Println("up")
	_, _ = io.Copy(io.Discard, os.Stdin)
	s.Close()
	if err := lock.Close(); err != nil {
		t.Error(err)
	}
}

func pids(t *testing.T, path string) []int {
	t.Helper()
	answers, _ := control.Ask(t.Context(), path, control.RequestStatements)
	var found []int
	for _, a := range answers {
		found = append(found, a.PID)
	}
	slices.Sort(found)
	return found
}

type child struct {
	cmd *exec.Cmd
	in  io.Closer
	out *bufio.Reader
}

func startProcess(t *testing.T, path string) child {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestProcess$")
	cmd.Env = append(os.Environ(), processVariable+"="+path)
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
	return child{cmd, in, bufio.NewReader(out)}
}

func (c child) waitUp(t *testing.T) {
	t.Helper()
	if line, err := c.out.ReadString('\n'); line != "up\n" {
		rest, _ := io.ReadAll(c.out)
		t.Fatalf("%q, %v: %s", line, err, rest)
	}
}

func (c child) kill() {
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
}

// Processes that start at once, and others that are killed at any moment, never
// cost a living one its socket; and what the killed leave is in nobody's way.
func TestProcessesAndKills(t *testing.T) {
	path := database(t)
	var alive []child
	defer func() {
		for _, c := range alive {
			c.kill()
		}
	}()
	for round := range 6 {
		var started []child
		for range control.Places - 1 - len(alive) { // one place for the hasty
			started = append(started, startProcess(t, path))
		}
		hasty := startProcess(t, path) // finds no place, or is killed on its way to one
		hasty.kill()
		for _, c := range started {
			c.waitUp(t)
		}
		alive = append(alive, started...)
		var want []int
		for _, c := range alive {
			want = append(want, c.cmd.Process.Pid)
		}
		slices.Sort(want)
		// On a busy machine an answer may take longer than it is waited for.
		await(t, func() bool { return slices.Equal(pids(t, path), want) })
		for range 3 + round%2 {
			alive[0].kill()
			alive = alive[1:]
		}
	}
	for _, c := range alive {
		c.in.Close()
		if err := c.cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
	alive = nil
	if left := pids(t, path); len(left) != 0 {
		t.Errorf("%v answer after their end", left)
	}
	last := startProcess(t, path)
	last.waitUp(t)
	if exists(control.Name(path, 0)) == false {
		t.Error("the first place is free, and not taken")
	}
	last.in.Close()
	if err := last.cmd.Wait(); err != nil {
		t.Error(err)
	}
}
