package outside

import (
	"cmp"
	"slices"
)

// judge says what the owners hold and whom they wait for.
func (r *Report) judge(seen sight) {
	wal := r.JournalMode == ModeWAL
	if r.JournalMode == ModeUnknown {
		if slices.ContainsFunc(seen.owners, func(o owner) bool { return o.shm.connected }) {
			r.JournalMode, wal = ModeWAL, true
		}
	}
	for _, o := range seen.owners {
		process := seen.processes[o.pid].Process
		for _, h := range r.held(o, wal) {
			h.Process = process
			if o.blocked {
				r.Waiters = append(r.Waiters, Waiter{Process: process, Lock: h.Lock})
				continue
			}
			r.Holders = append(r.Holders, h)
		}
	}
	slices.SortStableFunc(r.Holders, func(a, b Holder) int {
		return cmp.Or(slices.Index(byWeight, a.Lock)-slices.Index(byWeight, b.Lock), cmp.Compare(a.PID, b.PID), a.Slot-b.Slot)
	})
	for i := range r.Waiters {
		r.Waiters[i].Behind = r.pids(func(h Holder) bool { return h.Lock == r.Waiters[i].Lock && h.PID != r.Waiters[i].PID })
	}
	r.inferWaiters(seen)
	for _, p := range seen.processes {
		if p.PID != 0 {
			r.Openers = append(r.Openers, p.Process)
		}
	}
	slices.SortFunc(r.Openers, func(a, b Process) int { return a.PID - b.PID })
}

// byWeight are the locks, first those that keep most others out.
var byWeight = []string{Exclusive, Pending, Recover, Write, Reserved, Checkpoint, Read, Shared}

// held lists the locks of one owner. The locks of the database file are steps
// of one ladder, so the highest counts; those of the index are each of their
// own. In WAL mode every connection has SHARED for life: it says nothing.
func (r *Report) held(o owner, wal bool) []Holder {
	var holders []Holder
	add := func(lock string, has bool) {
		if has {
			holders = append(holders, Holder{Lock: lock, Slot: -1})
		}
	}
	switch {
	case o.db.exclusive:
		add(Exclusive, true)
	case o.db.pending:
		add(Pending, true)
	case o.db.reserved:
		add(Reserved, true)
	default:
		add(Shared, o.db.shared && !wal)
	}
	add(Recover, o.shm.recover)
	add(Write, o.shm.write)
	add(Checkpoint, o.shm.checkpoint)
	for slot, has := range o.shm.read {
		if !has {
			continue
		}
		h := Holder{Lock: Read, Slot: slot}
		// The mark of slot 0 is always 0, and one that is not in use is all ones.
		if r.WAL != nil && r.WAL.ReadMarks[slot] != unusedMark {
			h.SnapshotFrame = r.WAL.ReadMarks[slot]
		}
		holders = append(holders, h)
	}
	return holders
}

const unusedMark = 1<<32 - 1

// inferWaiters finds those who wait without asking the kernel. SQLite looks
// again and again until the lock is free, and meanwhile has the locks of the
// steps before: they give it away.
func (r *Report) inferWaiters(seen sight) {
	for _, o := range seen.owners {
		if o.blocked {
			continue
		}
		p := seen.processes[o.pid].Process
		switch {
		case o.db.pending && !o.db.exclusive:
			behind := r.pids(func(h Holder) bool { return h.Lock == Shared })
			if len(behind) > 0 {
				r.Waiters = append(r.Waiters, Waiter{Process: p, Lock: Exclusive, Behind: behind})
			}
		case o.shm.write && o.shm.checkpoint && !o.shm.recover && !o.shm.copying:
			if behind := r.pids(r.delaysRestart); len(behind) > 0 {
				r.Waiters = append(r.Waiters, Waiter{Process: p, Lock: Checkpoint, Behind: behind})
			}
		}
	}
}

// delaysRestart tells whether a checkpoint that wants the whole log copied, or
// to begin it anew, has to wait for h. Slot 0 doesn't read the log, so it is in
// the way only of copying.
func (r *Report) delaysRestart(h Holder) bool {
	return h.Lock == Read && (h.Slot > 0 || r.WAL == nil || r.WAL.CopiedFrames < r.WAL.Frames)
}

// pids are the processes of the holders for which is says yes, each once.
func (r *Report) pids(is func(Holder) bool) []int {
	var pids []int
	for _, h := range r.Holders {
		if is(h) && !slices.Contains(pids, h.PID) {
			pids = append(pids, h.PID)
		}
	}
	return pids
}
