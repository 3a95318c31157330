package conformance

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
)

var writing = []test{
	{"exec", testExec},
	{"prepared statements", testPrepared},
	{"constraints", testConstraints},
	{"batch", testBatch},
	{"failing batch", testFailingBatch},
	{"guarded batch", testGuards},
	{"idempotency key", testKeys},
	{"refused statements", testRefused},
	{"ended context", testEndedContext},
	{"writers at once", testWriters},
	{"order system", testOrders},
}

func testExec(t *testing.T, db *holdfast.DB, table string) {
	must(t, db, "CREATE TABLE "+table+"(id INTEGER PRIMARY KEY, a)")
	for _, c := range []struct {
		query          string
		args           []any
		last, affected int64
	}{
		{"INSERT INTO %s(a) VALUES (?), (?), (?)", []any{1, 2, 3}, 3, 3},
		{"INSERT INTO %s(id, a) VALUES (?2, ?1)", []any{"x", 41}, 41, 1},
		{"UPDATE %s SET a = :a WHERE id > $id", []any{sql.Named("a", 7), sql.Named("id", 1)}, -1, 3},
		{"UPDATE %s SET a = 7 WHERE id > 1", nil, -1, 3}, // also what stays as it is counts
		{"DELETE FROM %s WHERE id = ?", []any{99}, -1, 0},
		{"DELETE FROM %s WHERE id = ? /* ; */ -- ; the end", []any{41}, -1, 1},
	} {
		r, err := db.ExecContext(t.Context(), fmt.Sprintf(c.query, table), c.args...)
		if err != nil {
			t.Fatalf("%s: %v", c.query, err)
		}
		if n, err := r.RowsAffected(); err != nil || n != c.affected {
			t.Errorf("%s: %d rows affected, not %d (%v)", c.query, n, c.affected, err)
		}
		if id, err := r.LastInsertId(); c.last >= 0 && (err != nil || id != c.last) {
			t.Errorf("%s: last insert id %d, not %d (%v)", c.query, id, c.last, err)
		}
	}
	if n := number(t, db, "SELECT count(*) FROM "+table); n != 3 {
		t.Errorf("%d rows", n)
	}
}

func testPrepared(t *testing.T, db *holdfast.DB, table string) {
	must(t, db, "CREATE TABLE "+table+"(a INTEGER)")
	insert, err := db.PrepareContext(t.Context(), "INSERT INTO "+table+" VALUES (?)")
	if err != nil {
		t.Fatal(err)
	}
	defer insert.Close()
	for i := range 10 {
		if _, err := insert.ExecContext(t.Context(), i); err != nil {
			t.Fatal(err)
		}
	}
	count, err := db.PrepareContext(t.Context(), "SELECT count(*) FROM "+table+" WHERE a >= ?")
	if err != nil {
		t.Fatal(err)
	}
	defer count.Close()
	for from, want := range map[int]int{0: 10, 4: 6, 10: 0} {
		var n int
		if err := count.QueryRowContext(latest(t), from).Scan(&n); err != nil || n != want {
			t.Errorf("from %d: %d, not %d (%v)", from, n, want, err)
		}
	}
}

func testConstraints(t *testing.T, db *holdfast.DB, table string) {
	must(t, db, "CREATE TABLE "+table+`(id INTEGER PRIMARY KEY, u TEXT UNIQUE, n TEXT NOT NULL DEFAULT '', c INTEGER CHECK (c > 0))`)
	must(t, db, "CREATE TABLE "+table+"_child(k TEXT PRIMARY KEY, i INTEGER, parent INTEGER REFERENCES "+table+"(id)) STRICT, WITHOUT ROWID")
	must(t, db, "INSERT INTO "+table+"(id, u) VALUES (1, ?)", canary)
	must(t, db, "INSERT INTO "+table+"_child(k) VALUES (?)", canary)
	cases := []struct {
		query string
		code  int
		args  []any
	}{
		{"INSERT INTO %[1]s(u) VALUES (?)", 2067, []any{canary}},
		{"INSERT INTO %[1]s(id, u) VALUES (1, ?)", 1555, []any{canary + "2"}},
		{"INSERT INTO %[1]s(u, n) VALUES (?, NULL)", 1299, []any{canary + "3"}},
		{"INSERT INTO %[1]s(u, c) VALUES (?, -1)", 275, []any{canary + "4"}},
		{"INSERT INTO %[1]s_child(k) VALUES (?)", 1555, []any{canary}},
		{"INSERT INTO %[1]s_child(k, i) VALUES ('x', ?)", 3091, []any{canary}},
		{"INSERT INTO %[1]s_missing VALUES (?)", 1, []any{canary}},
		{"INSERT INTO %[1]s(missing) VALUES (?)", 1, []any{canary}},
		{"INSERT INTO %[1]s WRONG (?)", 1, []any{canary}},
	}
	if number(t, db, "PRAGMA foreign_keys") == 1 {
		cases = append(cases, struct {
			query string
			code  int
			args  []any
		}{"INSERT INTO %[1]s_child(k, parent) VALUES (?, 99)", 787, []any{"y"}})
	}
	for _, c := range cases {
		query := fmt.Sprintf(c.query, table)
		_, err := db.ExecContext(t.Context(), query, c.args...)
		code(t, "Exec of "+query, err, c.code)
		_, err = db.Batch(t.Context(), []holdfast.Statement{{SQL: "INSERT INTO " + table + "_child(k) VALUES ('before')"}, {SQL: query, Args: c.args}})
		code(t, "Batch of "+query, err, c.code)
	}
	if n := number(t, db, "SELECT count(*) FROM "+table) + 10*number(t, db, "SELECT count(*) FROM "+table+"_child"); n != 11 {
		t.Errorf("something was left: %d", n)
	}
}

func testBatch(t *testing.T, db *holdfast.DB, table string) {
	must(t, db, "CREATE TABLE "+table+"(id INTEGER PRIMARY KEY, a)")
	r, err := db.Batch(t.Context(), []holdfast.Statement{
		{SQL: "INSERT INTO " + table + "(a) VALUES (?), (?)", Args: []any{"x", "y"}},
		{SQL: "INSERT INTO " + table + "(a) VALUES (:a)", Args: []any{sql.Named("a", []byte{0, 255})}},
		{SQL: "UPDATE " + table + " SET a = NULL WHERE id < 3"},
		{SQL: "DELETE FROM " + table + " WHERE id = 99"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Results) != 4 || r.Repeated {
		t.Fatalf("%+v", r)
	}
	for i, want := range []int64{2, 1, 2, 0} {
		if r.Results[i].RowsAffected != want {
			t.Errorf("statement %d: %d rows affected, not %d", i+1, r.Results[i].RowsAffected, want)
		}
	}
	if r.Results[0].LastInsertID != 2 || r.Results[1].LastInsertID != 3 {
		t.Errorf("last insert ids %+v", r.Results)
	}
	// A later statement sees what an earlier one has done.
	must(t, db, "DELETE FROM "+table)
	if _, err := db.Batch(t.Context(), []holdfast.Statement{
		{SQL: "INSERT INTO " + table + " VALUES (1, 10)"},
		{SQL: "INSERT INTO " + table + " SELECT id + 1, a * 2 FROM " + table},
	}); err != nil {
		t.Fatal(err)
	}
	if n := number(t, db, "SELECT a FROM "+table+" WHERE id = 2"); n != 20 {
		t.Errorf("%d", n)
	}
	if r, err := db.Batch(t.Context(), nil); err != nil || len(r.Results) != 0 {
		t.Errorf("an empty batch: %v, %v", r, err)
	}
}

func testFailingBatch(t *testing.T, db *holdfast.DB, table string) {
	must(t, db, "CREATE TABLE "+table+"(id INTEGER PRIMARY KEY, a UNIQUE)")
	must(t, db, "INSERT INTO "+table+" VALUES (1, 'here')")
	for at := range 3 {
		stmts := []holdfast.Statement{
			{SQL: "INSERT INTO " + table + "(a) VALUES ('first')"},
			{SQL: "UPDATE " + table + " SET a = 'changed' WHERE id = 1"},
			{SQL: "CREATE TABLE " + table + "_child(a)"},
		}
		stmts[at] = holdfast.Statement{SQL: "INSERT INTO " + table + "(a) VALUES (?), (?)", Args: []any{canary, canary}}
		_, err := db.Batch(t.Context(), stmts)
		code(t, "a batch", err, 2067)
		var e *holdfast.Error
		if errors.As(err, &e) && e.Statement != at+1 {
			t.Errorf("statement %d has failed, and the error names %d", at+1, e.Statement)
		}
		if n := number(t, db, "SELECT count(*) FROM "+table+" WHERE a = 'here'"); n != 1 {
			t.Errorf("something of the batch is there: %d", n)
		}
		if n := number(t, db, "SELECT count(*) FROM sqlite_schema WHERE name = ?", table+"_child"); n != 0 {
			t.Error("the table of the batch is there")
		}
	}
}

func testGuards(t *testing.T, db *holdfast.DB, table string) {
	must(t, db, "CREATE TABLE "+table+"(id INTEGER PRIMARY KEY, balance INTEGER)")
	must(t, db, "INSERT INTO "+table+" VALUES (1, 100), (2, 0)")
	transfer := func(amount int) []holdfast.Statement {
		return []holdfast.Statement{
			{SQL: "UPDATE " + table + " SET balance = balance + ?1 WHERE id = 2", Args: []any{amount}},
			{SQL: "UPDATE " + table + " SET balance = balance - ?1 WHERE id = 1 AND balance >= ?1", Args: []any{amount}, Expect: holdfast.Exactly(1)},
			{SQL: "UPDATE " + table + " SET balance = balance WHERE id > 0", Expect: holdfast.Exactly(2)},
		}
	}
	r, err := db.Batch(t.Context(), transfer(60))
	if err != nil || len(r.Results) != 3 || r.Results[1].RowsAffected != 1 || r.Results[2].RowsAffected != 2 {
		t.Fatal(r, err)
	}
	_, err = db.Batch(t.Context(), transfer(60))
	rolledBack(t, "a guarded batch", err, holdfast.ErrGuardFailed, "60")
	var guard *holdfast.GuardError
	if !errors.As(err, &guard) || *guard != (holdfast.GuardError{Statement: 2, Expected: 1, Affected: 0}) {
		t.Errorf("%+v of %v", guard, err)
	}
	for _, c := range []struct {
		query string
		n     int64
		meets bool
	}{
		{"UPDATE %s SET balance = 1 WHERE id = 9", 0, true},
		{"UPDATE %s SET balance = 1", 0, false},
		{"UPDATE %s SET balance = 1", 3, false},
		{"DELETE FROM %s WHERE id = 9", 1, false},
		{"INSERT INTO %s VALUES (3, 0), (4, 0)", 1, false},
	} {
		_, err := db.Batch(t.Context(), []holdfast.Statement{{SQL: fmt.Sprintf(c.query, table), Expect: holdfast.Exactly(c.n)}})
		if !c.meets {
			rolledBack(t, c.query, err, holdfast.ErrGuardFailed, "")
		} else if err != nil {
			t.Errorf("%s: %v", c.query, err)
		}
	}
	if n := number(t, db, "SELECT sum(balance * id) FROM "+table); n != 40+2*60 {
		t.Errorf("a batch whose guard failed has left something: %d", n)
	}
}

func testKeys(t *testing.T, db *holdfast.DB, table string) {
	must(t, db, "CREATE TABLE "+table+"(id INTEGER PRIMARY KEY, a)")
	key := holdfast.IdempotencyKey(rand.Text())
	insert := func(value any) []holdfast.Statement {
		return []holdfast.Statement{
			{SQL: "INSERT INTO " + table + "(a) VALUES (?), (NULL)", Args: []any{value}},
			{SQL: "UPDATE " + table + " SET a = a WHERE id = 1", Expect: holdfast.Exactly(1)},
		}
	}
	first, err := db.Batch(t.Context(), insert("once"), key)
	if err != nil || first.Repeated {
		t.Fatal(first, err)
	}
	for range 2 {
		again, err := db.Batch(t.Context(), insert("once"), key)
		if err != nil || !again.Repeated || !reflect.DeepEqual(again.Results, first.Results) {
			t.Errorf("%+v (%v), and %+v the first time", again, err, first)
		}
	}
	_, err = db.Batch(t.Context(), insert(canary), key)
	rolledBack(t, "other arguments", err, holdfast.ErrKeyReused, canary)
	_, err = db.Batch(t.Context(), insert("once")[:1], key)
	rolledBack(t, "other statements", err, holdfast.ErrKeyReused, "")
	if n := number(t, db, "SELECT count(*) FROM "+table); n != 2 {
		t.Errorf("%d rows", n)
	}
	// A time is what is stored of it: a program that was started again has no monotonic clock in it.
	timed, now := holdfast.IdempotencyKey(rand.Text()), time.Now()
	for _, at := range []time.Time{now, now.Round(0)} {
		if _, err := db.Batch(t.Context(), []holdfast.Statement{{SQL: "UPDATE " + table + " SET a = a WHERE a = ?", Args: []any{at}}}, timed); err != nil {
			t.Errorf("the same time: %v", err)
		}
	}
	// What failed has not used its key.
	other := holdfast.IdempotencyKey(rand.Text())
	_, err = db.Batch(t.Context(), []holdfast.Statement{{SQL: "INSERT INTO " + table + " VALUES (1, 1)"}}, other)
	code(t, "a batch with a key", err, 1555)
	if r, err := db.Batch(t.Context(), insert("twice"), other); err != nil || r.Repeated {
		t.Errorf("after a failure: %+v, %v", r, err)
	}
	// Many at once: it happens once.
	var wg sync.WaitGroup
	race := holdfast.IdempotencyKey(rand.Text())
	for range 8 {
		wg.Go(func() {
			if _, err := db.Batch(t.Context(), []holdfast.Statement{{SQL: "INSERT INTO " + table + "(a) VALUES ('race')"}}, race); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := number(t, db, "SELECT count(*) FROM "+table+" WHERE a = 'race'"); n != 1 {
		t.Errorf("%d rows of one key", n)
	}
}

func testRefused(t *testing.T, db *holdfast.DB, table string) {
	must(t, db, "CREATE TABLE "+table+"(id INTEGER PRIMARY KEY, begin_at)")
	for _, query := range []string{
		"BEGIN", "begin immediate", "COMMIT", "END", "ROLLBACK", "SAVEPOINT x", "RELEASE x", "ROLLBACK TO x",
		"ATTACH 'x.db' AS x", "DETACH x", "/* a */ -- b\n BEGIN", "\t\n ;; COMMIT",
	} {
		_, err := db.Batch(t.Context(), []holdfast.Statement{{SQL: "INSERT INTO " + table + " VALUES (9, 9)"}, {SQL: query}})
		rolledBack(t, "Batch with "+query, err, nil, "")
		if !errors.Is(err, holdfast.ErrRefused) && !errors.Is(err, holdfast.ErrInvalid) {
			t.Errorf("Batch with %q: %v", query, err)
		}
		if db.Capabilities().InteractiveTransactions {
			continue
		}
		_, err = db.ExecContext(t.Context(), query)
		rolledBack(t, "Exec of "+query, err, nil, "")
		_, err = db.ExecContext(t.Context(), "INSERT INTO "+table+" VALUES (8, 8); "+query)
		rolledBack(t, "Exec of a text with "+query, err, nil, "")
	}
	_, err := db.Batch(t.Context(), []holdfast.Statement{{SQL: "INSERT INTO " + table + " VALUES (7, 7); INSERT INTO " + table + " VALUES (6, 6)"}})
	rolledBack(t, "two statements as one", err, holdfast.ErrInvalid, "")
	if n := number(t, db, "SELECT count(*) FROM "+table); n != 0 {
		t.Errorf("%d rows of statements that were refused", n)
	}
	// These only look like it.
	must(t, db, "CREATE TRIGGER "+table+"_t AFTER INSERT ON "+table+" BEGIN UPDATE "+table+" SET begin_at = 'BEGIN; COMMIT' WHERE id = NEW.id; END")
	if _, err := db.Batch(t.Context(), []holdfast.Statement{{SQL: "INSERT INTO " + table + " VALUES (1, 'ROLLBACK')"}}); err != nil {
		t.Error(err)
	}
	if n := number(t, db, "SELECT count(*) FROM "+table+" WHERE begin_at = 'BEGIN; COMMIT'"); n != 1 {
		t.Error("the trigger didn't run")
	}
}

func testEndedContext(t *testing.T, db *holdfast.DB, table string) {
	must(t, db, "CREATE TABLE "+table+"(a)")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	insert := "INSERT INTO " + table + " VALUES (1)"
	_, err := db.ExecContext(ended, insert)
	rolledBack(t, "Exec", err, context.Canceled, "")
	_, err = db.Batch(ended, []holdfast.Statement{{SQL: insert}})
	rolledBack(t, "Batch", err, context.Canceled, "")
	if err := db.QueryRowContext(ended, "SELECT 1").Scan(new(int)); !errors.Is(err, context.Canceled) {
		t.Errorf("Query: %v", err)
	}
	if n := number(t, db, "SELECT count(*) FROM "+table); n != 0 {
		t.Errorf("%d rows", n)
	}
}

func testWriters(t *testing.T, db *holdfast.DB, table string) {
	must(t, db, "CREATE TABLE "+table+"(id INTEGER PRIMARY KEY, who, u UNIQUE)")
	const writers, each = 16, 12
	var mu sync.Mutex
	acknowledged := map[string]bool{}
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				who := fmt.Sprintf("%d-%d", w, i)
				insert := "INSERT INTO " + table + "(who, u) VALUES (?, ?)"
				var u any
				if i%4 == 3 {
					u = "taken" // by one of all
				}
				var err error
				if i%2 == 0 {
					_, err = db.ExecContext(t.Context(), insert, who, u)
				} else {
					_, err = db.Batch(t.Context(), []holdfast.Statement{{SQL: insert, Args: []any{who, u}}, {SQL: "UPDATE " + table + " SET who = who WHERE who = ?", Args: []any{who}, Expect: holdfast.Exactly(1)}})
				}
				if err == nil {
					mu.Lock()
					acknowledged[who] = true
					mu.Unlock()
				} else if u == nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	rows, err := db.QueryContext(latest(t), "SELECT who, count(*) FROM "+table+" GROUP BY who")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	found := 0
	for rows.Next() {
		var who string
		var n int
		if err := rows.Scan(&who, &n); err != nil {
			t.Fatal(err)
		}
		if found++; n != 1 || !acknowledged[who] {
			t.Errorf("%s: %d rows, acknowledged: %t", who, n, acknowledged[who])
		}
	}
	if err := rows.Err(); err != nil || found != len(acknowledged) || found != writers*each-writers*(each/4)+1 {
		t.Errorf("%d rows of %d that were acknowledged (%v)", found, len(acknowledged), err)
	}
}
