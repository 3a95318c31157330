// Package busy says what a SQLite result code means for the caller, how long
// to wait on a lock, and whether a transaction may be run again.
//
// Decisions are made on result codes, never on the text of an error; see
// https://www.sqlite.org/rescode.html. Everything here is safe for concurrent
// use except a Handler, which belongs to one connection.
package busy
