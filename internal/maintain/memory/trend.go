package memory

import (
	"slices"
	"time"
)

// Trend finds memory that grows for an hour without an explanation. The zero value is
// ready to use.
type Trend struct {
	samples [60]sample
	n       int // so far
	told    bool
}

type sample struct {
	at    time.Time
	bytes int64
}

const (
	trendEvery = time.Minute
	trendLeast = 8 << 20 // what may come and go in an hour
)

// Growth is memory that has grown.
type Growth struct {
	Since time.Time
	From  int64   // bytes
	Bytes int64   // by which it has grown since, by the slope
	Rate  float64 // bytes an hour
}

// Add takes in what is unexplained now, and tells once if it rises without end. More
// often than once a minute it looks at nothing.
func (t *Trend) Add(now time.Time, unexplained int64) (Growth, bool) {
	size := len(t.samples)
	if t.n > 0 && now.Sub(t.samples[(t.n-1)%size].at) < trendEvery {
		return Growth{}, false
	}
	t.samples[t.n%size] = sample{now, unexplained}
	t.n++
	if t.n < size || t.told {
		return Growth{}, false
	}
	g, rising := growth(append(slices.Clone(t.samples[t.n%size:]), t.samples[:t.n%size]...))
	t.told = rising
	return g, rising
}

// growth is the slope by Theil and Sen, the median of those between all pairs, which a
// third of the samples can't move: no peak, no single jump. Rising means that nine of ten
// pairs rise and the whole is more than what comes and goes.
func growth(s []sample) (Growth, bool) {
	var slopes []float64
	rising := 0
	for i := range s {
		for j := i + 1; j < len(s); j++ {
			hours := s[j].at.Sub(s[i].at).Hours()
			if hours <= 0 {
				continue
			}
			slopes = append(slopes, float64(s[j].bytes-s[i].bytes)/hours)
			if s[j].bytes > s[i].bytes {
				rising++
			}
		}
	}
	if len(slopes) == 0 {
		return Growth{}, false
	}
	slices.Sort(slopes)
	first, last := s[0], s[len(s)-1]
	g := Growth{Since: first.at, From: first.bytes, Rate: slopes[len(slopes)/2]}
	g.Bytes = int64(g.Rate * last.at.Sub(first.at).Hours())
	return g, rising >= len(slopes)*9/10 && g.Bytes > max(trendLeast, first.bytes/10)
}
