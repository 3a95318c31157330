package memory

import "math"

// part is what one cache has and does, for divide.
type part struct {
	has           int64   // bytes that it may have now
	peak          int64   // bytes that it had at the most, of late
	hits, evicted float64 // pages found, and pages that had to make room, of late
	idle          bool    // nothing was read of late
}

// satisfied is the share of pages that make room below which more memory would change
// nothing.
const satisfied = 1. / 64

// hungry tells whether more memory may bring more hits. Misses don't say that: with each
// commit by another connection a cache is emptied.
func (p part) hungry() bool {
	return !p.idle && p.evicted > satisfied*(p.hits+p.evicted)
}

// wants is how many bytes it has a use for.
func (p part) wants(least int64) int64 {
	if p.hungry() {
		return math.MaxInt64
	}
	return p.peak + p.peak/4 + least
}

// worth is how much good more memory does: nothing for a cache in which no page has to
// make room, and nothing for one without hits, which is read through from one end to the
// other. For pages that are all equally likely to be wanted it is the hits that the next
// byte brings, times the bytes that there are, so that caches with that worth per byte
// gain nothing from an exchange. A little for a cache without hits, which may be too small
// to have any.
func (p part) worth() float64 {
	return p.hits*p.evicted/(p.hits+p.evicted) + p.evicted/1024
}

// divide says how many of total bytes each cache should have. equal is an equal part, of
// which there are enough, and least what each has, if that is less. Nobody who wants it
// has less than an equal part, so that no cache is worse off than with equal parts; what
// the others don't want goes to the hungry ones by their worth. What nobody wants is not
// given out. The sum is never above total.
func divide(total, equal, least int64, parts []part) []int64 {
	out := make([]int64, len(parts))
	least = min(least, equal)
	anyHungry := false
	for _, p := range parts {
		anyHungry = anyHungry || p.hungry()
	}
	caps := make([]int64, len(parts))
	rest := total
	for i, p := range parts {
		caps[i] = p.wants(least)
		if p.idle && anyHungry {
			caps[i] = least
		}
		out[i] = max(min(caps[i], equal), least)
		rest -= out[i]
	}
	// First those who know how much they want.
	rest = pour(rest, out, caps, func(i int) float64 {
		if caps[i] == math.MaxInt64 {
			return 0
		}
		return float64(caps[i] - out[i])
	})
	pour(rest, out, caps, func(i int) float64 {
		if caps[i] < math.MaxInt64 {
			return 0
		}
		return parts[i].worth()
	})
	return out
}

// pour adds rest to out by weight, to each up to its cap, and returns what is left.
func pour(rest int64, out, caps []int64, weight func(int) float64) int64 {
	weights := make([]float64, len(out))
	for {
		sum := 0.
		for i := range out {
			weights[i] = 0
			if out[i] < caps[i] {
				weights[i] = weight(i)
				sum += weights[i]
			}
		}
		given := int64(0)
		for i, w := range weights {
			if w > 0 {
				n := min(int64(float64(rest)*w/sum), caps[i]-out[i], rest-given)
				out[i] += n
				given += n
			}
		}
		if rest -= given; given <= int64(len(out)) {
			return rest
		}
	}
}
