package sqlite

import (
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// RawFile is a file that a connection has open, to be read byte for byte by the
// descriptor that SQLite has: opening it a second time, and closing it, would drop the
// locks of the process. It is valid as long as the connection, and used like it.
type RawFile struct {
	c *Conn
	p uintptr // its sqlite3_file
}

// RawFile returns the file of main ([FileMain]) or its log ([FileWAL]), which a
// connection has open once it has read. ok is false if it isn't open.
func (c *Conn) RawFile(kind FileKind) (f RawFile, ok bool) {
	op := FileControl(sqlite3.SQLITE_FCNTL_FILE_POINTER)
	if kind == FileWAL {
		if !c.LogOpen() {
			return f, false
		}
		op = sqlite3.SQLITE_FCNTL_JOURNAL_POINTER // which is the log's where there is one
	}
	p, err := fileControl(c, "main", op, uintptr(0))
	if err != nil || p == 0 || load[uintptr](p) == 0 {
		return f, false
	}
	return RawFile{c, p}, true
}

func (f RawFile) methods() *sqlite3.Tsqlite3_io_methods {
	return (*sqlite3.Tsqlite3_io_methods)(pointer(load[uintptr](f.p)))
}

// Size returns the length of the file.
func (f RawFile) Size() (int64, error) {
	if f.c.db == 0 {
		return 0, closedError("file_size")
	}
	p := f.c.tls.Alloc(8)
	defer f.c.tls.Free(8)
	store[int64](p, 0)
	rc := goFunc[func(*libc.TLS, uintptr, uintptr) int32](f.methods().FxFileSize)(f.c.tls, f.p, p)
	if rc != sqlite3.SQLITE_OK {
		return 0, newError(ResultCode(rc), "file_size")
	}
	return load[int64](p), nil
}

// ReadAt fills b with what stands at offset; what is behind the end is zero.
func (f RawFile) ReadAt(b []byte, offset int64) error {
	if f.c.db == 0 {
		return closedError("file_read")
	}
	p, err := malloc(f.c.tls, len(b))
	if err != nil {
		return err
	}
	defer free(f.c.tls, p)
	read := goFunc[func(*libc.TLS, uintptr, uintptr, int32, int64) int32](f.methods().FxRead)
	if rc := ResultCode(read(f.c.tls, f.p, p, int32(len(b)), offset)); rc != ResultOK && rc != ResultIOErrShortRead {
		return newError(rc, "file_read")
	}
	copy(b, view(p, len(b)))
	return nil
}

// walIndexRegion is the size of a piece of the -shm.
const walIndexRegion = 32 << 10

// SharedMemory returns a copy of what the connection has mapped of the -shm of main;
// nil if it has none.
func (c *Conn) SharedMemory() []byte {
	tree := c.mainTree()
	if tree == nil {
		return nil
	}
	wal, first := walIndex(tree)
	if first == nil {
		return nil
	}
	var out []byte
	for i := range int(wal.FnWiData) {
		region := load[uintptr](wal.FapWiData + uintptr(i)*unsafe.Sizeof(uintptr(0)))
		if region == 0 {
			break
		}
		out = append(out, view(region, walIndexRegion)...)
	}
	return out
}
