//go:build unix && !aix

package outside

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"time"

	"github.com/holdfastdb/holdfast/internal/locks/table"
	"golang.org/x/sys/unix"
)

// ask finds the holders where the kernel has no table to read: it asks for each
// place that SQLite locks who is in the way of a write lock there (F_GETLK). The
// answer is one lock and its process. Nothing is locked by asking.
//
// It is compiled and tested on Linux too, beside the table, because that is
// where the tests have holders of each kind.
func (w *Watcher) ask(ctx context.Context, f files) (sight, error) {
	seen := sight{processes: map[int]process{}, at: time.Now(), own: own(f)}
	if seen.own {
		seen.blind = append(seen.blind, "locks can't be asked for without opening the files, and closing them would drop this process's own")
		return seen, nil
	}
	var g gathering
	for _, q := range []struct {
		file        which
		path        string
		info        fs.FileInfo
		first, last int64
	}{
		{database, f.path, f.info, table.PendingByte, table.SharedLast},
		{index, f.path + "-shm", f.shm, table.WriteByte, table.DMSByte},
	} {
		if q.info == nil {
			continue
		}
		err := askFile(ctx, q.path, q.first, q.last, func(r table.Row) {
			if r.PID > 0 {
				g.add(r.PID, -1, q.file, r)
			} else { // of an open file: it may be in the hands of several processes
				g.add(0, -2, q.file, r)
			}
		})
		switch {
		case err == nil, errors.Is(err, fs.ErrNotExist): // removed since it was found
		case errors.Is(err, fs.ErrPermission):
			seen.blind = append(seen.blind, "this user may not open "+q.path+", so its locks can't be asked for; run as its owner or with sudo")
		default:
			return sight{}, err
		}
	}
	seen.owners = g.owners
	seen.blind = append(seen.blind, oneHolder)
	for _, o := range g.owners {
		if _, known := seen.processes[o.pid]; !known {
			seen.processes[o.pid] = w.introduce(process{Process: Process{PID: o.pid}})
		}
	}
	return seen, nil
}

// askFile calls found for the locks on a range of a file.
func askFile(ctx context.Context, path string, first, last int64, found func(table.Row)) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := askRange(file, unix.F_GETLK, 0, first, last, found); err != nil {
		return err
	}
	for _, pid := range everybody() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if askRange(file, askOfProcess, pid, first, last, found) != nil {
			break // this system doesn't know the question: the first answers stand
		}
	}
	return nil
}

// askRange asks for a range, and then for what the answer leaves of it on both
// sides: each answer is about a smaller one, so this ends whatever the holders do
// meanwhile.
func askRange(file *os.File, question int, pid int32, first, last int64, found func(table.Row)) error {
	for first <= last {
		l := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart, Start: first, Len: last - first + 1, Pid: pid}
		if err := unix.FcntlFlock(file.Fd(), question, &l); err != nil {
			return fmt.Errorf("ask for the locks of %s: %w", file.Name(), err)
		}
		if l.Type == unix.F_UNLCK {
			return nil
		}
		r := table.Row{OFD: l.Pid <= 0, Write: l.Type == unix.F_WRLCK, PID: int(l.Pid), First: l.Start, Last: math.MaxInt64}
		if l.Len > 0 {
			r.Last = l.Start + l.Len - 1
		}
		if !r.Covers(first, last) {
			return nil // no answer to what was asked
		}
		found(r)
		if err := askRange(file, question, pid, first, r.First-1, found); err != nil {
			return err
		}
		if r.Last >= last {
			return nil
		}
		first = r.Last + 1
	}
	return nil
}
