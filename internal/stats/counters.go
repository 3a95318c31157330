package stats

import (
	"sync/atomic"
	"time"
)

// Counters is the running count of one database. All fields only grow. The
// zero value is ready to use; it must not be copied.
type Counters struct {
	ConnectionsCreated   atomic.Int64
	ConnectionsDiscarded atomic.Int64
	Succeeded            atomic.Int64 // statements and transactions that ended well
	Failed               atomic.Int64
	LockConflicts        atomic.Int64 // lock waits that ended in BUSY, and snapshots too old
	Retries              atomic.Int64 // redone transactions and re-sent statements
	Groups               atomic.Int64 // COMMITs of the writer
	GroupedUnits         atomic.Int64 // units acknowledged by those COMMITs
	QueueWaits           atomic.Int64 // units that had to wait for the writer
	queueWaited          atomic.Int64 // ns
	Leaks                atomic.Int64
	Evictions            atomic.Int64
	UnknownOutcomes      atomic.Int64
	LockOrderInversions  atomic.Int64 // orders of databases found to contradict others
}

// AddQueueWait records one wait for the writer.
func (c *Counters) AddQueueWait(d time.Duration) {
	c.QueueWaits.Add(1)
	c.queueWaited.Add(int64(d))
}

// QueueWaited is the sum of all waits for the writer.
func (c *Counters) QueueWaited() time.Duration {
	return time.Duration(c.queueWaited.Load())
}
