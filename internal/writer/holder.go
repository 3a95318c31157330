package writer

import (
	"context"
	"fmt"
	"time"

	"github.com/holdfastdb/holdfast/internal/locks"
	"github.com/holdfastdb/holdfast/internal/stats"
)

// BusyError says that the wait budget was spent, and on whom.
type BusyError struct {
	Waited   time.Duration
	Attempts int
	Holder   Holder
	Cause    error // the engine's answer when another process held the lock
}

func (e *BusyError) Error() string {
	return fmt.Sprintf("the write lock was not free within %s: %s", e.Waited.Round(time.Millisecond), e.Holder)
}

func (e *BusyError) Unwrap() error { return e.Cause }

// Holder is who has the writer.
type Holder struct {
	Kind  string // "transaction", "statement", "exclusive work", "another process", or "" for nobody
	Site  locks.Site
	SQL   string    // its last statement, literals and all: never print it as it is
	Since time.Time // for another process, when it was first in the way

	ctx  context.Context
	mark locks.Mark // Request.Mark
}

// Labels are those of its goroutine, as far as its context has them.
func (h Holder) Labels() string { return locks.Labels(h.ctx) }

func (h Holder) String() string {
	switch h.Kind {
	case "":
		return "nobody holds it now"
	case "another process":
		return "another process holds it"
	}
	s := "held by a " + h.Kind
	if h.Kind == "exclusive work" {
		s = "held by exclusive work"
	}
	if h.Site.Known() {
		s += " begun at " + h.Site.String()
	}
	if !h.Since.IsZero() {
		s += fmt.Sprintf(", %s ago", time.Since(h.Since).Round(time.Millisecond))
	}
	if h.SQL != "" {
		s += ", running " + stats.Fingerprint(h.SQL)
	}
	return s
}

const (
	kindTransaction = "transaction"
	kindStatement   = "statement"
	kindExclusive   = "exclusive work"
	kindForeign     = "another process"
)

func (w *Writer) setHolder(h Holder) {
	w.mu.Lock()
	w.holder = h
	w.mu.Unlock()
}

// inTheWay notes that another process keeps the writer waiting, and so those
// behind, and returns it.
func (w *Writer) inTheWay() Holder {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.holder.Kind != kindForeign {
		w.holder = Holder{Kind: kindForeign, Since: time.Now()}
	}
	return w.holder
}

// Holder tells who has the writer now.
func (w *Writer) Holder() Holder {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.holder
}
