package sqlite

import (
	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// lockSharedMemory has the locks on the -shm taken by open file description, too.
// The engine's own switch is about those on the database, which in WAL mode keep
// nobody from writing: after one open and close of the -shm beside SQLite another
// process wrote into the transaction that was running, both were acknowledged,
// one was lost and integrity_check said ok.
//
// SQLite has one descriptor of a -shm in a process, through which go the locks of
// all connections, so there is nothing that the two kinds would answer
// differently. It calls fcntl by a table that its interface lets one change
// (https://www.sqlite.org/c3ref/vfs.html, xSetSystemCall).
//
// Where a second user of the engine has taken locks already it is too late: what
// it has on a -shm are POSIX locks, which would never be given back. Whoever locks
// settles the kind, so it is switched off and on again to see.
func lockSharedMemory(tls *libc.TLS) int32 {
	if sqlite3.Xmodernc_ofd_locking(tls, 0) != 1 || sqlite3.Xmodernc_ofd_locking(tls, 1) != 0 {
		return sqlite3.SQLITE_OK
	}
	vfs := sqlite3.Xsqlite3_vfs_find(tls, 0)
	if vfs == 0 {
		return sqlite3.SQLITE_OK
	}
	name, err := pushName(tls, "fcntl")
	if err != nil {
		return sqlite3.SQLITE_NOMEM
	}
	defer name.pop()
	methods := load[sqlite3.Tsqlite3_vfs](vfs)
	engine.fcntl = goFunc[func(*libc.TLS, uintptr, uintptr) uintptr](methods.FxGetSystemCall)(tls, vfs, name.p)
	return goFunc[func(*libc.TLS, uintptr, uintptr, uintptr) int32](methods.FxSetSystemCall)(tls, vfs, name.p, cFunc(fcntlTrampoline))
}

// fcntlTrampoline is fcntl for SQLite. Locks on the database come as OFD locks
// where these are on. The others are on the -shm, and of the same kind from here
// on: the engine has settled the kind before, since whoever asks for a lock on
// the -shm has had one on the database.
func fcntlTrampoline(tls *libc.TLS, fd, cmd int32, va uintptr) int32 {
	if (cmd == sqlite3.F_SETLK || cmd == sqlite3.F_GETLK) && sqlite3.Xmodernc_ofd_locking(tls, -1) == 1 {
		arg := va
		(*sqlite3.Tflock)(pointer(libc.VaUintptr(&arg))).Fl_pid = 0 // Linux demands it
		if cmd == sqlite3.F_SETLK {
			cmd = sqlite3.F_OFD_SETLK
		} else {
			cmd = sqlite3.F_OFD_GETLK
		}
	}
	return goFunc[func(*libc.TLS, int32, int32, uintptr) int32](engine.fcntl)(tls, fd, cmd, va)
}
