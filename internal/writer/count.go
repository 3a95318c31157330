package writer

import (
	"time"

	"github.com/holdfastdb/holdfast/internal/stats"
)

// hasWaited counts a wait for the writer.
func (w *Writer) hasWaited(d time.Duration) {
	w.cfg.Counters.AddQueueWait(d)
	if w.cfg.Times != nil {
		w.clock.waits = append(w.clock.waits, d)
	}
}

// tell counts what was left for the end of a group, before anybody of it has an answer:
// the waits, and what the engine has done for statements that were set aside.
func (w *Writer) tell() {
	if len(w.clock.waits) > 0 {
		w.cfg.Times.WriterWait.AddAll(w.clock.waits)
		w.clock.waits = w.clock.waits[:0]
	}
	if w.conn != nil {
		w.conn.Settle()
	}
}

// answerAll answers the units of a COMMIT that has returned, and counts them before that:
// who has an answer finds it counted.
func (w *Writer) answerAll(tasks []*task) {
	w.mu.Lock()
	for _, t := range tasks {
		t.state = answered
	}
	w.mu.Unlock()
	c := stats.Committed(w.clock.looked)
	for _, t := range tasks {
		// Those that are gone have counted an error, and use what t points to again.
		if t.written != nil && t.err == nil && !t.gone {
			c.Count(t.written, t.since, t.waited)
		}
	}
	c.End()
	for _, t := range tasks {
		t.ready <- struct{}{}
	}
}
