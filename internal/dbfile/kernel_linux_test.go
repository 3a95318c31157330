package dbfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// mountAt mounts for the length of a test, or skips it without the right to.
func mountAt(t *testing.T, source, target, fstype string, flags uintptr, data string) {
	t.Helper()
	if err := os.MkdirAll(target, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(source, target, fstype, flags, data); err != nil {
		t.Skipf("mount %s: %v", fstype, err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(target, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
}

func TestRealMounts(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	outer := filepath.Join(root, "with blank\tand\\backslash")
	mountAt(t, "outer", outer, "tmpfs", 0, "size=1m")
	inner := filepath.Join(outer, "inner")
	mountAt(t, "inner", inner, "tmpfs", 0, "size=1m")
	bound := filepath.Join(root, "bound")
	mountAt(t, inner, bound, "", unix.MS_BIND, "")
	covered := filepath.Join(root, "covered")
	mountAt(t, "below", filepath.Join(covered, "deep"), "tmpfs", 0, "size=1m")
	mountAt(t, "above", covered, "tmpfs", 0, "size=1m")
	for path, want := range map[string]FS{
		outer + "/app.db":         {Memory, "tmpfs", outer, "outer", false},
		outer + "/none/app.db":    {Memory, "tmpfs", outer, "outer", false},
		inner + "/app.db":         {Memory, "tmpfs", inner, "inner", false},
		bound + "/app.db":         {Memory, "tmpfs", bound, "inner", false},
		covered + "/app.db":       {Memory, "tmpfs", covered, "above", false},
		covered + "/deep/app.db":  {Memory, "tmpfs", covered, "above", false}, // "below" is out of reach
		covered + "/deep/../a.db": {Memory, "tmpfs", covered, "above", false},
	} {
		if got, err := FileSystem(path); err != nil || got != want {
			t.Errorf("%q:\n got %+v, %v\nwant %+v", path, got, err, want)
		}
		if err := CheckWAL(path); err != nil || !local(path) {
			t.Errorf("%q: %v; local %v", path, err, local(path))
		}
	}
}

// statfs alone decides only for file systems that it knows to be local.
func TestStatfsAlone(t *testing.T) {
	if local("/proc/self/app.db") || local("app.db") || local("") || local("/tmp/a\x00b") {
		t.Error("taken for local without a witness")
	}
	if err := CheckWAL("/proc/self/app.db"); err != nil { // the mount table doesn't know better
		t.Errorf("an unknown file system: %v", err)
	}
	if err := CheckWAL(""); !errors.Is(err, ErrBadName) {
		t.Errorf("empty path: %v", err)
	}
}

func TestReadOnlyMount(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "m")
	mountAt(t, "ro", dir, "tmpfs", 0, "size=1m")
	path := filepath.Join(dir, "app.db")
	touch(t, path)
	if err := Writable(path); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if f, err := FileSystem(path); err != nil || !f.ReadOnly {
		t.Errorf("FileSystem: %+v, %v", f, err)
	}
	err := Writable(path)
	if !errors.Is(err, ErrReadOnly) || errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "read-only mount") {
		t.Errorf("Writable: %v", err)
	}
	if created, err := CreatePrivate(filepath.Join(dir, "new.db"), 0); created || !errors.Is(err, unix.EROFS) {
		t.Errorf("CreatePrivate: %v, %v", created, err)
	}
}

// An overlay is what containers run on; it counts as local.
func TestRealOverlay(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	mountAt(t, "layers", root+"/l", "tmpfs", 0, "size=1m")
	for _, d := range []string{"lower", "upper", "work"} {
		if err := os.Mkdir(root+"/l/"+d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	mountAt(t, "overlay", root+"/m", "overlay", 0, "lowerdir="+root+"/l/lower,upperdir="+root+"/l/upper,workdir="+root+"/l/work")
	want := FS{Local, "overlay", root + "/m", "overlay", false}
	if f, err := FileSystem(root + "/m/app.db"); err != nil || f != want {
		t.Errorf("%+v, %v", f, err)
	}
}

// The rule of the package: whatever it is asked, the POSIX locks that this
// process holds on a database stay. A lock is seen from outside by a
// descriptor of its own kind, which conflicts even within one process.
func TestNothingDropsLocks(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "app.db")
	for _, file := range []string{path, path + "-wal", path + "-shm"} {
		touch(t, file)
		holder, err := os.OpenFile(file, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer holder.Close()
		outsider, err := os.OpenFile(file, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer outsider.Close()
		lock := unix.Flock_t{Type: unix.F_WRLCK, Start: 120, Len: 1}
		if err := unix.FcntlFlock(holder.Fd(), unix.F_SETLK, &lock); err != nil {
			t.Fatal(err)
		}
		held := func() bool {
			probe := unix.Flock_t{Type: unix.F_WRLCK, Start: 120, Len: 1}
			if err := unix.FcntlFlock(outsider.Fd(), unix.F_OFD_GETLK, &probe); err != nil {
				t.Fatal(err)
			}
			return probe.Type != unix.F_UNLCK
		}
		if !held() {
			t.Fatalf("%s: the probe doesn't see the lock", file)
		}
		for name, call := range map[string]func() error{
			"Resolve":       func() error { _, err := Resolve(file); return err },
			"Identify":      func() error { _, _, err := Identify(file); return err },
			"FileSystem":    func() error { _, err := FileSystem(file); return err },
			"CheckWAL":      func() error { return CheckWAL(file) },
			"Writable":      func() error { return Writable(path) },
			"CreatePrivate": func() error { _, err := CreatePrivate(file, 0); return err },
			"SyncDir":       func() error { return SyncDir(dir) },
		} {
			if err := call(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if !held() {
				t.Fatalf("%s dropped the lock on %s", name, file)
			}
		}
		// And the probe would notice: this is the accident itself.
		accident, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		accident.Close()
		if held() {
			t.Errorf("%s: the lock survived an open and close; this test proves nothing", file)
		}
	}
}
