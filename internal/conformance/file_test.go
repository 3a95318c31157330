package conformance_test

import (
	"path/filepath"
	"testing"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/internal/conformance"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	open := func(t *testing.T) *holdfast.DB {
		t.Helper()
		db, err := holdfast.Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	conformance.Suite{Open: open}.Run(t)
	db := open(t)
	defer db.Close()
	if r, err := db.Verify(t.Context(), holdfast.VerifyFull); err != nil || len(r.Problems) > 0 {
		t.Errorf("%v (%v)", r.Problems, err)
	}
}
