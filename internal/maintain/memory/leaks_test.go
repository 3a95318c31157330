package memory

import (
	"math/rand/v2"
	"runtime/debug"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/internal/locks"
)

func TestStatements(t *testing.T) {
	leaking, healthy, growing := locks.At([]uintptr{1}), locks.At([]uintptr{2}), locks.At([]uintptr{3})
	var s Statements
	now := time.Now()
	counts := map[locks.Site]int64{}
	look := func() []Suspect {
		t.Helper()
		now = now.Add(15 * time.Second)
		return s.Look(now, 15*time.Second, func() (out []Open, least int64) {
			for site, n := range counts {
				out = append(out, Open{site, n, "SELECT 1"})
			}
			return out, 100
		})
	}
	told := 0
	for i := range int64(40) {
		counts[leaking] += 30
		counts[healthy] = 500 + i%3*100
		counts[growing] = min(1000, 400*i) // what it needs, and no more
		for _, found := range look() {
			told++
			if found.Site != leaking {
				t.Fatalf("look %d: %+v", i, found)
			}
			if found.Count < 100 || found.From != 30 || !found.Since.Before(now) {
				t.Errorf("%+v", found)
			}
		}
	}
	if told < 2 || told > 4 {
		t.Errorf("told %d times, want once for each doubling", told)
	}
	if got := s.Suspects(); len(got) != 1 || got[0].Site != leaking || got[0].Count != 1200 {
		t.Errorf("%+v", got)
	}
	if s.Look(now, time.Minute, func() ([]Open, int64) { t.Error("asked too soon"); return nil, 0 }) != nil {
		t.Error("told too soon")
	}
	counts[leaking] = 10 // closed after all
	look()
	if got := s.Suspects(); len(got) != 0 {
		t.Errorf("%+v", got)
	}
	delete(counts, leaking)
	look()
	if len(s.sites) != 2 {
		t.Errorf("%d sites are kept", len(s.sites))
	}
}

func TestTrend(t *testing.T) {
	const mib = 1 << 20
	rnd := rand.New(rand.NewPCG(3, 3))
	for name, tc := range map[string]struct {
		at   func(minute int) int64
		want bool
	}{
		"a leak of a megabyte a minute under noise": {func(m int) int64 { return 50*mib + int64(m)*mib + rnd.Int64N(4*mib) }, true},
		"noise":                  {func(int) int64 { return 50*mib + rnd.Int64N(30*mib) }, false},
		"one jump":               {func(m int) int64 { return 50*mib + int64(min(m/30, 1))*40*mib }, false},
		"little":                 {func(m int) int64 { return 50*mib + int64(m)*10_000 }, false},
		"a tooth of half a hour": {func(m int) int64 { return 50*mib + int64(m%30)*mib }, false},
	} {
		t.Run(name, func(t *testing.T) {
			var trend Trend
			start := time.Now()
			found := 0
			for m := range 180 {
				at := start.Add(time.Duration(m) * time.Minute)
				if g, ok := trend.Add(at, tc.at(m)); ok {
					found++
					if g.Rate < 50*mib || g.Rate > 70*mib || g.Bytes < 50*mib || !g.Since.Equal(start) {
						t.Errorf("%+v", g)
					}
				}
				if _, ok := trend.Add(at.Add(time.Second), 1<<40); ok {
					t.Error("looked again after a second")
				}
			}
			if (found == 1) != tc.want || found > 1 {
				t.Errorf("told %d times", found)
			}
		})
	}
}

func TestGoLimit(t *testing.T) {
	if old := debug.SetMemoryLimit(1 << 40); old != 1<<40 {
		defer debug.SetMemoryLimit(old)
	}
	got := goLimit()
	if len(got) != 1 || got[0].Name != "GOMEMLIMIT" || got[0].Limit != 1<<40 || got[0].Used <= 0 || got[0].Used > 1<<32 {
		t.Errorf("%+v", got)
	}
	debug.SetMemoryLimit(1<<63 - 1)
	if got := goLimit(); got != nil {
		t.Errorf("%+v", got)
	}
}
