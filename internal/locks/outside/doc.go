// Package outside tells who holds which lock of a database from outside: by
// the kernel's lock table, the descriptors of other processes, and the headers
// of the file, its -shm and its -wal. It opens no SQLite connection, takes no
// lock and writes nothing, so it can't disturb what it watches; and it knows
// nothing of the engine, so it also tells about programs that use another.
//
// Where the kernel has no lock table, other Unix systems are asked for each lock
// (F_GETLK), and Windows for who has the file open (the Restart Manager).
//
// It is for a process that has no connection to the database. Should the
// process have the file open after all, the headers are left alone, because
// closing them would drop the process's own locks; the lock table harms nobody.
package outside
