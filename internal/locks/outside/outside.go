package outside

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/holdfastdb/holdfast/internal/locks/table"
)

// The journal modes that the file tells apart.
const (
	ModeWAL      = "wal"
	ModeRollback = "rollback"
	ModeUnknown  = "unknown"
)

// The locks. The first four are of the database file, the others of the index
// of its log.
const (
	Shared     = "SHARED"
	Reserved   = "RESERVED"
	Pending    = "PENDING"
	Exclusive  = "EXCLUSIVE"
	Read       = "READ"
	Write      = "WRITE"
	Checkpoint = "CHECKPOINT"
	Recover    = "RECOVER"
)

// ErrNotDatabase says that the file has content, but not that of a database.
var ErrNotDatabase = errors.New("the file is not a SQLite database")

// Report is what one look has seen.
type Report struct {
	Path        string    // absolute, links resolved
	At          time.Time // when the lock table was read
	JournalMode string    // ModeWAL, ModeRollback or ModeUnknown
	PageSize    int       // 0 if unknown
	Size        int64
	WAL         *WAL // nil without a log
	Holders     []Holder
	Waiters     []Waiter // only those that can be seen: SQLite polls, and who polls looks idle
	Queued      int      // writes that wait inside of processes that tell, also those that are not among Waiters
	Openers     []Process
	Blind       []string // what can't be seen from here, each with the next step
}

// WAL is the log as its header and its index tell it.
type WAL struct {
	Bytes        int64
	Frames       uint32 // since the log began anew; without an index as many as fit into the file
	CopiedFrames uint32 // of these, how many are in the database file
	ReadMarks    [5]uint32
	Reset        bool // all is copied, and the next writer starts again at the beginning of the file
}

// Process is a process that has the database open.
type Process struct {
	PID         int // 0 if the system does not tell
	Program     string
	User        string
	State       string // "running", "sleeping", "stopped", ...; "" if unknown
	Connections int    // descriptors of the database file; 0 if they can't be listed
}

// Holder is one lock and who has it.
type Holder struct {
	Process
	Lock          string
	Slot          int       // of Read; otherwise -1
	SnapshotFrame uint32    // of Read: the last frame of the log that the reader sees; 0 is none
	Since         time.Time // first seen, or as told; it is held at least as long
	Statement     string    // as told; else empty
	CallSite      string    // likewise
	Text          string    // all of it in a sentence

	began time.Time // as told; else zero
}

// Waiter is a process that waits for others to give up a lock.
type Waiter struct {
	Process
	Lock      string
	Behind    []int // the processes it waits for, as far as they are known
	Since     time.Time
	Statement string // as told; else empty
	CallSite  string // likewise
	Text      string
}

// Look looks once, so every lock is new to it. See [Watcher] for ages.
func Look(ctx context.Context, path string) (*Report, error) { return NewWatcher(path).Look(ctx) }

// Watcher looks again and again, and remembers since when it has seen each
// lock. It has no goroutine: whoever wants a look asks for one. It is used by
// one goroutine at a time.
type Watcher struct {
	// Ask asks processes what they do with the database at path, and says what it
	// could not learn. Nil asks nobody.
	Ask func(ctx context.Context, path string) (told []Told, blind []string)

	path  string
	since map[grip]time.Time
	users map[uint32]string // names of users by number
}

// NewWatcher returns a Watcher of the database at path, taken literally.
func NewWatcher(path string) *Watcher {
	return &Watcher{path: path, since: map[grip]time.Time{}, users: map[uint32]string{}}
}

// Look looks at the database. A look is quick, but it is not a snapshot:
// locks, marks and processes are read one after the other.
//
// The kernel keeps no times, so Since is when this Watcher saw the lock first
// and in every look since, unless the process tells of an earlier time. Who let it go in between and took it again counts as
// the same holder, unless a commit shows that it was another transaction.
func (w *Watcher) Look(ctx context.Context) (*Report, error) { return w.look(ctx, w.scan) }

// look looks at the database and, by scan, at its users.
func (w *Watcher) look(ctx context.Context, scan func(context.Context, files) (sight, error)) (*Report, error) {
	files, err := locate(w.path)
	if err != nil {
		return nil, err
	}
	seen, err := scan(ctx, files)
	if err != nil {
		return nil, err
	}
	r := &Report{Path: files.path, At: seen.at, JournalMode: ModeUnknown, Size: files.info.Size(), Blind: seen.blind}
	var commits uint64
	if seen.own {
		r.Blind = append(r.Blind, "this process has the database open itself, and reading the headers would drop its locks; look from another process")
	} else if commits, err = r.readHeaders(files); err != nil {
		return nil, err
	}
	r.judge(seen)
	if w.Ask != nil {
		told, blind := w.Ask(ctx, r.Path)
		r.hear(told)
		r.Blind = append(r.Blind, blind...)
	}
	if slices.ContainsFunc(r.Holders, func(h Holder) bool { return h.PID == 0 }) {
		r.Blind = append(r.Blind, "some locks belong to open files, and their processes can't be named from here; run on the host, as root")
	}
	w.date(r, seen, commits)
	r.describe()
	return r, nil
}

// files are the three files of a database.
type files struct {
	path string
	info fs.FileInfo // of the database file
	shm  fs.FileInfo // nil if there is none
	wal  fs.FileInfo // likewise
}

func locate(path string) (files, error) {
	resolved, err := filepath.Abs(path)
	if err != nil {
		return files{}, fmt.Errorf("make %s absolute: %w", path, err)
	}
	if resolved, err = filepath.EvalSymlinks(resolved); err != nil {
		return files{}, err
	}
	f := files{path: resolved}
	if f.info, err = os.Stat(resolved); err != nil {
		return files{}, err
	}
	if !f.info.Mode().IsRegular() {
		return files{}, fmt.Errorf("%s is no regular file: %w", resolved, ErrNotDatabase)
	}
	if f.shm, err = sidecar(resolved + "-shm"); err != nil {
		return files{}, err
	}
	f.wal, err = sidecar(resolved + "-wal")
	return f, err
}

func (f files) names() []string { return []string{f.path, f.path + "-shm", f.path + "-wal"} }

// own tells whether this process has one of the files open.
func own(f files) bool { return table.Own(f.names()...) }

func sidecar(path string) (fs.FileInfo, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular(): // opening a pipe could wait for ever
		return nil, fmt.Errorf("%s is no regular file: %w", path, ErrNotDatabase)
	}
	return info, nil
}

// sight is what a system shows of a database's users.
type sight struct {
	owners    []owner
	processes map[int]process
	blind     []string
	at        time.Time
	own       bool // the looking process is one of them
}

// process is a Process and what tells it from a later one of the same number.
type process struct {
	Process
	started uint64
}

// grip is one lock of one owner, as far as it can be told from the next.
type grip struct {
	pid     int
	started uint64
	lock    string
	slot    int
	frame   uint32
	commits uint64
}

// date says since when each holder and waiter has been seen, and forgets those
// that are gone.
func (w *Watcher) date(r *Report, seen sight, commits uint64) {
	current := make(map[grip]time.Time)
	first := func(g grip) time.Time {
		g.started = seen.processes[g.pid].started
		t, known := w.since[g]
		if !known {
			t = r.At
		}
		current[g] = t
		return t
	}
	for i := range r.Holders {
		h := &r.Holders[i]
		g := grip{pid: h.PID, lock: h.Lock, slot: h.Slot, frame: h.SnapshotFrame}
		if slices.Contains(writing, h.Lock) {
			g.commits = commits
		}
		h.Since = first(g)
		if !h.began.IsZero() && h.began.Before(h.Since) {
			h.Since = h.began
		}
	}
	for i := range r.Waiters {
		h := &r.Waiters[i]
		if !h.Since.IsZero() {
			continue // it was told
		}
		h.Since = first(grip{pid: h.PID, lock: "waits for " + h.Lock})
	}
	w.since = current
}

// writing are the locks of transactions that write: a commit ends them.
var writing = []string{Write, Reserved, Pending, Exclusive}
