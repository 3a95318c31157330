// Package interop holds tests only: real, unmodified clients of database/sql
// (ORMs, migration tools, a job queue, a session store) run over a Holdfast
// handle. It is a module of its own so that none of these clients becomes a
// requirement of the library.
//
// Run it with
//
//	go test ./...
//
// and, to learn what the stock pure-Go driver answers to the same test, with
// HOLDFAST_INTEROP_BARE=1 in the environment. A test that passes on the stock
// driver has to pass on Holdfast.
//
// No C compiler is needed: with CGO_ENABLED=0 the driver that GORM's dialect
// imports compiles without an engine, and the dialect takes the handle as its Conn.
//
// The directory glebarez is a package of its own because the client tested
// there registers a driver under the same name as the stock one, which two
// packages of one program cannot do.
package interop
