// Package sidelock is the fair queue that Holdfast's processes form on
// <db>-holdfast.lock around BEGIN IMMEDIATE ... COMMIT.
//
// SQLite's own waiting between processes is sleep and try again, with longer
// sleeps for whoever has waited longer; under load a process can starve for as
// long as the load lasts. Here each process takes a place in a queue made of
// byte-range locks and moves up. The operating system frees the locks of a
// process that dies, wherever it stood, so nothing ever has to be cleaned up
// and a left-over lock file means nothing.
//
// A process that writes much keeps its turn for a few transactions, so that the
// change of turn is paid once for all of them.
//
// The lock is advice among processes that run Holdfast. A foreign process that
// writes without it is met by SQLite's own locks (see package busy), so it can
// cost time but no data.
//
// A process that is stopped but not dead (SIGSTOP, a frozen container) keeps
// its place, and those behind it wait although the database may be free. So a
// caller bounds its wait by a context, and after that may go on without the
// turn: that is unfair, but as safe as without this package.
//
// The same file has places that a process claims for as long as it lives
// ([Lock.Claim]), and a lock for each of the duties that one process at a time
// has ([Lock.Take]); they have nothing to do with the queue.
//
// The file holds no data but a note of who had the turn last, and when what is
// done now and then was last done ([Lock.SetTime]). It must not be
// deleted while a process uses it: the next one would create another file and
// queue there alone (which, again, costs fairness and no data).
package sidelock
