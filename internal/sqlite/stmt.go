package sqlite

import (
	"strings"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// Stmt is a prepared statement. It belongs to its connection and is used by the
// goroutine that uses the connection.
//
// Parameters are numbered from 1, columns from 0. After Step a statement has to
// be Reset before parameters are bound again, also when Step failed.
// See https://www.sqlite.org/c3ref/stmt.html.
type Stmt struct {
	conn *Conn
	tls  *libc.TLS

	// handle is the C statement; ptr is the same while the caller has the
	// statement and 0 while the cache has it, so that one comparison finds every
	// use after the end.
	handle uintptr
	ptr    uintptr

	sql     string
	tail    string
	params  int
	stepped bool // since the last reset
	effort  effort
	cols    columns
	names   []string // of the parameters, nil until the first BindParamName
	arena   arena

	// For a statement of the cache.
	entry      *cacheEntry
	prev, next *Stmt // ring of idle statements
	below      *Stmt // next idle statement with the same text
}

// StmtStatus is a counter of a statement.
// See https://www.sqlite.org/c3ref/c_stmtstatus_counter.html.
type StmtStatus int

// Counters for [Stmt.Status].
const (
	StmtStatusFullScanStep StmtStatus = sqlite3.SQLITE_STMTSTATUS_FULLSCAN_STEP
	StmtStatusSort         StmtStatus = sqlite3.SQLITE_STMTSTATUS_SORT
	StmtStatusAutoIndex    StmtStatus = sqlite3.SQLITE_STMTSTATUS_AUTOINDEX
	StmtStatusVMStep       StmtStatus = sqlite3.SQLITE_STMTSTATUS_VM_STEP
	StmtStatusReprepare    StmtStatus = sqlite3.SQLITE_STMTSTATUS_REPREPARE
	StmtStatusRun          StmtStatus = sqlite3.SQLITE_STMTSTATUS_RUN
	StmtStatusFilterMiss   StmtStatus = sqlite3.SQLITE_STMTSTATUS_FILTER_MISS
	StmtStatusFilterHit    StmtStatus = sqlite3.SQLITE_STMTSTATUS_FILTER_HIT
	StmtStatusMemUsed      StmtStatus = sqlite3.SQLITE_STMTSTATUS_MEMUSED // bytes, never reset
)

// Prepare compiles the first statement of sql and returns the text after it. If
// there is no statement, only blanks and comments, s and err are nil. The caller
// finalizes s. See https://www.sqlite.org/c3ref/prepare.html.
func (c *Conn) Prepare(sql string) (s *Stmt, tail string, err error) {
	return c.prepare(sql, 0)
}

func (c *Conn) prepare(sql string, flags uint32) (*Stmt, string, error) {
	if c.db == 0 {
		return nil, "", closedError("prepare")
	}
	zSQL, err := c.copySQL(sql)
	if err != nil {
		return nil, "", err
	}
	defer free(c.tls, zSQL)
	handle, n, err := c.prepareAt(zSQL, 0, len(sql), flags)
	if err != nil {
		return nil, "", err
	}
	tail := sql[n:]
	if handle == 0 {
		return nil, tail, nil
	}
	s := &Stmt{
		conn:   c,
		tls:    c.tls,
		handle: handle,
		ptr:    handle,
		sql:    strings.TrimLeft(sql[:n], " \t\r\n"),
		tail:   tail,
		params: int(sqlite3.Xsqlite3_bind_parameter_count(c.tls, handle)),
	}
	c.stmts[s] = struct{}{}
	return s, tail, nil
}

func (s *Stmt) gone(op string) error {
	return misuse(op, "the statement is finalized or released")
}

// Step runs the statement to its next row, or to its end. After an error, or the
// end, it starts again from the beginning.
func (s *Stmt) Step() (row bool, err error) {
	if s.ptr == 0 {
		return false, s.gone("step")
	}
	if !s.stepped {
		s.stepped = true
		s.cols.checked = false // the first step may compile the statement again
		s.effort.pages = s.conn.pageCounts()
		if f := s.conn.confined; f != nil {
			f.begin(s.tls)
		}
	}
	s.conn.calls++
	s.conn.running = s.ptr
	rc := sqlite3.Xsqlite3_step(s.tls, s.ptr)
	s.conn.running = 0
	if rc == sqlite3.SQLITE_ROW && s.conn.panicked == nil {
		return true, nil
	}
	s.cols.checked = false
	if rc == sqlite3.SQLITE_DONE && s.conn.panicked == nil {
		return false, nil
	}
	s.conn.raise()
	if f := s.conn.confined; f != nil && f.greedy && rc == sqlite3.SQLITE_INTERRUPT {
		return false, &Error{Code: ResultNoMem, Op: "step", Msg: "SQL from outside has taken more memory than it may", Offset: -1}
	}
	return false, s.conn.fail("step", rc)
}

// Reset ends the execution, so that parameters can be bound and the statement be
// run again. The parameters keep their values. The error is that of the last
// Step once more, or one that came up in ending a statement before its last row.
func (s *Stmt) Reset() error {
	if s.ptr == 0 {
		return s.gone("reset")
	}
	return s.reset()
}

func (s *Stmt) reset() error {
	if !s.stepped {
		return nil
	}
	s.stepped = false
	s.conn.calls++
	rc := sqlite3.Xsqlite3_reset(s.tls, s.handle)
	if rc == sqlite3.SQLITE_OK && s.conn.panicked == nil {
		return nil
	}
	return s.conn.result("reset", rc)
}

// Release gives the statement back: one of [Conn.PrepareCached] goes to the
// cache, another one is finalized. The caller must not use it afterwards. The
// error is that of [Stmt.Reset]; the statement is released in any case.
func (s *Stmt) Release() error {
	if s.ptr == 0 {
		return s.gone("release")
	}
	if s.entry == nil {
		return s.Finalize()
	}
	s.ptr = 0
	defer s.conn.cache.put(s) // also if a callback panics in reset
	return s.reset()
}

// Finalize ends and frees the statement, also one of the cache. The error is
// that of [Stmt.Reset]; the statement is gone in any case.
func (s *Stmt) Finalize() error {
	if s.ptr == 0 {
		return s.gone("finalize")
	}
	defer s.destroy()
	return s.reset()
}

// destroy frees everything the statement has, once.
func (s *Stmt) destroy() {
	if s.handle == 0 {
		return
	}
	s.settleLast()
	handle := s.handle
	if s.entry != nil {
		s.conn.cache.drop(s)
	}
	delete(s.conn.stmts, s)
	delete(s.conn.scanned, handle)
	s.ptr, s.handle = 0, 0
	sqlite3.Xsqlite3_finalize(s.tls, handle)
	free(s.tls, s.arena.base)
	s.arena = arena{}
}

// ReadOnly reports whether the statement makes no direct change to a database
// file. See https://www.sqlite.org/c3ref/stmt_readonly.html for what that means
// for BEGIN, ATTACH and functions with side effects.
func (s *Stmt) ReadOnly() bool {
	return s.ptr != 0 && sqlite3.Xsqlite3_stmt_readonly(s.tls, s.ptr) != 0
}

// Explain returns 1 for an EXPLAIN statement, 2 for EXPLAIN QUERY PLAN, else 0.
func (s *Stmt) Explain() int {
	if s.ptr == 0 {
		return 0
	}
	return int(sqlite3.Xsqlite3_stmt_isexplain(s.tls, s.ptr))
}

// Busy reports whether the statement was stepped and neither came to its end nor
// was reset: whether it holds a transaction open.
func (s *Stmt) Busy() bool {
	return s.ptr != 0 && sqlite3.Xsqlite3_stmt_busy(s.tls, s.ptr) != 0
}

// SQL returns the text of the statement, without what followed it.
func (s *Stmt) SQL() string { return s.sql }

// Status returns a counter of the statement and, with reset, sets it to zero.
func (s *Stmt) Status(op StmtStatus, reset bool) int {
	if s.ptr == 0 {
		return 0
	}
	if reset && op == StmtStatusReprepare {
		s.cols = columns{} // they compare with this counter
	}
	return int(sqlite3.Xsqlite3_stmt_status(s.tls, s.ptr, int32(op), libc.Bool32(reset)))
}
