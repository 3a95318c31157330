package outside

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Name is the process as a sentence names it: "python3 (pid 25641)".
func (p Process) Name() string {
	switch {
	case p.PID == 0:
		return "a process that can't be named"
	case p.Program == "":
		return "pid " + strconv.Itoa(p.PID)
	}
	return fmt.Sprintf("%s (pid %d)", p.Program, p.PID)
}

// describe says each finding in a sentence.
func (r *Report) describe() {
	for i := range r.Waiters {
		r.Waiters[i].Text = r.waits(r.Waiters[i])
	}
	for i := range r.Holders {
		h := &r.Holders[i]
		h.Text = h.Name() + " " + r.holds(*h) + told(h.CallSite, h.Statement) + h.stopped()
	}
}

// told is the rest of a sentence on a process that tells what it does.
func told(callSite, statement string) string {
	text := ""
	if callSite != "" {
		text += "; call site " + callSite
	}
	if statement != "" {
		text += "; statement " + statement
	}
	return text
}

// stopped is the rest of a sentence on a process that doesn't go on by itself.
func (p Process) stopped() string {
	if p.State != "stopped" {
		return ""
	}
	return fmt.Sprintf("; the process is stopped and will keep it: let it go on (kill -CONT %d) or end it", p.PID)
}

func (r *Report) holds(h Holder) string {
	switch h.Lock {
	case Shared:
		return "holds SHARED: it reads, and whoever commits waits for it"
	case Reserved:
		return "holds RESERVED: it will write, readers go on and other writers wait"
	case Pending:
		if w, ok := r.waiter(h, Exclusive); ok {
			return "holds PENDING: its COMMIT waits for " + readers(w.Behind) + "; new readers are refused"
		}
		return "holds PENDING: it is about to commit, and new readers are refused"
	case Exclusive:
		if r.JournalMode == ModeWAL {
			return "holds EXCLUSIVE: it runs in locking_mode=EXCLUSIVE or is closing, and nobody else can open the database"
		}
		return "holds EXCLUSIVE: it writes the database file, and nobody else can read or write"
	case Write:
		if w, ok := r.waiter(h, Checkpoint); ok {
			return "holds WAL_WRITE for a checkpoint that waits for " + readers(w.Behind) + ": every writer is blocked for its whole busy_timeout"
		}
		return "holds WAL_WRITE: it writes, and every other writer waits"
	case Checkpoint:
		if w, ok := r.waiter(h, Checkpoint); ok {
			return "holds WAL_CKPT: its checkpoint waits for " + readers(w.Behind) + " and holds the write lock meanwhile"
		}
		return "holds WAL_CKPT: it copies the log into the database, and readers and writers go on"
	case Recover:
		return "holds WAL_RECOVER: it rebuilds the index of the log, and everybody waits"
	}
	return r.reads(h)
}

func (r *Report) reads(h Holder) string {
	if r.WAL == nil || r.WAL.Frames == 0 {
		return fmt.Sprintf("holds WAL_READ slot %d: it reads a snapshot", h.Slot)
	}
	behind := r.WAL.CopiedFrames < r.WAL.Frames
	switch {
	case h.Slot == 0 && behind:
		return "holds WAL_READ slot 0: it reads the snapshot before frame 1, and nothing of the log can be copied; wal_checkpoint says busy=0 all the same"
	case h.Slot == 0:
		return "holds WAL_READ slot 0: it reads the database file without the log"
	}
	text := fmt.Sprintf("holds WAL_READ slot %d: it reads the snapshot at frame %d of %d", h.Slot, h.SnapshotFrame, r.WAL.Frames)
	if h.SnapshotFrame < r.WAL.Frames {
		text += ", and no later frame can be copied"
	}
	return text
}

// waiter is the wait of h's process for a lock.
func (r *Report) waiter(h Holder, lock string) (Waiter, bool) {
	for _, w := range r.Waiters {
		if w.PID == h.PID && w.Lock == lock && len(w.Behind) > 0 {
			return w, true
		}
	}
	return Waiter{}, false
}

func (r *Report) waits(w Waiter) string {
	what := "waits for " + LockName(w.Lock)
	switch {
	case w.Lock == Exclusive && len(w.Behind) > 0:
		what = "waits in COMMIT for " + readers(w.Behind)
	case w.Lock == Checkpoint && len(w.Behind) > 0:
		what = "waits in a checkpoint for " + readers(w.Behind)
	case slices.Equal(w.Behind, []int{w.PID}):
		what = "waits inside for the writer"
	case len(w.Behind) > 0:
		what += ", which " + pids(w.Behind) + " holds"
	}
	return w.Name() + " " + what + told(w.CallSite, w.Statement)
}

// LockName is the name of a lock as people and programs read it: WAL_READ and
// SHARED are both for reading, and the name says of which file they are.
func LockName(lock string) string {
	switch lock {
	case Read, Write, Recover:
		return "WAL_" + lock
	case Checkpoint:
		return "WAL_CKPT"
	}
	return lock
}

func readers(behind []int) string {
	if len(behind) == 1 {
		return "reader " + pids(behind)
	}
	return "readers " + pids(behind)
}

func pids(behind []int) string {
	names := make([]string, len(behind))
	for i, pid := range behind {
		names[i] = strconv.Itoa(pid)
		if pid == 0 {
			names[i] = "without a name"
		}
	}
	return strings.Join(names, ", ")
}
