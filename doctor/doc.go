// Package doctor examines a database that may be ill, and harms it less than a
// look by any other program would.
//
// The first stage opens no SQLite connection. It asks stat, the mount table and
// /proc, and reads the headers of the database, its -wal, -shm and -journal by
// plain reads: nothing is created, locked or written. The second stage is asked
// for by [Options.Open]; it reads by SQL through a read-only connection, and asks
// the control sockets of programs that run Holdfast which statements they have run.
//
// A plain read costs something in one case only, and there it costs data: on
// POSIX systems a process loses its locks on a file when it closes any
// descriptor of it. So a process that has a connection to the database must not
// examine it. [Examine] notices and answers [ErrOpenHere]. Run the command "holdfast doctor", which is a process
// of its own.
//
// See https://www.sqlite.org/howtocorrupt.html for most of what it looks for.
package doctor
