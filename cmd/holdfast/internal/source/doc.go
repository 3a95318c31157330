// Package source finds in the source of a Go program the mistakes with SQLite
// that compile and pass tests. Each check is an analyzer of
// golang.org/x/tools/go/analysis. A check that can't be sure is silent: a false
// alarm costs the reader more than a finding is worth.
package source
