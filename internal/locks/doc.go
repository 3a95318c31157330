// Package locks knows who holds what: the leases on connections that outlive
// a call, each with the place in the caller's code that took it.
//
// All types are safe for concurrent use unless they say otherwise.
package locks
