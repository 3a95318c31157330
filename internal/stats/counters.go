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
	UploadWaits          atomic.Int64 // writes that waited for their upload before they were acknowledged
	uploadWaited         atomic.Int64 // ns
	LockOrderInversions  atomic.Int64 // orders of databases found to contradict others
	BusyErrors           atomic.Int64 // ErrBusy for want of a lock, not of a reader
	StatisticsMended     atomic.Int64 // tables whose statistics were written anew and kept
	StatisticsReverted   atomic.Int64 // tables whose statistics were put back
	PagesReleased        atomic.Int64 // given back to the file system in steps
	ReleaseSteps         atomic.Int64
	longestRelease       atomic.Int64 // ns
}

// AddQueueWait records one wait for the writer.
func (c *Counters) AddQueueWait(d time.Duration) {
	c.QueueWaits.Add(1)
	c.queueWaited.Add(int64(d))
}

// AddUploadWait records one wait for an upload.
func (c *Counters) AddUploadWait(d time.Duration) {
	c.UploadWaits.Add(1)
	c.uploadWaited.Add(int64(d))
}

// UploadWaited is the sum of all waits for uploads.
func (c *Counters) UploadWaited() time.Duration { return time.Duration(c.uploadWaited.Load()) }

// AddRelease records steps that gave pages back, the longest of which took d.
func (c *Counters) AddRelease(pages, steps int64, d time.Duration) {
	c.PagesReleased.Add(pages)
	c.ReleaseSteps.Add(steps)
	for {
		old := c.longestRelease.Load()
		if int64(d) <= old || c.longestRelease.CompareAndSwap(old, int64(d)) {
			return
		}
	}
}

// LongestRelease is the longest step that gave pages back.
func (c *Counters) LongestRelease() time.Duration { return time.Duration(c.longestRelease.Load()) }

// QueueWaited is the sum of all waits for the writer.
func (c *Counters) QueueWaited() time.Duration {
	return time.Duration(c.queueWaited.Load())
}
