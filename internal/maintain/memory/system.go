package memory

import (
	"math"
	"runtime/debug"
	"runtime/metrics"

	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// System tells how much memory the process may have: by its control groups, where there
// are any, and by GOMEMLIMIT.
func System() []Reserve { return append(kernel(), goLimit()...) }

// goLimit is GOMEMLIMIT, taken as a limit of the whole process. To Go's runtime it is
// none: it knows nothing of the memory that the engine maps, and with GOGC=off its heap
// grows up to the limit whatever is in it. So what counts here is what the last
// collection left, what is not heap, and the engine's.
func goLimit() []Reserve {
	limit := debug.SetMemoryLimit(-1)
	if limit == math.MaxInt64 {
		return nil
	}
	samples := [...]metrics.Sample{
		{Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/memory/classes/heap/released:bytes"},
	}
	metrics.Read(samples[:])
	var v [len(samples)]int64
	for i, s := range samples {
		if s.Value.Kind() != metrics.KindUint64 {
			return nil
		}
		v[i] = int64(s.Value.Uint64())
	}
	other := v[1] - v[2] - v[3] - v[4] - v[5]
	return []Reserve{{Name: "GOMEMLIMIT", Limit: limit, Used: v[0] + max(other, 0) + sqlite.MemoryUsed()}}
}
