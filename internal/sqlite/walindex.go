package sqlite

import (
	"cmp"
	"slices"
	"sync/atomic"
	"unsafe"

	sqlite3 "modernc.org/sqlite/lib"
)

// The start of the wal-index, the shared memory of a WAL database: two copies
// of the header, the second written first, and then the progress of the
// checkpoints and the marks of the readers. See https://www.sqlite.org/walformat.html#the_wal_index_file_format.
const (
	walIndexHeaderWords = 12
	walIndexFrames      = 4                       // the word mxFrame
	walIndexBackfill    = 2 * walIndexHeaderWords // the word nBackfill
	walIndexMarks       = walIndexBackfill + 1    // the words aReadMark
	walIndexSlots       = 5                       // so many of these
	walIndexWords       = walIndexMarks + walIndexSlots
)

// SnapshotCurrent reports whether the read transaction that is open on main
// reads what one begun now would read, in the same way: nobody has committed
// since, and the transaction does not keep the -wal file from being started
// over. It compares the header of the wal-index with the connection's copy of
// it, as the engine does when a transaction begins, but takes no lock and makes
// no system call. False means begin anew: outside of a read transaction, for a
// database that is not in WAL mode, and in all doubt.
func (c *Conn) SnapshotCurrent() bool {
	tree := c.mainTree()
	if tree == nil || tree.FinTrans == 0 {
		return false
	}
	wal, shared := walIndex(tree)
	if shared == nil || wal.FreadLock < 0 {
		return false
	}
	own := (*[walIndexHeaderWords]uint32)(unsafe.Pointer(&wal.Fhdr))
	for i, w := range own {
		if atomic.LoadUint32(&shared[i]) != w || atomic.LoadUint32(&shared[walIndexHeaderWords+i]) != w {
			return false
		}
	}
	// With all of the log in the database, a transaction begun now would read the
	// database alone, and the next writer could begin the log from its start.
	return wal.FreadLock == 0 || atomic.LoadUint32(&shared[walIndexBackfill]) != wal.Fhdr.FmxFrame
}

// LogPending returns how many frames the -wal file of main has, or 0 once all of
// them are in the database. It looks at the shared memory, without a lock and
// whether a transaction is open or not; in all doubt it is 0.
func (c *Conn) LogPending() int {
	tree := c.mainTree()
	if tree == nil {
		return 0
	}
	_, shared := walIndex(tree)
	if shared == nil {
		return 0
	}
	frames := atomic.LoadUint32(&shared[walIndexFrames])
	if atomic.LoadUint32(&shared[walIndexBackfill]) == frames {
		return 0
	}
	return int(frames)
}

// PinningSlots returns the slots of the wal-index whose readers, if there are any,
// keep the -wal file of main from being copied, the one that keeps most of it
// first. Who has a slot is a matter of locks, which this does not look at. Slot 0
// is that of readers of the database alone: as long as one is there nothing is
// copied. It is empty when all has been copied, and in all doubt.
func (c *Conn) PinningSlots() []int {
	tree := c.mainTree()
	if tree == nil {
		return nil
	}
	_, shared := walIndex(tree)
	if shared == nil {
		return nil
	}
	frames := atomic.LoadUint32(&shared[walIndexFrames])
	if atomic.LoadUint32(&shared[walIndexBackfill]) >= frames {
		return nil
	}
	slots := []int{0}
	marks := [walIndexSlots]uint32{}
	for i := 1; i < walIndexSlots; i++ {
		if marks[i] = atomic.LoadUint32(&shared[walIndexMarks+i]); marks[i] < frames {
			slots = append(slots, i)
		}
	}
	slices.SortFunc(slots[1:], func(a, b int) int { return cmp.Compare(marks[a], marks[b]) })
	return slots
}

// ReadMarks returns for each slot of the wal-index of main the last frame of the log
// that its readers see, or -1 if none uses it. Whether one has the slot now is a matter
// of locks, which this does not look at. known is as of LogState.
func (c *Conn) ReadMarks() (marks [walIndexSlots]int64, known bool) {
	tree := c.mainTree()
	if tree == nil {
		return marks, false
	}
	_, shared := walIndex(tree)
	if shared == nil {
		return marks, false
	}
	for i := range marks {
		if m := atomic.LoadUint32(&shared[walIndexMarks+i]); m == unusedMark {
			marks[i] = -1
		} else {
			marks[i] = int64(m)
		}
	}
	return marks, true
}

// unusedMark is READMARK_NOT_USED.
const unusedMark = 1<<32 - 1

// LogOpen reports whether the connection has the -wal file of main open. It does
// from its first read in WAL mode on, and as long as it is open nobody can end that
// mode.
func (c *Conn) LogOpen() bool {
	tree := c.mainTree()
	return tree != nil && pager(tree).FpWal != 0
}

// LogState returns how many frames the -wal file of main has since it was begun
// anew, and how many of these are in the database. It looks at the shared memory as
// [Conn.LogPending] does; known is false for a connection that has not read yet, or
// not in WAL mode.
func (c *Conn) LogState() (frames, copied int, known bool) {
	tree := c.mainTree()
	if tree == nil {
		return 0, 0, false
	}
	_, shared := walIndex(tree)
	if shared == nil {
		return 0, 0, false
	}
	n := atomic.LoadUint32(&shared[walIndexFrames])
	return int(n), int(min(n, atomic.LoadUint32(&shared[walIndexBackfill]))), true
}

// mainTree returns the engine's object of main, or nil. The C API has no way to
// it; the field names are checked by the compiler and the effect by tests.
func (c *Conn) mainTree() *sqlite3.TBtree {
	if c.db == 0 {
		return nil
	}
	main := (*sqlite3.TDb)(pointer((*sqlite3.Tsqlite3)(pointer(c.db)).FaDb))
	return (*sqlite3.TBtree)(pointer(main.FpBt))
}

// walIndex returns the engine's log object and the start of the shared memory, or
// nil. Other processes and other threads write there. The engine's own reads are
// plain ones around a barrier; atomic loads in Go's memory model are both.
func walIndex(tree *sqlite3.TBtree) (*sqlite3.TWal, *[walIndexWords]uint32) {
	wal := (*sqlite3.TWal)(pointer(pager(tree).FpWal))
	if wal == nil || wal.FexclusiveMode != 0 || wal.FbShmUnreliable != 0 || wal.FnWiData < 1 {
		return nil, nil
	}
	return wal, (*[walIndexWords]uint32)(pointer(load[uintptr](wal.FapWiData)))
}

func pager(tree *sqlite3.TBtree) *sqlite3.TPager {
	return (*sqlite3.TPager)(pointer((*sqlite3.TBtShared)(pointer(tree.FpBt)).FpPager))
}
