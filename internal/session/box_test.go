package session

import (
	"math"
	"runtime"
	"testing"
)

func TestBoxesHoldTheirValues(t *testing.T) {
	t.Parallel()
	var b boxes
	var got []any
	want := func(i int) (int64, float64) { return int64(i)*977 - 5000, float64(i) / 7 }
	for i := range 10_000 {
		n, x := want(i)
		got = append(got, b.integer(n), b.float(x))
		if i%1000 == 0 {
			runtime.GC() // boxes are found through the interfaces alone
		}
	}
	b = boxes{}
	runtime.GC()
	for i := range 10_000 {
		n, x := want(i)
		if got[2*i] != any(n) || got[2*i+1] != any(x) {
			t.Fatalf("%d: %v and %v", i, got[2*i], got[2*i+1])
		}
	}
	if v := b.integer(math.MinInt64); v != any(int64(math.MinInt64)) {
		t.Error(v)
	}
}

func TestBoxesShareAllocations(t *testing.T) {
	var b boxes
	var sink any
	if n := testing.AllocsPerRun(100, func() {
		for i := range boxesMost {
			sink = b.integer(int64(1000 + i))
			sink = b.float(0.5)
		}
	}); n > 3 {
		t.Errorf("%v allocations for %d values", n, 2*boxesMost)
	}
	_ = sink
}
