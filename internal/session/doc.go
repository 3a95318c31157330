// Package session is the database/sql driver. A driver.Conn here is a session,
// not a SQLite connection: each statement goes where the engine's own verdict
// sends it, reads to a reader that is leased until the rows are read, writes
// to the one writer.
//
// A session that changes the state of its connection (PRAGMA that sets,
// ATTACH, TEMP) gets a connection of its own, so that nobody else inherits
// that state; its writes still pass the writer's gate.
//
// As database/sql demands, a Conn, its transactions and its Rows are used by
// one goroutine at a time. Engine is safe for concurrent use.
package session
