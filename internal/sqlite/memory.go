package sqlite

import (
	"strings"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// pointer turns an address in C memory into a pointer. That memory is mapped
// outside of the Go heap and never moves, so the rule of unsafe.Pointer that a
// vet check enforces, which is about the collector, does not apply to it.
func pointer(p uintptr) unsafe.Pointer {
	return *(*unsafe.Pointer)(unsafe.Pointer(&p))
}

// view returns the n bytes of C memory at p without copying them.
func view(p uintptr, n int) []byte {
	return unsafe.Slice((*byte)(pointer(p)), n)
}

// load and store access one C variable.
func load[T any](p uintptr) T     { return *(*T)(pointer(p)) }
func store[T any](p uintptr, v T) { *(*T)(pointer(p)) = v }

// goString copies a NUL-terminated C string; a null pointer gives "".
func goString(p uintptr) string {
	if p == 0 {
		return ""
	}
	return libc.GoString(p)
}

// cFunc returns the C function pointer of f, a declared function. The result is
// undefined for a closure: C memory would hold the only reference to it.
func cFunc[T any](f T) uintptr {
	return *(*uintptr)(unsafe.Pointer(&f))
}

// withTLS runs f with a thread state of its own, for the calls that belong to
// no connection or come from another goroutine than the connection's.
func withTLS[T any](f func(*libc.TLS) T) T {
	tls := libc.NewTLS()
	defer tls.Close()
	return f(tls)
}

// malloc allocates with SQLite's allocator, not libc's: what this package takes
// counts towards [MemoryUsed] and the heap limits, and the tests see each leak.
func malloc(tls *libc.TLS, n int) (uintptr, error) {
	p := sqlite3.Xsqlite3_malloc64(tls, uint64(n))
	if p == 0 {
		return 0, newError(ResultNoMem, "malloc")
	}
	return p, nil
}

func free(tls *libc.TLS, p uintptr) { sqlite3.Xsqlite3_free(tls, p) }

// mallocBytes copies b to C memory. At least one byte is allocated, so that the
// address of an empty value is not null.
func mallocBytes(tls *libc.TLS, b []byte) (uintptr, error) {
	p, err := malloc(tls, len(b)+1)
	if err != nil {
		return 0, err
	}
	copy(view(p, len(b)), b)
	return p, nil
}

// mallocString copies s to C memory and terminates it with a NUL.
func mallocString(tls *libc.TLS, s string) (uintptr, error) {
	p, err := malloc(tls, len(s)+1)
	if err != nil {
		return 0, err
	}
	putString(p, s)
	return p, nil
}

func putString(p uintptr, s string) {
	b := view(p, len(s)+1)
	copy(b, s)
	b[len(s)] = 0
}

// takeBytes copies the n bytes SQLite allocated at p and frees them.
func takeBytes(tls *libc.TLS, p uintptr, n int) []byte {
	b := make([]byte, n)
	if p != 0 {
		copy(b, view(p, n))
		free(tls, p)
	}
	return b
}

// hasNUL reports whether s would be cut short as a C string.
func hasNUL(s string) bool { return strings.IndexByte(s, 0) >= 0 }

// name is a short C string (a schema, table or VFS) on the stack of a thread
// state. An empty one is a null pointer, which is how the C API spells "the
// default". Names are freed in the reverse order of their making.
type name struct {
	tls *libc.TLS
	p   uintptr
	n   int
}

func pushName(tls *libc.TLS, s string) (name, error) {
	if hasNUL(s) {
		return name{}, &Error{Code: ResultMisuse, Op: "name", Msg: "a name contains a NUL byte", Offset: -1}
	}
	if s == "" {
		return name{}, nil
	}
	n := len(s) + 1
	p := tls.Alloc(n)
	putString(p, s)
	return name{tls, p, n}, nil
}

func (z name) pop() {
	if z.p != 0 {
		z.tls.Free(z.n)
	}
}
