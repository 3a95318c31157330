package sqlite

import (
	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// ConflictType is why a change does not fit the database.
// See https://www.sqlite.org/session/c_changeset_conflict.html.
type ConflictType int

// Conflicts of [Conn.ApplyChangeset].
const (
	ConflictData       ConflictType = sqlite3.SQLITE_CHANGESET_DATA        // the row has other values than expected
	ConflictNotFound   ConflictType = sqlite3.SQLITE_CHANGESET_NOTFOUND    // there is no such row
	ConflictExists     ConflictType = sqlite3.SQLITE_CHANGESET_CONFLICT    // there already is a row with this key
	ConflictConstraint ConflictType = sqlite3.SQLITE_CHANGESET_CONSTRAINT  // a constraint would be violated
	ConflictForeignKey ConflictType = sqlite3.SQLITE_CHANGESET_FOREIGN_KEY // foreign keys are violated in the end; see FKConflicts
)

// ConflictAction is what to do about a conflict.
type ConflictAction int

// Answers to a conflict.
const (
	ConflictOmit    ConflictAction = sqlite3.SQLITE_CHANGESET_OMIT    // leave this change out
	ConflictReplace ConflictAction = sqlite3.SQLITE_CHANGESET_REPLACE // for ConflictData and ConflictExists: overwrite
	ConflictAbort   ConflictAction = sqlite3.SQLITE_CHANGESET_ABORT   // undo all of it and fail with ResultAbort
)

// applying is a running [Conn.ApplyChangeset].
type applying struct {
	skip     map[string]bool // tables to leave out
	conflict func(ConflictType, *ChangesetIter) ConflictAction
}

// ApplyChangeset makes the changes of b, a changeset or patchset, in the main
// database: all of them or, if it fails, none. Tables for which filter answers
// false are left out; a nil filter takes all. conflict decides about each change
// that does not fit; nil aborts. Tables that the database does not have, or has
// with other columns, are left out.
// See https://www.sqlite.org/session/sqlite3changeset_apply.html.
func (c *Conn) ApplyChangeset(b []byte, filter func(table string) bool, conflict func(ConflictType, *ChangesetIter) ConflictAction) error {
	if c.db == 0 {
		return closedError("changeset_apply")
	}
	// Asking the filter before the engine is entered lets it panic: what the
	// engine had applied by then could not be undone.
	skip, err := skippedTables(b, filter)
	if err != nil {
		return err
	}
	p, err := mallocBytes(c.tls, b)
	if err != nil {
		return err
	}
	defer free(c.tls, p)
	c.hooks.applying = &applying{skip, conflict}
	defer func() { c.hooks.applying = nil }()
	rc := sqlite3.Xsqlite3changeset_apply(c.tls, c.db, int32(len(b)), p,
		cFunc(filterTrampoline), cFunc(conflictTrampoline), c.id)
	return c.result("changeset_apply", rc)
}

func skippedTables(b []byte, filter func(table string) bool) (map[string]bool, error) {
	if int64(len(b)) > 1<<31-1 {
		return nil, newError(ResultTooBig, "changeset_apply")
	}
	skip := map[string]bool{}
	if filter == nil {
		return skip, nil
	}
	it, err := NewChangesetIter(b)
	if err != nil {
		return nil, err
	}
	defer it.Close()
	for {
		more, err := it.Next()
		if !more {
			return skip, err
		}
		table, _, _, _ := it.Op()
		if _, asked := skip[table]; !asked {
			skip[table] = !filter(table)
		}
	}
}

func filterTrampoline(_ *libc.TLS, h, table uintptr) int32 {
	return libc.Bool32(!connOf(h).hooks.applying.skip[goString(table)])
}

func conflictTrampoline(tls *libc.TLS, h uintptr, typ int32, iter uintptr) (rc int32) {
	c := connOf(h)
	fn := c.hooks.applying.conflict
	if fn == nil || c.panicked != nil {
		return sqlite3.SQLITE_CHANGESET_ABORT
	}
	it := &ChangesetIter{tls: tls, ptr: iter}
	defer func() { it.ptr = 0 }()
	done := false
	defer c.caught(&done, &rc, sqlite3.SQLITE_CHANGESET_ABORT)
	rc = int32(fn(ConflictType(typ), it))
	done = true
	return rc
}

// InvertChangeset returns the changeset that undoes b.
func InvertChangeset(b []byte) (inverted []byte, err error) {
	if err := start(); err != nil {
		return nil, err
	}
	tls := libc.NewTLS()
	defer tls.Close()
	p, err := mallocBytes(tls, b)
	if err != nil {
		return nil, err
	}
	defer free(tls, p)
	inverted, rc := takeOutput(tls, func(n, out uintptr) int32 {
		return sqlite3.Xsqlite3changeset_invert(tls, int32(len(b)), p, n, out)
	})
	if rc != sqlite3.SQLITE_OK {
		return nil, newError(ResultCode(rc), "changeset_invert")
	}
	return inverted, nil
}

// ChangesetIter goes through the changes of a changeset or patchset.
// See https://www.sqlite.org/session/changeset_iter.html.
type ChangesetIter struct {
	tls *libc.TLS
	ptr uintptr // 0 once closed
	buf uintptr // the changeset; 0 for an iterator lent to a conflict callback
}

// NewChangesetIter returns an iterator before the first change of b. The caller
// closes it.
func NewChangesetIter(b []byte) (*ChangesetIter, error) {
	if err := start(); err != nil {
		return nil, err
	}
	tls := libc.NewTLS()
	buf, err := mallocBytes(tls, b)
	if err != nil {
		tls.Close()
		return nil, err
	}
	out := tls.Alloc(8)
	store[uintptr](out, 0)
	rc := sqlite3.Xsqlite3changeset_start(tls, out, int32(len(b)), buf)
	p := load[uintptr](out)
	tls.Free(8)
	if rc != sqlite3.SQLITE_OK {
		free(tls, buf)
		tls.Close()
		return nil, newError(ResultCode(rc), "changeset")
	}
	return &ChangesetIter{tls: tls, ptr: p, buf: buf}, nil
}

// Next goes to the next change and reports whether there is one. It is not for
// the iterator of a conflict callback, which stands on its change.
func (it *ChangesetIter) Next() (bool, error) {
	if it.ptr == 0 || it.buf == 0 {
		return false, misuse("changeset", "the iterator is closed or lent")
	}
	switch rc := sqlite3.Xsqlite3changeset_next(it.tls, it.ptr); rc {
	case sqlite3.SQLITE_ROW:
		return true, nil
	case sqlite3.SQLITE_DONE:
		return false, nil
	default:
		return false, newError(ResultCode(rc), "changeset")
	}
}

// Op describes the current change: its table, [ActionInsert], [ActionUpdate] or
// [ActionDelete], the number of columns, and whether a trigger or foreign key
// action made it.
func (it *ChangesetIter) Op() (table string, op AuthAction, columns int, indirect bool) {
	if it.ptr == 0 {
		return "", 0, 0, false
	}
	out := it.tls.Alloc(24)
	defer it.tls.Free(24)
	sqlite3.Xsqlite3changeset_op(it.tls, it.ptr, out, out+8, out+12, out+16)
	return goString(load[uintptr](out)), AuthAction(load[int32](out + 12)),
		int(load[int32](out + 8)), load[int32](out+16) != 0
}

// PK tells for each column whether it is part of the primary key.
func (it *ChangesetIter) PK() []bool {
	if it.ptr == 0 {
		return nil
	}
	out := it.tls.Alloc(16)
	defer it.tls.Free(16)
	sqlite3.Xsqlite3changeset_pk(it.tls, it.ptr, out, out+8)
	p := load[uintptr](out)
	if p == 0 {
		return nil // as for ConflictForeignKey, which is about no single change
	}
	pk := make([]bool, load[int32](out+8))
	for i, b := range view(p, len(pk)) {
		pk[i] = b != 0
	}
	return pk
}

// Old returns the value that a column had before an update or delete. ok is false
// if the change does not tell.
func (it *ChangesetIter) Old(column int) (v Value, ok bool, err error) {
	return it.value(sqlite3.Xsqlite3changeset_old, column)
}

// New returns the value that a column gets by an insert or update. ok is false if
// the change leaves it alone.
func (it *ChangesetIter) New(column int) (v Value, ok bool, err error) {
	return it.value(sqlite3.Xsqlite3changeset_new, column)
}

// Conflict returns, in a conflict callback for [ConflictData] or
// [ConflictExists], the value of a column in the row that is in the way.
func (it *ChangesetIter) Conflict(column int) (v Value, ok bool, err error) {
	return it.value(sqlite3.Xsqlite3changeset_conflict, column)
}

func (it *ChangesetIter) value(f func(*libc.TLS, uintptr, int32, uintptr) int32, column int) (Value, bool, error) {
	if it.ptr == 0 {
		return Value{}, false, misuse("changeset", "the iterator is closed")
	}
	out := it.tls.Alloc(8)
	defer it.tls.Free(8)
	store[uintptr](out, 0)
	if rc := f(it.tls, it.ptr, clampInt32(column), out); rc != sqlite3.SQLITE_OK {
		return Value{}, false, newError(ResultCode(rc), "changeset")
	}
	p := load[uintptr](out)
	return Value{it.tls, p}, p != 0, nil
}

// FKConflicts returns, in a conflict callback for [ConflictForeignKey], the
// number of violated foreign keys that SQLite knows of; 1 may stand for more.
func (it *ChangesetIter) FKConflicts() (int, error) {
	if it.ptr == 0 {
		return 0, misuse("changeset", "the iterator is closed")
	}
	out := it.tls.Alloc(8)
	defer it.tls.Free(8)
	if rc := sqlite3.Xsqlite3changeset_fk_conflicts(it.tls, it.ptr, out); rc != sqlite3.SQLITE_OK {
		return 0, newError(ResultCode(rc), "changeset")
	}
	return int(load[int32](out)), nil
}

// Close frees the iterator. Closing again does nothing, nor does closing one that
// was lent to a conflict callback. The error is that of a Next that failed.
func (it *ChangesetIter) Close() error {
	if it.ptr == 0 || it.buf == 0 {
		return nil
	}
	rc := sqlite3.Xsqlite3changeset_finalize(it.tls, it.ptr)
	free(it.tls, it.buf)
	it.tls.Close()
	it.ptr, it.buf = 0, 0
	if rc != sqlite3.SQLITE_OK {
		return newError(ResultCode(rc), "changeset")
	}
	return nil
}
