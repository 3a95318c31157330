package doctor

import (
	"testing"

	"github.com/holdfastdb/holdfast/internal/dbfile"
	"golang.org/x/sys/unix"
)

func TestParseLock(t *testing.T) {
	t.Parallel()
	id := dbfile.ID{Dev: unix.Mkdev(0xfd, 1), Ino: 123456}
	for line, want := range map[string]fileLock{
		"3: POSIX  ADVISORY  WRITE 2716 fd:01:123456 1073741825 1073741825\n": {2716, true, "fd:01", 123456, reservedByte, reservedByte},
		"4: OFDLCK ADVISORY  READ -1 fd:01:123456 1073741826 1073742335\n":    {-1, false, "fd:01", 123456, sharedFirst, sharedLast},
		"5: POSIX  ADVISORY  WRITE 7 fd:01:123456 0 EOF\n":                    {7, true, "fd:01", 123456, 0, 1 << 62},
	} {
		got, ok := parseLock(line)
		if !ok || got != want || !got.is(id, false) {
			t.Errorf("%q: %+v, %v", line, got, ok)
		}
	}
	for _, line := range []string{
		"", "garbage", "1: FLOCK  ADVISORY  WRITE 7 fd:01:123456 0 EOF",
		"1: -> POSIX  ADVISORY  WRITE 7 fd:01:123456 0 EOF", "1: POSIX ADVISORY WRITE x fd:01:1 0 EOF",
	} {
		if l, ok := parseLock(line); ok {
			t.Errorf("%q is a lock: %+v", line, l)
		}
	}
	other := fileLock{device: "fd:02", inode: id.Ino}
	if other.is(id, false) || !other.is(id, true) {
		t.Error("the device counts, except on layered file systems")
	}
}
