// Package dbfile tells what a database file is, learned by stat and the mount
// table only: identity, file system, permissions, names.
//
// Nothing here opens a database, its -wal or its -shm. On POSIX systems the
// close of any descriptor of a file drops every lock that the process holds on
// it, SQLite's included, so one look at the header by os.Open can let a second
// process write into a running transaction. The one exception is
// [CreatePrivate], and it touches a file only if that very call creates it.
//
// All functions are safe for concurrent use. None of them waits for a lock;
// they take as long as a stat takes, which on a dead network mount may be long.
//
// See https://www.sqlite.org/howtocorrupt.html for the hazards that these
// checks are about.
package dbfile
