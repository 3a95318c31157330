package sqlite

import (
	"context"
	"time"
)

// InterruptAfter has the end of ctx interrupt what the connection runs, from now
// until over, which the goroutine that uses the connection must call. After that
// no interrupt of ctx's reaches anything, and none is left behind.
//
// It is for what works for long without asking the progress handler: a count(*),
// a checkpoint. What asks is cheaper to end by asking; see
// [Conn.SetProgressHandler].
func (c *Conn) InterruptAfter(ctx context.Context) (over func()) {
	if ctx.Done() == nil {
		return func() {}
	}
	enough := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { c.interruptUntil(enough) })
	return func() {
		if stop() {
			return
		}
		enough <- struct{}{}
		c.ClearInterrupt()
	}
}

// interruptAgain is the pause between two interrupts.
const interruptAgain = time.Millisecond

// interruptUntil interrupts again and again, since a statement that begins on an
// idle connection, or is compiled anew by its first step, takes back what came
// before. After it has received from enough it does nothing more.
func (c *Conn) interruptUntil(enough <-chan struct{}) {
	again := time.NewTicker(interruptAgain)
	defer again.Stop()
	for {
		c.Interrupt()
		select {
		case <-enough:
			return
		case <-again.C:
		}
	}
}
