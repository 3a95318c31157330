package checkpoint

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfastdb/holdfast/internal/locks"
	"github.com/holdfastdb/holdfast/internal/pool"
	"github.com/holdfastdb/holdfast/internal/sqlite"
	"github.com/holdfastdb/holdfast/internal/stats"
	"github.com/holdfastdb/holdfast/internal/writer"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a database with its readers, writer and Checkpointer.
type bench struct {
	*Checkpointer
	t        *testing.T
	path     string
	registry locks.Registry
	counters stats.Counters
	events   []Event // of the runs that settle has waited for
	now      time.Time
}

func newBench(t *testing.T, change func(*Config)) *bench {
	t.Helper()
	b := &bench{t: t, path: filepath.Join(t.TempDir(), "app.db"), now: time.Now()}
	p := pool.New(pool.Config{Open: func(context.Context) (*sqlite.Conn, error) { return b.open() }, Max: 4, Warm: true})
	w := writer.New(writer.Config{
		Open: func(context.Context) (*sqlite.Conn, error) {
			c, err := b.open()
			if err == nil {
				c.SetWALHook(func(_ string, frames int) { b.Committed(frames) })
			}
			return c, err
		},
		Fence: func() error { return nil }, Counters: &b.counters, Budget: time.Minute,
	})
	cfg := Config{
		Open: func(context.Context) (*sqlite.Conn, error) { return b.open() }, Fence: func() error { return nil },
		Pool: p, Writer: w, Size: b.size, Readers: b.registry.Snapshot,
		Foreign:    func(context.Context, []int) (locks.Process, bool) { return locks.Process{}, false },
		Litestream: func() bool { return false },
		OnEvent:    func(e Event) { b.events = append(b.events, e) },
		Limit:      1 << 20, // a step of 63 frames
	}
	if change != nil {
		change(&cfg)
	}
	b.Checkpointer = New(cfg)
	b.write("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
	t.Cleanup(func() {
		for _, close := range []func(context.Context) error{func(context.Context) error { return b.Close() }, p.Close, w.Close} {
			if err := close(context.Background()); err != nil {
				t.Error(err)
			}
		}
		c, err := b.open()
		if err != nil {
			t.Fatal(err)
		}
		if ok, err := c.QueryText("PRAGMA integrity_check"); ok != "ok" {
			t.Errorf("integrity_check: %q, %v", ok, err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func (b *bench) open() (*sqlite.Conn, error) {
	c, err := sqlite.Open(b.path, sqlite.OpenReadWrite|sqlite.OpenCreate)
	if err != nil {
		return nil, err
	}
	err = c.Exec("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL")
	return c, errors.Join(err, c.WALAutocheckpoint(0))
}

func (b *bench) size() int64 {
	info, err := os.Stat(b.path + "-wal")
	if err != nil {
		return 0
	}
	return info.Size()
}

func (b *bench) write(sql string) {
	b.t.Helper()
	h, err := b.cfg.Writer.Hold(context.Background(), writer.Request{SQL: sql})
	if err == nil {
		err = h.Conn().Exec(sql)
		h.Release(err)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// fill writes so many rows, of a page each, in a transaction of their own each.
func (b *bench) fill(rows int) {
	b.t.Helper()
	for range rows {
		b.write("INSERT INTO t(b) VALUES (zeroblob(3000))")
	}
}

// settle waits for the run that is under way.
func (b *bench) settle() { b.all.Wait() }

func (b *bench) underWay() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.running
}

// later is the next round of the watch, and what came of it. Its time is not before that of
// runs that commits have begun, however slow the machine was meanwhile.
func (b *bench) later(d time.Duration) []Event {
	b.settle()
	b.events = nil
	if now := time.Now(); now.After(b.now) {
		b.now = now
	}
	b.now = b.now.Add(d)
	b.Round(b.now)
	b.settle()
	return b.events
}

// keep leaves a read transaction open, on record.
func (b *bench) keep() (end func()) {
	b.t.Helper()
	r, err := b.cfg.Pool.Get(context.Background())
	if err != nil {
		b.t.Fatal(err)
	}
	if err := r.Conn.Exec("BEGIN; SELECT count(*) FROM t"); err != nil {
		b.t.Fatal(err)
	}
	b.cfg.Pool.Keep(r)
	l := &locks.Lease{Kind: locks.ReadTx, Site: locks.Here(0, locks.Deep), Since: time.Now(), SQL: "SELECT", Last: "SELECT"}
	b.registry.Add(l)
	return func() {
		if err := r.Conn.Exec("COMMIT"); err != nil {
			b.t.Error(err)
		}
		b.registry.Remove(l)
		b.cfg.Pool.Put(r, true)
	}
}

// A writer that never pauses is given one, or the log would never begin anew.
func TestLogBeginsAnewUnderLoad(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *Config) { c.Limit = 16 << 20 })
	for n := 0; b.Stats().Restarts < 5; n++ {
		if n > 20_000 {
			t.Fatalf("%+v", b.Stats())
		}
		b.fill(1)
	}
	b.settle()
	if s := b.Stats(); s.FramesCopied == 0 || s.Pins != 0 || s.ReaderHolds != 0 || b.size() > b.cfg.Limit {
		t.Errorf("%+v, %d bytes", s, b.size())
	}
}

func TestPinningReaderIsNamed(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *Config) { c.Limit = 0 })
	end := b.keep()
	b.fill(2 * stepFrames)
	if e := b.later(time.Second); len(e) != 0 {
		t.Errorf("at once: %+v", e)
	}
	e := b.later(stuckFor + time.Second)
	if len(e) != 1 || e[0].Kind != Stands || e[0].Pin.Kind != string(locks.ReadTx) || !e[0].Pin.Lease.Site.Known() ||
		e[0].Copied >= e[0].Frames || e[0].Over || e[0].Stood < stuckFor || e[0].Bytes != b.size() {
		t.Fatalf("%+v", e)
	}
	if s := b.Stats(); s.Pin == nil || s.Pins != 1 || s.Copied >= s.Frames {
		t.Errorf("%+v", s)
	}
	for range 20 {
		if e := b.later(2 * time.Second); len(e) != 0 {
			t.Errorf("told again: %+v", e)
		}
	}
	if e := b.later(firstAgain); len(e) != 1 {
		t.Errorf("not told again after %s: %+v", firstAgain, e)
	}
	end()
	e = b.later(time.Second)
	if len(e) != 1 || e[0].Kind != Emptied || e[0].Copied != e[0].Frames {
		t.Errorf("%+v", e)
	}
	if s := b.Stats(); s.Pin != nil || s.Copied != s.Frames {
		t.Errorf("%+v", s)
	}
}

// Above the limit it is told at once, and when the reader is gone the file is cut.
func TestLogComesBackUnderItsLimit(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	end := b.keep()
	b.fill(int(2 * b.cfg.Limit / 4096))
	b.settle()
	b.later(time.Second)
	if s := b.Stats(); s.OverLimit != 1 || s.Pins == 0 || s.Pin == nil || b.size() < b.cfg.Limit {
		t.Errorf("%+v, %d bytes", s, b.size())
	}
	end()
	if e := b.later(time.Second); len(e) != 1 || e[0].Kind != Emptied {
		t.Errorf("%+v", e)
	}
	if s := b.Stats(); b.size() != 0 || s.Truncations != 1 || s.Frames != 0 {
		t.Errorf("%+v, %d bytes", s, b.size())
	}
}

// Two readers, neither of them long, of which one is always there.
func TestOverlappingReadersDontPinTheLog(t *testing.T) {
	t.Parallel()
	const (
		limit  = 8 << 20
		commit = 3 * 4120 // what fill writes for a row
	)
	for _, looked := range []bool{true, false} {
		b := newBench(t, func(c *Config) {
			c.Limit = limit
			if !looked { // what it is otherwise: the test must be able to fail
				c.Limit = 0
			}
		})
		b.write("PRAGMA synchronous=FULL") // else the disk, not the readers, decides
		stop := make(chan struct{})
		var all sync.WaitGroup
		var begun atomic.Int64
		for range 2 {
			all.Go(func() {
				for {
					end := b.keep()
					n := begun.Add(1)
					for began, other := time.Now(), false; !other || time.Since(began) < 20*time.Millisecond; {
						// Until the other has begun, unless he is kept waiting.
						other = begun.Load() > n || time.Since(began) > 50*time.Millisecond
						select {
						case <-stop:
							end()
							return
						case <-time.After(time.Millisecond):
						}
					}
					end()
				}
			})
		}
		peak := int64(0)
		for range 3 * limit / commit {
			b.fill(1)
			peak = max(peak, b.size())
		}
		close(stop)
		all.Wait()
		b.settle()
		s := b.Stats()
		t.Logf("looked after %v: at most %d bytes, %+v", looked, peak, s)
		if looked && (peak > 2*limit || s.ReaderHolds == 0) {
			t.Errorf("the log has grown to %d bytes: %+v", peak, s)
		}
		if !looked && peak < 2*limit {
			t.Errorf("the log has not grown without being looked after: the readers don't overlap")
		}
	}
}

// A quiet moment: the log is copied and, if it is larger than needed, cut.
func TestQuietMoment(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *Config) { c.Limit = 0 })
	b.fill(10)
	b.later(time.Second)
	if s := b.Stats(); s.Checkpoints != 0 {
		t.Errorf("right after a commit: %+v", s)
	}
	b.later(quietAfter)
	s := b.Stats()
	if s.Checkpoints == 0 || s.Copied != s.Frames || s.Truncations != 0 {
		t.Errorf("%+v", s)
	}
	b.later(time.Hour)
	if again := b.Stats(); again.Checkpoints != s.Checkpoints {
		t.Errorf("an idle database is checkpointed: %+v", again)
	}
	end := b.keep()
	b.fill(3 * stepFrames)
	end()
	b.later(time.Second)
	b.later(quietAfter)
	if s := b.Stats(); b.size() != 0 || s.Truncations != 1 {
		t.Errorf("%d bytes, %+v", b.size(), s)
	}
	text, err := b.Tidy(context.Background())
	if text != "0 of 0 frames are copied" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
}

// Litestream is simulated: its directory, or its tables and its long read
// transaction.
func TestLitestreamKeepsItsLog(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *Config) { c.Litestream = func() bool { return true } })
	b.fill(400)
	b.later(time.Hour)
	b.later(time.Second)
	if s := b.Stats(); s.Checkpoints != 0 || s.Restarts != 0 || !s.HandedOver {
		t.Errorf("beside its directory: %+v", s)
	}
	if e := b.later(ownerPatience); len(e) != 1 || e[0].Kind != HandedOver || !e[0].Over {
		t.Errorf("nobody empties it: %+v", e)
	}
	if _, err := b.Checkpoint(context.Background(), sqlite.CheckpointTruncate, writer.Request{Budget: time.Second}); !errors.Is(err, ErrHandedOver) {
		t.Errorf("TRUNCATE: %v", err)
	}
	if r, err := b.Checkpoint(context.Background(), sqlite.CheckpointPassive, writer.Request{Budget: time.Second}); err != nil || r.Copied != r.Frames || r.After != r.Before {
		t.Errorf("PASSIVE: %+v, %v", r, err)
	}

	b = newBench(t, nil)
	b.write("CREATE TABLE _litestream_seq(id INTEGER PRIMARY KEY, seq INTEGER)")
	b.write("CREATE TABLE _litestream_lock(id INTEGER)")
	c, err := b.open()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Exec("BEGIN; SELECT count(1) FROM _litestream_seq"); err != nil {
		t.Fatal(err)
	}
	b.fill(800)
	b.later(time.Hour)
	b.later(time.Second)
	before := b.Stats()
	if before.Checkpoints == 0 || before.Restarts != 0 || before.Truncations != 0 || before.ReaderHolds != 0 || before.HandedOver {
		t.Errorf("beside its reader: %+v", before)
	}
	if err := c.Close(); err != nil { // and now it changes to its next transaction
		t.Error(err)
	}
	b.later(time.Second)
	if s := b.Stats(); s.Copied != s.Frames || s.Truncations != 0 || s.Restarts != 0 || s.ReaderHolds != 0 {
		t.Errorf("%+v", s)
	}
}

func TestCheckpointOnDemand(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	ask := func(ctx context.Context, mode sqlite.CheckpointMode, budget time.Duration) (Result, error) {
		return b.Checkpoint(ctx, mode, writer.Request{SQL: "checkpoint", Budget: budget})
	}
	b.fill(30)
	for _, mode := range []sqlite.CheckpointMode{sqlite.CheckpointPassive, sqlite.CheckpointFull, sqlite.CheckpointRestart, sqlite.CheckpointTruncate} {
		b.fill(1)
		r, err := ask(context.Background(), mode, time.Second)
		if err != nil || r.Frames == 0 || r.Copied != r.Frames || r.Before == 0 || (r.After == 0) != (mode == sqlite.CheckpointTruncate) {
			t.Errorf("mode %d: %+v, %v", mode, r, err)
		}
	}
	end := b.keep()
	b.fill(5)
	var stopped *BusyError
	if r, err := ask(context.Background(), sqlite.CheckpointFull, 20*time.Millisecond); !errors.As(err, &stopped) || !stopped.Pin.Lease.Site.Known() || r.Copied >= r.Frames {
		t.Errorf("%+v, %v", r, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := ask(ctx, sqlite.CheckpointTruncate, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	done := make(chan error)
	go func() {
		_, err := ask(context.Background(), sqlite.CheckpointTruncate, time.Hour)
		done <- err
	}()
	for b.cfg.Writer.Holder().Kind == "" {
		<-time.After(time.Millisecond)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if err := <-done; err != ErrClosed {
		t.Errorf("closed meanwhile: %v", err)
	}
	end()
	if _, err := ask(context.Background(), sqlite.CheckpointPassive, time.Hour); err != ErrClosed {
		t.Errorf("closed: %v", err)
	}
}

// A checkpoint of a statement's own has the log to itself.
func TestExclude(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	over, err := b.Exclude(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	b.fill(200)
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if _, err := b.Checkpoint(ctx, sqlite.CheckpointPassive, writer.Request{Budget: time.Minute}); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if s := b.Stats(); s.Checkpoints != 0 {
		t.Errorf("%+v", s)
	}
	over()
	b.settle()
	if s := b.Stats(); s.Checkpoints == 0 {
		t.Errorf("%+v", s)
	}
}

// What is written during a checkpoint is left to the next one, and nobody is in the way.
func TestWriterIsNotInTheWay(t *testing.T) {
	t.Parallel()
	looks := 0
	b := newBench(t, func(c *Config) {
		c.Limit = 0
		c.Foreign = func(context.Context, []int) (locks.Process, bool) { looks++; return locks.Process{}, false }
	})
	stop := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				b.fill(1)
			}
		}
	})
	outrun := 0
	for outrun < 50 {
		r, err := b.Checkpoint(context.Background(), sqlite.CheckpointPassive, writer.Request{Budget: time.Minute})
		if err != nil {
			t.Error(err)
			break
		}
		if r.Copied < r.Frames {
			outrun++
		}
	}
	close(stop)
	all.Wait()
	b.settle()
	if looks >= outrun { // sometimes the writer's own snapshot is in the way, for as long as its COMMIT takes
		t.Errorf("looked for another process each time: %d of %d", looks, outrun)
	}
	defer b.keep()()
	b.fill(1)
	if r, err := b.Checkpoint(context.Background(), sqlite.CheckpointPassive, writer.Request{Budget: time.Minute}); err != nil || r.Pin == nil || !r.Pin.Lease.Site.Known() {
		t.Errorf("beside a reader: %+v, %v", r, err)
	}
}

// A checkpoint that fails is tried again as the log grows, not with each commit.
func TestFailingCheckpoint(t *testing.T) {
	t.Parallel()
	broken, tries := errors.New("input/output error"), 0
	var fails atomic.Bool
	fails.Store(true)
	b := newBench(t, func(c *Config) {
		open := c.Open
		c.Owner = Own // looks for no tables
		c.Open = func(ctx context.Context) (*sqlite.Conn, error) {
			tries++
			if fails.Load() {
				return nil, broken
			}
			return open(ctx)
		}
	})
	const rows = 500
	for range rows {
		b.fill(1)
		b.settle()
	}
	steps := b.Stats().Frames/b.seenStep() + 1
	if tries == 0 || tries > steps {
		t.Errorf("%d tries in %d commits", tries, rows)
	}
	if len(b.events) != 1 || b.events[0].Kind != Failed || b.events[0].Err != broken {
		t.Errorf("%+v", b.events)
	}
	fails.Store(false)
	b.later(time.Second)
	if s := b.Stats(); s.Frames != 0 || b.size() != 0 {
		t.Errorf("%+v, %d bytes", s, b.size())
	}
}

// A log above its limit that is copied but can't be begun anew still stands.
func TestCopiedIsNotEmptied(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var events []Event
	b := newBench(t, func(c *Config) {
		c.OnEvent = func(e Event) { mu.Lock(); events = append(events, e); mu.Unlock() }
	})
	end := b.keep()
	b.fill(int(2 * b.cfg.Limit / 4096))
	b.later(time.Second)
	for range 10 {
		next := b.keep() // of the newest state
		end()
		end = next
		b.later(time.Second)
		if s := b.Stats(); s.Copied != s.Frames {
			t.Errorf("%+v", s)
		}
		b.fill(100)
		b.later(time.Second)
	}
	if len(events) != 1 || events[0].Kind != Stands || !events[0].Over {
		t.Errorf("%+v", events)
	}
	next := b.keep()
	end()
	b.later(quietAfter) // sees the last commit
	b.later(quietAfter) // and everything is copied
	next()
	b.later(time.Minute)
	if len(events) < 2 || events[len(events)-1].Kind != Emptied || b.size() != 0 {
		t.Errorf("%+v, %d bytes", events, b.size())
	}
}

// Who keeps a reader is known before a hold comes, however far the log is copied.
func TestHoldLetsReadersEnd(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	end := b.keep()
	b.fill(60)
	b.settle()
	var other func()
	done := make(chan struct{})
	go func() { other = b.keep(); close(done) }()
	<-done
	end()
	b.later(time.Second)
	if s := b.Stats(); s.Copied != s.Frames || 2*int64(s.Frames)*4120 < b.cfg.Limit || int64(s.Frames)*4120 > b.cfg.Limit {
		t.Fatalf("%+v", s)
	}
	defer b.keep()()
	held, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		release, _ := b.cfg.Pool.Hold(ctx, time.Minute)
		held <- struct{}{}
		<-held
		release()
	}()
	<-held
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	r, err := b.cfg.Pool.Get(ctx)
	if err != nil {
		t.Error(err)
	} else {
		b.cfg.Pool.Put(r, true)
	}
	held <- struct{}{}
	<-over
	other()
}

// The budget of a checkpoint is one for all its waits.
func TestCheckpointBudget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		h, err := b.cfg.Writer.Hold(context.Background(), writer.Request{SQL: "UPDATE"})
		if err != nil {
			t.Fatal(err)
		}
		const budget = time.Second
		over, err := b.Exclude(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(budget*3/2, over)
		begun := time.Now()
		if _, err := b.Checkpoint(context.Background(), sqlite.CheckpointFull, writer.Request{SQL: "checkpoint", Budget: budget}); err == nil {
			t.Error("the writer is somebody else's")
		}
		if took := time.Since(begun); took != budget*3/2 {
			t.Errorf("a budget of %s lasted %s", budget, took)
		}
		h.Release(nil)
	})
}

// A fence that has noticed something keeps everybody's hands off the log.
func TestFence(t *testing.T) {
	t.Parallel()
	fenced := errors.New("fenced")
	b := newBench(t, func(c *Config) { c.Fence = func() error { return fenced } })
	b.fill(400)
	b.later(time.Hour)
	if s := b.Stats(); s.Checkpoints != 0 {
		t.Errorf("%+v", s)
	}
	if _, err := b.Checkpoint(context.Background(), sqlite.CheckpointPassive, writer.Request{Budget: 1}); err != fenced {
		t.Error(err)
	}
}
