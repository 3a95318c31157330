package outside

import (
	"cmp"
	"slices"
	"time"
)

// Told is what a process tells of itself, which no system does.
type Told struct {
	PID     int
	Program string
	Writer  *Doing  // who has its writer; nil if nobody has, or if that one waits for another process
	Readers []Doing // who has its readers, the oldest first
	Waiting []Doing // who waits for its writer, in the order of their turns; a long queue is cut
	Queued  int     // how many they are
	Blocked bool    // the first of them has the writer, and waits for another process
}

// Doing is what somebody in a process does.
type Doing struct {
	Statement string // without values
	CallSite  string
	Since     time.Time
}

// hear adds to a judged report what processes have told.
func (r *Report) hear(all []Told) {
	for _, t := range all {
		i := slices.IndexFunc(r.Openers, func(p Process) bool { return p.PID == t.PID })
		if i < 0 { // the system lists nobody, or not this one
			i = len(r.Openers)
			r.Openers = append(r.Openers, Process{PID: t.PID, Program: t.Program})
		}
		process := r.Openers[i]
		r.attribute(t)
		r.Queued += t.Queued
		lock, behind := Write, []int{t.PID}
		if r.JournalMode == ModeRollback {
			lock = Reserved
		}
		if t.Blocked {
			behind = r.pids(func(h Holder) bool { return h.PID != t.PID && slices.Contains(writing, h.Lock) })
		}
		for _, d := range t.Waiting {
			r.Waiters = append(r.Waiters, Waiter{
				Process: process, Lock: lock, Behind: behind, Since: d.Since, Statement: d.Statement, CallSite: d.CallSite,
			})
		}
	}
	slices.SortStableFunc(r.Openers, func(a, b Process) int { return a.PID - b.PID })
}

// attribute says which of the process's transactions has which of its locks.
// It has one writer, which has whatever lock is for writing. Which reader has
// which slot nobody knows, but who began earlier reads an older snapshot: so the
// oldest reader gets the slot of the oldest snapshot, the next the next, and the
// writer, which reads the newest, the last that is left. Readers of one snapshot
// share a slot, which gets the oldest of them. A slot that is left over is one
// of an idle reader, which keeps its snapshot for a while.
func (r *Report) attribute(t Told) {
	var reads []*Holder
	for i := range r.Holders {
		h := &r.Holders[i]
		switch {
		case h.PID != t.PID:
		case slices.Contains(writing, h.Lock):
			if t.Writer != nil {
				h.does(*t.Writer)
			}
		case h.Lock == Read || h.Lock == Shared:
			reads = append(reads, h)
		}
	}
	slices.SortStableFunc(reads, func(a, b *Holder) int { return cmp.Compare(a.SnapshotFrame, b.SnapshotFrame) })
	for i, h := range reads[:min(len(reads), len(t.Readers))] {
		h.does(t.Readers[i])
	}
	if t.Writer != nil && len(reads) > len(t.Readers) && reads[len(reads)-1].Lock == Read {
		reads[len(reads)-1].does(*t.Writer)
	}
}

func (h *Holder) does(d Doing) {
	h.Statement, h.CallSite, h.began = d.Statement, d.CallSite, d.Since
}
