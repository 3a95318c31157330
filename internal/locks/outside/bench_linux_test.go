package outside_test

import (
	"path/filepath"
	"testing"

	"github.com/holdfastdb/holdfast/internal/locks/outside"
)

func BenchmarkLook(b *testing.B) {
	path := filepath.Join(b.TempDir(), "app.db")
	h := start(b, enginePosix, path)
	h.run("1", "PRAGMA journal_mode=WAL")
	h.run("1", "CREATE TABLE t(a)")
	h.run("1", "BEGIN IMMEDIATE")
	w := outside.NewWatcher(path)
	for b.Loop() {
		if _, err := w.Look(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
