package memfile

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/internal/sidelock"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRemoveLeavesNothing(t *testing.T) {
	f, err := New()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(f.Path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file before a connection made it: %v", err)
	}
	if err := os.WriteFile(f.Path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.Remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Dir(f.Path)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory afterwards: %v", err)
	}
}

// A directory goes if its owner is dead, whatever was in it by then, and stays
// if the owner lives or may not have its lock yet.
func TestSweepTakesWhatIsDead(t *testing.T) {
	if runtime.GOOS != "linux" && runtime.GOOS != "windows" {
		t.Skip("here a process can't tell its own locks from none")
	}
	base := t.TempDir()
	old := time.Now().Add(-time.Hour)
	hold := func(dir string) {
		l, err := sidelock.Open(filepath.Join(dir, name) + sidelock.Suffix)
		if err == nil {
			_, err = l.Acquire(context.Background())
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
	}
	for _, tc := range []struct {
		name  string
		files []string
		held  bool
		made  time.Time
		stays bool
	}{
		{dirs + "dead", []string{name, name + "-wal", name + sidelock.Suffix}, false, old, false},
		{dirs + "empty", nil, false, old, false},
		{dirs + "live", []string{name}, true, old, true},
		{dirs + "young", nil, false, time.Now(), true},
		{"somebody-elses", []string{name}, false, old, true},
	} {
		dir := filepath.Join(base, tc.name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for _, file := range tc.files {
			if err := os.WriteFile(filepath.Join(dir, file), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if tc.held {
			hold(dir)
		}
		if err := os.Chtimes(dir, tc.made, tc.made); err != nil {
			t.Fatal(err)
		}
		sweep(base, time.Now().Add(-time.Minute))
		if _, err := os.Stat(dir); (err == nil) != tc.stays {
			t.Errorf("%s: stays %v, want %v", tc.name, err == nil, tc.stays)
		}
	}
}
