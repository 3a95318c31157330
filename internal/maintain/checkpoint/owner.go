package checkpoint

import "time"

// Litestream copies the log before anybody may begin it anew: it keeps a read
// transaction open for that, and checkpoints itself. In the moment in which it
// changes from one transaction to the next, a checkpoint of somebody else makes it
// begin a new snapshot of everything, so its manual asks that the program does not
// checkpoint (https://litestream.io/tips/).

// role is how much is done here.
type role int

const (
	owns     role = iota
	goesEasy      // copies, but never waits for readers nor cuts the log
	handedTo      // does nothing
)

// evidenceFor is for how long a look for Litestream serves.
const evidenceFor = time.Minute

// handsOver tells whether somebody else checkpoints. A directory of Litestream's
// beside the database says so. Its tables alone also come with every copy and
// every restored backup, and a log that nobody empties fills the disk: with them
// alone the log is copied as SQLite by itself would, which Litestream can live
// with, and never waited for.
func (c *Checkpointer) handsOver(now time.Time) bool {
	switch {
	case c.cfg.Owner == External || c.cfg.Owner == Auto && c.cfg.Litestream():
		c.role = handedTo
	case c.cfg.Owner == Auto && c.hasTables(now):
		c.role = goesEasy
	default:
		c.role = owns
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen.handedOver = c.role == handedTo
	return c.seen.handedOver
}

// hasTables looks for the tables that Litestream makes.
func (c *Checkpointer) hasTables(now time.Time) bool {
	if now.Sub(c.tables.at).Abs() < evidenceFor {
		return c.tables.found
	}
	if c.conn == nil && c.open(c.ctx) != nil {
		return c.tables.found
	}
	n, err := c.conn.QueryInt64("SELECT count(*) FROM sqlite_schema WHERE name IN ('_litestream_seq', '_litestream_lock') AND type = 'table'")
	if err == nil {
		c.tables = tables{at: now, found: n > 0}
	}
	return c.tables.found
}

// tables is the last look for Litestream's.
type tables struct {
	at    time.Time
	found bool
}

// ownerPatience is how long a log that was handed over may be above the limit before
// that is told: Litestream looks at it every minute by default.
const ownerPatience = 2 * time.Minute

// judgeOwner tells when who was given the log lets it grow.
func (c *Checkpointer) judgeOwner(now time.Time) {
	s := &c.stuck
	size := c.cfg.Size()
	if c.cfg.Limit <= 0 || size <= c.cfg.Limit {
		c.resolved(now, progress{})
		return
	}
	if s.since.IsZero() {
		s.since = now
	}
	c.noteOver(s.since.Add(ownerPatience), true)
	if now.Before(s.next) {
		return
	}
	k := c.known()
	c.report(now, Event{Kind: HandedOver, Frames: k.log, Over: true})
}
