package replicate

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/backup"
	"github.com/holdfastdb/holdfast/replicate/lease"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// leased has a TTL that a machine under load can keep: it may stand still for seconds.
func leased(c *holdfast.ReplicationConfig) {
	c.Lease, c.Address, c.Mode, c.CloseTimeout = 6*time.Second, "here:1", Durable, 20*time.Second
}

func place(t testing.TB, target string) *lease.Place {
	t.Helper()
	p, err := lease.Open(t.Context(), target, lease.Options{TTL: time.Second})
	must(t, err)
	t.Cleanup(func() { must(t, p.Close()) })
	return p
}

// newest is the database as whoever takes over finds it.
func newest(t testing.TB, target string) (string, lease.State) {
	t.Helper()
	m, err := place(t, target).Read(t.Context())
	must(t, err)
	at, _, err := Newest(t.Context(), target, m.Epoch)
	must(t, err)
	return at, m
}

// One owner at a time; each start has an epoch of its own, at once after an orderly end; and what was
// acknowledged is in the newest that has anything.
func TestOwner(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, target := filepath.Join(dir, "app.db"), filepath.Join(dir, "replica")
	for round := range int64(2) {
		db, err := holdfast.Open(t.Context(), path, to(target, leased))
		must(t, err)
		write(t, db, "CREATE TABLE IF NOT EXISTS t(n INTEGER PRIMARY KEY)")
		write(t, db, "INSERT INTO t VALUES (?)", round)
		other, err := holdfast.Open(t.Context(), filepath.Join(dir, "other.db"), to(target, leased))
		var held *lease.HeldError
		if !errors.Is(err, holdfast.ErrFenced) || !errors.As(err, &held) || held.State.Address != "here:1" || held.State.Epoch != round+1 {
			t.Errorf("beside an owner: %v, %v", other, err)
		}
		at, m := newest(t, target)
		if m.Epoch != round+1 || at != Epoch(target, round+1) {
			t.Errorf("epoch %d at %s", m.Epoch, at)
		}
		s, _ := restored(t, at, At{})
		wantNumbers(t, s, 0, round)
		must(t, db.Close())
	}
	if _, m := newest(t, target); !m.Released {
		t.Errorf("%+v", m)
	}
}

// A file that is not the owner's is refused, until it was restored from there or the
// operator says so.
func TestAnotherFileIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	target := filepath.Join(dir, "replica")
	db, err := holdfast.Open(t.Context(), filepath.Join(dir, "app.db"), to(target, leased))
	must(t, err)
	write(t, db, "CREATE TABLE t(n INTEGER PRIMARY KEY)")
	write(t, db, "INSERT INTO t VALUES (1)")
	must(t, db.Close())
	path := filepath.Join(dir, "other.db")
	if _, err := holdfast.Open(t.Context(), path, to(target, leased)); !errors.Is(err, holdfast.ErrRefused) {
		t.Fatal(err)
	}
	at, m := newest(t, target)
	_, err = backup.Restore(t.Context(), Source(at, At{}), path, backup.RestoreOptions{})
	must(t, err)
	if _, err := holdfast.Open(t.Context(), path, to(target, leased)); !errors.Is(err, holdfast.ErrRefused) {
		t.Fatalf("nobody has said what it has: %v", err)
	}
	must(t, Owns(path, m.Epoch, m.Session))
	db, err = holdfast.Open(t.Context(), path, to(target, leased))
	must(t, err)
	write(t, db, "INSERT INTO t VALUES (2)")
	must(t, db.Close())
	at, m = newest(t, target)
	if m.Epoch != 2 {
		t.Errorf("epoch %d", m.Epoch)
	}
	s, _ := restored(t, at, At{})
	wantNumbers(t, s, 1, 2)
	db = openDB(t, filepath.Join(dir, "third.db"), to(target, leased, func(c *holdfast.ReplicationConfig) { c.TakeOver = holdfast.On }))
	write(t, db, "CREATE TABLE t(n INTEGER PRIMARY KEY)")
	if _, m := newest(t, target); m.Epoch != 3 {
		t.Errorf("epoch %d", m.Epoch)
	}
}

// An owner in whose place another one was put acknowledges nothing any more, for good; what it had
// acknowledged is found.
func TestDeposedOwnerIsFenced(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	target := filepath.Join(dir, "replica")
	db, err := holdfast.Open(t.Context(), filepath.Join(dir, "app.db"), to(target, leased))
	must(t, err)
	write(t, db, "CREATE TABLE t(n INTEGER PRIMARY KEY)")
	// Writers go on all the time; what is acknowledged after the epoch has ended must have
	// been uploaded before.
	var acked, last atomic.Int64
	var all sync.WaitGroup
	for w := range int64(8) {
		all.Go(func() {
			for n := w; ; n += 8 {
				_, err := db.Exec("INSERT INTO t VALUES (?)", n)
				if err != nil {
					if !errors.Is(err, holdfast.ErrFenced) {
						t.Error(err)
					}
					return
				}
				acked.Add(1)
				last.Store(max(last.Load(), n))
			}
		})
	}
	for acked.Load() < 100 {
		must(t, lease.Rest(t.Context(), time.Millisecond))
	}
	_, err = place(t, target).Depose(t.Context())
	must(t, err)
	at, _ := newest(t, target)
	s, _ := restored(t, at, At{}) // as whoever takes over does it, while the old owner goes on
	all.Wait()
	if n := numbers(t, s, "SELECT count(*) FROM t")[0]; n < acked.Load() {
		t.Errorf("%d were acknowledged, %d are found", acked.Load(), n)
	}
	for range 3 {
		if _, err := db.Exec("INSERT INTO t VALUES (-1)"); !errors.Is(err, holdfast.ErrFenced) || errors.Is(err, holdfast.ErrOutcomeUnknown) {
			t.Error(err)
		}
	}
	if !db.Stats().Fenced {
		t.Error("Stats doesn't tell")
	}
	if numbers(t, db.DB, "SELECT count(*) FROM t WHERE n=-1")[0] != 0 {
		t.Error("what was refused is there")
	}
	if err := db.Close(); !errors.Is(err, holdfast.ErrFenced) {
		t.Errorf("close: %v", err)
	}
}

// Who is asked to leave ships what it has acknowledged, in ASYNC mode too, and nobody waits then.
func TestHandingOver(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	target := filepath.Join(dir, "replica")
	db, err := holdfast.Open(t.Context(), filepath.Join(dir, "app.db"), to(target, leased, func(c *holdfast.ReplicationConfig) {
		c.Mode, c.Interval = Async, time.Hour
	}))
	must(t, err)
	write(t, db, "CREATE TABLE t(n INTEGER PRIMARY KEY)")
	p := place(t, target)
	_, err = p.Ask(t.Context())
	must(t, err)
	var last int64
	for last = 0; ; last++ {
		if _, err := db.Exec("INSERT INTO t VALUES (?)", last); err != nil {
			if !errors.Is(err, holdfast.ErrFenced) {
				t.Error(err)
			}
			break
		}
	}
	m, err := p.Read(t.Context())
	for ; err == nil && !m.Released; m, err = p.Read(t.Context()) {
		must(t, lease.Rest(t.Context(), 10*time.Millisecond))
	}
	must(t, err)
	at, _ := newest(t, target)
	s, _ := restored(t, at, At{})
	if n := numbers(t, s, "SELECT count(*) FROM t")[0]; n < last {
		t.Errorf("%d were acknowledged, %d are found", last, n)
	}
	if err := db.Close(); !errors.Is(err, holdfast.ErrFenced) {
		t.Errorf("close: %v", err)
	}
}

// With the store away the owner stops within its lease, in each mode; a write that waits hears of it
// then, and not when its upload is given up.
func TestOutageFences(t *testing.T) {
	s3Keys(t)
	backend := s3mem.New()
	must(t, backend.CreateBucket("bucket"))
	handler := gofakes3.New(backend).Server()
	for _, mode := range []string{Durable, Async} {
		t.Run(mode, func(t *testing.T) {
			var away atomic.Bool
			back := make(chan struct{})
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if away.Load() {
					select { // silent, as behind a cut cable
					case <-back:
					case <-r.Context().Done():
					}
				}
				handler.ServeHTTP(w, r)
			}))
			defer server.Close()
			defer close(back)
			target := "s3://bucket/" + mode + "?endpoint=" + server.URL + "&region=eu-central-1&force-path-style=true"
			db, err := holdfast.Open(t.Context(), filepath.Join(t.TempDir(), "app.db"), to(target, leased, func(c *holdfast.ReplicationConfig) {
				c.Mode, c.CloseTimeout, c.Lease = mode, time.Second, 3*time.Second
			}))
			must(t, err)
			write(t, db, "CREATE TABLE t(n INTEGER PRIMARY KEY)")
			away.Store(true)
			begun := time.Now()
			for n := 0; ; n++ {
				_, err := db.ExecContext(context.Background(), "INSERT INTO t VALUES (?)", n)
				if err == nil && mode == Async {
					must(t, lease.Rest(t.Context(), time.Millisecond))
					continue
				}
				if !errors.Is(err, holdfast.ErrFenced) {
					t.Errorf("%d: %v", n, err)
				}
				break
			}
			if took := time.Since(begun); took > 20*time.Second { // upload_timeout is 30 s
				t.Errorf("it took %s", took)
			}
			if err := db.Close(); !errors.Is(err, holdfast.ErrFenced) {
				t.Errorf("close: %v", err)
			}
		})
	}
}

// The lease of an owner that is gone may be longer than that of who starts.
func TestWaitsForALongerLease(t *testing.T) {
	t.Parallel()
	target := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		ctx := lease.WithClock(t.Context(), func() time.Duration { return time.Since(start) })
		p, err := lease.Open(ctx, target, lease.Options{TTL: time.Minute})
		must(t, err)
		last, err := p.Take(ctx, lease.State{}, lease.NewSession())
		must(t, err)
		last.Abandon()
		r := &Replication{path: filepath.Join(target, "app.db"), config: Config{Target: target, Lease: 3 * time.Second}, log: slog.New(slog.DiscardHandler)}
		must(t, Owns(r.path, last.Epoch(), last.Session()))
		r.place, err = lease.Open(ctx, target, lease.Options{TTL: r.config.Lease})
		must(t, err)
		_, err = r.take(ctx, r.place)
		must(t, err)
		if waited := time.Since(start); r.lease.Epoch() != 2 || waited < time.Minute {
			t.Errorf("epoch %d after %s", r.lease.Epoch(), waited)
		}
		must(t, r.disown(ctx, true))
	})
}

// A manifest that is gone while epochs are there would be begun anew below them, and who takes over would
// find what is old for the newest.
func TestLostManifestIsNoBeginning(t *testing.T) {
	s3Keys(t)
	backend := s3mem.New()
	must(t, backend.CreateBucket("bucket"))
	server := httptest.NewServer(gofakes3.New(backend).Server())
	defer server.Close()
	dir := t.TempDir()
	for kind, target := range map[string]string{
		"directory": filepath.Join(dir, "replica"),
		"bucket":    "s3://bucket/app?endpoint=" + server.URL + "&region=eu-central-1&force-path-style=true",
	} {
		t.Run(kind, func(t *testing.T) {
			db, err := holdfast.Open(t.Context(), filepath.Join(dir, kind+".db"), to(target, leased))
			must(t, err)
			write(t, db, "CREATE TABLE t(n INTEGER PRIMARY KEY)")
			must(t, db.Close())
			if kind == "bucket" {
				_, err := backend.DeleteObject("bucket", "app/"+lease.Name)
				must(t, err)
			} else {
				names, err := filepath.Glob(filepath.Join(target, lease.Name+".*"))
				must(t, err)
				for _, name := range names {
					must(t, os.Remove(name))
				}
			}
			for _, takeOver := range []holdfast.Switch{holdfast.Off, holdfast.On} {
				db, err := holdfast.Open(t.Context(), filepath.Join(dir, kind+"-other.db"), to(target, leased, func(c *holdfast.ReplicationConfig) { c.TakeOver = takeOver }))
				if !errors.Is(err, holdfast.ErrRefused) || errors.As(err, new(*HistoryError)) {
					t.Errorf("%v, %v", db, err)
				}
			}
			if m, err := place(t, target).Read(t.Context()); err != nil || m.Epoch != 0 {
				t.Errorf("%+v, %v", m, err)
			}
		})
	}
}

// A first start that is given up after it has taken its epoch can be repeated.
func TestGivenUpStart(t *testing.T) {
	s3Keys(t)
	backend := s3mem.New()
	must(t, backend.CreateBucket("bucket"))
	handler := gofakes3.New(backend).Server()
	ctx, cancel := context.WithCancel(t.Context())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.String(), "epoch-00000001") {
			cancel()
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close) // after the database
	target := to("s3://bucket/app?endpoint="+server.URL+"&region=eu-central-1&force-path-style=true", leased)
	path := filepath.Join(t.TempDir(), "app.db")
	if db, err := holdfast.Open(ctx, path, target); !errors.Is(err, context.Canceled) {
		t.Fatalf("%v, %v", db, err)
	}
	write(t, openDB(t, path, target), "CREATE TABLE t(n INTEGER PRIMARY KEY)")
}
