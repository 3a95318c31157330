package sqlite

import (
	"sync"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// The allocator of the C library rounds each request up to a power of two. A page of
// 4096 bytes in a cache is a request for 4368, which took 8192 bytes of memory: page
// caches of 68 MiB, by SQLite's own count, made the process grow by 121. So requests
// of that kind get slots of their own size here, many to one region of the library's.

// The sizes that get slots. Smaller ones are many and short-lived, and what rounding
// wastes of them is little; a larger one has a region for itself, and what is not
// touched of that takes no memory.
const (
	slotMin  = 1 << 10
	slotMax  = 12 << 10
	slotStep = 64 // between the sizes of slots: 1.5 % of a page of 4096
)

// slabSize is one region of the C library's allocator, less what that keeps in it.
const slabSize = 64<<10 - 64

// A block begins with what SQLite asked for, in the low half of a word, and in the high
// half how far behind its slab's beginning it is; 0 if it is in none.
const prefixSize = 8

// slab is the beginning of a region that is divided into slots.
type slab struct {
	prev, next uintptr // among those of its class with room; 0 at the ends
	free       uintptr // a slot that was used and is free, linked by its third word; or 0
	class      int32
	slots      int32
	fresh      int32 // slots that were ever used; those behind have not been touched
	used       int32
}

const slabHeader = slotStep // and the size of slab is less

// allocator is SQLite's memory. It is the process's, like everything that SQLite is
// configured with.
type allocator struct {
	mu    sync.Mutex                                            // guards the rest and every slab
	room  [(slotMax+prefixSize+slotStep-1)/slotStep + 1]uintptr // by class, the slabs with a free slot
	slabs int
}

// configure makes it SQLite's, unless somebody has begun to use SQLite before.
func (a *allocator) configure(tls *libc.TLS) {
	m := tls.Alloc(int(8 * ptrSize))
	defer tls.Free(int(8 * ptrSize))
	va := tls.Alloc(8)
	defer tls.Free(8)
	*(*sqlite3.Tsqlite3_mem_methods)(pointer(m)) = sqlite3.Tsqlite3_mem_methods{
		FxMalloc:   cFunc(allocate),
		FxFree:     cFunc(deallocate),
		FxRealloc:  cFunc(reallocate),
		FxSize:     cFunc(allocatedSize),
		FxRoundup:  cFunc(roundUp),
		FxInit:     cFunc(allocatorBegins),
		FxShutdown: cFunc(allocatorEnds),
	}
	sqlite3.Xsqlite3_config(tls, sqlite3.SQLITE_CONFIG_MALLOC, libc.VaList(va, m))
}

func allocate(tls *libc.TLS, n int32) uintptr {
	if n >= slotMin && n <= slotMax {
		return engine.memory.slot(tls, n)
	}
	p := take(libc.Xmalloc, tls, int(n)+prefixSize)
	if p == 0 {
		return 0
	}
	store(p, uint64(n))
	return p + prefixSize
}

func deallocate(tls *libc.TLS, p uintptr) {
	at := p - prefixSize
	if offset := load[uint64](at) >> 32; offset != 0 {
		engine.memory.giveBack(tls, at, at-uintptr(offset))
		return
	}
	libc.Xfree(tls, at)
}

func reallocate(tls *libc.TLS, p uintptr, n int32) uintptr {
	at := p - prefixSize
	word := load[uint64](at)
	inSlab, toSlab := word>>32 != 0, n >= slotMin && n <= slotMax
	switch {
	case !inSlab && !toSlab:
		if at = resize(libc.Xrealloc, tls, at, int(n)+prefixSize); at == 0 {
			return 0
		}
		store(at, uint64(n))
		return at + prefixSize
	case inSlab && toSlab && classOf(n) == classOf(int32(uint32(word))):
		store(at, word>>32<<32|uint64(n))
		return p
	}
	to := allocate(tls, n)
	if to != 0 {
		copy(view(to, int(n)), view(p, int(min(n, int32(uint32(word))))))
		deallocate(tls, p)
	}
	return to
}

func allocatedSize(_ *libc.TLS, p uintptr) int32 {
	if p == 0 {
		return 0
	}
	return int32(uint32(load[uint64](p - prefixSize)))
}

func roundUp(_ *libc.TLS, n int32) int32           { return (n + 7) &^ 7 }
func allocatorBegins(_ *libc.TLS, _ uintptr) int32 { return sqlite3.SQLITE_OK }
func allocatorEnds(_ *libc.TLS, _ uintptr)         {}
func classOf(n int32) int32                        { return (n + prefixSize + slotStep - 1) / slotStep }

func (s *slab) at(base uintptr, slot int32) uintptr {
	return base + slabHeader + uintptr(slot*s.class*slotStep)
}

// slot returns a block of n bytes in a slab.
func (a *allocator) slot(tls *libc.TLS, n int32) uintptr {
	class := classOf(n)
	a.mu.Lock()
	defer a.mu.Unlock()
	base := a.room[class]
	if base == 0 {
		if base = take(libc.Xmalloc, tls, slabSize); base == 0 {
			return 0
		}
		*(*slab)(pointer(base)) = slab{class: class, slots: (slabSize - slabHeader) / (class * slotStep)}
		a.link(base)
		a.slabs++
	}
	s := (*slab)(pointer(base))
	at := s.free
	if at != 0 {
		s.free = load[uintptr](at + prefixSize)
	} else {
		at = s.at(base, s.fresh)
		s.fresh++
	}
	if s.used++; s.used == s.slots {
		a.unlink(base)
	}
	store(at, uint64(at-base)<<32|uint64(n))
	return at + prefixSize
}

// giveBack frees a slot, and the slab with its last one, unless that is the only one
// with room: then it would be wanted back soon.
func (a *allocator) giveBack(tls *libc.TLS, at, base uintptr) {
	a.mu.Lock()
	s := (*slab)(pointer(base))
	store(at+prefixSize, s.free)
	s.free = at
	if s.used == s.slots {
		a.link(base) // in front: those that are almost full are filled first
	}
	s.used--
	empty := s.used == 0 && (s.prev != 0 || s.next != 0)
	if empty {
		a.unlink(base)
		a.slabs--
	}
	a.mu.Unlock()
	if empty {
		libc.Xfree(tls, base)
	}
}

// link and unlink are called with mu held.
func (a *allocator) link(base uintptr) {
	s := (*slab)(pointer(base))
	s.prev, s.next = 0, a.room[s.class]
	if s.next != 0 {
		(*slab)(pointer(s.next)).prev = base
	}
	a.room[s.class] = base
}

func (a *allocator) unlink(base uintptr) {
	s := (*slab)(pointer(base))
	if s.prev != 0 {
		(*slab)(pointer(s.prev)).next = s.next
	} else {
		a.room[s.class] = s.next
	}
	if s.next != 0 {
		(*slab)(pointer(s.next)).prev = s.prev
	}
	s.prev, s.next = 0, 0
}

// take and resize call the C library, whose type for sizes has another name on each
// system.
func take[T ~uint32 | ~uint64](malloc func(*libc.TLS, T) uintptr, tls *libc.TLS, n int) uintptr {
	return malloc(tls, T(n))
}

func resize[T ~uint32 | ~uint64](realloc func(*libc.TLS, uintptr, T) uintptr, tls *libc.TLS, p uintptr, n int) uintptr {
	return realloc(tls, p, T(n))
}
