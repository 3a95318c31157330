//go:build !unix

package outside

// own has nothing to find out: here locks belong to a handle, and closing
// another one drops none.
func own(files) bool { return false }
