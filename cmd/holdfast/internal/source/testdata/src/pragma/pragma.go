package pragma

import (
	"context"
	"database/sql"
)

const setUp = `
	CREATE TABLE IF NOT EXISTS t(a);
	PRAGMA foreign_keys = ON;`

type store struct{ db *sql.DB }

func sick(ctx context.Context, db *sql.DB, s *store) {
	db.Exec("PRAGMA busy_timeout = 5000")                  // want `db\.Exec: PRAGMA busy_timeout`
	db.ExecContext(ctx, setUp)                             // want `db\.ExecContext: PRAGMA foreign_keys`
	s.db.QueryRow("pragma main.synchronous(1)").Scan(&ctx) // want `s\.db\.QueryRow: PRAGMA synchronous`
}

func healthy(ctx context.Context, db *sql.DB, conn *sql.Conn, tx *sql.Tx) {
	db.Exec("PRAGMA journal_mode = WAL") // is stored in the file
	db.Exec("PRAGMA user_version = 3")
	db.QueryRow("PRAGMA busy_timeout")
	db.QueryRow("PRAGMA table_info(t)")
	db.Exec("INSERT INTO t VALUES ('PRAGMA foreign_keys = ON')")
	conn.ExecContext(ctx, "PRAGMA busy_timeout = 5000")
	tx.Exec("PRAGMA defer_foreign_keys = ON")
}
