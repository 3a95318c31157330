// Package salvage copies what can still be read of a damaged database into a new
// one. It reads pages and not SQL, so that a damaged page costs the rows that were
// on it and no others, and it never changes the damaged files.
//
// [Run] is safe for concurrent use on different outputs. A run uses one goroutine,
// the caller's. The format that it reads is https://www.sqlite.org/fileformat2.html.
package salvage
