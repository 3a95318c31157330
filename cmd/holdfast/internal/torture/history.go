package torture

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// action is what a client does to the registers and the list.
type action string

const (
	actRead   action = "read"   // a register
	actWrite  action = "write"  // a register
	actSwap   action = "swap"   // a register, if it has the value that is expected
	actAppend action = "append" // to the list
	actCount  action = "count"  // the list
)

// event is one action of a client. A client does one thing at a time.
type event struct {
	act      action
	register int
	old, new int64 // of a swap; a write has new
	call     int64 // before it began
	back     int64 // after it was answered; never, if there was no answer
	value    int64 // what was read, or the place in the list, or 1 if the swap was made
	answered bool
}

const never64 = math.MaxInt64

// history is what all clients have done. The parent writes it from what they tell.
type history struct {
	mu     sync.Mutex
	events []*event
	open   map[int]*event // by client
	errs   []string
}

// line takes what a client tells: "c CLIENT ACTION REGISTER OLD NEW TIME" before,
// then "d CLIENT TIME VALUE" when it is done, or "x CLIENT unknown|none ERROR".
func (h *history) line(text string) (mine bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	client := 0
	switch word, rest, _ := strings.Cut(text, " "); word {
	case "c":
		e := &event{back: never64}
		if _, err := fmt.Sscan(rest, &client, &e.act, &e.register, &e.old, &e.new, &e.call); err != nil {
			return true, fmt.Errorf("a client told %q: %w", text, err)
		}
		if h.open == nil {
			h.open = map[int]*event{}
		}
		h.open[client] = e
		h.events = append(h.events, e)
	case "d":
		var at, value int64
		if _, err := fmt.Sscan(rest, &client, &at, &value); err != nil {
			return true, fmt.Errorf("a client told %q: %w", text, err)
		}
		e := h.open[client]
		if e == nil {
			return true, fmt.Errorf("client %d has done what it had not begun", client)
		}
		e.back, e.value, e.answered = at, value, true
		delete(h.open, client)
	case "x":
		outcome := ""
		if _, err := fmt.Sscan(rest, &client, &outcome); err != nil {
			return true, fmt.Errorf("a client told %q: %w", text, err)
		}
		if outcome == "none" { // it has not happened
			h.events = slices.DeleteFunc(h.events, func(e *event) bool { return e == h.open[client] })
		}
		delete(h.open, client)
		h.errs = append(h.errs, rest)
	default:
		return false, nil
	}
	return true, nil
}

// register is the model: a value that is read, written, and swapped. An action
// without an answer may have happened at any time after its call, or, if it is
// put behind all others, not at all.
var register = porcupine.Model{
	Partition: func(all []porcupine.Operation) [][]porcupine.Operation {
		byRegister := map[int][]porcupine.Operation{}
		for _, op := range all {
			n := op.Input.(*event).register
			byRegister[n] = append(byRegister[n], op)
		}
		var parts [][]porcupine.Operation
		for _, part := range byRegister {
			parts = append(parts, part)
		}
		return parts
	},
	Init: func() any { return int64(0) },
	Step: func(state, input, _ any) (bool, any) {
		v, e := state.(int64), input.(*event)
		switch e.act {
		case actRead:
			return e.value == v, v
		case actWrite:
			return true, e.new
		}
		swapped := v == e.old
		if e.answered && swapped != (e.value == 1) {
			return false, v
		}
		if swapped {
			return true, e.new
		}
		return true, v
	},
	Equal: func(a, b any) bool { return a.(int64) == b.(int64) },
}

// linearizable tells whether the registers behaved as if every action had happened
// at one moment between its call and its answer.
func (h *history) linearizable(patience time.Duration) error {
	var ops []porcupine.Operation
	for _, e := range h.events {
		registers := e.act == actRead || e.act == actWrite || e.act == actSwap
		if !registers || !e.answered && e.act == actRead {
			continue
		}
		// Clients only matter for pictures; one that died had no second action.
		ops = append(ops, porcupine.Operation{Input: e, Call: e.call, Return: e.back})
	}
	switch porcupine.CheckOperationsTimeout(register, ops, patience) {
	case porcupine.Ok:
		return nil
	case porcupine.Unknown:
		return fmt.Errorf("%d actions could not be judged within %s", len(ops), patience)
	}
	return fmt.Errorf("the history of %d actions on the registers is not linearizable", len(ops))
}

// ordered tells whether the list grew in one order, that of its places: an append
// that was answered before another was begun stands before it, and a count sees
// what was there before it began and nothing that was begun after its end.
func (h *history) ordered() error {
	type tick struct {
		at   int64
		back bool
		e    *event
	}
	var ticks []tick
	taken := map[int64]bool{}
	for _, e := range h.events {
		if e.act != actAppend && e.act != actCount || !e.answered {
			continue
		}
		if e.act == actAppend {
			if taken[e.value] {
				return fmt.Errorf("two appends were told the same place, %d", e.value)
			}
			taken[e.value] = true
		}
		ticks = append(ticks, tick{e.call, false, e}, tick{e.back, true, e})
	}
	// At the same nanosecond nothing is before the other: calls first.
	slices.SortStableFunc(ticks, func(a, b tick) int {
		switch {
		case a.at != b.at:
			return cmp.Compare(a.at, b.at)
		case a.back == b.back:
			return 0
		case b.back:
			return -1
		}
		return 1
	})
	length := int64(0) // that was seen for certain
	floor := map[*event]int64{}
	for _, t := range ticks {
		if !t.back {
			floor[t.e] = length
			continue
		}
		low := floor[t.e]
		if t.e.act == actAppend && t.e.value <= low {
			return fmt.Errorf("an append got place %d, and before it began the list had %d", t.e.value, low)
		}
		if t.e.act == actCount && t.e.value < low {
			return fmt.Errorf("a count saw %d, and before it began the list had %d", t.e.value, low)
		}
		length = max(length, t.e.value)
	}
	return nil
}
