package integrity

import (
	"fmt"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// Failure is the last error of its kind that a statement has met.
type Failure struct {
	At   time.Time // zero if there was none
	Code sqlite.ResultCode
	Op   string
}

// freshFailure is how long an error stays a finding that later successes don't
// take back.
const freshFailure = 5 * time.Minute

func (f Failure) recent() bool { return !f.At.IsZero() && time.Since(f.At) < freshFailure }

func (f Failure) String() string {
	return fmt.Sprintf("%s in %s at %s", f.Code, f.Op, f.At.UTC().Format(time.RFC3339))
}

// Failures are those that say something of the file and not of the statement.
type Failures struct{ Corrupt, IO, Full Failure }

// FailureLog remembers failures. The zero value is ready to use.
type FailureLog struct {
	mu   sync.Mutex // guards seen
	seen Failures
}

// Note records the code of an error if it is one of these. SQLITE_NOTADB isn't: an
// ATTACH of any other file is answered so.
func (l *FailureLog) Note(op string, code sqlite.ResultCode) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := Failure{time.Now(), code, op}
	switch code.Primary() {
	case sqlite.ResultCorrupt:
		l.seen.Corrupt = f
	case sqlite.ResultIOErr:
		l.seen.IO = f
	case sqlite.ResultFull:
		l.seen.Full = f
	}
}

// Failures returns them.
func (l *FailureLog) Failures() Failures {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seen
}

// Absolve forgets the damage that statements have met before at: all of the
// database was read since and is well.
func (l *FailureLog) Absolve(at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen.Corrupt.At.Before(at) {
		l.seen.Corrupt = Failure{}
	}
}
