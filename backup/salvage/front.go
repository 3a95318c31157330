package salvage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// overlay is the pages that stand in front of those of the file.
type overlay struct {
	from  io.ReaderAt
	pages map[uint32]int64 // to the place of their bytes in from
	count uint32           // pages of the database with them; 0 is as the file has
	size  int              // of a page, 0 if nothing says
}

// Log is what became of the -wal.
type Log struct {
	Bytes         int64  `json:"bytes"`
	Frames        int    `json:"frames"`         // that are whole and belong together
	Committed     int    `json:"committed"`      // of these, those that a COMMIT covers
	FramesLost    int    `json:"frames_lost"`    // behind the first that is damaged; what they hold is not used
	Applied       bool   `json:"applied"`        // the rows are those of the file with the log
	DamageWith    int    `json:"damage_with"`    // damaged places in the trees with the log, -1 if that was not tried
	DamageWithout int    `json:"damage_without"` // and without it
	Note          string `json:"note"`           // why; "" if there was nothing to decide
}

const (
	walHeader   = 32
	frameHeader = 24
	walMagic    = 0x377f0682 // the last bit says that sums are of big-endian words
)

// readLog finds the newest committed version of each page in a log. A log whose
// header is damaged gives an empty overlay and a note.
func readLog(f io.ReaderAt, size int64) (o overlay, l Log, err error) {
	l = Log{Bytes: size, DamageWith: -1, DamageWithout: -1}
	o = overlay{from: f, pages: map[uint32]int64{}}
	head := make([]byte, walHeader)
	if size < walHeader {
		l.Note = "it is empty"
		return o, l, nil
	}
	if _, err := f.ReadAt(head, 0); err != nil {
		return o, l, err
	}
	m := binary.BigEndian.Uint32(head)
	sum := walSum{order: binary.LittleEndian}
	if m&1 == 1 {
		sum.order = binary.BigEndian
	}
	page := int(binary.BigEndian.Uint32(head[8:]))
	sum.add(head[:24])
	if m&^1 != walMagic || page < minPage || page > maxPage || page&(page-1) != 0 || !sum.is(head[24:]) {
		l.Note = "its header is damaged, or it was begun anew"
		return o, l, nil
	}
	o.size = page
	salts := string(head[16:24])
	frame := make([]byte, frameHeader+page)
	pending := map[uint32]int64{}
	broken := false
	for at := int64(walHeader); at+int64(len(frame)) <= size; at += int64(len(frame)) {
		if _, err := f.ReadAt(frame, at); err != nil && !errors.Is(err, io.EOF) {
			return o, l, err
		}
		if string(frame[8:16]) != salts { // the rest of an older log
			break
		}
		if !broken {
			sum.add(frame[:8])
			sum.add(frame[frameHeader:])
			broken = !sum.is(frame[16:])
		}
		n := binary.BigEndian.Uint32(frame)
		if broken || n == 0 {
			l.FramesLost++
			broken = true
			continue
		}
		l.Frames++
		pending[n] = at + frameHeader
		if count := binary.BigEndian.Uint32(frame[4:]); count > 0 {
			for n, at := range pending {
				o.pages[n] = at
			}
			clear(pending)
			o.count, l.Committed = count, l.Frames
		}
	}
	for n := range o.pages { // a later commit has made the database smaller
		if n > o.count {
			delete(o.pages, n)
		}
	}
	if l.FramesLost > 0 {
		l.Note = fmt.Sprintf("frame %d is damaged: what was committed from there on is lost", l.Frames+1)
	}
	return o, l, nil
}

type walSum struct {
	order binary.ByteOrder
	a, b  uint32
}

func (s *walSum) add(p []byte) {
	for i := 0; i+8 <= len(p); i += 8 {
		s.a += s.order.Uint32(p[i:]) + s.b
		s.b += s.order.Uint32(p[i+4:]) + s.a
	}
}

func (s *walSum) is(p []byte) bool {
	return s.a == binary.BigEndian.Uint32(p) && s.b == binary.BigEndian.Uint32(p[4:])
}

const journalMagic = "\xd9\xd5\x05\xf9\x20\xa1\x63\xd7"

// readJournal finds the pages that a transaction without a log has changed, as they
// were before it: a journal that is there was not rolled back yet.
func readJournal(f io.ReaderAt, size int64) (o overlay, err error) {
	o = overlay{from: f, pages: map[uint32]int64{}}
	head := make([]byte, 28)
	for at := int64(0); at+28 <= size; {
		if _, err := f.ReadAt(head, at); err != nil {
			return o, err
		}
		if string(head[:8]) != journalMagic {
			return o, nil
		}
		count, nonce := binary.BigEndian.Uint32(head[8:]), binary.BigEndian.Uint32(head[12:])
		if at == 0 {
			o.count, o.size = binary.BigEndian.Uint32(head[16:]), int(binary.BigEndian.Uint32(head[24:]))
		}
		sector := int64(binary.BigEndian.Uint32(head[20:]))
		if sector < 32 || sector > maxPage || o.size < minPage || o.size > maxPage {
			return o, nil
		}
		at += sector
		b := make([]byte, o.size+8)
		for ; count > 0 && at+int64(len(b)) <= size; count, at = count-1, at+int64(len(b)) {
			if _, err := f.ReadAt(b, at); err != nil {
				return o, err
			}
			n, p := binary.BigEndian.Uint32(b), b[4:4+o.size]
			sum := nonce
			for i := o.size - 200; i > 0; i -= 200 {
				sum += uint32(p[i])
			}
			if n == 0 || sum != binary.BigEndian.Uint32(b[4+o.size:]) {
				return o, nil
			}
			if _, ok := o.pages[n]; !ok {
				o.pages[n] = at + 4
			}
		}
		at = (at + sector - 1) / sector * sector
	}
	return o, nil
}
