package locks

import (
	"strings"
	"testing"
)

// FuzzLock: whatever stands in the kernel's table, a line is refused, or hasLock
// finds the lock that it says, and no other, in the form in which fdinfo has it.
func FuzzLock(f *testing.F) {
	f.Add("1: POSIX  ADVISORY  WRITE 4711 08:01:131 120 120")
	f.Add("2: OFDLCK  ADVISORY  READ -1 00:2f:99 1073741826 1073742335")
	f.Add("3: POSIX  ADVISORY  READ 1 fe:00:1 0 EOF")
	f.Add("4: -> POSIX  ADVISORY  WRITE 1 fe:00:1 0 EOF")
	f.Add("5: POSIX ADVISORY WRITE 99999999999999999999 fffff:fffff:18446744073709551615 18446744073709551615 0")
	f.Add("6: FLOCK  ADVISORY  WRITE 1 fe:00:1 0 EOF")
	f.Fuzz(func(t *testing.T, line string) {
		l, ok := parseLock(line)
		if !ok {
			return
		}
		one := strings.Join(strings.Fields(line), " ")
		if strings.ContainsAny(one, "\n") || !hasLock("pos:\t0\nlock:\t"+one+"\n", l) {
			t.Errorf("hasLock does not find %q", one)
		}
		other := l
		other.first++
		if hasLock("lock:\t"+one+"\n", other) {
			t.Errorf("hasLock finds another lock in %q", one)
		}
	})
}
