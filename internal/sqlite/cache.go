package sqlite

import (
	"strings"

	sqlite3 "modernc.org/sqlite/lib"
)

// DefaultStatementCacheSize is how many idle statements a new connection keeps.
const DefaultStatementCacheSize = 128

// cache keeps released statements by their exact text; the least recently used
// one goes first. A text has one entry as long as a statement with it lives, idle
// or not, so that taking and giving back write no map.
type cache struct {
	max     int
	idle    int
	entries map[string]*cacheEntry
	ring    Stmt // sentinel of the ring of idle statements, latest first
	hits    uint64
	misses  uint64
}

// cacheEntry is the statements with one text.
type cacheEntry struct {
	text string
	idle *Stmt // latest first, linked by below
	live int   // idle or not
}

func (k *cache) init(max int) {
	k.max, k.idle = max, 0
	k.entries = map[string]*cacheEntry{}
	k.ring.prev, k.ring.next = &k.ring, &k.ring
}

// PrepareCached is [Conn.Prepare] with a cache: it returns an idle statement that
// was prepared from the very same text, or prepares one. The caller gives it back
// with [Stmt.Release]. A text whose statement is in use gets another one.
//
// A statement out of the cache still has the parameters it was last run with:
// bind all of them, or call [Stmt.ClearBindings].
//
// While foreign keys are deferred nothing comes out of the cache or goes into it. What is
// compiled then has no statement journal for a violation; SQLite compiles anew at the
// pragma, but not when the end of the transaction takes it back, and an INSERT that
// fails after that would leave its row.
func (c *Conn) PrepareCached(sql string) (s *Stmt, tail string, err error) {
	if c.DefersForeignKeys() {
		return c.Prepare(sql)
	}
	if e := c.cache.entries[sql]; e != nil && e.idle != nil {
		s = e.idle
		c.cache.unlink(s)
		c.cache.hits++
		s.ptr = s.handle
		return s, s.tail, nil
	}
	return c.prepareMiss(sql)
}

func (c *Conn) prepareMiss(sql string) (*Stmt, string, error) {
	e := c.cache.entries[sql]
	var text string
	if e != nil {
		text = e.text
	} else {
		// The caller's text may be a small part of a large one.
		text = strings.Clone(sql)
	}
	s, tail, err := c.prepare(text, sqlite3.SQLITE_PREPARE_PERSISTENT)
	c.cache.misses++
	if s == nil {
		return nil, tail, err
	}
	// Looked up again: a callback of prepare may have run.
	if e = c.cache.entries[text]; e == nil {
		e = &cacheEntry{text: text}
		c.cache.entries[text] = e
	}
	e.live++
	s.entry = e
	return s, tail, nil
}

// ExecCached runs one statement without arguments, as BEGIN or COMMIT, to its
// first row or its end. It is kept compiled.
func (c *Conn) ExecCached(sql string) error {
	s, _, err := c.PrepareCached(sql)
	if err != nil {
		return err
	}
	_, err = s.Step()
	if e := s.Release(); err == nil {
		err = e
	}
	return err
}

// SetStatementCacheSize sets how many idle statements are kept; 0 turns the cache
// off. The default is [DefaultStatementCacheSize].
func (c *Conn) SetStatementCacheSize(n int) {
	if c.db == 0 {
		return
	}
	c.cache.max = max(0, n)
	c.cache.evict()
}

// ClearStatementCache finalizes all idle statements.
func (c *Conn) ClearStatementCache() {
	if c.db == 0 {
		return
	}
	size := c.cache.max
	c.SetStatementCacheSize(0)
	c.cache.max = size
}

// StatementCacheStats returns how often [Conn.PrepareCached] found a statement and
// did not, and how many idle statements there are.
func (c *Conn) StatementCacheStats() (hits, misses uint64, size int) {
	return c.cache.hits, c.cache.misses, c.cache.idle
}

// put takes a released statement in as the latest.
func (k *cache) put(s *Stmt) {
	if s.handle == 0 {
		return
	}
	s.trim()
	s.below, s.entry.idle = s.entry.idle, s
	s.prev, s.next = &k.ring, k.ring.next
	s.prev.next, s.next.prev = s, s
	k.idle++
	k.evict()
}

func (k *cache) evict() {
	for k.idle > k.max {
		k.ring.prev.destroy()
	}
}

// unlink takes an idle statement out of the ring and out of its entry. The latest
// one is on top there; only eviction searches, and entries are short.
func (k *cache) unlink(s *Stmt) {
	s.prev.next, s.next.prev = s.next, s.prev
	k.idle--
	at := &s.entry.idle
	for *at != s {
		at = &(*at).below
	}
	*at = s.below
	s.prev, s.next, s.below = nil, nil, nil
}

// drop forgets a statement that is being finalized.
func (k *cache) drop(s *Stmt) {
	if s.next != nil {
		k.unlink(s)
	}
	if s.entry.live--; s.entry.live == 0 {
		delete(k.entries, s.entry.text)
	}
	s.entry = nil
}
