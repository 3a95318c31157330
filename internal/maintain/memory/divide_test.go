package memory

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestDivide(t *testing.T) {
	const mib = 1 << 20
	for _, tc := range []struct {
		name   string
		total  int64
		places int
		parts  []part
		check  func(t *testing.T, got []int64)
	}{
		{
			"one that misses gets what the others don't want", 64 * mib, 16,
			[]part{{has: 4 * mib, peak: 4 * mib, hits: 900, evicted: 100}, {has: 4 * mib, peak: mib, hits: 50}, {has: 4 * mib, peak: 4 * mib, hits: 1, idle: true}},
			func(t *testing.T, got []int64) {
				if got[0] < 60*mib || got[1] < mib || got[2] != Least {
					t.Error(got)
				}
			},
		},
		{
			"equal needs, equal parts", 64 * mib, 4,
			[]part{{4 * mib, 4 * mib, 100, 100, false}, {4 * mib, 4 * mib, 100, 100, false}, {9 * mib, 9 * mib, 100, 100, false}, {4 * mib, 4 * mib, 100, 100, false}},
			func(t *testing.T, got []int64) {
				for _, n := range got {
					if n != 16*mib {
						t.Error(got)
					}
				}
			},
		},
		{
			"a scan has an equal part and no more", 64 * mib, 8,
			[]part{{8 * mib, 8 * mib, 0, 100000, false}, {8 * mib, 8 * mib, 5000, 5000, false}, {8 * mib, mib, 10, 0, true}},
			func(t *testing.T, got []int64) {
				if got[0] < 8*mib || got[1] < 2*got[0] {
					t.Error(got)
				}
			},
		},
		{
			"who came late has an equal part although the others use theirs", 64 * mib, 4,
			[]part{{30 * mib, 30 * mib, 1000, 0, false}, {30 * mib, 30 * mib, 1000, 0, false}, {Least, Least, 1, 500, false}},
			func(t *testing.T, got []int64) {
				if got[2] < 16*mib || got[0] < 16*mib || got[1] < 16*mib {
					t.Error(got)
				}
			},
		},
		{
			"nobody misses, and nothing is given out for nothing", 64 * mib, 2,
			[]part{{32 * mib, 2 * mib, 100, 0, false}, {32 * mib, mib, 100, 1, false}},
			func(t *testing.T, got []int64) {
				if got[0] > 3*mib || got[1] > 2*mib {
					t.Error(got)
				}
			},
		},
		{
			"more connections than there is room for", mib, 100, make([]part, 100),
			func(t *testing.T, got []int64) {
				for _, n := range got {
					if n != mib/100 {
						t.Fatal(got)
					}
				}
			},
		},
	} {
		t.Run(tc.name, func(t *testing.T) { tc.check(t, divide(tc.total, tc.total/int64(tc.places), Least, tc.parts)) })
	}
}

// Whatever the needs: the sum stays below the total, nobody has less than the least that
// there is for all, and nobody who misses has less than an equal part.
func TestDivideHolds(t *testing.T) {
	rnd := rand.New(rand.NewPCG(4, 4))
	for range 20_000 {
		total := 1<<20 + rnd.Int64N(1<<28)
		parts := make([]part, rnd.IntN(40))
		for i := range parts {
			has := rnd.Int64N(total)
			parts[i] = part{has: has, peak: rnd.Int64N(has + 1<<16), hits: float64(rnd.IntN(1e6)), evicted: float64(rnd.IntN(1e5)), idle: rnd.IntN(3) == 0}
			if rnd.IntN(2) == 0 {
				parts[i].peak = has
			}
		}
		equal := total / int64(max(len(parts)+rnd.IntN(20), 1))
		sum := int64(0)
		for i, n := range divide(total, equal, Least, parts) {
			sum += n
			if n < min(Least, equal) {
				t.Fatalf("%+v has %d", parts[i], n)
			}
			if parts[i].hungry() && n < equal {
				t.Fatalf("%+v misses and has %d of an equal part of %d", parts[i], n, equal)
			}
		}
		if sum > total {
			t.Fatalf("%d given out of %d to %+v", sum, total, parts)
		}
	}
}

// Caches with equal needs, measured as badly as a second allows, keep what they have.
func TestNoiseMovesNothing(t *testing.T) {
	rnd := rand.New(rand.NewPCG(9, 9))
	const n, total = 8, 64 << 20
	parts := make([]part, n)
	for i := range parts {
		parts[i] = part{has: total / n, peak: total / n, hits: 9000, evicted: 1000}
	}
	changes := 0
	for range 200 {
		for i := range parts {
			noise := 0.75 + rnd.Float64()/2
			parts[i].hits = (parts[i].hits + 9000*noise) / 2
			parts[i].evicted = (parts[i].evicted + 1000*noise) / 2
		}
		goals := divide(total, total/n, Least, parts)
		for i := range parts {
			if goal := settle(parts[i], goals[i], total/n); goal != parts[i].has {
				changes++
			}
		}
	}
	if changes > 0 {
		t.Errorf("%d changes in 200 rounds of %d caches", changes, n)
	}
}

func TestWorth(t *testing.T) {
	some := part{hits: 500, evicted: 500}.worth()
	for _, p := range []part{{hits: 1000}, {evicted: 1000}, {hits: 1000, evicted: 10}} {
		if w := p.worth(); math.IsNaN(w) || w > some/10 {
			t.Errorf("%+v is worth %.1f, and one that would gain %.1f", p, w, some)
		}
	}
}
