package work

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Operation is what the goroutines of a process do again and again.
type Operation string

// The operations.
const (
	Get       Operation = "get"       // Getter
	Prepared  Operation = "prepared"  // Preparer
	Scan      Operation = "scan"      // Scanner
	Insert    Operation = "insert"    // Inserter
	InsertTx  Operation = "tx"        // TxInserter
	Increment Operation = "increment" // Incrementer
	Bulk      Operation = "bulk"      // Bulker, once
	Mix       Operation = "mix"       // Getter nine times of ten, else Inserter
	Latency   Operation = "latency"   // Getter at a slow pace, alone and beside a Bulker
	Open      Operation = "open"      // open, one statement, close
	Lease     Operation = "lease"     // Leaser
	Create    Operation = "gorm"      // Mapped: Create through GORM
	Idle      Operation = "idle"      // Holder
	Growth    Operation = "growth"    // as Mix, Operations times
	AllocsGet Operation = "allocs-get"
	AllocsPut Operation = "allocs-insert"
)

// Job is what one process is to do. Each process has goroutines of its own, and
// numbers them from FirstWorker on.
type Job struct {
	Contestant  string        `json:"contestant"`
	Operation   Operation     `json:"operation"`
	Settings    Settings      `json:"settings"`
	Goroutines  int           `json:"goroutines"`
	FirstWorker int           `json:"first_worker"`
	Rows        int           `json:"rows"` // of the table item, or to be written at once
	Warm        time.Duration `json:"warm_ns"`
	Duration    time.Duration `json:"duration_ns"`
	Operations  int64         `json:"operations,omitempty"` // an end before that of Duration
	Profile     string        `json:"profile,omitempty"`    // where to, without the ending; "" for none

	ready func() error // see begin
}

// Opener opens a database as a contestant does.
type Opener func(ctx context.Context, s Settings) (Database, error)

// opensItself tells that the job needs no open database, but the opener.
func (j Job) opensItself() bool { return j.Operation == Open || j.Operation == Idle }

// Run does the job on an open database; one that opens its own needs only the
// opener. A failed operation is counted. An error means that the job could
// not be done, or was done wrong.
//
// Before what counts, Run works for about as long as Warm says, on the same
// goroutines, connections and statements, and calls ready in between, unless it
// is nil: a process is slow at first, while its heap, stacks and caches grow.
func (j Job) Run(ctx context.Context, open Opener, db Database, ready func() error) (*Tally, error) {
	j.ready = ready
	t, err := j.run(ctx, open, db)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", j.Contestant, j.Operation, err)
	}
	if r, ok := db.(Retrier); ok {
		t.Retries = r.Retries()
	}
	return t, nil
}

func (j Job) run(ctx context.Context, open Opener, db Database) (*Tally, error) {
	switch j.Operation {
	case Get:
		return does(db, func(g Getter) (*Tally, error) { return j.reads(ctx, g.Get) })
	case Prepared:
		return does(db, func(p Preparer) (*Tally, error) { return j.prepared(ctx, p) })
	case Scan:
		return does(db, func(s Scanner) (*Tally, error) { return j.scans(ctx, s) })
	case Insert:
		return does(db, func(i Inserter) (*Tally, error) { return j.inserts(ctx, i.Insert) })
	case InsertTx:
		return does(db, func(i TxInserter) (*Tally, error) { return j.inserts(ctx, i.InsertTx) })
	case Increment:
		return does(db, func(i Incrementer) (*Tally, error) { return j.increments(ctx, i) })
	case Bulk:
		return does(db, func(b Bulker) (*Tally, error) { return j.bulk(ctx, b) })
	case Mix:
		return does(db, func(m mixed) (*Tally, error) { return j.mix(ctx, m) })
	case Latency:
		return does(db, func(w watched) (*Tally, error) { return j.latency(ctx, w) })
	case Lease:
		return does(db, func(l Leaser) (*Tally, error) { return j.leases(ctx, l) })
	case Create:
		return does(db, func(m Mapped) (*Tally, error) { return j.creates(ctx, m) })
	case Open:
		return j.opens(ctx, open)
	case Idle:
		return j.idleReaders(ctx, open)
	case Growth:
		return does(db, func(m mixed) (*Tally, error) { return j.growth(ctx, m) })
	case AllocsGet:
		return does(db, func(g Getter) (*Tally, error) { return j.allocsOfGet(ctx, g) })
	case AllocsPut:
		return does(db, func(i Inserter) (*Tally, error) { return j.allocsOfInsert(ctx, i) })
	}
	return nil, fmt.Errorf("no such operation")
}

// begin ends the part that does not count. It is called once.
func (j Job) begin() error {
	if j.ready == nil {
		return nil
	}
	return j.ready()
}

// begun is the job where it has begun already, for a second part that counts.
func (j Job) begun() Job {
	j.Warm, j.ready = 0, nil
	return j
}

var errNotOffered = errors.New("the contestant does not offer this")

// does runs f on what the database offers.
func does[T any](db Database, f func(T) (*Tally, error)) (*Tally, error) {
	able, ok := db.(T)
	if !ok {
		return nil, errNotOffered
	}
	return f(able)
}
