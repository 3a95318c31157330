package pool

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfastdb/holdfast/internal/sqlite"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// well is a pool over a file of its own that counts what it opens and closes.
type well struct {
	*Pool
	t              *testing.T
	opened, closed atomic.Int64
	reasons        sync.Map
	openErr        atomic.Pointer[error]
	checkErr       atomic.Pointer[error]
}

func newWell(t *testing.T, cfg Config) *well {
	t.Helper()
	w := &well{t: t}
	path := filepath.Join(t.TempDir(), "app.db")
	cfg.Open = func(context.Context) (*sqlite.Conn, error) {
		if e := w.openErr.Load(); e != nil {
			return nil, *e
		}
		w.opened.Add(1)
		return sqlite.Open(path, sqlite.OpenReadWrite|sqlite.OpenCreate)
	}
	cfg.Check = func(*sqlite.Conn) error {
		if e := w.checkErr.Load(); e != nil {
			return *e
		}
		return nil
	}
	cfg.OnClose = func(reason string) {
		w.closed.Add(1)
		n, _ := w.reasons.LoadOrStore(reason, new(atomic.Int64))
		n.(*atomic.Int64).Add(1)
	}
	w.Pool = New(cfg)
	return w
}

func (w *well) count(reason string) int64 {
	if n, ok := w.reasons.Load(reason); ok {
		return n.(*atomic.Int64).Load()
	}
	return 0
}

func (w *well) get() *Reader {
	w.t.Helper()
	r, err := w.Get(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func (w *well) end() {
	w.t.Helper()
	if s := w.Stats(); s.InUse != 0 || s.Waiting != 0 {
		w.t.Errorf("left behind: %+v", s)
	}
	if len(w.holders) != 0 {
		w.t.Errorf("%d goroutines still hold readers", len(w.holders))
	}
	if err := w.Close(context.Background()); err != nil {
		w.t.Error(err)
	}
	if o, c := w.opened.Load(), w.closed.Load(); o != c {
		w.t.Errorf("%d connections were opened and %d closed", o, c)
	}
	if _, err := w.Get(context.Background()); !errors.Is(err, ErrClosed) {
		w.t.Errorf("Get after Close: %v", err)
	}
}

func TestReadersAreReusedTheWarmestFirst(t *testing.T) {
	t.Parallel()
	w := newWell(t, Config{Max: 3})
	a, b := w.get(), w.get()
	w.Put(a, true)
	w.Put(b, true)
	if r := w.get(); r != b {
		t.Error("the coldest came first")
	} else {
		w.Put(r, true)
	}
	if n := w.opened.Load(); n != 2 {
		t.Errorf("%d were opened", n)
	}
	w.end()
}

func TestUncleanReadersAreNotHandedOutAgain(t *testing.T) {
	t.Parallel()
	w := newWell(t, Config{Max: 2})
	r := w.get()
	if err := r.Conn.Exec("BEGIN"); err != nil {
		t.Fatal(err)
	}
	w.Put(r, true) // whatever its user says
	r = w.get()
	if !r.Conn.Autocommit() {
		t.Error("in the middle of somebody's transaction")
	}
	w.Put(r, false)
	if n := w.count("unclean"); n != 2 {
		t.Errorf("%d were closed as unclean", n)
	}
	w.end()
}

func TestWaitersAreServedInTheirOrderAndLeave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWell(t, Config{Max: 1, Wait: time.Second})
		busy := w.get()
		var order []int
		var wg sync.WaitGroup
		for i := range 3 {
			wg.Go(func() {
				r := w.get()
				order = append(order, i) // one has the reader at a time
				w.Put(r, true)
			})
			synctest.Wait()
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		defer cancel()
		start := time.Now()
		if _, err := w.Get(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 5*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		w.Put(busy, true)
		wg.Wait()
		if len(order) != 3 || order[0] != 0 || order[1] != 1 || order[2] != 2 {
			t.Errorf("served in the order %v", order)
		}
		w.end()
	})
}

// Queries that are merely slow give their readers back some time; going past
// the maximum for them would make it no maximum.
func TestSlowQueriesStayWithinTheMaximum(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWell(t, Config{Max: 2, Wait: time.Minute})
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				r := w.get()
				<-time.After(time.Second) // a query
				w.Put(r, true)
			})
		}
		wg.Wait()
		if s := w.Stats(); s.Beyond != 0 || s.MaxInUse != 2 {
			t.Errorf("%d leases past the maximum, %d at once", s.Beyond, s.MaxInUse)
		}
		w.end()
	})
}

func TestWaitForOneselfGoesPastTheMaximum(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWell(t, Config{Max: 1, Wait: time.Minute})
		r := w.get()
		w.Keep(r)
		start := time.Now()
		second := w.get()
		if took := time.Since(start); took != 0 {
			t.Errorf("waited %v for itself", took)
		}
		// The same through another goroutine can't be told from load at once.
		done := make(chan *Reader)
		w.Keep(second)
		go func() { done <- w.get() }()
		third := <-done
		if took := time.Since(start); took != stallAfter {
			t.Errorf("waited %v", took)
		}
		for _, r := range []*Reader{r, second, third} {
			w.Put(r, true)
		}
		if s := w.Stats(); s.Beyond != 2 || s.Open != 1 {
			t.Errorf("%+v", s)
		}
		w.end()
	})
}

func TestWaitBudget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWell(t, Config{Max: 1, Wait: time.Second})
		r := w.get()
		start := time.Now()
		if _, err := w.Get(t.Context()); !errors.Is(err, ErrExhausted) || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		w.Put(r, true)
		w.end()
	})
}

func TestFailedOpenPassesItsPlaceOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWell(t, Config{Max: 1, Wait: time.Minute})
		r := w.get()
		no := errors.New("no descriptors")
		w.openErr.Store(&no)
		errs := make(chan error, 2)
		for range 2 {
			go func() { _, err := w.Get(t.Context()); errs <- err }()
		}
		synctest.Wait()
		w.Put(r, false) // closed: whoever waits has to open
		for range 2 {
			if err := <-errs; !errors.Is(err, no) {
				t.Errorf("%v", err)
			}
		}
		w.openErr.Store(nil)
		w.Put(w.get(), true)
		w.end()
	})
}

// A reader that no longer answers is replaced in its place, also while others
// wait and while the pool is closed.
func TestFailedCheckKeepsItsPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWell(t, Config{Max: 1, CheckEvery: time.Millisecond, Wait: time.Minute})
		w.Put(w.get(), true)
		<-time.After(time.Second)
		w.Retire(time.Now()) // the pool's clock
		bad := errors.New("gone")
		w.checkErr.Store(&bad)
		closing := make(chan error, 1)
		cfgClose := w.cfg.OnClose
		w.cfg.OnClose = func(reason string) { // in the middle of the exchange
			cfgClose(reason)
			if reason == "check" {
				go func() { closing <- w.Close(context.Background()) }()
				synctest.Wait()
			}
		}
		r, err := w.Get(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if s := w.Stats(); s.Open != 1 {
			t.Errorf("%d are open", s.Open)
		}
		select {
		case err := <-closing:
			t.Errorf("Close returned while a reader is out: %v", err)
		default:
		}
		w.Put(r, true)
		if err := <-closing; err != nil {
			t.Error(err)
		}
		w.end()
	})
}

func TestRetireKeepsTheMinimum(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWell(t, Config{Min: 1, Max: 4, IdleTime: time.Minute, Lifetime: time.Hour})
		var rs []*Reader
		for range 3 {
			rs = append(rs, w.get())
		}
		for _, r := range rs {
			w.Put(r, true)
		}
		w.Retire(time.Now())
		if s := w.Stats(); s.Open != 3 {
			t.Errorf("%d are open", s.Open)
		}
		w.Retire(time.Now().Add(2 * time.Minute))
		if s := w.Stats(); s.Open != 1 {
			t.Errorf("%d are open, the minimum is 1", s.Open)
		}
		w.Retire(time.Now().Add(2 * time.Hour)) // too old, minimum or not
		if s := w.Stats(); s.Open != 0 {
			t.Errorf("%d are open", s.Open)
		}
		w.end()
	})
}

func TestManyGoroutinesUnderCancellation(t *testing.T) {
	t.Parallel()
	w := newWell(t, Config{Max: 3, Wait: time.Second, Lifetime: time.Millisecond})
	var inUse sync.Map
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			for i := range 50 {
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration((g*7+i*13)%400)*time.Microsecond)
				r, err := w.Get(ctx)
				cancel()
				if err != nil {
					continue
				}
				if _, twice := inUse.LoadOrStore(r, g); twice {
					t.Error("one reader was leased twice")
				}
				if i%3 == 0 {
					w.Keep(r)
				}
				inUse.Delete(r)
				w.Put(r, i%5 != 0)
			}
		})
	}
	wg.Wait()
	w.end()
}
