package replicate

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/superfly/ltx"
)

// What was put at a target and is there no longer, because it was emptied, replaced or is
// not mounted, acknowledges nothing: what comes next would lack its beginning.
func TestTargetIsEmptiedMeanwhile(t *testing.T) {
	dir := t.TempDir()
	target, away := filepath.Join(dir, "replica"), filepath.Join(dir, "away")
	db := openDB(t, filepath.Join(dir, "app.db"), to(target, func(c *holdfast.ReplicationConfig) {
		c.Mode, c.UploadTimeout = Durable, 300*time.Millisecond
	}))
	rows(t, 0, 9)(db)
	must(t, os.Rename(target, away))
	_, err := db.Exec("INSERT INTO t VALUES (10)")
	if last := db.Stats().Replication.LastError; !errors.Is(err, holdfast.ErrOutcomeUnknown) || !strings.Contains(last, ErrTargetLost.Error()) {
		t.Errorf("acknowledged by a target that was emptied: %v, %s", err, last)
	}
	must(t, os.RemoveAll(target))
	must(t, os.Rename(away, target))
	acknowledged(t, db, 11)
	s, _ := restored(t, target, At{})
	wantNumbers(t, s, 0, 11)
}

// So it is at S3, where the lists tell that are read twice a minute.
func TestBucketIsEmptiedMeanwhile(t *testing.T) {
	s3Keys(t)
	target := s3Target(t, "app")
	db := openDB(t, filepath.Join(t.TempDir(), "app.db"))
	write(t, db, "CREATE TABLE t(n INTEGER PRIMARY KEY)")
	r, err := Open(t.Context(), db.Path(), Config{Target: target, Interval: time.Hour}, nil)
	must(t, err)
	await(t, r)
	c := r.engine.client
	for level := range levels {
		itr, err := c.ReplicaClient.LTXFiles(t.Context(), level, 0, false)
		must(t, err)
		var all []*ltx.FileInfo
		for itr.Next() {
			info := *itr.Item()
			all = append(all, &info)
		}
		must(t, itr.Close())
		if len(all) > 0 {
			must(t, c.ReplicaClient.DeleteLTXFiles(t.Context(), all))
		}
	}
	if _, err := c.LTXFiles(t.Context(), 0, 0, false); !errors.Is(err, ErrTargetLost) { // as the tidying does
		t.Error(err)
	}
	write(t, db, "INSERT INTO t VALUES (1)")
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := r.Await(ctx); !errors.Is(err, ErrTargetLost) {
		t.Errorf("acknowledged by a bucket that was emptied: %v", err)
	}
	if err := r.Close(ctx); err == nil {
		t.Error("Close says that all is there")
	}
}
