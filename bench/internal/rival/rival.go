// Package rival has the contestants: Holdfast, the other drivers in their usual
// set-ups, a design that many programs have, and the limit.
package rival

import (
	"context"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/bench/internal/work"
)

const (
	// Base is whom all others are compared with.
	Base = "holdfast"
	// Limit is what no library can be expected to reach everywhere.
	Limit = "c"
)

// Contestant is one way to use SQLite.
type Contestant struct {
	Name  string
	Title string
	Does  []work.Operation
	// Named takes part only where it is asked for by its name.
	Named bool
	// Alone: it takes one process for a database, and leaves the others to others.
	Alone bool
	// Open opens a database, for contestants in Go.
	Open work.Opener
	// Command makes the command that does the job, for others.
	Command func(ctx context.Context, j work.Job) (*exec.Cmd, error)
	// Missing says why it can't take part on this machine; "" if it can. It may
	// take minutes: the limit is compiled there. Nil: it always can.
	Missing func(ctx context.Context) string
}

// Sources are the programs that run beside this one, as files.
type Sources struct {
	Dir      string   // where the Python files were unpacked
	Python   string   // the name of the file to run
	C        string   // the text of the loop in C
	Compiler []string // how to compile it: Compiler
}

// All lists the contestants, the base first.
func All(s Sources) []Contestant {
	return slices.Concat(
		holdfasts(), holdfastRows(), mattns(), moderncs(), ncruceses(),
		[]Contestant{zombie(), spec(), specInPython(s), limit(s)},
	)
}

// Can reports whether the contestant takes part in a workload, if it is not
// missing.
func (c Contestant) Can(w work.Workload) bool {
	return slices.Contains(c.Does, w.Operation) && !(c.Alone && w.Processes > 1)
}

// Find returns the contestant of a name.
func Find(all []Contestant, name string) (Contestant, bool) {
	i := slices.IndexFunc(all, func(c Contestant) bool { return strings.EqualFold(c.Name, name) })
	if i < 0 {
		return Contestant{}, false
	}
	return all[i], true
}

const (
	// busyTimeout is the value that guides give most often.
	busyTimeout = 5 * time.Second
	// cacheKiB is the page cache of each connection. Holdfast's own share of its
	// memory budget is about that much, and nobody should win by his cache.
	cacheKiB = 13 * 1024
)

// cacheOf is what a workload wants a connection's cache to be, in KiB.
func cacheOf(s work.Settings) int {
	if s.CacheKiB > 0 {
		return s.CacheKiB
	}
	return cacheKiB
}

// everything is what a driver of database/sql can do.
var everything = []work.Operation{
	work.Get, work.Prepared, work.Scan, work.Insert, work.InsertTx, work.Increment, work.Bulk, work.Mix,
	work.Latency, work.Open, work.Lease, work.Create, work.Growth, work.AllocsGet, work.AllocsPut,
}
