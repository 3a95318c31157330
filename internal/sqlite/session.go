package sqlite

import (
	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// Session records the changes its connection makes to tables with a primary key.
// See https://www.sqlite.org/sessionintro.html.
type Session struct {
	conn *Conn
	ptr  uintptr // 0 once closed
}

// NewSession starts to record changes to the tables of schema, "" being main,
// that [Session.Attach] names. The caller closes it.
func (c *Conn) NewSession(schema string) (*Session, error) {
	if c.db == 0 {
		return nil, closedError("session")
	}
	z, err := pushName(c.tls, orMain(schema))
	if err != nil {
		return nil, err
	}
	defer z.pop()
	out := c.tls.Alloc(8)
	defer c.tls.Free(8)
	store[uintptr](out, 0)
	if rc := sqlite3.Xsqlite3session_create(c.tls, c.db, z.p, out); rc != sqlite3.SQLITE_OK {
		return nil, newError(ResultCode(rc), "session")
	}
	s := &Session{conn: c, ptr: load[uintptr](out)}
	c.owned[s] = struct{}{}
	return s, nil
}

func (s *Session) gone() error { return misuse("session", "the session is closed") }

// Attach adds a table to those recorded; "" adds all tables, also later ones.
func (s *Session) Attach(table string) error {
	if s.ptr == 0 {
		return s.gone()
	}
	z, err := pushName(s.conn.tls, table)
	if err != nil {
		return err
	}
	defer z.pop()
	return s.conn.result("session", sqlite3.Xsqlite3session_attach(s.conn.tls, s.ptr, z.p))
}

// Enable switches the recording of changes on or off. It is on at first.
func (s *Session) Enable(on bool) {
	if s.ptr != 0 {
		sqlite3.Xsqlite3session_enable(s.conn.tls, s.ptr, libc.Bool32(on))
	}
}

// IsEmpty reports whether no changes have been recorded.
func (s *Session) IsEmpty() bool {
	return s.ptr == 0 || sqlite3.Xsqlite3session_isempty(s.conn.tls, s.ptr) != 0
}

// Changeset returns the changes recorded so far, with the old values.
func (s *Session) Changeset() ([]byte, error) { return s.output(sqlite3.Xsqlite3session_changeset) }

// Patchset returns the changes recorded so far, with only those old values that
// identify a row. It is smaller, finds fewer conflicts and cannot be inverted.
func (s *Session) Patchset() ([]byte, error) { return s.output(sqlite3.Xsqlite3session_patchset) }

func (s *Session) output(f func(*libc.TLS, uintptr, uintptr, uintptr) int32) ([]byte, error) {
	if s.ptr == 0 {
		return nil, s.gone()
	}
	b, rc := takeOutput(s.conn.tls, func(n, p uintptr) int32 {
		return f(s.conn.tls, s.ptr, n, p)
	})
	if err := s.conn.result("session", rc); err != nil {
		return nil, err
	}
	return b, nil
}

// takeOutput runs f with the addresses for the length and the address of its
// result and copies that.
func takeOutput(tls *libc.TLS, f func(n, p uintptr) int32) ([]byte, int32) {
	out := tls.Alloc(16)
	defer tls.Free(16)
	store[int32](out, 0)
	store[uintptr](out+8, 0)
	rc := f(out, out+8)
	return takeBytes(tls, load[uintptr](out+8), int(load[int32](out))), rc
}

// Diff records the changes that would turn the table of the schema fromSchema
// into the session's table of the same name, which gets attached.
func (s *Session) Diff(fromSchema, table string) error {
	if s.ptr == 0 {
		return s.gone()
	}
	tls := s.conn.tls
	zFrom, err := pushName(tls, orMain(fromSchema))
	if err != nil {
		return err
	}
	defer zFrom.pop()
	if table == "" {
		return misuse("session", "a table has to be named")
	}
	zTable, err := pushName(tls, table)
	if err != nil {
		return err
	}
	defer zTable.pop()
	out := tls.Alloc(8)
	defer tls.Free(8)
	store[uintptr](out, 0)
	rc := sqlite3.Xsqlite3session_diff(tls, s.ptr, zFrom.p, zTable.p, out)
	msg := goString(load[uintptr](out))
	free(tls, load[uintptr](out))
	if msg != "" {
		s.conn.raise()
		return &Error{Code: ResultCode(rc), Op: "session", Msg: msg, Offset: -1}
	}
	return s.conn.result("session", rc)
}

// Close ends the session. Closing again does nothing.
func (s *Session) Close() error {
	s.release()
	return nil
}

func (s *Session) release() {
	if p := s.ptr; p != 0 {
		s.ptr = 0
		delete(s.conn.owned, s)
		sqlite3.Xsqlite3session_delete(s.conn.tls, p)
	}
}

func (s *Session) forget() { s.ptr = 0 }
