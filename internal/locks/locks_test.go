package locks

import (
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSiteNamesTheCaller(t *testing.T) {
	t.Parallel()
	s := Here(0, Deep)
	if !s.Known() || !strings.HasPrefix(s.String(), "locks_test.go:") || !strings.Contains(s.String(), "TestSiteNamesTheCaller") {
		t.Errorf("%s", s)
	}
	file, line, function := s.Location()
	if !strings.HasSuffix(file, "locks_test.go") || line == 0 || function == "" {
		t.Errorf("%s:%d %s", file, line, function)
	}
	var zero Site
	if zero.Known() || zero.String() != "unknown call site" {
		t.Errorf("%s", zero)
	}
}

func TestGoroutineNumbersDiffer(t *testing.T) {
	t.Parallel()
	own := Goroutine()
	if own == 0 || own != Goroutine() {
		t.Errorf("%d", own)
	}
	other := make(chan uint64)
	go func() { other <- Goroutine() }()
	if n := <-other; n == own || n == 0 {
		t.Errorf("%d and %d", own, n)
	}
}

func TestRegistry(t *testing.T) {
	t.Parallel()
	var r Registry
	now := time.Now()
	var evicted []Kind
	lease := func(k Kind, age time.Duration, ends bool) *Lease {
		l := &Lease{Kind: k, Since: now.Add(-age)}
		l.Evict = func() bool {
			if ends {
				evicted = append(evicted, k)
				r.Remove(l) // as its owner does
			}
			return ends
		}
		r.Add(l)
		return l
	}
	old := lease(Rows, time.Hour, true)
	lease(WriteTx, time.Minute, false)
	lease(ReadTx, time.Second, true)
	r.Add(&Lease{Kind: Conn, Since: now.Add(-time.Hour)}) // can't be ended
	r.Describe(old, "SELECT 1", 0)
	r.Describe(old, "SELECT 2", 3)
	if s := r.Snapshot(); len(s) != 4 || s[3].Kind != ReadTx || s[1].Last+s[0].Last != "SELECT 2" || s[1].Rows+s[0].Rows != 3 {
		t.Errorf("%v", s)
	}
	if o := r.Overdue(now, time.Minute); len(o) != 3 {
		t.Errorf("%d are overdue", len(o))
	}
	if o := r.Overdue(now, time.Minute); len(o) != 0 {
		t.Errorf("%d are reported twice", len(o))
	}
	if e := r.EvictOlder(now, time.Minute, ReadTx); len(e) != 0 {
		t.Errorf("%v were ended", e)
	}
	if e := r.EvictOlder(now, time.Minute); len(e) != 1 || e[0].Kind != Rows || e[0].SQL != "SELECT 1" {
		t.Errorf("%v were ended", e)
	}
	r.Remove(old)
	if len(evicted) != 1 || r.Len() != 3 {
		t.Errorf("%v, %d are left", evicted, r.Len())
	}
}

// The watchdog reads leases while their owners use them: run with -race.
func TestRegistryRaces(t *testing.T) {
	t.Parallel()
	var r Registry
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				l := &Lease{Kind: WriteTx, Since: time.Now(), Evict: func() bool { return true }}
				r.Add(l)
				r.Describe(l, "SELECT 1", 0)
				r.Become(l, ReadTx)
				r.Remove(l)
			}
		})
	}
	wg.Go(func() {
		for range 200 {
			later := time.Now().Add(time.Hour)
			r.Snapshot()
			r.Overdue(later, 0)
			r.EvictOlder(later, 0)
		}
	})
	wg.Wait()
	if n := r.Len(); n != 0 {
		t.Errorf("%d are left", n)
	}
}
