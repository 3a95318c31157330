// Package unregister keeps the driver of github.com/ncruces/go-sqlite3 from
// registering itself with database/sql. Its name is "sqlite3", as is that of
// github.com/mattn/go-sqlite3, and a program in which both register panics at
// its start. The driver's own remedy is a flag of the linker, which go run
// would have to be given each time.
//
// A package is initialized as soon as all that it imports is, in the order of
// import paths (https://go.dev/ref/spec#Program_initialization). This one
// imports nothing and sorts before github.com/ncruces, so it comes first.
package unregister

import _ "unsafe" // for go:linkname

// The variable of the driver itself: nothing else is read when it registers.
//
//go:linkname driverName github.com/ncruces/go-sqlite3/driver.driverName
var driverName string

func init() { driverName = "" }
