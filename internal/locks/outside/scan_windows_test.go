package outside

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/windows"
)

// The list is an array of structures that Windows fills in.
func TestLayoutOfTheList(t *testing.T) {
	if got := unsafe.Sizeof(user{}); got != 668 {
		t.Errorf("RM_PROCESS_INFO has 668 bytes, user has %d", got)
	}
}

func TestIntroduce(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := NewWatcher("").introduce(process{Process: Process{PID: os.Getpid(), Program: "?"}})
	if p.Program != filepath.Base(exe) || p.User == "" {
		t.Errorf("%+v, want %s", p, filepath.Base(exe))
	}
}

// Who has the file open is listed, or the report says why it isn't.
func TestOpeners(t *testing.T) {
	dir, err := os.MkdirTemp("", "openers")
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(dir, "open.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close(); _ = os.RemoveAll(dir) })
	r, err := Look(context.Background(), f.Name())
	if err != nil {
		t.Fatal(err)
	}
	blind := strings.Join(r.Blind, "\n")
	if !strings.Contains(blind, "LockFileEx") {
		t.Error(blind)
	}
	if windows.NewLazySystemDLL("ntdll.dll").NewProc("wine_get_version").Find() == nil {
		t.Skip("wine's Restart Manager answers every question with an empty list")
	}
	listed := slices.ContainsFunc(r.Openers, func(p Process) bool { return p.PID == os.Getpid() })
	if listed == strings.Contains(blind, "is not known either") {
		t.Errorf("listed: %v, blind: %s", listed, blind)
	}
}
