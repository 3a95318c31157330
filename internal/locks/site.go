package locks

import (
	"bytes"
	"fmt"
	"path"
	"runtime"
	"strconv"
	"strings"
)

// How many frames a site keeps. A transaction or a wait pays for a deep stack,
// which reaches through an ORM to its caller; each statement only for a shallow
// one.
const (
	Deep    = 24
	Shallow = 12
)

// Site is a place in the caller's code: a stack captured as bare program
// counters, turned into file and line only when somebody asks. The zero Site
// is "unknown". It is comparable, so that measurements can be kept per site.
type Site struct {
	pcs [Deep]uintptr
}

// Here captures the current stack, at most depth frames of it, leaving out skip
// frames above its caller. It costs about 40 ns a frame.
func Here(skip, depth int) Site {
	var s Site
	runtime.Callers(skip+2, s.pcs[:min(depth, Deep)])
	return s
}

// At is the site of a stack that its caller has captured, the first Deep frames
// of it.
func At(pcs []uintptr) Site {
	var s Site
	copy(s.pcs[:], pcs)
	return s
}

// Known tells whether the site was captured.
func (s Site) Known() bool { return s.pcs[0] != 0 }

// String names the innermost frame outside database/sql and Holdfast, as
// "billing.go:88 (shop/billing.Charge)".
func (s Site) String() string {
	f, ok := s.frame()
	if !ok {
		return "unknown call site"
	}
	return fmt.Sprintf("%s:%d (%s)", path.Base(f.File), f.Line, f.Function)
}

// Location returns file, line and function of the frame that String names.
func (s Site) Location() (file string, line int, function string) {
	f, _ := s.frame()
	return f.File, f.Line, f.Function
}

func (s Site) frame() (runtime.Frame, bool) {
	n := 0
	for n < Deep && s.pcs[n] != 0 {
		n++
	}
	if n == 0 {
		return runtime.Frame{}, false
	}
	frames := runtime.CallersFrames(s.pcs[:n])
	var client, last runtime.Frame
	for {
		f, more := frames.Next()
		switch {
		case f.Function == "" || strings.HasPrefix(f.Function, "runtime."):
		case own(f):
			last = f
		case isClient(f):
			if client.Function == "" {
				client = f
			}
		default:
			return f, true
		}
		if !more {
			if client.Function != "" {
				return client, true
			}
			return last, last.Function != ""
		}
	}
}

// clients are libraries between the program and database/sql: the frame that
// helps is their caller's, if the stack reaches that far.
var clients = []string{
	"gorm.io/", "entgo.io/", "github.com/uptrace/bun", "github.com/jmoiron/sqlx", "xorm.io/",
	"github.com/riverqueue/river", "github.com/pressly/goose", "github.com/golang-migrate/migrate", "github.com/alexedwards/scs",
}

func isClient(f runtime.Frame) bool {
	for _, prefix := range clients {
		if strings.HasPrefix(f.Function, prefix) {
			return true
		}
	}
	return false
}

const module = "github.com/holdfastdb/holdfast"

// own tells whether a frame is plumbing: database/sql or the library itself.
// Holdfast's own tests, examples and commands count as callers.
func own(f runtime.Frame) bool {
	if strings.HasPrefix(f.Function, "database/sql.") {
		return true
	}
	rest, ok := strings.CutPrefix(f.Function, module)
	if !ok || strings.HasSuffix(f.File, "_test.go") {
		return false
	}
	return strings.HasPrefix(rest, ".") || strings.HasPrefix(rest, "/internal/")
}

// Goroutine returns the number of the calling goroutine, the one that stack
// traces print. Go offers no cheaper way, and this one costs up to 25 us under a
// deep stack, because all of it is printed: it is for those who are about to wait.
func Goroutine() uint64 {
	var buf [64]byte
	b := buf[:runtime.Stack(buf[:], false)]
	b = bytes.TrimPrefix(b, []byte("goroutine "))
	if i := bytes.IndexByte(b, ' '); i >= 0 {
		b = b[:i]
	}
	n, err := strconv.ParseUint(string(b), 10, 64)
	if err != nil {
		return 0
	}
	return n
}
