package pool

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// source is a pool of warm readers over a WAL database, and a connection that
// writes to it.
type source struct {
	*Pool
	t      *testing.T
	writer *sqlite.Conn
}

func newSource(t *testing.T, cfg Config) *source {
	t.Helper()
	path := filepath.Join(t.TempDir(), "app.db")
	open := func() (*sqlite.Conn, error) { return sqlite.Open(path, sqlite.OpenReadWrite|sqlite.OpenCreate) }
	w, err := open()
	if err == nil {
		err = w.Exec("PRAGMA journal_mode=WAL; CREATE TABLE t(a); INSERT INTO t VALUES (0)")
	}
	if err == nil {
		err = w.WALAutocheckpoint(0)
	}
	if err != nil {
		t.Fatal(err)
	}
	cfg.Warm = true
	cfg.Open = func(context.Context) (*sqlite.Conn, error) { return open() }
	s := &source{Pool: New(cfg), t: t, writer: w}
	t.Cleanup(func() {
		// It ends when all are back: one may be in the hands of tend for a moment.
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Errorf("left behind: %+v, %v", s.Stats(), err)
		}
		if ok, err := w.QueryText("PRAGMA integrity_check"); ok != "ok" {
			t.Errorf("integrity_check: %q, %v", ok, err)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// read leases a reader for one query, as a session does.
func (s *source) read(want int64) {
	s.t.Helper()
	r, err := s.Read(context.Background())
	if err != nil {
		s.t.Fatal(err)
	}
	if got, err := r.Conn.QueryInt64("SELECT max(a) FROM t"); got != want || err != nil {
		s.t.Errorf("read %d, %v; want %d", got, err, want)
	}
	s.Put(r, true)
}

func (s *source) write(sql string) {
	s.t.Helper()
	if err := s.writer.Exec(sql); err != nil {
		s.t.Fatal(err)
	}
}

func (s *source) warm() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.free {
		if r.warm {
			n++
		}
	}
	return n
}

func TestReadsKeepTheirSnapshotWhileItIsTheNewest(t *testing.T) {
	t.Parallel()
	s := newSource(t, Config{Max: 1})
	for range 10 {
		s.read(0)
	}
	if n := s.Stats().Warm; n != 9 {
		t.Errorf("%d of 10 reads found the snapshot", n)
	}
	for i := range int64(200) {
		s.write("UPDATE t SET a = a + 1")
		s.read(i + 1) // never an older state
	}
	if n := s.Stats().Warm; n != 9 {
		t.Errorf("%d snapshots were kept although each was out of date", n-9)
	}
	// The reader has stopped trying, and begins again some time.
	for range 3 * restMax {
		s.read(200)
	}
	if n := s.Stats().Warm; n < 9+restMax {
		t.Errorf("%d reads found the snapshot", n)
	}
}

func TestGetHandsOutNoTransaction(t *testing.T) {
	t.Parallel()
	s := newSource(t, Config{Max: 1})
	s.read(0)
	r, err := s.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !r.Conn.Autocommit() {
		t.Error("in a transaction")
	}
	s.Put(r, true)
	if st := s.Stats(); st.Open != 1 || s.warm() != 0 {
		t.Errorf("%+v", st)
	}
}

// A checkpoint finds no idle reader in its way after Cool, nor some time after
// the last read.
func TestIdleReadersGiveUpTheirSnapshots(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSource(t, Config{Max: 3})
		several := func() {
			var rs []*Reader
			for range 3 {
				r, err := s.Read(t.Context())
				if err == nil {
					_, err = r.Conn.QueryInt64("SELECT max(a) FROM t")
				}
				if err != nil {
					t.Fatal(err)
				}
				rs = append(rs, r)
			}
			for _, r := range rs {
				s.Put(r, true)
			}
		}
		copied := func() bool {
			log, done, err := s.writer.WALCheckpoint("main", sqlite.CheckpointPassive)
			return err == nil && log == done
		}
		several()
		s.write("UPDATE t SET a = 1")
		if copied() {
			t.Error("no snapshot was in the way: the test tests nothing")
		}
		s.Cool()
		if n := s.warm(); n != 0 || !copied() {
			t.Errorf("%d snapshots are left", n)
		}
		several()
		s.write("UPDATE t SET a = 2")
		<-time.After(coolAfter) // of the bubble: the first round only counts
		several()
		s.write("UPDATE t SET a = 3")
		<-time.After(2 * coolAfter)
		synctest.Wait()
		if n := s.warm(); n != 0 || !copied() {
			t.Errorf("%d snapshots are left", n)
		}
		if n := s.Stats().Open; n != 3 {
			t.Errorf("%d readers are open", n)
		}
	})
}

// A process that reads now and then, in bursts too close to each other for its
// readers to count as idle, must not keep another one's checkpoints from ever
// copying the whole log: the log would grow without end.
func TestBurstsOfReadsDoNotHoldUpTheLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSource(t, Config{Max: 1})
		longest := 0
		s.writer.SetWALHook(func(_ string, frames int) { // of a process that can't say Cool
			longest = max(longest, frames)
			if frames >= longLog {
				_, _, _ = s.writer.WALCheckpoint("main", sqlite.CheckpointPassive)
			}
		})
		const bursts, commits = 30, 100
		for i := range int64(bursts) {
			for range 3 {
				s.read(i * commits)
			}
			for range commits {
				<-time.After(coolAfter / 2 / commits) // of the bubble
				s.write("UPDATE t SET a = a + 1")
			}
		}
		if longest > longLog+2*commits {
			t.Errorf("the log had %d frames after %d commits", longest, bursts*commits)
		}
		if n := s.Stats().Warm; n < bursts {
			t.Errorf("%d reads found their snapshot: the test tests nothing", n)
		}
	})
}

// Readers, a writer, checkpoints that begin the log anew and Cool, all at once:
// no read sees less than what was committed before it began.
func TestSnapshotsUnderLoad(t *testing.T) {
	t.Parallel()
	s := newSource(t, Config{Max: 4})
	var mu sync.Mutex
	var committed int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			for range 500 {
				mu.Lock()
				least := committed
				mu.Unlock()
				r, err := s.Read(context.Background())
				if err != nil {
					t.Error(err)
					return
				}
				r.Busy.Arm(context.Background(), time.Minute, nil)
				got, err := r.Conn.QueryInt64("SELECT max(a) FROM t")
				r.Busy.Disarm()
				s.Put(r, true)
				if err != nil || got < least {
					t.Errorf("read %d after %d was committed, %v", got, least, err)
				}
			}
		})
	}
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := int64(1); ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			s.write("UPDATE t SET a = a + 1")
			mu.Lock()
			committed = i
			mu.Unlock()
			if i%7 == 0 {
				s.Cool()
			}
			if i%5 == 0 {
				_, _, _ = s.writer.WALCheckpoint("main", sqlite.CheckpointRestart) // busy readers may refuse it
			}
		}
	})
	wg.Wait()
	close(stop)
	writer.Wait()
}

func TestWaitersAllocateNothing(t *testing.T) {
	s := newSource(t, Config{Max: 1, Wait: time.Minute})
	ctx := t.Context()
	s.read(0)
	if n := testing.AllocsPerRun(100, func() {
		r, err := s.Get(ctx)
		if err != nil {
			t.Fatal(err)
		}
		s.Put(r, true)
	}); n != 0 {
		t.Errorf("a lease allocates %v times", n)
	}
	held, err := s.Get(ctx)
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	w := s.queue() // one waiter, to be used again
	s.answer(w, grant{err: ErrExhausted})
	s.mu.Unlock()
	<-w.got
	s.done(w, nil)
	if n := testing.AllocsPerRun(100, func() {
		s.mu.Lock()
		w := s.queue()
		s.answer(w, grant{err: ErrExhausted})
		s.mu.Unlock()
		if _, err := s.wait(ctx, w); err == nil {
			t.Fatal("no answer")
		}
	}); n != 0 {
		t.Errorf("a wait allocates %v times", n)
	}
	s.Put(held, true)
}

// BenchmarkLease is one Get and Put under a context that can end.
func BenchmarkLease(b *testing.B) {
	for _, c := range []struct {
		name                string
		goroutines, readers int
	}{{"alone", 1, 1}, {"8 goroutines", 8, 8}, {"8 goroutines wait for 4 readers", 8, 4}} {
		b.Run(c.name, func(b *testing.B) {
			pool := New(Config{Max: c.readers, Open: func(context.Context) (*sqlite.Conn, error) {
				return sqlite.Open(":memory:", sqlite.OpenReadWrite)
			}})
			defer pool.Close(context.Background())
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			run := func(n int) {
				var wg sync.WaitGroup
				for range c.goroutines {
					wg.Go(func() {
						for range n / c.goroutines {
							r, err := pool.Get(ctx)
							if err != nil {
								b.Error(err)
								return
							}
							pool.Put(r, true)
						}
					})
				}
				wg.Wait()
			}
			run(1000) // opens the readers
			b.ReportAllocs()
			b.ResetTimer()
			run(b.N)
		})
	}
}
