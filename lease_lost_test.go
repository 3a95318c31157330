package holdfast_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/holdfastdb/holdfast"
)

// fencedTarget is a replication that can lose the right to write.
type fencedTarget struct {
	*fakeTarget
	lost atomic.Pointer[error]
}

func (f *fencedTarget) Fenced() error {
	if err := f.lost.Load(); err != nil {
		return *err
	}
	return nil
}

// When another machine may have taken over no write is acknowledged: not one that waits for its upload, not
// one that comes later, which isn't made. Reads go on.
func TestLeaseLost(t *testing.T) {
	for _, mode := range []string{"ASYNC", "DURABLE"} {
		t.Run(mode, func(t *testing.T) {
			target := &fencedTarget{fakeTarget: newTarget(t)}
			target.fences = target
			db := open(t, target.here, func(c *holdfast.Config) { c.Replication.Mode = mode })
			must(t, db, "CREATE TABLE t(n)")
			lost := fmt.Errorf("%w: another one has epoch 2", holdfast.ErrFenced)
			if mode == "DURABLE" {
				target.uploads(func(_ context.Context) error { target.lost.Store(&lost); return nil })
				if _, err := db.Exec("INSERT INTO t VALUES (1)"); !errors.Is(err, holdfast.ErrFenced) {
					t.Errorf("lost during the upload: %v", err)
				}
			} else {
				target.lost.Store(&lost)
			}
			for n := range 2 { // the look after a COMMIT serves for the next, for a millisecond, so one may be made
				if _, err := db.Exec("INSERT INTO t VALUES (?)", 2+n); !errors.Is(err, holdfast.ErrFenced) {
					t.Error(err)
				}
			}
			var n int
			if err := db.QueryRow("SELECT count(*) FROM t WHERE n=3").Scan(&n); err != nil || n != 0 {
				t.Error(n, err)
			}
			if h, err := db.Health(t.Context()); err != nil || !h.File.Fenced || !db.Stats().Fenced {
				t.Errorf("%v, %+v", err, h.File)
			}
		})
	}
}
