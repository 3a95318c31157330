package locks_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/holdfastdb/holdfast/locks"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What holders of each kind look like is tested in internal/locks/outside, and
// through the command in cmd/holdfast.
func TestLookAtWhatIsNone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := filepath.Join(dir, "text.db")
	if err := os.WriteFile(text, []byte("no database, and one hundred bytes long at least, so that it can't be the beginning of one that is just made"), 0o600); err != nil {
		t.Fatal(err)
	}
	noFile := fs.ErrNotExist
	if runtime.GOOS == "windows" {
		noFile = locks.ErrName // there is no such file name
	}
	for name, want := range map[string]error{
		"":                               locks.ErrName,
		":memory:":                       locks.ErrName,
		"file:x?vfs=unix":                locks.ErrName,
		dir:                              locks.ErrNoFile,
		filepath.Join(dir, "no", "a"):    locks.ErrNoFile,
		filepath.Join(dir, "a.db"):       fs.ErrNotExist,
		filepath.Join(dir, "a.db?b=c"):   noFile,
		text:                             locks.ErrNotDatabase,
		"file:" + filepath.ToSlash(text): locks.ErrNotDatabase,
	} {
		if r, err := locks.Look(t.Context(), name); !errors.Is(err, want) {
			t.Errorf("%q: %+v, %v, want %v", name, r, err, want)
		}
	}
}

func TestEmptyFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "empty.db")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := locks.Look(t.Context(), path)
	if err != nil || r.JournalMode != "rollback" || len(r.Holders) != 0 || r.WAL != nil {
		t.Errorf("%+v, %v", r, err)
	}
}
