package sidelock

import "testing"

// FuzzRecord: anybody who may write the lock file can write the holder's note.
func FuzzRecord(f *testing.F) {
	f.Add([]byte("pid 4711       \n"))
	f.Add([]byte("pid 99999999999\n"))
	f.Add([]byte("pid -1         \n"))
	f.Add([]byte("pid +7\x00       \n"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, text []byte) {
		var record [recordSize]byte
		copy(record[:], text)
		pid, ok := parseRecord(record)
		if ok != (pid > 0) {
			t.Fatalf("%q: %d, %t", record, pid, ok)
		}
		if !ok || pid > 99999999999 {
			return
		}
		if again, ok := parseRecord(newRecord(pid)); !ok || again != pid {
			t.Errorf("%d comes back as %d", pid, again)
		}
	})
}
