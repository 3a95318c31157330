package doctor

import (
	"encoding/binary"
	"errors"
	"io"
)

// log is what was read of a -wal, https://www.sqlite.org/fileformat.html section 4.
type log struct {
	head          []byte
	headerProblem string // why SQLite ignores the whole log; "" if it doesn't
	pageSize      uint32
	salt          [8]byte
	frames        uint32 // that belong to a commit
	commits       uint32
	dbPages       uint32          // size of the database after the last commit
	beyond        map[uint32]bool // committed pages past the end of the file
	broken        uint32          // number of a frame whose checksum is wrong though commits follow it; 0 if none
	lost          uint32          // commits after broken
	partial       bool            // longer than is read
	first         *pageOne        // page 1 as the log's first frame of it has it
	last          *pageOne        // and the last committed one
	counters      map[uint32]bool // change counters of page 1 in the log
}

// pageOne is page 1 in a frame: the first bytes of it.
type pageOne struct {
	header header
	bytes  [headerSize]byte
}

const (
	walHeaderSize   = 32
	frameHeaderSize = 24
	walMagic        = 0x377f0682 // the last bit tells the byte order of the checksums
	maxLog          = 256 << 20  // reading more would take too long for a look
)

// readLog reads a log of size bytes; pages is the number of pages in the file.
func readLog(path string, size int64, pages uint32) (*log, error) {
	var l *log
	err := withFile(path, func(f io.ReaderAt) error {
		r := logReader{f: f, size: min(size, maxLog), log: &log{partial: size > maxLog, beyond: map[uint32]bool{}, counters: map[uint32]bool{}}}
		l = r.log
		if err := r.header(); err != nil || l.headerProblem != "" {
			return err
		}
		return r.frames(pages)
	})
	return l, err
}

type logReader struct {
	f     io.ReaderAt
	size  int64
	order binary.ByteOrder
	sum   [2]uint32
	log   *log
}

func (r *logReader) header() error {
	b := make([]byte, walHeaderSize)
	if _, err := r.f.ReadAt(b, 0); errors.Is(err, io.EOF) {
		r.log.headerProblem = "it is shorter than its header"
		return nil
	} else if err != nil {
		return err
	}
	r.log.head = b
	m := big.Uint32(b)
	r.order = binary.ByteOrder(binary.LittleEndian)
	if m&1 == 1 {
		r.order = big
	}
	r.log.pageSize = big.Uint32(b[8:])
	copy(r.log.salt[:], b[16:24])
	size := r.log.pageSize
	switch r.add(b[:24]); {
	case m&^1 != walMagic:
		r.log.headerProblem = "it doesn't begin like a log"
	case size < 512 || size > 65536 || size&(size-1) != 0:
		r.log.headerProblem = "its page size makes no sense"
	case r.sum != [2]uint32{big.Uint32(b[24:]), big.Uint32(b[28:])}:
		r.log.headerProblem = "the checksum of its header is wrong"
	}
	return nil
}

// add continues the checksum.
func (r *logReader) add(b []byte) {
	s0, s1 := r.sum[0], r.sum[1]
	for ; len(b) >= 8; b = b[8:] {
		s0 += r.order.Uint32(b) + s1
		s1 += r.order.Uint32(b[4:]) + s0
	}
	r.sum = [2]uint32{s0, s1}
}

// frames follows the chain of checksums as SQLite's recovery does. What comes
// after its end is ignored by SQLite, rightly if it is older or was rolled
// back; a commit of the same generation there is one that was damaged away.
func (r *logReader) frames(pages uint32) error {
	l := r.log
	frame := make([]byte, frameHeaderSize+int(l.pageSize))
	pending := map[uint32]bool{}
	var one *pageOne
	for n, at := uint32(1), int64(walHeaderSize); at+int64(len(frame)) <= r.size; n, at = n+1, at+int64(len(frame)) {
		if _, err := r.f.ReadAt(frame, at); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if [8]byte(frame[8:16]) != l.salt {
			return nil
		}
		pgno, commit := big.Uint32(frame), big.Uint32(frame[4:])
		if l.broken == 0 {
			r.add(frame[:8])
			r.add(frame[frameHeaderSize:])
			if r.sum != [2]uint32{big.Uint32(frame[16:]), big.Uint32(frame[20:])} {
				l.broken = n
			}
		}
		switch {
		case l.broken > 0 && commit > 0 && n > l.broken: // the frame itself may be one that its writer didn't finish
			l.lost++
		case l.broken > 0:
		default:
			one = l.take(frame, pgno, pages, pending, one)
			if commit > 0 {
				l.commit(n, commit, pending, one)
			}
		}
	}
	return nil
}

func (l *log) take(frame []byte, pgno, pages uint32, pending map[uint32]bool, one *pageOne) *pageOne {
	if pgno > pages {
		pending[pgno] = true
	}
	if pgno != 1 {
		return one
	}
	one = &pageOne{bytes: [headerSize]byte(frame[frameHeaderSize:])}
	one.header = parseHeader(one.bytes[:])
	return one
}

func (l *log) commit(n, size uint32, pending map[uint32]bool, one *pageOne) {
	l.frames, l.dbPages = n, size
	l.commits++
	for pgno := range pending {
		l.beyond[pgno] = true
	}
	clear(pending)
	if one == nil || one == l.last {
		return
	}
	if l.first == nil {
		l.first = one
	}
	l.last = one
	l.counters[one.header.counter] = true
}

// damaged tells what SQLite will not read of the log; "" if nothing is lost.
func (l *log) damaged() bool {
	return l.headerProblem != "" || l.broken > 0 && (l.lost > 0 || l.broken == 1)
}

// walIndex is the begin of the -shm, https://www.sqlite.org/walformat.html section 2.1.
type walIndex struct {
	frames, copied uint32
	salt           [8]byte
	marks          [5]uint32
	ok             bool // complete, and both copies of the header agree
}

func readIndex(path string) (*walIndex, error) {
	b, err := head(path, 136)
	if err != nil {
		return nil, err
	}
	x := &walIndex{}
	if len(b) < 136 {
		return x, nil
	}
	native := binary.NativeEndian
	x.frames, x.copied = native.Uint32(b[16:]), native.Uint32(b[96:])
	copy(x.salt[:], b[32:40])
	for i := range x.marks {
		x.marks[i] = native.Uint32(b[100+4*i:])
	}
	x.ok = string(b[:48]) == string(b[48:96]) && b[12] != 0 && x.copied <= x.frames
	return x, nil
}

// undo is what was read of a rollback journal, https://www.sqlite.org/fileformat.html section 3.
type undo struct {
	head     []byte // holds a number that each transaction draws anew
	hot      bool   // its header says that there is something to roll back
	pageSize uint32
	pages    uint32 // of the database before the transaction
	super    string // name of the super-journal, "" if there is none
}

var journalMagic = [8]byte{0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7}

func readUndo(path string, size int64) (*undo, error) {
	u := &undo{}
	err := withFile(path, func(f io.ReaderAt) error {
		b := make([]byte, 28)
		if n, err := f.ReadAt(b, 0); n < len(b) {
			return eofIsNil(err)
		}
		u.head = b
		if u.hot = [8]byte(b[:8]) == journalMagic; !u.hot {
			return nil
		}
		u.pages, u.pageSize = big.Uint32(b[16:]), big.Uint32(b[24:])
		var err error
		u.super, err = superName(f, size)
		return err
	})
	return u, err
}

// superName reads the name at the end of a journal: the name, its length, a
// checksum, and the magic bytes again.
func superName(f io.ReaderAt, size int64) (string, error) {
	b := make([]byte, 16)
	if n, err := f.ReadAt(b, size-16); n < len(b) {
		return "", eofIsNil(err)
	}
	length := int64(big.Uint32(b))
	if [8]byte(b[8:]) != journalMagic || length == 0 || length > 4096 || length > size-16 {
		return "", nil
	}
	name := make([]byte, length)
	if n, err := f.ReadAt(name, size-16-length); n < len(name) {
		return "", eofIsNil(err)
	}
	sum := uint32(0)
	for _, c := range name {
		sum += uint32(int8(c)) // a C char
	}
	if sum != big.Uint32(b[4:]) {
		return "", nil
	}
	return string(name), nil
}

func eofIsNil(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
