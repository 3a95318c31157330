// Package glebarez holds the tests of github.com/glebarez/sqlite, the GORM
// dialect for the pure-Go engine. It is apart from the other clients because
// its driver registers itself as "sqlite", the name that the stock driver has.
package glebarez
