package holdfast_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
)

const lockHolderVariable = "HOLDFAST_TEST_LOCK_HOLDER"

// TestLockHolder is what a process runs; by itself it does nothing.
func TestLockHolder(t *testing.T) {
	path := os.Getenv(lockHolderVariable)
	if path == "" {
		t.Skip("run by TestErrorNamesTheOtherProcess only")
	}
	db := openAt(t, path)
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	must(t, tx, "DELETE FROM t")
	fmt.Println("\nheld")
	_, _ = io.Copy(io.Discard, os.Stdin)
	if err := tx.Rollback(); err != nil {
		t.Error(err)
	}
}

// python is a program that prints "held" when it has the lock, or is about to
// take it, and ends when its input does.
func python(path string, lines ...string) *exec.Cmd {
	text := append([]string{"import sqlite3, sys", "c = sqlite3.connect(sys.argv[1], isolation_level=None)"}, lines...)
	return exec.Command("python3", "-c", strings.Join(text, "\n"), path)
}

func TestErrorNamesTheOtherProcess(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, lock string
		journal    string
		stop       bool
		holder     func(path string) *exec.Cmd
	}{
		{"a transaction", "WAL_WRITE", "WAL", false, func(path string) *exec.Cmd {
			return python(path, "c.execute('BEGIN IMMEDIATE')", "print('held', flush=True)", "sys.stdin.read()")
		}},
		{"a stopped process", "WAL_WRITE", "WAL", true, func(path string) *exec.Cmd {
			return python(path, "c.execute('BEGIN IMMEDIATE')", "print('held', flush=True)", "sys.stdin.read()")
		}},
		{"an autocommit statement", "WAL_WRITE", "WAL", false, func(path string) *exec.Cmd {
			return python(path, "c.create_function('held', 0, lambda: (print('held', flush=True), sys.stdin.read())[1])",
				"c.execute('INSERT INTO t SELECT 1 UNION ALL SELECT held()')")
		}},
		{"a rollback journal", "EXCLUSIVE", "DELETE", false, func(path string) *exec.Cmd {
			return python(path, "c.execute('BEGIN EXCLUSIVE')", "print('held', flush=True)", "sys.stdin.read()")
		}},
		{"a reserved lock", "RESERVED", "DELETE", false, func(path string) *exec.Cmd {
			return python(path, "c.execute('BEGIN IMMEDIATE')", "print('held', flush=True)", "sys.stdin.read()")
		}},
		{"Holdfast", "WAL_WRITE", "WAL", false, func(path string) *exec.Cmd {
			cmd := exec.Command(os.Args[0], "-test.run=^TestLockHolder$")
			cmd.Env = append(os.Environ(), lockHolderVariable+"="+path)
			return cmd
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "app.db")
			cmd := c.holder(path)
			if cmd.Err != nil {
				t.Skip(cmd.Err)
			}
			var options []holdfast.Option
			if c.journal != "WAL" {
				options = append(options, func(cfg *holdfast.Config) { cfg.Database.EnableWALMode = holdfast.Off })
			}
			db := openAt(t, path, append(options, holdfast.WithBusyTimeout(100*time.Millisecond))...)
			must(t, db, "CREATE TABLE t(a)")
			number(t, db, "SELECT count(*) FROM t") // the readers know it
			release := hold(t, cmd)
			if c.stop {
				if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
					t.Fatal(err)
				}
			}
			writes := map[string]func() error{
				"exec":  func() error { _, err := db.Exec("INSERT INTO t VALUES (1)"); return err },
				"begin": func() error { _, err := db.Begin(); return err },
				"batch": func() error { _, err := db.Batch(ctx(), []holdfast.Statement{{SQL: "DELETE FROM t"}}); return err },
			}
			for name, write := range writes {
				err := write()
				var e *holdfast.Error
				if !errors.Is(err, holdfast.ErrBusy) || !errors.As(err, &e) || e.Holder == nil {
					t.Fatalf("%s: %v", name, err)
				}
				h := e.Holder
				if h.Kind != "another process" || h.PID != cmd.Process.Pid || h.Lock != c.lock || h.Program == "" || h.State == "" {
					t.Errorf("%s: %+v, the holder is %d", name, h, cmd.Process.Pid)
				}
				if !strings.Contains(err.Error(), fmt.Sprint(h.PID)) || c.stop != strings.Contains(err.Error(), "kill -CONT") {
					t.Errorf("%s: %v", name, err)
				}
			}
			waiting := make(chan struct{}, 1)
			for told := false; !told; {
				waiting <- struct{}{}
				go func() { _, _ = db.Exec("DELETE FROM t"); <-waiting }()
				for !told && len(waiting) > 0 {
					r := locksOf(t, db)
					told = len(r.Holders) > 0 && r.Holders[0].PID == cmd.Process.Pid && r.Holders[0].Lock == c.lock
				}
			}
			waiting <- struct{}{} // it has ended
			if c.stop {
				if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
					t.Error(err)
				}
			}
			release()
			must(t, db, "INSERT INTO t VALUES (1)")
		})
	}
}

// hold starts a process and returns when it has the lock; release ends it.
func hold(t *testing.T, cmd *exec.Cmd) (release func()) {
	t.Helper()
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
	ended := false
	release = func() {
		if !ended {
			ended = true
			_ = in.Close() // its cue
			_, _ = io.Copy(io.Discard, out)
			if err := cmd.Wait(); err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(func() {
		if !ended {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if lines.Text() == "held" {
			return release
		}
	}
	t.Fatalf("the holder ended: %v", lines.Err())
	return nil
}
