// Package contention measures what happens when many goroutines, and several
// processes, run read-then-write transactions on one row: through Holdfast, or
// through the bare driver of modernc.org/sqlite for comparison. All contestants
// run the same code on a *sql.DB.
//
// Every acknowledged transaction must be in the database at the end; what is
// missing counts as lost.
package contention
