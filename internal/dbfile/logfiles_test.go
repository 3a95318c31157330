package dbfile

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

func TestLogFilesThatAreTaken(t *testing.T) {
	for _, tc := range []struct {
		name      string
		take      func(wal, shm string) error
		gone      string // "wal", "shm" or ""
		what      string
		logIsLost bool // and the last connection is the one to copy it
	}{
		{"none", func(_, _ string) error { return nil }, "", "", false},
		{"log removed", func(wal, _ string) error { return os.Remove(wal) }, "wal", "was removed or renamed", true},
		{"log replaced", func(wal, _ string) error { return replace(wal) }, "wal", "was replaced by another file", true},
		{"shared memory replaced", func(_, shm string) error { return replace(shm) }, "shm", "was replaced by another file", false},
		{"both removed", func(wal, shm string) error { _ = os.Remove(shm); return os.Remove(wal) }, "shm", "was removed or renamed", false},
	} {
		dir := t.TempDir()
		wal, shm := filepath.Join(dir, "a-wal"), filepath.Join(dir, "a-shm")
		synctest.Test(t, func(t *testing.T) { // whose clock makes each look a new one
			var l LogFiles
			check := func(when, wantGone, wantWhat string) {
				t.Helper()
				if gone, what := l.Look(); gone != wantGone || what != wantWhat {
					t.Errorf("%s: %s: %q %q, want %q %q", tc.name, when, gone, what, wantGone, wantWhat)
				}
			}
			l.Watch(wal, shm)
			l.Opened()
			check("before there are any", "", "")
			for _, name := range []string{wal, shm} {
				if err := os.WriteFile(name, nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			l.Opened()
			check("both are there", "", "")
			if err := tc.take(wal, shm); err != nil {
				t.Fatal(err)
			}
			check("a look that is fresh", "", "")
			time.Sleep(freshLogLook)
			wantGone := ""
			if tc.gone != "" {
				wantGone = filepath.Join(dir, "a-"+tc.gone)
			}
			check("a new look", wantGone, tc.what)
			if l.Closing() {
				t.Errorf("%s: a connection is left, and may still copy the log", tc.name)
			}
			if alone := l.Closing(); alone != tc.logIsLost {
				t.Errorf("%s: the last one has the log alone: %v, want %v", tc.name, alone, tc.logIsLost)
			}
			check("for ever", wantGone, tc.what)
		})
	}
}

// With the last connection SQLite removes both files, and others may make new ones.
func TestLogFilesOfNobody(t *testing.T) {
	dir := t.TempDir()
	wal, shm := filepath.Join(dir, "a-wal"), filepath.Join(dir, "a-shm")
	var l LogFiles
	l.Watch(wal, shm)
	for range 2 {
		for _, name := range []string{wal, shm} {
			if err := os.WriteFile(name, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		l.Opened()
		if gone, what := l.Look(); what != "" {
			t.Errorf("%s %s", gone, what)
		}
		if l.Closing() {
			t.Error("the log was not taken")
		}
		for _, name := range []string{wal, shm} {
			if err := replace(name); err != nil {
				t.Fatal(err)
			}
		}
		if gone, what := l.Look(); what != "" {
			t.Errorf("nobody has them open: %s %s", gone, what)
		}
	}
}

// replace puts another file in the place of name.
func replace(name string) error {
	other := name + "-other"
	if err := os.WriteFile(other, nil, 0o600); err != nil {
		return err
	}
	return os.Rename(other, name)
}
