package sqlite

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"modernc.org/libc"
)

// modelCache is what a cache of pages does, as simply as it can be said.
type modelCache struct {
	max    int
	pinned map[uint32]uintptr
	lru    []uint32 // unpinned, the oldest first
	at     map[uint32]uintptr
}

func (m *modelCache) forget(key uint32) {
	delete(m.pinned, key)
	delete(m.at, key)
	if i := slices.Index(m.lru, key); i >= 0 {
		m.lru = slices.Delete(m.lru, i, i+1)
	}
}

func (m *modelCache) shrink(to int) {
	for len(m.at) > to && len(m.lru) > 0 {
		m.forget(m.lru[0])
	}
}

// fetch tells what a fetch must do: find the page, make one, or nothing.
func (m *modelCache) fetch(key uint32, create int32) (found, made bool) {
	if _, ok := m.at[key]; ok {
		if i := slices.Index(m.lru, key); i >= 0 {
			m.lru = slices.Delete(m.lru, i, i+1)
		}
		return true, false
	}
	if create == 0 || create == 1 && len(m.pinned) >= m.max-m.max/10 {
		return false, false
	}
	if len(m.at)+1 >= m.max && len(m.lru) > 0 {
		m.forget(m.lru[0])
	}
	return false, true
}

func TestPageCacheAgainstModel(t *testing.T) {
	must(t, start())
	base := MemoryUsed()
	tls := libc.NewTLS()
	defer tls.Close()
	for seed := range uint64(40) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		keys := uint32(20 + rnd.IntN(2000))
		p := cacheCreate(tls, 512, 100, 1)
		m := &modelCache{max: 5 + rnd.IntN(200), pinned: map[uint32]uintptr{}, at: map[uint32]uintptr{}}
		cacheSize(tls, p, int32(m.max))
		anyOf := func(of map[uint32]uintptr) uint32 { return slices.Sorted(maps.Keys(of))[rnd.IntN(len(of))] }
		for step := range 5000 {
			switch op := rnd.IntN(100); {
			case op < 55:
				key, create := 1+rnd.Uint32N(keys), int32(rnd.IntN(3))
				found, made := m.fetch(key, create)
				at := cacheFetch(tls, p, key, create)
				if (at != 0) != (found || made) {
					t.Fatalf("seed %d, step %d: fetch %d, create %d: %x, want found %v, made %v", seed, step, key, create, at, found, made)
				}
				if at == 0 {
					break
				}
				g := pageAt(at)
				switch content := view(g.content, 512); {
				case found && (at != m.at[key] || string(content[:10]) != fmt.Sprintf("%10d", key)):
					t.Fatalf("seed %d, step %d: page %d is another's", seed, step, key)
				case made && load[uintptr](g.extra) != 0:
					t.Fatalf("seed %d, step %d: page %d is new and does not say so", seed, step, key)
				case made:
					copy(content, fmt.Sprintf("%10d", key))
					store[uintptr](g.extra, 1)
				}
				m.at[key], m.pinned[key] = at, at
			case op < 85 && len(m.pinned) > 0:
				key := anyOf(m.pinned)
				discard := int32(rnd.IntN(10) / 9)
				cacheUnpin(tls, p, m.pinned[key], discard)
				if discard != 0 || len(m.at) > m.max {
					m.forget(key)
				} else {
					delete(m.pinned, key)
					m.lru = append(m.lru, key)
				}
			case op < 90 && len(m.pinned) > 0:
				from, to := anyOf(m.pinned), 1+rnd.Uint32N(keys)
				if _, taken := m.at[to]; taken {
					break
				}
				at := m.pinned[from]
				cacheRekey(tls, p, at, from, to)
				copy(view(pageAt(at).content, 512), fmt.Sprintf("%10d", to))
				m.forget(from)
				m.at[to], m.pinned[to] = at, at
			case op < 93:
				from := rnd.Uint32N(2 * keys)
				cacheTruncate(tls, p, from)
				for _, key := range slices.Collect(maps.Keys(m.at)) {
					if key >= from {
						m.forget(key)
					}
				}
			case op < 96:
				m.max = 1 + rnd.IntN(300)
				cacheSize(tls, p, int32(m.max))
				m.shrink(m.max)
			case op == 99:
				cacheShrink(tls, p)
				m.shrink(0)
			}
			if c := cacheAt(p); int(c.pages) != len(m.at) || int(c.unpinned) != len(m.lru) || int(cacheCount(tls, p)) != len(m.at) {
				t.Fatalf("seed %d, step %d: %d pages, %d unpinned, want %d and %d", seed, step, c.pages, c.unpinned, len(m.at), len(m.lru))
			}
		}
		cacheDestroy(tls, p)
	}
	if n := MemoryUsed() - base; n != 0 {
		t.Errorf("%d bytes leaked", n)
	}
}

// Everything that moves, drops and spills pages, in caches that are too small for it.
func TestSmallPageCaches(t *testing.T) {
	for _, mode := range []string{"WAL", "DELETE", "MEMORY"} {
		for _, pages := range []int{1, 10, 60} {
			t.Run(fmt.Sprintf("%s/%d", mode, pages), func(t *testing.T) {
				db := newTestDB(t, "")
				c := db.open()
				mustExec(t, c, fmt.Sprintf("PRAGMA journal_mode=%s; PRAGMA auto_vacuum=INCREMENTAL; VACUUM; PRAGMA cache_size=%d; PRAGMA temp_store=%d", mode, pages, 1+pages%2))
				mustExec(t, c, `CREATE TABLE t(a INTEGER PRIMARY KEY, b, c); CREATE INDEX tb ON t(b); CREATE TEMP TABLE copy(a, b)`)
				rnd := rand.New(rand.NewPCG(uint64(pages), 3))
				rows := map[int]int{}
				for range 30 {
					undo := rnd.IntN(4) == 0
					before := maps.Clone(rows)
					mustExec(t, c, "BEGIN; SAVEPOINT s")
					for range 40 {
						a, n := rnd.IntN(300), rnd.IntN(9000)
						mustExec(t, c, fmt.Sprintf("INSERT OR REPLACE INTO t VALUES(%d, %d, zeroblob(%d))", a, n, n))
						rows[a] = n
					}
					from := rnd.IntN(300)
					mustExec(t, c, fmt.Sprintf("DELETE FROM t WHERE a BETWEEN %d AND %d", from, from+30))
					maps.DeleteFunc(rows, func(a, _ int) bool { return a >= from && a <= from+30 })
					if undo {
						mustExec(t, c, "ROLLBACK TO s")
						rows = before
					}
					mustExec(t, c, "COMMIT; PRAGMA incremental_vacuum(5); DELETE FROM copy; INSERT INTO copy SELECT b, a FROM t ORDER BY c, b")
					sum := 0
					for _, n := range rows {
						sum += n
					}
					for _, q := range []string{"SELECT sum(b) FROM t", "SELECT sum(length(c)) FROM t", "SELECT sum(a) FROM copy", "SELECT sum(b) FROM t INDEXED BY tb"} {
						if got, err := c.QueryInt64(q); err != nil || int(got) != sum {
							t.Fatalf("%s: %d, %v, want %d", q, got, err, sum)
						}
					}
				}
				mustExec(t, c, "VACUUM")
				if s, err := c.QueryText("PRAGMA integrity_check"); s != "ok" {
					t.Errorf("integrity_check: %q, %v", s, err)
				}
			})
		}
	}
}

// A connection whose pages would fit its cache keeps them, whatever others read. In the
// engine's own cache it lost them, and could keep no page any more.
func TestPageCachesAreTheirOwn(t *testing.T) {
	db := newTestDB(t, "CREATE TABLE small(b); CREATE TABLE large(b)")
	w := db.open()
	for table, rows := range map[string]int{"small": 100, "large": 2000} {
		mustExec(t, w, fmt.Sprintf("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%d) INSERT INTO %s SELECT zeroblob(3000) FROM n", rows, table))
	}
	must(t, w.Close())
	a, b := db.open(), db.open()
	for _, c := range []*Conn{a, b} {
		must(t, c.SetCacheSize(2<<10))
	}
	scan := func(c *Conn, table string) (misses int64) {
		t.Helper()
		before, err := c.CacheStatus()
		must(t, err)
		_, err = c.QueryInt64("SELECT sum(length(b)) FROM " + table)
		must(t, err)
		after, err := c.CacheStatus()
		must(t, err)
		if after.Used > 2<<20+64<<10 {
			t.Errorf("a cache of 2 MiB has %d", after.Used)
		}
		return after.Misses - before.Misses
	}
	scan(a, "small")
	for range 3 {
		scan(b, "large")
	}
	if n := scan(a, "small"); n != 0 {
		t.Errorf("%d pages of 100 were lost to another connection", n)
	}
}

func BenchmarkCachedPages(b *testing.B) {
	c, err := Open(b.TempDir()+"/a.db", OpenReadWrite|OpenCreate)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	if err := c.Exec("CREATE TABLE t(a INTEGER PRIMARY KEY, b); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<20000) INSERT INTO t SELECT i, zeroblob(100) FROM n; BEGIN"); err != nil {
		b.Fatal(err)
	}
	s, _, err := c.Prepare("SELECT count(*) FROM t AS x JOIN t AS y ON y.a = (x.a * 7919) % 20000 WHERE x.a < 1000")
	if err != nil {
		b.Fatal(err)
	}
	defer s.Finalize()
	for b.Loop() {
		if _, err := s.Step(); err != nil {
			b.Fatal(err)
		}
		if err := s.Reset(); err != nil {
			b.Fatal(err)
		}
	}
}
