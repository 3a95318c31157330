package locks

import (
	"runtime"
	"strings"
)

// Mark names a call that is under way, so that whoever is called by it can find
// out. 0 is no mark.
//
// Go does not tell a function which goroutine it runs on, except by printing the
// whole stack (25 us, more than a small transaction takes). A mark is written
// into the stack itself: Under calls one function for each of its digits, and
// the names of these are there when somebody reads the stack. Setting one costs
// tens of nanoseconds and allocates nothing; only the reader pays. What it finds
// is certain: the stack of another goroutine never has it, not even that of a
// goroutine which the marked call has started.
type Mark uint32

const nibbles = 8 // of a Mark

// Under calls fn with m on the stack.
//
//go:noinline
func Under(m Mark, fn func() error) error { return under(m, nibbles, fn) }

//go:noinline
func under(m Mark, left int, fn func() error) error {
	if left == 0 {
		return fn()
	}
	switch m & 15 {
	case 0:
		return nibble0(m, left, fn)
	case 1:
		return nibble1(m, left, fn)
	case 2:
		return nibble2(m, left, fn)
	case 3:
		return nibble3(m, left, fn)
	case 4:
		return nibble4(m, left, fn)
	case 5:
		return nibble5(m, left, fn)
	case 6:
		return nibble6(m, left, fn)
	case 7:
		return nibble7(m, left, fn)
	case 8:
		return nibble8(m, left, fn)
	case 9:
		return nibble9(m, left, fn)
	case 10:
		return nibbleA(m, left, fn)
	case 11:
		return nibbleB(m, left, fn)
	case 12:
		return nibbleC(m, left, fn)
	case 13:
		return nibbleD(m, left, fn)
	case 14:
		return nibbleE(m, left, fn)
	}
	return nibbleF(m, left, fn)
}

//go:noinline
func nibble0(m Mark, left int, fn func() error) error { return under(m>>4, left-1, fn) }

//go:noinline
func nibble1(m Mark, left int, fn func() error) error { return under(m>>4, left-1, fn) }

//go:noinline
func nibble2(m Mark, left int, fn func() error) error { return under(m>>4, left-1, fn) }

//go:noinline
func nibble3(m Mark, left int, fn func() error) error { return under(m>>4, left-1, fn) }

//go:noinline
func nibble4(m Mark, left int, fn func() error) error { return under(m>>4, left-1, fn) }

//go:noinline
func nibble5(m Mark, left int, fn func() error) error { return under(m>>4, left-1, fn) }

//go:noinline
func nibble6(m Mark, left int, fn func() error) error { return under(m>>4, left-1, fn) }

//go:noinline
func nibble7(m Mark, left int, fn func() error) error { return under(m>>4, left-1, fn) }

//go:noinline
func nibble8(m Mark, left int, fn func() error) error { return under(m>>4, left-1, fn) }

//go:noinline
func nibble9(m Mark, left int, fn func() error) error { return under(m>>4, left-1, fn) }

//go:noinline
func nibbleA(m Mark, left int, fn func() error) error { return under(m>>4, left-1, fn) }

//go:noinline
func nibbleB(m Mark, left int, fn func() error) error { return under(m>>4, left-1, fn) }

//go:noinline
func nibbleC(m Mark, left int, fn func() error) error { return under(m>>4, left-1, fn) }

//go:noinline
func nibbleD(m Mark, left int, fn func() error) error { return under(m>>4, left-1, fn) }

//go:noinline
func nibbleE(m Mark, left int, fn func() error) error { return under(m>>4, left-1, fn) }

//go:noinline
func nibbleF(m Mark, left int, fn func() error) error { return under(m>>4, left-1, fn) }

const (
	digit     = module + "/internal/locks.nibble"
	underName = module + "/internal/locks.Under"
	hex       = "0123456789ABCDEF"
)

// read takes the marks out of a stack, innermost first.
func read(stack []runtime.Frame) (found []Mark) {
	var m Mark
	for _, f := range stack {
		if d, ok := strings.CutPrefix(f.Function, digit); ok {
			m = m<<4 | Mark(strings.Index(hex, d))
		}
		if f.Function == underName {
			found = append(found, m)
			m = 0
		}
	}
	return found
}

// maxStack bounds what is read of a stack. Below it are the frames of a
// recursion that is nearly as deep.
const maxStack = 4096

// callers is the current stack, leaving out skip frames above its caller, in
// buf if it fits.
func callers(skip int, buf []uintptr) []uintptr {
	n := runtime.Callers(skip+2, buf)
	for n == len(buf) && n < maxStack {
		buf = make([]uintptr, 4*len(buf))
		n = runtime.Callers(skip+2, buf)
	}
	return buf[:n]
}

// Caller returns the place in the caller's code, however deep the libraries
// below it are, and the marks of the calls that it is in. It costs tens of
// microseconds: it is for those who have waited already.
func Caller() (Site, []Mark) {
	pcs := callers(1, make([]uintptr, 128))
	var stack []runtime.Frame
	for frames, more := runtime.CallersFrames(pcs), len(pcs) > 0; more; {
		var f runtime.Frame
		f, more = frames.Next()
		stack = append(stack, f)
	}
	var s Site
	copy(s.pcs[:], pcs[plumbing(pcs):])
	return s, read(stack)
}

// plumbing counts the frames below the caller's own code. A program counter may
// stand for several frames, of calls that were inlined.
func plumbing(pcs []uintptr) int {
	for i, pc := range pcs {
		frames := runtime.CallersFrames([]uintptr{pc})
		for more := true; more; {
			var f runtime.Frame
			f, more = frames.Next()
			if f.Function != "" && !strings.HasPrefix(f.Function, "runtime.") && !engine(f) && !own(f) {
				return i
			}
		}
	}
	return 0
}

// engine tells whether a frame is SQLite's.
func engine(f runtime.Frame) bool { return strings.HasPrefix(f.Function, "modernc.org/") }
