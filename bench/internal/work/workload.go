package work

import (
	"strings"
)

// Unit is what a workload is measured in.
type Unit struct {
	Name  string
	Lower bool // the lower the better
	value func(t *Tally) float64
}

// The units.
var (
	reads  = Unit{Name: "reads/s", value: rate}
	rows   = Unit{Name: "rows/s", value: rate}
	writes = Unit{Name: "tx/s", value: rate}
	mixes  = Unit{Name: "ops/s", value: rate}
	opened = Unit{Name: "us to open", Lower: true, value: func(t *Tally) float64 { return t.Latency.Quantile(0.5).Seconds() * 1e6 }}
	leased = Unit{Name: "ns each", Lower: true, value: func(t *Tally) float64 { return 1e9 / t.Rate }}
	heap   = Unit{Name: "allocs/op", Lower: true, value: func(t *Tally) float64 { return t.Allocs }}
	kept   = Unit{Name: "KB each", Lower: true, value: func(t *Tally) float64 { return t.Memory.Growth / 1e3 }}
	atEnd  = Unit{Name: "MB at the end", Lower: true, value: func(t *Tally) float64 { return float64(t.Memory.Resident) / 1e6 }}
	late   = Unit{Name: "us at p99", Lower: true, value: func(t *Tally) float64 { return t.Latency.Quantile(0.99).Seconds() * 1e6 }}
)

func rate(t *Tally) float64 { return t.Rate }

// Value is the figure that contestants are compared by; 0 if nothing was done.
func (u Unit) Value(t *Tally) float64 {
	if t.Done == 0 {
		return 0
	}
	return u.value(t)
}

// Workload is one thing that is measured, for each contestant in the same way.
type Workload struct {
	Group       string // W1 to W11, as --workloads names them
	Variant     string // what tells it from others of the group
	Title       string
	Operation   Operation
	Synchronous string
	Processes   int
	Goroutines  int     // of each process
	Rows        int     // see Job
	Scale       float64 // its share of --duration
	Rounds      int     // at most; 0 for --rounds
	Readers     int     // see Settings, as CacheKiB; 0 for what is usual
	CacheKiB    int
	Unit        Unit
	Among       []string // contestants that take part unless they are named
	Big         bool     // only if asked for
}

// ID names a workload: "W4 full/exec".
func (w Workload) ID() string {
	if w.Variant == "" {
		return w.Group
	}
	return w.Group + " " + w.Variant
}

// Items is how many rows the table item needs.
func (w Workload) Items() int {
	switch w.Operation {
	case Get, Prepared, Scan, Mix, Latency, Idle, Growth, AllocsGet:
		return w.Rows
	}
	return 0
}

// RoundsOf is how many of the rounds that others have it takes.
func (w Workload) RoundsOf(rounds int) int {
	if w.Rounds > 0 {
		return min(w.Rounds, rounds)
	}
	return rounds
}

// Writes tells whether the database is different afterwards, so that each run
// needs a copy of its own.
func (w Workload) Writes() bool {
	switch w.Operation {
	case Get, Prepared, Scan, Open, Lease, Idle, AllocsGet:
		return false
	}
	return true
}

// CountsCPU tells whether the CPU time is that of what is counted. Where only
// latencies or memory are, most of it is for other things.
func (w Workload) CountsCPU() bool { return w.Operation != Latency && w.Operation != Idle }

// Matches reports whether a name from --workloads means this one: its group or
// its ID, which may be written with a slash instead of the space.
func (w Workload) Matches(name string) bool {
	name = strings.Replace(strings.TrimSpace(name), " ", "/", 1)
	return strings.EqualFold(name, w.Group) || strings.EqualFold(name, w.Group+"/"+w.Variant)
}
