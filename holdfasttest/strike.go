package holdfasttest

import (
	"os"
	"time"

	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// opOf and fileOf are a call in the words of a Fault.
func opOf(c *sqlite.FileCall) Op {
	switch c.Op {
	case sqlite.FileOpen:
		return Open
	case sqlite.FileRead:
		return Read
	case sqlite.FileWrite:
		return Write
	case sqlite.FileTruncate:
		return Truncate
	case sqlite.FileSync:
		return Sync
	case sqlite.FileSize:
		return Size
	case sqlite.FileLock, sqlite.FileShmLock, sqlite.FileCheckReservedLock:
		return Lock
	case sqlite.FileUnlock, sqlite.FileShmUnlock:
		return Unlock
	case sqlite.FileShmMap:
		return Map
	case sqlite.FileDelete:
		return Delete
	case sqlite.FileAccess:
		return Access
	}
	return AnyOp // closing a file, or a hint: nothing that could go wrong
}

func fileOf(c *sqlite.FileCall) File {
	switch c.Op {
	case sqlite.FileShmMap, sqlite.FileShmLock, sqlite.FileShmUnlock:
		return SHM
	}
	switch c.Kind {
	case sqlite.FileMain:
		return Database
	case sqlite.FileWAL:
		return WAL
	case sqlite.FileJournal:
		return Journal
	}
	return Temp
}

// takes counts a call that the fault is about, and tells whether it strikes.
func (i *Injection) takes(c *sqlite.FileCall) bool {
	f := i.fault
	op := opOf(c)
	switch {
	case op == AnyOp, f.File != AnyFile && f.File != fileOf(c), f.Op != AnyOp && f.Op != op, !f.Kind.appliesTo(c, op, f.Op):
		return false
	}
	n := i.calls.Add(1)
	first := int64(max(f.N, 1))
	if n != first && (!f.Sticky || n < first) {
		return false
	}
	i.struck.Add(1)
	return true
}

// appliesTo tells whether a call can end so; asked is the Fault's Op.
func (k Kind) appliesTo(c *sqlite.FileCall, op, asked Op) bool {
	switch k {
	case Slow, KillBefore, KillAfter:
		return asked == op || op == Sync
	case NoSync:
		return op == Sync
	case NoLocks:
		return op == Lock || op == Unlock
	case Busy:
		return c.Op == sqlite.FileShmLock && c.Offset == walWriteLock || c.Op == sqlite.FileLock && c.Flags >= reservedLock
	case ShortWrite:
		return op == Write
	}
	_, ok := k.code(c, op)
	return ok
}

// The locks of a writer. SQLite takes the others to mean that somebody is just
// doing something short, and tries again by itself, for 10 seconds.
const (
	walWriteLock = 0
	reservedLock = 2
)

// code is what SQLite's own file system answers when the system call behind a
// call of it fails in this way.
func (k Kind) code(c *sqlite.FileCall, op Op) (sqlite.ResultCode, bool) {
	creates := op == Open && c.File.Created
	grows := op == Write || op == Sync || op == Map && c.Flags != 0 || creates
	switch k {
	case IOErr:
		code, ok := ioErr[op]
		return code, ok
	case Full:
		if op == Write {
			return sqlite.ResultFull, true
		}
		return ioErr[op], grows
	case ReadOnly:
		return ioErr[op], grows || op == Truncate || op == Delete
	}
	return 0, false
}

var ioErr = map[Op]sqlite.ResultCode{
	Open:     sqlite.ResultCantOpen,
	Read:     sqlite.ResultIOErrRead,
	Write:    sqlite.ResultIOErrWrite,
	Truncate: sqlite.ResultIOErrTruncate,
	Sync:     sqlite.ResultIOErrFsync,
	Size:     sqlite.ResultIOErrFstat,
	Lock:     sqlite.ResultIOErrLock,
	Unlock:   sqlite.ResultIOErrUnlock,
	Map:      sqlite.ResultIOErrShmSize,
	Delete:   sqlite.ResultIOErrDelete,
	Access:   sqlite.ResultIOErrAccess,
}

// act does to a call what the fault says.
func (f Fault) act(d *Disk, c *sqlite.FileCall) sqlite.ResultCode {
	switch f.Kind {
	case NoSync, NoLocks:
		return sqlite.ResultOK
	case Busy:
		return sqlite.ResultBusy
	case Slow:
		time.Sleep(f.Delay)
		return d.forward(c)
	case ShortWrite:
		c.Data = c.Data[:len(c.Data)/2]
		if rc := d.forward(c); rc != sqlite.ResultOK {
			return rc
		}
		return sqlite.ResultFull
	case KillBefore:
		die()
	case KillAfter:
		d.forward(c)
		die()
	}
	op := opOf(c)
	if f.Kind == ReadOnly && c.Op == sqlite.FileOpen && c.Kind == sqlite.FileMain {
		// As SQLite does when the system refuses to open a database for writing.
		c.Flags = c.Flags&^int(sqlite.OpenReadWrite|sqlite.OpenCreate) | int(sqlite.OpenReadOnly)
		return d.forward(c)
	}
	if op == Unlock {
		d.forward(c) // the lock goes with the descriptor at the latest
	}
	code, _ := f.Kind.code(c, op)
	return code
}

// die ends the process as kill -9 does, with nothing deferred or flushed.
func die() {
	if p, err := os.FindProcess(os.Getpid()); err == nil {
		_ = p.Kill()
	}
	select {} // until the signal arrives
}
