package sqlite

import sqlite3 "modernc.org/sqlite/lib"

// Effort is what the engine has counted of a statement's work.
type Effort struct {
	VMSteps, FullScanSteps, Sorts, AutoIndexes uint32
	// Pages of the main database that were found in the connection's cache, or read,
	// since the statement's first step; also by others that ran in between.
	PageHits, PageMisses uint32
	// Executions that were set aside and are in these numbers, and their rows.
	Runs, Rows uint32
}

// Account is told of executions that were set aside, by whoever has the connection.
type Account interface{ Settle(e Effort) }

// effort is where a statement's counters stood. What SetAside writes comes first, on the
// cache line that each step uses.
type effort struct {
	pages [2]uint32 // as of the first step of this execution
	aside
	counters [4]uint32 // as of the last Effort
}

// aside is what was set aside since the last Effort.
type aside struct {
	runs, rows uint32
	pages      [2]uint32
	account    Account
	listed     bool  // by the connection,
	next       *Stmt // before this one
}

// Effort returns what the statement has cost since it was asked last. It is for
// every statement, after its last step and before Release: sqlite3_stmt_status and
// sqlite3_db_status take 44 ns for the six numbers, the loads that they make 12.
func (s *Stmt) Effort() Effort {
	if s.ptr == 0 {
		return Effort{}
	}
	if s.stepped { // else it has come to nothing, and others have used pages meanwhile
		s.usedPages()
	}
	return s.owed()
}

// owed takes everything that was not told yet.
func (s *Stmt) owed() Effort {
	// The field names are checked by the compiler and the effect by a test.
	now := &(*sqlite3.TVdbe)(pointer(s.handle)).FaCounter
	old, a := &s.effort.counters, &s.effort.aside
	e := Effort{
		FullScanSteps: now[sqlite3.SQLITE_STMTSTATUS_FULLSCAN_STEP] - old[0],
		Sorts:         now[sqlite3.SQLITE_STMTSTATUS_SORT] - old[1],
		AutoIndexes:   now[sqlite3.SQLITE_STMTSTATUS_AUTOINDEX] - old[2],
		VMSteps:       now[sqlite3.SQLITE_STMTSTATUS_VM_STEP] - old[3],
		PageHits:      a.pages[0], PageMisses: a.pages[1],
		Runs: a.runs, Rows: a.rows,
	}
	*old = [4]uint32(now[sqlite3.SQLITE_STMTSTATUS_FULLSCAN_STEP:])
	a.runs, a.rows, a.pages = 0, 0, [2]uint32{}
	return e
}

// SetAside is for a statement that runs again and again, in place of Effort, and takes a
// fifth of its time: the execution has returned so many rows, and the next Effort tells
// of it, too. If none comes, a is told, by [Conn.Settle] or when the statement is
// finalized.
func (s *Stmt) SetAside(a Account, rows uint32) {
	s.usedPages()
	e := &s.effort
	e.rows += rows
	if e.runs++; e.runs == 1 {
		s.list(a)
	}
}

// usedPages notes the pages of this execution.
func (s *Stmt) usedPages() {
	e, now := &s.effort, s.conn.pages
	e.aside.pages[0] += now[0] - e.pages[0]
	e.aside.pages[1] += now[1] - e.pages[1]
	e.pages = [2]uint32{now[0], now[1]}
}

// list notes that something is set aside. All accounts of one text are the same to
// whoever counts: the first one stands for those that come before it is settled.
func (s *Stmt) list(a Account) {
	s.effort.account = a
	if !s.effort.listed {
		s.effort.listed = true
		s.effort.next, s.conn.aside = s.conn.aside, s
	}
}

// Settle tells the accounts of all statements what was set aside.
func (c *Conn) Settle() {
	for s := c.aside; s != nil; s = c.aside {
		c.aside = s.effort.next
		s.settle()
	}
}

// settle tells the account of a statement that is on the list no more.
func (s *Stmt) settle() {
	a := s.effort.account
	s.effort.listed, s.effort.next, s.effort.account = false, nil, nil
	if s.effort.runs > 0 {
		a.Settle(s.owed())
	}
}

// settleLast settles a statement that is being finalized.
func (s *Stmt) settleLast() {
	if !s.effort.listed {
		return
	}
	at := &s.conn.aside
	for *at != s {
		at = &(*at).effort.next
	}
	*at = s.effort.next
	s.settle()
}

// watchPages finds where the pager of the main database counts. That is fixed
// until another takes its place; the way there for each statement cost 20 ns.
func (c *Conn) watchPages() {
	c.pages = (*[4]uint32)(&pager(c.mainTree()).FaStat)
}

// pageCounts are the hits and misses of the main database's cache, modulo 2^32.
func (c *Conn) pageCounts() [2]uint32 { return [2]uint32{c.pages[0], c.pages[1]} }
