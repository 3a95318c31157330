package checkpoint

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// Entry is what became of one checkpoint.
type Entry struct {
	At             time.Time
	Took           time.Duration
	Mode           string // as SQLite calls it; "" if the Checkpointer has chosen itself
	Frames, Copied int    // that the log had, and of them that are in the database
	Busy           bool   // somebody else checkpoints, or keeps the log
	Err            error  // it failed
	Times          int    // in a row that were kept from copying more; the rest is about the last
	Since          time.Time
}

// entries is how many are remembered.
const entries = 64

// note remembers what became of a checkpoint. One that its caller has ended, or that
// is somebody else's to make, is none.
func (c *Checkpointer) note(begun time.Time, mode string, p progress, err error) {
	var busy *BusyError
	taken := errors.Is(err, errTaken) || errors.As(err, &busy)
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, ErrClosed), errors.Is(err, ErrHandedOver):
		return
	case err == nil && p == progress{}: // handed over, or there was no log
		return
	case taken:
		err = nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e := Entry{
		At: begun, Took: time.Since(begun), Mode: mode, Frames: max(p.log, 0), Copied: max(p.copied, 0), Busy: taken || p.short, Err: err,
		Times: 1, Since: begun,
	}
	last := len(c.log) - 1
	switch {
	case last >= 0 && e.goesOn(c.log[last]):
		e.Times, e.Since = c.log[last].Times+1, c.log[last].Since
		c.log[last] = e
		return
	case len(c.log) == entries:
		c.log = slices.Delete(c.log, 0, 1)
	}
	c.log = append(c.log, e)
}

// goesOn tells whether e got no further than the one before it, which happens twice a
// second as long as somebody keeps the log.
func (e Entry) goesOn(before Entry) bool {
	return e.Busy && before.Busy && e.Err == nil && before.Err == nil && e.Mode == before.Mode && e.Copied == before.Copied && e.Frames >= before.Frames
}

// Log returns the last checkpoints, the newest first.
func (c *Checkpointer) Log() []Entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	log := slices.Clone(c.log)
	slices.Reverse(log)
	return log
}

// modeName is how PRAGMA wal_checkpoint calls a mode.
func modeName(m sqlite.CheckpointMode) string {
	switch m {
	case sqlite.CheckpointFull:
		return "FULL"
	case sqlite.CheckpointRestart:
		return "RESTART"
	case sqlite.CheckpointTruncate:
		return "TRUNCATE"
	}
	return "PASSIVE"
}
