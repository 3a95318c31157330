package dbfile

import (
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
)

// SQLite deletes a journal and makes the next while others compare it.
func TestSameFileIsInNobodysWay(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name, sidecar := filepath.Join(dir, "a.db"), filepath.Join(dir, "b.db-journal")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	id, _, err := Identify(name)
	if err != nil {
		t.Fatal(err)
	}
	var stop atomic.Bool
	begun, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for n := 0; !stop.Load(); n++ {
			if SameFile(name, id, sidecar) {
				t.Error("another file is taken for the same")
			}
			if n == 0 {
				close(begun)
			}
		}
	}()
	<-begun
	for range 300 {
		if err := os.WriteFile(sidecar, []byte("journal"), 0o600); err != nil {
			t.Error(err)
			break
		}
		if err := os.Remove(sidecar); err != nil {
			t.Error(err)
			break
		}
	}
	stop.Store(true)
	<-done
	if !SameFile(name, id, name) {
		t.Error("a file is not the same as itself")
	}
}
