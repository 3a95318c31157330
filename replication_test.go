package holdfast_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/holdfastdb/holdfast"
)

// replicators is the replicator of this test program: it finds the target of a
// test by its name. It is package-level because the one of a program is.
var replicators = &fakeReplicator{targets: map[string]*fakeTarget{}}

func init() { holdfast.RegisterReplicator(replicators) }

type fakeReplicator struct {
	mu      sync.Mutex // guards targets
	targets map[string]*fakeTarget
}

func (r *fakeReplicator) Replicate(_ context.Context, of holdfast.ReplicatedDatabase) (holdfast.Replication, error) {
	r.mu.Lock()
	t := r.targets[of.Config.Target]
	r.mu.Unlock()
	if t == nil {
		return nil, errors.New("no such target")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.begun = append(t.begun, of)
	if t.panics {
		panic("a replicator's mistake")
	}
	if t.fences != nil {
		return t.fences, t.refusal
	}
	return t, t.refusal
}

// fakeTarget is where a test replicates to. What await and the others are nil
// for succeeds at once.
type fakeTarget struct {
	name    string
	refusal error
	panics  bool
	fences  holdfast.Replication // in its place, nil for itself
	close   func(context.Context) error
	stats   holdfast.ReplicationStats

	mu    sync.Mutex // guards the rest
	await func(context.Context) error
	begun []holdfast.ReplicatedDatabase
	asked []holdfast.CheckpointMode

	checkpointing error // what a checkpoint fails with
	closed        int
}

func newTarget(t testing.TB) *fakeTarget {
	t.Helper()
	target := &fakeTarget{name: "fake:" + t.Name()}
	replicators.mu.Lock()
	defer replicators.mu.Unlock()
	replicators.targets[target.name] = target
	t.Cleanup(func() {
		replicators.mu.Lock()
		defer replicators.mu.Unlock()
		delete(replicators.targets, target.name)
	})
	return target
}

// here is the option that replicates to the target.
func (f *fakeTarget) here(c *holdfast.Config) { c.Replication.Target = f.name }

func (f *fakeTarget) Await(ctx context.Context) error {
	f.mu.Lock()
	await := f.await
	f.mu.Unlock()
	if await == nil {
		return nil
	}
	return await(ctx)
}

// uploads sets what an upload does from now on.
func (f *fakeTarget) uploads(await func(context.Context) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.await = await
}

func (f *fakeTarget) Checkpoint(_ context.Context, mode holdfast.CheckpointMode) (holdfast.CheckpointResult, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, mode)
	return holdfast.CheckpointResult{Mode: mode, LogFrames: 7, CopiedFrames: 7}, f.checkpointing
}

func (f *fakeTarget) Stats() holdfast.ReplicationStats { return f.stats }

func (f *fakeTarget) Close(ctx context.Context) error {
	f.mu.Lock()
	f.closed++
	f.mu.Unlock()
	if f.close == nil {
		return nil
	}
	return f.close(ctx)
}

func (f *fakeTarget) counts() (begun, closed int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.begun), f.closed
}

// One file is replicated once, however many handles lead to it, until the last
// of them is closed.
func TestReplicationLastsAsLongAsTheDatabase(t *testing.T) {
	t.Parallel()
	target := newTarget(t)
	target.stats = holdfast.ReplicationStats{Target: "fake", Position: "17", LagSeconds: 2.5}
	var last error // of the database, when the replication is closed
	db := open(t, target.here)
	target.close = func(ctx context.Context) error {
		if _, ok := ctx.Deadline(); !ok {
			t.Error("Close may take for ever")
		}
		_, last = db.ExecContext(context.Background(), "INSERT INTO t VALUES (2)")
		return nil
	}
	must(t, db, "CREATE TABLE t(a)")
	second, err := holdfast.Open(t.Context(), db.Path(), target.here)
	if err != nil {
		t.Fatal(err)
	}
	if got := second.Stats().Replication; got != target.stats {
		t.Errorf("Stats: %+v", got)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	if other, err := holdfast.Open(t.Context(), db.Path(), target.durable); !errors.Is(err, holdfast.ErrRefused) || !strings.Contains(err.Error(), "replication.mode") {
		t.Errorf("another mode beside it: %v, %v", other, err)
	}
	if begun, closed := target.counts(); begun != 1 || closed != 0 {
		t.Errorf("begun %d times, closed %d times beside an open handle", begun, closed)
	}
	of := target.begun[0]
	if of.Path != db.Path() || of.Logger == nil || of.Config.Mode != "ASYNC" || of.Config.Interval <= 0 || of.Database.BusyTimeout <= 0 {
		t.Errorf("it was told %+v", of)
	}
	check(t, db)
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	if _, err := db.Checkpoint(t.Context(), holdfast.CheckpointPassive); !errors.Is(err, holdfast.ErrClosed) {
		t.Errorf("Checkpoint after Close: %v", err)
	}
	if got := db.Stats().Replication; got != target.stats {
		t.Errorf("Stats after Close: %+v", got)
	}
	if _, closed := target.counts(); closed != 1 || last == nil {
		t.Errorf("closed %d times; a write meanwhile: %v", closed, last)
	}
}

// What can't be replicated is not opened as if it could.
func TestReplicationIsRefused(t *testing.T) {
	target := newTarget(t)
	refused := func(name, path, says string, opts ...holdfast.Option) {
		t.Helper()
		db, err := holdfast.Open(t.Context(), path, append(opts, target.here)...)
		if err == nil {
			_ = db.Close()
		}
		if !errors.Is(err, holdfast.ErrRefused) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	refused("memory", ":memory:", "in memory")
	holdfast.WithoutReplicator(func() {
		refused("nobody there", filepath.Join(t.TempDir(), "app.db"), `import _ "github.com/holdfastdb/holdfast/replicate"`)
	})
	if begun, _ := target.counts(); begun != 0 {
		t.Errorf("begun %d times", begun)
	}
	// A handle that only reads has nothing to replicate.
	path := openAt(t, filepath.Join(t.TempDir(), "app.db")).Path()
	reader, err := holdfast.Open(t.Context(), path, holdfast.WithReadOnly())
	if err != nil {
		t.Fatal(err)
	}
	if err := reader.Close(); err != nil {
		t.Error(err)
	}
}

// An error of the replicator is Open's, and leaves nothing open: the next Open
// is a first one again.
func TestReplicationThatCannotBegin(t *testing.T) {
	t.Parallel()
	target := newTarget(t)
	target.refusal = errors.New("the bucket is not there")
	path := filepath.Join(t.TempDir(), "app.db")
	_, err := holdfast.Open(t.Context(), path, target.here)
	if !errors.Is(err, target.refusal) || !errors.Is(err, holdfast.ErrNotReplicated) {
		t.Errorf("Open: %v", err)
	}
	if _, closed := target.counts(); closed != 0 {
		t.Error("what never began was closed")
	}
	target.refusal = nil
	db := openAt(t, path, target.here)
	must(t, db, "CREATE TABLE t(a)")
	target.close = func(context.Context) error { return context.DeadlineExceeded }
	err = db.Close()
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, holdfast.ErrNotReplicated) {
		t.Errorf("Close: %v", err)
	}
	target.close = nil
	_ = openAt(t, path) // without a target: that the copy lags behind is no lock
}

// A replicator that panics takes nobody else with it: the file is free.
func TestReplicatorThatPanics(t *testing.T) {
	t.Parallel()
	target := newTarget(t)
	target.panics = true
	path := filepath.Join(t.TempDir(), "app.db")
	func() {
		defer func() {
			if v := recover(); v != "a replicator's mistake" {
				t.Errorf("panicked with %v", v)
			}
		}()
		_, _ = holdfast.Open(t.Context(), path, target.here)
	}()
	must(t, openAt(t, path), "CREATE TABLE t(a)")
}

func TestReplicationConfig(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		set   func(*holdfast.Config)
		says  string
		wrong bool
	}{
		{"nothing", func(*holdfast.Config) {}, "", false},
		{"a directory", func(c *holdfast.Config) { c.Replication.Target = "/var/backups/app" }, "", false},
		{"a user", func(c *holdfast.Config) { c.Replication.Target = "sftp://backup@host/app" }, "", false},
		{"an endpoint", func(c *holdfast.Config) { c.Replication.Target = "s3://bucket/app?endpoint=localhost:9000&region=eu" }, "", false},
		{"no log", func(c *holdfast.Config) {
			c.Replication.Target, c.Database.EnableWALMode = "/b", holdfast.Off
		}, "needs database.enable_wal_mode", true},
		{"a password", func(c *holdfast.Config) { c.Replication.Target = "sftp://me:hunter2@host/app" }, "leave it to the environment", true},
		{"a key", func(c *holdfast.Config) { c.Replication.Target = "s3://b/app?Secret-Access-Key=hunter2" }, "leave it to the environment", true},
		{"a user of the endpoint", func(c *holdfast.Config) { c.Replication.Target = "s3://b/app?endpoint=https://me:hunter2@host" }, "leave it to the environment", true},
		{"no URL", func(c *holdfast.Config) { c.Replication.Target = "s3://me:hunter2%@host/app" }, "leave it to the environment", true},
		{"a mode that is none", func(c *holdfast.Config) { c.Replication.Mode = "SYNC" }, "replication.mode", true},
		{"in vain", func(c *holdfast.Config) { c.Replication.Mode = "DURABLE" }, "replication.mode is ignored: without replication.target", false},
		{"read only", func(c *holdfast.Config) {
			c.Replication.Target, c.Database.ReadOnly = "/b", true
		}, "replication.target is ignored: database.read_only", false},
		{"somebody else's log", func(c *holdfast.Config) {
			c.Replication.Target, c.Maintenance.Checkpoints = "/b", "OWN"
		}, "maintenance.checkpoints is ignored", false},
		{"always late", func(c *holdfast.Config) {
			c.Replication.Target, c.Replication.LagLimit, c.Replication.Interval = "/b", 1e9, 2e9
		}, "exceeded all the time", false},
	} {
		cfg := holdfast.Config{}
		c.set(&cfg)
		text, err := cfg.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		_, report, err := holdfast.LoadConfig(holdfast.ConfigSource{Reader: strings.NewReader(string(text))})
		said := ""
		switch {
		case err != nil:
			said = err.Error()
		default:
			said = strings.Join(report.Notes, "\n")
		}
		if (err != nil) != c.wrong || !strings.Contains(said, c.says) || c.says == "" && said != "" || strings.Contains(said, "hunter2") {
			t.Errorf("%s: %q", c.name, said)
		}
	}
}

// The log of a replicated database is the replication's: nothing here begins it
// anew, and what asks for a checkpoint asks the replication.
func TestCheckpointsAreTheReplications(t *testing.T) {
	t.Parallel()
	for name, maintained := range map[string]holdfast.Switch{"maintained": holdfast.On, "unattended": holdfast.Off} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target := newTarget(t)
			db := open(t, target.here, holdfast.WithSynchronous("NORMAL"), func(c *holdfast.Config) { c.Maintenance.Enabled = maintained })
			must(t, db, "CREATE TABLE t(a)")
			before := logBytes(t, db)
			for range 1500 {
				must(t, db, "INSERT INTO t VALUES (zeroblob(3000))")
			}
			if n := logBytes(t, db) - before; n < 1500*4096 {
				t.Errorf("the log has grown by %d bytes: somebody has begun it anew", n)
			}
			must(t, db, "DELETE FROM t WHERE rowid % 2")
			if s := db.Stats().WAL; s.Checkpoints != 0 || s.Restarts != 0 || maintained == holdfast.On && !s.HandedOver {
				t.Errorf("%+v", s)
			}
			r, err := db.Checkpoint(t.Context(), holdfast.CheckpointTruncate)
			if err != nil || r.Mode != holdfast.CheckpointTruncate || r.LogFrames != 7 {
				t.Errorf("Checkpoint: %+v, %v", r, err)
			}
			if _, err := db.Exec("PRAGMA wal_checkpoint(TRUNCATE)"); !errors.Is(err, holdfast.ErrRefused) || !strings.Contains(err.Error(), "DB.Checkpoint") {
				t.Errorf("as text: %v", err)
			}
			if r, err := db.Optimize(t.Context()); err != nil || r.Space.PagesReleased == 0 {
				t.Errorf("Optimize: %+v, %v", r.Space, err)
			}
			if _, err := db.Optimize(t.Context(), holdfast.WithVacuum()); err != nil {
				t.Errorf("VACUUM: %v", err)
			}
			if _, err := db.Backup(t.Context(), t.TempDir()); err != nil {
				t.Errorf("Backup: %v", err)
			}
			target.mu.Lock()
			defer target.mu.Unlock()
			if len(target.asked) < 3 || target.asked[0] != holdfast.CheckpointTruncate || target.asked[1] != holdfast.CheckpointPassive {
				t.Errorf("the replication was asked for %v", target.asked)
			}
			if s := db.Stats().WAL; s.Checkpoints != 0 || s.Restarts != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}

func logBytes(t *testing.T, db *holdfast.DB) int64 {
	t.Helper()
	info, err := os.Stat(db.Path() + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// A checkpoint that the replication doesn't make is an error that says whose it is.
func TestCheckpointThatTheReplicationRefuses(t *testing.T) {
	t.Parallel()
	target := newTarget(t)
	db := open(t, target.here)
	no := errors.New("not while a snapshot is made")
	target.mu.Lock()
	target.checkpointing = no
	target.mu.Unlock()
	if _, err := db.Checkpoint(t.Context(), holdfast.CheckpointFull); !errors.Is(err, no) || !errors.Is(err, holdfast.ErrNotReplicated) || !strings.Contains(err.Error(), "FULL") {
		t.Error(err)
	}
}

// Health says when the copy is behind, in the words of the replication.
func TestHealthOfAReplication(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		set   func(*holdfast.Config)
		stats holdfast.ReplicationStats
		want  string // status and finding
	}{
		"well":    {func(*holdfast.Config) {}, holdfast.ReplicationStats{LagSeconds: 59}, "ok"},
		"behind":  {func(*holdfast.Config) {}, holdfast.ReplicationStats{LagSeconds: 61, PendingBytes: 4711}, "warning replication-behind"},
		"failing": {func(*holdfast.Config) {}, holdfast.ReplicationStats{LastError: "no route"}, "warning replication-failing"},
		"durable": {func(c *holdfast.Config) { c.Replication.Mode = "DURABLE" }, holdfast.ReplicationStats{LagSeconds: 61}, "critical replication-behind"},
		"no limit": {
			func(c *holdfast.Config) { c.Replication.LagLimit = -1 }, holdfast.ReplicationStats{LagSeconds: 1e6}, "ok",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target := newTarget(t)
			target.stats = c.stats
			target.stats.Target = "s3://bucket/app"
			db := open(t, target.here, c.set)
			h, err := db.Health(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got := h.Status
			for _, f := range h.Findings {
				if strings.HasPrefix(f.ID, "replication") {
					got += " " + f.ID
					if !strings.Contains(f.Evidence, "s3://bucket/app") || f.Fix == "" {
						t.Errorf("%+v", f)
					}
				}
			}
			if got != c.want {
				t.Errorf("%s, want %s: %+v", got, c.want, h.Findings)
			}
			if h.ConnectionStats.Replication != target.stats {
				t.Errorf("%+v", h.ConnectionStats.Replication)
			}
		})
	}
}

// A replicator reads the file, its -wal and its -shm beside SQLite. Where Open lets
// it, no lock of this process goes with that: another process can tell.
func TestReplicatorsMayReadTheFiles(t *testing.T) {
	t.Parallel()
	target := newTarget(t)
	db := open(t, target.here)
	must(t, db, "CREATE TABLE t(a)")
	other := startOutsider(t)
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	must(t, tx, "INSERT INTO t VALUES (1)")
	for range 100 {
		for _, suffix := range []string{"", "-wal", "-shm"} {
			f, err := os.Open(db.Path() + suffix)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.Read(make([]byte, 32)); err != nil && suffix != "-shm" { // on Windows some of it is locked
				t.Errorf("%s: %v", suffix, err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if got := other.ask("probe", db.Path()); got != lockIsHeld {
			t.Fatalf("another process could write into our transaction: %s", got)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	other.wants("probe", db.Path(), lockIsFree)
}
