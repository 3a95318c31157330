package replicate

import (
	"context"
	"errors"
	"os"
	"runtime"
	"testing"

	"github.com/holdfastdb/holdfast"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	_ = os.Unsetenv("AWS_CA_BUNDLE") // S3's client fails by it
	if role := os.Getenv("HOLDFAST_REPLICATE_TEST_CHILD"); role != "" {
		child(role)
		return
	}
	if runtime.GOOS == "windows" { // where it is refused
		_, err := open(context.Background(), "app.db", Config{}, nil, connections{}, stallAfter)
		if !errors.Is(err, holdfast.ErrRefused) {
			panic(err)
		}
		return
	}
	goleak.VerifyTestMain(m)
}
