package sqlite

import (
	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// hooks are the Go functions behind the C callbacks of a connection.
type hooks struct {
	busy     func(count int) bool
	progress func() bool
	wal      func(schema string, frames int)
	commit   func() bool
	rollback func()
	update   func(op AuthAction, schema, table string, rowid int64)
	auth     func(a AuthAction, arg1, arg2, schema, trigger string) AuthResult

	autoCheckpoint int       // of walTrampoline, in frames; 0 is off
	applying       *applying // the changeset being applied
}

func connOf(h uintptr) *Conn { return handles.get(h).(*Conn) }

// caught is deferred around each Go callback: its panic must not unwind the
// engine's frames, which would leave locks and memory behind. The callback
// counts as having refused, and raise continues the panic on the Go side.
func (c *Conn) caught(done *bool, rc *int32, refusal int32) {
	if *done {
		return
	}
	if v := recover(); v != nil {
		c.panicked = v
		*rc = refusal
		return
	}
	// runtime.Goexit, which nothing can stop: the engine's frames are being
	// unwound in the middle of their work, so nothing may call it again.
	c.mu.Lock()
	c.open = false
	c.mu.Unlock()
	c.forget()
}

// raise continues a callback's panic once the engine has returned.
func (c *Conn) raise() {
	if v := c.panicked; v != nil {
		c.panicked = nil
		panic(v)
	}
}

// SetBusyHandler sets what is asked when a lock is held by somebody else: fn is
// called with the number of calls before it for the same lock, and returns
// whether to try again; false makes the operation fail with [ResultBusy]. nil
// removes it. It replaces a busy timeout, and PRAGMA busy_timeout replaces it.
// SQLite does not ask where waiting could be a deadlock.
// See https://www.sqlite.org/c3ref/busy_handler.html.
func (c *Conn) SetBusyHandler(fn func(count int) bool) {
	if c.db == 0 {
		return
	}
	c.hooks.busy = fn
	if fn == nil {
		sqlite3.Xsqlite3_busy_handler(c.tls, c.db, 0, 0)
		return
	}
	sqlite3.Xsqlite3_busy_handler(c.tls, c.db, cFunc(busyTrampoline), c.id)
}

func busyTrampoline(_ *libc.TLS, h uintptr, count int32) (rc int32) {
	c := connOf(h)
	fn := c.hooks.busy
	if fn == nil || c.panicked != nil {
		return 0
	}
	done := false
	defer c.caught(&done, &rc, 0)
	rc = libc.Bool32(fn(int(count)))
	done = true
	return rc
}

// SetProgressHandler sets what is called about every ops virtual machine
// instructions; stop makes the statement fail with [ResultInterrupt], and then
// nothing of it is in the database. nil, or ops below 1, removes it. See https://www.sqlite.org/c3ref/progress_handler.html.
func (c *Conn) SetProgressHandler(ops int, fn func() (stop bool)) {
	if c.db == 0 {
		return
	}
	if fn == nil || ops < 1 {
		c.hooks.progress = nil
		sqlite3.Xsqlite3_progress_handler(c.tls, c.db, 0, 0, 0)
		return
	}
	if c.confined != nil {
		ops = min(ops, confinedProgress)
	}
	c.hooks.progress = fn
	sqlite3.Xsqlite3_progress_handler(c.tls, c.db, clampInt32(ops), cFunc(progressTrampoline), c.id)
}

func progressTrampoline(tls *libc.TLS, h uintptr) int32 {
	c := connOf(h)
	if f := c.confined; f != nil && f.exhausted(tls) {
		return 1
	}
	return c.progress()
}

// progress asks the progress handler; it answers not 0 to stop.
func (c *Conn) progress() (rc int32) {
	if c.panicked != nil {
		return 1 // a callback of this statement has panicked: get out
	}
	fn := c.hooks.progress
	if fn == nil || c.halted() {
		return 0
	}
	done := false
	defer c.caught(&done, &rc, 1)
	rc = libc.Bool32(fn())
	done = true
	return rc
}

// halted tells whether the statement that is being stepped has come to its end.
// SQLite asks the progress handler once more behind that, and a statement that is
// stopped there fails although all that it has written stays.
func (c *Conn) halted() bool {
	return c.running != 0 && (*sqlite3.TVdbe)(pointer(c.running)).FeVdbeState == sqlite3.VDBE_HALT_STATE
}

// SetCommitHook sets what is called when a transaction is about to commit;
// rollback turns the commit into a rollback that fails with
// [ResultConstraintCommitHook]. nil removes it.
// See https://www.sqlite.org/c3ref/commit_hook.html.
func (c *Conn) SetCommitHook(fn func() (rollback bool)) {
	if c.db == 0 {
		return
	}
	c.hooks.commit = fn
	if fn == nil {
		sqlite3.Xsqlite3_commit_hook(c.tls, c.db, 0, 0)
		return
	}
	sqlite3.Xsqlite3_commit_hook(c.tls, c.db, cFunc(commitTrampoline), c.id)
}

func commitTrampoline(_ *libc.TLS, h uintptr) (rc int32) {
	c := connOf(h)
	fn := c.hooks.commit
	if fn == nil || c.panicked != nil {
		return libc.Bool32(c.panicked != nil)
	}
	done := false
	defer c.caught(&done, &rc, 1)
	rc = libc.Bool32(fn())
	done = true
	return rc
}

// SetRollbackHook sets what is called after a transaction was rolled back, other
// than by closing the connection. nil removes it.
func (c *Conn) SetRollbackHook(fn func()) {
	if c.db == 0 {
		return
	}
	c.hooks.rollback = fn
	if fn == nil {
		sqlite3.Xsqlite3_rollback_hook(c.tls, c.db, 0, 0)
		return
	}
	sqlite3.Xsqlite3_rollback_hook(c.tls, c.db, cFunc(rollbackTrampoline), c.id)
}

func rollbackTrampoline(_ *libc.TLS, h uintptr) {
	c := connOf(h)
	fn := c.hooks.rollback
	if fn == nil || c.panicked != nil {
		return
	}
	done, rc := false, int32(0)
	defer c.caught(&done, &rc, 0)
	fn()
	done = true
}

// SetUpdateHook sets what is called for each row of a rowid table that is
// inserted, updated or deleted: op is [ActionInsert], [ActionUpdate] or
// [ActionDelete]. nil removes it.
// See https://www.sqlite.org/c3ref/update_hook.html for what it does not report.
func (c *Conn) SetUpdateHook(fn func(op AuthAction, schema, table string, rowid int64)) {
	if c.db == 0 {
		return
	}
	c.hooks.update = fn
	if fn == nil {
		sqlite3.Xsqlite3_update_hook(c.tls, c.db, 0, 0)
		return
	}
	sqlite3.Xsqlite3_update_hook(c.tls, c.db, cFunc(updateTrampoline), c.id)
}

func updateTrampoline(_ *libc.TLS, h uintptr, op int32, schema, table uintptr, rowid sqlite3.Tsqlite3_int64) {
	c := connOf(h)
	fn := c.hooks.update
	if fn == nil || c.panicked != nil {
		return
	}
	done, rc := false, int32(0)
	defer c.caught(&done, &rc, 0)
	fn(AuthAction(op), goString(schema), goString(table), rowid)
	done = true
}

// SetWALHook sets what is called after each commit in WAL mode, with the schema
// and the number of frames in its -wal file. nil removes it. Automatic
// checkpoints go on as they were set before: SQLite has one place for both, so
// the hook does them, before fn is called. PRAGMA wal_autocheckpoint would
// remove the hook; use [Conn.WALAutocheckpoint].
// See https://www.sqlite.org/c3ref/wal_hook.html.
func (c *Conn) SetWALHook(fn func(schema string, frames int)) {
	if c.db == 0 {
		return
	}
	c.hooks.wal = fn
	if fn == nil {
		if c.walHooked() {
			sqlite3.Xsqlite3_wal_autocheckpoint(c.tls, c.db, int32(c.hooks.autoCheckpoint))
		}
		return
	}
	if !c.walHooked() {
		// The argument of SQLite's own hook is the number of frames.
		c.hooks.autoCheckpoint = int(sqlite3.Xsqlite3_wal_hook(c.tls, c.db, cFunc(walTrampoline), c.id))
	}
}

func (c *Conn) walHooked() bool {
	return (*sqlite3.Tsqlite3)(pointer(c.db)).FxWalCallback == cFunc(walTrampoline)
}

// WALAutocheckpoint makes a commit that leaves at least frames in the -wal file
// run a passive checkpoint; 0 turns that off. The default is 1000.
// See https://www.sqlite.org/c3ref/wal_autocheckpoint.html.
func (c *Conn) WALAutocheckpoint(frames int) error {
	if c.db == 0 {
		return closedError("wal_autocheckpoint")
	}
	frames = int(clampInt32(max(0, frames)))
	if c.walHooked() {
		c.hooks.autoCheckpoint = frames
		return nil
	}
	return c.result("wal_autocheckpoint", sqlite3.Xsqlite3_wal_autocheckpoint(c.tls, c.db, int32(frames)))
}

func walTrampoline(tls *libc.TLS, h, db, schema uintptr, frames int32) (rc int32) {
	c := connOf(h)
	if n := c.hooks.autoCheckpoint; n > 0 && int(frames) >= n {
		// As in SQLite's own hook the outcome is ignored: the commit is done.
		sqlite3.Xsqlite3_wal_checkpoint(tls, db, schema)
	}
	fn := c.hooks.wal
	if fn == nil || c.panicked != nil {
		return sqlite3.SQLITE_OK
	}
	done := false
	defer c.caught(&done, &rc, sqlite3.SQLITE_OK)
	fn(goString(schema), int(frames))
	done = true
	return sqlite3.SQLITE_OK
}
