package checkpoint

import (
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/internal/sqlite"
	"github.com/holdfastdb/holdfast/internal/writer"
)

// A checkpoint that copies nothing because somebody reads an older state is counted, and
// one that gets on ends the row.
func TestCheckpointsThatGetNowhere(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *Config) { c.Limit = 0 })
	end := b.keep()
	b.fill(stepFrames / 2)
	b.later(0)
	before := b.Stats().Incomplete // of the one that copied up to the reader: none
	b.fill(2 * stepFrames)
	b.settle()
	for range 5 {
		b.later(time.Second)
	}
	s := b.Stats()
	if s.InARow < 5 || s.Incomplete < before+5 {
		t.Errorf("%+v", s)
	}
	if _, err := b.Checkpoint(t.Context(), sqlite.CheckpointPassive, writer.Request{}); err != nil {
		t.Error(err)
	}
	if got := b.Stats(); got.InARow != s.InARow+1 {
		t.Errorf("asked for: %+v", got)
	}
	end()
	b.later(time.Second)
	if got := b.Stats(); got.InARow != 0 || got.Incomplete != s.Incomplete+1 {
		t.Errorf("%+v", got)
	}
}

// Who asks later what became of checkpoints gets the last ones, also of those that it was
// asked for, and of those that somebody was in the way of.
func TestCheckpointsAreRemembered(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *Config) { c.Limit = 0 })
	if l := b.Log(); len(l) != 0 {
		t.Errorf("before the first: %+v", l)
	}
	end := b.keep()
	b.fill(2 * stepFrames)
	b.later(time.Second)
	if l := b.Log(); len(l) == 0 || !l[0].Busy || l[0].Copied >= l[0].Frames || l[0].Mode != "" || l[0].Err != nil || l[0].At.IsZero() {
		t.Errorf("behind a reader: %+v", l)
	}
	n := len(b.Log())
	for range 3 {
		b.later(time.Second)
	}
	if l := b.Log(); len(l) != n || l[0].Times < 4 || !l[0].Since.Before(l[0].At) {
		t.Errorf("no further than before is told once: %d and %d entries, %+v", n, len(l), l[0])
	}
	if _, err := b.Checkpoint(t.Context(), sqlite.CheckpointRestart, writer.Request{Budget: time.Millisecond}); err == nil {
		t.Error("no error behind a reader")
	}
	if l := b.Log(); !l[0].Busy || l[0].Mode != "RESTART" || l[0].Err != nil {
		t.Errorf("asked for, behind a reader: %+v", l[0])
	}
	end()
	if _, err := b.Checkpoint(t.Context(), sqlite.CheckpointTruncate, writer.Request{Budget: time.Second}); err != nil {
		t.Fatal(err)
	}
	if l := b.Log(); l[0].Busy || l[0].Mode != "TRUNCATE" || l[0].Copied != l[0].Frames || l[0].Frames == 0 {
		t.Errorf("asked for: %+v", l[0])
	}
	for range 2 * entries {
		b.fill(1)
		if _, err := b.Checkpoint(t.Context(), sqlite.CheckpointPassive, writer.Request{Budget: time.Second}); err != nil {
			t.Fatal(err)
		}
	}
	l := b.Log()
	if len(l) != entries || l[0].Mode != "PASSIVE" || l[0].At.Before(l[1].At) {
		t.Errorf("%d entries, the newest: %+v", len(l), l[0])
	}
}
