package sidelock

import (
	"bytes"
	"fmt"
	"strconv"
)

// The holder's note lies behind the bytes that are locked, where Windows lets
// everybody read: "pid ", ten digits' room, blanks and a newline. Its length
// is fixed so that one write replaces it whole.
const (
	recordAt   = 64
	recordSize = 16
)

// claims is the byte of the first place that Claim gives, behind the note. The
// bytes that are duties follow, with room for sixteen, and then their notes.
const (
	claims    = recordAt + recordSize
	dutiesAt  = 96
	dutyNotes = 128
)

func newRecord(pid int) (record [recordSize]byte) {
	copy(record[:], fmt.Sprintf("pid %-11d\n", pid))
	return record
}

func parseRecord(record [recordSize]byte) (pid int, ok bool) {
	digits, found := bytes.CutPrefix(record[:], []byte("pid "))
	if !found {
		return 0, false
	}
	pid, err := strconv.Atoi(string(bytes.TrimSpace(digits)))
	return pid, err == nil && pid > 0
}
