package replicate

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
)

// gate stands before a server and lets through, refuses or lets wait.
type gate struct {
	*httptest.Server
	mu     sync.Mutex // guards the rest
	how    func(w http.ResponseWriter, r *http.Request) bool
	closed chan struct{}
}

func newGate(t *testing.T, server string) *gate {
	u, err := url.Parse(server)
	must(t, err)
	proxy := httputil.NewSingleHostReverseProxy(u)
	proxy.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }
	g := &gate{closed: make(chan struct{})}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		how := g.how
		g.mu.Unlock()
		if how == nil || how(w, r) {
			proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(func() {
		close(g.closed)
		g.Close()
		proxy.Transport = nil
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	})
	return g
}

func (g *gate) set(how func(w http.ResponseWriter, r *http.Request) bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.how = how
}

func refuses(w http.ResponseWriter, _ *http.Request) bool {
	c, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		_ = c.Close()
	}
	return false
}

func (g *gate) hangs(_ http.ResponseWriter, r *http.Request) bool {
	select {
	case <-r.Context().Done():
	case <-g.closed:
	}
	return false
}

// gated is an S3 target behind a gate.
func gated(t *testing.T) (*gate, string) {
	t.Helper()
	s3Keys(t)
	direct := s3Target(t, "app")
	u, err := url.Parse(direct)
	must(t, err)
	server := u.Query().Get("endpoint")
	g := newGate(t, server)
	return g, strings.Replace(direct, server, g.URL, 1)
}

// While the target is away a durable write has no known outcome, and is committed here;
// when it is back everything is there.
func TestOutageOfADurableTarget(t *testing.T) {
	g, target := gated(t)
	db := openDB(t, filepath.Join(t.TempDir(), "app.db"), to(target, func(c *holdfast.ReplicationConfig) {
		c.Mode, c.UploadTimeout = Durable, 300*time.Millisecond
	}))
	write(t, db, "CREATE TABLE t(n INTEGER PRIMARY KEY)")
	n := int64(0)
	for _, how := range []func(http.ResponseWriter, *http.Request) bool{refuses, g.hangs} {
		write(t, db, "INSERT INTO t VALUES (?)", n)
		n++
		g.set(how)
		for range 3 {
			begun := time.Now()
			_, err := db.Exec("INSERT INTO t VALUES (?)", n)
			n++
			if !errors.Is(err, holdfast.ErrOutcomeUnknown) || !errors.Is(err, holdfast.ErrNotReplicated) || time.Since(begun) > 10*time.Second {
				t.Errorf("after %s: %v", time.Since(begun), err)
			}
		}
		wantNumbers(t, db.DB, 0, n-1)
		if s := db.Stats().Replication; s.LagSeconds <= 0 || s.PendingBytes <= 0 {
			t.Errorf("%+v", s)
		}
		g.set(nil)
		g.CloseClientConnections()
		acknowledged(t, db, n)
		n++
	}
	s, _ := restored(t, target, At{})
	wantNumbers(t, s, 0, n-1)
}

// acknowledged writes n as soon as the target takes it.
func acknowledged(t *testing.T, db *holdfast.DB, n int64) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		_, err := db.Exec("INSERT INTO t VALUES (?) ON CONFLICT DO UPDATE SET n = n", n)
		if err == nil {
			return
		}
		if !errors.Is(err, holdfast.ErrOutcomeUnknown) || time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// A request that stands still is given up and made again.
func TestTargetThatStandsStill(t *testing.T) {
	g, target := gated(t)
	db := openDB(t, filepath.Join(t.TempDir(), "app.db"))
	write(t, db, "CREATE TABLE t(n INTEGER PRIMARY KEY)")
	log, said := logged(t)
	r, err := open(t.Context(), db.Path(), Config{Target: target, Interval: 10 * time.Millisecond}, log, connections{}, 200*time.Millisecond)
	must(t, err)
	await(t, r)
	var asked atomic.Int64
	again := make(chan struct{})
	g.set(func(w http.ResponseWriter, r *http.Request) bool {
		if asked.Add(1) == 3 {
			close(again)
		}
		return g.hangs(w, r)
	})
	write(t, db, "INSERT INTO t VALUES (0)")
	<-again // by itself: nobody waits
	for r.Stats().Errors == 0 {
		<-time.After(time.Millisecond)
	}
	if s := r.Stats(); !strings.Contains(s.LastError, "nothing has moved") || s.LagSeconds <= 0 {
		t.Errorf("%+v", s)
	}
	g.set(nil)
	await(t, r)
	if s := r.Stats(); s.LastError != "" {
		t.Errorf("%+v", s)
	}
	must(t, r.Close(t.Context()))
	if text := said(); !strings.Contains(text, "is not being replicated") || !strings.Contains(text, "replication goes on") || strings.Contains(text, "hunter2") {
		t.Error(text)
	}
	s, _ := restored(t, target, At{})
	wantNumbers(t, s, 0, 0)
}

// While the target is away writes that don't wait for it go on, the log is begun anew
// all the same, and when it is back it catches up. Close within its time says what it couldn't do.
func TestOutageOfAnAsyncTarget(t *testing.T) {
	g, target := gated(t)
	path := filepath.Join(t.TempDir(), "app.db")
	set := to(target, func(c *holdfast.ReplicationConfig) { c.Interval, c.CloseTimeout = 100*time.Millisecond, time.Second })
	db, err := holdfast.Open(t.Context(), path, set)
	must(t, err)
	write(t, db, "CREATE TABLE t(n INTEGER PRIMARY KEY, pad)")
	for db.Stats().Replication.LagSeconds > 0 {
		<-time.After(time.Millisecond)
	}
	g.set(refuses)
	most := fill(t, db, 0, 4000, 10_000)
	if most > 32<<20 { // it grew to 50 MB when it was read by rounds only
		t.Errorf("the log grew to %d bytes for 40 MB that were written", most)
	}
	s := db.Stats().Replication
	if s.PendingBytes < 30<<20 || strings.Contains(s.LastError, "hunter2") {
		t.Errorf("%+v", s)
	}
	check(t, db.DB)
	if err := db.Close(); !errors.Is(err, holdfast.ErrNotReplicated) {
		t.Errorf("Close: %v", err)
	}
	if db, err = holdfast.Open(t.Context(), path, set); err != nil { // a program can start meanwhile
		t.Fatal(err)
	}
	write(t, db, "INSERT INTO t(n) VALUES (4000)")
	g.set(nil)
	deadline := time.Now().Add(time.Minute)
	for db.Stats().Replication.LagSeconds > 0 && time.Now().Before(deadline) {
		<-time.After(10 * time.Millisecond)
	}
	must(t, db.Close())
	got, _ := restored(t, target, At{})
	wantNumbers(t, got, 0, 4000)
}

// fill writes rows of size bytes from 8 goroutines, and returns how large the log was at most.
func fill(t *testing.T, db *holdfast.DB, from, rows, size int64) (most int64) {
	t.Helper()
	var next atomic.Int64
	next.Store(from - 1)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for n := next.Add(1); n < from+rows; n = next.Add(1) {
				if _, err := db.ExecContext(context.Background(), "INSERT INTO t VALUES (?, randomblob(?))", n, size); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for {
		if fi, err := os.Stat(db.Path() + "-wal"); err == nil {
			most = max(most, fi.Size())
		}
		select {
		case <-done:
			return most
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// Under steady writes and reads the log is begun anew in time: the replication gets its
// turn at it. Without pauses it grew to 114 MB here, of 160 written.
func TestLogStaysBounded(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it takes a quarter of a minute of both CPUs")
	}
	dir := t.TempDir()
	db := openDB(t, filepath.Join(dir, "app.db"), func(c *holdfast.Config) { c.Database.Synchronous = "NORMAL" },
		to(filepath.Join(dir, "replica"), func(c *holdfast.ReplicationConfig) { c.Interval = 20 * time.Millisecond }))
	write(t, db, "CREATE TABLE t(n INTEGER PRIMARY KEY, pad)")
	for db.Stats().Replication.LagSeconds > 0 {
		<-time.After(time.Millisecond)
	}
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				var n int
				if err := db.QueryRowContext(ctx, "SELECT count(*) FROM t WHERE n < 100").Scan(&n); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			}
		})
	}
	most := fill(t, db, 0, 5000, 8000)
	stop()
	wg.Wait()
	t.Logf("the log had %.1f MB at most of 40 MB that were written", float64(most)/1e6)
	if most > 30<<20 {
		t.Errorf("the log grew to %d bytes", most)
	}
}
