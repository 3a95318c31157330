package standby

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/replicate"
	"github.com/holdfastdb/holdfast/replicate/lease"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// owner has a lease that is long enough for a machine that stands still now and then: nothing here waits
// until one has expired.
func owner(target, mode string) holdfast.Option {
	return func(c *holdfast.Config) {
		c.Replication.Target, c.Replication.Mode, c.Replication.Lease = target, mode, 10*time.Second
		c.Replication.CloseTimeout = 10 * time.Second
	}
}

func openDB(t testing.TB, path string, options ...holdfast.Option) *holdfast.DB {
	t.Helper()
	db, err := holdfast.Open(t.Context(), path, options...)
	must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func integrity(t testing.TB, db *holdfast.DB) {
	t.Helper()
	var ok string
	if err := db.QueryRow("PRAGMA integrity_check").Scan(&ok); ok != "ok" {
		t.Error("integrity_check:", ok, err)
	}
}

func count(t testing.TB, db *holdfast.DB) (n int) {
	t.Helper()
	must(t, db.QueryRow("SELECT count(*) FROM t").Scan(&n))
	return n
}

// A standby that follows takes over when the owner is gone, with everything that was acknowledged; the machine
// that was the owner takes over in turn, and its own file is not taken for the newest.
func TestTakesOver(t *testing.T) {
	for _, cold := range []bool{false, true} {
		t.Run(map[bool]string{false: "following", true: "cold"}[cold], func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			target := filepath.Join(dir, "replica")
			paths := []string{filepath.Join(dir, "a", "app.db"), filepath.Join(dir, "b", "app.db")}
			for _, p := range paths {
				must(t, os.MkdirAll(filepath.Dir(p), 0o700))
			}
			db := openDB(t, paths[0], owner(target, replicate.Durable))
			_, err := db.Exec("CREATE TABLE t(n INTEGER PRIMARY KEY, pad)")
			must(t, err)
			acked := 0
			for turn := range 4 {
				standing := paths[(turn+1)%2]
				followed, taken := make(chan struct{}), make(chan Promotion)
				var seen atomic.Bool
				go func() {
					p, err := Run(t.Context(), Config{Target: target, Path: standing, TTL: 10 * time.Second, Cold: cold, Looked: func(_ lease.State, at replicate.Point) {
						if (cold || at.Transaction != "") && seen.CompareAndSwap(false, true) {
							close(followed)
						}
					}})
					if err != nil {
						t.Error(err)
					}
					taken <- p
				}()
				<-followed
				for range 20 {
					_, err := db.Exec("INSERT INTO t VALUES (?, randomblob(2000))", acked)
					must(t, err)
					acked++
				}
				if turn == 0 { // an orderly end: nobody waits
					integrity(t, db)
					must(t, db.Close())
				} else { // the owner knows nothing of it
					place, err := lease.Open(t.Context(), target, lease.Options{})
					must(t, err)
					_, err = place.Depose(t.Context())
					must(t, err)
					must(t, place.Close())
				}
				p := <-taken
				if p.Own || p.From == 0 || p.Transaction == "" || p.Epoch <= p.From {
					t.Errorf("%+v", p)
				}
				next := openDB(t, standing, owner(target, replicate.Durable))
				if n := count(t, next); n < acked {
					t.Errorf("%d rows, %d were acknowledged", n, acked)
				}
				integrity(t, next)
				if turn > 0 {
					if _, err := db.Exec("INSERT INTO t VALUES (-1, NULL)"); !errors.Is(err, holdfast.ErrFenced) {
						t.Errorf("the owner before: %v", err)
					}
					if err := db.Close(); !errors.Is(err, holdfast.ErrFenced) {
						t.Errorf("its end: %v", err)
					}
				}
				if _, err := os.Stat(standing + "-holdfast.standby"); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("the copy is left: %v", err)
				}
				db, acked = next, count(t, next)
			}
			integrity(t, db)
			must(t, db.Close())
		})
	}
}

// Who was the owner last, with its own file, needs no other.
func TestOwnFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	target, path := filepath.Join(dir, "replica"), filepath.Join(dir, "app.db")
	if p, err := Run(t.Context(), Config{Target: target, Path: path, Begin: true}); err != nil || p.Epoch != 0 {
		t.Errorf("%+v, %v", p, err)
	}
	db := openDB(t, path, owner(target, replicate.Durable))
	_, err := db.Exec("CREATE TABLE t(n)")
	must(t, err)
	integrity(t, db)
	must(t, db.Close())
	before, err := os.Stat(path)
	must(t, err)
	p, err := Run(t.Context(), Config{Target: target, Path: path, Begin: true})
	must(t, err)
	after, err := os.Stat(path)
	if must(t, err); !p.Own || !os.SameFile(before, after) {
		t.Errorf("%+v", p)
	}
	db = openDB(t, path, owner(target, replicate.Durable))
	integrity(t, db)
	must(t, db.Close())
}

// It waits as long as the owner renews, and ends with its context.
func TestWaits(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	target := filepath.Join(dir, "replica")
	db := openDB(t, filepath.Join(dir, "app.db"), owner(target, replicate.Async))
	_, err := db.Exec("CREATE TABLE t(n)")
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var first lease.State
	_, err = Run(ctx, Config{Target: target, Path: filepath.Join(dir, "b.db"), Looked: func(s lease.State, _ replicate.Point) {
		if first.Epoch == 0 {
			first = s
		}
		if s.Renewals > first.Renewals {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := db.Exec("INSERT INTO t VALUES (1)"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "b.db")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	integrity(t, db)
	must(t, db.Close())
}

// told is a log that hands on what it is told.
type told func(message string)

func (told) Enabled(context.Context, slog.Level) bool        { return true }
func (f told) Handle(_ context.Context, r slog.Record) error { f(r.Message); return nil }
func (f told) WithAttrs([]slog.Attr) slog.Handler            { return f }
func (f told) WithGroup(string) slog.Handler                 { return f }

// A standby whose lease is lost while it brings the database here begins again.
func TestLostWhileItBrings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	target := filepath.Join(dir, "replica")
	db := openDB(t, filepath.Join(dir, "one.db"), owner(target, replicate.Durable))
	_, err := db.Exec("CREATE TABLE t(n INTEGER PRIMARY KEY)")
	must(t, err)
	must(t, db.Close())
	lost, once := make(chan struct{}), false
	log := func(message string) {
		switch {
		case message == "holdfast: the lease is lost":
			close(lost)
		case message == "holdfast: this machine takes over" && !once:
			once = true
			place, err := lease.Open(t.Context(), target, lease.Options{})
			must(t, err)
			_, err = place.Depose(t.Context())
			must(t, err)
			must(t, place.Close())
			<-lost
		}
	}
	two := filepath.Join(dir, "two.db")
	p, err := Run(t.Context(), Config{Target: target, Path: two, TTL: 3 * time.Second, Cold: true, Logger: slog.New(told(log))})
	if err != nil || p.Epoch != 4 || p.From != 1 {
		t.Fatalf("%+v, %v", p, err)
	}
	integrity(t, openDB(t, two, owner(target, replicate.Durable)))
}
