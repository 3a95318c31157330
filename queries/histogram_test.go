package queries

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// Every bucket's index is the one that the logarithm gives.
func TestBucketsAreThoseOfTheConventions(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for range 200_000 {
		d := time.Duration(math.Exp(r.Float64() * math.Log(2e12)))
		x := d.Seconds()
		i := bucketOf(d)
		if i == leastBucket || i == mostBucket {
			continue
		}
		low, high := math.Exp2(float64(i)/perOctave), math.Exp2(float64(i+1)/perOctave)
		const rounding = 1e-12
		if x <= low*(1-rounding) || x > high*(1+rounding) {
			t.Fatalf("%v is in bucket %d, which is %v to %v s", d, i, low, high)
		}
	}
	for d, want := range map[time.Duration]int{
		-1: leastBucket, 0: leastBucket, 1: leastBucket, time.Second: -1, 2 * time.Second: perOctave - 1,
		time.Second + 1: 0, 1 << 62: mostBucket, 1024 * time.Second: mostBucket,
	} {
		if got := bucketOf(d); got != want {
			t.Errorf("bucket of %v is %d, want %d", d, got, want)
		}
	}
}

// fill adds n durations and returns them sorted.
func fill(h *Histogram, seed uint64, n int) []time.Duration {
	r := rand.New(rand.NewPCG(seed, 7))
	all := make([]time.Duration, n)
	for i := range all {
		all[i] = time.Duration(math.Exp(r.NormFloat64()*1.5+math.Log(50_000))) + 250
		h.Add(all[i])
	}
	slices.Sort(all)
	return all
}

func TestQuantiles(t *testing.T) {
	t.Parallel()
	var h Histogram
	all := fill(&h, 1, 100_000)
	for _, q := range []float64{0, 0.01, 0.5, 0.9, 0.95, 0.99, 0.999, 1} {
		exact := all[max(int(math.Ceil(q*float64(len(all)))), 1)-1]
		got := h.Quantile(q)
		if off := math.Abs(float64(got-exact)) / float64(exact); off > 0.011 {
			t.Errorf("quantile %v is %v, exactly %v: %.2f %% off", q, got, exact, 100*off)
		}
	}
	if h.Max() != all[len(all)-1] || h.Count() != uint64(len(all)) {
		t.Errorf("max %v, count %d", h.Max(), h.Count())
	}
	if (&Histogram{}).Quantile(0.5) != 0 {
		t.Error("an empty histogram has a quantile")
	}
}

func equal(a, b *Histogram) bool {
	if a.count != b.count || a.sum != b.sum || a.most != b.most {
		return false
	}
	x, _ := a.MarshalBinary()
	y, _ := b.MarshalBinary()
	return slices.Equal(x, y)
}

func TestMergeLosesNothing(t *testing.T) {
	t.Parallel()
	var a, b, both Histogram
	fill(&a, 1, 5000)
	fill(&both, 1, 5000)
	before := both.Clone()
	fill(&b, 2, 3000)
	fill(&both, 2, 3000)
	rest := both.Since(before)
	if rest.Count() != 3000 || rest.Sum() != b.Sum() || math.Abs(float64(rest.Max()-b.Max())) > 0.022*float64(b.Max()) {
		t.Errorf("since: %d, %v, %v", rest.Count(), rest.Sum(), rest.Max())
	}
	a.Merge(&b)
	if !equal(&a, &both) {
		t.Error("two merged are not one that was told all")
	}
	if !equal(before.Clone(), before) || before.Count() != 5000 {
		t.Error("a clone differs")
	}
}

func TestHistogramSurvivesJSON(t *testing.T) {
	t.Parallel()
	var h, back Histogram
	fill(&h, 3, 10_000)
	text, err := json.Marshal(&h)
	if err != nil {
		t.Fatal(err)
	}
	if len(text) > 1500 {
		t.Errorf("%d bytes", len(text))
	}
	if err := json.Unmarshal(text, &back); err != nil || !equal(&h, &back) {
		t.Errorf("%v: %d durations", err, back.Count())
	}
	for _, bad := range []string{`""`, `"AA"`, `"AQ"`, `"?"`, `"AQICgICA"`, `"AQICgJABAQ"`} {
		if err := json.Unmarshal([]byte(bad), &back); err == nil {
			t.Errorf("%s is taken for a histogram", bad)
		}
	}
}

func FuzzHistogram(f *testing.F) {
	var h Histogram
	fill(&h, 1, 100)
	b, _ := h.MarshalBinary()
	f.Add(b)
	f.Add([]byte{format, 2, 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		var h, again Histogram
		if h.UnmarshalBinary(b) != nil {
			return
		}
		h.Quantile(0.5)
		text, _ := h.MarshalBinary()
		if err := again.UnmarshalBinary(text); err != nil || again.sum != h.sum || again.count != h.count {
			t.Errorf("%v after %x", err, text)
		}
	})
}

func TestAddAllocatesNothing(t *testing.T) {
	var h Histogram
	h.Add(3 * time.Microsecond)
	if n := testing.AllocsPerRun(1000, func() { h.Add(3 * time.Microsecond) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkAdd(b *testing.B) {
	var h Histogram
	d := time.Duration(1000)
	for b.Loop() {
		h.Add(d)
		d = (d*7 + 13) & (1<<20 - 1)
	}
}

// A sample that stands for n counts as n durations.
func TestAddN(t *testing.T) {
	t.Parallel()
	var once, many Histogram
	for range 64 {
		many.Add(3 * time.Millisecond)
	}
	once.AddN(3*time.Millisecond, 64)
	once.AddN(time.Hour, 0)
	a, _ := once.MarshalText()
	b, _ := many.MarshalText()
	if string(a) != string(b) || once.Count() != 64 || once.Sum() != 192*time.Millisecond || once.Max() != 3*time.Millisecond {
		t.Errorf("%d of %v, most %v", once.Count(), once.Sum(), once.Max())
	}
}
