package session

import (
	"context"
	"database/sql"
	"errors"
	"testing"
)

// all is how many rows a result has here, more than are read ahead.
const all = 100

// startReading takes the first row of a long result.
func startReading(t *testing.T, q interface {
	QueryContext(context.Context, string, ...any) (*sql.Rows, error)
},
) *sql.Rows {
	t.Helper()
	rows, err := q.QueryContext(context.Background(), "SELECT id FROM t ORDER BY id")
	if err != nil {
		t.Fatal(err)
	}
	if !rows.Next() {
		t.Fatal("no rows")
	}
	return rows
}

// wholeOrError reads on to the end.
func wholeOrError(t *testing.T, rows *sql.Rows) {
	t.Helper()
	n, err := drainRows(rows)
	if err == nil && n+1 != all {
		t.Errorf("%d rows of %d and no error", n+1, all)
	}
	if err != nil {
		t.Logf("ended with %v after %d rows", err, n+1)
	}
}

// A result must be whole or end in an error. Each of these three ends the place
// its rows come from while the caller is still reading them.
func TestRowsOfAnOptimisticTransactionAreNotCutShort(t *testing.T) {
	t.Parallel()
	t.Run("optimistic transaction moves to the writer", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		b.numbered(all)
		tx, err := b.BeginTx(context.Background(), &sql.TxOptions{Isolation: sql.LevelSnapshot})
		if err != nil {
			t.Fatal(err)
		}
		rows := startReading(t, tx)
		b.must(tx, "UPDATE t SET v = 1 WHERE id = 1")
		n, err := drainRows(rows)
		if err != nil || n+1 != all {
			t.Errorf("%d rows of %d, %v", n+1, all, err)
		}
		if err := tx.Commit(); err != nil {
			t.Error(err)
		}
	})
	t.Run("optimistic transaction writes for each row", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		b.numbered(all)
		tx, err := b.BeginTx(context.Background(), &sql.TxOptions{Isolation: sql.LevelSnapshot})
		if err != nil {
			t.Fatal(err)
		}
		rows, err := tx.Query("SELECT id FROM t ORDER BY id")
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var id int
			if err := rows.Scan(&id); err != nil {
				t.Fatal(err)
			}
			b.must(tx, "UPDATE t SET v = ? WHERE id = ?", id, id)
		}
		if err := errors.Join(rows.Err(), rows.Close(), tx.Commit()); err != nil {
			t.Fatal(err)
		}
		if n := b.number(b, "SELECT count(*) FROM t WHERE v = id"); n != all {
			t.Errorf("%d rows of %d were updated", n, all)
		}
	})
}

func TestRowsOfATextualTransactionAreNotCutShort(t *testing.T) {
	t.Parallel()
	t.Run("textual COMMIT", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		b.numbered(all)
		c := b.conn()
		b.must(c, "BEGIN")
		rows := startReading(t, c)
		b.must(c, "COMMIT")
		wholeOrError(t, rows)
	})
	t.Run("textual ROLLBACK", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		b.numbered(all)
		c := b.conn()
		b.must(c, "BEGIN")
		rows := startReading(t, c)
		b.must(c, "ROLLBACK")
		wholeOrError(t, rows)
	})
}

func TestRowsOfALostTransactionAreNotCutShort(t *testing.T) {
	t.Parallel()
	t.Run("transaction lost to ON CONFLICT ROLLBACK", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		b.numbered(all)
		tx, err := b.Begin()
		if err != nil {
			t.Fatal(err)
		}
		rows := startReading(t, tx)
		if _, err := tx.Exec("INSERT OR ROLLBACK INTO t(id) VALUES (1)"); err == nil {
			t.Fatal("a duplicate was accepted")
		}
		wholeOrError(t, rows)
		if err := tx.Commit(); err == nil {
			t.Error("a lost transaction was committed")
		}
	})
	t.Run("evicted transaction", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		b.numbered(all)
		tx, err := b.BeginTx(context.Background(), &sql.TxOptions{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		rows := startReading(t, tx)
		if n := b.evictAll(); n != 1 {
			t.Errorf("%d leases were ended", n)
		}
		n, err := drainRows(rows)
		if !errors.Is(err, ErrEvicted) {
			t.Errorf("%d rows, then %v", n+1, err)
		}
		if err := tx.Rollback(); err != nil {
			t.Error(err)
		}
	})
	t.Run("evicted rows", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		b.numbered(all)
		rows := startReading(t, b)
		if n := b.evictAll(); n != 1 {
			t.Errorf("%d leases were ended", n)
		}
		if n, err := drainRows(rows); !errors.Is(err, ErrEvicted) {
			t.Errorf("%d rows, then %v", n+1, err)
		}
	})
}

// The values of a long result's arguments must reach the translator with every
// error, or it can't take them out of the message.
func TestErrorOfALaterRowHasItsArguments(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.numbered(100)
	b.must(b, "UPDATE t SET v = 1 WHERE id = 50")
	rows, err := b.Query("SELECT CASE v WHEN 1 THEN json_extract('{}', ?1) ELSE id END FROM t ORDER BY id", "secret-canary")
	if err != nil {
		t.Fatal(err)
	}
	_, err = drainRows(rows)
	var e *told
	if !errors.As(err, &e) {
		t.Fatalf("no error: %v", err)
	}
	if len(e.args) != 1 {
		t.Errorf("%v came with %d arguments", e.err, len(e.args))
	}
}
