// Package holdfast opens one SQLite database and keeps it dependable under
// concurrency.
//
//	db, err := holdfast.Open(ctx, "app.db")
//	if err != nil { ... }
//	defer db.Close()
//	_, err = db.ExecContext(ctx, "INSERT INTO t(a) VALUES (?)", 1)
//
// DB embeds a genuine *sql.DB: hand db.DB to any library that takes one. There
// is no setting to find: every connection is in WAL mode with foreign keys on,
// a statement that reads runs on one of several readers, and everything that
// writes goes through one fair queue to one write connection, which commits
// what is waiting together. Goroutines of one process never see "database is
// locked"; processes wait for each other in turn.
//
// An error is asked, not read: errors.Is with the Err variables of this
// package, errors.As with *Error, which has SQLite's result code.
//
// The engine is SQLite, compiled to Go; see https://www.sqlite.org and
// https://pkg.go.dev/modernc.org/sqlite.
package holdfast
