// Package schedule decides when a database is maintained: which task is due, in
// which hours, that nobody is disturbed, and that only one runs at a time, in this
// process and in all that have the file.
//
// What a task does is not its business: the root gives it functions. It owns one
// timer and no goroutine; a task runs on the timer's.
package schedule
