package sqlite

import (
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// Snapshot is a state of a WAL database at one moment. It is a value in Go
// memory: it belongs to no connection, any number of goroutines may use it, and
// it holds nothing open. It can be opened only while its frames are in the -wal
// file, so somebody who holds it open should be reading.
// See https://www.sqlite.org/c3ref/snapshot.html.
type Snapshot struct {
	data  snapshotData
	freed bool
}

// snapshotData is the C struct sqlite3_snapshot, which contains no addresses.
type snapshotData = sqlite3.Tsqlite3_snapshot

const snapshotSize = int(unsafe.Sizeof(snapshotData{}))

// SnapshotGet returns the snapshot that the transaction open on schema, "" being
// main, reads; if it does not read yet, it begins to. It fails with ResultError
// outside of a transaction, in a write transaction, and for a database that is
// not in WAL mode or whose -wal file has never been written.
func (c *Conn) SnapshotGet(schema string) (*Snapshot, error) {
	if c.db == 0 {
		return nil, closedError("snapshot_get")
	}
	z, err := pushName(c.tls, orMain(schema))
	if err != nil {
		return nil, err
	}
	defer z.pop()
	out := c.tls.Alloc(8)
	defer c.tls.Free(8)
	store[uintptr](out, 0)
	rc := sqlite3.Xsqlite3_snapshot_get(c.tls, c.db, z.p, out)
	if rc != sqlite3.SQLITE_OK {
		c.raise()
		return nil, newError(ResultCode(rc), "snapshot_get") // the connection holds no message
	}
	p := load[uintptr](out)
	s := &Snapshot{data: load[snapshotData](p)}
	sqlite3.Xsqlite3_snapshot_free(c.tls, p)
	c.raise()
	return s, nil
}

// SnapshotOpen makes the transaction that BEGIN opened on schema, "" being main,
// read s; if it is reading already, it changes over, unless a statement is
// running. It fails with [ResultErrorSnapshot] if s is no longer in the -wal
// file, and with ResultError on a connection that has not read the database
// before and therefore does not know that it is in WAL mode.
func (c *Conn) SnapshotOpen(schema string, s *Snapshot) error {
	if c.db == 0 {
		return closedError("snapshot_open")
	}
	if s.freed {
		return misuse("snapshot_open", "the snapshot is freed")
	}
	z, err := pushName(c.tls, orMain(schema))
	if err != nil {
		return err
	}
	defer z.pop()
	p := c.tls.Alloc(snapshotSize)
	defer c.tls.Free(snapshotSize)
	store(p, s.data)
	rc := sqlite3.Xsqlite3_snapshot_open(c.tls, c.db, z.p, p)
	c.raise()
	if rc != sqlite3.SQLITE_OK {
		return newError(ResultCode(rc), "snapshot_open")
	}
	return nil
}

// SnapshotRecover lets a connection that has just opened schema's database, ""
// being main, open older snapshots that are still in the -wal file.
// See https://www.sqlite.org/c3ref/snapshot_recover.html.
func (c *Conn) SnapshotRecover(schema string) error {
	if c.db == 0 {
		return closedError("snapshot_recover")
	}
	z, err := pushName(c.tls, orMain(schema))
	if err != nil {
		return err
	}
	defer z.pop()
	rc := sqlite3.Xsqlite3_snapshot_recover(c.tls, c.db, z.p)
	c.raise()
	if rc != sqlite3.SQLITE_OK {
		return newError(ResultCode(rc), "snapshot_recover")
	}
	return nil
}

// Compare returns a negative number if a is older than b, 0 if they are the same
// state and a positive number if a is newer. Both must be of one database, and
// the -wal file must not have been deleted between them.
func (a *Snapshot) Compare(b *Snapshot) int {
	return withTLS(func(tls *libc.TLS) int {
		p := tls.Alloc(2 * snapshotSize)
		defer tls.Free(2 * snapshotSize)
		q := p + uintptr(snapshotSize)
		store(p, a.data)
		store(q, b.data)
		return int(sqlite3.Xsqlite3_snapshot_cmp(tls, p, q))
	})
}

// Free ends the use of the snapshot. There is nothing to give back; it makes
// SnapshotOpen refuse the snapshot.
func (s *Snapshot) Free() { s.freed = true }
