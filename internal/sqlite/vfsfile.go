package sqlite

import (
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// fileHeader is what stands before the file of the default VFS: an sqlite3_file
// whose methods call the hook.
type fileHeader struct {
	methods uintptr
	id      uintptr // handle of the *File
}

const fileHeaderSize = unsafe.Sizeof(fileHeader{})

func fileOf(p uintptr) *File { return handles.get(load[fileHeader](p).id).(*File) }

func (f *File) realMethods() *sqlite3.Tsqlite3_io_methods {
	return (*sqlite3.Tsqlite3_io_methods)(pointer(load[uintptr](f.p)))
}

// methodsFor returns the methods in front of those of the default VFS. It has
// several sets of them, and SQLite decides by a method's absence what a file can
// do, so each set gets its own.
func (v *VFS) methodsFor(tls *libc.TLS, real uintptr) (uintptr, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if p := v.methods[real]; p != 0 {
		return p, nil
	}
	r := load[sqlite3.Tsqlite3_io_methods](real)
	m := sqlite3.Tsqlite3_io_methods{
		FiVersion:               r.FiVersion,
		FxClose:                 cFunc(closeTrampoline),
		FxRead:                  cFunc(readTrampoline),
		FxWrite:                 cFunc(writeTrampoline),
		FxTruncate:              cFunc(truncateTrampoline),
		FxSync:                  cFunc(fileSyncTrampoline),
		FxFileSize:              cFunc(fileSizeTrampoline),
		FxLock:                  cFunc(lockTrampoline),
		FxUnlock:                cFunc(unlockTrampoline),
		FxCheckReservedLock:     cFunc(checkReservedTrampoline),
		FxFileControl:           cFunc(fileControlTrampoline),
		FxSectorSize:            cFunc(sectorSizeTrampoline),
		FxDeviceCharacteristics: cFunc(deviceTrampoline),
	}
	if r.FiVersion >= 2 && r.FxShmMap != 0 {
		m.FxShmMap, m.FxShmLock = cFunc(shmMapTrampoline), cFunc(shmLockTrampoline)
		m.FxShmBarrier, m.FxShmUnmap = cFunc(shmBarrierTrampoline), cFunc(shmUnmapTrampoline)
	}
	if r.FiVersion >= 3 {
		m.FxFetch, m.FxUnfetch = cFunc(fetchTrampoline), cFunc(unfetchTrampoline)
	}
	p, err := malloc(tls, int(unsafe.Sizeof(m)))
	if err != nil {
		return 0, err
	}
	store(p, m)
	v.methods[real] = p
	return p, nil
}

// call runs the hook for a call on the file.
func (f *File) call(op FileOp, flags int32, forward func(*FileCall) int32) int32 {
	return f.vfs.run(&FileCall{Op: op, File: f, Kind: f.Kind, Path: f.Path, Flags: int(flags), forward: forward})
}

// ReadAt reads from the file below the hook. The rest of buf behind the end of
// the file is set to zero, and the code is [ResultIOErrShortRead] then. It is
// for the hook of a call on this file.
func (f *File) ReadAt(buf []byte, offset int64) ResultCode {
	return ResultCode(withTLS(func(tls *libc.TLS) int32 {
		p, err := malloc(tls, len(buf))
		if err != nil {
			return sqlite3.SQLITE_NOMEM
		}
		defer free(tls, p)
		rc := f.read(tls, p, int32(len(buf)), offset)
		copy(buf, view(p, len(buf)))
		return rc
	}))
}

// Size asks the default VFS for the file's size. It is for the hook of a call on
// this file.
func (f *File) Size() (n int64, code ResultCode) {
	code = withTLS(func(tls *libc.TLS) ResultCode {
		p := tls.Alloc(8)
		defer tls.Free(8)
		store[int64](p, 0)
		rc := goFunc[func(*libc.TLS, uintptr, uintptr) int32](f.realMethods().FxFileSize)(tls, f.p, p)
		n = load[int64](p)
		return ResultCode(rc)
	})
	return n, code
}

func (f *File) read(tls *libc.TLS, p uintptr, n int32, offset int64) int32 {
	return goFunc[func(*libc.TLS, uintptr, uintptr, int32, int64) int32](f.realMethods().FxRead)(tls, f.p, p, n, offset)
}

func closeTrampoline(tls *libc.TLS, file uintptr) int32 {
	f := fileOf(file)
	rc := f.call(FileClose, 0, func(*FileCall) int32 {
		return goFunc[func(*libc.TLS, uintptr) int32](f.realMethods().FxClose)(tls, f.p)
	})
	store[uintptr](file, 0)
	handles.remove(f.id)
	f.vfs.files.Add(-1)
	return rc
}

func readTrampoline(tls *libc.TLS, file, buf uintptr, n int32, offset int64) int32 {
	f := fileOf(file)
	c := &FileCall{Op: FileRead, File: f, Kind: f.Kind, Path: f.Path, Data: view(buf, int(n)), Offset: offset}
	c.forward = func(*FileCall) int32 { return f.read(tls, buf, n, offset) }
	return f.vfs.run(c)
}

func writeTrampoline(tls *libc.TLS, file, buf uintptr, n int32, offset int64) int32 {
	f := fileOf(file)
	c := &FileCall{Op: FileWrite, File: f, Kind: f.Kind, Path: f.Path, Data: view(buf, int(n)), Offset: offset}
	c.forward = func(c *FileCall) int32 {
		if len(c.Data) == 0 {
			return sqlite3.SQLITE_OK
		}
		write := goFunc[func(*libc.TLS, uintptr, uintptr, int32, int64) int32](f.realMethods().FxWrite)
		return write(tls, f.p, uintptr(unsafe.Pointer(&c.Data[0])), int32(len(c.Data)), c.Offset)
	}
	return f.vfs.run(c)
}

func truncateTrampoline(tls *libc.TLS, file uintptr, size int64) int32 {
	f := fileOf(file)
	c := &FileCall{Op: FileTruncate, File: f, Kind: f.Kind, Path: f.Path, Offset: size}
	c.forward = func(c *FileCall) int32 {
		return goFunc[func(*libc.TLS, uintptr, int64) int32](f.realMethods().FxTruncate)(tls, f.p, c.Offset)
	}
	return f.vfs.run(c)
}

func fileSyncTrampoline(tls *libc.TLS, file uintptr, flags int32) int32 {
	f := fileOf(file)
	return f.call(FileSync, flags, func(*FileCall) int32 {
		return goFunc[func(*libc.TLS, uintptr, int32) int32](f.realMethods().FxSync)(tls, f.p, flags)
	})
}

func fileSizeTrampoline(tls *libc.TLS, file, out uintptr) int32 {
	f := fileOf(file)
	store[int64](out, 0)
	return f.call(FileSize, 0, func(*FileCall) int32 {
		return goFunc[func(*libc.TLS, uintptr, uintptr) int32](f.realMethods().FxFileSize)(tls, f.p, out)
	})
}

func lockTrampoline(tls *libc.TLS, file uintptr, level int32) int32 {
	f := fileOf(file)
	return f.call(FileLock, level, func(*FileCall) int32 {
		return goFunc[func(*libc.TLS, uintptr, int32) int32](f.realMethods().FxLock)(tls, f.p, level)
	})
}

func unlockTrampoline(tls *libc.TLS, file uintptr, level int32) int32 {
	f := fileOf(file)
	return f.call(FileUnlock, level, func(*FileCall) int32 {
		return goFunc[func(*libc.TLS, uintptr, int32) int32](f.realMethods().FxUnlock)(tls, f.p, level)
	})
}

func checkReservedTrampoline(tls *libc.TLS, file, out uintptr) int32 {
	f := fileOf(file)
	store[int32](out, 0)
	return f.call(FileCheckReservedLock, 0, func(*FileCall) int32 {
		return goFunc[func(*libc.TLS, uintptr, uintptr) int32](f.realMethods().FxCheckReservedLock)(tls, f.p, out)
	})
}

func fileControlTrampoline(tls *libc.TLS, file uintptr, op int32, arg uintptr) int32 {
	f := fileOf(file)
	return f.call(FileControlCall, op, func(*FileCall) int32 {
		return goFunc[func(*libc.TLS, uintptr, int32, uintptr) int32](f.realMethods().FxFileControl)(tls, f.p, op, arg)
	})
}

func sectorSizeTrampoline(tls *libc.TLS, file uintptr) int32 {
	f := fileOf(file)
	return goFunc[func(*libc.TLS, uintptr) int32](f.realMethods().FxSectorSize)(tls, f.p)
}

func deviceTrampoline(tls *libc.TLS, file uintptr) int32 {
	f := fileOf(file)
	return goFunc[func(*libc.TLS, uintptr) int32](f.realMethods().FxDeviceCharacteristics)(tls, f.p)
}

func shmMapTrampoline(tls *libc.TLS, file uintptr, region, size, extend int32, out uintptr) int32 {
	f := fileOf(file)
	store[uintptr](out, 0)
	return f.call(FileShmMap, extend, func(*FileCall) int32 {
		return goFunc[func(*libc.TLS, uintptr, int32, int32, int32, uintptr) int32](f.realMethods().FxShmMap)(tls, f.p, region, size, extend, out)
	})
}

func shmLockTrampoline(tls *libc.TLS, file uintptr, first, n, flags int32) int32 {
	f := fileOf(file)
	op := FileShmLock
	if flags&sqlite3.SQLITE_SHM_UNLOCK != 0 {
		op = FileShmUnlock
	}
	c := &FileCall{Op: op, File: f, Kind: f.Kind, Path: f.Path, Offset: int64(first), Flags: int(flags)}
	c.forward = func(*FileCall) int32 {
		return goFunc[func(*libc.TLS, uintptr, int32, int32, int32) int32](f.realMethods().FxShmLock)(tls, f.p, first, n, flags)
	}
	return f.vfs.run(c)
}

func shmBarrierTrampoline(tls *libc.TLS, file uintptr) {
	f := fileOf(file)
	goFunc[func(*libc.TLS, uintptr)](f.realMethods().FxShmBarrier)(tls, f.p)
}

func shmUnmapTrampoline(tls *libc.TLS, file uintptr, remove int32) int32 {
	f := fileOf(file)
	return goFunc[func(*libc.TLS, uintptr, int32) int32](f.realMethods().FxShmUnmap)(tls, f.p, remove)
}

// fetchTrampoline maps nothing: a page that SQLite has mapped is read, and with
// a large mmap_size truncated, without any call that a hook could see.
func fetchTrampoline(_ *libc.TLS, _ uintptr, _ int64, _ int32, out uintptr) int32 {
	store[uintptr](out, 0)
	return sqlite3.SQLITE_OK
}

func unfetchTrampoline(*libc.TLS, uintptr, int64, uintptr) int32 { return sqlite3.SQLITE_OK }
