// Package report turns measurements into what people and programs read: a
// table, JSON and a chart.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"
)

// Schema is the version of the JSON. Keys are added, never changed.
const Schema = "holdfast.bench/v1"

// Report is one run of the benchmark.
type Report struct {
	Schema      string      `json:"schema"`
	Environment Environment `json:"environment"`
	Workloads   []Workload  `json:"workloads"`
	Missing     []Missing   `json:"missing,omitempty"`
}

// Environment is where it was measured, and what.
type Environment struct {
	Time       time.Time         `json:"time"`
	Go         string            `json:"go"`
	System     string            `json:"system"` // linux/amd64
	CPU        string            `json:"cpu,omitempty"`
	CPUs       int               `json:"cpus"`
	FileSystem string            `json:"file_system,omitempty"`
	Fsync      float64           `json:"fsync_seconds"` // median of a page appended and synced
	LoadBefore string            `json:"load_before,omitempty"`
	LoadAfter  string            `json:"load_after,omitempty"`
	Seconds    float64           `json:"duration_seconds"`
	Cell       float64           `json:"cell_seconds"` // what --duration was
	Rounds     int               `json:"rounds"`
	Versions   map[string]string `json:"versions"` // of the modules that are compared
}

// Missing is a contestant that could not take part.
type Missing struct {
	Contestant string `json:"contestant"`
	Reason     string `json:"reason"`
}

// Workload is what was measured of one workload.
type Workload struct {
	ID          string       `json:"id"`
	Title       string       `json:"title"`
	Unit        string       `json:"unit"`
	Lower       bool         `json:"lower_is_better"`
	Contestants []Contestant `json:"contestants"`
}

// Contestant is what one contestant did in a workload, the base first.
type Contestant struct {
	Name    string  `json:"name"`
	Base    bool    `json:"base,omitempty"` // the one that others are compared with
	Limit   bool    `json:"limit,omitempty"`
	Ours    bool    `json:"ours,omitempty"`
	Summary Summary `json:"summary"`
	Runs    []Run   `json:"runs"`
}

// Run is what one contestant did in one round.
type Run struct {
	Round      int     `json:"round"`             // from 1
	Problem    string  `json:"problem,omitempty"` // why this run counts for nothing
	Value      float64 `json:"value"`             // in the workload's unit
	Done       int64   `json:"done"`              // operations, or rows
	Errors     int64   `json:"errors"`            // operations that returned an error
	FirstError string  `json:"first_error,omitempty"`
	Retries    int64   `json:"retries,omitempty"` // conflicts that the contestant got over, where it counts them
	Lost       int64   `json:"lost"`              // acknowledged and not there
	Surplus    int64   `json:"surplus"`           // refused and there all the same

	WAL   int64   `json:"wal_bytes"`       // the largest that was seen
	Share float64 `json:"share,omitempty"` // the busiest process, as a multiple of the slowest
	Times
	Costs
	Memory
}

// Times are latencies in seconds, of operations that succeeded.
type Times struct {
	P50     float64 `json:"p50_seconds"`
	P99     float64 `json:"p99_seconds"`
	Max     float64 `json:"max_seconds"`
	Least   float64 `json:"least_seconds,omitempty"`
	ReadP99 float64 `json:"read_p99_seconds,omitempty"`
	IdleP99 float64 `json:"idle_p99_seconds,omitempty"`
}

// Costs are what one operation takes besides time.
type Costs struct {
	CPU    float64 `json:"cpu_per_operation_seconds"`                  // user and system
	System float64 `json:"system_cpu_per_operation_seconds,omitempty"` // its system part
	Faults float64 `json:"page_faults_per_operation,omitempty"`
	Allocs float64 `json:"allocs_per_operation,omitempty"` // objects on Go's heap
	Bytes  float64 `json:"bytes_per_operation,omitempty"`
}

// Memory is what the process has in bytes, and how much more than before, for
// each operation or reader.
type Memory struct {
	Resident   float64 `json:"resident_bytes,omitempty"`
	Live       float64 `json:"live_heap_bytes,omitempty"`
	Growth     float64 `json:"resident_growth_bytes,omitempty"`
	LiveGrowth float64 `json:"live_heap_growth_bytes,omitempty"`
}

// WriteJSON writes the report as JSON.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// ReadJSON reads what WriteJSON wrote.
func ReadJSON(in io.Reader) (*Report, error) {
	r := new(Report)
	if err := json.NewDecoder(in).Decode(r); err != nil {
		return nil, err
	}
	if r.Schema != Schema {
		return nil, fmt.Errorf("the schema is %q, not %q", r.Schema, Schema)
	}
	r.Summarize()
	return r, nil
}

// Keep leaves only the workloads of these IDs.
func (r *Report) Keep(ids []string) {
	r.Workloads = slices.DeleteFunc(r.Workloads, func(w Workload) bool { return !slices.Contains(ids, w.ID) })
}

// KeepContestants leaves only those of these names, and the base.
func (r *Report) KeepContestants(names []string) {
	for i := range r.Workloads {
		w := &r.Workloads[i]
		w.Contestants = slices.DeleteFunc(w.Contestants, func(c Contestant) bool { return !c.Base && !slices.Contains(names, c.Name) })
	}
}

// Problems counts the runs that count for nothing, and those that lost rows.
func (r *Report) Problems() int {
	n := 0
	for _, w := range r.Workloads {
		for _, c := range w.Contestants {
			for _, run := range c.Runs {
				if run.Problem != "" || run.Lost > 0 {
					n++
				}
			}
		}
	}
	return n
}
