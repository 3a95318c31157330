package dbfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestIdentify(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "app.db")
	if err := os.WriteFile(path, []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	then := time.Unix(1_700_000_000, 0)
	if err := os.Chtimes(path, then, then); err != nil {
		t.Fatal(err)
	}
	id, info, err := Identify(path)
	if err != nil {
		t.Fatal(err)
	}
	if id == (ID{}) || id.String() == "0:0" {
		t.Errorf("ID %v", id)
	}
	if info.Size != 5 || !info.IsRegular() || info.Links != 1 || !info.ModTime.Equal(then) || info.Owner != os.Geteuid() {
		t.Errorf("Info %+v", info)
	}
	if same, err := Look(path); err != nil || same != id {
		t.Errorf("Look: %v, %v; want %v", same, err, id)
	}
	if err := CheckLinks(info, path); err != nil {
		t.Errorf("one name: %v", err)
	}

	moved := filepath.Join(dir, "moved.db")
	if err := os.Rename(path, moved); err != nil {
		t.Fatal(err)
	}
	if again, _, err := Identify(moved); err != nil || again != id {
		t.Errorf("after a rename: %v, %v; was %v", again, err, id)
	}
	touch(t, path)
	if other, _, err := Identify(path); err != nil || other == id {
		t.Errorf("another file has the same ID %v, %v", other, err)
	}
	if _, info, err := Identify(dir); err != nil || info.IsRegular() || CheckLinks(info, dir) != nil {
		t.Errorf("directory: %+v, %v", info, err)
	}
	if _, _, err := Identify(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	if _, err := Look(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Look at a missing file: %v", err)
	}
}

func TestHardLinksAreRefused(t *testing.T) {
	dir := t.TempDir()
	one, two := filepath.Join(dir, "it's one.db"), filepath.Join(dir, "two.db")
	touch(t, one)
	if err := os.Link(one, two); err != nil {
		t.Skip(err)
	}
	a, info, err := Identify(one)
	if err != nil {
		t.Fatal(err)
	}
	b, _, err := Identify(two)
	if err != nil || a != b {
		t.Errorf("two names of one file: %v, %v, %v", a, b, err)
	}
	err = CheckLinks(info, one)
	if !errors.Is(err, ErrHardLinked) || !strings.Contains(err.Error(), "2 hard links") || !strings.Contains(err.Error(), `it'\''s one.db'`) {
		t.Errorf("CheckLinks: %v", err)
	}
}
