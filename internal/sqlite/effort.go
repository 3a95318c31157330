package sqlite

import sqlite3 "modernc.org/sqlite/lib"

// Effort is what the engine has counted of a statement's work.
type Effort struct {
	VMSteps, FullScanSteps, Sorts, AutoIndexes uint32
	// Pages of the main database that were found in the connection's cache, or read,
	// since the statement's first step; also by others that ran in between.
	PageHits, PageMisses uint32
}

// effort is where a statement's counters stood.
type effort struct {
	counters [4]uint32 // as of the last Effort
	pages    [2]uint32 // as of the first step of this execution
}

// Effort returns what the statement has cost since it was asked last. It is for
// every statement, after its last step and before Release: sqlite3_stmt_status and
// sqlite3_db_status take 44 ns for the six numbers, the loads that they make 12.
func (s *Stmt) Effort() Effort {
	if s.ptr == 0 {
		return Effort{}
	}
	// The field names are checked by the compiler and the effect by a test.
	now := &(*sqlite3.TVdbe)(pointer(s.ptr)).FaCounter
	old := &s.effort.counters
	e := Effort{
		FullScanSteps: now[sqlite3.SQLITE_STMTSTATUS_FULLSCAN_STEP] - old[0],
		Sorts:         now[sqlite3.SQLITE_STMTSTATUS_SORT] - old[1],
		AutoIndexes:   now[sqlite3.SQLITE_STMTSTATUS_AUTOINDEX] - old[2],
		VMSteps:       now[sqlite3.SQLITE_STMTSTATUS_VM_STEP] - old[3],
	}
	*old = [4]uint32(now[sqlite3.SQLITE_STMTSTATUS_FULLSCAN_STEP:])
	pages := s.conn.pageCounts()
	e.PageHits, e.PageMisses = pages[0]-s.effort.pages[0], pages[1]-s.effort.pages[1]
	s.effort.pages = pages
	return e
}

// watchPages finds where the pager of the main database counts. That is fixed
// until another takes its place; the way there for each statement cost 20 ns.
func (c *Conn) watchPages() {
	c.pages = (*[4]uint32)(&pager(c.mainTree()).FaStat)
}

// pageCounts are the hits and misses of the main database's cache, modulo 2^32.
func (c *Conn) pageCounts() [2]uint32 { return [2]uint32{c.pages[0], c.pages[1]} }
