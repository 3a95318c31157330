package sqlite

import (
	"sync/atomic"
	"unsafe"

	sqlite3 "modernc.org/sqlite/lib"
)

// The start of the wal-index, the shared memory of a WAL database: two copies
// of the header, the second written first, and then the progress of the
// checkpoints. See https://www.sqlite.org/walformat.html#the_wal_index_file_format.
const (
	walIndexHeaderWords = 12
	walIndexBackfill    = 2 * walIndexHeaderWords // the word nBackfill
	walIndexWords       = walIndexBackfill + 1
)

// SnapshotCurrent reports whether the read transaction that is open on main
// reads what one begun now would read, in the same way: nobody has committed
// since, and the transaction does not keep the -wal file from being started
// over. It compares the header of the wal-index with the connection's copy of
// it, as the engine does when a transaction begins, but takes no lock and makes
// no system call. False means begin anew: outside of a read transaction, for a
// database that is not in WAL mode, and in all doubt.
func (c *Conn) SnapshotCurrent() bool {
	wal := c.mainWAL()
	if wal == nil || wal.FreadLock < 0 || wal.FexclusiveMode != 0 || wal.FbShmUnreliable != 0 || wal.FnWiData < 1 {
		return false
	}
	page := load[uintptr](wal.FapWiData)
	if page == 0 {
		return false
	}
	// Other processes and other threads write here. The engine's own reads are
	// plain ones around a barrier; atomic loads in Go's memory model are both.
	shared := (*[walIndexWords]uint32)(pointer(page))
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

// mainWAL returns the engine's log object of main while a transaction reads
// through it, or nil. The C API has no way to it; the field names are checked by
// the compiler and the effect by tests.
func (c *Conn) mainWAL() *sqlite3.TWal {
	if c.db == 0 {
		return nil
	}
	main := (*sqlite3.TDb)(pointer((*sqlite3.Tsqlite3)(pointer(c.db)).FaDb))
	if main.FpBt == 0 {
		return nil
	}
	tree := (*sqlite3.TBtree)(pointer(main.FpBt))
	if tree.FinTrans == 0 {
		return nil
	}
	pager := (*sqlite3.TBtShared)(pointer(tree.FpBt)).FpPager
	return (*sqlite3.TWal)(pointer((*sqlite3.TPager)(pointer(pager)).FpWal))
}
