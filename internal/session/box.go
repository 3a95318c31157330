package session

import (
	"database/sql/driver"
	"unsafe"
)

// boxes makes interface values of numbers. Go allocates the eight bytes of each
// by itself; here up to boxesMost of them share one allocation, which makes a
// scan of numbers allocate hardly at all. A value that the program keeps keeps
// its neighbours' bytes, at most half a kilobyte. Texts are not treated so: a
// kept one would keep all that its neighbours point to.
type boxes struct {
	integers []int64
	floats   []float64
}

const boxesMost = 64

func (b *boxes) integer(v int64) driver.Value {
	if uint64(v) < 256 {
		return v // Go has boxes for these
	}
	return box(&b.integers, v)
}

func (b *boxes) float(v float64) driver.Value { return box(&b.floats, v) }

func box[T int64 | float64](slab *[]T, v T) any {
	if len(*slab) == cap(*slab) {
		// Results are mostly short, so the first slab is small.
		*slab = make([]T, 0, min(max(4, 4*cap(*slab)), boxesMost))
	}
	*slab = append(*slab, v)
	// An interface is a type and a pointer. Nobody writes to the slab's element
	// again, as nobody would to a box of Go's own.
	var out any = T(0)
	(*[2]unsafe.Pointer)(unsafe.Pointer(&out))[1] = unsafe.Pointer(&(*slab)[len(*slab)-1])
	return out
}
