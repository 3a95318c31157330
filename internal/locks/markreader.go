package locks

import (
	"fmt"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// MarkReader reads the marks on the caller's stack without looking up names,
// which is what takes most of Caller's time: each function that stands for a
// digit calls from one place only, so a frame of it is always the same program
// counter. The zero value is ready to use.
type MarkReader struct {
	once   sync.Once
	digits [16]uintptr
	under  uintptr
}

// Read returns the stack of its caller, and the marks in it, innermost first. It
// returns neither if there are no marks, and then allocates nothing.
func (r *MarkReader) Read() (Stack, []Mark) {
	r.once.Do(r.learn)
	var buf [128]uintptr
	pcs := callers(1, buf[:])
	if !slices.Contains(pcs, r.under) {
		return nil, nil
	}
	var m Mark
	var found []Mark
	for _, pc := range pcs {
		if pc == r.under {
			found = append(found, m)
			m = 0
			continue
		}
		for d, digit := range r.digits {
			if pc == digit {
				m = m<<4 | Mark(d)
			}
		}
	}
	return slices.Clone(pcs), found
}

// learn sets two marks that have all digits, and looks at them by name.
func (r *MarkReader) learn() {
	for _, m := range []Mark{0x01234567, 0x89ABCDEF} {
		_ = Under(m, func() error { // its error is ours: none
			for _, pc := range callers(0, make([]uintptr, 64)) {
				name := runtime.FuncForPC(pc - 1).Name()
				if d, ok := strings.CutPrefix(name, digit); ok {
					r.digits[strings.Index(hex, d)] = pc
				}
				if name == underName && r.under == 0 {
					r.under = pc
				}
			}
			return nil
		})
	}
}

// Stack is a whole stack as bare program counters, innermost first.
type Stack []uintptr

// shownFrames bounds a Stack's text.
const shownFrames = 16

// String has the frames that are not the library's, database/sql's, the
// engine's or the runtime's, innermost first:
//
//	stock.go:41 (shop.reserve.func1), called at stock.go:33 (shop.reserve), called at main.go:80 (main.main)
func (s Stack) String() string {
	var out []string
	for frames, more := runtime.CallersFrames(s), len(s) > 0; more && len(out) < shownFrames; {
		var f runtime.Frame
		f, more = frames.Next()
		if f.Function != "" && !strings.HasPrefix(f.Function, "runtime.") && !engine(f) && !own(f) {
			out = append(out, fmt.Sprintf("%s:%d (%s)", path.Base(f.File), f.Line, f.Function))
		}
	}
	return strings.Join(out, ", called at ")
}
