package interop

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
)

const (
	contenders = 32 // goroutines that write at once
	turns      = 10 // transactions of each
)

// ledgerSchema is what a contention test needs: one counter that everybody
// reads before writing it, and one ledger row for each transaction.
const ledgerSchema = `
CREATE TABLE counters (id INTEGER PRIMARY KEY, n INTEGER NOT NULL);
INSERT INTO counters (id, n) VALUES (1, 0);
CREATE TABLE ledger (worker INTEGER NOT NULL, turn INTEGER NOT NULL, PRIMARY KEY (worker, turn));`

// contend lets all contenders run turn at once. A turn is one transaction that
// reads the counter, writes it back plus one and adds (worker, turn) to the
// ledger. No turn may fail, and what was acknowledged has to be there.
func contend(t *testing.T, db *sql.DB, turn func(ctx context.Context, worker, turn int) error) {
	t.Helper()
	acknowledged := rush(t, turn)
	equal(t, "acknowledged transactions", acknowledged, contenders*turns)
	equal(t, "counter", column(t, db, "SELECT n FROM counters WHERE id = 1"), strconv.Itoa(acknowledged))
	equal(t, "ledger rows", column(t, db, "SELECT count(*) FROM ledger"), strconv.Itoa(acknowledged))
}

// rush runs work from all contenders, turns times each, and counts successes.
func rush(t *testing.T, work func(ctx context.Context, worker, turn int) error) int {
	t.Helper()
	var acknowledged atomic.Int64
	var wg sync.WaitGroup
	start := make(chan struct{})
	for worker := range contenders {
		wg.Go(func() {
			<-start
			for turn := range turns {
				if err := work(t.Context(), worker, turn); err != nil {
					t.Errorf("worker %d, turn %d: %v", worker, turn, err)
					continue
				}
				acknowledged.Add(1)
			}
		})
	}
	close(start)
	wg.Wait()
	return int(acknowledged.Load())
}

// token names a turn for clients whose ledger is keyed by text.
func token(worker, turn int) string { return fmt.Sprintf("worker-%02d-turn-%02d", worker, turn) }

// ledgerTurn is a turn in plain database/sql, for clients that write no rows
// of their own choosing.
func ledgerTurn(db *sql.DB) func(ctx context.Context, worker, turn int) error {
	return func(ctx context.Context, worker, turn int) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		var n int
		if err := tx.QueryRowContext(ctx, "SELECT n FROM counters WHERE id = 1").Scan(&n); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "UPDATE counters SET n = ? WHERE id = 1", n+1); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO ledger VALUES (?, ?)", worker, turn); err != nil {
			return err
		}
		return tx.Commit()
	}
}
