package locks

import (
	"cmp"
	"context"
	"os"
	"path"
	"slices"
	"strconv"

	"github.com/holdfastdb/holdfast/internal/locks/table"
)

// Foreign tells which other process has the lock that keeps this one from
// writing to a database, by the kernel's table of locks; shm is its shared
// memory, which need not exist. It opens neither. The answer is about this
// moment: the lock may be gone. Processes of other PID namespaces are not seen,
// and an OFD lock (Holdfast's own) only if its owner may be looked at.
func Foreign(ctx context.Context, db, shm string) (p Process, ok bool) {
	rows, err := table.Read()
	if err != nil {
		return Process{}, false
	}
	files := table.Identify(db, shm)
	type named struct {
		table.Row
		name string
	}
	var found []named
	for _, r := range rows {
		n := named{Row: r}
		switch {
		case r.PID == os.Getpid() || r.Blocked:
		case files[1].Has(r):
			n.name = walLock(r)
		case files[0].Has(r):
			n.name = fileLock(r, files[1] != table.File{})
		}
		if n.name != "" {
			found = append(found, n)
		}
	}
	slices.SortStableFunc(found, func(a, b named) int {
		return cmp.Compare(slices.Index(obstacles, a.name), slices.Index(obstacles, b.name))
	})
	for _, n := range found {
		pid := n.PID
		if n.OFD {
			pid = ofdOwner(ctx, n.Row, db, shm)
		}
		if pid > 0 {
			return Describe(pid, n.name), true
		}
	}
	return Process{}, false
}

// ForeignReader tells which other process reads in the log of a database, in one of
// the slots of its shared memory that are given, the first of them that somebody
// else has. Otherwise it is like Foreign.
func ForeignReader(ctx context.Context, db, shm string, slots []int) (p Process, ok bool) {
	rows, err := table.Read()
	if err != nil {
		return Process{}, false
	}
	file := table.Identify(db, shm)[1]
	for _, slot := range slots {
		for _, r := range rows {
			if r.Blocked || r.PID == os.Getpid() || !file.Has(r) || !r.Has(int64(table.ReadByte+slot)) {
				continue
			}
			pid := r.PID
			if r.OFD { // perhaps one of this process, whose lock looks the same
				pid = ofdOwner(ctx, r, db, shm)
			}
			if pid > 0 {
				return Describe(pid, "WAL_READ"), true
			}
		}
	}
	return Process{}, false
}

// obstacles are the locks that can be in a writer's way, the likeliest first.
var obstacles = []string{"WAL_WRITE", "WAL_RECOVER", "EXCLUSIVE", "PENDING", "RESERVED", "WAL_CKPT", "SHARED"}

// walLock names a lock on the shared memory.
func walLock(r table.Row) string {
	switch {
	case !r.Write:
	case r.Has(table.WriteByte):
		return "WAL_WRITE"
	case r.Has(table.RecoverByte):
		return "WAL_RECOVER"
	case r.Has(table.CheckByte):
		return "WAL_CKPT"
	}
	return ""
}

// fileLock names a lock on the database itself, see
// https://www.sqlite.org/lockingv3.html. With a log all who have it open share it.
func fileLock(r table.Row, wal bool) string {
	switch {
	case r.Write && r.Has(table.SharedFirst):
		return "EXCLUSIVE"
	case r.Write && r.Has(table.PendingByte):
		return "PENDING"
	case r.Write && r.Has(table.ReservedByte):
		return "RESERVED"
	case !wal && r.Has(table.SharedFirst):
		return "SHARED"
	}
	return ""
}

// ofdOwner looks for the process that has an OFD lock, which the table does not
// tell, among those that have one of the files open.
func ofdOwner(ctx context.Context, want table.Row, names ...string) int {
	processes, err := os.ReadDir("/proc")
	if err != nil {
		return 0
	}
	for _, p := range processes {
		if ctx.Err() != nil {
			return 0
		}
		pid, err := strconv.Atoi(p.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		dir := "/proc/" + p.Name() + "/fd"
		descriptors, err := os.ReadDir(dir)
		if err != nil { // another user's, or gone
			continue
		}
		for _, d := range descriptors {
			target, err := os.Readlink(dir + "/" + d.Name())
			if err != nil || !slices.ContainsFunc(names, func(n string) bool { return path.Base(n) == path.Base(target) }) {
				continue
			}
			if rows, err := table.Info(pid, d.Name()); err == nil && slices.Contains(rows, want) {
				return pid
			}
		}
	}
	return 0
}

// Describe tells what the system tells of a process.
func Describe(pid int, lock string) Process {
	p := table.Describe(pid)
	return Process{PID: pid, Program: p.Program, State: p.State, Lock: lock}
}
