package writer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/holdfastdb/holdfast/internal/locks"
)

// SelfDeadlockError says that a function which runs inside a transaction waits
// for the writer that this transaction holds.
type SelfDeadlockError struct {
	Holder Holder     // the transaction
	Site   locks.Site // of the call that waits for it
	Via    locks.Site // of the call by which the transaction waits for the caller's, if it is not the caller's itself
}

func (e *SelfDeadlockError) Error() string {
	if e.Via.Known() {
		return fmt.Sprintf("the write at %s waits for the transaction begun at %s, which waits at %s for one that the write runs inside of",
			e.Site, e.Holder.Site, e.Via)
	}
	return fmt.Sprintf("the write at %s waits for the transaction that it runs inside of, begun at %s", e.Site, e.Holder.Site)
}

// Only who waits for long pays to find out for whom: reading the own stack takes
// tens of microseconds. A unit looks once, and not while the queue moves, unless
// it has waited for very long all the same.
const (
	lookAfter  = 50 * time.Millisecond // of waiting, behind one holder
	lookAnyway = time.Second
	maxLooks   = 256 // in one round: a thousand waiters may not all run at once
)

// look is a waiting unit's look at its own stack.
type look struct {
	called bool // once. Guarded by Writer.mu
	// due: ready has the call. Set with called while the unit is queued, cleared
	// by the unit, which reads it when it has received from ready: its answer
	// comes after that, and nobody calls any more.
	due   bool
	marks []locks.Mark // on its stack. Guarded by Writer.mu
}

// callToLook wakes a waiting unit. Called with mu held; ready has room, as its
// answer is not there yet.
func (t *task) callToLook() {
	t.look.called, t.look.due = true, true
	t.ready <- struct{}{}
}

// lookAround notes where a unit comes from, and ends its wait if it can't end.
func (w *Writer) lookAround(t *task) error {
	t.look.due = false
	site, marks := locks.Caller()
	over, err := w.noteLook(t, site, marks)
	if over || err != nil || len(marks) == 0 || w.cfg.Graph == nil {
		return err
	}
	return w.cfg.Graph.breakCycle(w, t, site)
}

// noteLook notes what a look has found; over says that there is nothing more to find.
func (w *Writer) noteLook(t *task, site locks.Site, marks []locks.Mark) (over bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t.look.marks = marks
	if !t.site.Known() {
		t.site = site
	}
	if t == w.served {
		w.holder.Site = site
	}
	if t.state != queued {
		return true, nil
	}
	if w.holder.isAmong(marks) {
		w.leave(t)
		return true, &SelfDeadlockError{Holder: w.holder, Site: site}
	}
	return w.holder.mark == 0, nil
}

// isAmong tells whether the holder is one of the transactions with these marks.
func (h Holder) isAmong(marks []locks.Mark) bool {
	return h.mark != 0 && slices.Contains(marks, h.mark)
}

// own tells a unit that is out of budget if it was its own caller who held the
// writer. It runs on the caller's goroutine.
func own(err error) error {
	if err == nil {
		return nil
	}
	return ownBusy(err)
}

// ownBusy is apart from own because its variable is on the heap.
func ownBusy(err error) error {
	var busy *BusyError
	if !errors.As(err, &busy) {
		return err
	}
	if self := busy.Holder.Own(); self != nil {
		return self
	}
	return err
}

// Own is a *SelfDeadlockError for who calls from inside the holder's transaction:
// what he waits for outside of it won't come. Else it is nil.
func (h Holder) Own() error {
	if h.mark == 0 {
		return nil
	}
	if site, marks := locks.Caller(); h.isAmong(marks) {
		return &SelfDeadlockError{Holder: h, Site: site}
	}
	return nil
}

// askHolder has the caller of the statement that runs found out, if that is not
// known. It is answered by the caller's own goroutine: by the one that runs the
// statement at its next look at the context, or by the one that waits while
// another runs it. Called with mu held.
func (w *Writer) askHolder() {
	switch {
	case w.holder.Kind != kindStatement || w.holder.Site.Known():
	case w.served == nil:
		w.ask.Store(true)
	case !w.served.look.called:
		w.served.callToLook()
	}
}

// tellSite notes where the own statement of the writer's owner comes from.
func (w *Writer) tellSite() {
	w.ask.Store(false)
	site, _ := locks.Caller()
	w.mu.Lock()
	w.holder.Site = site
	w.mu.Unlock()
}

// Waiting is a unit in the queue.
type Waiting struct {
	Kind     string // as a Holder's
	Priority Priority
	Site     locks.Site // unknown for a statement that has not waited for long
	SQL      string     // literals and all
	Since    time.Time

	ctx context.Context
}

// Labels are those of its goroutine, as far as its context has them.
func (w Waiting) Labels() string { return locks.Labels(w.ctx) }

// Waiting returns who has the writer and who waits for it, first come first,
// and the number of those who wait. At most limit of them are returned.
func (w *Writer) Waiting(limit int) (Holder, []Waiting, int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.askHolder()
	var out []Waiting
	for t := range w.queue.all() {
		if len(out) == limit {
			break
		}
		out = append(out, Waiting{t.kind.holder(), t.prio, t.site, t.sql, t.since, t.ctx})
	}
	return w.holder, out, w.queue.len
}
