package sqlite

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"modernc.org/libc"
)

// Blocks of all sizes come, grow, shrink and go in any order, and none of them
// touches another.
func TestAllocator(t *testing.T) {
	must(t, start())
	tls := libc.NewTLS()
	defer tls.Close()
	type block struct {
		p    uintptr
		n    int
		fill byte
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	size := func() int {
		switch rnd.IntN(4) {
		case 0:
			return 1 + rnd.IntN(slotMin)
		case 1:
			return 4368 // a page of a cache
		case 2:
			return slotMax - 8 + rnd.IntN(16)
		default:
			return slotMin + rnd.IntN(2*slotMax)
		}
	}
	var blocks []block
	whole := func(b block) {
		if got := int(allocatedSize(tls, b.p)); got != b.n {
			t.Fatalf("a block of %d bytes says that it has %d", b.n, got)
		}
		if v := view(b.p, b.n); bytes.Count(v, []byte{b.fill}) != b.n {
			t.Fatalf("a block of %d bytes was overwritten", b.n)
		}
	}
	fill := func(b *block) {
		b.fill = byte(rnd.IntN(256))
		for i := range view(b.p, b.n) {
			view(b.p, b.n)[i] = b.fill
		}
	}
	for range 20_000 {
		switch op := rnd.IntN(5); {
		case op < 2 && len(blocks) < 500 || len(blocks) == 0:
			b := block{n: size()}
			b.p = allocate(tls, int32(b.n))
			if b.p == 0 || b.p%8 != 0 {
				t.Fatalf("a block at %x", b.p)
			}
			fill(&b)
			blocks = append(blocks, b)
		case op < 4:
			i := rnd.IntN(len(blocks))
			whole(blocks[i])
			deallocate(tls, blocks[i].p)
			blocks[i] = blocks[len(blocks)-1]
			blocks = blocks[:len(blocks)-1]
		default:
			b := &blocks[rnd.IntN(len(blocks))]
			whole(*b)
			n := size()
			b.p = reallocate(tls, b.p, int32(n))
			b.n = min(b.n, n)
			if v := view(b.p, b.n); bytes.Count(v, []byte{b.fill}) != b.n {
				t.Fatal("reallocating lost bytes")
			}
			b.n = n
			fill(b)
		}
	}
	for _, b := range blocks {
		whole(b)
		deallocate(tls, b.p)
	}
	for class, base := range engine.memory.room {
		if base == 0 {
			continue
		}
		if s := (*slab)(pointer(base)); s.used == 0 && s.next != 0 {
			t.Errorf("two slabs with slots of %d bytes are kept although one of them is empty", class*slotStep)
		}
	}
}

// What a page in a cache takes is what SQLite says, and not the next power of two.
func TestPagesTakeTheirSize(t *testing.T) {
	db := newTestDB(t, "CREATE TABLE t(b)")
	c := db.open()
	mustExec(t, c, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<5000) INSERT INTO t SELECT zeroblob(3000) FROM n")
	before := engine.memory.slabs
	_, err := c.QueryInt64("SELECT sum(length(b)) FROM t")
	must(t, err)
	used, _, err := c.Status(DBStatusCacheUsed, false)
	must(t, err)
	if used < 1<<20 {
		t.Fatalf("the cache has %d bytes: this test looks at nothing", used)
	}
	mustExec(t, c, "PRAGMA cache_size=20000; SELECT sum(length(b)) FROM t")
	more, _, err := c.Status(DBStatusCacheUsed, false)
	must(t, err)
	taken := int64(engine.memory.slabs-before) << 16
	t.Logf("%d bytes of pages, %d of slabs", more-used, taken)
	if taken > (more-used)*10/9 {
		t.Errorf("%d bytes of pages take %d", more-used, taken)
	}
}
