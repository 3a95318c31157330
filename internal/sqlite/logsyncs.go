package sqlite

import (
	"sync/atomic"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// LogSyncs counts how often a connection has asked for its write-ahead log to be
// on the disk, which is what a commit costs. It is for tests and measurements:
// no counter of SQLite or the system tells this apart from other calls.
type LogSyncs struct {
	conn    *Conn
	file    uintptr // sqlite3_file of the log, the connection's own
	methods uintptr // *countedMethods
	id      uintptr // handle under which the callback finds it
	n       atomic.Int64
}

// countedMethods takes the place of the file's methods.
type countedMethods struct {
	methods  sqlite3.Tsqlite3_io_methods
	original uintptr
	id       uintptr
}

// CountLogSyncs begins to count, until the connection closes or leaves WAL mode.
// It fails unless the connection has the log open, which a read does.
func (c *Conn) CountLogSyncs() (*LogSyncs, error) {
	if mode, err := c.QueryText("PRAGMA journal_mode"); mode != "wal" || err != nil {
		return nil, misuse("log syncs", "the database has no write-ahead log")
	}
	file, err := fileControl(c, "main", sqlite3.SQLITE_FCNTL_JOURNAL_POINTER, uintptr(0))
	if err != nil {
		return nil, err
	}
	if file == 0 || load[uintptr](file) == 0 {
		return nil, misuse("log syncs", "the log is not open")
	}
	p, err := malloc(c.tls, int(unsafe.Sizeof(countedMethods{})))
	if err != nil {
		return nil, err
	}
	s := &LogSyncs{conn: c, file: file, methods: p}
	s.id = handles.add(s)
	original := load[uintptr](file)
	m := countedMethods{methods: load[sqlite3.Tsqlite3_io_methods](original), original: original, id: s.id}
	m.methods.FxSync = cFunc(syncTrampoline)
	store(p, m)
	store(file, p)
	c.owned[s] = struct{}{}
	return s, nil
}

func syncTrampoline(tls *libc.TLS, file uintptr, flags int32) int32 {
	m := (*countedMethods)(pointer(load[uintptr](file)))
	handles.get(m.id).(*LogSyncs).n.Add(1)
	xSync := load[sqlite3.Tsqlite3_io_methods](m.original).FxSync
	return (*(*func(*libc.TLS, uintptr, int32) int32)(unsafe.Pointer(&xSync)))(tls, file, flags)
}

// Count returns the syncs so far. It may be called from any goroutine.
func (s *LogSyncs) Count() int64 { return s.n.Load() }

func (s *LogSyncs) release() {
	if s.methods == 0 {
		return
	}
	if load[uintptr](s.file) == s.methods {
		store(s.file, (*countedMethods)(pointer(s.methods)).original)
	}
	free(s.conn.tls, s.methods)
	s.forget()
}

func (s *LogSyncs) forget() {
	if s.methods != 0 {
		s.methods = 0
		handles.remove(s.id)
	}
}
