package sqlite

import (
	"encoding/binary"
	"unsafe"

	sqlite3 "modernc.org/sqlite/lib"
)

// RolledBack reports whether a transaction whose COMMIT has just failed with
// [ResultFull] stays rolled back for certain, also after a crash. Call it before
// anything else runs on the connection. False is no proof of the contrary; it is
// also the answer where another connection has the write lock.
//
// SQLite writes the commit mark and the checksum of a frame before its page. When
// the page is written in part, or not at all, over the frame of an older log that
// was equal from there on, the frame is whole: SQLite has rolled back and will write
// over it, but a recovery that comes before that, after a crash or because the log
// could not be copied when the last connection closed, takes it for a commit.
// See https://www.sqlite.org/fileformat2.html#the_write_ahead_log.
func (c *Conn) RolledBack() bool {
	const attached = 2 // behind main and temp: each file of them commits by itself
	tree := c.mainTree()
	if tree == nil || !c.Autocommit() || (*sqlite3.Tsqlite3)(pointer(c.db)).FnDb > attached {
		return false
	}
	wal := (*sqlite3.TWal)(pointer(pager(tree).FpWal))
	if wal == nil {
		// The journal is removed, or cut, as the last thing, and neither fails with
		// ResultFull. Where its head is overwritten instead, that can.
		mode := pager(tree).FjournalMode
		return mode == sqlite3.PAGER_JOURNALMODE_DELETE || mode == sqlite3.PAGER_JOURNALMODE_TRUNCATE
	}
	failed := *(*walHeader)(unsafe.Pointer(&wal.Fhdr))
	if c.Exec("BEGIN IMMEDIATE") != nil { // nobody writes over the frames while they are read
		return false
	}
	hidden := true
	// Who has committed meanwhile has written over them, but may not have synced it.
	if *(*walHeader)(unsafe.Pointer(&wal.Fhdr)) == failed {
		hidden = c.hidesCommit(failed)
	}
	return c.Exec("ROLLBACK") == nil && !hidden
}

// walHeader is a copy of the header of the wal-index: where the log of those who
// have it open ends.
type walHeader sqlite3.TWalIndexHdr

// Sizes in bytes.
const (
	logHeader   = 32
	frameHeader = 24
	minPage     = 512
	maxPage     = 64 << 10
)

// hidesCommit tells whether a recovery would find a commit behind the end of the log
// that h tells, which is walIndexRecover's loop from there on. What can't be read
// counts as one.
func (c *Conn) hidesCommit(h walHeader) bool {
	log, ok := c.RawFile(FileWAL)
	if !ok {
		return true
	}
	size, err := log.Size()
	if err != nil {
		return true
	}
	order, page := byteOrder(h.FbigEndCksum != 0), int(h.FszPage&0xfe00)|int(h.FszPage&1)<<16
	salt := *(*[8]byte)(unsafe.Pointer(&h.FaSalt)) // as it stands in the file
	sum := checksum(h.FaFrameCksum)
	if h.FmxFrame == 0 { // the rest is of the log before, or of none
		head := make([]byte, logHeader)
		if err := log.ReadAt(head, 0); err != nil {
			return true
		}
		order = byteOrder(head[3]&1 != 0)
		page = int(binary.BigEndian.Uint32(head[8:]))
		sum = checksum{}
		sum.add(order, head[:24])
		begun := [8]byte(head[16:24])
		if !sum.is(head[24:]) || page < minPage || page > maxPage || salt != [8]byte{} && salt != begun {
			return false // a recovery would find nothing, or the log before, which is all in the database
		}
		salt = begun
	}
	frame := make([]byte, frameHeader+page)
	for at := logHeader + int64(h.FmxFrame)*int64(len(frame)); at+int64(len(frame)) <= size; at += int64(len(frame)) {
		if err := log.ReadAt(frame, at); err != nil {
			return true
		}
		sum.add(order, frame[:8])
		sum.add(order, frame[frameHeader:])
		if [8]byte(frame[8:16]) != salt || !sum.is(frame[16:]) {
			return false
		}
		if binary.BigEndian.Uint32(frame[4:]) != 0 {
			return true
		}
	}
	return false
}

func byteOrder(big bool) binary.ByteOrder {
	if big {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

// checksum is the sum over everything before it, of the log.
type checksum [2]uint32

func (s *checksum) add(order binary.ByteOrder, b []byte) {
	for ; len(b) >= 8; b = b[8:] {
		s[0] += order.Uint32(b) + s[1]
		s[1] += order.Uint32(b[4:]) + s[0]
	}
}

func (s *checksum) is(stored []byte) bool {
	return s[0] == binary.BigEndian.Uint32(stored) && s[1] == binary.BigEndian.Uint32(stored[4:])
}
