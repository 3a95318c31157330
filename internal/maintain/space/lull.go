package space

import (
	"sync"
	"time"
)

// QuietAfter is for how long nobody may have written. A database that is written
// to every now and then is as busy as one that never rests: its writes are few, and
// each that meets a step counts.
const QuietAfter = time.Second

// Lull notices when a database was last written to by others. The zero value is
// ready to use, and knows nothing for QuietAfter.
type Lull struct {
	mu    sync.Mutex // guards the rest
	units int64
	own   int64
	since time.Time
}

// Own notes a unit of the writer that maintenance itself has had done.
func (l *Lull) Own() {
	l.mu.Lock()
	l.own++
	l.mu.Unlock()
}

// Lasts tells whether none of the units that the writer has done in all was
// somebody else's for QuietAfter.
func (l *Lull) Lasts(units int64, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := units - l.own; n != l.units || l.since.IsZero() {
		l.units, l.since = n, now
	}
	return now.Sub(l.since) >= QuietAfter
}
