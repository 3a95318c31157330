package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/cluster/internal/statement"
	"github.com/holdfastdb/holdfast/cluster/internal/wire"
)

// SQLite's result codes, https://www.sqlite.org/rescode.html.
const (
	codeError    = 1
	codeBusy     = 5
	codeIOErr    = 10
	codeMisuse   = 21
	codeReadOnly = 8
	codeAuth     = 23
	codeAbort    = 4
	codeTooBig   = 18
)

// codes are what the texts of SQLite's errors mean: the server passes on nothing else. The
// text of a violated primary key is that of any unique index.
var codes = []struct {
	prefix string
	code   int
}{
	{"UNIQUE constraint failed", 2067},
	{"NOT NULL constraint failed", 1299},
	{"CHECK constraint failed", 275},
	{"FOREIGN KEY constraint failed", 787},
	{"cannot store", 3091}, // a STRICT table
	{"datatype mismatch", 20},
	{"database is locked", codeBusy},
	{"database or disk is full", 13},
	{"database disk image is malformed", 11},
	{"disk I/O error", codeIOErr},
	{"out of memory", 7},
	{"interrupted", 9},
	{"attempt to write a readonly database", codeReadOnly},
	{"string or blob too big", codeTooBig},
}

func codeOf(text string) int {
	for _, c := range codes {
		if strings.HasPrefix(text, c.prefix) {
			return c.code
		}
	}
	return codeError
}

// call is what was tried, for its error.
type call struct {
	op       string // as in holdfast.Error
	tasks    []task // nil of what is no statement
	reads    bool
	start    time.Time
	attempts int
}

// failed makes the error of an attempt that was the last.
func (c *client) failed(ctx context.Context, what call, r reply) error {
	c.counts.failed.Add(1)
	f := failure{holdfast.Failure{
		Kind: r.kind, Code: codeOf(r.text), Op: what.op, Attempts: what.attempts, Text: r.text, Next: r.next, Cause: ended(ctx),
	}}
	if !what.start.IsZero() {
		f.Waited = time.Since(what.start)
	}
	guard := what.blame(&f.Failure, r)
	switch {
	case guard != nil:
		f.Kind, f.Code, f.Cause, f.Text = holdfast.ErrGuardFailed, codeAbort, guard, guard.Error()
		f.Next = "all of the batch was rolled back: read again what it decides by"
	case errors.Is(r.kind, errTooLong) && what.reads:
		f.Kind, f.Code = holdfast.ErrRefused, codeTooBig
	case r.verdict == doubtful && !what.reads:
		f.unknown()
	case r.verdict == rejected || r.kind != nil:
	default:
		return c.unanswered(ctx, f.Failure, what)
	}
	return holdfast.NewError(f.Failure)
}

// failure is a holdfast.Failure in the making.
type failure struct{ holdfast.Failure }

func (f *failure) unknown() {
	f.Kind, f.Code = holdfast.ErrOutcomeUnknown, codeIOErr
	f.Text = "nobody can tell whether it was written: " + f.Text
	if f.Next == "" {
		f.Next = "look whether the write is there, or repeat it with the IdempotencyKey it had"
	}
}

// unanswered is the error of what was not written, or only read: it may be tried again.
func (c *client) unanswered(ctx context.Context, f holdfast.Failure, what call) error {
	if c.life.Err() != nil {
		f.Kind, f.Code, f.Text, f.Next = holdfast.ErrClosed, codeMisuse, "the database was closed", ""
		return holdfast.NewError(f)
	}
	if err := ended(ctx); err != nil {
		return err // the caller's own: nothing was written
	}
	f.Kind, f.Code, f.Cause = holdfast.ErrBusy, codeBusy, nil
	f.Text = fmt.Sprintf("no node of the cluster has taken it in %s: %s", f.Waited.Round(time.Millisecond), f.Text)
	if !what.reads {
		f.Text += "; nothing was written"
	}
	f.Next = "see with DB.Health which nodes can be reached and who leads"
	return holdfast.NewError(f)
}

// blame finds the statement that failed. It returns the error of a guard, if that did.
func (w *call) blame(f *holdfast.Failure, r reply) *holdfast.GuardError {
	var guilty *task
	for i := range w.tasks {
		if w.tasks[i].at <= r.failed {
			guilty, f.Statement = &w.tasks[i], i+1
		}
	}
	if len(w.tasks) == 1 {
		guilty = &w.tasks[0]
	}
	if r.failed < 0 || w.op != "batch" {
		f.Statement = 0
	}
	if guilty == nil || r.failed < 0 && len(w.tasks) > 1 {
		return nil
	}
	f.SQL = guilty.text
	for _, a := range guilty.args {
		f.Args = append(f.Args, a.Value)
	}
	if r.verdict != rejected || !guilty.guarded || r.failed != guilty.at+1 || r.failed >= len(r.results) {
		return nil
	}
	return &holdfast.GuardError{Statement: f.Statement, Expected: guilty.expect, Affected: rowsAffected(&r.results[guilty.at], guilty.Returning)}
}

// refusal is the error of what was never sent.
func (c *client) refusal(op, sql string, index int, err error) error {
	c.counts.failed.Add(1)
	f := holdfast.Failure{Op: op, SQL: sql, Statement: index, Text: err.Error(), Code: codeMisuse, Kind: holdfast.ErrInvalid}
	switch {
	case errors.Is(err, statement.ErrTransaction):
		f.Kind, f.Code, f.Cause = holdfast.ErrUnsupported, codeAuth, holdfast.ErrRefused
		f.Next = "put the statements into one DB.Batch, which is a transaction; a Statement's Expect makes it depend on what it finds"
		if op == "batch" {
			f.Kind, f.Cause = holdfast.ErrRefused, holdfast.ErrUnsupported
			f.Next = "leave it out: a Batch is a transaction"
		}
	case errors.Is(err, statement.ErrRefused):
		f.Kind, f.Code = holdfast.ErrRefused, codeAuth
	case errors.Is(err, holdfast.ErrReadOnly):
		f.Kind, f.Code, f.Text, f.Next = holdfast.ErrReadOnly, codeReadOnly, "attempt to write a database that was opened read-only", "open the database without WithReadOnly"
	case errors.Is(err, wire.ErrValue):
		f.Next = "a cluster takes integers of 64 bits, finite floats, text in UTF-8, []byte, bool, time.Time and nil"
	}
	return holdfast.NewError(f)
}

func (c *client) refusedTask(op string, err error) error {
	var t *taskError
	if !errors.As(err, &t) {
		return c.refusal(op, "", 0, err)
	}
	index := 0
	if op == "batch" {
		index = t.index + 1
	}
	return c.refusal(op, t.task.text, index, t.err)
}
