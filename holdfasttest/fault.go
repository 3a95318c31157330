package holdfasttest

import (
	"slices"
	"sync/atomic"
	"time"
)

// Kind is what a fault does. Each of those that fail a call has the result code
// that SQLite's own file system would answer, so the error that arrives is the
// one that a real disk causes.
type Kind int

// Kinds of faults. The calls in brackets are those that it applies to.
const (
	IOErr      Kind = iota + 1 // the device fails: EIO (all but the closing of a file)
	Full                       // no space is left: ENOSPC (Open that creates, Write, Sync, Map)
	ReadOnly                   // the file system has become read-only: EROFS (Open that creates, Write, Truncate, Sync, Delete, Map)
	ShortWrite                 // the first half is written, then no space is left (Write)
	Busy                       // somebody else writes (Lock, of those that a writer takes)
	Slow                       // the call takes Delay longer (all; Sync unless Op says another)
	NoSync                     // the call does nothing and says that it has: a disk that lies (Sync)
	NoLocks                    // the same for locks, so that nobody excludes anybody (Lock, Unlock)
	KillBefore                 // the process is killed instead of the call (all; Sync unless Op says another)
	KillAfter                  // the process is killed when the call has been made (the same)
)

// Op is a call of SQLite to the operating system.
type Op int

// Calls.
const (
	AnyOp Op = iota
	Open
	Read
	Write
	Truncate
	Sync
	Size
	Lock
	Unlock
	Map // of the shared memory
	Delete
	Access // looks whether a file is there
)

// File is a kind of file.
type File int

// Kinds of files.
const (
	AnyFile  File = iota
	Database      // the file itself
	WAL           // the write-ahead log
	SHM           // the shared memory beside it: Lock, Unlock and Map
	Journal       // of a rollback
	Temp          // temporary files
)

// Fault says what goes wrong and when.
type Fault struct {
	Kind   Kind
	Op     Op            // AnyOp: every call that the kind applies to
	File   File          // AnyFile: every one
	N      int           // strikes at the Nth of these calls from now on; 0 is the first
	Sticky bool          // and at every one after it
	Delay  time.Duration // of Slow
}

// KillAtCommit is the death of the process at the nth sync of the write-ahead
// log from now on, which is what makes a commit durable: before it, or right
// after it and before anybody is told.
func KillAtCommit(n int, after bool) Fault {
	f := Fault{Kind: KillBefore, Op: Sync, File: WAL, N: n}
	if after {
		f.Kind = KillAfter
	}
	return f
}

// Injection is a fault that has been put into a disk.
type Injection struct {
	disk   *Disk
	fault  Fault
	calls  atomic.Int64
	struck atomic.Int64
}

// Inject puts a fault in. Of several, the one injected first strikes.
func (d *Disk) Inject(f Fault) *Injection {
	i := &Injection{disk: d, fault: f}
	d.setFaults(func(all []*Injection) []*Injection { return append(all, i) })
	return i
}

// Heal takes all faults out.
func (d *Disk) Heal() {
	d.setFaults(func([]*Injection) []*Injection { return nil })
}

func (d *Disk) setFaults(change func([]*Injection) []*Injection) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []*Injection
	if p := d.faults.Load(); p != nil {
		all = slices.Clone(*p)
	}
	if all = change(all); all == nil {
		d.faults.Store(nil)
		return
	}
	d.faults.Store(&all)
}

// Remove takes the fault out of the disk.
func (i *Injection) Remove() {
	i.disk.setFaults(func(all []*Injection) []*Injection {
		return slices.DeleteFunc(all, func(other *Injection) bool { return other == i })
	})
}

// Calls is how many calls there have been that the fault is about.
func (i *Injection) Calls() int64 { return i.calls.Load() }

// Strikes is how many of them it has struck.
func (i *Injection) Strikes() int64 { return i.struck.Load() }
