package salvage

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"unicode"
	"unicode/utf16"
)

// record is the fields of a row as it is stored: nil, int64, float64, string, rawText
// and []byte.
type record struct {
	fields []any
	whole  bool // every field was there, and nothing besides
}

var errRecord = errors.New("it is no record")

// maxFields is more than SQLite allows a table to have.
const maxFields = 32767

// record decodes what it can. whole says that p is all of the record.
func (im *image) record(p []byte, whole bool) (r record, err error) {
	head, w := varint(p)
	if w == 0 || head < uint64(w) {
		return r, errRecord
	}
	r.whole = whole && head <= uint64(len(p))
	end := int(min(head, uint64(len(p))))
	body := p[end:]
	for at := w; at < end; {
		kind, w := varint(p[at:end])
		if w == 0 {
			r.whole = false
			break
		}
		at += w
		v, n, ok := im.value(kind, body)
		if !ok || len(r.fields) >= maxFields {
			r.whole = false
			break
		}
		body = body[n:]
		r.fields = append(r.fields, v)
	}
	if len(body) > 0 {
		r.whole = false
	}
	if !r.whole && len(r.fields) == 0 {
		return r, errRecord
	}
	return r, nil
}

// value decodes one field of a serial type.
func (im *image) value(kind uint64, b []byte) (v any, n int, ok bool) {
	sizes := [...]int{0, 1, 2, 3, 4, 6, 8, 8, 0, 0}
	if kind < uint64(len(sizes)) {
		n = sizes[kind]
		if n > len(b) {
			return nil, 0, false
		}
		switch kind {
		case 0:
			return nil, 0, true
		case 7:
			f := math.Float64frombits(binary.BigEndian.Uint64(b))
			if math.IsNaN(f) {
				return nil, n, true // as SQLite reads it
			}
			return f, n, true
		case 8, 9:
			return int64(kind - 8), 0, true
		}
		i := int64(int8(b[0]))
		for _, c := range b[1:n] {
			i = i<<8 | int64(c)
		}
		return i, n, true
	}
	if kind < 12 || (kind-12)/2 > uint64(len(b)) {
		return nil, 0, false
	}
	n = int((kind - 12) / 2)
	if kind%2 == 0 {
		return append([]byte{}, b[:n]...), n, true
	}
	return im.text(b[:n]), n, true
}

// rawText is a text in UTF-16 that is none: as it is stored.
type rawText string

func (im *image) text(b []byte) any {
	var order binary.ByteOrder = binary.LittleEndian
	switch im.encoding {
	case utf16be:
		order = binary.BigEndian
	case utf16le:
	default:
		return string(b)
	}
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = order.Uint16(b[2*i:])
	}
	runes := utf16.Decode(units)
	if len(b)%2 == 1 || slices.Contains(runes, unicode.ReplacementChar) {
		return rawText(b)
	}
	return string(runes)
}
