package sqlite

import (
	sqlite3 "modernc.org/sqlite/lib"
)

// Serialize returns a schema's database, "" being main, as the bytes of a
// database file. It takes a read transaction and as much memory again.
// See https://www.sqlite.org/c3ref/serialize.html.
func (c *Conn) Serialize(schema string) ([]byte, error) {
	if c.db == 0 {
		return nil, closedError("serialize")
	}
	z, err := pushName(c.tls, schema)
	if err != nil {
		return nil, err
	}
	defer z.pop()
	if sqlite3.Xsqlite3_txn_state(c.tls, c.db, z.p) < 0 {
		return nil, &Error{Code: ResultError, Op: "serialize", Msg: "no such database: " + schema, Offset: -1}
	}
	size := c.tls.Alloc(8)
	defer c.tls.Free(8)
	store[int64](size, -1)
	p := sqlite3.Xsqlite3_serialize(c.tls, c.db, z.p, size, 0)
	n := load[int64](size)
	if c.panicked != nil {
		free(c.tls, p)
		c.raise()
	}
	switch {
	case n < 0:
		// The statement that counts the pages failed; the connection knows why.
		rc := sqlite3.Xsqlite3_extended_errcode(c.tls, c.db)
		if rc == sqlite3.SQLITE_OK || rc == sqlite3.SQLITE_ROW || rc == sqlite3.SQLITE_DONE {
			rc = sqlite3.SQLITE_ERROR // there is no temp database yet
		}
		return nil, c.fail("serialize", rc)
	case p == 0 && n > 0:
		return nil, newError(ResultNoMem, "serialize")
	}
	return takeBytes(c.tls, p, int(n)), nil
}

// Deserialize replaces a schema's database, "" being main, by one in memory with
// the content b, the bytes of a database file, which are copied. A database in
// WAL mode must be marked as a rollback one first: bytes 18 and 19 set to 1.
// See https://www.sqlite.org/c3ref/deserialize.html.
func (c *Conn) Deserialize(schema string, b []byte, readOnly bool) error {
	if c.db == 0 {
		return closedError("deserialize")
	}
	z, err := pushName(c.tls, schema)
	if err != nil {
		return err
	}
	defer z.pop()
	p, err := mallocBytes(c.tls, b)
	if err != nil {
		return err
	}
	flags := uint32(sqlite3.SQLITE_DESERIALIZE_FREEONCLOSE | sqlite3.SQLITE_DESERIALIZE_RESIZEABLE)
	if readOnly {
		flags = sqlite3.SQLITE_DESERIALIZE_FREEONCLOSE | sqlite3.SQLITE_DESERIALIZE_READONLY
	}
	n := int64(len(b))
	// FREEONCLOSE gives p away, also if it fails.
	rc := sqlite3.Xsqlite3_deserialize(c.tls, c.db, z.p, p, n, n, flags)
	c.watchPages()
	return c.result("deserialize", rc)
}
