package dbfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

func TestCreatePrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	created, err := CreatePrivate(path, 0)
	if !created || err != nil {
		t.Fatalf("new file: %v, %v", created, err)
	}
	st, err := os.Stat(path)
	if err != nil || st.Size() != 0 || runtime.GOOS != "windows" && st.Mode() != 0o600 {
		t.Errorf("new file: %v, %v", st.Mode(), err)
	}
	if err := os.WriteFile(path, []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	created, err = CreatePrivate(path, 0)
	if created || err != nil {
		t.Errorf("existing file: %v, %v", created, err)
	}
	if data, err := os.ReadFile(path); string(data) != "data" {
		t.Errorf("existing file is now %q, %v", data, err)
	}
	created, err = CreatePrivate(filepath.Join(t.TempDir(), "none", "app.db"), 0)
	if created || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing directory: %v, %v", created, err)
	}
}

func TestCreatePrivateTakesTheMode(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no permission bits")
	}
	path := filepath.Join(t.TempDir(), "app.db")
	if _, err := CreatePrivate(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode()&^0o640 != 0 || st.Mode()&0o600 != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
}

func TestCreationHasOneWinner(t *testing.T) {
	for name, create := range map[string]func(string, fs.FileMode) error{
		"this system's way": createExclusive,
		"by opening":        createByOpening, // what a Linux sandbox may leave over
	} {
		path := filepath.Join(t.TempDir(), "app.db")
		var winners atomic.Int32
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() {
				switch err := create(path, 0o600); {
				case err == nil:
					winners.Add(1)
				case !errors.Is(err, fs.ErrExist):
					t.Errorf("%s: %v", name, err)
				}
			})
		}
		all.Wait()
		if winners.Load() != 1 {
			t.Errorf("%s: %d callers created the file", name, winners.Load())
		}
	}
}

func TestSyncDir(t *testing.T) {
	dir := t.TempDir()
	if err := SyncDir(dir); err != nil {
		t.Error(err)
	}
	if err := SyncDir(filepath.Join(dir, "none")); err == nil && runtime.GOOS != "windows" {
		t.Error("a missing directory was synced")
	}
}
