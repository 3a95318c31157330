package sidelock

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

func TestDirOfADeadOwnerGoes(t *testing.T) {
	if !Supported() {
		t.Skip("no locks here")
	}
	base := t.TempDir()
	live, err := NewDir(base, "work-", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(live.Path("a"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	names := map[string]time.Duration{"work-dead": 2 * time.Minute, "work-new": 0, "other": 2 * time.Minute}
	for name, age := range names {
		dir := filepath.Join(base, name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(-age)
		if err := os.Chtimes(dir, at, at); err != nil {
			t.Fatal(err)
		}
	}
	at := time.Now().Add(-time.Hour) // a live one may be old
	if err := os.Chtimes(filepath.Dir(live.Path("a")), at, at); err != nil {
		t.Fatal(err)
	}
	var undone []string
	second, err := NewDir(base, "work-", func(dir string) { undone = append(undone, filepath.Base(dir)) })
	if err != nil {
		t.Fatal(err)
	}
	if (runtime.GOOS == "linux" || runtime.GOOS == "windows") && (len(undone) != 1 || undone[0] != "work-dead") {
		t.Errorf("undone %q", undone)
	}
	sweeps := runtime.GOOS == "linux" || runtime.GOOS == "windows"
	for path, want := range map[string]bool{
		live.Path("a"): true, second.Path("owner" + Suffix): true,
		filepath.Join(base, "work-dead"): !sweeps, filepath.Join(base, "work-new"): true, filepath.Join(base, "other"): true,
	} {
		if _, err := os.Stat(path); (err == nil) != want {
			t.Errorf("%s: %v", path, err)
		}
	}
	for _, d := range []*Dir{live, second} {
		if err := d.Remove(); err != nil {
			t.Error(err)
		}
	}
}
