package work

import (
	"fmt"
	"strings"
)

// How large the databases are, and how many write at once.
const (
	smallTable = 20_000
	largeTable = 100_000
	many       = 32
)

// Who takes part where not everybody can, or where set-ups that differ in their
// transactions only would be the same contestant several times.
var (
	forReads = names(`holdfast mattn-naive mattn-pools modernc-naive modernc-pools ncruces-pools
		zombiezen spec-go spec-python c`)
	forUnprepared = append(names("holdfast-rows mattn-prepared modernc-prepared"), forReads...)
	forScans      = append(names("holdfast-rows"), forReads...)
	forOneWriter  = names(`holdfast holdfast-batch mattn-naive modernc-naive ncruces-naive
		zombiezen spec-go spec-python c`)
	forBulk      = names(`holdfast holdfast-batch mattn-naive modernc-naive ncruces-naive zombiezen spec-go spec-python c`)
	forMix       = names(`holdfast holdfast-rows mattn-naive mattn-pools modernc-naive modernc-pools ncruces-naive ncruces-pools zombiezen spec-go spec-python`)
	forProcesses = names(`holdfast mattn-naive mattn-pools modernc-naive modernc-pools zombiezen spec-go spec-python`)
	forCosts     = names(`holdfast mattn-naive modernc-naive ncruces-naive zombiezen spec-go spec-python c`)
	forMapper    = names(`holdfast mattn-naive modernc-naive ncruces-naive`)
	forLatency   = names(`holdfast holdfast-rows mattn-naive mattn-pools modernc-naive modernc-pools ncruces-pools zombiezen spec-go`)
	forMemory    = names(`holdfast mattn-pools modernc-pools ncruces-pools zombiezen`)
	forScaling   = names(`holdfast mattn-naive modernc-naive modernc-pools`)
)

func names(s string) []string { return strings.Fields(s) }

// All lists the workloads in the order in which they run.
func All() []Workload {
	var all []Workload
	add := func(group string, some ...Workload) {
		for _, w := range some {
			w.Group = group
			all = append(all, w.complete())
		}
	}
	add("W1", pointReads()...)
	add("W2", Workload{
		Title: "Scan of 100,000 rows x 4 columns", Operation: Scan, Rows: largeTable, Scale: 0.5, Unit: rows, Among: forScans,
	})
	for _, sync := range []string{"FULL", "NORMAL"} {
		add("W3", Workload{
			Variant: strings.ToLower(sync), Title: "One row per transaction, 1 goroutine, synchronous=" + sync,
			Operation: Insert, Synchronous: sync, Unit: writes, Among: forOneWriter,
		})
	}
	add("W3b", Workload{
		Title: "100,000 rows in one transaction", Operation: Bulk, Rows: largeTable, Unit: rows, Among: forBulk,
	})
	for _, sync := range []string{"FULL", "NORMAL"} {
		add("W4", manyWriters(sync)...)
	}
	add("W4r", Workload{
		Title:     "Read, then write, in one transaction, 32 goroutines, synchronous=FULL",
		Operation: Increment, Goroutines: many, Unit: writes,
	})
	for _, sync := range []string{"FULL", "NORMAL"} {
		add("W5", Workload{
			Variant: strings.ToLower(sync), Title: "90 reads to 10 writes, 32 goroutines, synchronous=" + sync,
			Operation: Mix, Synchronous: sync, Goroutines: many, Rows: smallTable, Unit: mixes, Among: forMix,
		})
	}
	add("W6", Workload{
		Title:     "One row per statement, 4 processes x 4 goroutines, synchronous=FULL",
		Operation: Insert, Processes: 4, Goroutines: 4, Scale: 2, Unit: writes, Among: forProcesses,
	})
	add("W7", costs()...)
	add("W8", Workload{
		Title: "GORM Create, 32 goroutines, synchronous=FULL", Operation: Create, Goroutines: many, Unit: writes, Among: forMapper,
	})
	add("W9", Workload{
		Title:     "Latency of 4 readers while transactions of 20,000 rows are written",
		Operation: Latency, Goroutines: 4, Rows: smallTable, Scale: 2, Unit: late, Among: forLatency,
	})
	add("W10", scaling()...)
	if MemoryIsTold {
		add("W11", memory()...)
	}
	return all
}

// complete fills in what most workloads have in common.
func (w Workload) complete() Workload {
	if w.Synchronous == "" {
		w.Synchronous = "FULL"
	}
	w.Processes = max(w.Processes, 1)
	w.Goroutines = max(w.Goroutines, 1)
	if w.Scale == 0 {
		w.Scale = 1
	}
	return w
}

func pointReads() []Workload {
	var some []Workload
	for _, o := range []struct {
		op    Operation
		title string
		among []string
	}{{Get, "unprepared", forUnprepared}, {Prepared, "prepared", forReads}} {
		for _, n := range []int{1, 8} {
			w := Workload{
				Variant: fmt.Sprintf("%s/%d", o.title, n), Title: fmt.Sprintf("Point read by key, %s, %s", o.title, goroutines(n)),
				Operation: o.op, Goroutines: n, Rows: smallTable, Scale: 0.5, Unit: reads, Among: o.among,
			}
			some = append(some, w)
		}
	}
	return some
}

func goroutines(n int) string {
	if n == 1 {
		return "1 goroutine"
	}
	return fmt.Sprintf("%d goroutines", n)
}

// manyWriters is where everybody takes part who can: the set-ups differ in it.
func manyWriters(sync string) []Workload {
	var some []Workload
	for _, o := range []struct {
		op             Operation
		variant, title string
	}{{Insert, "exec", "One row per statement"}, {InsertTx, "tx", "One row per explicit transaction"}} {
		some = append(some, Workload{
			Variant: strings.ToLower(sync) + "/" + o.variant, Title: fmt.Sprintf("%s, 32 goroutines, synchronous=%s", o.title, sync),
			Operation: o.op, Synchronous: sync, Goroutines: many, Unit: writes,
		})
	}
	return some
}

func costs() []Workload {
	const short = 0.3
	return []Workload{
		{Variant: "open", Title: "Open a WAL database, set up, one statement", Operation: Open, Scale: short, Unit: opened, Among: forCosts},
		{Variant: "lease/1", Title: "Borrow a connection and return it, 1 goroutine", Operation: Lease, Scale: short, Unit: leased, Among: forCosts},
		{Variant: "lease/8", Title: "Borrow a connection and return it, 8 goroutines", Operation: Lease, Goroutines: 8, Scale: short, Unit: leased, Among: forCosts},
		{Variant: "allocs/read", Title: "Allocations of an unprepared point read", Operation: AllocsGet, Rows: smallTable, Unit: heap, Among: forCosts},
		{Variant: "allocs/write", Title: "Allocations of a write of one row", Operation: AllocsPut, Synchronous: "NORMAL", Unit: heap, Among: forCosts},
	}
}

// memory gives everybody the same small page caches, which are soon full.
func memory() []Workload {
	return []Workload{
		{
			Variant: "reader", Title: "Memory of an idle reader: 17 against 1, page caches of 64 KiB",
			Operation: Idle, Rows: smallTable, Readers: 17, CacheKiB: 64, Unit: kept, Among: forMemory,
		},
		{
			Variant: "growth", Title: "Memory after many mixed operations, 8 goroutines, small page caches",
			Operation: Growth, Synchronous: "NORMAL", Goroutines: 8, Rows: smallTable, CacheKiB: 256, Rounds: 1, Unit: atEnd, Among: forMemory,
		},
	}
}

func scaling() []Workload {
	const short = 0.3
	var some []Workload
	for _, n := range []int{1, 4, 16, 64} {
		some = append(some, Workload{
			Variant: fmt.Sprintf("read/%dg", n), Title: "Unprepared point read, " + goroutines(n),
			Operation: Get, Goroutines: n, Rows: smallTable, Scale: short, Unit: reads, Among: forScaling,
		})
	}
	for _, n := range []int{1, 4, 16, 64} {
		some = append(some, Workload{
			Variant: fmt.Sprintf("write/%dg", n), Title: "One row per statement, synchronous=FULL, " + goroutines(n),
			Operation: Insert, Goroutines: n, Scale: short, Unit: writes, Among: forScaling,
		})
	}
	for _, s := range []struct {
		rows int
		name string
	}{{1_000, "1k"}, {10_000, "10k"}, {100_000, "100k"}, {1_000_000, "1M"}, {10_000_000, "10M"}} {
		some = append(some, Workload{
			Variant: "rows/" + s.name, Title: "Unprepared point read among " + s.name + " rows, 1 goroutine",
			Operation: Get, Rows: s.rows, Scale: short, Unit: reads, Among: forScaling, Big: s.rows > 1_000_000,
		})
	}
	return some
}
