package holdfast_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/holdfastdb/holdfast"
)

func TestGuardedBatch(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db, "CREATE TABLE account(id INTEGER PRIMARY KEY, balance INTEGER); INSERT INTO account VALUES (1, 100), (2, 0)")
	transfer := func(amount int) []holdfast.Statement {
		return []holdfast.Statement{
			{SQL: "UPDATE account SET balance = balance + ?1 WHERE id = 2", Args: []any{amount}},
			{SQL: "UPDATE account SET balance = balance - ?1 WHERE id = 1 AND balance >= ?1", Args: []any{amount}, Expect: holdfast.Exactly(1)},
		}
	}
	if r, err := db.Batch(ctx(), transfer(60)); err != nil || r.Results[1].RowsAffected != 1 {
		t.Fatal(r, err)
	}
	_, err := db.Batch(ctx(), transfer(60))
	var guard *holdfast.GuardError
	if !errors.Is(err, holdfast.ErrGuardFailed) || !errors.As(err, &guard) || *guard != (holdfast.GuardError{Statement: 2, Expected: 1, Affected: 0}) {
		t.Fatalf("got %v", err)
	}
	if holdfast.OutcomeOf(err) != holdfast.RolledBack || strings.Contains(err.Error(), "60") {
		t.Errorf("%s: %v", holdfast.OutcomeOf(err), err)
	}
	if n := number(t, db, "SELECT balance FROM account WHERE id = 2"); n != 60 {
		t.Errorf("the first statement of the refused batch stands: %d", n)
	}
	for _, c := range []struct {
		sql string
		n   int64
		ok  bool
	}{
		{"UPDATE account SET balance = 7 WHERE id = 9", 0, true},
		{"UPDATE account SET balance = 7 WHERE id = 1", 0, false}, // alone in its batch, it is undone all the same
		{"UPDATE account SET balance = 8", 2, true},
		{"UPDATE account SET balance = 9", 3, false},
		{"DELETE FROM account WHERE id > 7", -1, false},
		{"SELECT 1", 0, true},
		{"INSERT INTO account(balance) VALUES (1), (2)", 2, true},
	} {
		before := text(t, db, "SELECT group_concat(id || ':' || balance) FROM account")
		_, err := db.Batch(ctx(), []holdfast.Statement{{SQL: c.sql, Expect: holdfast.Exactly(c.n)}})
		if (err == nil) != c.ok || err != nil && !errors.Is(err, holdfast.ErrGuardFailed) {
			t.Errorf("%s, expecting %d: %v", c.sql, c.n, err)
		}
		if after := text(t, db, "SELECT group_concat(id || ':' || balance) FROM account"); !c.ok && after != before {
			t.Errorf("%s left %s where %s was", c.sql, after, before)
		}
	}
}

// The changes of a trigger are not those of the statement, nor are those of a
// statement before that affects nothing by itself.
func TestGuardCountsTheStatementsOwnRows(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db, `CREATE TABLE t(id INTEGER PRIMARY KEY); CREATE TABLE log(id);
		CREATE TRIGGER twice AFTER INSERT ON t BEGIN INSERT INTO log VALUES (NEW.id), (NEW.id); END`)
	_, err := db.Batch(ctx(), []holdfast.Statement{
		{SQL: "INSERT INTO t VALUES (1), (2), (3)", Expect: holdfast.Exactly(3)},
		{SQL: "CREATE TABLE u(a)", Expect: holdfast.Exactly(0)},
		{SQL: "SELECT * FROM t", Expect: holdfast.Exactly(0)},
	})
	if err != nil {
		t.Error(err)
	}
}

func TestGuardsAreMetByOneOfMany(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db, "CREATE TABLE seat(id INTEGER PRIMARY KEY, taken_by); CREATE TABLE booking(seat, who)")
	const seats, callers = 20, 8
	for i := range seats {
		must(t, db, "INSERT INTO seat(id) VALUES (?)", i)
	}
	var mu sync.Mutex
	sold := map[int]int{}
	var wg sync.WaitGroup
	for who := range callers {
		wg.Go(func() {
			for i := range seats {
				_, err := db.Batch(ctx(), []holdfast.Statement{
					{SQL: "INSERT INTO booking VALUES (?, ?)", Args: []any{i, who}},
					{SQL: "UPDATE seat SET taken_by = ? WHERE id = ? AND taken_by IS NULL", Args: []any{who, i}, Expect: holdfast.Exactly(1)},
				})
				switch {
				case err == nil:
					mu.Lock()
					sold[i]++
					mu.Unlock()
				case !errors.Is(err, holdfast.ErrGuardFailed):
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for i := range seats {
		if sold[i] != 1 {
			t.Errorf("seat %d was sold %d times", i, sold[i])
		}
	}
	if n := number(t, db, "SELECT count(*) FROM booking"); n != seats {
		t.Errorf("%d bookings of %d seats", n, seats)
	}
}

func TestGuardsAndKeys(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db, "CREATE TABLE t(id INTEGER PRIMARY KEY, n); INSERT INTO t VALUES (1, 0)")
	batch := func(expect holdfast.Expectation) ([]holdfast.Statement, holdfast.BatchOption) {
		return []holdfast.Statement{{SQL: "UPDATE t SET n = n + 1 WHERE n < 1", Expect: expect}}, holdfast.IdempotencyKey("k")
	}
	b, key := batch(holdfast.Exactly(2))
	if _, err := db.Batch(ctx(), b, key); !errors.Is(err, holdfast.ErrGuardFailed) {
		t.Fatal(err)
	}
	// What was rolled back left no key.
	b, _ = batch(holdfast.Exactly(1))
	for i := range 2 { // the repetition doesn't run, and so isn't counted
		if r, err := db.Batch(ctx(), b, key); err != nil || r.Repeated != (i == 1) {
			t.Fatal(r, err)
		}
	}
	b, _ = batch(holdfast.Expectation{})
	if _, err := db.Batch(ctx(), b, key); !errors.Is(err, holdfast.ErrKeyReused) {
		t.Errorf("without the expectation these are other statements: %v", err)
	}
}

func TestOutcomeOf(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want holdfast.Outcome
	}{
		{nil, holdfast.Committed},
		{context.Canceled, holdfast.RolledBack},
		{holdfast.ErrBusy, holdfast.RolledBack},
		{holdfast.NewError(holdfast.Failure{Kind: holdfast.ErrRefused}), holdfast.RolledBack},
		{holdfast.ErrFenced, holdfast.RolledBack},
		{holdfast.NewError(holdfast.Failure{Kind: holdfast.ErrOutcomeUnknown, Cause: context.DeadlineExceeded}), holdfast.Unknown},
		{fmt.Errorf("in the shop: %w", holdfast.NewError(holdfast.Failure{Cause: holdfast.ErrOutcomeUnknown})), holdfast.Unknown},
	} {
		if got := holdfast.OutcomeOf(c.err); got != c.want {
			t.Errorf("%v: %s, not %s", c.err, got, c.want)
		}
	}
}

// A COMMIT that went into a file which had just lost its name is no acknowledgement, and no
// rollback either.
func TestOutcomeOfACommitIntoAFileThatIsGone(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("an open file keeps its name there")
	}
	dir := t.TempDir()
	path, moved := filepath.Join(dir, "app.db"), filepath.Join(dir, "moved.db")
	db, err := holdfast.Open(ctx(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	must(t, db, "CREATE TABLE t(a)")
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec("INSERT INTO t VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	for _, ending := range []string{"", "-wal", "-shm"} {
		if err := os.Rename(path+ending, moved+ending); err != nil {
			t.Fatal(err)
		}
	}
	err = tx.Commit()
	if !errors.Is(err, holdfast.ErrFenced) || holdfast.OutcomeOf(err) != holdfast.Unknown {
		t.Errorf("%s: %v", holdfast.OutcomeOf(err), err)
	}
	_, err = db.Exec("INSERT INTO t VALUES (2)") // it is known now, and not begun
	if !errors.Is(err, holdfast.ErrFenced) || holdfast.OutcomeOf(err) != holdfast.RolledBack {
		t.Errorf("%s: %v", holdfast.OutcomeOf(err), err)
	}
	if err := db.Close(); err != nil {
		t.Log(err)
	}
	if n := number(t, openAt(t, moved), "SELECT count(*) FROM t"); n != 1 {
		t.Errorf("%d rows are in the file that was moved: then the outcome is known", n)
	}
}

func TestNewErrorKeepsValuesOut(t *testing.T) {
	t.Parallel()
	for _, text := range []string{`no such column: "in-the-text"`, `malformed MATCH expression: [in-an-argument]`} {
		err := holdfast.NewError(holdfast.Failure{
			Kind: holdfast.ErrInvalid, Code: 2067, Op: "exec", SQL: "INSERT INTO t VALUES (?, 'in-the-text')", Args: []any{"in-an-argument", 1},
			Text: text, Next: "look",
		})
		if s := err.Error() + err.SQL; strings.Contains(s, "in-the") || strings.Contains(s, "in-an") {
			t.Error(s)
		}
		if err.Code != 19 || err.ExtendedCode != 2067 || err.Attempts != 1 || !errors.Is(err, holdfast.ErrInvalid) {
			t.Errorf("%+v", err)
		}
	}
}

func TestOpenOfAnAddress(t *testing.T) {
	t.Parallel()
	for address, says := range map[string]string{
		"rqlite://127.0.0.1:4001": "github.com/holdfastdb/holdfast/cluster",
		"other://127.0.0.1:4001":  "import the package",
	} {
		_, err := holdfast.Open(ctx(), address)
		if !errors.Is(err, holdfast.ErrRefused) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", address, err)
		}
	}
}
