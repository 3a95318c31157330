package memory

import (
	"math/rand/v2"
	"testing"
)

func TestSqueeze(t *testing.T) {
	const mib = 1 << 20
	q := &squeeze{}
	total, caches := int64(64*mib), int64(60*mib)
	step := func(used int64, tight bool) (int64, bool) {
		t.Helper()
		release := q.update(total, caches, []Reserve{{"test", 200 * mib, used, tight}})
		return q.limit(total), release
	}
	if n, release := step(150*mib, false); n != total || release || q.close {
		t.Error("made smaller although a quarter is left", n, release)
	}
	if n, release := step(170*mib, false); n != total || release || !q.close {
		t.Error("made smaller although an eighth is left", n, release)
	}
	if n, release := step(190*mib, false); n != 50*mib || !release {
		t.Error(n, release, "want 10 MiB less, as 10 are taken of the last 20")
	}
	caches = 50 * mib
	if n, release := step(180*mib, false); n != 50*mib || release {
		t.Error("between nine tenths and eight nothing changes", n, release)
	}
	if n, _ := step(150*mib, false); n != 58*mib {
		t.Error(n, "want an eighth of the budget more")
	}
	if n, _ := step(150*mib, false); n != 60*mib {
		t.Error(n, "want no more than leaves a fifth")
	}
	if n, _ := step(100*mib, false); n != total || q.name != "" {
		t.Error(n, q.name, "want all of it")
	}
	if n, release := step(170*mib, true); n != 56*mib || !release {
		t.Error(n, release, "want an eighth less, as the kernel says that memory is short")
	}
	if n, _ := step(400*mib, false); n != 1*mib {
		t.Error(n, "want the least that is left in any case")
	}
	q.update(total, caches, nil)
	q.update(total, caches, nil)
	if n := q.limit(total); n <= mib {
		t.Error("the bound is gone, and the budget is still", n)
	}
}

// Whatever the system says, the limit stays within the budget and comes back.
func TestSqueezeComesBack(t *testing.T) {
	rnd := rand.New(rand.NewPCG(8, 8))
	for range 2000 {
		q := &squeeze{}
		total := int64(1<<20 + rnd.IntN(1<<30))
		for range 50 {
			limit := rnd.Int64N(1 << 32)
			q.update(total, rnd.Int64N(total), []Reserve{{"test", limit, rnd.Int64N(limit + limit/4 + 1), rnd.IntN(4) == 0}})
			if n := q.limit(total); n <= 0 || n > total {
				t.Fatalf("%d of %d", n, total)
			}
		}
		for range 8 {
			q.update(total, 0, nil)
		}
		if q.limit(total) != total {
			t.Fatalf("%d of %d with nothing in the way", q.limit(total), total)
		}
	}
}
