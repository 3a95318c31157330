package work

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestBucketsHoldWhatTheySay(t *testing.T) {
	durations := []time.Duration{0, 1, 31, 32, 33, 63, 64, 65, 1000, time.Millisecond, time.Hour, math.MaxInt64}
	for range 10_000 {
		durations = append(durations, time.Duration(rand.Int64()>>rand.IntN(63)))
	}
	slices.Sort(durations)
	last := -1
	for _, d := range durations {
		b := bucket(d)
		if b < last || b >= buckets {
			t.Fatalf("%d ns is in bucket %d, after %d", d, b, last)
		}
		last = b
		if u := upper(b); u < d || float64(u-d) > float64(d)/32 {
			t.Fatalf("%d ns is in bucket %d, which ends at %d ns", d, b, u)
		}
		if b > 0 && upper(b-1) >= d {
			t.Fatalf("%d ns belongs into bucket %d already", d, b-1)
		}
	}
}

func TestQuantiles(t *testing.T) {
	var h Histogram
	if h.Quantile(0.99) != 0 {
		t.Error("an empty histogram has a percentile")
	}
	for i := range 1000 {
		h.Add(time.Duration(i+1) * time.Microsecond)
	}
	for q, want := range map[float64]time.Duration{0.5: 500 * time.Microsecond, 0.99: 990 * time.Microsecond, 1: time.Millisecond} {
		if got := h.Quantile(q); got < want || float64(got-want) > float64(want)/32 {
			t.Errorf("quantile %g is %s, want about %s", q, got, want)
		}
	}
	if h.Max() != time.Millisecond || h.Total() != 1000 {
		t.Errorf("max %s, total %d", h.Max(), h.Total())
	}
}

func TestHistogramTravelsAndMerges(t *testing.T) {
	var a, b, merged Histogram
	for i := range 100 {
		a.Add(time.Duration(i) * time.Microsecond)
		b.Add(time.Duration(i) * time.Millisecond)
	}
	for _, h := range []*Histogram{&a, &b} {
		text, err := json.Marshal(h)
		must(t, err)
		var back Histogram
		must(t, json.Unmarshal(text, &back))
		merged.Merge(&back)
	}
	a.Merge(&b)
	if merged != a {
		t.Error("what arrives is not what was sent")
	}
	if err := json.Unmarshal([]byte(`{"max_ns":1,"buckets":[[99999,1]]}`), &merged); err == nil {
		t.Error("a bucket that does not exist was accepted")
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
