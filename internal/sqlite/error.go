package sqlite

import (
	"errors"
	"fmt"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// Error is a failure reported by SQLite, or a misuse this package noticed before
// SQLite could. It never contains the values of parameters.
type Error struct {
	Code     ResultCode // extended result code
	Op       string     // what was being done: "open", "prepare", "bind", "step", ...
	Msg      string     // sqlite3_errmsg, or the text of Code if that message was about something else
	Offset   int        // byte offset of the offending token in the SQL text; -1 if unknown
	SysErrno int        // errno of the operating system behind the failure; 0 if none
}

// Error returns the text in the form SQLite drivers for Go print:
// "constraint failed: UNIQUE constraint failed: t.a (2067)".
func (e *Error) Error() string {
	text := e.Code.Message()
	if e.Msg != "" && e.Msg != text {
		text += ": " + e.Msg
	}
	text = fmt.Sprintf("%s (%d)", text, int(e.Code))
	if e.Code == ResultBusy {
		text += " (SQLITE_BUSY)"
	}
	return text
}

// Code returns the result code of the first *Error in the chain of err:
// ResultOK if err is nil, ResultError if there is none.
func Code(err error) ResultCode {
	if err == nil {
		return ResultOK
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return ResultError
}

func newError(code ResultCode, op string) *Error {
	return &Error{Code: code, Op: op, Msg: code.Message(), Offset: -1}
}

func misuse(op, msg string) *Error {
	return &Error{Code: ResultMisuse, Op: op, Msg: msg, Offset: -1}
}

// dbError describes the failure rc that a call on db has just returned. It must
// be called before anything else touches db: the message, the offset and errno
// are those of the last failure.
func dbError(tls *libc.TLS, db uintptr, op string, rc int32) *Error {
	e := &Error{Code: ResultCode(rc), Op: op, Offset: -1}
	if db == 0 || sqlite3.Xsqlite3_extended_errcode(tls, db) != rc {
		// The message db holds belongs to another failure.
		e.Msg = goString(sqlite3.Xsqlite3_errstr(tls, rc))
		return e
	}
	e.Msg = goString(sqlite3.Xsqlite3_errmsg(tls, db))
	e.Offset = int(sqlite3.Xsqlite3_error_offset(tls, db))
	switch e.Code.Primary() {
	case ResultIOErr, ResultCantOpen, ResultFull, ResultBusy, ResultReadOnly:
		// SQLite keeps the last errno; only these codes come from the system.
		e.SysErrno = int(sqlite3.Xsqlite3_system_errno(tls, db))
	}
	return e
}
