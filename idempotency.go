package holdfast

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// The keys live in the database itself: only what is in the same transaction
// as the write shares its fate.
const (
	createKeys = `CREATE TABLE IF NOT EXISTS holdfast_idempotency(
	key TEXT PRIMARY KEY, digest BLOB, results TEXT, created_at INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS holdfast_idempotency_created_at ON holdfast_idempotency(created_at)`
	selectKey = `SELECT digest, results FROM holdfast_idempotency WHERE key = ?1`
	insertKey = `INSERT INTO holdfast_idempotency(key, digest, results, created_at) VALUES (?1, ?2, ?3, ?4)`
	// Each write takes a few expired keys with it, so that the table stays
	// bounded without a sweep.
	expireKeys = `DELETE FROM holdfast_idempotency WHERE key IN (
	SELECT key FROM holdfast_idempotency WHERE created_at < ?1 ORDER BY created_at LIMIT 4)`
)

type keyRow struct{ digest, results []byte }

func readKey(c *sqlite.Conn, key string) (row keyRow, found bool, err error) {
	s, _, err := c.PrepareCached(selectKey)
	if err != nil {
		return row, false, err
	}
	if err = s.BindText(1, key); err == nil {
		if found, err = s.Step(); found {
			row = keyRow{digest: s.ColumnBlob(0), results: []byte(s.ColumnText(1))}
		}
	}
	if e := s.Release(); err == nil {
		err = e
	}
	return row, found, err
}

func writeKey(c *sqlite.Conn, key string, digest, results []byte, keep time.Duration) error {
	now := time.Now()
	if keep > 0 {
		err := exec(c, expireKeys, func(s *sqlite.Stmt) error { return s.BindInt64(1, now.Add(-keep).UnixNano()) })
		if err != nil {
			return err
		}
	}
	return exec(c, insertKey, func(s *sqlite.Stmt) error {
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

func keyUsed(ctx context.Context, tx *sql.Tx, key string) (bool, error) {
	if _, err := tx.ExecContext(ctx, createKeys); err != nil {
		return false, err
	}
	var one int
	err := tx.QueryRowContext(ctx, "SELECT 1 FROM holdfast_idempotency WHERE key = ?1", key).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

func (db *DB) recordKey(ctx context.Context, tx *sql.Tx, key string) error {
	now := time.Now()
	if keep := db.h.d.cfg.Writer.IdempotencyRetention; keep > 0 {
		if _, err := tx.ExecContext(ctx, expireKeys, now.Add(-keep).UnixNano()); err != nil {
			return err
		}
	}
	_, err := tx.ExecContext(ctx, insertKey, key, nil, nil, now.UnixNano())
	return err
}
