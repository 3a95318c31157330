package standby

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	_ = os.Unsetenv("AWS_CA_BUNDLE") // with which Litestream's client doesn't start
	if role := os.Getenv(childVariable); role != "" {
		child(role)
		return
	}
	goleak.VerifyTestMain(m)
}
