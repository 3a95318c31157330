package memory

// Reserve is one bound on the memory of the process, and how much of it is taken by what
// can't be given up at once.
type Reserve struct {
	Name  string // "cgroup memory.max", "GOMEMLIMIT"
	Limit int64  // bytes
	Used  int64  // bytes
	Tight bool   // the kernel says that the process waits for memory
}

// nearest is the bound of which most is taken; zero if there is none.
func nearest(reserves []Reserve) (r Reserve) {
	for _, other := range reserves {
		if r.Limit == 0 || float64(other.Used)/float64(other.Limit) > float64(r.Used)/float64(r.Limit) {
			r = other
		}
	}
	return r
}

// A bound is respected from nine tenths on. Caches that were made smaller grow again
// below eight, an eighth of the budget at a time.
const (
	fullAt  = 10 // less than Limit/10 is left
	spareAt = 5  // more than Limit/5 is
)

// squeeze is how much of the budget may be used while memory is short.
type squeeze struct {
	bytes int64 // of the budget that may be used; 0: all of it
	name  string
	close bool // to a bound: look again soon
}

func (q *squeeze) limit(total int64) int64 {
	if q.bytes == 0 {
		return total
	}
	return min(q.bytes, total)
}

// update takes in what the system says. caches is what the caches have now. It reports
// whether memory is to be given back that nobody uses.
func (q *squeeze) update(total, caches int64, reserves []Reserve) bool {
	lower, upper, name := total, total, ""
	q.close = q.bytes > 0
	for _, r := range reserves {
		q.close = q.close || r.Used > r.Limit-r.Limit/spareAt
		if n := caches + r.Limit - r.Limit/fullAt - r.Used; n < lower {
			lower, name = n, r.Name
		}
		if n := caches + r.Limit - r.Limit/spareAt - r.Used; n < upper {
			upper = n
		}
		if r.Tight { // others in the same group may be in need: a little at a time
			upper = min(upper, q.limit(total))
			if n := q.limit(total) - total/8; r.Used > r.Limit-r.Limit/spareAt && n < lower {
				lower, name = n, r.Name
			}
		}
	}
	least := min(total/16, 1<<20)
	switch now := q.limit(total); {
	case lower < now:
		q.bytes, q.name, q.close = max(lower, least), name, true
		return q.bytes < now
	case q.bytes > 0 && upper > now:
		if q.bytes = min(upper, now+total/8); q.bytes >= total {
			*q = squeeze{}
		}
	}
	return false
}
