package dbfile

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// tree makes a directory with
//
//	real/app.db      a file
//	real/sub/        a directory
//	dir    -> real   a link to a directory
//	link   -> real/app.db
//	far    -> link   a link to a link
//	future -> real/new.db, which doesn't exist
//	lost   -> nowhere/new.db, whose directory doesn't exist
//	circle -> circle, and ring1 -> ring2 -> ring1
//
// and returns its path without links.
func tree(t *testing.T) string {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("making symbolic links needs a privilege here")
	}
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(root, "real", "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	touch(t, filepath.Join(root, "real", "app.db"))
	for name, target := range map[string]string{
		"dir": "real", "link": "real/app.db", "far": filepath.Join(root, "link"),
		"future": "real/new.db", "lost": "nowhere/new.db", "todir": "real/sub",
		"circle": "circle", "ring1": "ring2", "ring2": "ring1", "real/sub/up": "../app.db",
	} {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func touch(t testing.TB, path string) {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestResolve(t *testing.T) {
	root := tree(t)
	t.Chdir(root)
	for path, want := range map[string]string{
		"real/app.db":            "real/app.db",
		"real/new.db":            "real/new.db",
		"./real/../real/app.db":  "real/app.db",
		"real//app.db":           "real/app.db",
		"dir/app.db":             "real/app.db",
		"dir/new.db":             "real/new.db",
		"dir/sub/../app.db":      "real/app.db",
		"todir/../app.db":        "real/app.db", // the parent of the link's target
		"link":                   "real/app.db",
		"far":                    "real/app.db",
		"future":                 "real/new.db",
		"dir/sub/up":             "real/app.db",
		"real/a?b#c%20d e:ö.db":  "real/a?b#c%20d e:ö.db",
		"new.db":                 "new.db",
		root + "/dir/app.db":     "real/app.db",
		root + "/../" + "x":      "../x",
		"real/sub/../../link":    "real/app.db",
		"real/.hidden":           "real/.hidden",
		"real/" + memoryName:     "real/" + memoryName,
		"real/sub/up-holdfast.x": "real/sub/up-holdfast.x",
	} {
		got, err := Resolve(path)
		if want := filepath.Join(root, want); err != nil || got != want {
			t.Errorf("%s: got %s, %v; want %s", path, got, err, want)
		}
	}
}

func TestResolveRefuses(t *testing.T) {
	root := tree(t)
	t.Chdir(root)
	for path, want := range map[string]error{
		"":                   ErrBadName,
		"real/a\x00b":        ErrBadName,
		"real":               ErrIsDirectory,
		"dir":                ErrIsDirectory,
		"todir":              ErrIsDirectory,
		".":                  ErrIsDirectory,
		"..":                 ErrIsDirectory,
		"/":                  ErrIsDirectory,
		"real/sub/..":        ErrIsDirectory,
		"real/new.db/":       ErrIsDirectory,
		"nowhere/app.db":     ErrNoDirectory,
		"lost":               ErrNoDirectory,
		"real/app.db/x":      ErrNoDirectory,
		"link/x":             ErrNoDirectory,
		"circle":             ErrBadName,
		"ring1":              ErrBadName,
		"circle/app.db":      ErrBadName,
		"/dev/null":          ErrNotRegular,
		"nowhere/../real/db": ErrNoDirectory, // as the kernel sees it
	} {
		got, err := Resolve(path)
		if !errors.Is(err, want) || got != "" {
			t.Errorf("%q: got %q, %v; want %v", path, got, err, want)
		}
		if err != nil && strings.ContainsAny(err.Error(), "\n\x00") {
			t.Errorf("%q: not one sentence: %q", path, err)
		}
	}
	if _, err := Resolve("nowhere/app.db"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the cause is lost: %v", err)
	}
}

func TestResolveRefusesSocketsAndPipes(t *testing.T) {
	root := tree(t)
	t.Chdir(root)
	l, err := net.Listen("unix", "sock")
	if err != nil {
		t.Skip(err)
	}
	defer l.Close()
	if _, err := Resolve("sock"); !errors.Is(err, ErrNotRegular) {
		t.Errorf("socket: %v", err)
	}
}

func TestResolveLongChains(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("making symbolic links needs a privilege here")
	}
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(root)
	touch(t, "0")
	for i := 1; i <= maxSymlinks; i++ {
		if err := os.Symlink(strconv.Itoa(i-1), strconv.Itoa(i)); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := Resolve(strconv.Itoa(maxSymlinks - 1)); err != nil || got != filepath.Join(root, "0") {
		t.Errorf("%d links: %s, %v", maxSymlinks-1, got, err)
	}
	if got, err := Resolve(strconv.Itoa(maxSymlinks)); !errors.Is(err, ErrBadName) {
		t.Errorf("%d links: %s, %v", maxSymlinks, got, err)
	}
}

func TestSidecars(t *testing.T) {
	wal, shm, journal, lock, socket := Sidecars("/d/app.db")
	got := []string{wal, shm, journal, lock, socket}
	want := []string{"/d/app.db-wal", "/d/app.db-shm", "/d/app.db-journal", "/d/app.db-holdfast.lock", "/d/app.db-holdfast.sock"}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got %s, want %s", got[i], want[i])
		}
	}
}
