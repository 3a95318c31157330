package sqlite

import (
	"sync"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

func init() {
	// The transpiled engine takes a wrong page size for the -shm mapping on
	// linux/arm64 until this is called; it does nothing elsewhere.
	sqlite3.PatchIssue199()
}

// engine is the process-wide state of the C library, which has to be configured
// once, before the first connection of the process.
var engine struct {
	once   sync.Once
	rc     int32
	fcntl  uintptr // SQLite's own, where lockSharedMemory has put another before it
	memory allocator
	caches bool // are those of this package
}

// start configures and initializes the library. A second user of the library in
// this process may have been first; then its configuration stands.
func start() error {
	engine.once.Do(func() {
		// Without it, any code in the process that opens and closes the database
		// file would cancel SQLite's locks on it: POSIX locks belong to the
		// process, these belong to the descriptor. Linux only.
		ofdLocking(1)

		tls := libc.NewTLS()
		defer tls.Close()
		va := tls.Alloc(8)
		defer tls.Free(8)
		// The engine is compiled with memory statistics off; without them
		// MemoryUsed is always 0 and the heap limits do nothing.
		sqlite3.Xsqlite3_config(tls, sqlite3.SQLITE_CONFIG_MEMSTATUS, libc.VaList(va, int32(1)))
		engine.memory.configure(tls)
		engine.caches = configurePageCache(tls)
		if engine.rc = sqlite3.Xsqlite3_initialize(tls); engine.rc == sqlite3.SQLITE_OK {
			engine.rc = lockSharedMemory(tls)
		}
	})
	if engine.rc != sqlite3.SQLITE_OK {
		return newError(ResultCode(engine.rc), "initialize")
	}
	return nil
}

// call runs f on the started library with a thread state of its own.
func call[T any](f func(*libc.TLS) T) T {
	_ = start() // a library that did not start answers with zeros
	return withTLS(f)
}

// OFDLocks reports whether databases and their shared memory are locked with open file
// description locks, which survive the closing of other descriptors of the same file. They
// exist on Linux only, not on every file system, and not where a second user of the
// library in this process has taken locks before.
func OFDLocks() bool {
	_ = start()
	return engine.fcntl != 0 && ofdLocking(-1) == 1
}

// MemoryUsed returns the bytes of memory SQLite holds in this process.
// See https://www.sqlite.org/c3ref/memory_highwater.html.
func MemoryUsed() int64 {
	return call(func(tls *libc.TLS) int64 { return sqlite3.Xsqlite3_memory_used(tls) })
}

// MemoryHighwater returns the most bytes SQLite has held since the process
// started or since the last call with reset.
func MemoryHighwater(reset bool) int64 {
	return call(func(tls *libc.TLS) int64 {
		return sqlite3.Xsqlite3_memory_highwater(tls, libc.Bool32(reset))
	})
}

// SoftHeapLimit sets the number of bytes above which SQLite would shed page cache
// before it allocates more, and returns the previous limit. The page caches of this
// package belong to their connections and shed nothing. 0 means none; a negative n
// only reads. See https://www.sqlite.org/c3ref/hard_heap_limit64.html.
func SoftHeapLimit(n int64) int64 {
	return call(func(tls *libc.TLS) int64 { return sqlite3.Xsqlite3_soft_heap_limit64(tls, n) })
}

// HardHeapLimit sets the number of bytes above which allocations fail with
// [ResultNoMem], and returns the previous limit. 0 means none; a negative n only
// reads.
func HardHeapLimit(n int64) int64 {
	return call(func(tls *libc.TLS) int64 { return sqlite3.Xsqlite3_hard_heap_limit64(tls, n) })
}

// Version returns the version of SQLite, such as "3.54.1".
func Version() string { return sqlite3.SQLITE_VERSION }

// VersionNumber returns the version of SQLite as a number: 3054001 for 3.54.1.
func VersionNumber() int { return sqlite3.SQLITE_VERSION_NUMBER }

// SourceID returns the check-in SQLite was built from.
func SourceID() string { return sqlite3.SQLITE_SOURCE_ID }

// Threadsafe returns the SQLITE_THREADSAFE option the engine was compiled with:
// 0 single-thread, 1 serialized, 2 multi-thread.
// See https://www.sqlite.org/threadsafe.html.
func Threadsafe() int {
	return withTLS(func(tls *libc.TLS) int { return int(sqlite3.Xsqlite3_threadsafe(tls)) })
}

// CompileOptions returns the options the engine was compiled with, without the
// prefix SQLITE_. See https://www.sqlite.org/compile.html.
func CompileOptions() []string {
	return withTLS(func(tls *libc.TLS) []string {
		var opts []string
		for i := int32(0); ; i++ {
			p := sqlite3.Xsqlite3_compileoption_get(tls, i)
			if p == 0 {
				return opts
			}
			opts = append(opts, goString(p))
		}
	})
}

// KeywordCheck reports whether word, in any case, is a keyword of SQLite's SQL
// and must be quoted to serve as an identifier.
func KeywordCheck(word string) bool {
	if word == "" || hasNUL(word) {
		return false
	}
	return withTLS(func(tls *libc.TLS) bool {
		z, err := pushName(tls, word)
		if err != nil {
			return false
		}
		defer z.pop()
		return sqlite3.Xsqlite3_keyword_check(tls, z.p, int32(len(word))) != 0
	})
}

// Complete reports whether sql ends in a complete statement: whether a shell
// should run it rather than ask for another line.
// See https://www.sqlite.org/c3ref/complete.html.
func Complete(sql string) bool {
	if hasNUL(sql) {
		return false
	}
	return call(func(tls *libc.TLS) bool {
		p, err := mallocString(tls, sql)
		if err != nil {
			return false
		}
		defer free(tls, p)
		return sqlite3.Xsqlite3_complete(tls, p) == 1
	})
}

func clampInt32(n int) int32 {
	return int32(max(-1<<31, min(n, 1<<31-1)))
}
