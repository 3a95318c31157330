package torture

import (
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"
)

// Ledger is what children have begun and what was acknowledged to them. The
// parent keeps it in its own memory. It is safe for concurrent use.
//
// A writer counts its writes from 1 and begins one after the other, so the ledger
// keeps how far each has come and remembers singly only what was not acknowledged:
// hours of load take no more memory than a minute.
type Ledger struct {
	mu      sync.Mutex
	writers map[int]*account
	Repeats int64 // acknowledgements of a write that was acknowledged before: repetitions by key
	Said    []string
}

type account struct {
	begun uint64
	open  map[uint64]fate // begun and not acknowledged
	again map[uint64]bool // begun once more, in another place of the order; an error then says nothing about the first time
}

// fate is what a writer knows of a write.
type fate int

const (
	acked      fate = iota
	unknown         // begun, and no answer yet, or one that leaves it open
	rolledBack      // the error said that nothing of it is there
	never           // not begun
)

// Begin notes that a writer is about to write seq.
func (l *Ledger) Begin(writer int, seq uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.writers == nil {
		l.writers = map[int]*account{}
	}
	a := l.writers[writer]
	if a == nil {
		a = &account{open: map[uint64]fate{}, again: map[uint64]bool{}}
		l.writers[writer] = a
	}
	switch {
	case seq == a.begun+1:
		a.begun = seq
		a.open[seq] = unknown
	case seq > a.begun:
		return fmt.Errorf("writer %d began %d after %d", writer, seq, a.begun)
	default: // a repetition: what is known of it stays
		if _, open := a.open[seq]; open {
			a.again[seq] = true
		}
	}
	return nil
}

// Settle notes the answer to a write. Whatever was acknowledged once stays so.
func (l *Ledger) Settle(writer int, seq uint64, f fate) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.writers[writer]
	if a == nil || seq > a.begun {
		return fmt.Errorf("writer %d got an answer to %d, which it had not begun", writer, seq)
	}
	_, open := a.open[seq]
	switch {
	case f == acked && open:
		delete(a.open, seq)
	case f == acked:
		l.Repeats++
	case open && !a.again[seq]:
		a.open[seq] = f
	}
	return nil
}

// Fate returns what is known of a write.
func (l *Ledger) Fate(writer int, seq uint64) fate {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.writers[writer]
	if a == nil || seq == 0 || seq > a.begun {
		return never
	}
	if f, open := a.open[seq]; open {
		return f
	}
	return acked
}

// Acked is how many writes were acknowledged.
func (l *Ledger) Acked() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := int64(0)
	for _, a := range l.writers {
		n += int64(a.begun) - int64(len(a.open))
	}
	return n
}

// Open returns the writes of a writer that were begun and have no answer.
func (l *Ledger) Open(writer int) []uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	var seqs []uint64
	if a := l.writers[writer]; a != nil {
		for seq, f := range a.open {
			if f == unknown {
				seqs = append(seqs, seq)
			}
		}
	}
	return seqs
}

// unacked returns the writes of a writer that were not acknowledged, and what is
// known of them.
func (l *Ledger) unacked(writer int) map[uint64]fate {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a := l.writers[writer]; a != nil {
		return maps.Clone(a.open)
	}
	return nil
}

// Begun is how far a writer has come.
func (l *Ledger) Begun(writer int) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a := l.writers[writer]; a != nil {
		return a.begun
	}
	return 0
}

// repeated tells whether a write was begun more than once.
func (l *Ledger) repeated(writer int, seq uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.writers[writer]
	return a != nil && a.again[seq]
}

// each calls f for every writer and how far it has come.
func (l *Ledger) each(f func(writer int, begun uint64)) {
	l.mu.Lock()
	begun := make(map[int]uint64, len(l.writers))
	for w, a := range l.writers {
		begun[w] = a.begun
	}
	l.mu.Unlock()
	for w, n := range begun {
		f(w, n)
	}
}

// The first word of the lines by which a child tells of its writes: "b 3 17" has
// begun, "a 3 17" was acknowledged, "r 3 17 why" was rolled back, "u 3 17 why"
// ended with an outcome that is unknown.
const (
	lineBegin      = "b"
	lineAck        = "a"
	lineRolledBack = "r"
	lineUnknown    = "u"
)

// Line takes a line of a child, and says whether it was about a write. What a
// child said about an error is kept in Said, the first few.
func (l *Ledger) Line(text string) (mine bool, err error) {
	word, rest, _ := strings.Cut(text, " ")
	switch word {
	case lineBegin, lineAck, lineRolledBack, lineUnknown:
	default:
		return false, nil
	}
	writer, rest, _ := strings.Cut(rest, " ")
	number, why, _ := strings.Cut(rest, " ")
	w, err := strconv.Atoi(writer)
	if err != nil {
		return true, fmt.Errorf("a child told %q: %w", text, err)
	}
	seq, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return true, fmt.Errorf("a child told %q: %w", text, err)
	}
	if why != "" {
		l.mu.Lock()
		if len(l.Said) < 8 {
			l.Said = append(l.Said, why)
		}
		l.mu.Unlock()
	}
	switch word {
	case lineBegin:
		return true, l.Begin(w, seq)
	case lineAck:
		return true, l.Settle(w, seq, acked)
	case lineRolledBack:
		return true, l.Settle(w, seq, rolledBack)
	}
	return true, l.Settle(w, seq, unknown)
}
