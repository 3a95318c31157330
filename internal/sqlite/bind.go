package sqlite

import (
	sqlite3 "modernc.org/sqlite/lib"
)

// arena is the C memory of a statement's text and blob parameters. Each
// parameter keeps a region of its own, so binding copies a value once and
// allocates only when it has outgrown its region, and the values of the other
// parameters stay where SQLite looks for them.
type arena struct {
	base       uintptr
	size, used int
	args       []arg // by parameter; nil until the first text or blob
}

// arg is one parameter's region. A region without a type is not bound.
type arg struct {
	off, cap, len int
	typ           Type
}

const (
	arenaKept  = 64 << 10 // a released statement keeps an arena up to this size
	arenaSlack = 1 << 20  // growing never takes more than this on top of the need
)

// BindParamCount returns the number of the highest parameter.
func (s *Stmt) BindParamCount() int { return s.params }

// BindParamName returns the name of a parameter with its prefix, such as ":id"
// or "?2"; "" if it has none.
func (s *Stmt) BindParamName(i int) string {
	if uint(i-1) >= uint(s.params) {
		return ""
	}
	if s.names == nil {
		if s.ptr == 0 {
			return ""
		}
		s.names = make([]string, s.params)
		for k := range s.names {
			s.names[k] = goString(sqlite3.Xsqlite3_bind_parameter_name(s.tls, s.ptr, int32(k+1)))
		}
	}
	return s.names[i-1]
}

// bindable checks what every bind relies on. SQLite would notice too, but only
// after the value in the arena was overwritten.
func (s *Stmt) bindable(i int) error {
	switch {
	case s.ptr == 0:
		return s.gone("bind")
	case s.stepped:
		return misuse("bind", "the statement is running; reset it first")
	case uint(i-1) >= uint(s.params):
		return newError(ResultRange, "bind")
	}
	return nil
}

// bound records that parameter i now is an argument of the given type.
func (s *Stmt) bound(i int, typ Type, rc int32) error {
	s.conn.calls++
	if s.arena.args != nil {
		s.arena.args[i-1].typ = typ
	}
	if rc == sqlite3.SQLITE_OK {
		return nil
	}
	if s.arena.args != nil {
		s.arena.args[i-1].typ = 0
	}
	return s.conn.fail("bind", rc)
}

// BindInt64 binds an integer.
func (s *Stmt) BindInt64(i int, v int64) error {
	if err := s.bindable(i); err != nil {
		return err
	}
	return s.bound(i, 0, sqlite3.Xsqlite3_bind_int64(s.tls, s.ptr, int32(i), v))
}

// BindFloat binds a floating point number. SQLite stores NaN as NULL.
func (s *Stmt) BindFloat(i int, v float64) error {
	if err := s.bindable(i); err != nil {
		return err
	}
	return s.bound(i, 0, sqlite3.Xsqlite3_bind_double(s.tls, s.ptr, int32(i), v))
}

// BindNull binds NULL.
func (s *Stmt) BindNull(i int) error {
	if err := s.bindable(i); err != nil {
		return err
	}
	return s.bound(i, 0, sqlite3.Xsqlite3_bind_null(s.tls, s.ptr, int32(i)))
}

// BindZeroBlob binds a blob of n zero bytes that takes no memory until it is
// written. A negative n is an empty blob.
func (s *Stmt) BindZeroBlob(i int, n int64) error {
	if err := s.bindable(i); err != nil {
		return err
	}
	return s.bound(i, 0, sqlite3.Xsqlite3_bind_zeroblob64(s.tls, s.ptr, int32(i), uint64(max(0, n))))
}

// BindText binds a text, which is copied once and may contain NUL bytes.
func (s *Stmt) BindText(i int, v string) error {
	p, err := s.region(i, len(v))
	if err != nil {
		return err
	}
	copy(view(p, len(v)), v)
	return s.bound(i, TypeText, sqlite3.Xsqlite3_bind_text(s.tls, s.ptr, int32(i), p, int32(len(v)), sqlite3.SQLITE_STATIC))
}

// BindBlob binds a blob, which is copied once; nil is NULL, an empty slice an
// empty blob.
func (s *Stmt) BindBlob(i int, v []byte) error {
	if v == nil {
		return s.BindNull(i)
	}
	p, err := s.region(i, len(v))
	if err != nil {
		return err
	}
	copy(view(p, len(v)), v)
	return s.bound(i, TypeBlob, sqlite3.Xsqlite3_bind_blob(s.tls, s.ptr, int32(i), p, int32(len(v)), sqlite3.SQLITE_STATIC))
}

// ClearBindings sets every parameter to NULL. It is for callers that do not bind
// each parameter: a statement, also one out of the cache, keeps the values it
// had. It can make SQLite compile the statement again.
func (s *Stmt) ClearBindings() error {
	if s.ptr == 0 {
		return s.gone("clear_bindings")
	}
	if s.stepped {
		return misuse("clear_bindings", "the statement is running; reset it first")
	}
	for i := range s.arena.args {
		s.arena.args[i].typ = 0
	}
	return s.conn.result("clear_bindings", sqlite3.Xsqlite3_clear_bindings(s.tls, s.ptr))
}

// region returns where to put the n bytes of parameter i.
func (s *Stmt) region(i, n int) (uintptr, error) {
	if err := s.bindable(i); err != nil {
		return 0, err
	}
	if n > s.conn.maxLength {
		return 0, newError(ResultTooBig, "bind")
	}
	a := &s.arena
	if a.args == nil {
		a.args = make([]arg, s.params)
	}
	g := &a.args[i-1]
	if g.cap == 0 || n > g.cap {
		want := regionSize(n)
		if want > a.size-a.used {
			if err := s.grow(i, want); err != nil {
				return 0, err
			}
		}
		g.off, g.cap = a.used, want
		a.used += want
	}
	g.len = n
	return a.base + uintptr(g.off), nil
}

// regionSize leaves a small value room to grow and is never 0: SQLite takes a
// null address for NULL.
func regionSize(n int) int {
	if n < arenaKept {
		n += n / 2
	}
	return max(32, (n+15)&^15)
}

// grow moves the bound values, except the one of parameter i, which is about to
// be replaced, to an arena with room for want more bytes.
func (s *Stmt) grow(i, want int) error {
	a := &s.arena
	need := want
	for k := range a.args {
		if k != i-1 && a.args[k].typ != 0 {
			need += a.args[k].cap
		}
	}
	size := need + min(need, arenaSlack)
	base, err := malloc(s.tls, size)
	if err != nil {
		return err
	}
	old := a.base
	a.base, a.size, a.used = base, size, 0
	rc := int32(sqlite3.SQLITE_OK)
	for k := range a.args {
		g := &a.args[k]
		if k == i-1 || g.typ == 0 {
			g.off, g.cap = 0, 0
			continue
		}
		p := base + uintptr(a.used)
		copy(view(p, g.len), view(old+uintptr(g.off), g.len))
		g.off = a.used
		a.used += g.cap
		if r := s.rebind(k+1, g, p); r != sqlite3.SQLITE_OK {
			rc = r
		}
	}
	if g := &a.args[i-1]; g.typ != 0 {
		// Its old value is about to vanish under it.
		sqlite3.Xsqlite3_bind_null(s.tls, s.ptr, int32(i))
		g.typ = 0
	}
	free(s.tls, old)
	if rc != sqlite3.SQLITE_OK {
		return s.conn.fail("bind", rc)
	}
	return nil
}

// rebind tells SQLite that the value of parameter i has moved to p.
func (s *Stmt) rebind(i int, g *arg, p uintptr) int32 {
	var rc int32
	if g.typ == TypeText {
		rc = sqlite3.Xsqlite3_bind_text(s.tls, s.ptr, int32(i), p, int32(g.len), sqlite3.SQLITE_STATIC)
	} else {
		rc = sqlite3.Xsqlite3_bind_blob(s.tls, s.ptr, int32(i), p, int32(g.len), sqlite3.SQLITE_STATIC)
	}
	if rc != sqlite3.SQLITE_OK {
		g.typ = 0 // only a conversion to UTF-16 can fail, and leaves NULL
	}
	return rc
}

// trim frees an arena that is too large to keep. Only the parameters that point
// into it are unbound: binding NULL where a plan depends on the value makes
// SQLite compile the statement again.
func (s *Stmt) trim() {
	a := &s.arena
	if a.size <= arenaKept {
		return
	}
	for k := range a.args {
		if a.args[k].typ != 0 {
			sqlite3.Xsqlite3_bind_null(s.tls, s.handle, int32(k+1))
		}
	}
	free(s.tls, a.base)
	clear(a.args)
	a.base, a.size, a.used = 0, 0, 0
}
