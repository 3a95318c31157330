package torture

import (
	"context"
	"fmt"
	"os"
	"testing"
)

// TestMain makes the test program fit to be started as a child.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == childArg {
		if err := RunChild(context.Background(), os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

const childArg = "torture-child"

func options(t *testing.T) *Options {
	t.Helper()
	return &Options{Dir: t.TempDir(), Seed: 42, ChildArgs: []string{childArg}, Progress: func(*Trial) {}}
}
