package selftest

import (
	"math/rand/v2"
	"testing"
)

// A file that was cut has less than a page left, and is damaged further.
func TestMutateShortFiles(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 0))
		mutate(r, make([]byte, 200+r.IntN(1000)), 1024)
	}
}
