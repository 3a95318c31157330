package checkpoint

import "testing"

// A log that was handed over is looked at once a step: a goroutine for each commit
// would cost a busy writer more than the replication that was given the log.
func TestCommitsOfALogThatWasHandedOver(t *testing.T) {
	t.Parallel()
	for name, owner := range map[string]Owner{"by configuration": External, "to Litestream": Auto} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var looks int
			b := newBench(t, func(c *Config) {
				c.Owner, c.Litestream = owner, func() bool { return true }
				c.Fence = func() error { looks++; return nil } // begins every run
			})
			step := b.step()
			for frames := step; frames < 4*step; frames++ {
				b.Committed(frames)
				b.settle()
			}
			if looks != 3 {
				t.Errorf("%d looks in %d commits, each step of %d frames", looks, 3*step, step)
			}
			for frames := 1; frames <= step; frames++ { // begun anew
				b.Committed(frames)
				b.settle()
			}
			if looks != 4 || !b.Stats().HandedOver {
				t.Errorf("%d looks, handed over: %t", looks, b.Stats().HandedOver)
			}
		})
	}
}
