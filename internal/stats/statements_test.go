package stats

import (
	"fmt"
	"slices"
	"testing"
)

func TestStatements(t *testing.T) {
	t.Parallel()
	var s Statements
	for _, sql := range []string{"SELECT a FROM t WHERE b = 'x'", "SELECT a FROM t WHERE b = 'y'"} {
		s.Add(sql, false)
	}
	s.Add("DELETE FROM t WHERE a = 1", true)
	want := []Statement{{"DELETE FROM t WHERE a = ?", true}, {"SELECT a FROM t WHERE b = ?", false}}
	if got := s.List(); !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestStatementsAreBounded(t *testing.T) {
	t.Parallel()
	var s Statements
	for i := range 3 * maxStatements {
		s.Add(fmt.Sprintf("SELECT c%d FROM t", i), false)
	}
	if n := len(s.List()); n != maxStatements {
		t.Errorf("%d statements are kept, want %d", n, maxStatements)
	}
}
