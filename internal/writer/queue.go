package writer

import (
	"context"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast/internal/locks"
	"github.com/holdfastdb/holdfast/internal/sqlite"
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

type state uint8

const (
	queued   state = iota
	granted        // has the baton, or is in the hands of who has it
	running        // its statement runs
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
	site   locks.Site
	sql    string
	since  time.Time

	ready chan struct{} // capacity 1: an answer, or the baton when lead is set

	// Guarded by Writer.mu until ready has been received.
	state      state
	lead       bool
	err        error
	left       bool // its caller has gone with ErrOutcomeUnknown: never run again
	prev, next *task
	in         bool
}

// queue is three first-in-first-out lists in one, so that a unit whose context
// ends can leave from the middle at once.
type queue struct {
	lists [Low + 1]struct{ head, tail *task }
	len   int
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

// timers are reused: under load every unit that queues needs one.
var timers = sync.Pool{New: func() any {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}}

func acquireTimer(d time.Duration) *time.Timer {
	t := timers.Get().(*time.Timer)
	t.Reset(d)
	return t
}

func releaseTimer(t *time.Timer) {
	t.Stop()
	timers.Put(t)
}
