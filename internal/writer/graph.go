package writer

import (
	"sync"
	"sync/atomic"

	"github.com/holdfastdb/holdfast/internal/locks"
)

// Graph is who waits for whom, and who has asked for which writer while having
// another, over all writers that share it: those of a process. The zero value is
// ready to use.
type Graph struct {
	// mu is held for a whole search, so that of two callers who wait for each
	// other only one finds it out. It is taken before any Writer's.
	mu      sync.Mutex
	writers map[*Writer]map[*Writer]*edge // with the orders seen. Guarded by mu
	edges   int                           // of these. Guarded by mu
	marked  atomic.Int32                  // functions that have a writer, and a mark
	reader  locks.MarkReader
}

func (g *Graph) join(w *Writer) {
	g.mu.Lock()
	if g.writers == nil {
		g.writers = make(map[*Writer]map[*Writer]*edge)
	}
	g.writers[w] = nil
	g.mu.Unlock()
}

func (g *Graph) part(w *Writer) {
	g.mu.Lock()
	g.forget(w)
	g.mu.Unlock()
}

// breakCycle ends the wait of t if the transaction that it waits for waits,
// over however many others, for one that t runs inside of. t has just looked, so
// it is the last to have joined the cycle.
func (g *Graph) breakCycle(w *Writer, t *task, site locks.Site) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	first := w.Holder()
	var via locks.Site
	steps := 0
	for h := first; !h.isAmong(t.look.marks); steps++ {
		found := false
		for other := range g.writers {
			var at locks.Site
			if at, h, found = other.waits(h); found {
				if !via.Known() {
					via = at
				}
				break
			}
		}
		if !found || steps == len(g.writers) { // or a cycle that t only waits for
			return nil
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if t.state != queued || w.holder.mark != first.mark {
		return nil
	}
	w.leave(t)
	return &SelfDeadlockError{Holder: first, Site: site, Via: via}
}

// waits tells whether the transaction h waits for this writer, from where, and
// who has the writer; else it returns h.
func (w *Writer) waits(h Holder) (at locks.Site, next Holder, found bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for t := range w.queue.all() {
		if h.isAmong(t.look.marks) {
			return t.site, w.holder, true
		}
	}
	return at, h, false
}
