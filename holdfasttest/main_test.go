package holdfasttest_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"testing"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/holdfasttest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if runtime.GOOS == "windows" {
		fmt.Println("SKIPPED: disks that fail are made and tested on Unix; on Windows a database can be there still when its test has ended")
		return
	}
	goleak.VerifyTestMain(m)
}

func newDisk(t *testing.T) *holdfasttest.Disk {
	t.Helper()
	d := holdfasttest.NewDisk()
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func exec(t *testing.T, db *holdfast.DB, query string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(context.Background(), query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// scratch is a directory in memory, where there is one.
func scratch(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "holdfasttest-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	return dir
}

func check(t *testing.T, path, want, query string) {
	t.Helper()
	got, err := holdfasttest.Examine(path, query)
	if err != nil {
		t.Fatal(err)
	}
	if got[0] != want {
		t.Fatalf("%s: %q, want %q", query, got[0], want)
	}
}
