// Package locks tells who holds which lock of a SQLite database, whatever
// program and engine they use, from outside: by the kernel's lock table, the
// open files of processes, and a few bytes of the database's headers. It opens
// no connection, takes no lock and writes nothing.
//
// It is for a process that has no connection to the database: a monitor, a
// command. Of processes that use Holdfast it shows statements and call sites too,
// and who waits inside, because they tell: on Linux and macOS, to their own user,
// unless that was turned off. (Such a process asks its own [holdfast.DB].) Should the database be open in this
// process after all, the headers are left unread and the report says so,
// because closing them would drop the locks of this process.
//
// Linux shows everything but the locks of other containers. macOS shows each
// lock with its process, but not who has the database open without one. Other
// Unix systems name one holder of each lock, by number. Windows names those who
// have the database open and no locks. [Report.Blind] says what is missing, and
// what to do.
//
// Outside Linux and Windows the locks are asked for by descriptors of the files.
// What this process has open is looked at before in /dev/fd; where that is not
// complete (FreeBSD without fdescfs), it is up to the caller that the process has
// no connection.
//
// [holdfast.DB]: https://pkg.go.dev/github.com/holdfastdb/holdfast#DB
package locks

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"time"

	"github.com/holdfastdb/holdfast/internal/control"
	"github.com/holdfastdb/holdfast/internal/dbfile"
	"github.com/holdfastdb/holdfast/internal/locks/outside"
)

// Reasons why nothing can be told of a database, for errors.Is. A missing file
// is fs.ErrNotExist.
var (
	ErrName        = errors.New("the name of the database can't be used")
	ErrNoFile      = errors.New("there is no database file")
	ErrNotDatabase = outside.ErrNotDatabase // the file has content, but no database's
)

// Report is what one look has seen. A look is quick, but it is no snapshot:
// locks, marks and processes are read one after the other.
type Report struct {
	Path        string    // absolute, links resolved
	At          time.Time // when the lock table was read
	JournalMode string    // "wal", "rollback" or "unknown"
	PageSize    int       // 0 if unknown
	Size        int64
	WAL         *WAL      // nil without a log
	Holders     []Holder  // first those who keep most others out
	Waiters     []Waiter  // only those that show: SQLite polls, and a process that polls looks idle
	Queued      int       // writes that wait inside of processes that run Holdfast; Waiters has the first 1000 of each
	Openers     []Process // all who have the database open, by PID
	Blind       []string  // what can't be seen from here, each with the next step
}

// WAL is the log as its header and its index tell it.
type WAL struct {
	Bytes        int64
	Frames       uint32    // since the log began anew; without an index as many as fit into the file
	CopiedFrames uint32    // of these, how many a checkpoint has copied into the database
	ReadMarks    [5]uint32 // the last frame that readers of each slot see; all ones: not in use
	Reset        bool      // all is copied, and the next writer starts again at the beginning of the file
}

// Process is a process that has the database open.
type Process struct {
	PID         int // 0 if the system doesn't tell
	Program     string
	User        string
	State       string // "running", "sleeping", "stopped", ...; "" if unknown
	Connections int    // descriptors of the database file; 0 if they can't be listed
}

// Holder is one lock and who has it.
type Holder struct {
	Process
	// Lock is SHARED, RESERVED, PENDING or EXCLUSIVE on the database file, or
	// WAL_READ, WAL_WRITE, WAL_CKPT or WAL_RECOVER on the index of its log.
	Lock          string
	Slot          int    // of WAL_READ; otherwise -1
	SnapshotFrame uint32 // of WAL_READ: the last frame of the log that the reader sees; 0 is none
	// Since is when the lock was first seen; it has been held at least since
	// then. Who let it go between two looks and took it again counts as the same
	// holder, unless a commit shows that it was another transaction. A process
	// that runs Holdfast tells the time itself.
	Since time.Time
	// Statement (the last of the transaction, without values) and CallSite are
	// known of processes that run Holdfast, by their control socket, and "" else.
	// Locks for writing are those of the process's writer. Which of its readers has
	// which slot is not known: the oldest is told to have the slot of its oldest
	// snapshot, the next the next, and the writer the last that is left.
	Statement string
	CallSite  string
	Text      string // all of it in a sentence
}

// Waiter is who waits until others give up a lock: a process, or one of many in
// a process that runs Holdfast. The latter wait for the writer of their process,
// so that Behind is that process itself, or the one that its writer waits for.
type Waiter struct {
	Process
	Lock      string
	Behind    []int     // the processes it waits for, as far as they are known
	Since     time.Time // first seen, or since when it waits if the process tells
	Statement string    // as in Holder
	CallSite  string    // likewise; of a statement only when it has waited for a while
	Text      string
}

// Look looks at a database once, so that every lock is new to it: see [Watcher]
// for ages. database is a path, or a URI that begins with "file:", as for
// holdfast.Open.
func Look(ctx context.Context, database string) (*Report, error) {
	w, err := NewWatcher(database)
	if err != nil {
		return nil, err
	}
	return w.Look(ctx)
}

// Watcher looks at one database again and again, and remembers since when it
// has seen each lock. It has no goroutine, so its user sets the pace: a look
// costs a few milliseconds. It is used by one goroutine at a time.
type Watcher struct {
	path    string
	outside *outside.Watcher
}

// NewWatcher returns a Watcher of a database, named as for [Look]. The file
// need not be there yet.
func NewWatcher(database string) (*Watcher, error) {
	name, err := dbfile.ParseName(database)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrName, err)
	case name.Memory:
		return nil, fmt.Errorf("%w: a database in memory is seen by its own process only", ErrName)
	}
	path, err := dbfile.Resolve(name.Path)
	switch {
	case errors.Is(err, dbfile.ErrIsDirectory), errors.Is(err, dbfile.ErrNoDirectory):
		return nil, fmt.Errorf("%w: %w", ErrNoFile, err)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrName, err)
	}
	w := &Watcher{path: path, outside: outside.NewWatcher(path)}
	w.outside.Ask = askHoldfast
	return w, nil
}

// askHoldfast asks the processes that run Holdfast, by their control sockets.
func askHoldfast(ctx context.Context, path string) (told []outside.Told, blind []string) {
	answers, silent := control.Ask(ctx, path, control.RequestLocks)
	for _, a := range answers {
		if a.Locks != nil {
			told = append(told, toldBy(a))
		}
	}
	for _, s := range silent {
		blind = append(blind, silence(s))
	}
	return told, blind
}

func toldBy(a control.Answer) outside.Told {
	t := outside.Told{PID: a.PID, Program: a.Program, Queued: a.Locks.Queued}
	for _, h := range a.Locks.Holders {
		d := outside.Doing{Statement: h.Statement, CallSite: h.CallSite, Since: h.Since}
		switch {
		case h.Lock == "WAL_READ" || h.Lock == "SHARED":
			t.Readers = append(t.Readers, d)
		case h.Kind != control.AnotherProcess:
			t.Writer = &d
		default:
			t.Blocked = true
			t.Queued++
			t.Waiting = append(t.Waiting, outside.Doing{Since: h.Since}) // who it is, is not told
		}
	}
	for _, w := range a.Locks.Waiters {
		t.Waiting = append(t.Waiting, outside.Doing{Statement: w.Statement, CallSite: w.CallSite, Since: w.Since})
	}
	return t
}

// silence says what is missing because of a socket, and the next step.
func silence(s control.Silence) string {
	const missing = ", so call sites and statements of its process are missing; "
	var network net.Error
	switch {
	case errors.Is(s.Err, fs.ErrPermission):
		return s.Path + " is another user's" + missing + "look as that user or with sudo"
	case errors.As(s.Err, &network) && network.Timeout(): // also when no more connections fit into its queue
		return s.Path + " gave no answer within 200 ms" + missing + "it is busy or stopped: look again"
	}
	return fmt.Sprintf("%s gave no answer that counts (%v)%slook who has it open (lsof)", s.Path, s.Err, missing)
}

// Look looks at the database.
func (w *Watcher) Look(ctx context.Context) (*Report, error) {
	r, err := w.outside.Look(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		sentence := w.path + " does not exist"
		if hint := dbfile.Hint(w.path); hint != "" {
			sentence += "; " + hint
		}
		return nil, &missing{sentence, err}
	}
	if err != nil {
		return nil, err
	}
	return report(r), nil
}

// missing says that there is no file, in a sentence.
type missing struct {
	sentence string
	cause    error
}

func (m *missing) Error() string { return m.sentence }
func (m *missing) Unwrap() error { return m.cause }

// report copies what an internal room has found into the types of this package.
func report(r *outside.Report) *Report {
	public := &Report{Path: r.Path, At: r.At, JournalMode: r.JournalMode, PageSize: r.PageSize, Size: r.Size, WAL: (*WAL)(r.WAL), Queued: r.Queued, Blind: r.Blind}
	for _, h := range r.Holders {
		public.Holders = append(public.Holders, Holder{
			Process: Process(h.Process), Lock: outside.LockName(h.Lock), Slot: h.Slot, SnapshotFrame: h.SnapshotFrame,
			Since: h.Since, Statement: h.Statement, CallSite: h.CallSite, Text: h.Text,
		})
	}
	for _, h := range r.Waiters {
		public.Waiters = append(public.Waiters, Waiter{
			Process: Process(h.Process), Lock: outside.LockName(h.Lock), Behind: h.Behind,
			Since: h.Since, Statement: h.Statement, CallSite: h.CallSite, Text: h.Text,
		})
	}
	for _, p := range r.Openers {
		public.Openers = append(public.Openers, Process(p))
	}
	return public
}

// Name is the process as a sentence names it: "python3 (pid 25641)".
func (p Process) Name() string { return outside.Process(p).Name() }
