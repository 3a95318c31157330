package torture

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestCutLosesWhatWasNotSynced shows that the power really fails, and that
// nothing is left of a volume whose processes were killed.
func TestCutLosesWhatWasNotSynced(t *testing.T) {
	t.Parallel()
	if lack := Volumes(t.Context()); lack != "" {
		t.Skip(lack)
	}
	trial := newTrial(Scenario{Name: "cut"}, *options(t), 1, t.TempDir())
	v, err := newVolume(t.Context(), trial, "v", volumeSize, false)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, sync bool) {
		t.Helper()
		f, err := os.Create(v.outside(name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString("text"); err != nil {
			t.Fatal(err)
		}
		if sync {
			if err := f.Sync(); err != nil {
				t.Fatal(err)
			}
		}
	}
	write("synced", true)
	write("not-synced", false)
	for _, what := range []string{"cut", "again"} {
		if err := v.ask(t.Context(), what); err != nil {
			t.Fatal(err)
		}
	}
	if text, err := os.ReadFile(v.outside("synced")); string(text) != "text" {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := os.Stat(v.outside("not-synced")); !os.IsNotExist(err) {
		t.Errorf("what was not synced is there: %v", err)
	}
	if err := v.keeper.Kill(); err != nil {
		t.Fatal(err)
	}
	waitForLoop(t, filepath.Join(filepath.Dir(v.path), "image"))
}

// waitForLoop waits until no loop device has the image, which the kernel sees to
// once the namespace is gone.
func waitForLoop(t *testing.T, image string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for {
		backing, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
		if err != nil {
			t.Fatal(err)
		}
		held := false
		for _, b := range backing {
			text, err := os.ReadFile(b)
			held = held || err == nil && strings.TrimSpace(string(text)) == image
		}
		if !held {
			return
		}
		if sleep(ctx, 5*time.Millisecond) != nil {
			t.Fatal("the loop device is still there")
		}
	}
}
