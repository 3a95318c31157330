package table

import (
	"math"
	"slices"
	"testing"
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

func TestParseLocks(t *testing.T) {
	t.Parallel()
	want := []Row{
		{Write: true, PID: 25756, Major: 0xfe, Inode: 77, First: 1073741824, Last: 1073741825},
		{PID: 25466, Major: 8, Minor: 0x1f, Inode: 77, First: 1073741826, Last: 1073742335},
		{Blocked: true, Write: true, PID: 25500, Major: 8, Minor: 0x1f, Inode: 77, First: 1073741826, Last: 1073742335},
		{OFD: true, Write: true, PID: -1, Major: 0xfe, Inode: 78, First: 120, Last: 121},
		{Write: true, PID: 1, Major: 0xfe, Inode: 78, Last: math.MaxInt64},
	}
	if got := Parse(sampleLocks); !slices.Equal(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	info := "pos:\t0\nflags:\t02\nmnt_id:\t29\nino:\t78\nlock:\t1: OFDLCK ADVISORY  WRITE -1 fe:00:78 120 121\n"
	if got := ParseInfo(info); !slices.Equal(got, want[3:4]) {
		t.Errorf("fdinfo: %+v", got)
	}
}

func FuzzDescriptorInfo(f *testing.F) {
	f.Add("pos:\t0\nlock:\t1: OFDLCK ADVISORY  WRITE -1 fe:00:78 120 121\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, r := range ParseInfo(text) {
			if r.First < 0 || r.Last < r.First {
				t.Errorf("range %d to %d", r.First, r.Last)
			}
		}
	})
}
