package doctor

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfastdb/holdfast/internal/locks/table"
)

// watch asks /proc who uses the database.
func (p *patient) watch() {
	w := &p.watched
	w.readers = map[int]int{}
	rows, err := table.Read()
	w.sees = err == nil && table.Whole()
	files := table.Identify(p.path, p.shmPath)
	for _, r := range rows {
		if !r.Blocked {
			p.note(r, files[0], files[1])
		}
	}
	p.descriptors()
	slices.Sort(w.users)
	w.users = slices.Compact(w.users)
}

func (p *patient) note(r table.Row, db, shm table.File) {
	w := &p.watched
	switch {
	case db.Has(r):
		w.users = append(w.users, max(r.PID, 0))
		w.writes = w.writes || r.Write && (r.Has(table.ReservedByte) || r.Has(table.SharedFirst))
	case shm.Has(r):
		w.users = append(w.users, max(r.PID, 0))
		if r.Write && r.Has(table.WriteByte) {
			w.writes, w.writer = true, r.PID
		}
		for slot := range table.Slots {
			if !r.Write && r.Has(int64(table.ReadByte+slot)) {
				w.readers[slot] = r.PID
			}
		}
	}
}

// descriptors looks for processes that have the files open, as far as their
// descriptors may be seen.
func (p *patient) descriptors() {
	names, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return
	}
	for _, name := range names {
		target, err := os.Readlink(name)
		if err != nil || !strings.HasPrefix(target, p.path) {
			continue
		}
		rest := target[len(p.path):]
		base, deleted := strings.CutSuffix(rest, " (deleted)")
		if base != "" && base != "-wal" && base != "-shm" && base != "-journal" {
			continue
		}
		pid, _ := strconv.Atoi(strings.Split(name, "/")[2])
		switch {
		case deleted && (base == "" || base == "-wal"):
			p.watched.gone = append(p.watched.gone, openedGone{pid, p.path + base})
		case !deleted:
			p.watched.users = append(p.watched.users, pid)
		}
	}
}
