package outside

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
	pendingByte  = 1 << 30
	reservedByte = pendingByte + 1
	sharedFirst  = pendingByte + 2
	sharedLast   = sharedFirst + 509

	writeByte   = 120
	checkByte   = 121
	recoverByte = 122
	readByte    = 123 // of slot 0
	slots       = 5
	dmsByte     = 128 // whoever is connected holds it, and whoever closes last deletes the -shm
)

// row is one byte-range lock of the kernel's table.
type row struct {
	ofd     bool // belongs to an open file and not to a process
	blocked bool // asked for and not granted
	write   bool
	pid     int // -1 if ofd
	major   uint32
	minor   uint32
	inode   uint64
	first   int64
	last    int64
}

// parseLocks reads /proc/locks (proc_locks(5)). Rows that are no byte-range
// locks are left out, and so are those that make no sense: a row more or less
// says nothing of the others.
func parseLocks(text string) []row {
	var rows []row
	for line := range strings.Lines(text) {
		if r, ok := parseLock(line); ok {
			rows = append(rows, r)
		}
	}
	return rows
}

// parseInfo reads the locks in /proc/PID/fdinfo/FD.
func parseInfo(text string) []row {
	var rows []row
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, "lock:")
		if !ok {
			continue
		}
		if r, ok := parseLock(rest); ok {
			rows = append(rows, r)
		}
	}
	return rows
}

// parseLock reads one row:
//
//	1: POSIX  ADVISORY  WRITE 25641 fe:00:9977858 1073741825 1073741825
//	1: -> POSIX  ADVISORY  READ 25642 fe:00:9977858 0 EOF
func parseLock(line string) (row, bool) {
	f := strings.Fields(line)
	var r row
	if len(f) > 1 && f[1] == "->" {
		r.blocked = true
		f = slices.Delete(f, 1, 2)
	}
	if len(f) != 8 || !strings.HasSuffix(f[0], ":") {
		return row{}, false
	}
	switch f[1] {
	case "POSIX":
	case "OFDLCK":
		r.ofd = true
	default:
		return row{}, false
	}
	switch f[3] {
	case "READ":
	case "WRITE":
		r.write = true
	default:
		return row{}, false
	}
	var err error
	if r.pid, err = strconv.Atoi(f[4]); err != nil {
		return row{}, false
	}
	if !r.parseFile(f[5]) || !r.parseRange(f[6], f[7]) {
		return row{}, false
	}
	return r, true
}

// parseFile reads major:minor:inode, of which only the inode is decimal.
func (r *row) parseFile(s string) bool {
	f := strings.Split(s, ":")
	if len(f) != 3 {
		return false
	}
	major, err1 := strconv.ParseUint(f[0], 16, 32)
	minor, err2 := strconv.ParseUint(f[1], 16, 32)
	inode, err3 := strconv.ParseUint(f[2], 10, 64)
	r.major, r.minor, r.inode = uint32(major), uint32(minor), inode
	return err1 == nil && err2 == nil && err3 == nil
}

func (r *row) parseRange(first, last string) bool {
	var err error
	if r.first, err = strconv.ParseInt(first, 10, 64); err != nil || r.first < 0 {
		return false
	}
	if last == "EOF" {
		r.last = math.MaxInt64
		return true
	}
	r.last, err = strconv.ParseInt(last, 10, 64)
	return err == nil && r.last >= r.first
}

func (r row) covers(first, last int64) bool { return r.first <= last && r.last >= first }

// owner is who has locks: a process, or one open file of it.
type owner struct {
	pid int
	fd  int // of an open file that owns its locks; -1 for a process, -2 for an owner nobody could name
	db  mainLocks
	shm indexLocks
	// blocked says that this is no holder: it waits for what it has here.
	blocked bool
}

// mainLocks are the locks of the database file.
type mainLocks struct{ pending, reserved, exclusive, shared bool }

// indexLocks are those of the -shm.
type indexLocks struct {
	write, checkpoint, recover bool
	copying                    bool        // a checkpoint that has waited for all it had to wait for
	read                       [slots]bool // by slot
	connected                  bool
}

// add notes a lock of the database file. The kernel merges neighbours into one
// range (1073741824-1073741825 is PENDING and RESERVED), so a row may stand for
// several locks.
func (l *mainLocks) add(r row) {
	inShared := r.covers(sharedFirst, sharedLast)
	if !r.write { // readers touch PENDING for an instant; that is no lock of theirs
		l.shared = l.shared || inShared
		return
	}
	l.pending = l.pending || r.covers(pendingByte, pendingByte)
	l.reserved = l.reserved || r.covers(reservedByte, reservedByte)
	l.exclusive = l.exclusive || inShared
}

// add notes a lock of the -shm. A WRITE lock on a slot is no reader's: it sets
// the slot's mark, or copies the log.
func (l *indexLocks) add(r row) {
	l.connected = l.connected || r.covers(dmsByte, dmsByte)
	if !r.write {
		for i := range l.read {
			l.read[i] = l.read[i] || r.covers(readByte+int64(i), readByte+int64(i))
		}
		return
	}
	l.write = l.write || r.covers(writeByte, writeByte)
	l.checkpoint = l.checkpoint || r.covers(checkByte, checkByte)
	l.recover = l.recover || r.covers(recoverByte, recoverByte)
	l.copying = l.copying || r.covers(readByte, readByte)
}

// which names one of the files.
type which int

const (
	none which = iota
	database
	index
	log
)

// gathering puts rows together by owner.
type gathering struct{ owners []owner }

func (g *gathering) add(pid, fd int, file which, r row) {
	i := slices.IndexFunc(g.owners, func(o owner) bool { return o.pid == pid && o.fd == fd && o.blocked == r.blocked })
	if i < 0 {
		i = len(g.owners)
		g.owners = append(g.owners, owner{pid: pid, fd: fd, blocked: r.blocked})
	}
	switch file {
	case database:
		g.owners[i].db.add(r)
	case index:
		g.owners[i].shm.add(r)
	}
}
