package selftest_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"github.com/holdfastdb/holdfast/doctor/selftest"
	"go.uber.org/goleak"
)

// held names the database that this program keeps open if it runs as the
// second process of a test.
const held = "HOLDFAST_TEST_HOLD"

func TestMain(m *testing.M) {
	if path := os.Getenv(held); path != "" {
		if err := selftest.Hold(path, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

func hold(ctx context.Context, path string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), held+"="+path)
	return cmd
}

// Each illness is found, and no healthy database is called ill.
func TestSickAndHealthy(t *testing.T) {
	t.Parallel()
	results, err := selftest.Run(t.Context(), t.TempDir(), hold)
	if err != nil {
		t.Fatal(err)
	}
	sick, healthy := 0, 0
	for _, r := range results {
		switch {
		case r.Skipped != "":
			t.Logf("%s: left out: %s", r.Name, r.Skipped)
		case !r.OK && r.Sick:
			t.Errorf("%s: found %q, and not %s", r.Name, r.Found, r.Want)
		case !r.OK:
			t.Errorf("%s is healthy, but found %q", r.Name, r.Found)
		case r.Sick:
			sick++
			t.Logf("%s: %q", r.Name, r.Found)
		default:
			healthy++
		}
	}
	wanted := 20
	if runtime.GOOS != "linux" {
		wanted = 15 // what needs to see other processes, or permission bits, is left out
	}
	if sick < wanted || healthy < wanted {
		t.Errorf("%d sick and %d healthy databases were judged rightly; %d of each are wanted", sick, healthy, wanted)
	}
}
