package outside

import (
	"slices"

	"github.com/holdfastdb/holdfast/internal/locks/table"
)

// owner is who has locks: a process, or one open file of it.
type owner struct {
	pid int
	fd  int // of an open file that owns its locks; -1 for a process, -2 for an owner nobody could name
	db  mainLocks
	shm indexLocks
	// blocked says that this is no holder: it waits for what it has here.
	blocked bool
}

// mainLocks are the locks of the database file.
type mainLocks struct{ pending, reserved, exclusive, shared bool }

// indexLocks are those of the -shm.
type indexLocks struct {
	write, checkpoint, recover bool
	copying                    bool              // a checkpoint that has waited for all it had to wait for
	read                       [table.Slots]bool // by slot
	connected                  bool
}

// add notes a lock of the database file. The kernel merges neighbours into one
// range (1073741824-1073741825 is PENDING and RESERVED), so a row may stand for
// several locks.
func (l *mainLocks) add(r table.Row) {
	inShared := r.Covers(table.SharedFirst, table.SharedLast)
	if !r.Write { // readers touch PENDING for an instant; that is no lock of theirs
		l.shared = l.shared || inShared
		return
	}
	l.pending = l.pending || r.Has(table.PendingByte)
	l.reserved = l.reserved || r.Has(table.ReservedByte)
	l.exclusive = l.exclusive || inShared
}

// add notes a lock of the -shm. A WRITE lock on a slot is no reader's: it sets
// the slot's mark, or copies the log.
func (l *indexLocks) add(r table.Row) {
	l.connected = l.connected || r.Has(table.DMSByte)
	if !r.Write {
		for i := range l.read {
			l.read[i] = l.read[i] || r.Has(table.ReadByte+int64(i))
		}
		return
	}
	l.write = l.write || r.Has(table.WriteByte)
	l.checkpoint = l.checkpoint || r.Has(table.CheckByte)
	l.recover = l.recover || r.Has(table.RecoverByte)
	l.copying = l.copying || r.Has(table.ReadByte)
}

// which names one of the files.
type which int

const (
	none which = iota
	database
	index
	log
)

// gathering puts rows together by owner.
type gathering struct{ owners []owner }

func (g *gathering) add(pid, fd int, file which, r table.Row) {
	i := slices.IndexFunc(g.owners, func(o owner) bool { return o.pid == pid && o.fd == fd && o.blocked == r.Blocked })
	if i < 0 {
		i = len(g.owners)
		g.owners = append(g.owners, owner{pid: pid, fd: fd, blocked: r.Blocked})
	}
	switch file {
	case database:
		g.owners[i].db.add(r)
	case index:
		g.owners[i].shm.add(r)
	}
}
