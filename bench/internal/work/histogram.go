package work

import (
	"encoding/json"
	"fmt"
	"math/bits"
	"time"
)

// Histogram counts durations in buckets that are at most 1/32 wide, relative to
// the durations in them. The loops in C and Python use the same buckets, so
// that all percentiles are equally precise. The zero value is empty; it is not
// safe for concurrent use.
type Histogram struct {
	counts [buckets]int64
	total  int64
	max    time.Duration
}

const (
	precision = 5 // bits of a duration that its bucket keeps below the highest
	perPower  = 1 << precision
	buckets   = (64 - precision) * perPower
)

// bucket is exact below perPower nanoseconds; above it is the power of two and
// the next bits.
func bucket(d time.Duration) int {
	ns := uint64(max(d, 0))
	if ns < perPower {
		return int(ns)
	}
	shift := bits.Len64(ns) - 1 - precision
	return shift*perPower + int(ns>>shift)
}

// upper is the longest duration of a bucket.
func upper(bucket int) time.Duration {
	if bucket < perPower {
		return time.Duration(bucket)
	}
	shift := bucket/perPower - 1
	low := uint64(perPower+bucket%perPower) << shift
	return time.Duration(low + 1<<shift - 1)
}

// Add counts one duration.
func (h *Histogram) Add(d time.Duration) {
	h.counts[bucket(d)]++
	h.total++
	h.max = max(h.max, d)
}

// Merge adds the counts of other.
func (h *Histogram) Merge(other *Histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.total += other.total
	h.max = max(h.max, other.max)
}

// Total is how many durations were counted.
func (h *Histogram) Total() int64 { return h.total }

// Max is the longest duration, exactly.
func (h *Histogram) Max() time.Duration { return h.max }

// Quantile is the duration that the fraction q did not exceed; 0 if none was
// counted.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank := int64(q * float64(h.total))
	for i, n := range h.counts {
		if rank -= n; n > 0 && rank <= 0 {
			return min(upper(i), h.max)
		}
	}
	return h.max
}

// sparse is a Histogram as the processes tell it to each other.
type sparse struct {
	Max     int64      `json:"max_ns"`
	Buckets [][2]int64 `json:"buckets"` // index and count
}

// MarshalJSON lists the buckets that are not empty.
func (h *Histogram) MarshalJSON() ([]byte, error) {
	s := sparse{Max: int64(h.max), Buckets: [][2]int64{}}
	for i, n := range h.counts {
		if n != 0 {
			s.Buckets = append(s.Buckets, [2]int64{int64(i), n})
		}
	}
	return json.Marshal(s)
}

// UnmarshalJSON is the inverse of MarshalJSON.
func (h *Histogram) UnmarshalJSON(text []byte) error {
	var s sparse
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	*h = Histogram{max: time.Duration(s.Max)}
	for _, b := range s.Buckets {
		if b[0] < 0 || b[0] >= buckets || b[1] < 0 {
			return fmt.Errorf("histogram: no bucket %d with count %d", b[0], b[1])
		}
		h.counts[b[0]] += b[1]
		h.total += b[1]
	}
	return nil
}
