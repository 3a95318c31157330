// Package stats counts what happens to a database in fixed memory, and names
// statements without the values in them.
//
// Counters are updated with atomics and read as plain values; every function
// is safe for concurrent use.
package stats
