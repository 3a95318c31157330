package writer

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/holdfastdb/holdfast/internal/locks"
	"github.com/holdfastdb/holdfast/internal/sqlite"
	"github.com/holdfastdb/holdfast/internal/stats"
)

type kind uint8

const (
	statement kind = iota
	interactive
	hold
)

func (k kind) holder() string {
	switch k {
	case interactive:
		return kindTransaction
	case hold:
		return kindExclusive
	}
	return kindStatement
}

// holder is t as the owner of the writer.
func (t *task) holder(since time.Time) Holder {
	return Holder{Kind: t.kind.holder(), Site: t.site, SQL: t.sql, Since: since, ctx: t.ctx}
}

type state uint8

const (
	queued   state = iota
	granted        // has the baton, or is in the hands of who has it
	executed       // in a group, waiting for COMMIT
	answered
)

// task is one unit on its way through the writer.
type task struct {
	ctx    context.Context
	kind   kind
	prio   Priority
	run    func(*sqlite.Conn) error
	atomic bool
	alone  bool // runs in a group of its own
	follow bool // waits for others to begin one
	site   locks.Site
	mark   locks.Mark
	sql    string
	since  time.Time
	budget time.Duration // longest wait; enter replaces 0
	waited time.Duration // before its last run

	written *stats.Written // is counted when COMMIT has returned, unless it is nil

	// capacity 2: an answer, or the baton when lead is set; and before it, once,
	// a call to look whom it waits for, when look.due is set.
	ready chan struct{}
	look  look

	// Guarded by Writer.mu until ready has been received.
	state state
	lead  bool
	err   error
	gone  bool // its caller has gone with ErrOutcomeUnknown: never run again
	place

	// panicked is what run panicked with; its caller raises it again. Written
	// by whoever runs it, before ready is sent.
	panicked any
}

// place is where a task stands in the queue.
type place struct {
	prev, next *task
	in         bool
}

// left is what remains of the wait budget.
func (t *task) left() time.Duration { return t.budget - time.Since(t.since) }

func (t *task) deadline() time.Time { return t.since.Add(t.budget) }

// newTask returns a task in its first state. Under load each write needs one,
// and its channel.
func (w *Writer) newTask() *task {
	if t, ok := w.spare.tasks.Get().(*task); ok {
		return t
	}
	return &task{ready: make(chan struct{}, 2)}
}

// recycle takes a task back that has been answered and whose answer was
// received: nobody else knows it any more. One whose caller has gone is still
// in its group.
func (w *Writer) recycle(t *task) {
	if !t.gone {
		*t = task{ready: t.ready}
		w.spare.tasks.Put(t)
	}
}

// errPanicked marks a unit that panicked; nobody sees it.
var errPanicked = errors.New("the unit panicked")

// work is run, kept from unwinding the goroutine that leads the group: the
// baton and the other callers' units would go with it.
func (t *task) work(c *sqlite.Conn) (err error) {
	defer func() {
		if v := recover(); v != nil {
			t.panicked, err = v, errPanicked
		}
	}()
	return t.run(c)
}

// queue is three first-in-first-out lists in one, so that a unit whose context
// ends can leave from the middle at once.
type queue struct {
	lists   [Low + 1]struct{ head, tail *task }
	len     int
	refused int64 // for want of room
}

func (q *queue) push(t *task) {
	l := &q.lists[t.prio]
	t.state, t.in = queued, true
	t.prev, t.next = l.tail, nil
	if l.tail != nil {
		l.tail.next = t
	} else {
		l.head = t
	}
	l.tail = t
	q.len++
}

// pushFront puts units that are run again before everything of their
// priority, in their old order.
func (q *queue) pushFront(ts []*task) {
	for i := len(ts) - 1; i >= 0; i-- {
		t := ts[i]
		l := &q.lists[t.prio]
		t.state, t.in = queued, true
		t.prev, t.next = nil, l.head
		if l.head != nil {
			l.head.prev = t
		} else {
			l.tail = t
		}
		l.head = t
		q.len++
	}
}

func (q *queue) first() *task {
	for i := range q.lists {
		if t := q.lists[i].head; t != nil {
			return t
		}
	}
	return nil
}

// all goes through the queue in its order; the one it is at may be removed.
func (q *queue) all() iter.Seq[*task] {
	return func(yield func(*task) bool) {
		for i := range q.lists {
			for t := q.lists[i].head; t != nil; {
				next := t.next
				if !yield(t) {
					return
				}
				t = next
			}
		}
	}
}

func (q *queue) remove(t *task) {
	if !t.in {
		return
	}
	l := &q.lists[t.prio]
	if t.prev != nil {
		t.prev.next = t.next
	} else {
		l.head = t.next
	}
	if t.next != nil {
		t.next.prev = t.prev
	} else {
		l.tail = t.prev
	}
	t.prev, t.next, t.in = nil, nil, false
	q.len--
}

func (q *queue) drain() []*task {
	var out []*task
	for t := q.first(); t != nil; t = q.first() {
		q.remove(t)
		out = append(out, t)
	}
	return out
}
