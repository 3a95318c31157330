package pool

import (
	"context"
	"sync"
	"testing"

	"github.com/holdfastdb/holdfast/internal/sqlite"
)

func TestVisit(t *testing.T) {
	s := newSource(t, Config{Max: 3})
	var mu sync.Mutex
	seen := map[*sqlite.Conn]int{}
	visit := func(c *sqlite.Conn) {
		mu.Lock()
		defer mu.Unlock()
		seen[c]++
	}
	leased := make([]*Reader, 3)
	for i := range leased {
		r, err := s.Read(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		leased[i] = r
	}
	s.Put(leased[0], true)
	s.Put(leased[1], true)
	s.Visit(visit)
	if len(seen) != 2 || seen[leased[2].Conn] != 0 {
		t.Fatalf("%d of two idle readers, and the one in use %d times", len(seen), seen[leased[2].Conn])
	}
	s.Put(leased[2], true)
	if seen[leased[2].Conn] != 1 {
		t.Error("the reader that came back was not shown")
	}
	if !leased[0].warm {
		t.Error("a reader that was shown has lost its snapshot")
	}
	s.read(0)
	s.Visit(visit)
	s.Visit(visit)
	for _, n := range seen {
		if n != 3 {
			t.Errorf("a reader was shown %d times in three rounds", n)
		}
	}
}

// Readers are shown under load, each once a round, and by nobody but their owner.
func TestVisitUnderLoad(t *testing.T) {
	s := newSource(t, Config{Max: 4})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 500 {
				s.read(0)
			}
		})
	}
	var mu sync.Mutex
	for range 50 {
		seen := map[*sqlite.Conn]bool{}
		s.Visit(func(c *sqlite.Conn) {
			if _, err := c.CacheStatus(); err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if seen[c] {
				t.Error("shown twice in one round")
			}
			seen[c] = true
		})
	}
	all.Wait()
}

// account is told what was set aside.
type account struct{ runs uint32 }

func (a *account) Settle(e sqlite.Effort) { a.runs += e.Runs }

// Who gets a reader may keep it for long: what was set aside on it is told before.
func TestGetSettles(t *testing.T) {
	s := newSource(t, Config{Max: 1})
	var told account
	for want := range uint32(3) {
		r, err := s.Get(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if told.runs != want {
			t.Errorf("%d of %d executions are told while the reader is kept", told.runs, want)
		}
		s.Put(r, true)
		if r, err = s.Read(context.Background()); err != nil {
			t.Fatal(err)
		}
		st, _, err := r.Conn.PrepareCached("SELECT 1")
		if err != nil {
			t.Fatal(err)
		}
		if row, err := st.Step(); !row || err != nil {
			t.Error(row, err)
		}
		st.SetAside(&told, 1)
		if err := st.Release(); err != nil {
			t.Error(err)
		}
		s.Put(r, true)
	}
}
