package salvage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Text encodings as the header of a database has them.
const (
	utf8    = 1
	utf16le = 2
	utf16be = 3
)

const (
	headerSize  = 100
	magic       = "SQLite format 3\x00"
	minPage     = 512
	maxPage     = 65536
	pendingByte = 0x40000000 // the page with this byte is never used
)

// image is the pages of a database as SQLite would read them: those of the file,
// and in front of them those of a log, or of a journal that has to be rolled back.
type image struct {
	file     io.ReaderAt
	size     int64
	pageSize int
	usable   int
	pages    uint32
	front    io.ReaderAt // the log or the journal, or nil
	overlay  map[uint32]int64

	whole      bool // the header is one
	encoding   int
	autoVacuum int // as PRAGMA auto_vacuum
	walMode    bool
	trunk      uint32 // first of the freelist
	user, app  int32
}

// openFile opens a file that may not be there.
func openFile(path string) (*os.File, int64, error) {
	f, err := os.Open(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, 0, nil
		}
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}

// newImage reads the header, and finds out what it would say where it is damaged.
// hint is the size of a page that a log names, or 0.
func newImage(file io.ReaderAt, size int64, over overlay, hint int) (*image, error) {
	im := &image{file: file, size: size, front: over.from, overlay: over.pages}
	head := make([]byte, headerSize)
	if at, ok := im.overlay[1]; ok {
		_, _ = im.front.ReadAt(head, at)
	} else if _, err := file.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	im.readHeader(head)
	if !im.whole {
		im.guess(hint)
	}
	// A page that is behind the file and nowhere in front of it was freed before it was
	// written. For each leaf of the freelist a trunk has 4 bytes, so there are only so
	// many; a number that says more is damaged, and would be believed with memory.
	has := (size + int64(im.pageSize) - 1) / int64(im.pageSize)
	most := uint32(min(has+int64(len(im.overlay))*int64(im.pageSize/4), 1<<32-2))
	im.pages = uint32(min(has, int64(most)))
	if over.count > 0 {
		im.pages = min(over.count, most)
	}
	for n := range im.overlay { // a commit record that is older than its pages
		if n <= most {
			im.pages = max(im.pages, n)
		}
	}
	if im.pages == 0 {
		return nil, errEmpty
	}
	if !im.whole {
		im.guessLayout()
	}
	return im, nil
}

var errEmpty = errors.New("the file is empty")

func (im *image) readHeader(head []byte) {
	n := int(binary.BigEndian.Uint16(head[16:]))
	if n == 1 {
		n = maxPage
	}
	im.pageSize, im.encoding = n, int(binary.BigEndian.Uint32(head[56:]))
	im.usable = n - int(head[20])
	im.whole = bytes.HasPrefix(head, []byte(magic)) && n >= minPage && n <= maxPage && n&(n-1) == 0 && im.usable >= 480
	if !im.whole {
		return
	}
	if im.encoding < utf8 || im.encoding > utf16be {
		im.encoding = utf8
	}
	im.walMode = head[18] == 2
	im.trunk = binary.BigEndian.Uint32(head[32:])
	if binary.BigEndian.Uint32(head[52:]) != 0 {
		im.autoVacuum = 1
		if binary.BigEndian.Uint32(head[64:]) != 0 {
			im.autoVacuum = 2
		}
	}
	im.user, im.app = int32(binary.BigEndian.Uint32(head[60:])), int32(binary.BigEndian.Uint32(head[68:]))
}

// guess finds the size of a page: that with which the beginning of the file has the
// most pages of trees.
func (im *image) guess(hint int) {
	im.encoding = utf8
	if hint >= minPage {
		im.pageSize, im.usable = hint, hint
		return
	}
	const sample = 4 << 20
	size, most := 4096, 0
	for n := minPage; n <= maxPage; n *= 2 {
		im.pageSize, im.usable, im.pages = n, n, uint32(min(im.size, sample)/int64(n))
		good := 0
		for p := uint32(2); p <= im.pages; p++ {
			if node, err := im.node(p); err == nil && node.plausible() {
				good++
			}
		}
		// A multiple of the size sees pages too, but fewer of them.
		if good > most {
			size, most = n, good
		}
	}
	im.pageSize, im.usable = size, size
}

// guessLayout finds out whether there is a pointer map, and how texts are encoded.
func (im *image) guessLayout() {
	const look = 16
	if b, err := im.page(2); err == nil && im.pages > look {
		good := 0
		for i := range look {
			kind, parent := b[5*i], binary.BigEndian.Uint32(b[5*i+1:])
			if kind >= mapRoot && kind <= mapTree && parent <= im.pages {
				good++
			}
		}
		if good == look {
			im.autoVacuum = 2
		}
	}
}

// page returns the bytes of a page; what is behind the end of the file is zero.
func (im *image) page(n uint32) ([]byte, error) {
	if n == 0 || n > im.pages {
		return nil, fmt.Errorf("there is no page %d", n)
	}
	b := make([]byte, im.pageSize)
	from, at := im.file, int64(n-1)*int64(im.pageSize)
	if in, ok := im.overlay[n]; ok {
		from, at = im.front, in
	}
	if got, err := from.ReadAt(b, at); err != nil && !(errors.Is(err, io.EOF) && got > 0) {
		if errors.Is(err, io.EOF) {
			return nil, errCut
		}
		return nil, err
	}
	return b, nil
}

var errCut = errors.New("the file ends before it")

// Kinds of entries of the pointer map.
const (
	mapRoot     = 1
	mapFree     = 2
	mapOverflow = 3 // the first of a row
	mapNext     = 4
	mapTree     = 5
)

// mapPage is the page of the pointer map that has the entry of page n.
func (im *image) mapPage(n uint32) uint32 {
	if n < 2 {
		return 0
	}
	each := uint32(im.usable/5 + 1)
	p := (n-2)/each*each + 2
	if p == pendingByte/uint32(im.pageSize)+1 {
		p++
	}
	return p
}

// isMap tells whether page n belongs to the pointer map, or is never used.
func (im *image) isMap(n uint32) bool {
	return n == pendingByte/uint32(im.pageSize)+1 || im.autoVacuum > 0 && im.mapPage(n) == n
}

// parent is what the pointer map says of page n; kind is 0 if it says nothing.
func (im *image) parent(n uint32) (kind byte, parent uint32) {
	if im.autoVacuum == 0 || n < 3 {
		return 0, 0
	}
	m := im.mapPage(n)
	b, err := im.page(m)
	at := 5 * int(n-m-1)
	if err != nil || n <= m || at+5 > im.usable {
		return 0, 0
	}
	kind, parent = b[at], binary.BigEndian.Uint32(b[at+1:])
	if kind < mapRoot || kind > mapTree || parent > im.pages {
		return 0, 0
	}
	return kind, parent
}
