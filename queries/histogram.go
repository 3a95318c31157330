package queries

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"iter"
	"math"
	"time"
)

// A bucket reaches from one power of 2^(1/32) seconds to the next, the upper
// bound included. These are the buckets of OpenTelemetry's exponential histogram
// of scale 5 and of Prometheus's native histogram of schema 5, so that both can
// be filled without loss.
const (
	Scale     = 5 // 2^Scale buckets double the duration
	perOctave = 1 << Scale

	leastOctave = -22 // 2^-22 s are 238 ns
	octaves     = 32  // up to 2^10 s

	leastBucket = leastOctave * perOctave
	mostBucket  = leastBucket + octaves*perOctave - 1
)

// Histogram counts durations in buckets that are at most 2.2 % wide, so that a
// quantile is at most 1.1 % off. What is below 238 ns counts in the lowest
// bucket, what is above 1024 s in the highest; sum and maximum are exact. It takes
// 0.5 to 8 KB, a bucket for each factor of two that occurs, and Add allocates
// when one occurs for the first time. Histograms add up without loss.
//
// The zero value is empty and ready to use. It is not safe for concurrent use,
// and a copy shares its buckets: see Clone.
type Histogram struct {
	// What each Add writes comes first, beside what its owner writes: fewer cache lines
	// go from one processor to the other.
	count   uint64
	sum     time.Duration
	most    time.Duration
	octaves [octaves]*[perOctave]uint64
}

// bounds are the lower ends of the buckets of one octave, as the 52 bits of a
// float64's mantissa. guess is, for each of 32 equal parts of the octave, how many
// of them lie below that part: at most two more are to be compared with.
var bounds, guess = func() (b [perOctave]uint64, g [perOctave]uint8) {
	for k := range b {
		b[k] = math.Float64bits(math.Exp2(float64(k)/perOctave)) & mantissa
	}
	for part := range g {
		for g[part] < perOctave && b[g[part]] < uint64(part)<<(52-Scale) {
			g[part]++
		}
	}
	return b, g
}()

const mantissa = 1<<52 - 1

// bucketOf returns the bucket of a duration.
func bucketOf(d time.Duration) int {
	if d <= 0 {
		return leastBucket
	}
	bits := math.Float64bits(float64(d) * 1e-9)
	m := bits & mantissa
	below := int(guess[m>>(52-Scale)])
	for below < perOctave && bounds[below] < m {
		below++
	}
	return min(max((int(bits>>52)-1023)*perOctave+below-1, leastBucket), mostBucket)
}

// Add counts one duration.
func (h *Histogram) Add(d time.Duration) { h.AddN(d, 1) }

// AddN counts n durations of d, as for a sample that stands for n.
func (h *Histogram) AddN(d time.Duration, n uint64) {
	if n == 0 {
		return
	}
	h.addTo(bucketOf(d), n)
	h.count += n
	h.sum += time.Duration(n) * d
	h.most = max(h.most, d)
}

func (h *Histogram) addTo(bucket int, n uint64) {
	at := uint(bucket - leastBucket)
	o := h.octaves[at/perOctave]
	if o == nil {
		o = new([perOctave]uint64)
		h.octaves[at/perOctave] = o
	}
	o[at%perOctave] += n
}

// Count is how many durations were added.
func (h *Histogram) Count() uint64 { return h.count }

// Sum is their sum.
func (h *Histogram) Sum() time.Duration { return h.sum }

// Max is the longest of them.
func (h *Histogram) Max() time.Duration { return h.most }

// Quantile returns the duration that a part of all durations, 0 to 1, does not
// exceed. It is 0 if there are none.
func (h *Histogram) Quantile(part float64) time.Duration {
	rank := max(uint64(math.Ceil(part*float64(h.count))), 1)
	if rank >= h.count {
		return h.most
	}
	for bucket, n := range h.Buckets() {
		if rank <= n {
			// The middle, of its logarithms.
			return min(time.Duration(math.Exp2((float64(bucket)+0.5)/perOctave)*1e9), h.most)
		}
		rank -= n
	}
	return h.most
}

// Buckets yields the buckets with durations in them, the shortest first, and how
// many. Bucket i has what is longer than 2^(i/32) seconds and not longer than
// 2^((i+1)/32). That is OpenTelemetry's index; Prometheus's is one more.
func (h *Histogram) Buckets() iter.Seq2[int, uint64] {
	return func(yield func(int, uint64) bool) {
		for i, o := range h.octaves {
			if o == nil {
				continue
			}
			for k, n := range o {
				if n > 0 && !yield(leastBucket+i*perOctave+k, n) {
					return
				}
			}
		}
	}
}

// Merge adds what another histogram has counted.
func (h *Histogram) Merge(other *Histogram) {
	for bucket, n := range other.Buckets() {
		h.addTo(bucket, n)
	}
	h.count += other.count
	h.sum += other.sum
	h.most = max(h.most, other.most)
}

// Clone returns a copy that shares nothing.
func (h *Histogram) Clone() *Histogram {
	c := new(Histogram)
	c.Merge(h)
	return c
}

// Since returns what was counted after an older state of the same histogram. Its
// maximum is the upper end of its highest bucket, or the histogram's if that is
// less.
func (h *Histogram) Since(older *Histogram) *Histogram {
	d := &Histogram{count: h.count - older.count, sum: h.sum - older.sum}
	for bucket, n := range h.Buckets() {
		at := uint(bucket - leastBucket)
		if o := older.octaves[at/perOctave]; o != nil {
			n -= o[at%perOctave]
		}
		if n > 0 {
			d.addTo(bucket, n)
			d.most = min(time.Duration(math.Exp2(float64(bucket+1)/perOctave)*1e9), h.most)
		}
	}
	return d
}

// format is the first byte of the binary form.
const format = 1

// AppendBinary appends a form of a few hundred bytes: variable-length integers, of each
// bucket its distance from the one before and its count.
func (h *Histogram) AppendBinary(b []byte) ([]byte, error) {
	b = append(b, format)
	b = binary.AppendVarint(b, int64(h.sum))
	b = binary.AppendVarint(b, int64(h.most))
	last := leastBucket
	for bucket, n := range h.Buckets() {
		b = binary.AppendUvarint(b, uint64(bucket-last))
		b = binary.AppendUvarint(b, n)
		last = bucket
	}
	return b, nil
}

// MarshalBinary is AppendBinary to nothing.
func (h *Histogram) MarshalBinary() ([]byte, error) { return h.AppendBinary(nil) }

var errFormat = errors.New("these bytes are no histogram of this version")

// UnmarshalBinary reads what AppendBinary has written.
func (h *Histogram) UnmarshalBinary(b []byte) error {
	*h = Histogram{}
	if len(b) == 0 || b[0] != format {
		return errFormat
	}
	r := reader{b: b[1:]}
	sum, most := r.signed(), r.signed()
	read := Histogram{sum: time.Duration(sum), most: time.Duration(most)}
	for bucket := uint64(0); len(r.b) > 0 && !r.bad; {
		step, n := r.unsigned(), r.unsigned()
		if bucket += step; step >= octaves*perOctave || bucket >= octaves*perOctave {
			return errFormat
		}
		read.addTo(leastBucket+int(bucket), n)
		read.count += n
	}
	if r.bad {
		return errFormat
	}
	*h = read
	return nil
}

// reader reads variable-length integers until one is bad.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) signed() int64 {
	v, n := binary.Varint(r.b)
	r.skip(n)
	return v
}

func (r *reader) unsigned() uint64 {
	v, n := binary.Uvarint(r.b)
	r.skip(n)
	return v
}

func (r *reader) skip(n int) {
	if r.bad = r.bad || n <= 0; r.bad {
		r.b = nil
		return
	}
	r.b = r.b[n:]
}

// MarshalText is the binary form in base64, for JSON.
func (h *Histogram) MarshalText() ([]byte, error) {
	b, err := h.AppendBinary(nil)
	return base64.RawStdEncoding.AppendEncode(nil, b), err
}

// UnmarshalText reads what MarshalText has written.
func (h *Histogram) UnmarshalText(text []byte) error {
	b, err := base64.RawStdEncoding.AppendDecode(nil, text)
	if err != nil {
		return errFormat
	}
	return h.UnmarshalBinary(b)
}
