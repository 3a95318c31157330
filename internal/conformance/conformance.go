// Package conformance is what every back end must do alike, as one suite of tests that
// any opened database can be given: what passes on a file and on a cluster is what a
// program may rely on that moves from one to the other.
package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/holdfastdb/holdfast"
)

// Suite is one run.
type Suite struct {
	// Open returns a handle on the database, which may have tables of others. The suite
	// closes it. Tests don't run at once.
	Open func(t *testing.T) *holdfast.DB
	// Not names tests that this back end can't pass, with the reason; they are skipped,
	// and one that doesn't exist fails.
	Not map[string]string
}

// test is one of the suite. Its tables begin with the name that it is given.
type test struct {
	name string
	run  func(t *testing.T, db *holdfast.DB, table string)
}

var tests = slices.Concat(writing, reading, asking)

// tables counts the tables of this process, so that none meets that of a run before.
var tables atomic.Int64

// Run runs the suite.
func (s Suite) Run(t *testing.T) {
	for name := range s.Not {
		if !slices.ContainsFunc(tests, func(c test) bool { return c.name == name }) {
			t.Errorf("there is no test %q to leave out", name)
		}
	}
	for _, c := range tests {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			if why := s.Not[c.name]; why != "" {
				t.Skip(why)
			}
			db := s.Open(t)
			defer func() {
				if err := db.Close(); err != nil {
					t.Error(err)
				}
			}()
			table := fmt.Sprintf("conformance_%d", tables.Add(1))
			for _, ending := range []string{"_child", ""} {
				must(t, db, "DROP TABLE IF EXISTS "+table+ending)
			}
			c.run(t, db, table)
		})
	}
}

func must(t *testing.T, db *holdfast.DB, query string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// latest reads what is committed, also where the leader may have changed just now.
func latest(t *testing.T) context.Context {
	return holdfast.WithReadLevel(t.Context(), holdfast.ReadLinearizable)
}

func number(t *testing.T, db *holdfast.DB, query string, args ...any) (n int64) {
	t.Helper()
	if err := db.QueryRowContext(latest(t), query, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// rolledBack is that err is of kind, says for certain that nothing was written, and
// holds nothing of secret.
func rolledBack(t *testing.T, what string, err, kind error, secret string) {
	t.Helper()
	switch {
	case err == nil:
		t.Errorf("%s: no error", what)
	case kind != nil && !errors.Is(err, kind):
		t.Errorf("%s: %v is not %v", what, err, kind)
	case holdfast.OutcomeOf(err) != holdfast.RolledBack:
		t.Errorf("%s: %v is %s", what, err, holdfast.OutcomeOf(err))
	case secret != "" && strings.Contains(err.Error(), secret):
		t.Errorf("%s: %v has a value in it", what, err)
	}
}

// SQLITE_CONSTRAINT_UNIQUE and _PRIMARYKEY.
const unique, primaryKey = 2067, 1555

// code is that err has an extended result code.
func code(t *testing.T, what string, err error, want int) {
	t.Helper()
	rolledBack(t, what, err, nil, canary)
	var e *holdfast.Error
	switch {
	case !errors.As(err, &e):
		t.Errorf("%s: %v is no *Error", what, err)
	case want == primaryKey && e.ExtendedCode == unique && e.Code == unique&0xff:
		// Their texts are the same, and some engines hand nothing else through.
	case e.ExtendedCode != want || e.Code != want&0xff:
		t.Errorf("%s: %v has the codes %d and %d, not %d", what, err, e.Code, e.ExtendedCode, want)
	}
}

// canary is a value that no error may show.
const canary = "canary-in-a-value"
