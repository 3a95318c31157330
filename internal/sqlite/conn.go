package sqlite

import (
	"math"
	"sync"
	"sync/atomic"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// OpenFlags are the flags of [Open]. See https://www.sqlite.org/c3ref/open.html.
type OpenFlags int

// Flags of [Open]. One of OpenReadOnly and OpenReadWrite is required.
const (
	OpenReadOnly     OpenFlags = sqlite3.SQLITE_OPEN_READONLY
	OpenReadWrite    OpenFlags = sqlite3.SQLITE_OPEN_READWRITE
	OpenCreate       OpenFlags = sqlite3.SQLITE_OPEN_CREATE // with OpenReadWrite: create a missing file
	OpenURI          OpenFlags = sqlite3.SQLITE_OPEN_URI    // the path may be a file: URI
	OpenMemory       OpenFlags = sqlite3.SQLITE_OPEN_MEMORY
	OpenNoMutex      OpenFlags = sqlite3.SQLITE_OPEN_NOMUTEX   // the default here
	OpenFullMutex    OpenFlags = sqlite3.SQLITE_OPEN_FULLMUTEX // does not make a Conn safe for concurrent use
	OpenSharedCache  OpenFlags = sqlite3.SQLITE_OPEN_SHAREDCACHE
	OpenPrivateCache OpenFlags = sqlite3.SQLITE_OPEN_PRIVATECACHE
	OpenNoFollow     OpenFlags = sqlite3.SQLITE_OPEN_NOFOLLOW // the path may not be a symbolic link
	OpenExtendedCode OpenFlags = sqlite3.SQLITE_OPEN_EXRESCODE
)

// TxnState is the state of the transaction on one database.
// See https://www.sqlite.org/c3ref/txn_state.html.
type TxnState int

// Transaction states, in rising order.
const (
	TxnNone  TxnState = sqlite3.SQLITE_TXN_NONE  // no lock is held
	TxnRead  TxnState = sqlite3.SQLITE_TXN_READ  // a snapshot is held
	TxnWrite TxnState = sqlite3.SQLITE_TXN_WRITE // the write lock is held
)

// Conn is a database connection. It is used by one goroutine at a time, with the
// exception of [Conn.Interrupt]. See https://www.sqlite.org/c3ref/sqlite3.html.
type Conn struct {
	tls *libc.TLS // nil once closed
	db  uintptr   // 0 once closed
	id  uintptr   // handle under which the callbacks find this Conn

	mu   sync.Mutex // guards open, for Interrupt
	open bool

	hooks     hooks
	panicked  any       // what a callback panicked with, until raise
	maxLength int       // SQLITE_LIMIT_LENGTH
	confined  *confined // after Confine

	calls    int                           // of the engine; see Calls
	finished func(sql string, scanned int) // a probe's
	scanned  map[uintptr]int32             // what it was told of each C statement
	closing  func()                        // see OnClose
	running  uintptr                       // the C statement that is being stepped, or 0
	pages    *[4]uint32                    // the main pager's hits and misses; see watchPages
	aside    *Stmt                         // the first of those with executions that were set aside

	cache cache
	stmts map[*Stmt]struct{}
	owned map[owned]struct{}
}

// owned is something besides a statement that must end before its connection.
type owned interface {
	release() // ends it
	forget()  // gives it up: the connection is dead
}

// Open opens the database at path. The connection reports extended result codes,
// takes no mutexes unless flags has OpenFullMutex, and has no busy timeout. The
// path ":memory:" is a database in memory, "" a temporary one on disk. The file
// is created or read only when the database is first used.
//
// On Linux the first Open of the process switches SQLite to open file
// description locks; see [OFDLocks].
func Open(path string, flags OpenFlags) (*Conn, error) {
	return OpenVFS(path, flags, "")
}

// OpenVFS is [Open] with a named VFS; "" is the default one.
// See https://www.sqlite.org/vfs.html.
func OpenVFS(path string, flags OpenFlags, vfs string) (*Conn, error) {
	if hasNUL(path) || hasNUL(vfs) {
		return nil, &Error{Code: ResultCantOpen, Op: "open", Msg: "the path contains a NUL byte", Offset: -1}
	}
	if err := start(); err != nil {
		return nil, err
	}
	if flags&OpenFullMutex == 0 {
		flags |= OpenNoMutex
	}
	tls := libc.NewTLS()
	db, err := openDB(tls, path, flags|OpenExtendedCode, vfs)
	if err != nil {
		tls.Close()
		return nil, err
	}
	c := &Conn{
		tls:   tls,
		db:    db,
		open:  true,
		stmts: map[*Stmt]struct{}{},
		owned: map[owned]struct{}{},
	}
	c.cache.init(DefaultStatementCacheSize)
	c.maxLength = c.Limit(LimitLength, -1)
	c.id = handles.add(c)
	c.watchPages()
	// Installed once: each sqlite3_set_authorizer makes SQLite prepare every
	// statement of the connection again.
	sqlite3.Xsqlite3_set_authorizer(tls, db, cFunc(authorizerTrampoline), c.id)
	return c, nil
}

// CreateAttached lets ATTACH create the file that it names, as if the connection had been
// opened with OpenCreate. ATTACH inherits that flag, and opening with it creates a main
// file that was removed a moment ago.
func (c *Conn) CreateAttached() {
	if !c.open {
		return
	}
	(*sqlite3.Tsqlite3)(pointer(c.db)).FopenFlags |= sqlite3.SQLITE_OPEN_CREATE
}

func openDB(tls *libc.TLS, path string, flags OpenFlags, vfs string) (uintptr, error) {
	zPath, err := mallocString(tls, path)
	if err != nil {
		return 0, err
	}
	defer free(tls, zPath)
	zVFS, err := pushName(tls, vfs)
	if err != nil {
		return 0, err
	}
	defer zVFS.pop()
	out := tls.Alloc(8)
	defer tls.Free(8)
	store[uintptr](out, 0)

	rc := sqlite3.Xsqlite3_open_v2(tls, zPath, out, int32(flags), zVFS.p)
	db := load[uintptr](out)
	if rc != sqlite3.SQLITE_OK {
		// A failed open leaves a handle that only tells why and must be closed.
		err := dbError(tls, db, "open", rc)
		sqlite3.Xsqlite3_close_v2(tls, db)
		return 0, err
	}
	return db, nil
}

// Close finalizes the statements, backups and sessions made from the connection,
// rolls back an open transaction and closes the database. Callbacks are no longer
// called. If it is the last connection to a WAL database it checkpoints first,
// unless [DBConfigNoCkptOnClose] is set. Closing again does nothing.
func (c *Conn) Close() error {
	c.mu.Lock()
	wasOpen := c.open
	c.open = false // from here on Interrupt keeps out
	c.mu.Unlock()
	if !wasOpen {
		return nil
	}
	c.hooks = hooks{}
	for s := range c.stmts {
		s.destroy()
	}
	for o := range c.owned {
		o.release()
	}
	if c.closing != nil {
		c.closing()
	}
	rc := sqlite3.Xsqlite3_close(c.tls, c.db)
	var err error
	if rc != sqlite3.SQLITE_OK {
		err = c.fail("close", rc)
		// Let SQLite free it as soon as whatever is left ends.
		sqlite3.Xsqlite3_close_v2(c.tls, c.db)
	} else if c.confined != nil {
		free(c.tls, c.confined.module)
	}
	handles.remove(c.id)
	c.tls.Close()
	c.forget()
	return err
}

// OnClose has f called once, when the connection is about to be closed: nothing
// runs on it any more, and no callback but those given here is called, the latest
// first.
func (c *Conn) OnClose(f func()) {
	earlier := c.closing
	c.closing = func() {
		f()
		if earlier != nil {
			earlier()
		}
	}
}

// forget makes every later call on the connection and its statements fail.
func (c *Conn) forget() {
	for s := range c.stmts {
		s.ptr, s.handle = 0, 0
	}
	for o := range c.owned {
		o.forget()
	}
	c.tls, c.db = nil, 0
	c.cache.init(0)
	clear(c.stmts)
	clear(c.owned)
}

// fail describes the failure rc of the C function that has just returned.
func (c *Conn) fail(op string, rc int32) error {
	return dbError(c.tls, c.db, op, rc)
}

// result is fail for any rc, and the end of each call that may have run a
// callback: it raises a callback's panic again.
func (c *Conn) result(op string, rc int32) error {
	c.raise()
	if rc == sqlite3.SQLITE_OK {
		return nil
	}
	return c.fail(op, rc)
}

func closedError(op string) error { return misuse(op, "the connection is closed") }

// Exec runs every statement of sql in turn, without arguments, to its end; rows
// are discarded. It stops at the first error. Statements are not cached.
func (c *Conn) Exec(sql string) error {
	return c.exec(sql, nil)
}

// ExecTexts is [Conn.Exec] that appends to answers what each statement says: the
// first column of its first row as text, or "" without a row.
func (c *Conn) ExecTexts(sql string, answers []string) ([]string, error) {
	err := c.exec(sql, &answers)
	return answers, err
}

func (c *Conn) exec(sql string, answers *[]string) error {
	if c.db == 0 {
		return closedError("exec")
	}
	zSQL, err := c.copySQL(sql)
	if err != nil {
		return err
	}
	defer free(c.tls, zSQL)
	for pos := 0; pos < len(sql); {
		stmt, n, err := c.prepareAt(zSQL, pos, len(sql), 0)
		if err != nil {
			return err
		}
		pos += n
		if stmt == 0 {
			continue
		}
		if err := c.drain(stmt, answers); err != nil {
			return err
		}
	}
	return nil
}

// drain steps stmt to its end and finalizes it.
func (c *Conn) drain(stmt uintptr, answers *[]string) error {
	c.running = stmt
	rc := sqlite3.Xsqlite3_step(c.tls, stmt)
	if answers != nil {
		text := ""
		if rc == sqlite3.SQLITE_ROW {
			text = goString(sqlite3.Xsqlite3_column_text(c.tls, stmt, 0))
		}
		*answers = append(*answers, text)
	}
	for rc == sqlite3.SQLITE_ROW && c.panicked == nil {
		rc = sqlite3.Xsqlite3_step(c.tls, stmt)
	}
	c.running = 0
	var err error
	if rc != sqlite3.SQLITE_DONE && rc != sqlite3.SQLITE_ROW {
		err = c.fail("exec", rc)
	}
	sqlite3.Xsqlite3_finalize(c.tls, stmt)
	c.raise()
	return err
}

// copySQL copies sql to C memory for the caller to free.
func (c *Conn) copySQL(sql string) (uintptr, error) {
	if hasNUL(sql) {
		return 0, misuse("prepare", "the SQL text contains a NUL byte")
	}
	if len(sql) >= math.MaxInt32 {
		return 0, newError(ResultTooBig, "prepare")
	}
	return mallocString(c.tls, sql)
}

// prepareAt compiles the first statement of the text at zSQL+pos, which ends at
// zSQL+end, and returns how much of the text it took. Without a statement there,
// the handle is 0.
func (c *Conn) prepareAt(zSQL uintptr, pos, end int, flags uint32) (stmt uintptr, n int, err error) {
	c.calls++
	if c.confined != nil {
		c.confined.refused = ""
		c.confined.begin(c.tls) // the planner calls functions for its estimates
	}
	out := c.tls.Alloc(16)
	store[uintptr](out, 0)
	from := zSQL + uintptr(pos)
	// The length includes the NUL, which saves SQLite a copy of the text.
	rc := sqlite3.Xsqlite3_prepare_v3(c.tls, c.db, from, int32(end-pos+1), flags, out, out+8)
	stmt, tail := load[uintptr](out), load[uintptr](out+8)
	c.tls.Free(16)
	if rc != sqlite3.SQLITE_OK || c.panicked != nil {
		e := dbError(c.tls, c.db, "prepare", rc)
		if c.confined != nil && c.confined.refused != "" {
			e = c.confined.refusal()
		}
		if e.Offset >= 0 {
			e.Offset += pos
		}
		sqlite3.Xsqlite3_finalize(c.tls, stmt)
		c.raise()
		return 0, 0, e
	}
	return stmt, int(tail - from), nil
}

// QueryText runs the first statement of sql up to its first row and returns that
// row's first column as text; "" if there is no row. It is for queries and
// pragmas: statements that write are run to their end by [Conn.Exec].
func (c *Conn) QueryText(sql string) (text string, err error) {
	err = c.queryRow(sql, func(s *Stmt) { text = s.ColumnText(0) })
	return text, err
}

// QueryInt64 is [Conn.QueryText] for an integer; 0 if there is no row.
func (c *Conn) QueryInt64(sql string) (v int64, err error) {
	err = c.queryRow(sql, func(s *Stmt) { v = s.ColumnInt64(0) })
	return v, err
}

func (c *Conn) queryRow(sql string, scan func(*Stmt)) error {
	s, _, err := c.Prepare(sql)
	if s == nil {
		return err
	}
	defer s.Finalize()
	row, err := s.Step()
	if row {
		scan(s)
	}
	return err
}

// Calls returns how often statements of the connection were compiled, bound,
// stepped or reset: what work costs, on whatever machine it is counted.
func (c *Conn) Calls() int { return c.calls }

// Interrupt makes the statements that are running on the connection, or the
// checkpoint, fail with [ResultInterrupt] as soon as possible. It may be called
// from any goroutine at any time. Statements started later are not affected, but
// an interrupt that found nothing running still fails the next checkpoint; see
// [Conn.ClearInterrupt]. It does not end a busy handler's wait.
// See https://www.sqlite.org/c3ref/interrupt.html.
func (c *Conn) Interrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.open {
		return
	}
	withTLS(func(tls *libc.TLS) struct{} {
		sqlite3.Xsqlite3_interrupt(tls, c.db)
		return struct{}{}
	})
}

// IsInterrupted reports whether an interrupt was requested and no statement has
// been started on an otherwise idle connection since.
func (c *Conn) IsInterrupted() bool {
	return c.db != 0 && sqlite3.Xsqlite3_is_interrupted(c.tls, c.db) != 0
}

// ClearInterrupt withdraws an interrupt that came too late for what it was meant
// for. The goroutine that uses the connection calls it, with nothing running.
func (c *Conn) ClearInterrupt() {
	if c.db != 0 {
		// What starting a statement does; the C API has no function for it.
		atomic.StoreInt32(&(*sqlite3.Tsqlite3)(pointer(c.db)).Fu1.FisInterrupted, 0)
	}
}

// Autocommit reports whether no explicit transaction is open.
func (c *Conn) Autocommit() bool {
	return c.db == 0 || sqlite3.Xsqlite3_get_autocommit(c.tls, c.db) != 0
}

// TxnState returns the transaction state of one schema ("main", "temp", the name
// of an attached database), or the highest of all if schema is "". It is
// TxnState(-1) if there is no such schema.
func (c *Conn) TxnState(schema string) TxnState {
	if c.db == 0 {
		return TxnNone
	}
	z, err := pushName(c.tls, schema)
	if err != nil {
		return -1
	}
	defer z.pop()
	return TxnState(sqlite3.Xsqlite3_txn_state(c.tls, c.db, z.p))
}

// Changes returns the rows changed by the last INSERT, UPDATE or DELETE that ran
// to its end on the connection. See https://www.sqlite.org/c3ref/changes.html.
func (c *Conn) Changes() int64 {
	if c.db == 0 {
		return 0
	}
	return sqlite3.Xsqlite3_changes64(c.tls, c.db)
}

// TotalChanges returns the rows changed since the connection was opened, those
// changed by triggers and foreign key actions included.
func (c *Conn) TotalChanges() int64 {
	if c.db == 0 {
		return 0
	}
	return sqlite3.Xsqlite3_total_changes64(c.tls, c.db)
}

// LastInsertRowID returns the rowid of the last successful INSERT.
// See https://www.sqlite.org/c3ref/last_insert_rowid.html.
func (c *Conn) LastInsertRowID() int64 {
	if c.db == 0 {
		return 0
	}
	return sqlite3.Xsqlite3_last_insert_rowid(c.tls, c.db)
}

// SetCounters sets what [Conn.LastInsertRowID], [Conn.Changes] and
// [Conn.TotalChanges], and the SQL functions of these names, answer next. A
// connection that serves several sessions restores each one's own counters, so
// that nobody reads those of another.
func (c *Conn) SetCounters(lastRowID, changes, totalChanges int64) {
	if c.db == 0 {
		return
	}
	sqlite3.Xsqlite3_set_last_insert_rowid(c.tls, c.db, lastRowID)
	// The C API has no function for the other two, so this writes the fields that
	// sqlite3_changes64 and sqlite3_total_changes64 read. The field names are
	// checked by the compiler and the effect by a test.
	db := (*sqlite3.Tsqlite3)(pointer(c.db))
	db.FnChange = changes
	db.FnTotalChange = totalChanges
}

// Filename returns the absolute path of a schema's database file, "" for a
// database in memory, a temporary one or an unknown schema.
func (c *Conn) Filename(schema string) string {
	if c.db == 0 {
		return ""
	}
	z, err := pushName(c.tls, schema)
	if err != nil {
		return ""
	}
	defer z.pop()
	return goString(sqlite3.Xsqlite3_db_filename(c.tls, c.db, z.p))
}

// DBReadOnly reports whether a schema was opened read-only.
func (c *Conn) DBReadOnly(schema string) (bool, error) {
	if c.db == 0 {
		return false, closedError("db_readonly")
	}
	z, err := pushName(c.tls, schema)
	if err != nil {
		return false, err
	}
	defer z.pop()
	r := sqlite3.Xsqlite3_db_readonly(c.tls, c.db, z.p)
	if r < 0 {
		return false, &Error{Code: ResultError, Op: "db_readonly", Msg: "no such database: " + schema, Offset: -1}
	}
	return r == 1, nil
}
