// Package selftest makes databases that are ill in known ways, and others that
// are well, and demands that package doctor finds each illness and no other.
//
// The databases are made by the real engine and by operations on files, in a
// directory of their own.
package selftest
