// Package writer owns the one write connection of a process to a database and
// shares it out: a first-come-first-served queue with three priorities, and
// group commit.
//
// There is no writer goroutine. One goroutine at a time has the baton: the
// right to use the connection. It is a caller: the one that found the writer
// idle, or the one it was handed to. Whoever has it does its own work, then
// the statement units that have queued up behind it, then one COMMIT for all
// of them, and hands the baton on. A lone caller therefore pays for no
// hand-over, and callers that arrive during a COMMIT share the next.
//
// Three kinds of work take part. A statement unit (Do) is repeatable work that
// whoever leads may run. An interactive unit (Begin) is somebody's transaction:
// it runs on its caller's goroutine, joins a group only if its call site is
// known to be quick, and is never waited for by a group otherwise. A hold
// (Hold) is the baton without a transaction, for VACUUM and for sessions that
// write through a connection of their own.
//
// A commit may have to be safe elsewhere, too, before it is acknowledged. That
// wait (Uploaded) is no part of a unit: it comes after the baton has gone on.
//
// See https://www.sqlite.org/lang_transaction.html and, for the idea of
// letting the leader do the followers' work, Hendler et al., "Flat Combining
// and the Synchronization-Parallelism Tradeoff" (SPAA 2010).
package writer
