package doctor

import "bytes"

// header is the database header, https://www.sqlite.org/fileformat.html section 1.3.
type header struct {
	magic    bool
	problem  string // why a file that begins like a database can't be one; "" if it can
	pageSize uint32 // 0 if it makes no sense
	wal      bool   // the file is in WAL mode
	counter  uint32 // file change counter
	validFor uint32 // counter that pageCount belongs to
	count    uint32 // pages
	cookie   uint32 // schema cookie
	free     uint32
	encoding uint32
	vacuum   bool
	appID    uint32
}

var magic = []byte("SQLite format 3\x00")

func parseHeader(b []byte) header {
	h := header{magic: bytes.HasPrefix(b, magic)}
	if !h.magic {
		return h
	}
	if len(b) < headerSize {
		h.problem = "the file ends within its header"
		return h
	}
	h.wal = b[18] == 2 && b[19] == 2
	h.counter, h.count, h.free = big.Uint32(b[24:]), big.Uint32(b[28:]), big.Uint32(b[36:])
	h.cookie, h.encoding, h.vacuum = big.Uint32(b[40:]), big.Uint32(b[56:]), big.Uint32(b[52:]) != 0
	h.appID, h.validFor = big.Uint32(b[68:]), big.Uint32(b[92:])
	size := uint32(big.Uint16(b[16:]))
	if size == 1 {
		size = 65536
	}
	switch {
	case size < 512 || size&(size-1) != 0:
		h.problem = "bytes 16 and 17: the page size is no power of two between 512 and 65536"
		return h
	case b[18] == 0 || b[19] == 0 || b[18] > 2 || b[19] > 2:
		h.problem = "bytes 18 and 19: the format version is unknown"
	case b[21] != 64 || b[22] != 32 || b[23] != 32:
		h.problem = "bytes 21 to 23: the payload fractions are not 64, 32, 32"
	case size-uint32(b[20]) < 480:
		h.problem = "byte 20: the reserved space leaves no room on a page"
	case big.Uint32(b[44:]) > 4:
		h.problem = "bytes 44 to 47: the schema format is unknown"
	case h.encoding > 3:
		h.problem = "bytes 56 to 59: the text encoding is unknown"
	}
	h.pageSize = size
	return h
}

// counted tells whether count can be trusted: programs before SQLite 3.7.0
// wrote the file without it.
func (h header) counted() bool { return h.count > 0 && h.counter == h.validFor }

// random tells whether bytes look encrypted: text and tables have favourites
// among the 256 values, a cipher has none. With 4096 bytes each value is
// expected 16 times, and chi squared of random bytes has mean 255 and deviation
// 23. Shorter samples aren't judged.
func random(b []byte) bool {
	if len(b) < 1024 {
		return false
	}
	var n [256]int
	for _, c := range b {
		n[c]++
	}
	expected := float64(len(b)) / 256
	sum := 0.0
	for _, c := range n {
		d := float64(c) - expected
		sum += d * d / expected
	}
	return sum < 255+10*23
}
