package holdfast_test

import (
	"testing"

	"github.com/holdfastdb/holdfast"
)

func TestComplete(t *testing.T) {
	t.Parallel()
	for sql, want := range map[string]bool{
		"":                   false,
		"SELECT 1":           false,
		"SELECT 1;":          true,
		"SELECT ';":          false,
		"SELECT ';';":        true,
		"SELECT 1 /* ;":      false,
		"SELECT 1; SELECT 2": false,
		"CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT 1;":      false,
		"CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT 1; END;": true,
		"SELECT 1;\x00": false,
	} {
		if got := holdfast.Complete(sql); got != want {
			t.Errorf("Complete(%q) = %t", sql, got)
		}
	}
}
