// Package exitcode gives every error of the command the number it ends with.
// The numbers are those of sysexits.h where it has one.
package exitcode

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/holdfastdb/holdfast"
)

// The exit codes.
const (
	OK          = 0
	Failed      = 1  // the database refused the statement: syntax, constraint, no such table
	Usage       = 64 // the command line, the SQL text or its arguments can't be run at all
	BadData     = 65 // the file is damaged, or no database
	Missing     = 66 // the file isn't there
	Unavailable = 69 // the engine can't be used, or a server can't be reached
	CantCreate  = 73 // the file could not be created
	IO          = 74 // reading or writing failed, or the disk is full
	Busy        = 75 // a lock or the time ran out: try again
	Permission  = 77 // the operating system or a read-only file forbids it
	Config      = 78 // the configuration is wrong
	Interrupted = 130
)

// Error is an error whose exit code is known where it arises.
type Error struct {
	Code int
	Err  error
}

func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the error itself.
func (e *Error) Unwrap() error { return e.Err }

// With gives err an exit code. No error stays none.
func With(code int, err error) error {
	if err == nil {
		return nil
	}
	return &Error{code, err}
}

// Verdict is how a command ends that has said on standard output what is the
// matter: 0 healthy, 1 warning, 2 critical, 3 unknown, as monitoring plugins do.
// Nothing more is printed.
type Verdict int

func (v Verdict) Error() string { return fmt.Sprintf("verdict %d", int(v)) }

// AsError returns v, or nil for 0.
func (v Verdict) AsError() error {
	if v == 0 {
		return nil
	}
	return v
}

// Usagef is an error of the command line.
func Usagef(format string, args ...any) error { return &Error{Usage, fmt.Errorf(format, args...)} }

// codes is asked in order; the first that errors.Is matches counts.
var codes = []struct {
	is   error
	code int
}{
	{context.Canceled, Interrupted},
	// A statement that ran out of time may get more; one whose outcome is
	// unknown must not be repeated blindly, so it comes first.
	{holdfast.ErrOutcomeUnknown, IO},
	{context.DeadlineExceeded, Busy},
	{holdfast.ErrBusy, Busy},
	{holdfast.ErrQueueFull, Busy},
	{holdfast.ErrConflict, Busy},
	{holdfast.ErrRolledBack, Busy},
	{holdfast.ErrEvicted, Busy},
	{holdfast.ErrInvalid, Usage},
	{holdfast.ErrUnsupported, Usage},
	{holdfast.ErrKeyReused, Usage},
	{holdfast.ErrCorrupt, BadData},
	{holdfast.ErrDiskFull, IO},
	{holdfast.ErrIO, IO},
	{holdfast.ErrFenced, IO},
	{holdfast.ErrReadOnly, Permission},
	{holdfast.ErrReadOnlyTx, Permission},
	{fs.ErrPermission, Permission},
	{fs.ErrNotExist, Missing},
	{holdfast.ErrCannotOpen, Missing},
}

// Of returns the exit code of err.
func Of(err error) int {
	if err == nil {
		return OK
	}
	if known, ok := errors.AsType[*Error](err); ok {
		return known.Code
	}
	if v, ok := errors.AsType[Verdict](err); ok {
		return int(v)
	}
	for _, c := range codes {
		if errors.Is(err, c.is) {
			return c.code
		}
	}
	if _, ok := errors.AsType[*holdfast.ConfigError](err); ok {
		return Config
	}
	if errors.Is(err, holdfast.ErrRefused) {
		return refused(err)
	}
	if e, ok := errors.AsType[*holdfast.Error](err); ok && e.Code == readOnly {
		return Permission
	}
	return Failed
}

// readOnly is SQLITE_READONLY, in whatever extension.
const readOnly = 8

// misuse is SQLITE_MISUSE: what was asked for makes no sense anywhere.
const misuse = 21

// refused tells what Holdfast refuses to run at all from what a setting would
// permit, such as a network file system.
func refused(err error) int {
	e, ok := errors.AsType[*holdfast.Error](err)
	if ok && e.Op == "open" && e.Code != misuse {
		return Config
	}
	return Usage
}
