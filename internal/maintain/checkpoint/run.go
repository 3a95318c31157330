package checkpoint

import (
	"context"
	"errors"
	"time"

	"github.com/holdfastdb/holdfast/internal/sqlite"
	"github.com/holdfastdb/holdfast/internal/writer"
)

// fewFrames is what may be left to copy when the writer is asked to pause for it:
// 1 MB, so that the pause is mostly the fsync.
const fewFrames = 256

// holdBudget is how long the writer is waited for between two of its groups.
// Somebody's long transaction has it otherwise, and then the log can't be begun anew
// anyway.
const holdBudget = 100 * time.Millisecond

// Checkpoints that wait for readers hold the writer meanwhile: readers that are at
// work on a statement are gone within a few milliseconds, others not.
const (
	restartWait  = 5 * time.Millisecond
	truncateWait = 10 * time.Millisecond
)

// statement is what the writer is said to be held for.
const statement = "PRAGMA wal_checkpoint"

// run copies the log and, as far as it is time for it, finds it a moment to be
// begun anew. Whoever calls it has the turn.
func (c *Checkpointer) run(ctx context.Context, now time.Time, quiet bool) (progress, error) {
	if err := c.cfg.Fence(); err != nil { // who notices that says so
		return progress{}, err
	}
	if c.handsOver(now) {
		c.judgeOwner(now)
		c.again(c.known()) // not with every commit: a goroutine for each was 6 % of a writer's CPU
		return progress{}, nil
	}
	before := c.lastSeen()
	p, err := c.copyMost(ctx)
	if err == nil && c.worthAPause(p, quiet) {
		p, err = c.catchUp(ctx, p, quiet)
	}
	if err == nil && c.over(p) {
		p, err = c.pressOn(ctx, now, p)
	}
	c.ended(before, p, err)
	if err != nil && !errors.Is(err, errTaken) {
		c.again(c.known()) // not with every commit
		c.judgeError(now, err)
		return p, err
	}
	if errors.Is(err, errTaken) { // left to the one who does it, unless that is for ever
		p = c.known()
	}
	c.again(p)
	c.judge(ctx, now, p)
	if quiet && p.left() == 0 && !(c.role == owns && c.over(p)) {
		c.mu.Lock()
		c.seen.tidied = before.commits
		c.mu.Unlock()
	}
	return p, nil
}

// known is the progress as far as anybody knows.
func (c *Checkpointer) known() progress {
	c.mu.Lock()
	defer c.mu.Unlock()
	return progress{log: c.seen.frames, copied: c.seen.copied}
}

// maxPasses bounds the passes of one run. Each copies what was written during the
// one before it, which is less and less if the disk is faster than the writer.
const maxPasses = 6

// copyMost copies the log off the write path, until little is left or somebody is
// in the way.
func (c *Checkpointer) copyMost(ctx context.Context) (progress, error) {
	c.cfg.Pool.Cool()
	p, err := c.passive(ctx)
	for pass := 1; err == nil && p.left() > fewFrames && pass < maxPasses; pass++ {
		if pass > 1 && p.log > tooFast*c.seenStep() {
			break // there is no time to lose, but what stood for long is not for the pause
		}
		before := p.copied
		if p, err = c.passive(ctx); p.copied == before {
			p.stands = true
			break
		}
	}
	return p, err
}

// worthAPause tells whether to have the writer pause. SQLite begins the log anew
// only when a write transaction begins while all of it is copied and nobody reads in
// it. A writer without pauses always adds frames during a checkpoint, so that never
// comes about by itself.
func (c *Checkpointer) worthAPause(p progress, quiet bool) bool {
	switch {
	case p.left() > fewFrames:
		// A reader is in the way, or the writer is faster than the disk.
		return !p.stands && p.log > tooFast*c.seenStep()
	case p.left() > 0:
		return !quiet
	}
	return c.tooLarge(quiet) || !quiet && c.missed(p)
}

// missed tells whether the log has missed its moment before.
func (c *Checkpointer) missed(p progress) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.role == owns && p.log >= 2*c.seen.step
}

// tooLarge tells whether the file should be cut: above the limit always, and in a
// quiet moment if it is larger than it will soon be again.
func (c *Checkpointer) tooLarge(quiet bool) bool {
	size := c.cfg.Size()
	return c.role == owns && (c.cfg.Limit > 0 && size > c.cfg.Limit ||
		quiet && !c.cfg.Keep && size > 2*int64(c.seenStep())*c.frame)
}

func (c *Checkpointer) seenStep() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen.step
}

// over tells whether the log is larger than it may be.
func (c *Checkpointer) over(p progress) bool {
	return !p.anew && c.cfg.Limit > 0 && int64(p.log)*c.frame > c.cfg.Limit
}

// catchUp copies what is left while nobody writes, between two groups of the
// writer. After that the next one to write begins the log anew, unless somebody
// reads in it.
func (c *Checkpointer) catchUp(ctx context.Context, p progress, quiet bool) (progress, error) {
	h := c.pause(ctx)
	if h == nil {
		return p, ctx.Err()
	}
	p, err := c.finish(ctx, h, quiet)
	c.goOn(h, err)
	return p, err
}

// pause takes the writer between two of its groups. Nil: somebody's transaction has
// it, or another process, and it is left to them.
func (c *Checkpointer) pause(ctx context.Context) *writer.Held {
	// The wait ends with a context: one that ends with a budget counts as a conflict.
	limited, cancel := context.WithTimeout(ctx, holdBudget)
	defer cancel()
	h, err := c.cfg.Writer.Hold(limited, writer.Request{Priority: writer.High, SQL: statement, Budget: time.Minute})
	if err != nil {
		return nil
	}
	c.held = time.Now()
	return h
}

// goOn gives the writer back.
func (c *Checkpointer) goOn(h *writer.Held, err error) {
	h.Release(err)
	c.mu.Lock()
	c.count.longest = max(c.count.longest, time.Since(c.held))
	c.mu.Unlock()
}

// finish copies what is left, which is all there will be. A log that has missed the
// moment to begin anew before waits for it a little.
func (c *Checkpointer) finish(ctx context.Context, h *writer.Held, quiet bool) (progress, error) {
	c.cfg.Pool.Cool()
	p, err := c.passive(ctx)
	switch {
	case err != nil || p.left() > 0:
	case c.tooLarge(quiet):
		return c.end(ctx, h, sqlite.CheckpointTruncate, truncateWait)
	case c.missed(p):
		return c.end(ctx, h, sqlite.CheckpointRestart, restartWait)
	}
	return p, err
}

// end waits for the readers to leave a log that has been copied.
func (c *Checkpointer) end(ctx context.Context, h *writer.Held, mode sqlite.CheckpointMode, wait time.Duration) (progress, error) {
	h.Budget(ctx, wait)
	p, err := c.copyBy(ctx, h.Conn(), mode)
	switch {
	case sqlite.Code(err).Primary() == sqlite.ResultBusy || errors.Is(err, errTaken):
		return p, nil // next time
	case err != nil:
		return p, err
	case mode == sqlite.CheckpointTruncate:
		c.cut()
	}
	p.anew = true
	return p, nil
}

// pressing is how readers are held back for a log above its limit.
type pressing struct {
	again time.Time     // not before
	pause time.Duration // that was for
}

// Readers that overlap, none of them long, are held back for as long as the last
// that is at work takes, and no longer than readersHeld. If that was in vain, the
// next try is later and later. Those of other processes are waited for with the
// writer held, twice: three of 30 ms each made a log of 909 MiB in 6 s before. With one
// wait of 100 ms and a limit of 16 MiB it became 71 MiB in 8 s at FULL, as every fourth
// was in vain, and with two 19 to 23 MiB.
const (
	readersHeld = 200 * time.Millisecond
	foreignWait = 100 * time.Millisecond
	firstPause  = 250 * time.Millisecond
	longPause   = time.Minute
	longReader  = time.Second // such a one is waited for in vain
)

// pressOn makes the moment in which nobody reads in the log. The writer goes on
// until the readers are gone, unless it is so fast that the log would double
// meanwhile.
func (c *Checkpointer) pressOn(ctx context.Context, now time.Time, p progress) (progress, error) {
	if c.role != owns || now.Before(c.press.again) {
		return p, nil
	}
	if l, ok := c.oldestReader(); ok && now.Sub(l.Since) > longReader {
		return p, nil
	}
	var err error
	var h *writer.Held
	if int64(p.log)*c.frame > c.cfg.Limit/2*3 {
		if h = c.pause(ctx); h == nil {
			return p, ctx.Err()
		}
	}
	c.mu.Lock()
	c.count.readerHolds++
	c.mu.Unlock()
	release, idle := c.cfg.Pool.Hold(ctx, readersHeld)
	if idle && h == nil {
		h = c.pause(ctx)
	}
	if idle && h != nil {
		p, err = c.finish(ctx, h, false)
		// Others read in it. Those of older states have to end first, so that all can be
		// copied, and then those that have begun meanwhile; who begins after that does no harm.
		for try := 0; try < 2 && err == nil && !p.anew; try++ {
			p, err = c.end(ctx, h, sqlite.CheckpointTruncate, foreignWait)
		}
	}
	if h != nil {
		c.goOn(h, err)
	}
	release()
	if p.anew {
		c.press = pressing{}
	} else {
		c.press.pause = min(max(2*c.press.pause, firstPause), longPause)
		c.press.again = now.Add(c.press.pause)
	}
	return p, err
}
