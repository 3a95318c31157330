package targets

import (
	"time"

	"github.com/DataDog/sketches-go/ddsketch"
)

// accuracy is how far a percentile may be off, relatively; buckets bounds the
// memory of a sketch.
const (
	accuracy = 0.01
	buckets  = 2048
)

// timing is durations of one kind, by one goroutine.
type timing struct {
	sketch  *ddsketch.DDSketch
	count   int64
	longest time.Duration
}

func (t *timing) add(took time.Duration) {
	if t.sketch == nil {
		t.sketch, _ = ddsketch.LogCollapsingLowestDenseDDSketch(accuracy, buckets) // fails for other constants
	}
	t.count++
	t.longest = max(t.longest, took)
	_ = t.sketch.Add(took.Seconds()) // refuses only what is no finite number
}

// since times what began at a moment.
func (t *timing) since(begin time.Time) { t.add(time.Since(begin)) }

func (t *timing) merge(other *timing) error {
	if other.count == 0 {
		return nil
	}
	if t.count == 0 {
		*t = *other
		return nil
	}
	t.count += other.count
	t.longest = max(t.longest, other.longest)
	return t.sketch.MergeWith(other.sketch)
}

// quantile is what the fraction q did not exceed, to one percent; of too few to
// tell, the longest.
func (t *timing) quantile(q float64) time.Duration {
	if float64(t.count)*(1-q) < 1 {
		return t.longest
	}
	s, err := t.sketch.GetValueAtQuantile(q)
	if err != nil {
		return t.longest
	}
	return min(time.Duration(s*float64(time.Second)), t.longest)
}
