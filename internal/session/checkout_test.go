package session

import (
	"database/sql"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/internal/locks"
)

// Whoever keeps a session is named, and once.
func TestWhoHasASessionOut(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.must(b, "CREATE TABLE t(a UNIQUE)")
	b.must(b, "INSERT INTO t VALUES (1)") // not by the call that made the session
	now := time.Now()
	leaks := func(want ...locks.Kind) {
		t.Helper()
		var got []locks.Kind
		found := b.engine.IdleLeaks(now, time.Minute) // may see it for the first time
		now = now.Add(time.Hour)
		for _, l := range append(found, b.engine.IdleLeaks(now, time.Minute)...) {
			got = append(got, l.Kind)
			if !strings.Contains(l.Site.String(), "checkout_test.go:") {
				t.Errorf("%s at %s", l.Kind, l.Site)
			}
		}
		if len(got) != len(want) || len(want) > 0 && got[0] != want[0] {
			t.Errorf("%v, want %v", got, want)
		}
	}
	leaks()
	conn, err := b.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	leaks(locks.Conn)
	leaks() // told once
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	rows, err := b.Query("SELECT a FROM t")
	if err != nil {
		t.Fatal(err)
	}
	leaks(locks.Rows)
	if err := rows.Close(); err != nil {
		t.Error(err)
	}
	tx, err := b.Begin()
	if err != nil {
		t.Fatal(err)
	}
	leaks() // on record itself
	if _, err := tx.Exec("INSERT OR ROLLBACK INTO t VALUES (1)"); err == nil {
		t.Error("no error")
	}
	leaks(locks.Conn) // dropped, but its caller has it still
	if err := tx.Rollback(); err != nil && err != sql.ErrTxDone {
		t.Error(err)
	}
	leaks()
}

// A session that is taken very often is still reported when it is kept, though
// perhaps without its call site.
func TestCallSitesAreCapturedWithinABudget(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.SetMaxOpenConns(1)
	for range 2 * sitesPerRound {
		b.must(b, "SELECT 1")
	}
	now := time.Now()
	report := func() string {
		conn, err := b.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = b.engine.IdleLeaks(now, time.Minute)
		now = now.Add(time.Hour)
		var sites []string
		for _, l := range b.engine.IdleLeaks(now, time.Minute) {
			sites = append(sites, l.Site.String())
		}
		return strings.Join(sites, ", ")
	}
	if s := report(); s != (locks.Site{}).String() {
		t.Errorf("beyond the budget: %s", s)
	}
	if s := report(); !strings.Contains(s, "checkout_test.go:") {
		t.Errorf("in a new round: %s", s)
	}
}
