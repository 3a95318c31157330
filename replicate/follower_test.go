package replicate

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/backup"
)

func unpacked(t testing.TB, src backup.Source) []byte {
	t.Helper()
	var b bytes.Buffer
	must(t, src.Unpack(t.Context(), func(holdfast.BackupInfo) (io.Writer, error) { return &b, nil }))
	return b.Bytes()
}

// What is followed is, at each step, what a restore of everything gives: while the database grows, shrinks, and when
// the single steps were missed.
func TestFollower(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	target := filepath.Join(dir, "replica")
	db := openDB(t, filepath.Join(dir, "app.db"), to(target, func(c *holdfast.ReplicationConfig) { c.Mode = Durable }))
	write(t, db, "CREATE TABLE t(n INTEGER PRIMARY KEY, pad)")
	f := Follow(target, filepath.Join(dir, "copy"))
	defer func() { must(t, f.Close()) }()
	steps := []string{
		"WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM r WHERE i<300) INSERT INTO t SELECT i, randomblob(3000) FROM r",
		"UPDATE t SET pad = randomblob(20) WHERE n % 7 = 0",
		"DELETE FROM t WHERE n > 50",
		"PRAGMA incremental_vacuum",
		"VACUUM",
		"WITH RECURSIVE r(i) AS (SELECT 1000 UNION ALL SELECT i+1 FROM r WHERE i<1900) INSERT INTO t SELECT i, randomblob(500) FROM r",
	}
	for i, text := range steps {
		for n := range 5 {
			write(t, db, "INSERT INTO t VALUES (?, NULL)", -1-i*5-n)
		}
		write(t, db, text)
		update := f.Update
		if i%2 == 1 {
			update = f.Complete
		}
		at, err := update(t.Context())
		must(t, err)
		if l, err := List(t.Context(), target, false); err != nil || at.Transaction != l.Latest.Transaction {
			t.Errorf("%s: at %s of %s, %v", text, at.Transaction, l.Latest.Transaction, err)
		}
		if got, want := unpacked(t, f), unpacked(t, Source(target, At{})); !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes differ from %d", text, len(got), len(want))
		}
	}
	_, err := backup.Restore(t.Context(), f, filepath.Join(dir, "restored.db"), backup.RestoreOptions{})
	must(t, err)
	openDB(t, filepath.Join(dir, "restored.db"))
}

// A byte that the disk has changed in the copy is noticed.
func TestFollowerFileIsDamaged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	target, path := filepath.Join(dir, "replica"), filepath.Join(dir, "copy")
	db := openDB(t, filepath.Join(dir, "app.db"), to(target, func(c *holdfast.ReplicationConfig) { c.Mode = Durable }))
	write(t, db, "CREATE TABLE t(n INTEGER PRIMARY KEY, pad)")
	write(t, db, "INSERT INTO t VALUES (1, randomblob(20000))")
	f := Follow(target, path)
	defer func() { must(t, f.Close()) }()
	ctx := t.Context()
	_, err := f.Update(ctx)
	must(t, err)
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	b := []byte{0}
	_, err = file.ReadAt(b, 5000)
	must(t, err)
	b[0] ^= 1
	_, err = file.WriteAt(b, 5000)
	must(t, err)
	must(t, file.Close())
	err = f.Unpack(ctx, func(holdfast.BackupInfo) (io.Writer, error) { return io.Discard, nil })
	if !errors.Is(err, errDamaged) || !errors.Is(err, holdfast.ErrCorrupt) {
		t.Error(err)
	}
}
