// Package table reads what the kernel tells of file locks: its table of them,
// the descriptors of processes, and the processes. It opens nothing but files of
// /proc.
package table

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// What SQLite locks: three places of the database file beyond any page (the
// third is 510 bytes wide), and nine bytes of the -shm. See os_unix.c and
// https://www.sqlite.org/walformat.html, section 2.2.2.
const (
	PendingByte  = 1 << 30
	ReservedByte = PendingByte + 1
	SharedFirst  = PendingByte + 2
	SharedLast   = SharedFirst + 509

	WriteByte   = 120
	CheckByte   = 121
	RecoverByte = 122
	ReadByte    = 123 // of slot 0
	Slots       = 5
	DMSByte     = 128 // whoever is connected holds it, and whoever closes last deletes the -shm
)

// Row is one byte-range lock of the kernel's table.
type Row struct {
	OFD     bool // belongs to an open file and not to a process
	Blocked bool // asked for and not granted
	Write   bool
	PID     int // -1 if OFD
	Major   uint32
	Minor   uint32
	Inode   uint64
	First   int64
	Last    int64
}

// Covers tells whether the lock is on any byte of a range.
func (r Row) Covers(first, last int64) bool { return r.First <= last && r.Last >= first }

// Has tells whether the lock is on a byte.
func (r Row) Has(b int64) bool { return r.Covers(b, b) }

// Parse reads /proc/locks (proc_locks(5)). Rows that are no byte-range locks
// are left out, and so are those that make no sense: a row more or less says
// nothing of the others.
func Parse(text string) []Row {
	var rows []Row
	for line := range strings.Lines(text) {
		if r, ok := parse(line); ok {
			rows = append(rows, r)
		}
	}
	return rows
}

// ParseInfo reads the locks in /proc/PID/fdinfo/FD.
func ParseInfo(text string) []Row {
	var rows []Row
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, "lock:")
		if !ok {
			continue
		}
		if r, ok := parse(rest); ok {
			rows = append(rows, r)
		}
	}
	return rows
}

// parse reads one row:
//
//	1: POSIX  ADVISORY  WRITE 25641 fe:00:9977858 1073741825 1073741825
//	1: -> POSIX  ADVISORY  READ 25642 fe:00:9977858 0 EOF
func parse(line string) (Row, bool) {
	f := strings.Fields(line)
	var r Row
	if len(f) > 1 && f[1] == "->" {
		r.Blocked = true
		f = slices.Delete(f, 1, 2)
	}
	if len(f) != 8 || !strings.HasSuffix(f[0], ":") {
		return Row{}, false
	}
	switch f[1] {
	case "POSIX":
	case "OFDLCK":
		r.OFD = true
	default:
		return Row{}, false
	}
	switch f[3] {
	case "READ":
	case "WRITE":
		r.Write = true
	default:
		return Row{}, false
	}
	var err error
	if r.PID, err = strconv.Atoi(f[4]); err != nil {
		return Row{}, false
	}
	if !r.parseFile(f[5]) || !r.parseRange(f[6], f[7]) {
		return Row{}, false
	}
	return r, true
}

// parseFile reads major:minor:inode, of which only the inode is decimal.
func (r *Row) parseFile(s string) bool {
	f := strings.Split(s, ":")
	if len(f) != 3 {
		return false
	}
	major, err1 := strconv.ParseUint(f[0], 16, 32)
	minor, err2 := strconv.ParseUint(f[1], 16, 32)
	inode, err3 := strconv.ParseUint(f[2], 10, 64)
	r.Major, r.Minor, r.Inode = uint32(major), uint32(minor), inode
	return err1 == nil && err2 == nil && err3 == nil
}

func (r *Row) parseRange(first, last string) bool {
	var err error
	if r.First, err = strconv.ParseInt(first, 10, 64); err != nil || r.First < 0 {
		return false
	}
	if last == "EOF" {
		r.Last = math.MaxInt64
		return true
	}
	r.Last, err = strconv.ParseInt(last, 10, 64)
	return err == nil && r.Last >= r.First
}
