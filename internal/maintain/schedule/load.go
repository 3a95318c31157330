package schedule

import (
	"sync"
	"time"
)

// Load is what a database is doing, as far as this process sees it.
type Load struct {
	Queued  int   // units that wait for the writer, now
	Waiting int   // reads that wait for a reader, now
	Waits   int64 // how many of both have had to wait, ever
	Writes  int64 // units that were committed, ever
}

// A rate is taken over at least shortLook, so that a single write is none, and at
// most longLook, so that it is about now. A maintenance step makes a few wait by
// itself: maxWaits a second is what does not count.
const (
	shortLook = 250 * time.Millisecond
	longLook  = 3 * time.Second
	maxWaits  = 20
)

// meter judges from one look to the next whether the database is quiet.
type meter struct {
	load      func() Load
	maxWrites float64 // a second

	mu    sync.Mutex // guards the rest
	seen  Load
	at    time.Time
	known bool // there is a verdict
	calm  bool // the verdict
}

// quiet reports whether nobody waits and the rates were low; known is false
// until two looks were shortLook apart and no more than longLook.
func (m *meter) quiet() (calm, known bool) {
	if m.load == nil {
		return true, true
	}
	now, l := time.Now(), m.load()
	m.mu.Lock()
	defer m.mu.Unlock()
	switch passed := now.Sub(m.at); {
	case m.at.IsZero() || passed > longLook:
		m.seen, m.at, m.known = l, now, false
	case passed >= shortLook:
		s := passed.Seconds()
		m.calm = float64(l.Writes-m.seen.Writes)/s <= m.maxWrites && float64(l.Waits-m.seen.Waits)/s <= maxWaits
		m.seen, m.at, m.known = l, now, true
	}
	return m.known && m.calm && l.Queued == 0 && l.Waiting == 0, m.known || l.Queued > 0 || l.Waiting > 0
}
