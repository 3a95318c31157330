package holdfast

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// A connection on which the engine does not do as it was told is not used.
func TestSettingsAreReadBack(t *testing.T) {
	c, err := sqlite.Open(filepath.Join(t.TempDir(), "app.db"), sqlite.OpenReadWrite|sqlite.OpenCreate)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	good := pragma{"cache_size", "-512"}
	if err := newScript(good, pragma{"no_such_pragma", "0"}).run(c); err != nil {
		t.Error(err)
	}
	for _, bad := range []pragma{{"page_size", "3"}, {"no_such_pragma", "1"}} {
		err := newScript(good, bad, pragma{"foreign_keys", "1"}).run(c)
		if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), bad.name) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}
