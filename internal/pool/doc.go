// Package pool keeps the reader connections of one database: it opens them
// when they are needed, hands each to one lease at a time, and retires the
// old, the idle and the unclean. A Pool is safe for concurrent use; a Reader
// belongs to the goroutine that leased it.
package pool
