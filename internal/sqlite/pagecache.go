package sqlite

import (
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// The engine is compiled with one page cache for all connections of the process
// (SQLITE_ENABLE_MEMORY_MANAGEMENT, "mode 2" in pcache1.c). Each page that anybody
// looks at goes through its one mutex, twice. A cache_size bounds no connection, only
// the sum of them bounds all; a connection at its own takes the page that nobody has
// used for longest, whoever's it is. And one that has lost its pages that way gets
// none back: below its size it takes fresh memory, and while the sum is reached that is
// given back with the page.
//
// So each cache here is its own, bounded by its own size. A connection is used by one
// goroutine at a time, and with it its caches: there is no lock.
// See https://www.sqlite.org/c3ref/pcache_methods2.html.

// pageCache is the cache of one database file of one connection. It lies in SQLite's
// memory, like all that it points to.
type pageCache struct {
	pageSize, extra int32
	purgeable       bool   // pages can be read again; if not, each is pinned until it is dropped
	max             uint32 // pages
	pages           uint32
	unpinned        uint32
	highest         uint32  // no key is higher
	buckets         uint32  // a power of two
	peak            uint32  // the most pages since CacheStatus
	table           uintptr // of the first page in each bucket
	recent, oldest  uintptr // of the unpinned pages; 0 if there are none
	evicted         int64   // pages that another one took the place of
}

// cachedPage stands behind the content of its page, and before what SQLite keeps
// about it. It begins with what SQLite calls sqlite3_pcache_page.
type cachedPage struct {
	content, extra uintptr
	next           uintptr // in the bucket
	newer, older   uintptr // among the unpinned
	key            uint32
	pinned         bool
}

const (
	pageCacheSize  = 80
	cachedPageSize = 48
	leastBuckets   = 256
)

var (
	_ [pageCacheSize - unsafe.Sizeof(pageCache{})]byte
	_ [cachedPageSize - unsafe.Sizeof(cachedPage{})]byte
)

func cacheAt(p uintptr) *pageCache { return (*pageCache)(pointer(p)) }
func pageAt(p uintptr) *cachedPage { return (*cachedPage)(pointer(p)) }

// configurePageCache makes it SQLite's, unless somebody has begun to use SQLite
// before. The stock one is initialized all the same: some of its counters are used.
func configurePageCache(tls *libc.TLS) (done bool) {
	size := int(13 * ptrSize)
	p := tls.Alloc(size)
	defer tls.Free(size)
	va := tls.Alloc(8)
	defer tls.Free(8)
	if sqlite3.Xsqlite3_config(tls, sqlite3.SQLITE_CONFIG_GETPCACHE2, libc.VaList(va, p)) != sqlite3.SQLITE_OK {
		return false
	}
	m := (*sqlite3.Tsqlite3_pcache_methods2)(pointer(p))
	m.FxCreate = cFunc(cacheCreate)
	m.FxCachesize = cFunc(cacheSize)
	m.FxPagecount = cFunc(cacheCount)
	m.FxFetch = cFunc(cacheFetch)
	m.FxUnpin = cFunc(cacheUnpin)
	m.FxRekey = cFunc(cacheRekey)
	m.FxTruncate = cFunc(cacheTruncate)
	m.FxDestroy = cFunc(cacheDestroy)
	m.FxShrink = cFunc(cacheShrink)
	return sqlite3.Xsqlite3_config(tls, sqlite3.SQLITE_CONFIG_PCACHE2, libc.VaList(va, p)) == sqlite3.SQLITE_OK
}

// mainCache is the cache of the connection's main database, nil if there is none of ours.
func (c *Conn) mainCache() *pageCache {
	tree := c.mainTree()
	if !engine.caches || tree == nil {
		return nil
	}
	return cacheAt((*sqlite3.TPCache)(pointer(pager(tree).FpPCache)).FpCache)
}

func cacheCreate(tls *libc.TLS, pageSize, extra, purgeable int32) uintptr {
	p := sqlite3.Xsqlite3_malloc64(tls, pageCacheSize)
	if p == 0 {
		return 0
	}
	c := cacheAt(p)
	*c = pageCache{pageSize: pageSize, extra: extra, purgeable: purgeable != 0}
	if !c.rehash(tls, leastBuckets) {
		free(tls, p)
		return 0
	}
	return p
}

func cacheSize(tls *libc.TLS, p uintptr, pages int32) {
	c := cacheAt(p)
	c.max = uint32(max(pages, 0))
	if c.purgeable {
		c.shrink(tls, c.max)
	}
}

func cacheCount(_ *libc.TLS, p uintptr) int32 { return int32(cacheAt(p).pages) }

// cacheFetch returns the page with the key, pinned. If there is none it makes one,
// unless create is 0; with 1 not if nine of ten are pinned: SQLite then writes changed
// pages to the file, which unpins them, and asks again with 2.
func cacheFetch(tls *libc.TLS, p uintptr, key uint32, create int32) uintptr {
	c := cacheAt(p)
	at := load[uintptr](c.bucket(key))
	for at != 0 && pageAt(at).key != key {
		at = pageAt(at).next
	}
	switch {
	case at != 0:
		c.pin(at)
		return at
	case create == 0 || create == 1 && c.pages-c.unpinned >= c.max-c.max/10:
		return 0
	}
	return c.add(tls, key)
}

// add makes a page with a key that no other has.
func (c *pageCache) add(tls *libc.TLS, key uint32) uintptr {
	if c.pages >= c.buckets {
		c.rehash(tls, 2*c.buckets) // without memory for it the buckets get longer
	}
	var at uintptr
	if !c.purgeable || c.pages+1 < c.max || c.oldest == 0 {
		at = c.allocate(tls)
	}
	if at == 0 {
		if at = c.oldest; at == 0 {
			return 0
		}
		c.pin(at)
		c.unlist(at)
		c.evicted++
	}
	g := pageAt(at)
	g.key = key
	store[uintptr](g.extra, 0) // tells SQLite that the page is new
	c.list(at)
	c.highest = max(c.highest, key)
	c.peak = max(c.peak, c.pages)
	return at
}

func (c *pageCache) allocate(tls *libc.TLS) uintptr {
	p := sqlite3.Xsqlite3_malloc64(tls, uint64(c.pageSize+cachedPageSize+c.extra))
	if p == 0 {
		return 0
	}
	at := p + uintptr(c.pageSize)
	*pageAt(at) = cachedPage{content: p, extra: at + cachedPageSize, pinned: true}
	return at
}

func cacheUnpin(tls *libc.TLS, p, at uintptr, discard int32) {
	c := cacheAt(p)
	if discard != 0 || c.pages > c.max {
		if discard == 0 {
			c.evicted++
		}
		c.drop(tls, at)
		return
	}
	g := pageAt(at)
	g.pinned = false
	g.newer, g.older = 0, c.recent
	if c.recent != 0 {
		pageAt(c.recent).newer = at
	} else {
		c.oldest = at
	}
	c.recent = at
	c.unpinned++
}

func (c *pageCache) pin(at uintptr) {
	g := pageAt(at)
	if g.pinned {
		return
	}
	g.pinned = true
	if g.newer != 0 {
		pageAt(g.newer).older = g.older
	} else {
		c.recent = g.older
	}
	if g.older != 0 {
		pageAt(g.older).newer = g.newer
	} else {
		c.oldest = g.newer
	}
	c.unpinned--
}

func cacheRekey(_ *libc.TLS, p, at uintptr, _, key uint32) {
	c := cacheAt(p)
	c.unlist(at)
	pageAt(at).key = key
	c.list(at)
	c.highest = max(c.highest, key)
}

// cacheTruncate drops all pages from a key on, pinned or not.
func cacheTruncate(tls *libc.TLS, p uintptr, from uint32) {
	c := cacheAt(p)
	if from > c.highest {
		return
	}
	if c.highest-from < c.buckets { // few keys, each in one bucket
		for key := from; key <= c.highest && key >= from; key++ {
			c.dropFrom(tls, c.bucket(key), from)
		}
	} else {
		for i := range c.buckets {
			c.dropFrom(tls, c.bucket(i), from)
		}
	}
	c.highest = max(from, 1) - 1
}

func (c *pageCache) dropFrom(tls *libc.TLS, bucket uintptr, from uint32) {
	for at := load[uintptr](bucket); at != 0; {
		next := pageAt(at).next
		if pageAt(at).key >= from {
			c.drop(tls, at)
		}
		at = next
	}
}

func (c *pageCache) drop(tls *libc.TLS, at uintptr) {
	c.pin(at)
	c.unlist(at)
	free(tls, pageAt(at).content)
}

func cacheDestroy(tls *libc.TLS, p uintptr) {
	cacheTruncate(tls, p, 0)
	free(tls, cacheAt(p).table)
	free(tls, p)
}

func cacheShrink(tls *libc.TLS, p uintptr) { cacheAt(p).shrink(tls, 0) }

// shrink drops unpinned pages, those unused for longest first, down to so many pages.
func (c *pageCache) shrink(tls *libc.TLS, to uint32) {
	for c.pages > to && c.oldest != 0 {
		c.drop(tls, c.oldest)
	}
}

func (c *pageCache) bucket(key uint32) uintptr {
	return c.table + uintptr(key&(c.buckets-1))*ptrSize
}

// list puts a page into its bucket, unlist takes it out.
func (c *pageCache) list(at uintptr) {
	b := c.bucket(pageAt(at).key)
	pageAt(at).next = load[uintptr](b)
	store(b, at)
	c.pages++
}

func (c *pageCache) unlist(at uintptr) {
	b := c.bucket(pageAt(at).key)
	if first := load[uintptr](b); first == at {
		store(b, pageAt(at).next)
	} else {
		for pageAt(first).next != at {
			first = pageAt(first).next
		}
		pageAt(first).next = pageAt(at).next
	}
	c.pages--
}

// rehash gives the table so many buckets; false if there is no memory for it.
func (c *pageCache) rehash(tls *libc.TLS, buckets uint32) bool {
	size := int(buckets) * int(ptrSize)
	table := sqlite3.Xsqlite3_malloc64(tls, uint64(size))
	if table == 0 {
		return false
	}
	clear(view(table, size))
	old := *c
	c.table, c.buckets = table, buckets
	for i := range old.buckets {
		for at := load[uintptr](old.bucket(i)); at != 0; {
			next := pageAt(at).next
			b := c.bucket(pageAt(at).key)
			pageAt(at).next = load[uintptr](b)
			store(b, at)
			at = next
		}
	}
	free(tls, old.table)
	return true
}
