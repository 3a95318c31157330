//go:build !unix

package table

// Own has nothing to find out: here locks belong to a handle, and closing
// another one drops none.
func Own(...string) bool { return false }
