package busy

import "github.com/holdfastdb/holdfast/internal/sqlite"

// Action is what to do about a result code.
type Action int

const (
	// Report: the statement failed for a reason of its own. Nothing helps but
	// telling the caller.
	Report Action = iota
	// Wait: somebody else holds a lock; the same step may succeed later.
	Wait
	// Redo: the snapshot is too old to be written through. Waiting never
	// helps, only running the whole transaction again does.
	Redo
	// Blocked: the caller's own statement is in the way.
	Blocked
	// Resend: the connection may not write; the writer can.
	Resend
	// Cancelled: the statement was interrupted, so the context tells why.
	Cancelled
	// Broken: the file, the disk or the memory failed. Never retried; the
	// connection is given up.
	Broken
)

// Classify maps a result code to what may be done about it.
func Classify(code sqlite.ResultCode) Action {
	switch code {
	case sqlite.ResultBusySnapshot:
		return Redo
	case sqlite.ResultReadOnly:
		return Resend
	}
	switch code.Primary() {
	case sqlite.ResultBusy:
		return Wait
	case sqlite.ResultLocked:
		return Blocked
	case sqlite.ResultInterrupt:
		return Cancelled
	case sqlite.ResultIOErr, sqlite.ResultCorrupt, sqlite.ResultFull,
		sqlite.ResultCantOpen, sqlite.ResultNotADB, sqlite.ResultNoMem:
		return Broken
	}
	return Report
}

// CommitOutcomeUnknown tells whether a COMMIT that has just failed with err on c
// may still have reached the disk. A failed write or fsync leaves that open, and so
// does memory that ran out, perhaps for the index of what was written: the commit
// frame can be complete in the WAL, and recovery after a crash would then honour
// it. Where the disk was full the log is looked at, as nothing else has gone wrong
// with it: mostly that proves that nothing can come back. Every other code means
// that SQLite rolled back.
func CommitOutcomeUnknown(c *sqlite.Conn, err error) bool {
	switch sqlite.Code(err).Primary() {
	case sqlite.ResultIOErr, sqlite.ResultNoMem:
		return true
	case sqlite.ResultFull:
		return !c.RolledBack()
	}
	return false
}
