package sqlite

import (
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// A VFS is the default VFS of SQLite, its file system, with a Go function in
// front of it that sees the calls that touch files, and decides what becomes of
// them. It is for tests: nothing is in the way of a connection that was not
// opened through one. Locks are those of the default VFS on the same files, so
// connections through it and others exclude each other as ever.
// See https://www.sqlite.org/vfs.html.
type VFS struct {
	hook  func(*FileCall) ResultCode
	name  string
	id    uintptr // handle under which the callbacks find it
	p     uintptr // its sqlite3_vfs, with its name behind it
	real  uintptr // the default sqlite3_vfs
	files atomic.Int64

	mu      sync.Mutex          // guards methods
	methods map[uintptr]uintptr // of a file of the default VFS to ours
}

// FileOp is what a call asks for.
type FileOp int

// Calls that a hook sees. Others go straight to the default VFS.
const (
	FileOpen FileOp = iota
	FileClose
	FileRead
	FileWrite
	FileTruncate
	FileSync
	FileSize
	FileLock
	FileUnlock
	FileCheckReservedLock
	FileControlCall
	FileShmMap
	FileShmLock
	FileShmUnlock
	FileDelete
	FileAccess
)

// FileKind is what a file is to SQLite.
type FileKind int

// Kinds of files. The -shm has no file of its own in a VFS: it is mapped and
// locked through the database, by [FileShmMap], [FileShmLock] and
// [FileShmUnlock].
const (
	FileMain FileKind = iota
	FileWAL
	FileJournal // of a rollback, also of several databases together
	FileTemp    // gone when it is closed
)

// File is an open file.
type File struct {
	Kind    FileKind
	Path    string // "" if SQLite has given it no name
	Created bool   // it may have been created by this open
	State   any    // the hook's own

	vfs *VFS
	id  uintptr
	p   uintptr // the sqlite3_file of the default VFS
}

// FileCall is one call of SQLite to the operating system. It is valid until the
// hook returns, and so is Data, which is C memory.
type FileCall struct {
	Op     FileOp
	File   *File    // nil for FileDelete and FileAccess
	Kind   FileKind // of the file, or as its name tells
	Path   string
	Data   []byte // what is written, or the place for what is read
	Offset int64  // of FileRead and FileWrite; the size for FileTruncate; the first lock for FileShmLock and FileShmUnlock
	Flags  int    // of FileOpen, FileSync, FileLock, FileUnlock, FileShmLock; of FileDelete, 1 to sync the directory; the operation of FileControlCall

	forward func(*FileCall) int32
}

// Forward has the default VFS do the call, with Data and Offset as they are now,
// and returns what it says. The hook of a FileClose must forward it, or the file
// stays open.
func (c *FileCall) Forward() ResultCode { return ResultCode(c.forward(c)) }

// RegisterVFS makes a VFS under a name that no other has. It is never the
// default one. hook is called by each connection that was opened through the
// VFS, on the goroutine that uses it, so by several at once; it must not panic
// and must not use a connection. The caller unregisters it.
func RegisterVFS(hook func(*FileCall) ResultCode) (*VFS, error) {
	if err := start(); err != nil {
		return nil, err
	}
	tls := libc.NewTLS()
	defer tls.Close()
	v := &VFS{hook: hook, methods: make(map[uintptr]uintptr), real: sqlite3.Xsqlite3_vfs_find(tls, 0)}
	if v.real == 0 {
		return nil, misuse("vfs", "there is no default VFS")
	}
	v.id = handles.add(v)
	v.name = "hook-" + strconv.Itoa(int(v.id))
	size := unsafe.Sizeof(sqlite3.Tsqlite3_vfs{})
	p, err := malloc(tls, int(size)+len(v.name)+1)
	if err != nil {
		handles.remove(v.id)
		return nil, err
	}
	v.p = p
	// The methods that are left as they are don't look at the VFS they are given.
	m := load[sqlite3.Tsqlite3_vfs](v.real)
	m.FpNext, m.FzName, m.FpAppData = 0, p+size, v.id
	m.FszOsFile += int32(fileHeaderSize)
	m.FiVersion = min(m.FiVersion, 2) // from 3 on come the system calls, which belong to the default VFS
	m.FxOpen, m.FxDelete, m.FxAccess = cFunc(openTrampoline), cFunc(deleteTrampoline), cFunc(accessTrampoline)
	store(p, m)
	putString(m.FzName, v.name)
	sqlite3.Xsqlite3_vfs_register(tls, p, 0)
	return v, nil
}

// Name is what [OpenVFS] takes.
func (v *VFS) Name() string { return v.name }

// Unregister removes the VFS. It fails while a file is open through it.
func (v *VFS) Unregister() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.p == 0:
		return nil
	case v.files.Load() > 0:
		return misuse("vfs", "a file is still open through it")
	}
	withTLS(func(tls *libc.TLS) struct{} {
		sqlite3.Xsqlite3_vfs_unregister(tls, v.p)
		free(tls, v.p)
		for _, m := range v.methods {
			free(tls, m)
		}
		return struct{}{}
	})
	v.p, v.methods = 0, nil
	handles.remove(v.id)
	return nil
}

func vfsOf(p uintptr) *VFS {
	return handles.get(load[sqlite3.Tsqlite3_vfs](p).FpAppData).(*VFS)
}

// goFunc is the Go function behind a C function pointer: cFunc the other way.
func goFunc[F any](p uintptr) F { return *(*F)(unsafe.Pointer(&p)) }

func (v *VFS) realMethods() *sqlite3.Tsqlite3_vfs {
	return (*sqlite3.Tsqlite3_vfs)(pointer(v.real))
}

// run asks the hook.
func (v *VFS) run(c *FileCall) int32 { return int32(v.hook(c)) }

func kindOf(flags int32) FileKind {
	switch {
	case flags&sqlite3.SQLITE_OPEN_MAIN_DB != 0:
		return FileMain
	case flags&sqlite3.SQLITE_OPEN_WAL != 0:
		return FileWAL
	case flags&(sqlite3.SQLITE_OPEN_MAIN_JOURNAL|sqlite3.SQLITE_OPEN_SUPER_JOURNAL) != 0:
		return FileJournal
	}
	return FileTemp
}

func kindByName(path string) FileKind {
	switch {
	case strings.HasSuffix(path, "-wal"):
		return FileWAL
	case strings.HasSuffix(path, "-journal"), strings.Contains(path, "-mj"):
		return FileJournal
	}
	return FileMain
}

func openTrampoline(tls *libc.TLS, vfs, path, file uintptr, flags int32, outFlags uintptr) int32 {
	v := vfsOf(vfs)
	f := &File{
		Kind: kindOf(flags), Path: goString(path), Created: flags&sqlite3.SQLITE_OPEN_CREATE != 0,
		vfs: v, p: file + fileHeaderSize,
	}
	store[uintptr](file, 0) // a file without methods is not closed
	store[uintptr](f.p, 0)
	opened := false
	c := &FileCall{Op: FileOpen, File: f, Kind: f.Kind, Path: f.Path, Flags: int(flags)}
	c.forward = func(c *FileCall) int32 {
		open := goFunc[func(*libc.TLS, uintptr, uintptr, uintptr, int32, uintptr) int32](v.realMethods().FxOpen)
		rc := open(tls, v.real, path, f.p, int32(c.Flags), outFlags)
		opened = load[uintptr](f.p) != 0
		if rc == sqlite3.SQLITE_OK {
			f.id = handles.add(f)
		}
		return rc
	}
	rc := v.run(c)
	if rc == sqlite3.SQLITE_OK && opened {
		methods, err := v.methodsFor(tls, load[uintptr](f.p))
		if err == nil {
			store(file, fileHeader{methods: methods, id: f.id})
			v.files.Add(1)
			return rc
		}
		rc = sqlite3.SQLITE_NOMEM
	}
	if opened {
		goFunc[func(*libc.TLS, uintptr) int32](f.realMethods().FxClose)(tls, f.p)
	}
	if f.id != 0 {
		handles.remove(f.id)
	}
	if rc == sqlite3.SQLITE_OK { // the hook says so and has opened nothing
		rc = sqlite3.SQLITE_CANTOPEN
	}
	return rc
}

func deleteTrampoline(tls *libc.TLS, vfs, path uintptr, syncDir int32) int32 {
	v := vfsOf(vfs)
	c := &FileCall{Op: FileDelete, Path: goString(path), Flags: int(syncDir)}
	c.Kind = kindByName(c.Path)
	c.forward = func(c *FileCall) int32 {
		return goFunc[func(*libc.TLS, uintptr, uintptr, int32) int32](v.realMethods().FxDelete)(tls, v.real, path, int32(c.Flags))
	}
	return v.run(c)
}

func accessTrampoline(tls *libc.TLS, vfs, path uintptr, flags int32, out uintptr) int32 {
	v := vfsOf(vfs)
	c := &FileCall{Op: FileAccess, Path: goString(path), Flags: int(flags)}
	c.Kind = kindByName(c.Path)
	c.forward = func(*FileCall) int32 {
		return goFunc[func(*libc.TLS, uintptr, uintptr, int32, uintptr) int32](v.realMethods().FxAccess)(tls, v.real, path, flags, out)
	}
	store[int32](out, 0)
	return v.run(c)
}
