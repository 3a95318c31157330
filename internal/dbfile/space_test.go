package dbfile

import (
	"errors"
	"path/filepath"
	"testing"
)

func TestSpaceOf(t *testing.T) {
	dir := t.TempDir()
	s, err := SpaceOf(dir)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil || s.Free <= 0 || s.Total < s.Free {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err := SpaceOf(filepath.Join(dir, "nowhere")); err == nil {
		t.Errorf("%+v of a directory that is missing", s)
	}
}
