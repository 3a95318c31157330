package replicate

import (
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/holdfastdb/holdfast"
	"github.com/superfly/ltx"
)

// A bit that was changed, or an end that was cut off, in a file that a restore reads is
// an error, and never another database.
func TestDamagedReplica(t *testing.T) {
	t.Parallel()
	tries := 500
	if testing.Short() {
		tries = 100
	}
	dir := t.TempDir()
	path, target := filepath.Join(dir, "app.db"), filepath.Join(dir, "replica")
	must(t, ran(t, path, target, func(db *holdfast.DB) {
		write(t, db, "CREATE TABLE t(n INTEGER PRIMARY KEY, pad)")
		write(t, db, "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM r WHERE i<300) INSERT INTO t SELECT i, randomblob(500) FROM r")
	}))
	must(t, ran(t, path, target, func(db *holdfast.DB) { write(t, db, "UPDATE t SET pad = 'x' WHERE n % 2") }))
	unpacked := func() (sum [32]byte, err error) {
		h := sha256.New()
		err = Source(target, At{}).Unpack(t.Context(), func(holdfast.BackupInfo) (io.Writer, error) { return h, nil })
		return [32]byte(h.Sum(nil)), err
	}
	want, err := unpacked()
	must(t, err)
	files := filesRead(t, target, func() bool { sum, err := unpacked(); return err == nil && sum == want })
	found := 0
	for range tries {
		name := files[rand.IntN(len(files))]
		whole, err := os.ReadFile(name)
		must(t, err)
		damaged := append([]byte(nil), whole...)
		at := rand.IntN(len(whole))
		if rand.IntN(4) == 0 {
			damaged = damaged[:at]
		} else {
			damaged[at] ^= 1 << rand.IntN(8)
		}
		must(t, os.WriteFile(name, damaged, 0o600))
		got, err := unpacked()
		switch {
		case err != nil && !errors.Is(err, holdfast.ErrCorrupt):
			t.Fatalf("%s, byte %d: %v", name, at, err)
		case err != nil:
			found++
		case got != want:
			t.Fatalf("byte %d of %s: another database was restored", at, name)
		}
		must(t, os.WriteFile(name, whole, 0o600))
	}
	if found < tries*9/10 { // the others are in bytes that carry nothing
		t.Errorf("only %d of %d were found", found, tries)
	}
	t.Logf("%d of %d were found in %d files", found, tries, len(files))
}

// filesRead lists the files of a replica that a restore reads whole: how many of all
// there are depends on which were merged before the replication ended. Their headers are
// left alone: they are read of every file, to know its time.
func filesRead(t *testing.T, target string, restores func() bool) (needed []string) {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(target, "ltx", "*", "*.ltx"))
	must(t, err)
	for _, name := range all {
		whole, err := os.ReadFile(name)
		must(t, err)
		damaged := make([]byte, len(whole))
		copy(damaged, whole[:min(ltx.HeaderSize, len(whole))])
		must(t, os.WriteFile(name, damaged, 0o600))
		if !restores() {
			needed = append(needed, name)
		}
		must(t, os.WriteFile(name, whole, 0o600))
	}
	if len(needed) == 0 {
		t.Fatalf("a restore reads none of %d files", len(all))
	}
	return needed
}
