// Package cluster opens a database that is kept by a consensus engine, rqlite, on three or more
// machines, instead of by one file: what is acknowledged is on the disks of a majority of them.
//
//	import _ "github.com/holdfastdb/holdfast/cluster"
//
//	db, err := holdfast.Open(ctx, "rqlite://user:password@a:4001,b:4001,c:4001?tls=on")
//
// The address names some of the machines; the others are learned of, and the leader is followed.
// Its parameters:
//
//	tls               off (default); on; insecure: on, and nobody checks the certificates
//	ca                file with the certificates, in PEM, that sign those of the machines; default: the system's
//	cert, key         files with the client's own certificate and its key, in PEM
//	server_name       the name in the machines' certificates, if it is not that of the host
//	password_file     file with the password, instead of one in the address
//	level             none, weak (default) or linearizable: how queries read that say nothing; see holdfast.WithReadLevel
//	freshness         a duration: how old an answer may be at level none; default: any age. See holdfast.WithFreshness
//	freshness_strict  true: by the age of the last entry that the machine has, not by when it last heard of the leader
//	timeout           the budget of one call whose context has no earlier end; default database.busy_timeout (30s)
//	response_limit    most bytes of one answer; default 268435456. A longer one is an error
//
// User, password and certificates never show in an error or a log line.
//
// Writes that callers make at the same time go together into one request, which is one entry of
// the replicated log, and each gets its own outcome. There are no interactive transactions: BEGIN
// would be open for everybody who writes, so it is refused before anything is sent. Several
// statements are one DB.Batch. What becomes of a write is committed, rolled back or, when a
// machine dies in the wrong moment, unknown (holdfast.OutcomeOf); a write with an IdempotencyKey is
// sent again then, until it is known, and happens once.
//
// See docs/guide/cluster.md.
package cluster
