package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/holdfastdb/holdfast"
)

// strangers is a database of a program that knows nothing of Holdfast.
func strangers(t *testing.T, statements ...string) (path string, c *sql.Conn) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "app.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = db.Conn(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(c.Close(), db.Close()); err != nil {
			t.Error(err)
		}
	})
	for _, s := range statements {
		if _, err := c.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	return path, c
}

// ended runs the command and returns its exit code and what it says.
func ended(t *testing.T, args ...string) (code int, out string) {
	t.Helper()
	cmd := command(t, args...)
	var both bytes.Buffer
	cmd.Stdout, cmd.Stderr = &both, &both
	_ = cmd.Run()
	return cmd.ProcessState.ExitCode(), both.String()
}

// A log whose -shm can't be created is not to be read, which is not to be missing.
func TestHealthOfALogThatMayNotBeRead(t *testing.T) {
	t.Parallel()
	if os.Getuid() == 0 || runtime.GOOS == "windows" {
		t.Skip("this user may create files everywhere")
	}
	path, _ := strangers(t, "PRAGMA journal_mode=WAL", "CREATE TABLE t(a)")
	there := t.TempDir()
	for _, suffix := range []string{"", "-wal"} {
		content, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(there, "app.db"+suffix), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(there, 0o500); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(there, 0o700) })
	for verb, want := range map[string]int{"health": 3, "verify": 77} {
		if code, out := ended(t, verb, filepath.Join(there, "app.db")); code != want || !strings.Contains(out, "a log without its -shm") {
			t.Errorf("%s: exit code %d: %s", verb, code, out)
		}
	}
}

// What keeps readers out is a finding, told soon, and no reason to fail.
func TestHealthOfALockedDatabase(t *testing.T) {
	t.Parallel()
	path, c := strangers(t, "CREATE TABLE t(a)", "BEGIN EXCLUSIVE")
	if code, out := ended(t, "health", path); code != 1 || !strings.HasPrefix(out, "warning  locked | ") {
		t.Errorf("exit code %d: %s", code, out)
	}
	if code, out := ended(t, "verify", path, "--timeout", "300ms"); code != 75 {
		t.Errorf("exit code %d: %s", code, out)
	}
	if _, err := c.ExecContext(t.Context(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	if code, out := ended(t, "health", path); code != 0 {
		t.Errorf("exit code %d: %s", code, out)
	}
}

// What a crash has left is said and left as it is.
func TestHealthAfterACrash(t *testing.T) {
	t.Parallel()
	path, _ := strangers(t, "PRAGMA cache_size=1", "CREATE TABLE t(a)", "INSERT INTO t VALUES (1)", "BEGIN",
		"WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM r WHERE i<2000) INSERT INTO t SELECT hex(zeroblob(500)) FROM r")
	crashed := filepath.Join(t.TempDir(), "crashed.db")
	for _, suffix := range []string{"", "-journal"} {
		b, err := os.ReadFile(path + suffix)
		if err == nil {
			err = os.WriteFile(crashed+suffix, b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if code, out := ended(t, "health", crashed); code != 1 || !strings.HasPrefix(out, "warning  crash-left | ") {
		t.Errorf("exit code %d: %s", code, out)
	}
	if info, err := os.Stat(crashed + "-journal"); err != nil || info.Size() == 0 {
		t.Error("the journal was played back:", err)
	}
}

// So is a log that a crash has left: what it holds is seen, and it stays as it is.
func TestHealthOfALogThatWasLeft(t *testing.T) {
	t.Parallel()
	path, _ := strangers(t, "PRAGMA journal_mode=WAL", "CREATE TABLE t(a)", "INSERT INTO t VALUES (1)")
	left := filepath.Join(t.TempDir(), "left.db")
	var was []byte
	for _, suffix := range []string{"", "-wal"} {
		b, err := os.ReadFile(path + suffix)
		if err == nil {
			err = os.WriteFile(left+suffix, b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		was = b
	}
	if code, out := ended(t, "health", left, "--full", "--json"); code != 0 || !strings.Contains(out, `"page_count":2`) || !strings.Contains(out, `"integrity_check":"ok"`) {
		t.Errorf("exit code %d: %s", code, out)
	}
	if b, err := os.ReadFile(left + "-wal"); err != nil || !bytes.Equal(b, was) {
		t.Error("the log was changed:", err)
	}
}

// Who comes while a database is read without locks is noticed, and it is read once
// more, with locks.
func TestALookWithoutLocksIsRepeated(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	if code, out := ended(t, "exec", path, "CREATE TABLE t(a)"); code != 0 {
		t.Fatal(out)
	}
	a := newApp(os.Stdin, os.Stdout, os.Stderr)
	p, err := a.openPatient(t.Context(), path, true)
	if err != nil || !p.alone {
		t.Fatal(err)
	}
	defer p.close()
	var pages []int64
	err = p.examine(t.Context(), func(db *holdfast.DB) error {
		h, err := db.Health(context.Background())
		pages = append(pages, h.PageCount)
		if len(pages) == 1 {
			if code, out := ended(t, "exec", path, "CREATE TABLE u(a)"); code != 0 {
				t.Error(out)
			}
		}
		return err
	})
	if err != nil || len(pages) != 2 || pages[1] <= pages[0] || p.alone {
		t.Errorf("%v, %v", pages, err)
	}
}

func TestBars(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	b := &bars{ascii: true, out: &out}
	for _, stage := range []string{"copy", "check"} {
		for n := range 3 {
			b.show(stage, n*50, 100)
		}
	}
	b.end()
	if s := out.String(); !strings.Contains(s, "copy") || !strings.Contains(s, "check") || strings.Contains(s, "█") {
		t.Errorf("%q", s)
	}
}
