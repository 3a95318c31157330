package sqlite

import (
	sqlite3 "modernc.org/sqlite/lib"
)

// FileControl is an operation on the file of a schema.
// See https://www.sqlite.org/c3ref/c_fcntl_begin_atomic_write.html.
type FileControl int

// Operations of [Conn.FileControlInt]: those whose argument is an int or nothing.
const (
	FileControlLockState          FileControl = sqlite3.SQLITE_FCNTL_LOCKSTATE
	FileControlLastErrno          FileControl = sqlite3.SQLITE_FCNTL_LAST_ERRNO
	FileControlChunkSize          FileControl = sqlite3.SQLITE_FCNTL_CHUNK_SIZE
	FileControlPersistWAL         FileControl = sqlite3.SQLITE_FCNTL_PERSIST_WAL // negative reads
	FileControlPowersafeOverwrite FileControl = sqlite3.SQLITE_FCNTL_POWERSAFE_OVERWRITE
	FileControlHasMoved           FileControl = sqlite3.SQLITE_FCNTL_HAS_MOVED
	FileControlLockTimeout        FileControl = sqlite3.SQLITE_FCNTL_LOCK_TIMEOUT // milliseconds
	FileControlDataVersion        FileControl = sqlite3.SQLITE_FCNTL_DATA_VERSION
	FileControlReserveBytes       FileControl = sqlite3.SQLITE_FCNTL_RESERVE_BYTES
	FileControlExternalReader     FileControl = sqlite3.SQLITE_FCNTL_EXTERNAL_READER // 1 if another process reads
	FileControlResetCache         FileControl = sqlite3.SQLITE_FCNTL_RESET_CACHE
)

// FileControlInt runs an operation with the argument v on schema's file, "" being
// main, and returns what the operation left in the argument. An operation that
// the file does not know, or whose argument is not an int, fails with
// [ResultNotFound].
func (c *Conn) FileControlInt(schema string, op FileControl, v int) (int, error) {
	switch op {
	case FileControlLockState, FileControlLastErrno, FileControlChunkSize, FileControlPersistWAL,
		FileControlPowersafeOverwrite, FileControlHasMoved, FileControlLockTimeout,
		FileControlDataVersion, FileControlReserveBytes, FileControlExternalReader, FileControlResetCache:
	default:
		return 0, newError(ResultNotFound, "file_control") // it would take the int for something else
	}
	n, err := fileControl(c, schema, op, clampInt32(v))
	return int(n), err
}

func fileControl[T int32 | uint32 | int64 | uintptr](c *Conn, schema string, op FileControl, v T) (T, error) {
	if c.db == 0 {
		return v, closedError("file_control")
	}
	z, err := pushName(c.tls, schema)
	if err != nil {
		return v, err
	}
	defer z.pop()
	p := c.tls.Alloc(8)
	defer c.tls.Free(8)
	store(p, v)
	rc := sqlite3.Xsqlite3_file_control(c.tls, c.db, z.p, int32(op), p)
	c.raise()
	if rc != sqlite3.SQLITE_OK {
		return v, newError(ResultCode(rc), "file_control") // the connection holds no message
	}
	return load[T](p), nil
}

// PersistWAL sets whether the -wal file of the main database stays when the last
// connection closes.
func (c *Conn) PersistWAL(on bool) error {
	v := int32(0)
	if on {
		v = 1
	}
	_, err := fileControl(c, "main", FileControlPersistWAL, v)
	return err
}

// DataVersion returns a number that is another one after each change of schema's
// database, "" being main, by this connection or, as far as this connection has
// noticed, by another.
func (c *Conn) DataVersion(schema string) (uint32, error) {
	return fileControl(c, schema, FileControlDataVersion, uint32(0))
}

// HasMoved reports whether the file of schema, "" being main, was renamed, moved
// or deleted since it was opened: whether a commit would go nowhere.
func (c *Conn) HasMoved(schema string) (bool, error) {
	n, err := fileControl(c, schema, FileControlHasMoved, int32(0))
	return n != 0, err
}

// ReserveBytes sets the bytes kept free at the end of each page, from the next
// VACUUM on, and returns the setting before; a negative n only reads.
func (c *Conn) ReserveBytes(schema string, n int) (int, error) {
	return c.FileControlInt(schema, FileControlReserveBytes, n)
}

// SizeHint tells that the file of schema is about to grow to n bytes.
func (c *Conn) SizeHint(schema string, n int64) error {
	_, err := fileControl(c, schema, sqlite3.SQLITE_FCNTL_SIZE_HINT, n)
	return err
}

// ChunkSize makes the file of schema grow and shrink by n bytes at a time.
func (c *Conn) ChunkSize(schema string, n int) error {
	_, err := c.FileControlInt(schema, FileControlChunkSize, n)
	return err
}

// MMapSize sets how many bytes of schema's file may be mapped into memory, and
// returns the limit before; a negative n only reads.
func (c *Conn) MMapSize(schema string, n int64) (int64, error) {
	return fileControl(c, schema, sqlite3.SQLITE_FCNTL_MMAP_SIZE, n)
}
