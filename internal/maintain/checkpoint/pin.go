package checkpoint

import (
	"context"
	"time"

	"github.com/holdfastdb/holdfast/internal/locks"
)

// Kinds of a Pin that are no lease's.
const (
	ByProcess   = "another process"
	ByStatement = "a statement that is running" // it has no call site: see locks.Registry
	ByOverlap   = "readers that overlap"        // none of them is as old as the standstill
)

// Pin is who keeps the log from being emptied.
type Pin struct {
	Kind    string      // "rows", "read transaction" or one of the above
	Lease   locks.Lease // zero if it is none
	Process locks.Process
	Since   time.Time // when the lease was taken, or when the log was first found to stand
}

// Event is something to tell an operator.
type Event struct {
	Kind           EventKind
	Frames, Copied int
	Bytes          int64 // of the log on the disk
	Over           bool  // it is above the limit
	Stood          time.Duration
	Pin            Pin
	Err            error
}

// EventKind says what has happened.
type EventKind int

// The events.
const (
	Stands     EventKind = iota // the log can't be emptied because of Pin
	Emptied                     // after Stands or HandedOver: it is again
	HandedOver                  // the log is above the limit, and who was given it does not empty it
	Failed                      // a checkpoint failed with Err
)

// stuck is a log that could not be emptied.
type stuck struct {
	since   time.Time // zero: it could
	reports int
	next    time.Time // report again
	over    bool
	failure time.Time // the last report of an error
}

// stuckFor is how long a log stands before it is told, if it is no shorter than
// usual; above the limit it is told at once. It is told again after pauses.
const (
	stuckFor      = 10 * time.Second
	firstAgain    = time.Minute
	againFactor   = 6
	longestAgain  = time.Hour
	foreignLook   = 200 * time.Millisecond
	failuresPause = time.Minute
)

// judge looks at what a run has left, and tells when that is too much.
func (c *Checkpointer) judge(ctx context.Context, now time.Time, p progress) {
	c.cfg.Pool.ExpectHold(c.role == owns && !p.anew && c.cfg.Limit > 0 && 2*int64(p.log)*c.frame > c.cfg.Limit)
	s := &c.stuck
	if p.left() <= 0 {
		// One that was told and is above its limit still stands: it is copied, but
		// somebody reads in it.
		if s.reports == 0 || !c.over(p) {
			c.resolved(now, p)
		}
		return
	}
	if s.since.IsZero() {
		s.since = now
	}
	over := c.over(p)
	c.noteOver(now, over)
	if !over && (p.log < c.seenStep() || now.Sub(s.since) < stuckFor) || now.Before(s.next) {
		return
	}
	pin := c.pinnedSince(ctx, s.since)
	if pin.Kind == ByOverlap && !over {
		return
	}
	c.mu.Lock()
	c.pin = &pin
	c.count.pins++
	c.mu.Unlock()
	c.report(now, Event{Kind: Stands, Frames: p.log, Copied: p.copied, Over: over, Pin: pin})
}

// noteOver counts how often the log has come above the limit, which is told even if
// its standing has been told a moment ago.
func (c *Checkpointer) noteOver(now time.Time, over bool) {
	s := &c.stuck
	if over && !s.over {
		s.next = now
		c.mu.Lock()
		c.count.overLimit++
		c.mu.Unlock()
	}
	s.over = over
}

func (c *Checkpointer) report(now time.Time, e Event) {
	s := &c.stuck
	pause := firstAgain
	for range s.reports {
		pause = min(pause*againFactor, longestAgain)
	}
	s.reports++
	s.next = now.Add(pause)
	e.Bytes, e.Stood = c.cfg.Size(), now.Sub(s.since)
	c.cfg.OnEvent(e)
}

// resolved notes that the log stands no more, and tells it if that had been told.
func (c *Checkpointer) resolved(now time.Time, p progress) {
	told, stood := c.stuck.reports > 0, now.Sub(c.stuck.since)
	c.stuck = stuck{failure: c.stuck.failure}
	c.mu.Lock()
	c.pin = nil
	c.mu.Unlock()
	if told {
		c.cfg.OnEvent(Event{Kind: Emptied, Frames: p.log, Copied: p.copied, Bytes: c.cfg.Size(), Stood: stood})
	}
}

func (c *Checkpointer) judgeError(now time.Time, err error) {
	if c.ctx.Err() != nil || now.Sub(c.stuck.failure) < failuresPause {
		return
	}
	c.stuck.failure = now
	c.cfg.OnEvent(Event{Kind: Failed, Bytes: c.cfg.Size(), Err: err})
}

// oldestReader is the oldest lease of this process that keeps a snapshot. A
// transaction that has run nothing yet has none.
func (c *Checkpointer) oldestReader() (locks.Lease, bool) {
	for _, l := range c.cfg.Readers() {
		if (l.Kind == locks.Rows || l.Kind == locks.ReadTx) && l.SQL != "" {
			return l, true
		}
	}
	return locks.Lease{}, false
}

// pinnedSince finds out who is in the way. A reader of this process that was there
// before the log began to stand is; others are told by the kernel.
func (c *Checkpointer) pinnedSince(ctx context.Context, since time.Time) Pin {
	l, kept := c.oldestReader()
	if kept && !l.Since.After(since) {
		return Pin{Kind: string(l.Kind), Lease: l, Since: l.Since}
	}
	var slots []int
	if c.conn != nil {
		slots = c.conn.PinningSlots()
	}
	limited, cancel := context.WithTimeout(ctx, foreignLook)
	defer cancel()
	switch p, ok := c.cfg.Foreign(limited, slots); {
	case ok:
		return Pin{Kind: ByProcess, Process: p, Since: since}
	case kept || c.cfg.Pool.Stats().InUse == 0:
		return Pin{Kind: ByOverlap, Lease: l, Since: since}
	}
	return Pin{Kind: ByStatement, Since: since}
}
