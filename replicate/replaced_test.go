package replicate

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
)

// A file that is put in the place of the database while it is replicated, by hand and not by
// a restore, is not shipped as what follows: Litestream has the one before open, and reads the log of the new one.
func TestFileIsReplacedMeanwhile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, target := filepath.Join(dir, "app.db"), filepath.Join(dir, "replica")
	filled := func(path, values string) *holdfast.DB {
		db, err := holdfast.Open(t.Context(), path)
		must(t, err)
		write(t, db, "CREATE TABLE t(n INTEGER PRIMARY KEY, v)")
		write(t, db, "WITH RECURSIVE r(i) AS (SELECT 0 UNION ALL SELECT i+1 FROM r WHERE i<999) INSERT INTO t SELECT i, "+values+" FROM r")
		return db
	}
	db := filled(path, "'before, and long enough to fill some pages'")
	r, err := Open(t.Context(), path, Config{Target: target, Interval: time.Hour}, nil)
	must(t, err)
	await(t, r)
	must(t, db.Close())
	before, err := List(t.Context(), target, false)
	must(t, err)

	must(t, filled(filepath.Join(dir, "other.db"), "'after, and long enough to fill some pages'").Close())
	must(t, os.Rename(filepath.Join(dir, "other.db"), path))
	for _, log := range []string{"-wal", "-shm"} {
		must(t, os.Remove(path+log))
	}
	db, err = holdfast.Open(t.Context(), path)
	must(t, err)
	write(t, db, "INSERT INTO t VALUES (1000, 'after')")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := r.Await(ctx); !errors.Is(err, holdfast.ErrRefused) {
		t.Fatalf("acknowledged: %v", err)
	}
	<-r.Ended()
	if err := r.Close(t.Context()); !errors.Is(err, holdfast.ErrRefused) {
		t.Error(err)
	}
	s, _ := restored(t, target, At{})
	if n := numbers(t, s, "SELECT count(*) FROM t WHERE v LIKE 'before%'"); n[0] != 1000 {
		t.Errorf("%d rows of before", n[0])
	}

	// Begun again, it ships all of the new one.
	r, err = Open(t.Context(), path, Config{Target: target, Interval: time.Hour}, nil)
	must(t, err)
	await(t, r)
	must(t, db.Close())
	must(t, r.Close(t.Context()))
	s, _ = restored(t, target, At{})
	if n := numbers(t, s, "SELECT count(*) FROM t WHERE v LIKE 'after%'"); n[0] != 1001 {
		t.Errorf("%d rows of after", n[0])
	}
	s, _ = restored(t, target, At{Transaction: before.Latest.Transaction})
	if n := numbers(t, s, "SELECT count(*) FROM t WHERE v LIKE 'before%'"); n[0] != 1000 {
		t.Errorf("%d rows of before", n[0])
	}
}
