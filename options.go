package holdfast

import (
	"log/slog"
	"time"
)

// Option changes one setting of Open. Options are applied in order, over the
// defaults; Config has every setting and OpenConfig takes it whole.
type Option func(*Config)

// WithLogger sends what an operator wants to know to l: leaks, evictions,
// fencing, connections given up. Default: silent. No line contains a value.
func WithLogger(l *slog.Logger) Option {
	return func(c *Config) { c.Logger = l }
}

// WithBusyTimeout sets the budget for lock waits of one statement or
// transaction. Default 30 s; d <= 0 never waits.
func WithBusyTimeout(d time.Duration) Option {
	return func(c *Config) { c.Database.BusyTimeout = orOff(d) }
}

// WithReaders sets how many reader connections may be open at once. Default:
// the larger of 4 and the number of CPUs. The writer is one more.
func WithReaders(n int) Option {
	return func(c *Config) { c.ConnectionPool.MaxConnections = n }
}

// WithSynchronous sets when a commit reaches the disk: "FULL" (default, before
// it is acknowledged), "NORMAL" (a power cut may undo the last commits, never
// corrupt) or "EXTRA". See https://www.sqlite.org/pragma.html#pragma_synchronous.
func WithSynchronous(mode string) Option {
	return func(c *Config) { c.Database.Synchronous = mode }
}

// WithReadOnly opens the file for reading only; it must exist.
func WithReadOnly() Option {
	return func(c *Config) { c.Database.ReadOnly = true }
}

// WithMemoryBudget sets the bytes that all page caches of the database in this
// process may use together. Default 64 MiB.
func WithMemoryBudget(bytes int64) Option {
	return func(c *Config) { c.Database.MemoryBudget = bytes }
}

// WithMaxLeaseAge ends transactions and results that are held for longer than
// d with ErrEvicted, so that a forgotten one cannot pin the write-ahead log or
// the writer for ever. Default: never.
func WithMaxLeaseAge(d time.Duration) Option {
	return func(c *Config) {
		c.ConnectionPool.MaxLeaseAge = orOff(d)
		c.Writer.MaxTransactionAge = orOff(d)
	}
}

// WithLeakThreshold sets after how long a Rows, Tx or Conn that is still out is
// reported, with the place that took it. Default 1 min; d <= 0 never.
func WithLeakThreshold(d time.Duration) Option {
	return func(c *Config) { c.ConnectionPool.LeakThreshold = orOff(d) }
}

// orOff turns "no time" into what a Config calls off; its zero is the default.
func orOff(d time.Duration) time.Duration {
	if d <= 0 {
		return -1
	}
	return d
}
