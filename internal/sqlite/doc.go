// Package sqlite is a thin binding over the C API of SQLite as transpiled to
// Go by modernc.org/sqlite/lib: one Go method for one C function, with Go
// strings, errors and closures on the outside.
//
// It is the only package of the module that imports modernc.org/sqlite/lib.
// It knows nothing of database/sql, pools, retries or policy.
//
// # Concurrency
//
// A [Conn], and every [Stmt], [Backup], [Session] and [ChangesetIter] made from
// it, is used by one goroutine at a time; SQLite's own mutexes are off
// ([OpenNoMutex]). The exception is [Conn.Interrupt], which any goroutine may
// call at any time, also while the connection is being closed. A [Snapshot] is
// an immutable value. Different connections are independent of each other.
//
// # Lifetimes
//
// [Conn.Close] frees everything that was made from the connection. Whatever is
// used after it was closed, finalized or released answers with an [Error] whose
// code is [ResultMisuse] (or with a zero value); it never touches freed memory.
//
// # Callbacks
//
// Go functions given to a connection run on the goroutine that runs the SQLite
// call. They must not use the connection that called them. A panic in one of
// them does not cross the engine: the operation is refused, and the panic is
// raised again, with its value, by the method of this package that was running.
// (The update, rollback and WAL hooks have no way to refuse; what they were told
// of stands.) The connection stays usable. [runtime.Goexit] in a callback (testing's FailNow
// does that) cannot be held back; it leaves the connection dead, and what it
// held is lost to the process.
//
// The C API is described at https://www.sqlite.org/c3ref/intro.html.
package sqlite
