package interop

import (
	"errors"
	"testing"

	mattn "github.com/mattn/go-sqlite3"
	modernc "modernc.org/sqlite"
)

// TestErrorsOfOtherDrivers: a program that comes from another driver asks for
// that driver's error type, and still gets the codes.
func TestErrorsOfOtherDrivers(t *testing.T) {
	t.Parallel()
	if bare() {
		t.Skip("the stock driver returns its own type only")
	}
	db := open(t)
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE t(a UNIQUE); INSERT INTO t VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	_, err := db.ExecContext(t.Context(), "INSERT INTO t VALUES (1)")
	var e *modernc.Error
	if !errors.As(err, &e) || e.Code() != 2067 || e.Error() != "constraint failed: UNIQUE constraint failed: t.a (2067)" {
		t.Errorf("modernc's type: %v", e)
	}
	var m mattn.Error
	if !errors.As(err, &m) || m.Code != 19 || m.ExtendedCode != mattn.ErrNoExtended(2067) {
		t.Errorf("mattn's type: %+v", m)
	}
	var other *testingError
	if errors.As(err, &other) {
		t.Error("it claims to be any type")
	}
}

type testingError struct{}

func (*testingError) Error() string { return "" }
