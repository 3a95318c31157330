//go:build !linux

package standby

import (
	"runtime"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if runtime.GOOS == "windows" { // where replication is refused
		return
	}
	goleak.VerifyTestMain(m)
}
