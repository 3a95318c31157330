package holdfast_test

import (
	"database/sql"
	"encoding/json"
	"errors"
	"testing"

	"github.com/holdfastdb/holdfast"
)

// TestEndHolder ends each kind of holder as Locks shows it, through JSON as a page has it,
// and nothing else.
func TestEndHolder(t *testing.T) {
	t.Parallel()
	db := open(t)
	if _, err := db.Exec("CREATE TABLE t(a)"); err != nil {
		t.Fatal(err)
	}
	for range 200 {
		if _, err := db.Exec("INSERT INTO t VALUES (zeroblob(1000))"); err != nil {
			t.Fatal(err)
		}
	}
	write, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := write.Exec("DELETE FROM t"); err != nil {
		t.Fatal(err)
	}
	read, err := db.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if err := read.QueryRow("SELECT count(*) FROM t").Scan(&n); err != nil {
		t.Fatal(err)
	}
	rows, err := db.QueryContext(t.Context(), "SELECT a FROM t")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	report, err := db.Locks(t.Context())
	if err != nil || len(report.Holders) != 3 {
		t.Fatalf("%+v, %v", report, err)
	}
	text, err := json.Marshal(report.Holders)
	if err != nil {
		t.Fatal(err)
	}
	var holders []holdfast.LockHolder
	if err := json.Unmarshal(text, &holders); err != nil {
		t.Fatal(err)
	}
	for i, h := range holders {
		for _, change := range []func(*holdfast.LockHolder){
			func(h *holdfast.LockHolder) { h.Since = h.Since.Add(1) },
			func(h *holdfast.LockHolder) { h.CallSite += "x" },
			func(h *holdfast.LockHolder) { h.Kind = "another process" },
		} {
			other := h
			change(&other)
			if db.EndHolder(other) {
				t.Errorf("%+v was ended", other)
			}
		}
		if !db.EndHolder(h) {
			t.Errorf("%+v was not ended", h)
		}
		if db.EndHolder(h) {
			t.Errorf("%+v was ended twice", h)
		}
		if now, err := db.Locks(t.Context()); err != nil || len(now.Holders) != len(holders)-i-1 {
			t.Errorf("%+v, %v", now.Holders, err)
		}
	}
	for rows.Next() {
	}
	_, werr := write.Exec("SELECT 1")
	_, rerr := read.Exec("SELECT 1")
	for _, err := range []error{rows.Err(), werr, rerr} {
		if !errors.Is(err, holdfast.ErrEvicted) {
			t.Errorf("%v", err)
		}
	}
	_ = write.Rollback()
	_ = read.Rollback()
	if err := db.QueryRow("SELECT count(*) FROM t").Scan(&n); err != nil || n != 200 {
		t.Errorf("%d rows, %v", n, err)
	}
}
