package holdfast

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	process "os/exec"
	"path/filepath"
	"testing"

	"github.com/holdfastdb/holdfast/internal/maintain/schedule"
	"github.com/holdfastdb/holdfast/internal/sidelock"
)

const maintainerVariable = "HOLDFAST_TEST_MAINTAINER"

// TestMaintainer is what the processes of TestMaintenanceOfProcesses run: for each
// line it runs a task, which says when it is inside and waits for another line.
func TestMaintainer(t *testing.T) {
	path := os.Getenv(maintainerVariable)
	if path == "" {
		t.Skip("run by TestMaintenanceOfProcesses only")
	}
	lines := bufio.NewScanner(os.Stdin)
	var db *DB
	db = withTasks(t, path, []schedule.Task{{Name: "write", Run: func(ctx context.Context) (string, error) {
		fmt.Println("inside")
		lines.Scan()
		return insert(&db)(ctx)
	}}})
	for fmt.Println("ready"); lines.Scan(); {
		r, err := db.Maintenance().Run(t.Context(), "write")
		fmt.Println(r.Outcome, r.Why, err)
	}
}

// maintainer is such a process.
type maintainer struct {
	*process.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

func startMaintainer(t *testing.T, path string) maintainer {
	t.Helper()
	m := maintainer{Cmd: process.Command(os.Args[0], "-test.run=^TestMaintainer$")}
	m.Env, m.Stderr = append(os.Environ(), maintainerVariable+"="+path), os.Stderr
	out, err := m.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if m.in, err = m.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := m.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if m.ProcessState == nil {
			_ = m.Process.Kill()
			_ = m.Wait()
		}
	})
	m.out = bufio.NewScanner(out)
	m.expect(t, "ready")
	return m
}

func (m maintainer) expect(t *testing.T, want string) {
	t.Helper()
	if m.out.Scan(); m.out.Text() != want {
		t.Fatalf("process %d says %q, want %q", m.Process.Pid, m.out.Text(), want)
	}
}

// next gives it a line, to run a task or to let that end.
func (m maintainer) next(t *testing.T, want string) {
	t.Helper()
	if _, err := fmt.Fprintln(m.in); err != nil {
		t.Fatal(err)
	}
	m.expect(t, want)
}

// Of all processes that have the file one runs a task; the others are told so, and
// one that is killed while it does is in nobody's way.
func TestMaintenanceOfProcesses(t *testing.T) {
	t.Parallel()
	if !sidelock.Supported() {
		t.Skip("no lock file here")
	}
	path := filepath.Join(t.TempDir(), "app.db")
	var db *DB
	db = withTasks(t, path, []schedule.Task{{Name: "write", Run: insert(&db)}})
	mustExec(t, db, "CREATE TABLE t(a)")
	a, b, c := startMaintainer(t, path), startMaintainer(t, path), startMaintainer(t, path)

	const taken = "skipped another process does it <nil>"
	a.next(t, "inside")
	b.next(t, taken)
	c.next(t, taken)
	if r, err := db.Maintenance().Run(t.Context(), "write"); err != nil || r.Outcome != "skipped" || r.Why != "another process does it" {
		t.Errorf("Run: %+v, %v", r, err)
	}
	a.next(t, "done  <nil>")
	if last := db.Maintenance().Next()[0].Last; last.IsZero() {
		t.Error("what another process has done is not known")
	}

	b.next(t, "inside")
	c.next(t, taken)
	if err := b.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = b.Wait() // it was killed
	c.next(t, "inside")
	c.next(t, "done  <nil>")
	if n := rowsOf(t, db); n != 2 {
		t.Errorf("%d rows, and two runs came to their end", n)
	}
	for _, m := range []maintainer{a, c} {
		_ = m.in.Close()
		for m.out.Scan() {
		}
		if err := m.Wait(); err != nil {
			t.Error(err)
		}
	}
}
