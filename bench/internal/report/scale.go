package report

import (
	"fmt"
	"math"
)

// scale maps values to a part of the plot's width. It begins at zero, so that
// the bars' lengths compare as the values do, unless the contestants are too far
// apart for that: then it is logarithmic, between two powers of ten.
type scale struct {
	low, high float64
	step      float64 // between ticks; 0 where it is logarithmic
}

// farApart is the ratio at which the shortest bar is too short to be seen.
const farApart = 30

func scaleOf(all []Contestant) scale {
	low, high := math.Inf(1), math.Inf(-1)
	for _, c := range all {
		if s := c.Summary; s.Median > 0 {
			low = min(low, s.Median)
			high = max(high, s.Median, s.Max)
			if s.Min > 0 {
				low = min(low, s.Min)
			}
		}
	}
	switch {
	case low > high: // nobody got anything done
		return scale{high: 1, step: 1}
	case high/low < farApart:
		return linear(high)
	}
	// The smallest bar keeps some length.
	return scale{low: math.Pow10(int(math.Floor(math.Log10(low * 0.7)))), high: math.Pow10(int(math.Ceil(math.Log10(high))))}
}

// linear has two to five ticks at round values, and ends where the values do.
func linear(high float64) scale {
	step := math.Pow10(int(math.Floor(math.Log10(high))))
	switch n := high / step; {
	case n < 2:
		step /= 2
	case n >= 5:
		step *= 2
	}
	return scale{high: high, step: step}
}

func (s scale) name() string {
	if s.step == 0 {
		return "logarithmic scale"
	}
	return "from zero"
}

func (s scale) part(v float64) float64 {
	part := v / s.high
	if s.step == 0 {
		part = math.Log(v/s.low) / math.Log(s.high/s.low)
	}
	return min(max(part, 0), 1)
}

func (s scale) ticks() []float64 {
	var all []float64
	if s.step == 0 {
		for v := s.low; v < s.high*1.001; v *= 10 {
			all = append(all, v)
		}
		return all
	}
	for i := 0; float64(i)*s.step <= s.high*1.001; i++ {
		all = append(all, float64(i)*s.step)
	}
	return all
}

// tick writes a value shortly.
func tick(v float64) string {
	switch {
	case v >= 1e9:
		return fmt.Sprintf("%.3gG", v/1e9)
	case v >= 1e6:
		return fmt.Sprintf("%.3gM", v/1e6)
	case v >= 1e3:
		return fmt.Sprintf("%.3gk", v/1e3)
	}
	return fmt.Sprintf("%.3g", v)
}
