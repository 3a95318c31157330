package work

import (
	"slices"
	"time"
)

// Tally is what one process has done, and what it says it was told. The loops
// in C and Python print the same keys.
type Tally struct {
	Done       int64   `json:"done"`                  // operations, or rows, that succeeded
	Failed     int64   `json:"failed"`                // operations that returned an error
	WarmFailed int64   `json:"warm_failed,omitempty"` // the same in the warm-up
	FirstError string  `json:"first_error,omitempty"`
	Retries    int64   `json:"retries,omitempty"` // conflicts that the contestant itself got over, where it counts them
	Rate       float64 `json:"rate"`              // Done per second
	CPU        float64 `json:"cpu_seconds"`       // of the whole process while it worked, user and system
	System     float64 `json:"system_seconds"`    // the system's part of that
	Faults     int64   `json:"page_faults"`

	Latency Histogram `json:"latency"`         // of what succeeded
	Reads   Histogram `json:"reads,omitempty"` // the reads among them, where reads and writes are mixed
	Idle    Histogram `json:"idle,omitempty"`  // of reads before the bulk write began

	// Least is the shortest time, where many are alike but for what disturbs them.
	Least time.Duration `json:"least_ns,omitempty"`

	Memory Memory `json:"memory,omitzero"`

	Ledger     []Account `json:"ledger,omitempty"`     // rows that were acknowledged, by worker
	Increments int64     `json:"increments,omitempty"` // of counters, acknowledged
	Allocs     float64   `json:"allocs_per_op,omitempty"`
	Bytes      float64   `json:"bytes_per_op,omitempty"`
}

// Account is what one worker was told is in the table entry. Its rows carry the
// numbers 1, 2, 3... in seq; a number whose write failed is left out.
type Account struct {
	Worker int   `json:"worker"`
	Rows   int64 `json:"rows"`
	Sum    int64 `json:"sum"` // of seq
}

// count notes one operation.
func (t *Tally) count(took time.Duration, err error) {
	if err != nil {
		t.Failed++
		if t.FirstError == "" {
			t.FirstError = err.Error()
		}
		return
	}
	t.Done++
	t.Latency.Add(took)
}

// forget ends a warm-up: what was done counts no longer, but what is in the
// database because of it stays noted.
func (t *Tally) forget() {
	*t = Tally{Ledger: t.Ledger, Increments: t.Increments, WarmFailed: t.WarmFailed + t.Failed}
}

// Merge adds what another worker or process has done.
func (t *Tally) Merge(other *Tally) {
	t.Done += other.Done
	t.Failed += other.Failed
	t.WarmFailed += other.WarmFailed
	t.Retries += other.Retries
	t.Rate += other.Rate
	t.CPU += other.CPU
	t.System += other.System
	t.Faults += other.Faults
	t.Increments += other.Increments
	if t.FirstError == "" {
		t.FirstError = other.FirstError
	}
	t.Latency.Merge(&other.Latency)
	t.Reads.Merge(&other.Reads)
	t.Idle.Merge(&other.Idle)
	t.Ledger = slices.Concat(t.Ledger, other.Ledger)
	if other.Memory != (Memory{}) {
		t.Memory = other.Memory // one of them has it
	}
	t.Least = max(t.Least, other.Least)
	t.Allocs = max(t.Allocs, other.Allocs)
	t.Bytes = max(t.Bytes, other.Bytes)
}
