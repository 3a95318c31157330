//go:build !linux

package dbfile

import (
	"os"
	"runtime"
	"testing"
)

func openTempDir(t *testing.T) string { return t.TempDir() }

// asUser runs f, for which permission bits must count.
func asUser(t *testing.T, _ string, f func()) {
	t.Helper()
	if runtime.GOOS == "windows" || os.Geteuid() == 0 {
		t.Skip("permission bits don't count here")
	}
	f()
}
