// Package control is the socket beside a database on which a process that runs
// Holdfast tells others of the same user who holds its locks: the call sites and
// statements that no system shows from outside.
//
// A conversation is one request line ("locks", "stats", "statements" or "health")
// and one line of JSON; no request changes anything. Parameter values and literals never
// come this way: what the callbacks give is sent as it is, and they give
// fingerprints.
//
// The first process that has the database open has <db>-holdfast.sock, the next
// <db>-holdfast.2.sock, up to eight. Each of these places is claimed by a lock
// that ends with its process, so whoever has it may remove what a killed process
// left there: a socket that answers is never removed by another. The socket is
// open to its owner only (0600) from the moment it has a name.
//
// Both ends are bounded: eight conversations at once, a second each. A peer that
// neither reads nor writes keeps one of these places for a second and nobody else.
package control
