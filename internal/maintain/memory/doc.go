// Package memory divides one budget among the page caches of all connections of the
// process, makes it smaller when memory runs short, and finds what grows without end.
//
// A connection is looked at and resized only by whoever may use it at that moment: the
// package decides, and is called by the owner (Database.Visit). Everything here is safe
// for concurrent use.
package memory
