package torture

import (
	"testing"
	"time"
)

// TestLateAcknowledgements tells what a process may still say after its file was
// moved, and what it may not.
func TestLateAcknowledgements(t *testing.T) {
	t.Parallel()
	start := time.Now()
	type said struct {
		after time.Duration // the move
		text  string
	}
	for name, c := range map[string]struct {
		lines []said
		late  int
	}{
		"before and after the move": {lines: []said{{0, "b 0 1"}, {0, "a 0 1"}, {20 * time.Millisecond, "b 0 2"}, {40 * time.Millisecond, "a 0 2"}}},
		"an answer that was overtaken": {
			lines: []said{{0, "b 0 1"}, {time.Millisecond, "fenced"}, {2 * time.Millisecond, "a 0 1"}},
		},
		"begun after the fence": {
			lines: []said{{0, "fenced"}, {time.Millisecond, "b 0 1"}, {2 * time.Millisecond, "a 0 1"}}, late: 1,
		},
		"refused after the fence": {lines: []said{{0, "fenced"}, {time.Millisecond, "b 0 1"}, {2 * time.Millisecond, "u 0 1 fenced"}}},
		"too late":                {lines: []said{{0, "b 0 1"}, {fenceLimit + time.Millisecond, "a 0 1"}}, late: 1},
	} {
		m := &moving{generation: generation{t: newTrial(moveUnderLoad(), *options(t), 1, t.TempDir())}, fenced: map[*slot]bool{}, begun: map[string]bool{}}
		s := &slot{g: &m.generation, hit: make(chan struct{}, 1)}
		m.moved = start
		for _, l := range c.lines {
			m.heard(s, Line{At: start.Add(l.after), Text: l.text})
		}
		if m.late != c.late || m.failure() != nil {
			t.Errorf("%s: %d late acknowledgements, want %d; %v", name, m.late, c.late, m.failure())
		}
	}
}
