// Package keys keeps the idempotency keys of writes, in a table of the database
// itself: only what is in the same transaction as the write shares its fate.
package keys

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/holdfastdb/holdfast/internal/sqlite"
)

const (
	create = `CREATE TABLE IF NOT EXISTS holdfast_idempotency(
	key TEXT PRIMARY KEY, digest BLOB, results TEXT, created_at INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS holdfast_idempotency_created_at ON holdfast_idempotency(created_at)`
	// A key that is found may stand in a log that was recovered after a crash and
	// was never flushed. Without a change the COMMIT would flush nothing, and the
	// write would be acknowledged a second time and lost when the power fails. The
	// value must be another one: SQLite writes no page that stays as it was.
	touch  = `UPDATE holdfast_idempotency SET created_at = created_at + 1 WHERE key = ?1`
	find   = `SELECT digest, results FROM holdfast_idempotency WHERE key = ?1`
	insert = `INSERT INTO holdfast_idempotency(key, digest, results, created_at) VALUES (?1, ?2, ?3, ?4)`
	// Each write takes a few expired keys with it, so that the table stays
	// bounded without a sweep.
	expire = `DELETE FROM holdfast_idempotency WHERE key IN (
	SELECT key FROM holdfast_idempotency WHERE created_at < ?1 ORDER BY created_at LIMIT 4)`
)

// Row is what is on record under a key. Both are nil of a transaction of a caller's own.
type Row struct{ Digest, Results []byte }

// Find looks a key up, in the transaction that is to write under it.
func Find(c *sqlite.Conn, key string) (row Row, found bool, err error) {
	if err := c.Exec(create); err != nil {
		return row, false, err
	}
	s, _, err := c.PrepareCached(find)
	if err != nil {
		return row, false, err
	}
	if err = s.BindText(1, key); err == nil {
		if found, err = s.Step(); found {
			row = Row{Digest: s.ColumnBlob(0), Results: []byte(s.ColumnText(1))}
		}
	}
	if e := s.Release(); err == nil {
		err = e
	}
	return row, found, err
}

// Touch has the COMMIT of a repetition flush what it stands on.
func Touch(c *sqlite.Conn, key string) error {
	return exec(c, touch, func(s *sqlite.Stmt) error { return s.BindText(1, key) })
}

// Record puts a key on record, and takes a few with it that are older than keep (0: none).
func Record(c *sqlite.Conn, key string, digest, results []byte, keep time.Duration) error {
	now := time.Now()
	if keep > 0 {
		err := exec(c, expire, func(s *sqlite.Stmt) error { return s.BindInt64(1, now.Add(-keep).UnixNano()) })
		if err != nil {
			return err
		}
	}
	return exec(c, insert, func(s *sqlite.Stmt) error {
		return errors.Join(s.BindText(1, key), s.BindBlob(2, digest), s.BindText(3, string(results)), s.BindInt64(4, now.UnixNano()))
	})
}

func exec(c *sqlite.Conn, sql string, bind func(*sqlite.Stmt) error) error {
	s, _, err := c.PrepareCached(sql)
	if err != nil {
		return err
	}
	if err = bind(s); err == nil {
		_, err = s.Step()
	}
	if e := s.Release(); err == nil {
		err = e
	}
	return err
}

// UsedIn is Find and Touch in a transaction of a caller's own.
func UsedIn(ctx context.Context, tx *sql.Tx, key string) (bool, error) {
	if _, err := tx.ExecContext(ctx, create); err != nil {
		return false, err
	}
	var one int
	err := tx.QueryRowContext(ctx, "SELECT 1 FROM holdfast_idempotency WHERE key = ?1", key).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err == nil {
		_, err = tx.ExecContext(ctx, touch, key)
	}
	return err == nil, err
}

// RecordIn is Record in a transaction of a caller's own, which has no digest and no results.
func RecordIn(ctx context.Context, tx *sql.Tx, key string, keep time.Duration) error {
	now := time.Now()
	if keep > 0 {
		if _, err := tx.ExecContext(ctx, expire, now.Add(-keep).UnixNano()); err != nil {
			return err
		}
	}
	_, err := tx.ExecContext(ctx, insert, key, nil, nil, now.UnixNano())
	return err
}
