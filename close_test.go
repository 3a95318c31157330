package holdfast_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/holdfastdb/holdfast"
)

// A Close that can't end says which loop it waits for.
func TestCloseInsideOfRows(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	synctest.Test(t, func(t *testing.T) {
		db, err := holdfast.Open(ctx(), path)
		if err != nil {
			t.Fatal(err)
		}
		must(t, db, "CREATE TABLE t(a)")
		must(t, db, "INSERT INTO t VALUES (1), (2), (3)")
		var failed, last error
		for _, err := range db.Rows(ctx(), "SELECT a FROM t") {
			if failed == nil {
				failed = db.Close()
			}
			last = err
		}
		if !errors.Is(last, holdfast.ErrClosed) {
			t.Errorf("the loop goes on: %v", last)
		}
		if !errors.Is(failed, holdfast.ErrBusy) || !strings.Contains(failed.Error(), "close_test.go:") || strings.Contains(failed.Error(), "\n") {
			t.Errorf("Close: %v", failed)
		}
	})
}
