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
	done := make(chan int)
	go func() {
		n := 0
		for ; !stop.Load(); n++ {
			if SameFile(name, id, sidecar) {
				t.Error("another file is taken for the same")
			}
		}
		done <- n
	}()
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
	if n := <-done; n == 0 {
		t.Error("nothing was compared")
	}
	if !SameFile(name, id, name) {
		t.Error("a file is not the same as itself")
	}
}
