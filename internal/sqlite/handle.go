package sqlite

import (
	"sync"
	"sync/atomic"
)

// handles translates the integers that SQLite passes back to the callbacks into
// the Go values they stand for: *Conn and *function.
//
// It is package level because nothing else can be reached from a callback: a C
// function pointer carries no closure, and a Go pointer must not be hidden from
// the collector in C memory.
var handles handleTable

// handleTable is read by every callback and written when a connection opens or
// closes, so readers take no lock: writers replace the slice.
type handleTable struct {
	slots atomic.Pointer[[]any]
	mu    sync.Mutex // serializes writers
}

// add returns a handle for v, which is never 0 and is valid until remove.
func (t *handleTable) add(v any) uintptr {
	t.mu.Lock()
	defer t.mu.Unlock()
	slots := t.copy(1)
	free := 0
	for free < len(slots)-1 && slots[free] != nil {
		free++
	}
	slots[free] = v
	if free < len(slots)-1 {
		slots = slots[:len(slots)-1]
	}
	t.slots.Store(&slots)
	return uintptr(free + 1)
}

func (t *handleTable) remove(h uintptr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	slots := t.copy(0)
	slots[h-1] = nil
	t.slots.Store(&slots)
}

func (t *handleTable) get(h uintptr) any {
	return (*t.slots.Load())[h-1]
}

// copy returns the slots with room for extra ones.
func (t *handleTable) copy(extra int) []any {
	var old []any
	if p := t.slots.Load(); p != nil {
		old = *p
	}
	return append(make([]any, 0, len(old)+extra), old...)[:len(old)+extra]
}
