package memory

import (
	"slices"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// Least is the page cache that a connection works well with: the root and the inner
// pages of a few tables. It has less only if that many connections don't fit.
const Least = 64 << 10

// Role is what a connection is for.
type Role string

// The roles.
const (
	Reader      Role = "reader"
	Writer      Role = "writer"
	Session     Role = "session"     // a session's own, whose state differs
	Maintenance Role = "maintenance" // kept for checkpoints and health: has the least, and is not visited
	Check       Role = "check"       // of the whole file, once: has an equal part, and is not visited
)

// every is how often the budget is divided anew. Between two rounds a cache that has
// come back to life works with what it has.
const every = time.Second

const (
	lookEvery = 5       // rounds, while there is memory enough
	idleAfter = 10      // rounds without a page looked at
	tiny      = 1 << 18 // a change below this is not worth a statement
	besides   = 8       // an eighth is for connections that were not announced, and for what all need besides pages
)

// Budget is the page caches of a process. The zero value is ready to use.
type Budget struct {
	// System tells how much memory there is; nil if nothing is known.
	System func() []Reserve

	mu        sync.Mutex // guards everything below, and all in databases and caches
	databases map[*Database]struct{}
	sum       int64 // of what caches may have, at most; never above limit when one is given more
	squeeze   squeeze
	nearest   Reserve // of the bounds the one that the process is nearest to, when last looked
	round     uint64
	at        time.Time // of the last round
	trend     Trend
	growth    Growth
	moves     int64
}

// Config is what a database wants.
type Config struct {
	Bytes       int64 // of the whole budget; the largest of all databases counts
	Connections int   // that it will have
	Fixed       bool  // its connections have a size of their own, which is not of the budget
	Equal       bool  // its connections keep equal parts, whatever they need
}

// Database is the caches of one database.
type Database struct {
	b      *Budget
	cfg    Config
	caches map[*sqlite.Conn]*cache

	visited uint64 // the round
	left    bool   // a connection that is opened now counts no more
}

// cache is the page cache of one connection.
type cache struct {
	role    Role
	granted int64 // bytes, by the last round
	applied int64 // bytes, as the connection knows it
	trying  int64 // bytes that its owner is about to apply, or 0
	goal    int64 // more than granted, while there is no room for it yet
	seen    uint64
	release bool // give back what is not in use

	now, before           sqlite.CacheStatus
	schema, stmt          int64
	lookaside             int64
	hits, misses, evicted float64 // of late: each round counts half of the one after it
	peak                  int64   // bytes, of late
	idle                  int     // rounds
	visits                uint64
}

// has is what the cache may have now, at most.
func (c *cache) has() int64 { return max(c.granted, c.applied, c.trying) }

// Join adds a database. Leave takes it off.
func (b *Budget) Join(cfg Config) *Database {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.databases == nil {
		b.databases = make(map[*Database]struct{})
	}
	d := &Database{b: b, cfg: cfg, caches: make(map[*sqlite.Conn]*cache)}
	b.databases[d] = struct{}{}
	return d
}

// Leave takes the database off, when its connections are closed.
func (d *Database) Leave() {
	d.b.mu.Lock()
	defer d.b.mu.Unlock()
	for _, c := range d.caches {
		d.drop(c)
	}
	clear(d.caches)
	delete(d.b.databases, d)
	d.left = true
}

func (d *Database) drop(c *cache) {
	if !d.cfg.Fixed {
		d.b.sum -= c.has()
	}
}

// total is the whole budget.
func (b *Budget) total() int64 {
	n := int64(0)
	for d := range b.databases {
		if !d.cfg.Fixed {
			n = max(n, d.cfg.Bytes)
		}
	}
	return n
}

// limit is the part of it that may be used now.
func (b *Budget) limit() int64 { return b.squeeze.limit(b.total()) }

// aside tells whether a cache keeps what it was given.
func (c *cache) aside() bool { return c.role == Maintenance || c.role == Check }

// share is an equal part, least what every connection finds, and ready what a round
// divides: all but what is set aside, and the least for those who are not there yet.
func (b *Budget) share() (equal, least, ready int64) {
	limit := b.limit()
	limit -= limit / besides
	places, open := 0, 0
	for d := range b.databases {
		if d.cfg.Fixed {
			continue
		}
		here := 0
		for _, c := range d.caches {
			if c.aside() {
				limit -= c.has()
			} else {
				here++
			}
		}
		open += here
		places += max(d.cfg.Connections, here)
	}
	limit = max(limit, 0)
	equal = limit / int64(max(places, 1))
	least = min(Least, equal)
	return equal, least, limit - least*int64(places-open)
}

// Connect gives a new connection its first part: an equal one, or what there is. The
// owner calls it before the connection is used, and it is forgotten when that is closed.
func (d *Database) Connect(conn *sqlite.Conn, role Role) error {
	b := d.b
	b.mu.Lock()
	if d.left {
		b.mu.Unlock()
		return nil
	}
	c := &cache{role: role}
	d.caches[conn] = c
	if !d.cfg.Fixed {
		part, least, _ := b.share()
		if role == Maintenance {
			part = least
		}
		c.granted = max(min(part, b.limit()-b.sum), 0)
		c.trying = c.granted
		b.sum += c.granted
	}
	size := c.granted // a round may change it from here on
	b.mu.Unlock()
	conn.OnClose(func() { d.disconnect(conn) })
	if d.cfg.Fixed {
		return nil
	}
	err := conn.SetCacheSize(kib(size))
	b.mu.Lock()
	defer b.mu.Unlock()
	c.applied, c.trying = c.trying, 0
	return err
}

func (d *Database) disconnect(conn *sqlite.Conn) {
	d.b.mu.Lock()
	defer d.b.mu.Unlock()
	if c := d.caches[conn]; c != nil {
		d.drop(c)
		delete(d.caches, conn)
	}
}

// kib is the PRAGMA cache_size, less what SQLite adds to each page: that it doesn't
// count, and CacheStatus does.
func kib(bytes int64) int { return int((bytes - bytes/32) >> 10) }

// Visit is called by whoever may use the connection: at most once a round it is looked
// at, and gets the size that the round has decided on.
func (d *Database) Visit(conn *sqlite.Conn, role Role) {
	b := d.b
	b.mu.Lock()
	c := d.caches[conn]
	if c == nil || c.seen == b.round {
		b.mu.Unlock()
		return
	}
	c.seen, c.role = b.round, role
	had, size, release, detailed := c.applied, c.granted, c.release, c.visits%32 == 0
	resize := !d.cfg.Fixed && size != c.applied
	if resize {
		c.trying = size
	}
	c.visits++
	c.release = false
	b.mu.Unlock()

	status, err := conn.CacheStatus()                  // of what it could do with the size that it had
	if resize && conn.SetCacheSize(kib(size)) != nil { // the schema can't be read now: next time
		b.mu.Lock()
		b.resettle(c, func() { c.trying = 0 })
		b.mu.Unlock()
		resize = false
	}
	if release {
		_ = conn.ReleaseMemory()
	}
	if release || resize && size < had {
		status.Used, _, _ = conn.Status(sqlite.DBStatusCacheUsed, false)
	}
	if err != nil {
		return
	}
	var schema, stmt int64
	if detailed { // 12 us with 128 statements
		schema, _, _ = conn.Status(sqlite.DBStatusSchemaUsed, false)
		stmt, _, _ = conn.Status(sqlite.DBStatusStmtUsed, false)
	}
	lookaside, _, _ := conn.Status(sqlite.DBStatusLookasideUsed, false)

	b.mu.Lock()
	defer b.mu.Unlock()
	c.now, c.lookaside = status, lookaside
	if detailed {
		c.schema, c.stmt = schema, stmt
	}
	if resize {
		b.resettle(c, func() { c.applied, c.trying = size, 0 })
		b.grow()
	}
}

// resettle changes what a cache may have, and the sum with it.
func (b *Budget) resettle(c *cache, change func()) {
	b.sum -= c.has()
	change()
	b.sum += c.has()
}

// grow gives the caches that shall have more what there is room for.
func (b *Budget) grow() {
	for d := range b.databases {
		for _, c := range d.caches {
			if c.goal <= c.granted || d.cfg.Fixed {
				continue
			}
			room := b.limit() - b.sum
			if more := min(c.goal-c.has(), room); more >= min(tiny, c.goal-c.has()) && more > 0 {
				b.resettle(c, func() { c.granted = c.has() + more })
				b.moves++
			}
		}
	}
}

// Round divides the budget anew, once a second at most, by what the visits since the
// last round have seen. The visits after it put it into effect: a cache that shall have
// less gives it up with its next visit, and only then another has more.
func (b *Budget) Round(now time.Time) {
	b.mu.Lock()
	if !b.at.IsZero() && now.Sub(b.at) < every-every/10 {
		b.mu.Unlock()
		return
	}
	b.at = now
	b.round++
	look := b.System != nil && (b.round%lookEvery == 1 || b.squeeze.close)
	b.mu.Unlock()
	var reserves []Reserve
	if look {
		reserves = b.System() // reads files of the kernel
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if look {
		b.nearest = nearest(reserves)
	}
	if look && b.shared() {
		b.press(reserves)
	}
	b.rebalance()
}

// shared tells whether there is a database whose caches are divided by need.
func (b *Budget) shared() bool {
	for d := range b.databases {
		if !d.cfg.Equal && !d.cfg.Fixed {
			return true
		}
	}
	return false
}

// Round divides the budget, and tells whether the connections of the database are to be
// visited: once after each round of any database.
func (d *Database) Round(now time.Time) bool {
	d.b.Round(now)
	d.b.mu.Lock()
	defer d.b.mu.Unlock()
	due := d.visited != d.b.round
	d.visited = d.b.round
	return due
}

func (b *Budget) press(reserves []Reserve) {
	used := int64(0)
	for d := range b.databases {
		for _, c := range d.caches {
			used += c.now.Used
		}
	}
	if b.squeeze.update(b.total(), used, reserves) {
		for d := range b.databases {
			for _, c := range d.caches {
				c.release = c.idle >= idleAfter
			}
		}
	}
}

func (b *Budget) rebalance() {
	var caches []*cache
	var parts []part
	shared := b.shared()
	for d := range b.databases {
		for _, c := range d.caches {
			c.tell()
			if !d.cfg.Fixed && !c.aside() {
				caches = append(caches, c)
				parts = append(parts, part{c.has(), c.peak, c.hits, c.evicted, c.idle >= idleAfter})
			}
		}
	}
	even, least, ready := b.share()
	goals := divide(ready, even, least, parts)
	limit := b.limit()
	short, hungry := b.sum > limit, slices.ContainsFunc(parts, part.hungry)
	over := b.sum > limit-limit/besides // newcomers have found their part
	for i, c := range caches {
		goal := goals[i]
		switch {
		case !shared:
			goal = even
		case short: // at once, and whatever it is
		case over && goal < parts[i].has:
			goal = soften(parts[i], goal)
		case over || hungry:
			goal = settle(parts[i], goal, even)
		default: // nobody needs what another would give up
			goal = max(goal, parts[i].has)
		}
		if goal < c.granted {
			b.resettle(c, func() { c.granted = goal })
			b.moves++
		}
		c.goal = goal
	}
	b.grow()
}

// soften bounds what a cache loses in a round: a quarter, half if nobody uses it.
func soften(p part, goal int64) int64 {
	if p.idle {
		return max(goal, p.has/2)
	}
	return max(goal, p.has-p.has/4)
}

// settle keeps a cache from losing and winning the same bytes again and again: small
// changes are left alone.
func settle(p part, goal, even int64) int64 {
	goal = soften(p, goal)
	if p.idle {
		return goal
	}
	change := goal - p.has
	if change < 0 {
		change = -change
	}
	if change < max(p.has/4, min(tiny, even/4)) && !(goal > p.has && p.has < even) {
		return p.has
	}
	return goal
}

// tell takes in what the last visit saw.
func (c *cache) tell() {
	hits, misses := float64(c.now.Hits-c.before.Hits), float64(c.now.Misses-c.before.Misses)
	evicted := float64(c.now.Evicted-c.before.Evicted) + float64(c.now.Spills-c.before.Spills) // written early, and read again
	c.before = c.now
	c.hits, c.misses, c.evicted = (c.hits+hits)/2, (c.misses+misses)/2, (c.evicted+evicted)/2
	c.peak = max(c.now.Peak, c.peak-c.peak/8)
	if hits+misses > 0 {
		c.idle = 0
	} else {
		c.idle++
	}
}
