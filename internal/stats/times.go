package stats

import (
	"sync"
	"time"

	"github.com/holdfastdb/holdfast/history"
	"github.com/holdfastdb/holdfast/queries"
)

// Durations is a histogram that several goroutines add to, in 10 KB at most.
type Durations struct {
	mu sync.Mutex // guards h
	h  queries.Histogram
}

// Add counts one.
func (d *Durations) Add(t time.Duration) { d.AddN(t, 1) }

// AddN counts n of them.
func (d *Durations) AddN(t time.Duration, n uint64) {
	d.mu.Lock()
	d.h.AddN(t, n)
	d.mu.Unlock()
}

// AddAll counts several.
func (d *Durations) AddAll(all []time.Duration) {
	d.mu.Lock()
	for _, t := range all {
		d.h.Add(t)
	}
	d.mu.Unlock()
}

func (d *Durations) snapshot() *queries.Histogram {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.h.Clone()
}

// Times are the distributions of one database. None is added to by a statement that reads
// and waits for nobody, but for one in SampledLeases. The zero value is ready to use.
type Times struct {
	ReaderWait, ReaderUse, ReaderCreate Durations
	WriterWait, WriterUse, WriterCreate Durations
	GroupUnits                          Durations // n units are n seconds
	Exclusive                           Durations
	WriteTx, ReadTx, Rows               Durations
	Passive, Restart, Truncate          Durations // of checkpoints; Restart has FULL, too
}

// SampledLeases is of how many short leases of readers one is timed, and counted as so
// many: they take a microsecond, and two looks at the clock are 90 ns.
const SampledLeases = 256

// List are all of them as they are now.
func (t *Times) List() []history.Histogram {
	of := func(name, unit, key, value string, d *Durations) history.Histogram {
		return history.Histogram{Name: name, Unit: unit, Key: key, Value: value, Counts: d.snapshot()}
	}
	return []history.Histogram{
		of("connection.wait", "s", "pool", "read", &t.ReaderWait),
		of("connection.wait", "s", "pool", "write", &t.WriterWait),
		of("connection.use", "s", "pool", "read", &t.ReaderUse),
		of("connection.use", "s", "pool", "write", &t.WriterUse),
		of("connection.create", "s", "pool", "read", &t.ReaderCreate),
		of("connection.create", "s", "pool", "write", &t.WriterCreate),
		of("writer.group_units", "", "", "", &t.GroupUnits),
		of("lock.held", "s", "kind", "write", &t.WriterUse),
		of("lock.held", "s", "kind", "exclusive work", &t.Exclusive),
		of("lock.held", "s", "kind", "write transaction", &t.WriteTx),
		of("lock.held", "s", "kind", "read transaction", &t.ReadTx),
		of("lock.held", "s", "kind", "rows", &t.Rows),
		of("wal.checkpoint", "s", "mode", "passive", &t.Passive),
		of("wal.checkpoint", "s", "mode", "restart", &t.Restart),
		of("wal.checkpoint", "s", "mode", "truncate", &t.Truncate),
	}
}
