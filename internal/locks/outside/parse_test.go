package outside

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/holdfastdb/holdfast/internal/locks/table"
)

const sampleLocks = `1: FLOCK  ADVISORY  WRITE 9905 fe:00:9977858 0 EOF
2: POSIX  ADVISORY  WRITE 25756 fe:00:77 1073741824 1073741825
3: POSIX  ADVISORY  READ  25466 08:1f:77 1073741826 1073742335
3: -> POSIX  ADVISORY  WRITE 25500 08:1f:77 1073741826 1073742335
4: OFDLCK ADVISORY  WRITE -1 fe:00:78 120 121
5: LEASE  ACTIVE    READ 12 fe:00:78 0 EOF
6: POSIX  ADVISORY  READ  25466 <none>:0 0 EOF
7: POSIX  ADVISORY  READ  25466 fe:00:78 9 3
8: POSIX  MANDATORY WRITE 1 fe:00:78 0 EOF
nonsense
`

func TestMergedRangesAreSeveralLocks(t *testing.T) {
	t.Parallel()
	var g gathering
	for _, r := range table.Parse(sampleLocks) {
		switch {
		case r.Inode == 77:
			g.add(r.PID, -1, database, r)
		case r.OFD:
			g.add(4711, 9, index, r)
		}
	}
	want := []owner{
		{pid: 25756, fd: -1, db: mainLocks{pending: true, reserved: true}},
		{pid: 25466, fd: -1, db: mainLocks{shared: true}},
		{pid: 25500, fd: -1, db: mainLocks{exclusive: true}, blocked: true},
		{pid: 4711, fd: 9, shm: indexLocks{write: true, checkpoint: true}},
	}
	if !slices.Equal(g.owners, want) {
		t.Errorf("got %+v\nwant %+v", g.owners, want)
	}
}

// sampleIndex is a valid header of a -shm.
func sampleIndex() []byte {
	b := make([]byte, indexHeaderSize)
	n := binary.NativeEndian
	n.PutUint32(b, 3007000)
	n.PutUint32(b[8:], 9)
	b[12] = 1
	n.PutUint16(b[14:], 1) // 65536
	n.PutUint32(b[16:], 21)
	copy(b[32:], "saltsalt")
	var s1, s2 uint32
	for i := 0; i < 40; i += 8 {
		s1 += n.Uint32(b[i:]) + s2
		s2 += n.Uint32(b[i+4:]) + s1
	}
	n.PutUint32(b[40:], s1)
	n.PutUint32(b[44:], s2)
	copy(b[indexCopySize:], b[:indexCopySize])
	n.PutUint32(b[96:], 20)
	for i := range table.Slots {
		n.PutUint32(b[100+4*i:], uint32(i))
	}
	return b
}

func TestParseIndex(t *testing.T) {
	t.Parallel()
	want := indexHeader{changes: 9, pageSize: 1 << 16, frames: 21, salt: [8]byte([]byte("saltsalt")), copied: 20, marks: [table.Slots]uint32{0, 1, 2, 3, 4}}
	if got, ok := parseIndex(sampleIndex()); !ok || got != want {
		t.Errorf("got %+v, %v", got, ok)
	}
	for i := range 2 * indexCopySize {
		b := sampleIndex()
		b[i]++
		if h, ok := parseIndex(b); ok {
			t.Errorf("byte %d is wrong, and the header is taken: %+v", i, h)
		}
	}
}

func FuzzLockTable(f *testing.F) {
	f.Add(sampleLocks)
	f.Add("1: POSIX ADVISORY READ 1 0:0:0 0 EOF")
	f.Fuzz(func(t *testing.T, text string) {
		var g gathering
		for _, r := range table.Parse(text) {
			if r.First < 0 || r.Last < r.First {
				t.Errorf("range %d to %d", r.First, r.Last)
			}
			g.add(r.PID, -1, database, r)
			g.add(r.PID, -1, index, r)
		}
		r := Report{JournalMode: ModeWAL}
		r.judge(sight{owners: g.owners})
		r.describe()
	})
}

func FuzzIndexHeader(f *testing.F) {
	f.Add(sampleIndex())
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, ok := parseIndex(b); ok && !isPageSize(h.pageSize) {
			t.Errorf("page size %d", h.pageSize)
		}
	})
}

func FuzzLogHeader(f *testing.F) {
	f.Add([]byte("\x37\x7f\x06\x82\x00\x2d\xe2\x18\x00\x00\x10\x00\x00\x00\x00\x01saltsalt00000000"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, ok := parseLog(b); ok && !isPageSize(h.pageSize) {
			t.Errorf("page size %d", h.pageSize)
		}
	})
}

func FuzzDatabaseHeader(f *testing.F) {
	f.Add(append([]byte("SQLite format 3\x00\x10\x00\x02\x02"), make([]byte, 80)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, ok := parseDatabase(b); ok && !isPageSize(h.pageSize) {
			t.Errorf("page size %d", h.pageSize)
		}
	})
}
