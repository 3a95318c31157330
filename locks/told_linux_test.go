package locks_test

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/internal/control"
	"github.com/holdfastdb/holdfast/locks"
)

const shopVariable = "HOLDFAST_TEST_SHOP"

// TestShop is what the process of TestProcessThatTells runs.
func TestShop(t *testing.T) {
	path := os.Getenv(shopVariable)
	if path == "" {
		t.Skip("run by TestProcessThatTells only")
	}
	defer openShop(t, path)()
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// openShop keeps a reader and, on a newer snapshot, the writer, for which one
// more waits; the end of them is returned.
func openShop(t *testing.T, path string) (end func()) {
	t.Helper()
	db, err := holdfast.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	exec := func(sql string) {
		if _, err := db.Exec(sql); err != nil {
			t.Fatal(err)
		}
	}
	exec("CREATE TABLE orders(a)")
	read, err := db.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if err := read.QueryRow("SELECT count(*) FROM orders WHERE a > 17").Scan(&n); err != nil {
		t.Fatal(err)
	}
	exec("INSERT INTO orders VALUES (1)")
	write, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := write.Exec("UPDATE orders SET a = 'secret'"); err != nil {
		t.Fatal(err)
	}
	ctx, giveUp := context.WithCancel(t.Context())
	waited := make(chan struct{})
	go func() {
		defer close(waited)
		_, _ = db.ExecContext(ctx, "DELETE FROM orders WHERE a = 'secret'") // until giveUp
	}()
	return func() {
		giveUp()
		<-waited
		if err := write.Rollback(); err != nil {
			t.Error(err)
		}
		if err := read.Rollback(); err != nil {
			t.Error(err)
		}
		var result string
		if err := db.QueryRow("PRAGMA integrity_check").Scan(&result); err != nil || result != "ok" {
			t.Errorf("integrity_check: %s, %v", result, err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

// lookUntil looks until it sees what a process is about to do.
func lookUntil(t *testing.T, path string, seen func(*locks.Report) bool) *locks.Report {
	t.Helper()
	w, err := locks.NewWatcher(path)
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; {
		r, err := w.Look(t.Context())
		if err == nil && seen(r) {
			return r
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v, %v", r, err)
		}
		<-time.After(time.Millisecond)
	}
}

func holder(r *locks.Report, pid int, lock string, nth int) locks.Holder {
	for _, h := range r.Holders {
		if h.PID == pid && h.Lock == lock {
			if nth--; nth < 0 {
				return h
			}
		}
	}
	return locks.Holder{}
}

// told tells whether a report has all that openShop does.
func told(pid int) func(*locks.Report) bool {
	return func(r *locks.Report) bool {
		return holder(r, pid, "WAL_WRITE", 0).Statement == "UPDATE orders SET a = ?" && len(r.Waiters) == 1 && r.Waiters[0].CallSite != ""
	}
}

func wantShop(t *testing.T, r *locks.Report, pid int) {
	t.Helper()
	for _, want := range []struct {
		got       locks.Holder
		statement string
	}{
		{holder(r, pid, "WAL_WRITE", 0), "UPDATE orders SET a = ?"},
		{holder(r, pid, "WAL_READ", 0), "SELECT count(*) FROM orders WHERE a > ?"},
		{holder(r, pid, "WAL_READ", 1), "UPDATE orders SET a = ?"},
	} {
		h := want.got
		if h.Statement != want.statement || !strings.HasPrefix(h.CallSite, "told_linux_test.go:") || !strings.HasSuffix(h.Text, "; statement "+want.statement) {
			t.Errorf("%+v, want %q", h, want.statement)
		}
	}
	w := r.Waiters[0]
	if w.PID != pid || w.Lock != "WAL_WRITE" || !slices.Equal(w.Behind, []int{pid}) || w.Statement != "DELETE FROM orders WHERE a = ?" ||
		!strings.Contains(w.Text, "call site told_linux_test.go:") || r.At.Before(w.Since) {
		t.Errorf("%+v", w)
	}
	if r.Queued != 1 {
		t.Errorf("%d are queued", r.Queued)
	}
}

func TestProcessThatTells(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "shop.db")
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestShop$")
	cmd.Env = append(os.Environ(), shopVariable+"="+path)
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
	defer cmd.Wait()
	defer in.Close()
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("%q, %v", line, err)
	}
	pid := cmd.Process.Pid
	wantShop(t, lookUntil(t, path, told(pid)), pid)

	// Stopped, it tells nothing; the kernel still does.
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	r := lookUntil(t, path, func(r *locks.Report) bool {
		return holder(r, pid, "WAL_WRITE", 0).State == "stopped" && len(r.Blind) > 0
	})
	if !slices.ContainsFunc(r.Blind, func(s string) bool {
		return strings.HasPrefix(s, control.Name(path, 0)+" gave no answer within 200 ms")
	}) {
		t.Errorf("%q", r.Blind)
	}
	if h := holder(r, pid, "WAL_WRITE", 0); h.Statement != "" || h.CallSite != "" || len(r.Waiters) != 0 {
		t.Errorf("%+v", r)
	}
	if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	lookUntil(t, path, told(pid))
}

// A process that has the database open is no obstacle to its own look.
func TestLookAtOneself(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "shop.db")
	defer openShop(t, path)()
	wantShop(t, lookUntil(t, path, told(os.Getpid())), os.Getpid())
}
