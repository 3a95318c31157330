package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/holdfastdb/holdfast/internal/busy"
	"github.com/holdfastdb/holdfast/internal/sqlite"
	"github.com/holdfastdb/holdfast/internal/writer"
)

// ErrHandedOver: somebody else begins the log anew.
var ErrHandedOver = errors.New("the log is handed over")

// BusyError says that a checkpoint could not go all the way within its budget.
type BusyError struct {
	Waited time.Duration
	Pin    Pin
}

func (e *BusyError) Error() string {
	return fmt.Sprintf("the log could not be copied to its end within %s", e.Waited.Round(time.Millisecond))
}

// Result is what a checkpoint has achieved. It is filled in after an error too, as
// far as it is known.
type Result struct {
	Frames, Copied int   // that the log had, and of them that are in the database now
	Before, After  int64 // bytes of the log on the disk
	Took           time.Duration
	Pin            *Pin // who kept a PASSIVE one from copying all that there was; nil if nobody did
}

// Checkpoint makes one checkpoint for somebody who asks. All but a PASSIVE one wait
// for the writer and hold it, and from then on for readers; r.Budget bounds all
// these waits together (*BusyError), ctx ends them.
func (c *Checkpointer) Checkpoint(ctx context.Context, mode sqlite.CheckpointMode, r writer.Request) (res Result, err error) {
	begun := time.Now()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	if err := c.take(ctx); err != nil {
		return res, c.closedOr(err)
	}
	defer c.giveBack()
	if err := c.cfg.Fence(); err != nil {
		return res, err
	}
	if c.handsOver(begun) && mode != sqlite.CheckpointPassive {
		return res, ErrHandedOver
	}
	res.Before = c.cfg.Size()
	before := c.lastSeen()
	var p progress
	if mode == sqlite.CheckpointPassive {
		c.cfg.Pool.Cool()
		p, err = c.patiently(ctx, r.Budget, func() (progress, error) { return c.passive(ctx) })
		if err == nil && p.short {
			p, err = c.oncemore(ctx, p)
		}
	} else {
		p, err = c.whole(ctx, mode, r, begun)
	}
	busy := new(BusyError)
	stopped := errors.As(err, &busy)
	if err == nil || stopped {
		c.ended(before, p, err)
	}
	if stopped || errors.Is(err, errTaken) {
		err = &BusyError{Waited: time.Since(begun), Pin: c.pinnedSince(ctx, time.Now())}
	}
	res.Frames, res.Copied = max(p.log, 0), max(p.copied, 0)
	res.After, res.Took = c.cfg.Size(), time.Since(begun)
	c.note(begun, modeName(mode), p, err)
	if err == nil && p.short {
		pin := c.pinnedSince(ctx, time.Now())
		res.Pin = &pin
	}
	return res, c.closedOr(err)
}

// Exclude waits for the checkpoint that is under way and keeps others away until over
// is called. SQLite refuses a checkpoint at once while another one works.
func (c *Checkpointer) Exclude(ctx context.Context) (over func(), err error) {
	if err := c.take(ctx); err != nil {
		return nil, c.closedOr(err)
	}
	return c.giveBack, nil
}

// closedOr tells the end of a context from Close.
func (c *Checkpointer) closedOr(err error) error {
	if err != nil && c.ctx.Err() != nil {
		return ErrClosed
	}
	return err
}

// oncemore tells who stays from who was just at work on a statement or a COMMIT: a
// second pass gets further then. Asking the kernel for somebody takes some 10 ms.
func (c *Checkpointer) oncemore(ctx context.Context, p progress) (progress, error) {
	q, err := c.passive(ctx)
	switch {
	case errors.Is(err, errTaken):
		return p, nil
	case err == nil:
		q.short = q.short && q.copied == p.copied
	}
	return q, err
}

// patiently tries again as long as somebody else checkpoints, for which SQLite does
// not wait.
func (c *Checkpointer) patiently(ctx context.Context, budget time.Duration, try func() (progress, error)) (p progress, err error) {
	_, _, ended := busy.Poll(ctx, budget, func() bool {
		p, err = try()
		return !errors.Is(err, errTaken)
	})
	if ended != nil && errors.Is(err, errTaken) {
		err = ended
	}
	return p, err
}

// whole makes a checkpoint that copies all of the log, on the writer's connection:
// another one that begins the log anew would make the writer forget its page cache.
func (c *Checkpointer) whole(ctx context.Context, mode sqlite.CheckpointMode, r writer.Request, begun time.Time) (progress, error) {
	left := func() time.Duration { return r.Budget - time.Since(begun) }
	waiting := r
	if waiting.Budget = left(); waiting.Budget <= 0 {
		waiting.Budget = -1 // 0 is the writer's own
	}
	h, err := c.cfg.Writer.Hold(ctx, waiting)
	if err != nil {
		return c.known(), err
	}
	c.cfg.Pool.Cool()
	p, err := c.patiently(ctx, left(), func() (progress, error) { return c.copyBy(ctx, h.Conn(), sqlite.CheckpointPassive) })
	if err == nil {
		var q progress
		q, err = c.patiently(ctx, left(), func() (progress, error) {
			h.Budget(ctx, left())
			return c.copyBy(ctx, h.Conn(), mode)
		})
		switch {
		case err == nil && mode == sqlite.CheckpointTruncate:
			c.cut()
			p.copied = p.log
		case q.log > 0:
			p = q
		}
	}
	stopped := sqlite.Code(err).Primary() == sqlite.ResultBusy
	if stopped || errors.Is(err, errTaken) {
		h.Release(nil)
		if ctx.Err() != nil {
			return p, ctx.Err()
		}
		return p, &BusyError{}
	}
	h.Release(err)
	return p, err
}

// Tidy is what is done in a quiet moment, for a scheduler that has found one: it
// copies the log and cuts it if it is larger than it needs to be. It waits for
// nobody for longer than a moment. The result says what it did.
func (c *Checkpointer) Tidy(ctx context.Context) (string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	if err := c.take(ctx); err != nil {
		return "", c.closedOr(err)
	}
	defer c.giveBack()
	before := c.cfg.Size()
	p, err := c.run(ctx, time.Now(), true)
	switch after := c.cfg.Size(); {
	case err != nil:
		return "", c.closedOr(err)
	case c.role == handedTo:
		return "nothing: the log is handed over", nil
	case after < before:
		return fmt.Sprintf("the log was copied and cut from %d to %d bytes", before, after), nil
	default:
		return fmt.Sprintf("%d of %d frames are copied", p.copied, p.log), nil
	}
}
