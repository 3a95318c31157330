package outside

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/holdfastdb/holdfast/internal/locks/table"
)

// databaseHeader is what the first hundred bytes of the file tell.
type databaseHeader struct {
	pageSize int
	wal      bool
	changes  uint32 // counts the commits in rollback mode
}

const databaseHeaderSize = 100

// parseDatabase reads the header of a database file. See
// https://www.sqlite.org/fileformat.html, section 1.3.
func parseDatabase(b []byte) (databaseHeader, bool) {
	if len(b) < databaseHeaderSize || string(b[:16]) != "SQLite format 3\x00" {
		return databaseHeader{}, false
	}
	size := int(binary.BigEndian.Uint16(b[16:]))
	if size == 1 {
		size = 1 << 16
	}
	if !isPageSize(size) {
		return databaseHeader{}, false
	}
	return databaseHeader{size, b[18] == 2 && b[19] == 2, binary.BigEndian.Uint32(b[24:])}, true
}

func isPageSize(n int) bool { return n >= 512 && n <= 1<<16 && n&(n-1) == 0 }

// logHeader is the header of the -wal.
type logHeader struct {
	pageSize int
	salt     [8]byte
}

const logHeaderSize = 32

// parseLog reads the header of a -wal: see
// https://www.sqlite.org/fileformat.html, section 4.1.
func parseLog(b []byte) (logHeader, bool) {
	if len(b) < logHeaderSize || binary.BigEndian.Uint32(b)&^1 != 0x377f0682 || binary.BigEndian.Uint32(b[4:]) != 3007000 {
		return logHeader{}, false
	}
	h := logHeader{pageSize: int(binary.BigEndian.Uint32(b[8:])), salt: [8]byte(b[16:])}
	return h, isPageSize(h.pageSize)
}

// indexHeader is the header of the -shm.
type indexHeader struct {
	changes  uint32 // counts the commits
	pageSize int
	frames   uint32
	salt     [8]byte
	copied   uint32
	marks    [table.Slots]uint32
}

// Two copies of 48 bytes, then the checkpoint's 4 and the marks' 20. The lock
// bytes follow; Windows refuses to read them while they are locked, so nobody
// asks for them.
const (
	indexCopySize   = 48
	indexHeaderSize = 2*indexCopySize + 4 + 4*table.Slots
)

// parseIndex reads the header of a -shm in the byte order of this machine: see
// https://www.sqlite.org/walformat.html, section 2. It is not valid while it is
// being written, and before the first connection has written it.
func parseIndex(b []byte) (indexHeader, bool) {
	if len(b) < indexHeaderSize || string(b[:indexCopySize]) != string(b[indexCopySize:2*indexCopySize]) {
		return indexHeader{}, false
	}
	native := binary.NativeEndian
	if native.Uint32(b) != 3007000 || b[12] == 0 {
		return indexHeader{}, false
	}
	var s1, s2 uint32
	for i := 0; i < 40; i += 8 {
		s1 += native.Uint32(b[i:]) + s2
		s2 += native.Uint32(b[i+4:]) + s1
	}
	if native.Uint32(b[40:]) != s1 || native.Uint32(b[44:]) != s2 {
		return indexHeader{}, false
	}
	h := indexHeader{
		changes:  native.Uint32(b[8:]),
		pageSize: int(native.Uint16(b[14:])),
		frames:   native.Uint32(b[16:]),
		salt:     [8]byte(b[32:]),
		copied:   native.Uint32(b[96:]),
	}
	if h.pageSize == 1 {
		h.pageSize = 1 << 16
	}
	for i := range h.marks {
		h.marks[i] = native.Uint32(b[100+4*i:])
	}
	return h, isPageSize(h.pageSize)
}

// readHeaders fills in what the headers tell. The number it returns changes
// with every commit.
func (r *Report) readHeaders(f files) (commits uint64, err error) {
	b, err := readHeader(f.path, databaseHeaderSize)
	var h databaseHeader
	if err == nil && len(b) > 0 {
		var ok bool
		if h, ok = parseDatabase(b); !ok {
			return 0, fmt.Errorf("%s: %w", f.path, ErrNotDatabase)
		}
		r.PageSize = h.pageSize
	}
	switch {
	case err != nil:
		if !r.unreadable(f.path, err) {
			return 0, err
		}
	case h.wal:
		r.JournalMode = ModeWAL
	default: // an empty file too: it becomes what its first writer makes of it
		r.JournalMode = ModeRollback
	}
	commits = uint64(h.changes)
	if f.wal == nil || r.JournalMode == ModeRollback && f.wal.Size() == 0 {
		return commits, nil
	}
	return r.readLog(f, commits)
}

func (r *Report) readLog(f files, commits uint64) (uint64, error) {
	r.WAL = &WAL{Bytes: f.wal.Size()}
	b, err := readHeader(f.path+"-wal", logHeaderSize)
	if err != nil && !r.unreadable(f.path+"-wal", err) {
		return 0, err
	}
	wal, begun := parseLog(b)
	if begun && r.JournalMode == ModeUnknown {
		r.JournalMode, r.PageSize = ModeWAL, wal.pageSize
	}
	if f.shm == nil {
		if begun {
			r.WAL.Frames = uint32(min((f.wal.Size()-logHeaderSize)/int64(24+wal.pageSize), 1<<32-1))
		}
		return commits, nil
	}
	shm, ok, err := readIndex(f.path + "-shm")
	switch {
	case err != nil && !r.unreadable(f.path+"-shm", err):
		return 0, err
	case err != nil:
	case ok:
		r.WAL.Frames, r.WAL.CopiedFrames, r.WAL.ReadMarks = shm.frames, shm.copied, shm.marks
		r.WAL.Reset = begun && wal.salt != shm.salt
		commits = uint64(shm.changes)<<32 | uint64(shm.frames)
	case f.wal.Size() > 0:
		r.Blind = append(r.Blind, "the index of the log ("+f.path+"-shm) is not valid now, so frames and snapshots are unknown; look again, and the next connection rebuilds it")
	}
	return commits, nil
}

// unreadable notes that a header is out of reach, and tells whether that is a
// reason to go on without it.
func (r *Report) unreadable(path string, err error) bool {
	switch {
	case errors.Is(err, fs.ErrNotExist): // removed since it was found: its last user has just left
	case errors.Is(err, fs.ErrPermission):
		r.Blind = append(r.Blind, "this user may not read "+path+", so what its header tells is missing; run as its owner or with sudo")
	default:
		return false
	}
	return true
}

// readIndex reads the header of the -shm. Whoever commits writes it while it is
// being read, in less time than a few attempts take.
func readIndex(path string) (h indexHeader, ok bool, err error) {
	for range 8 {
		b, err := readHeader(path, indexHeaderSize)
		if err != nil {
			return indexHeader{}, false, err
		}
		if h, ok := parseIndex(b); ok {
			return h, true, nil
		}
	}
	return indexHeader{}, false, nil
}

// readHeader reads the first n bytes of a file, or as many as it has.
func readHeader(path string, n int) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, n)
	n, err = io.ReadFull(f, b)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return b[:n], err
}
